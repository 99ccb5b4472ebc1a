package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// explanation is what explain prints for programs.
type explanation struct {
	tagger.Explanation
	Reports []collection.Report `json:"reports,omitempty"` // who says what, the strongest first
}

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain <entity-id>",
		Short: "Say where each tag of an entity comes from, or why there are none",
		Long: `Say for each tag of an entity which source it is from, and which rule made it of what; for an entity without
tags, why there are none. Then, who reports the entity, and if several do, who said what. An entity is named as for "rollcall tags".`,
		Example: `  rollcall explain web
  rollcall explain container_id://3f0c…`,
		Args:              args(1, 1, "one entity ID"),
		ValidArgsFunction: a.completeTagged,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer e.close()
			id, err := e.entityID(args[0])
			if err != nil {
				return err
			}
			x, reports := e.tagger.Explain(id), e.reporters(id)
			if a.structured() {
				if x.Tags == nil {
					x.Tags = []tagger.TagExplanation{}
				}
				if err := a.print(explanation{x, reports}); err != nil {
					return err
				}
			} else if err := errors.Join(a.printExplanation(x), e.printReporters(id, reports)); err != nil {
				return err
			}
			if len(x.Tags) == 0 && !e.runs(id) {
				return notFoundf("%s: %s: %s", id, x.Completeness, x.Reason)
			}
			return nil
		},
	}
}

func (a *app) printExplanation(x tagger.Explanation) error {
	if _, err := fmt.Fprintf(a.out, "%s\n%s: %s\n", clean(string(x.ID)), x.Completeness, clean(x.Reason)); err != nil {
		return err
	}
	if len(x.Tags) == 0 {
		return nil
	}
	hidden := false
	for _, tag := range x.Tags {
		hidden = hidden || tag.HiddenBy != ""
	}
	t := &table{titles: []string{"TAG", "CARDINALITY", "SOURCE", "RULE", "FROM"}, fixed: []bool{false, true, false, false, false}}
	if hidden {
		t.titles, t.fixed = append(t.titles, "HIDDEN BY"), append(t.fixed, false)
	}
	for _, tag := range x.Tags {
		level := tag.Cardinality
		if tag.Standard {
			level += ", standard"
		}
		row := []string{tag.Tag, level, tag.Source, tag.Rule, tag.Field}
		if hidden {
			row = append(row, tag.HiddenBy)
		}
		t.rows = append(t.rows, row)
	}
	t.color = func(row, _ int) string {
		if x.Tags[row].HiddenBy != "" {
			return faint
		}
		return ""
	}
	if _, err := fmt.Fprintln(a.out); err != nil {
		return err
	}
	return a.printTable(t)
}
