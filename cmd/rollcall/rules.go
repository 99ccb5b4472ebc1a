package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/rules"
)

func (a *app) rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Show and try the rules about containers and tags",
		Long: `Show and try the rules that leave containers out, make tags of labels, annotations and variables, and rename, drop
and level tags. They are the option rules of the configuration; docs/rules.md tells how to write them.`,
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
		Long: `List the rules in effect, in order: the last that applies wins. Older options are there as the rules they mean, and
so is what rollcall does by itself.`,
		Args: args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			conf, err := a.loadConfig()
			if err != nil {
				return err
			}
			all, errs := conf.TagOptions(a.environ).TagRules()
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
			t := &table{titles: []string{"#", "RULE", "FROM"}, fixed: []bool{true, false, false},
				right: []bool{true, false, false}}
			for i := range all {
				t.rows = append(t.rows,
					[]string{strconv.Itoa(i + 1), all[i].String(), all[i].Label()})
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
		Long: `Run the rules on what is here, or on a recording with --from, and show what they change: which containers they leave
out, and which tags they add, remove, rename or put on another level. It compares with no rules and none of the options
that are translated into rules. With --rules FILE it runs the rules of that file instead of those of the configuration, and
compares with the configuration as it is.

It warns when tags that are dropped were all that told two entities apart.`,
		Example: `  rollcall rules test --rules new.yaml
  rollcall rules test --from recording.jsonl -o json`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			before, err := a.withoutRules()
			if err != nil {
				return err
			}
			a.alsoEnv = before.EnvNames()
			e, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer e.close()
			trial, err := e.try(cmd.Context(), before.TagOptions(a.environ))
			if err != nil {
				return fmt.Errorf("rules test: %w", err)
			}
			if a.structured() {
				return a.print(trial)
			}
			return a.printTrial(trial)
		},
	}
}
