package main

import (
	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (a *app) replayCommand() *cobra.Command {
	var follow, tags bool
	var speed float64
	cmd := &cobra.Command{
		Use:   "replay <file>",
		Short: "Play a recording: what was there in the end, or each change",
		Long: `Play a recording and show everything that was there in the end. With --follow it
prints each change, as slowly as it happened; --speed 10 is ten times as fast, --speed 0 does
not wait.`,
		Example: `  rollcall replay incident.jsonl
  rollcall replay incident.jsonl --follow --speed 10`,
		Args: args(1, 1, "one recording"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.from != "" {
				return usagef("replay: give the recording as the argument, not with --from")
			}
			if speed < 0 {
				return usagef("--speed is %v; want 0 or more", speed)
			}
			a.from = args[0]
			switch {
			case follow && tags:
				return usagef("replay: --follow and --tags do not go together")
			case follow || cmd.Flags().Changed("speed"):
				return a.watch(cmd.Context(), 0, inspect.WatchRequest{All: true, Speed: speed})
			case tags:
				return a.allTags(cmd.Context(), true)
			}
			return a.list(cmd.Context(),
				inspect.ListRequest{Kinds: workloadmeta.Kinds(), All: true}, false)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "print each change")
	cmd.Flags().BoolVar(&tags, "tags", false, "show the tags, as \"rollcall tags\" does")
	cmd.Flags().Float64Var(&speed, "speed", 1,
		"how many times as fast as it happened; 0: without waiting (implies --follow)")
	return cmd
}
