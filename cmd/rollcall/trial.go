package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// trial is what rules change.
type trial struct {
	Rules      int              `json:"rules"`
	Live       int              `json:"live_entities"`
	Containers []selectedChange `json:"containers"`
	Entities   []entityChange   `json:"entities"`
	Warnings   []collision      `json:"warnings"`
}

// selectedChange is a container that is left out, or not any more.
type selectedChange struct {
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	Change string `json:"change"` // "excluded", "included"
	For    string `json:"for"`    // containers (everything), metrics, logs
	Rule   string `json:"rule,omitempty"`
}

// entityChange is an entity whose tags change.
type entityChange struct {
	ID      tagger.EntityID `json:"id"`
	Name    string          `json:"name,omitempty"`
	Changes []tagChange     `json:"changes"`
}

// tagChange is a tag that changes. Before is empty if there was none, After if there is none.
type tagChange struct {
	Change            string `json:"change"` // "added", "removed", "renamed", "cardinality"
	Before            string `json:"before,omitempty"`
	BeforeCardinality string `json:"before_cardinality,omitempty"`
	After             string `json:"after,omitempty"`
	AfterCardinality  string `json:"after_cardinality,omitempty"`
	Rule              string `json:"rule,omitempty"`
}

// collision is a pair of entities that dropped tags told apart.
type collision struct {
	Entities      [2]tagger.EntityID `json:"entities"`
	Names         [2]string          `json:"names"`
	Cardinalities []string           `json:"cardinalities"`
	Tags          []string           `json:"tags"` // that were dropped and differed
	Rules         []string           `json:"rules"`
}

// withoutRules returns the configuration to compare with.
func (a *app) withoutRules() (*config.Loaded, error) {
	conf, err := a.readConfig()
	if err != nil {
		return nil, err
	}
	if a.rulesFile == "" {
		conf.Config = conf.WithoutRules()
	}
	return conf, nil
}

// try makes the tags of all that is here by other options as well and compares.
func (e *engine) try(ctx context.Context, before extract.Options) (*trial, error) {
	other, err := local.New(e.store,
		local.Options{Extract: before, SelfContainerID: "none", Log: e.app.log()})
	if err != nil {
		return nil, err
	}
	if err := other.Start(ctx); err != nil {
		return nil, err
	}
	defer func() {
		// With its own deadline: Ctrl-C must not leave it running.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := other.Stop(ctx); err != nil {
			e.app.say("%s", oneLine(err.Error()))
		}
	}()
	if err := other.CatchUp(ctx); err != nil {
		return nil, err
	}
	if err := e.tagger.CatchUp(ctx); err != nil {
		return nil, err
	}
	out := &trial{
		Rules: len(e.tagger.Rules().Rules()), Containers: []selectedChange{},
		Entities: []entityChange{}, Warnings: []collision{},
	}
	for entity := range e.store.Containers() {
		out.Containers = append(out.Containers,
			selections(entity, e.store, other.Rules(), e.tagger.Rules())...)
	}
	slices.SortStableFunc(out.Containers,
		func(a, b selectedChange) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
		})

	sets := e.tagSets(other)
	for _, s := range sets {
		if !tagless(s.before) || !tagless(s.after) {
			out.Live++
		}
		if changes := s.changes(other, e.tagger); len(changes) > 0 {
			out.Entities = append(out.Entities, entityChange{s.id, s.name, changes})
		}
	}
	out.Warnings = append(out.Warnings, collisions(sets, e.tagger)...)
	return out, nil
}

// selections says for which purposes a container is left out, or not any more.
func selections(c *workloadmeta.Container, l rules.Lookup, before,
	after *rules.Set) (list []selectedChange) {
	for purpose := rules.Everything; purpose <= rules.Logs; purpose++ {
		was, is := before.Why(c, l, purpose), after.Why(c, l, purpose)
		if was.Excluded == is.Excluded {
			continue
		}
		change := selectedChange{ID: c.ID, Name: c.Name, Change: "included", For: purpose.String(),
			Rule: changed(was.Rule.Label(), is.Rule.Label())}
		if is.Excluded {
			change.Change = "excluded"
		}
		// What is true of everything and by the same rule need not be said again.
		if len(list) == 0 || list[0].For != rules.Everything.String() ||
			list[0].Change != change.Change || list[0].Rule != change.Rule {
			list = append(list, change)
		}
	}
	return list
}

// tagSet is one live entity's tags by both sets of rules.
type tagSet struct {
	id            tagger.EntityID
	name          string
	excluded      bool
	before, after tagger.Entity
}

// tagSets returns the tags of all live entities, sorted by ID.
func (e *engine) tagSets(other *local.Tagger) []tagSet {
	byID := map[tagger.EntityID]*tagSet{}
	note := func(t *local.Tagger, put func(*tagSet, tagger.Entity)) {
		for _, entity := range t.List() {
			workload, live := e.workload(entity.ID)
			if !live && entity.ID != tagger.GlobalEntityID {
				continue
			}
			s := byID[entity.ID]
			if s == nil {
				s = &tagSet{id: entity.ID}
				if live {
					s.name, s.excluded = nameOf(workload), e.excludedBy(workload) != ""
				}
				byID[entity.ID] = s
			}
			put(s, entity)
		}
	}
	note(other, func(s *tagSet, entity tagger.Entity) { s.before = entity })
	note(e.tagger, func(s *tagSet, entity tagger.Entity) { s.after = entity })
	sets := make([]tagSet, 0, len(byID))
	for _, s := range byID {
		sets = append(sets, *s)
	}
	slices.SortFunc(sets, func(a, b tagSet) int { return cmp.Compare(a.id, b.id) })
	return sets
}

// leveled is a tag at a level.
type leveled struct {
	tag   string
	level tagger.TagCardinality
}

func leveledTags(entity tagger.Entity) (list []leveled) {
	for level, tags := range [][]string{entity.LowCardTags, entity.OrchestratorCardTags,
		entity.HighCardTags} {
		for _, tag := range tags {
			list = append(list, leveled{tag, tagger.TagCardinality(level)})
		}
	}
	return list
}

// without returns what is in a and not in b.
func without(a, b []leveled) []leveled {
	return slices.DeleteFunc(slices.Clone(a), func(t leveled) bool { return slices.Contains(b, t) })
}

// changes tells what becomes of an entity's tags, and by which rules.
func (s *tagSet) changes(before, after tagger.Component) (list []tagChange) {
	had, has := leveledTags(s.before), leveledTags(s.after)
	gone, come := without(had, has), without(has, had)
	if len(gone)+len(come) == 0 {
		return nil
	}
	was, is := before.Explain(s.id), after.Explain(s.id)
	used := map[leveled]bool{}
	for _, t := range come {
		c := tagChange{Change: "added", After: t.tag, AfterCardinality: t.level.String()}
		line := lineOf(is, t)
		j := slices.IndexFunc(gone, func(g leveled) bool {
			old := lineOf(was, g)
			return !used[g] && firstText(line.Before, t.tag) == firstText(old.Before, g.tag)
		})
		switch {
		case j >= 0:
			used[gone[j]] = true
			old := lineOf(was, gone[j])
			c.Before, c.BeforeCardinality = gone[j].tag, gone[j].level.String()
			c.Change = "cardinality"
			if c.Before != c.After {
				c.Change = "renamed"
				c.Rule = changed(old.RenamedBy, line.RenamedBy)
			}
			if c.BeforeCardinality != c.AfterCardinality {
				c.Rule = joinRules(c.Rule,
					firstText(changed(old.CardinalityBy, line.CardinalityBy), line.Rule))
			}
		case droppedBy(was, t.tag) != "":
			c.Rule = changed(droppedBy(was, t.tag), "")
		default:
			c.Rule = joinRules(line.Rule, line.RenamedBy, line.CardinalityBy)
		}
		list = append(list, c)
	}
	for _, t := range gone {
		if used[t] {
			continue
		}
		old := lineOf(was, t)
		list = append(list, tagChange{
			Change: "removed", Before: t.tag, BeforeCardinality: t.level.String(),
			Rule: firstText(droppedBy(is, firstText(old.Before, t.tag)), changed(old.Rule, "")),
		})
	}
	slices.SortStableFunc(list, func(a, b tagChange) int {
		return cmp.Compare(firstText(a.Before, a.After), firstText(b.Before, b.After))
	})
	return list
}

// lineOf returns what is known about a visible tag.
func lineOf(x tagger.Explanation, t leveled) tagger.TagExplanation {
	for _, line := range x.Tags {
		if line.Tag == t.tag && line.Cardinality == t.level.String() && line.HiddenBy == "" {
			return line
		}
	}
	return tagger.TagExplanation{}
}

// droppedBy names the rules that drop a tag.
func droppedBy(x tagger.Explanation, tag string) string {
	var by []string
	for _, line := range x.Dropped {
		if line.Tag == tag && !slices.Contains(by, line.DroppedBy) {
			by = append(by, line.DroppedBy)
		}
	}
	return strings.Join(by, "; ")
}

// changed names the rule that counts now, or the one that does no longer.
func changed(before, after string) string {
	if after == "" && before != "" {
		return "no longer " + before
	}
	return after
}

func joinRules(labels ...string) string {
	return strings.Join(slices.DeleteFunc(labels, empty), "; ")
}

// upTo returns the tags up to a level in an order that does not depend on levels.
func upTo(entity tagger.Entity, level tagger.TagCardinality) (tags []string) {
	for _, t := range leveledTags(entity) {
		if t.level <= level {
			tags = append(tags, t.tag)
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// collisions finds entities of one kind that had different tags and would have the same,
// where tags that rules drop made the difference. Of many that become alike the first is
// compared with one of each of the others. What is left out does not count.
func collisions(sets []tagSet, after tagger.Component) []collision {
	var list []collision
	at := map[[2]tagger.EntityID]int{} // in list
	for level := tagger.LowCardinality; level <= tagger.HighCardinality; level++ {
		first := map[string]*tagSet{}             // by kind and tags after
		different := map[string]map[string]bool{} // by the same: the tags before
		for i := range sets {
			s := &sets[i]
			if s.excluded || s.id == tagger.GlobalEntityID {
				continue
			}
			before := strings.Join(upTo(s.before, level), "\x00")
			key := s.id.Prefix() + "\x00" + strings.Join(upTo(s.after, level), "\x00")
			if first[key] == nil {
				first[key], different[key] = s, map[string]bool{before: true}
				continue
			}
			if different[key][before] {
				continue
			}
			different[key][before] = true
			pair := [2]tagger.EntityID{first[key].id, s.id}
			tags, by := blame(first[key], s, level, after)
			if len(tags) == 0 {
				continue // something else made them alike
			}
			j, ok := at[pair]
			if !ok {
				j = len(list)
				at[pair] = j
				list = append(list,
					collision{Entities: pair, Names: [2]string{first[key].name, s.name}})
			}
			c := &list[j]
			c.Cardinalities = append(c.Cardinalities, level.String())
			c.Tags, c.Rules = merge(c.Tags, tags), merge(c.Rules, by)
		}
	}
	return list
}

func merge(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// blame returns the tags in which two entities differed and that rules drop, and the rules.
func blame(a, b *tagSet, level tagger.TagCardinality, after tagger.Component) (tags, by []string) {
	had := [2][]string{upTo(a.before, level), upTo(b.before, level)}
	for i, s := range []*tagSet{a, b} {
		for _, line := range after.Explain(s.id).Dropped {
			if slices.Contains(had[i], line.Tag) && !slices.Contains(had[1-i], line.Tag) {
				tags, by = append(tags, line.Tag), append(by, line.DroppedBy)
			}
		}
	}
	return tags, by
}

// String says it in one line.
func (c collision) String() string {
	name := func(i int) string {
		if c.Names[i] == "" {
			return string(c.Entities[i])
		}
		return c.Names[i] + " (" + shortEntity(c.Entities[i]) + ")"
	}
	return fmt.Sprintf("%s and %s would have the same tags (%s); %s drops what told them apart: %s",
		name(0), name(1), strings.Join(c.Cardinalities, ", "), strings.Join(c.Rules,
			", "), strings.Join(c.Tags, ", "))
}

func shortEntity(id tagger.EntityID) string { return id.Prefix() + "://" + shortID(id.ID()) }

// printTrial prints what rules change for people.
func (a *app) printTrial(r *trial) error {
	if len(r.Containers) > 0 {
		t := &table{titles: []string{"CONTAINER", "NAME", "CHANGE", "RULE"},
			fixed: []bool{true, false, true, false}}
		for _, c := range r.Containers {
			change := c.Change
			if c.For != rules.Everything.String() {
				change += " (" + c.For + ")"
			}
			t.rows = append(t.rows, []string{shortID(c.ID), c.Name, change, c.Rule})
		}
		if err := a.printTable(t); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.out); err != nil {
			return err
		}
	}
	if len(r.Entities) > 0 {
		t := &table{titles: []string{"ENTITY", "CHANGE", "TAG", "CARDINALITY", "RULE"},
			fixed: []bool{false, true, false, true, false}}
		for _, entity := range r.Entities {
			who := cmp.Or(entity.Name, shortEntity(entity.ID))
			for _, c := range entity.Changes {
				t.rows = append(t.rows,
					[]string{who, c.Change, arrow(c.Before, c.After),
						arrow(c.BeforeCardinality, c.AfterCardinality), c.Rule})
			}
		}
		t.color = func(row, column int) string {
			if column != 1 {
				return ""
			}
			return map[string]string{"added": green, "removed": red}[t.rows[row][1]]
		}
		if err := a.printTable(t); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.out); err != nil {
			return err
		}
	}
	for _, w := range r.Warnings {
		if _, err := fmt.Fprintln(a.out, "warning: "+clean(w.String())); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.out,
		"%d rules; containers with a change: %d; entities with other tags: %d of %d; warnings: %d\n",
		r.Rules, len(r.Containers), len(r.Entities), r.Live, len(r.Warnings))
	return err
}

// arrow writes a change of a text.
func arrow(before, after string) string {
	switch {
	case before == "" || before == after:
		return after
	case after == "":
		return before
	}
	return before + " → " + after
}
