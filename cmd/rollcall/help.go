package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
)

// helpWidth is what help is wrapped to: the narrowest terminal that people use.
const helpWidth = 80

// helpText is what --help prints of a command. The flags that every command has are named alone,
// but for the root's, so that they do not drown the command's own.
func helpText(cmd *cobra.Command) string {
	var b strings.Builder
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	b.WriteString(wrap(text, helpWidth) + "\n\nUsage:\n")
	if cmd.Runnable() && cmd.HasParent() {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s [command]\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() || c.Name() == "help" {
				line := fmt.Sprintf("  %-*s %s", cmd.NamePadding(), c.Name(), c.Short)
				b.WriteString(indentRest(line, cmd.NamePadding()+3) + "\n")
			}
		}
	}
	if own := cmd.LocalFlags(); own.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s\n",
			strings.TrimRight(own.FlagUsagesWrapped(helpWidth), "\n"))
	}
	if cmd.HasAvailableInheritedFlags() {
		b.WriteString("\n" + wrap("Flags of every command (\"rollcall --help\" explains them): "+
			strings.Join(flagNames(cmd.Root()), " "), helpWidth) + "\n")
	}
	if !cmd.HasParent() {
		b.WriteString("\nMore: docs/cli.md, docs/configuration.md, docs/rules.md\n")
	}
	return b.String()
}

// indentRest wraps a line; what comes after the first is indented.
func indentRest(line string, by int) string {
	lines := strings.Split(wrap(line[by:], helpWidth-by), "\n")
	return line[:by] + strings.Join(lines, "\n"+strings.Repeat(" ", by))
}

// wrap breaks the lines of paragraphs anew. Paragraphs are what is between empty lines.
func wrap(text string, width int) string {
	var out []string
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		var b strings.Builder
		at := 0
		for _, word := range strings.Fields(paragraph) {
			n := utf8.RuneCountInString(word)
			switch {
			case at == 0:
			case at+1+n > width:
				b.WriteByte('\n')
				at = 0
			default:
				b.WriteByte(' ')
				at++
			}
			b.WriteString(word)
			at += n
		}
		out = append(out, b.String())
	}
	return strings.Join(out, "\n\n")
}

// flagNames are the flags that a command shares with those below it.
func flagNames(cmd *cobra.Command) (names []string) {
	for line := range strings.Lines(cmd.PersistentFlags().FlagUsages()) {
		for _, word := range strings.Fields(line)[:2] {
			if strings.HasPrefix(word, "--") {
				names = append(names, word)
			}
		}
	}
	return names
}

// setHelp makes a command tree print helpText, and tell when that fails.
func (a *app) setHelp(root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		if _, err := fmt.Fprint(a.out, helpText(cmd)); err != nil {
			a.helpFailed = fmt.Errorf("write the help: %w", err)
		}
	})
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [command]",
		Short: "Help about a command",
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string,
			cobra.ShellCompDirective) {
			var names []string
			if of, _, err := cmd.Root().Find(args); err == nil {
				for _, c := range of.Commands() {
					names = append(names, c.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(cmd.Root(), strings.Join(args, " "))
			}
			return of.Help()
		},
	})
}

func unknownCommand(root *cobra.Command, name string) error {
	hint := "; \"rollcall --help\" lists the commands"
	if near := root.SuggestionsFor(name); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("unknown command %q%s", name, hint)
}

// unknownFlag is the error for a flag that does not exist.
type unknownFlag interface {
	error
	GetSpecifiedName() string
}

// flagHint says what flag was meant by one that does not exist.
func flagHint(cmd *cobra.Command, name string) string {
	switch {
	case slices.Contains(formats, name):
		return "; did you mean -o " + name + "?"
	case name == "format":
		return "; did you mean -o, --output?"
	}
	var names []string
	for line := range strings.Lines(cmd.Flags().FlagUsages() + cmd.InheritedFlags().FlagUsages()) {
		for _, word := range strings.Fields(line) {
			if flag, ok := strings.CutPrefix(word, "--"); ok {
				names = append(names, flag)
				break
			}
		}
	}
	if near := inspect.Nearest(name, names); near != "" {
		return "; did you mean --" + near + "?"
	}
	return fmt.Sprintf("; %q lists the flags", cmd.CommandPath()+" --help")
}

// completionCommand adds to Cobra's own command: an error for a shell it does not know, and a
// script for bash that works without the bash-completion package.
func (a *app) completionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	c, _, err := root.Find([]string{"completion"})
	must(err)
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown shell %q (want bash, zsh, fish or powershell)", args[0])
		}
		return cmd.Help()
	}
	bash, _, err := root.Find([]string{"completion", "bash"})
	must(err)
	bash.Long = `Print a script for bash that completes commands, kinds, names, IDs and options.

To load it in this shell: source <(rollcall completion bash)

To load it in every one, write it to /etc/bash_completion.d/rollcall where the bash-completion
package is installed, else add that line to ~/.bashrc.`
	described := true
	bash.PreRun = func(cmd *cobra.Command, _ []string) {
		off, _ := cmd.Flags().GetBool("no-descriptions")
		described = !off
	}
	bash.RunE = func(*cobra.Command, []string) error {
		var script bytes.Buffer
		if err := root.GenBashCompletionV2(&script, described); err != nil {
			return fmt.Errorf("completion: %w", err)
		}
		_, err := fmt.Fprint(a.out, withoutPackage(script.String()))
		return err
	}
}

// withoutPackage makes Cobra's script for bash do without the functions of the bash-completion
// package where that is not installed.
func withoutPackage(script string) string {
	const words = "    _get_comp_words_by_ref \"$@\" cur prev words cword\n"
	const ask = "    if declare -F _get_comp_words_by_ref >/dev/null; then\n    "
	script = strings.Replace(script, words, ask+words+`    else
        words=("${COMP_WORDS[@]}")
        cword=$COMP_CWORD
        cur=${words[cword]}
        prev=${words[cword-1]}
    fi
`, 1)
	const trim = `__ltrim_colon_completions "$cur"`
	return strings.ReplaceAll(script, trim,
		"! declare -F __ltrim_colon_completions >/dev/null || "+trim)
}
