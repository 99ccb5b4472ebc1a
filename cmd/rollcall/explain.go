package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// explanation is what explain prints for programs.
type explanation struct {
	tagger.Explanation
	// Unanswered are collectors that might know of it and could not be asked.
	Unanswered []unanswered          `json:"unanswered,omitempty"`
	Reports    []workloadmeta.Report `json:"reports,omitempty"` // who says what, the strongest first
}

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain <entity-id>",
		Short: "Say where each tag of an entity comes from, or why there are none",
		Long: `Say for each tag of an entity which source it is from, which rule made it of what, and which rules changed it;
which tags rules drop, and whether they leave the entity out; for an entity without tags, why there are none. Then, who reports
the entity, and if several do, who said what. An entity is named as for "rollcall tags".`,
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
			var silent []unanswered
			if workload, ok := workloadOf(id); ok {
				silent = e.unanswered(workload.Kind)
			}
			x.Reason = reasonBeside(silent, &x)
			if a.structured() {
				if x.Tags == nil {
					x.Tags = []tagger.TagExplanation{}
				}
				if err := a.print(explanation{x, silent, reports}); err != nil {
					return err
				}
			} else if err := errors.Join(a.printExplanation(x, silent), e.printReporters(id,
				reports)); err != nil {
				return err
			}
			if len(x.Tags) == 0 && !e.runs(id) {
				return notFoundf("%s: %s: %s", id, x.Completeness, x.Reason)
			}
			return nil
		},
	}
}

// reasonBeside returns why an entity is as complete as it is. The tagger does not know of
// collectors that may not ask.
func reasonBeside(silent []unanswered, x *tagger.Explanation) string {
	if x.Completeness == tagger.Complete.String() && len(silent) > 0 {
		return "every source that could be asked has reported it"
	}
	return x.Reason
}

func (a *app) printExplanation(x tagger.Explanation, silent []unanswered) error {
	if _, err := fmt.Fprintf(a.out, "%s\n%s: %s\n", clean(string(x.ID)), x.Completeness,
		clean(x.Reason)); err != nil {
		return err
	}
	for _, s := range silent {
		if _, err := fmt.Fprintf(a.out, "not known is what %s would say: %s\n", s.Collector,
			clean(oneLine(s.Problem.String()))); err != nil {
			return err
		}
	}
	if err := a.printSelection(x.Selection); err != nil {
		return err
	}
	for _, p := range x.Problems {
		if _, err := fmt.Fprintf(a.out, "problem: %s\n", clean(strings.TrimSpace(p.Entity+" "+
			p.Field+": "+oneLine(p.Problem)))); err != nil {
			return err
		}
	}
	if len(x.Tags) == 0 {
		return a.printDropped(x.Dropped)
	}
	hidden := false
	for _, tag := range x.Tags {
		hidden = hidden || tag.HiddenBy != ""
	}
	t := &table{titles: []string{"TAG", "CARDINALITY", "SOURCE", "RULE", "FROM"},
		fixed: []bool{false, true, false, false, false}}
	if hidden {
		t.titles, t.fixed = append(t.titles, "HIDDEN BY"), append(t.fixed, false)
	}
	for _, tag := range x.Tags {
		level := tag.Cardinality
		if tag.Standard {
			level += ", standard"
		}
		row := []string{tag.Tag, level, tag.Source, story(tag), tag.Field}
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
	if err := a.printTable(t); err != nil {
		return err
	}
	return a.printDropped(x.Dropped)
}

// story is which rule made a tag, and what other rules did to it.
func story(tag tagger.TagExplanation) string {
	text := tag.Rule
	if tag.RenamedBy != "" {
		name, _, _ := strings.Cut(tag.Before, ":")
		text += "; renamed from " + name + " by " + tag.RenamedBy
	}
	if tag.CardinalityBy != "" {
		text += "; cardinality by " + tag.CardinalityBy
	}
	return text
}

// printSelection says whether rules leave the entity out.
func (a *app) printSelection(s *tagger.Selection) error {
	if s == nil {
		return nil
	}
	text := "included: no rule leaves it out"
	switch {
	case s.Excluded:
		text = "excluded by " + s.Rule
	case s.Rule != "":
		text = "included by " + s.Rule
	}
	for _, purpose := range slices.Sorted(maps.Keys(s.ExcludedFrom)) {
		text += "; excluded from " + purpose + " by " + s.ExcludedFrom[purpose]
	}
	_, err := fmt.Fprintln(a.out, clean(text))
	return err
}

// printDropped prints the tags that are not there because rules drop them.
func (a *app) printDropped(list []tagger.TagExplanation) error {
	if len(list) == 0 {
		return nil
	}
	t := &table{titles: []string{"DROPPED", "CARDINALITY", "SOURCE", "RULE", "FROM", "DROPPED BY"},
		fixed: []bool{false, true, false, false, false, false}}
	for _, tag := range list {
		t.rows = append(t.rows,
			[]string{tag.Tag, tag.Cardinality, tag.Source, tag.Rule, tag.Field, tag.DroppedBy})
	}
	if _, err := fmt.Fprintln(a.out); err != nil {
		return err
	}
	return a.printTable(t)
}
