package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (a *app) getCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "get <kind> <id|name>",
		Short: "Show everything known about one entity",
		Long: `Show everything known about one entity, with its tags. The entity is named by its ID, the first characters
of it, its name, or its namespace and name.`,
		Example: `  rollcall get container web
  rollcall get pod shop/cart-0 -o yaml
  rollcall get process 4242`,
		Args: args(2, 2, "a kind and an ID or a name"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string,
			cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return completeKinds(cmd, args, toComplete)
			case 1:
				kind, err := parseKind(args[0])
				if err != nil {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return a.completeEntities(cmd.Context(), kind), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := parseKind(args[0])
			if err != nil {
				return err
			}
			if args[1] == "" {
				return usagef("get: the ID or name is empty")
			}
			c, err := a.cardinality(tagger.LowCardinality)
			if err != nil {
				return err
			}
			e, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer e.close()
			entity, err := e.find(kind, args[1])
			if err != nil {
				return err
			}
			views, _ := e.store.Reports(entity.GetID())
			v := e.view(entity, views, c)
			if a.structured() {
				return a.print(v)
			}
			return e.describe(v)
		},
	}
}

// describe prints an entity for people: each field that has a value on a line of its own.
func (e *engine) describe(v view) error {
	data, err := encode(v, false)
	if err != nil {
		return err
	}
	fields, err := flatten(data)
	if err != nil {
		return fmt.Errorf("describe %s: %w", v.entity.GetID(), err)
	}
	t := &table{titles: []string{"FIELD", "VALUE"}, fixed: []bool{true, false}}
	for _, f := range fields {
		if f.name == "tags" {
			continue // one on each line, below
		}
		t.rows = append(t.rows, []string{f.name, f.value})
	}
	for i, tag := range v.tags {
		name := ""
		if i == 0 {
			name = "tags"
		}
		t.rows = append(t.rows, []string{name, tag})
	}
	return e.app.printTable(t)
}

// completionTimeout bounds what shell completion may take.
const completionTimeout = 1500 * time.Millisecond

// completeEntities returns names and IDs for the shell.
func (a *app) completeEntities(ctx context.Context, kind workloadmeta.Kind) []string {
	a.completing = true
	a.timeout = min(a.timeout, completionTimeout)
	e, err := a.open(ctx, false)
	if err != nil {
		return nil
	}
	defer e.close()
	var proposals []string
	for _, v := range e.views([]workloadmeta.Kind{kind}, tagger.LowCardinality) {
		id := v.entity.GetID().ID
		if kind == workloadmeta.KindContainer {
			id = shortID(id)
		}
		if name := nameOf(v.entity); name != "" && !strings.ContainsAny(name, " \t\n") {
			proposals = append(proposals, cobra.CompletionWithDesc(name, id))
			continue
		}
		if p, ok := v.entity.(*workloadmeta.Process); ok {
			proposals = append(proposals, cobra.CompletionWithDesc(id, clean(p.Name)))
			continue
		}
		proposals = append(proposals, id)
	}
	slices.Sort(proposals)
	return proposals
}

// completeTagged returns what tags and explain can be asked about.
func (a *app) completeTagged(cmd *cobra.Command, args []string, _ string) ([]string,
	cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	a.completing = true
	a.timeout = min(a.timeout, completionTimeout)
	e, err := a.open(cmd.Context(), false)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer e.close()
	var proposals []string
	for _, entity := range e.tagger.List() {
		proposals = append(proposals, string(entity.ID))
	}
	for c := range e.store.Containers() {
		if c.Name != "" {
			proposals = append(proposals, c.Name)
		}
	}
	slices.Sort(proposals)
	return slices.Compact(proposals), cobra.ShellCompDirectiveNoFileComp
}
