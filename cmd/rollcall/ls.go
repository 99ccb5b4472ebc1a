package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (a *app) lsCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "ls [kind…]",
		Aliases: []string{"list"},
		Short:   "List what runs here, with its tags",
		Long: `List what runs here, with its tags: containers, pods, tasks and processes, or the kinds that are named.
A process in a container shows its container's tags, too. Containers that rules leave out are not listed.`,
		Example: `  rollcall ls
  rollcall ls containers
  rollcall ls process -o json --cardinality high`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeKinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			kinds, err := parseKinds(args)
			if err != nil {
				return err
			}
			switch {
			case len(kinds) > 0:
			case all:
				kinds = workloadmeta.Kinds()
			default:
				kinds = usual()
			}
			return a.list(cmd.Context(), kinds, len(args) > 0, all)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false,
		"every kind, images and the like, and what rules leave out")
	return cmd
}

// list prints entities. named says that somebody asked for these kinds: nothing is then not found.
// all lists what rules leave out as well.
func (a *app) list(ctx context.Context, kinds []workloadmeta.Kind, named, all bool) error {
	c, err := a.cardinality(tagger.LowCardinality)
	if err != nil {
		return err
	}
	e, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer e.close()
	list := e.views(kinds, c)
	hidden := len(list)
	if !all {
		list = slices.DeleteFunc(list, func(v view) bool { return v.excludedBy != "" })
	}
	hidden -= len(list)
	if a.structured() {
		if err := a.print(map[string]any{"entities": list}); err != nil {
			return err
		}
	} else if err := e.printTables(kinds, list); err != nil {
		return err
	}
	switch {
	case len(list) == 0 && named && hidden > 0:
		return notFoundf("nothing found but what rules leave out; --all shows it")
	case len(list) == 0 && named:
		if a.incomplete {
			return nil
		}
		return notFoundf("nothing found%s", e.why(kinds))
	case hidden > 0 && !a.structured():
		a.say("left out by rules: %d; --all shows them", hidden)
	}
	return nil
}

// printTables prints one table per kind that has entities.
func (e *engine) printTables(kinds []workloadmeta.Kind, list []view) error {
	first := true
	for _, kind := range kinds {
		var of []view
		for _, v := range list {
			if v.entity.GetID().Kind == kind {
				of = append(of, v)
			}
		}
		if len(of) == 0 {
			continue
		}
		if !first {
			if _, err := fmt.Fprintln(e.app.out); err != nil {
				return err
			}
		}
		first = false
		if err := e.app.printTable(e.tableOf(kind, of)); err != nil {
			return err
		}
	}
	return nil
}

// why explains that there is nothing of these kinds.
func (e *engine) why(kinds []workloadmeta.Kind) string {
	text := ""
	if e.app.incomplete {
		return "" // it has been said
	}
	for _, kind := range kinds {
		if reason := e.missing(kind); reason != "" {
			text += fmt.Sprintf("; %s: %s", kind, reason)
		}
	}
	return text
}
