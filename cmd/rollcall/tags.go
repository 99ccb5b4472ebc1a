package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
)

func (a *app) tagsCommand() *cobra.Command {
	var all bool
	var namespace string
	cmd := &cobra.Command{
		Use:   "tags [[kind] <id|name>]",
		Short: "Show the tags of one entity, or of all",
		Long: `Show the tags that telemetry of one entity must carry, or of all entities. An
entity is named as for "rollcall get". The list leaves out containers that rules leave out.`,
		Example: `  rollcall tags web
  rollcall tags process 4242
  rollcall tags container_id://3f0c… --cardinality low
  rollcall tags -o json --from recording.jsonl --config mapping.yaml`,
		Args:              args(0, 2, "at most a kind and an ID or a name"),
		ValidArgsFunction: a.completeEntity,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.allTags(cmd.Context(), all)
			}
			name, err := parseName(args, namespace)
			if err != nil {
				return err
			}
			return a.tags(cmd.Context(), name)
		},
	}
	namespaceFlag(cmd, &namespace)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "containers that rules leave out, too")
	return cmd
}

// tags prints the tags of one entity.
func (a *app) tags(ctx context.Context, name inspect.Name) error {
	c, err := a.cardinality(tagger.HighCardinality)
	if err != nil {
		return err
	}
	e, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer e.close()
	entity, err := e.ask.TagsOf(ctx, inspect.GetRequest{Name: name, Cardinality: c})
	if err != nil {
		return err
	}
	if entity.Note != "" {
		a.say("%s", entity.Note)
	}
	if a.structured() {
		return a.print(map[string]any{"entities": []inspect.Tagged{entity}})
	}
	t := &table{columns: []tableColumn{{title: "TAG", rank: 1, least: 40},
		{title: "CARDINALITY", fixed: true},
		{title: "SOURCE", cut: cutFront, least: 14, spare: 1}}}
	for _, level := range []struct {
		name string
		tags []string
	}{{"low", entity.Low}, {"orchestrator", entity.Orchestrator}, {"high", entity.High}} {
		for _, tag := range level.tags {
			name := level.name
			if name == "low" && slices.Contains(entity.Standard, tag) {
				name = "low, standard"
			}
			t.rows = append(t.rows, []string{tag, name, strings.Join(entity.SourcesOf(tag), ",")})
		}
	}
	return a.printTable(t)
}

// allTags prints the tags of all entities.
func (a *app) allTags(ctx context.Context, all bool) error {
	c, err := a.cardinality(tagger.HighCardinality)
	if err != nil {
		return err
	}
	e, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer e.close()
	entities, err := e.ask.Tags(ctx, inspect.TagsRequest{Cardinality: c, All: all})
	if err != nil {
		return err
	}
	if a.structured() {
		return a.print(map[string]any{"entities": entities})
	}
	if len(entities) == 0 {
		return nil
	}
	t := &table{columns: []tableColumn{
		{title: "ENTITY", least: 27,
			short: func(id string) string { return inspect.ShortEntity(tagger.EntityID(id)) }},
		{title: "NAME", rank: 2, least: 20, spare: 1}, {title: "COMPLETE", fixed: true, spare: 2},
		{title: "TAGS", rank: 1, least: 24}}}
	for _, entity := range entities {
		t.rows = append(t.rows, []string{
			string(entity.ID), entity.Name, yesNo(entity.Complete),
			tagLine(slices.Concat(entity.Low, entity.Orchestrator, entity.High)),
		})
	}
	return a.printTable(t)
}
