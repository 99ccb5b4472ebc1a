package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (a *app) explainCommand() *cobra.Command {
	var tag, namespace string
	cmd := &cobra.Command{
		Use:   "explain [kind] <id|name> [tag]",
		Short: "Say where each tag of an entity comes from, or why there are none",
		Long: `Say for each tag of an entity which source it is from, which rule made it of what,
and which rules changed it; which tags rules drop, and whether they leave the entity out; for an
entity without tags, why there are none. Then, who reports the entity, and if several do, who
said what. An entity is named as for "rollcall get".

With a tag, or its name, say why the entity has it or not: what could have made it, what of that
there is, which labels, annotations and variables look like what is meant, the rule that dropped
or renamed it, and who has not reported yet.`,
		Example: `  rollcall explain web
  rollcall explain web service
  rollcall explain process 4242
  rollcall explain container_id://3f0c…`,
		Args: func(cmd *cobra.Command, given []string) error {
			most := 3
			switch named := cmd.Flags().Changed("tag"); {
			case named && tag == "":
				return usagef("--tag is empty; want a tag or its name")
			case named:
				most = 2
			}
			return args(1, most, takes(most))(cmd, given)
		},
		ValidArgsFunction: a.completeEntity,
		RunE: func(cmd *cobra.Command, args []string) error {
			parse := parseNameAndTag
			if tag != "" {
				parse = func(args []string, namespace string) (inspect.Name, string, error) {
					name, err := parseName(args, namespace)
					return name, "", err
				}
			}
			name, last, err := parse(args, namespace)
			if err != nil {
				return err
			}
			e, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer e.close()
			x, err := e.ask.Explain(cmd.Context(), inspect.ExplainRequest{Name: name,
				Tag: cmp.Or(tag, last)})
			if err != nil {
				return err
			}
			switch {
			case a.structured():
				err = a.print(x)
			case x.Tag != nil:
				err = a.printTagReason(x.Tag)
			default:
				err = a.printExplanation(x)
			}
			if err == nil && !x.Known {
				return notFoundf("%s: %s: %s", x.ID, x.Completeness, x.Reason)
			}
			return err
		},
	}
	namespaceFlag(cmd, &namespace)
	cmd.Flags().StringVar(&tag, "tag", "",
		"the tag that is asked about, also where the last word could be taken for a name")
	return cmd
}

// takes says what explain can be given, of which at most so many words are left to give.
func takes(most int) string {
	if most == 2 {
		return "a kind, if you like, and an ID or a name, beside --tag"
	}
	return "a kind, if you like, an ID or a name, and a tag, if you like"
}

// parseNameAndTag takes apart what explain is asked about. A kind comes first, if there is one.
func parseNameAndTag(args []string, namespace string) (name inspect.Name, tag string,
	err error) {
	last := len(args) - 1
	_, noKind := inspect.ParseClass(args[0])
	switch {
	case last == 2 && noKind != nil:
		return name, "", usagef("explain: want %s; of three words the first is the kind: %w",
			takes(3), noKind)
	case last == 2 || last == 1 && noKind != nil:
		if args, tag = args[:last], args[last]; tag == "" {
			return name, "", usagef("the tag is empty; want a tag or its name, or nothing")
		}
	}
	name, err = parseName(args, namespace)
	return name, tag, err
}

func (a *app) printTagReason(r *tagger.TagReason) error {
	p := &printer{w: a.out}
	p.line("%s", r.ID)
	p.line("%s: %s", r.Tag, r.Reason)
	p.table(a, tagsTable(r.Has))
	p.table(a, droppedTable(r.Dropped))
	of := func(entity string) string {
		if _, id, _ := strings.Cut(entity, "/"); id == r.ID.ID() {
			return "" // itself
		}
		return entity
	}
	t := &table{columns: []tableColumn{{title: "COULD BE MADE BY", rank: 1, least: 30},
		{title: "OF", spare: 1}, {title: "FOUND", rank: 2}}}
	for _, way := range r.Ways {
		t.rows = append(t.rows, []string{way.Rule, of(way.Entity), way.Found})
	}
	p.table(a, t)
	t = &table{columns: []tableColumn{{title: "LOOKS LIKE", rank: 2}, {title: "OF", spare: 1},
		{title: "WHAT IS MEANT", rank: 1}}}
	for _, near := range r.Near {
		t.rows = append(t.rows, []string{near.Field, of(near.Entity), near.Want})
	}
	p.table(a, t)
	return p.err
}

// printer writes lines and remembers the first failure.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, clean(fmt.Sprintf(format, args...)))
	}
}

// table writes a table behind an empty line, if it has rows.
func (p *printer) table(a *app, t *table) {
	if p.err == nil && len(t.rows) > 0 {
		if _, p.err = fmt.Fprintln(p.w); p.err == nil {
			p.err = a.printTable(t)
		}
	}
}

func (a *app) printExplanation(x inspect.Explanation) error {
	p := &printer{w: a.out}
	p.line("%s", x.ID)
	p.line("%s: %s", x.Completeness, x.Reason)
	for _, s := range x.Silent {
		p.line("not known is what %s would say: %s", s.Collector, oneLine(s.Problem.String()))
	}
	for _, lack := range x.Lacks {
		p.line("%s", oneLine(lack))
	}
	if text := selectionText(x.Selection); text != "" {
		p.line("%s", text)
	}
	for _, problem := range x.Problems {
		p.line("problem: %s", strings.TrimSpace(problem.Entity+" "+problem.Field+": "+
			oneLine(problem.Problem)))
	}
	for _, note := range x.Notes {
		p.line("%s", note)
	}
	if f := x.Forgotten; f != nil {
		p.line("withdrawn at %s: %s (%s lost its daemon at %s)", f.At.Format(time.RFC3339),
			f.Reason,
			f.Reporter, f.Away.Format(time.RFC3339))
	}
	p.table(a, tagsTable(x.Tags))
	p.table(a, droppedTable(x.Dropped))
	if len(x.Reports) > 0 {
		names := make([]string, len(x.Reports))
		for i, r := range x.Reports {
			if names[i] = r.Name; r.State != workloadmeta.Live {
				names[i] += " (" + r.State.String() + ")"
			}
		}
		p.line("")
		p.line("reported by %s", strings.Join(names, ", "))
	}
	if len(x.Agreed) > 0 {
		p.line("all agree on %s", strings.Join(x.Agreed, ", "))
	}
	t := &table{columns: []tableColumn{{title: "FIELD", fixed: true}, {title: "VALUE", rank: 1},
		{title: "SAID BY", fixed: true}, {title: "OTHERS SAY"}}}
	for _, s := range x.Said {
		by := strings.Join(s.By, ", ")
		if by == "" {
			by = "together" // made of what several say
		}
		t.rows = append(t.rows, []string{s.Field, s.Value, by, strings.Join(s.Others, "; ")})
	}
	p.table(a, t)
	if x.Container != nil {
		p.line("")
		p.line("It runs in a container, whose tags it has:")
		p.line("")
		if p.err == nil {
			p.err = a.printExplanation(*x.Container)
		}
	}
	return p.err
}

// tagsTable is the table of an entity's tags. The tags keep their room longest.
func tagsTable(tags []tagger.TagExplanation) *table {
	t := &table{columns: []tableColumn{{title: "TAG", rank: 2, least: 40},
		{title: "CARDINALITY", fixed: true},
		{title: "SOURCE", cut: cutFront, least: 12, spare: 1},
		{title: "RULE", rank: 1, least: 16}, {title: "FROM", least: 12, spare: 2}}}
	hidden := slices.ContainsFunc(tags,
		func(tag tagger.TagExplanation) bool { return tag.HiddenBy != "" })
	if hidden {
		t.columns = append(t.columns, tableColumn{title: "HIDDEN BY", cut: cutFront, least: 12})
	}
	for _, tag := range tags {
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
		if tags[row].HiddenBy != "" {
			return faint
		}
		return ""
	}
	return t
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

// selectionText says whether rules leave the entity out.
func selectionText(s *tagger.Selection) string {
	if s == nil {
		return ""
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
	return text
}

// droppedTable is the table of the tags that are not there because rules drop them.
func droppedTable(list []tagger.TagExplanation) *table {
	t := &table{columns: []tableColumn{{title: "DROPPED", rank: 2, least: 24},
		{title: "CARDINALITY", fixed: true, spare: 3},
		{title: "SOURCE", cut: cutFront, least: 12, spare: 2}, {title: "RULE", spare: 2},
		{title: "FROM", spare: 2}, {title: "DROPPED BY", cut: cutNone, rank: 1, least: 24}}}
	for _, tag := range list {
		t.rows = append(t.rows,
			[]string{tag.Tag, tag.Cardinality, tag.Source, tag.Rule, tag.Field, tag.DroppedBy})
	}
	return t
}
