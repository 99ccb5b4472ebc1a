package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (a *app) lsCommand() *cobra.Command {
	var all bool
	var image string
	var filters []string
	cmd := &cobra.Command{
		Use:     "ls [kind…] [name…]",
		Aliases: []string{"list"},
		Short:   "List what runs here, with its tags",
		Long: `List what runs here, with its tags: containers, pods, tasks and processes, or the
kinds that are named; of those, what has one of the names that follow. A process in a container
shows its container's tags, too. Containers that rules leave out are not listed.

A name, and the value of a filter, may have * for any text. The fields to filter by are those
that "rollcall get" shows.

Kinds: ` + strings.Join(inspect.KindNames(), ", "),
		Example: `  rollcall ls
  rollcall ls container web 'web-*'
  rollcall ls container --image 'acme/*'
  rollcall ls container --filter tags=env:prod --filter labels.team=shop
  rollcall ls process -o json --cardinality high`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeKindsAndNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			kinds, names, err := parseKinds(args)
			if err != nil {
				return err
			}
			r := inspect.ListRequest{Kinds: kinds, Names: names, All: all}
			switch {
			case len(kinds) > 0:
			case all:
				r.Kinds = workloadmeta.Kinds()
			default:
				r.Kinds = inspect.Running()
			}
			if cmd.Flags().Changed("image") {
				if len(kinds) == 0 {
					r.Kinds = []workloadmeta.Kind{workloadmeta.KindContainer}
				}
				r.Where = append(r.Where, inspect.Condition{Field: "image", Pattern: image})
			}
			for _, text := range filters {
				field, value, ok := strings.Cut(text, "=")
				if !ok || field == "" {
					return usagef("--filter %q: want field=value, such as labels.team=shop", text)
				}
				r.Where = append(r.Where, inspect.Condition{Field: field, Pattern: value})
			}
			return a.list(cmd.Context(), r, len(args) > 0 || len(r.Where) > 0)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false,
		"every kind, images and the like, and what rules leave out")
	cmd.Flags().StringVar(&image, "image", "", "only containers of this image (* for any text)")
	cmd.Flags().StringArrayVar(&filters, "filter", nil,
		"only what has this value: --filter field=value (repeatable)")
	return cmd
}

// list prints entities. asked says that somebody asked for these: nothing is then not found.
func (a *app) list(ctx context.Context, r inspect.ListRequest, asked bool) error {
	var err error
	if r.Cardinality, err = a.cardinality(tagger.LowCardinality); err != nil {
		return err
	}
	e, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer e.close()
	list, err := e.ask.List(ctx, r)
	if err != nil {
		return err
	}
	if a.structured() {
		err = a.print(map[string]any{"entities": list.Entities})
	} else {
		err = a.printTables(r.Kinds, list)
	}
	if !a.incomplete {
		for _, note := range list.Notes {
			a.say("%s", note)
		}
	}
	switch {
	case err != nil:
		return err
	case len(list.Entities) == 0 && asked && list.LeftOut > 0:
		return notFoundf("nothing found but what rules leave out; --all shows it")
	case len(list.Entities) == 0 && asked && !a.incomplete:
		return a.nothing(ctx, e, r, list)
	case list.LeftOut > 0 && !a.structured():
		a.say("left out by rules: %d; --all shows them", list.LeftOut)
	}
	return nil
}

// nothing says why nothing was found, and what has nearly the name that was asked for.
func (a *app) nothing(ctx context.Context, e *session, r inspect.ListRequest,
	list inspect.List) error {
	if len(r.Kinds) == 1 && len(r.Names) == 1 && !strings.Contains(r.Names[0], "*") {
		_, err := e.ask.Get(ctx, inspect.GetRequest{
			Name: inspect.Name{Kind: r.Kinds[0], Text: r.Names[0]}})
		if missing := (*inspect.NotFoundError)(nil); errors.As(err, &missing) {
			return err
		}
	}
	return notFoundf("%s", list.Why())
}

// printTables prints one table per kind that has entities.
func (a *app) printTables(kinds []workloadmeta.Kind, list inspect.List) error {
	first := true
	for _, kind := range kinds {
		var of []inspect.Entity
		for _, e := range list.Entities {
			if e.Workload.GetID().Kind == kind {
				of = append(of, e)
			}
		}
		if len(of) == 0 {
			continue
		}
		if !first {
			if _, err := fmt.Fprintln(a.out); err != nil {
				return err
			}
		}
		first = false
		if err := a.printTable(a.tableOf(kind, of, list)); err != nil {
			return err
		}
	}
	return nil
}

// parseKinds reads kinds, and the names that come after them.
func parseKinds(args []string) (kinds []workloadmeta.Kind, names []string, err error) {
	for i, arg := range args {
		var some []workloadmeta.Kind
		for part := range strings.SplitSeq(arg, ",") {
			kind, kindErr := inspect.ParseKind(part)
			if kindErr != nil {
				if i == 0 {
					return nil, nil, fmt.Errorf("%w; a name comes after its kind, as in "+
						"\"container %s\"", kindErr, arg)
				}
				return kinds, args[i:], nil
			}
			some = append(some, kind)
		}
		for _, kind := range some {
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds, nil, nil
}
