package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Exit codes.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitNotFound = 3
)

// app is one run of the program: where its output goes and what its flags say.
type app struct {
	out, err io.Writer
	environ  []string
	// collectors are those that the program links. nil: rollcall's own.
	collectors []collection.AnySpec

	optionFlags map[string]*string // of options that have one, by their names

	output, configFile, from  string
	cardinalityArg, colorArg  string
	set                       []string
	rulesFile                 string   // rules to take instead of the configured ones
	alsoEnv                   []string // variables to let through beside those that the rules need
	skipBad, noColor, verbose bool
	timeout                   time.Duration
	width                     int // of tables; negative = the terminal's
	// a source that was asked for by name has not answered, which has been said
	incomplete bool
	lenient    bool               // wrong options of a collector are part of the answer
	stays      bool               // it goes on until somebody ends it
	recording  *inspect.Recording // that --from names, once it is open
	completing bool               // collecting for shell completion: be quick and quiet
	helpFailed error              // why the help could not be written
}

// usageError is a mistake in how the program was called.
type usageError struct{ error }

// notFoundError says that what was asked for is not there.
type notFoundError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
func notFoundf(format string, args ...any) error {
	return notFoundError{fmt.Errorf(format, args...)}
}

// run runs the program and returns its exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if a.recording != nil {
		_ = a.recording.Close() // it has been read
	}
	if err == nil {
		err = a.helpFailed
	}
	if err != nil {
		a.say("%s", oneLine(err.Error()))
	}
	switch {
	case a.incomplete:
		return exitError
	case err == nil:
		return exitOK
	}
	_, usage := errors.AsType[usageError](err)
	_, invalid := errors.AsType[*inspect.InvalidError](err)
	if usage || invalid {
		return exitUsage
	}
	_, empty := errors.AsType[notFoundError](err)
	_, missing := errors.AsType[*inspect.NotFoundError](err)
	if empty || missing {
		return exitNotFound
	}
	return exitError
}

// say writes a line for people to the standard error.
func (a *app) say(format string, args ...any) {
	if !a.completing {
		fmt.Fprintf(a.err, "rollcall: %s\n", clean(fmt.Sprintf(format, args...)))
	}
}

func oneLine(text string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"),
		func(s string) bool { return strings.TrimSpace(s) == "" }), "; ")
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "rollcall",
		Short: "What runs on this machine, and what tags its telemetry must carry",
		Long: `rollcall tells what runs on this machine, and what tags its telemetry must carry.

Commands look once, in this process, and answer; --from answers from a recording.
Exit codes: 0 found, 1 error, 2 called wrongly, 3 not found.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args[0])
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkFlags(cmd) },
	}
	root.SetVersionTemplate("rollcall {{.Version}}\n")
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if flag, ok := errors.AsType[unknownFlag](err); ok {
			return usagef("%w%s", err, flagHint(cmd, flag.GetSpecifiedName()))
		}
		return usagef("%w; %q lists the flags", err, cmd.CommandPath()+" --help")
	})
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "table", "table, wide, json or yaml")
	f.StringVar(&a.configFile, "config", "", "YAML file with options (default "+config.DefaultFile+
		", if it is there)")
	f.StringVar(&a.from, "from", "", "answer from a recording, and touch nothing of this machine")
	f.BoolVar(&a.skipBad, "skip-bad-lines", false,
		"pass over lines of a recording that cannot be read, and count them")
	f.DurationVar(&a.timeout, "timeout", 10*time.Second,
		"how long to wait for the collectors' first answers")
	a.optionFlags = map[string]*string{}
	for _, o := range a.schema().Options() {
		if o.Flag != "" {
			about, _, _ := strings.Cut(o.Doc, ":")
			about, _, _ = strings.Cut(about, ". ")
			a.optionFlags[o.Name] = f.String(o.Flag, "",
				strings.TrimSuffix(strings.ToLower(about[:1])+about[1:], ".")+
					" (option "+o.Name+")")
		}
	}
	f.StringArrayVar(&a.set, "set", nil, "set an option: --set name=value (repeatable)")
	f.StringVar(&a.cardinalityArg, "cardinality", "",
		"tags up to low, orchestrator or high")
	f.IntVar(&a.width, "width", -1,
		"cut tables and lines to this many columns; 0: never (-1: the terminal's width)")
	f.StringVar(&a.colorArg, "color", "auto", "auto, always or never")
	f.BoolVar(&a.noColor, "no-color", false, "the same as --color never")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log what the collectors do")
	for flag, values := range map[string][]string{
		"output": formats, "cardinality": {"low", "orchestrator", "high"}, "color": {"auto",
			"always", "never"}, "agent-type": {"node", "cluster", "remote"},
	} {
		must(root.RegisterFlagCompletionFunc(flag,
			cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	root.AddCommand(a.lsCommand(), a.getCommand(), a.tagsCommand(), a.watchCommand(),
		a.explainCommand(),
		a.rulesCommand(), a.statusCommand(), a.recordCommand(), a.replayCommand(),
		a.configCommand(), a.rbacCommand(), a.versionCommand())
	must(root.RegisterFlagCompletionFunc("set", a.completeOptions))
	a.setHelp(root)
	a.completionCommand(root)
	return root
}

// completeOptions completes the names of options, and what is before their values.
func (a *app) completeOptions(*cobra.Command, []string, string) ([]string,
	cobra.ShellCompDirective) {
	var list []string
	for _, o := range a.schema().Options() {
		list = append(list, cobra.CompletionWithDesc(o.Name+"=", o.Doc))
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func must(err error) {
	if err != nil {
		panic(err) // a flag that is not there: our own mistake
	}
}

var formats = []string{"table", "wide", "json", "yaml"}

// checkFlags refuses values that no command can work with.
func (a *app) checkFlags(cmd *cobra.Command) error {
	// An empty variable in a script must not turn a question about a recording into one about
	// this machine.
	needValues := []string{"from", "config", "rules", "cardinality", "image", "namespace",
		"selector"}
	for _, o := range a.schema().Options() {
		if o.Flag != "" {
			needValues = append(needValues, o.Flag)
		}
	}
	for _, name := range needValues {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "" {
			return usagef("--%s is empty (%s)", name, f.Usage)
		}
	}
	if !slices.Contains(formats, a.output) {
		if near := inspect.Nearest(a.output, formats); near != "" {
			return usagef("unknown output format %q; did you mean %s?", a.output, near)
		}
		return usagef("unknown output format %q (want %s)", a.output, strings.Join(formats, ", "))
	}
	if _, err := a.cardinality(tagger.LowCardinality); err != nil {
		return err
	}
	if !slices.Contains([]string{"auto", "always", "never"}, a.colorArg) {
		return usagef("unknown value %q of --color (want auto, always or never)", a.colorArg)
	}
	if a.timeout <= 0 {
		return usagef("--timeout is %s; want more than 0", a.timeout)
	}
	return nil
}

// cardinality returns what --cardinality asks for, or the command's own default.
func (a *app) cardinality(fallback tagger.TagCardinality) (tagger.TagCardinality, error) {
	if a.cardinalityArg == "" {
		return fallback, nil
	}
	c, err := tagger.ParseCardinality(a.cardinalityArg)
	if err != nil || c == tagger.NoneCardinality {
		return c, usagef("unknown cardinality %q (want low, orchestrator or high)",
			a.cardinalityArg)
	}
	return c, nil
}

// schema is what may be configured.
func (a *app) schema() *config.Schema {
	if a.collectors == nil {
		a.collectors = catalog.Collectors()
	}
	return config.NewSchema(a.collectors)
}

// loadConfig puts the configuration together and says what looks wrong with it.
func (a *app) loadConfig(ctx context.Context) (*config.Loaded, error) {
	conf, err := a.readConfig(ctx)
	if err != nil {
		return nil, err
	}
	if a.rulesFile != "" {
		if conf.Rules, err = config.ReadRules(a.rulesFile); err != nil {
			return nil, err
		}
		conf.From["rules"] = a.rulesFile
	}
	for _, warning := range conf.Warnings {
		a.say("%s", warning)
	}
	return conf, nil
}

// readConfig reads the configuration of this machine, or that of the recording, of which this
// machine's knows nothing. Flags count in either case.
func (a *app) readConfig(ctx context.Context) (*config.Loaded, error) {
	if err := a.openRecording(ctx); err != nil {
		return nil, err
	}
	src := config.Source{File: a.configFile, Env: a.environ}
	if own := a.ownConfig(); own != nil {
		src = config.Source{Recorded: own, RecordedIn: a.recording.Name()}
	} else if src.File == "" {
		src.File = a.getenv("ROLLCALL_CONFIG")
		if _, err := os.Stat(config.DefaultFile); err == nil && src.File == "" {
			src.File = config.DefaultFile
		}
	}
	for _, o := range a.schema().Options() {
		if value := a.optionFlags[o.Name]; value != nil && *value != "" {
			src.Flags = append(src.Flags,
				config.Flag{Flag: "--" + o.Flag, Option: o.Name, Value: *value})
		}
	}
	for _, pair := range a.set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("--set %q: want name=value", pair)
		}
		src.Flags = append(src.Flags, config.Flag{Flag: "--set", Option: name, Value: value})
	}
	return a.schema().Load(src)
}

func (a *app) getenv(name string) string {
	for _, entry := range slices.Backward(a.environ) {
		if n, value, _ := strings.Cut(entry, "="); n == name {
			return value
		}
	}
	return ""
}

func (a *app) log() *slog.Logger {
	if !a.verbose || a.completing {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// args returns a check of the number of arguments; what names them, for the error.
func args(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usagef("%s: want %s, have %d arguments; %q says more", cmd.Name(), what,
				len(args), cmd.CommandPath()+" --help")
		}
		return nil
	}
}
