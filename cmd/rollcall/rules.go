package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/rules"
)

func (a *app) rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Show and try the rules about containers and tags",
		Long: `Show and try the rules that leave containers out, make tags of labels, annotations
and variables, and rename, drop and level tags. They are the option rules of the configuration;
docs/rules.md tells how to write them.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("rules: unknown command %q (want list or test)", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&a.rulesFile, "rules", "",
		"YAML file with rules to take instead of those of the configuration")
	cmd.AddCommand(a.rulesListCommand(), a.rulesTestCommand())
	return cmd
}

// listedRule is a rule as "rules list" prints it.
type listedRule struct {
	Number int        `json:"number"`
	Name   string     `json:"name"`
	Where  string     `json:"where,omitempty"`
	Origin string     `json:"origin"`
	Rule   rules.Rule `json:"rule"`
}

func (a *app) rulesListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the rules in effect, in order",
		Long: `List the rules in effect, in order: the last that applies wins. Older options are
there as the rules they mean, and so is what rollcall does by itself.`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := a.loadConfig(cmd.Context())
			if err != nil {
				return err
			}
			all, errs := conf.TagOptions(a.tagEnviron()).TagRules()
			if len(errs) > 0 {
				return errs[0]
			}
			if a.structured() {
				list := make([]listedRule, len(all))
				for i, r := range all {
					list[i] = listedRule{i + 1, r.Name, r.Where, r.Origin.String(), r}
				}
				return a.print(map[string]any{"rules": list})
			}
			t := &table{columns: []tableColumn{{title: "#", fixed: true, right: true},
				{title: "RULE", cut: cutNone, rank: 1, least: 30},
				{title: "FROM", cut: cutNone, least: 36}},
				// What rollcall does by itself may be cut; what somebody has written is shown.
				oneLine: func(row int) bool { return all[row].Origin == rules.Builtin }}
			for i := range all {
				data, err := all[i].MarshalJSON()
				if err != nil {
					return err
				}
				line, err := toYAMLLine(data)
				if err != nil {
					return err
				}
				t.rows = append(t.rows, []string{strconv.Itoa(i + 1), line, all[i].Label()})
			}
			t.color = func(row, _ int) string {
				if all[row].Origin == rules.Builtin {
					return faint
				}
				return ""
			}
			return a.printTable(t)
		},
	}
}

func (a *app) rulesTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Run the rules and show what they change",
		Long: `Run the rules on what is here, or on a recording with --from, and show what they
change: which containers they leave out, and which tags they add, remove, rename or put on
another level. It compares with no rules and none of the options that are translated into rules.
With --rules FILE it runs the rules of that file instead of those of the configuration, and
compares with the configuration as it is.

It warns when tags that are dropped were all that told two entities apart.`,
		Example: `  rollcall rules test --rules new.yaml
  rollcall rules test --from recording.jsonl -o json`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			before, err := a.withoutRules(cmd.Context())
			if err != nil {
				return err
			}
			a.alsoEnv = before.EnvNames()
			e, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer e.close()
			diff, err := e.ask.RulesDiff(cmd.Context(),
				inspect.RulesDiffRequest{Before: before.TagOptions(a.tagEnviron())})
			if err != nil {
				return fmt.Errorf("rules test: %w", err)
			}
			if a.structured() {
				return a.print(diff)
			}
			return a.printRulesDiff(diff)
		},
	}
}

// withoutRules returns the configuration to compare with.
func (a *app) withoutRules(ctx context.Context) (*config.Loaded, error) {
	conf, err := a.readConfig(ctx)
	if err != nil {
		return nil, err
	}
	if a.rulesFile == "" {
		conf.Config = conf.WithoutRules()
	}
	return conf, nil
}

// printRulesDiff prints what rules change for people.
func (a *app) printRulesDiff(r inspect.RulesDiff) error {
	if len(r.Containers) > 0 {
		t := &table{columns: []tableColumn{{title: "CONTAINER", fixed: true, spare: 2},
			{title: "NAME", least: 16}, {title: "CHANGE", fixed: true},
			{title: "RULE", cut: cutNone, rank: 1, least: 24}}}
		for _, c := range r.Containers {
			change := c.Change
			if c.For != rules.Everything.String() {
				change += " (" + c.For + ")"
			}
			t.rows = append(t.rows, []string{inspect.ShortID(c.ID), c.Name, change, c.Rule})
		}
		if err := a.printTable(t); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.out); err != nil {
			return err
		}
	}
	if len(r.Entities) > 0 {
		t := &table{columns: []tableColumn{{title: "ENTITY", least: 16},
			{title: "CHANGE", fixed: true}, {title: "TAG", rank: 2, least: 24},
			{title: "CARDINALITY", fixed: true, spare: 2},
			{title: "RULE", cut: cutNone, rank: 1, least: 24}}}
		for _, entity := range r.Entities {
			who := cmp.Or(entity.Name, inspect.ShortEntity(entity.ID))
			for _, c := range entity.Changes {
				t.rows = append(t.rows,
					[]string{who, c.Change, arrow(c.Before, c.After),
						arrow(c.BeforeCardinality, c.AfterCardinality), c.Rule})
			}
		}
		t.color = func(row, column int) string {
			if column != 1 {
				return ""
			}
			return map[string]string{"added": green, "removed": red}[t.rows[row][1]]
		}
		if err := a.printTable(t); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.out); err != nil {
			return err
		}
	}
	for _, w := range r.Warnings {
		if _, err := fmt.Fprintln(a.out, "warning: "+clean(w.String())); err != nil {
			return err
		}
	}
	for _, idle := range r.Idle {
		if _, err := fmt.Fprintln(a.out,
			clean(idle.Rule+" has no effect: "+idle.Reason)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.out,
		"%d rules; containers with a change: %d; entities with other tags: %d of %d; warnings: %d\n",
		r.Rules, len(r.Containers), len(r.Entities), r.Live, len(r.Warnings))
	return err
}

// arrow writes a change of a text.
func arrow(before, after string) string {
	switch {
	case before == "" || before == after:
		return after
	case after == "":
		return before
	}
	return before + " → " + after
}
