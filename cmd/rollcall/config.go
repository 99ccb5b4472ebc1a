package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func (a *app) configCommand() *cobra.Command {
	var all, example bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration that is in effect",
		Long: `Show the options that are not at their defaults, and where each is from: a line of
the file, a variable of the environment, or a flag. The output is a valid configuration file.`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if example {
				_, err := fmt.Fprint(a.out, a.schema().Example())
				return err
			}
			conf, err := a.loadConfig(cmd.Context())
			if err != nil {
				return err
			}
			text := conf.Render(all)
			if a.output != "json" {
				_, err := fmt.Fprint(a.out, text)
				return err
			}
			values := map[string]any{}
			if err := yaml.Unmarshal([]byte(text), &values); err != nil {
				return fmt.Errorf("show the configuration: %w", err)
			}
			if _, err := json.Marshal(values); err != nil {
				return fmt.Errorf("show the configuration: %w", err)
			}
			return a.print(values)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "the options at their defaults, too")
	cmd.Flags().BoolVar(&example, "example", false,
		"print a commented file with every option instead")
	return cmd
}
