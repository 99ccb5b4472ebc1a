package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// RulesDiff is what rules change.
type RulesDiff struct {
	Rules      int               `json:"rules"`
	Live       int               `json:"live_entities"`
	Containers []SelectionChange `json:"containers"`
	Entities   []EntityChange    `json:"entities"`
	Warnings   []Conflict        `json:"warnings"`
	// Idle are the rules in effect that do nothing here.
	Idle []IdleRule `json:"idle_rules,omitempty"`
}

// IdleRule is a rule that does nothing here, and why.
type IdleRule struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

// SelectionChange is a container that is left out, or not any more.
type SelectionChange struct {
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	Change string `json:"change"` // "excluded", "included"
	For    string `json:"for"`    // containers (everything), metrics, logs
	Rule   string `json:"rule,omitempty"`
}

// EntityChange is an entity whose tags change.
type EntityChange struct {
	ID      tagger.EntityID `json:"id"`
	Name    string          `json:"name,omitempty"`
	Changes []TagChange     `json:"changes"`
}

// TagChange is a tag that changes. Before is empty if there was none, After if there is none.
type TagChange struct {
	Change            string `json:"change"` // "added", "removed", "renamed", "cardinality"
	Before            string `json:"before,omitempty"`
	BeforeCardinality string `json:"before_cardinality,omitempty"`
	After             string `json:"after,omitempty"`
	AfterCardinality  string `json:"after_cardinality,omitempty"`
	Rule              string `json:"rule,omitempty"`
}

// Conflict is a pair of entities that dropped tags told apart.
type Conflict struct {
	Entities      [2]tagger.EntityID `json:"entities"`
	Names         [2]string          `json:"names"`
	Cardinalities []string           `json:"cardinalities"`
	Tags          []string           `json:"tags"` // that were dropped and differed
	Rules         []string           `json:"rules"`
}

// RulesDiff implements [Inspector]: it makes the tags of all that is here by the other options as
// well and compares.
func (l *Local) RulesDiff(ctx context.Context, r RulesDiffRequest) (RulesDiff, error) {
	if err := l.ready(ctx); err != nil {
		return RulesDiff{}, err
	}
	other, err := local.New(l.opts.Store, local.Options{Extract: r.Before, SelfContainerID: "none",
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return RulesDiff{}, err
	}
	if err := other.Start(ctx); err != nil {
		return RulesDiff{}, err
	}
	out, err := l.compare(ctx, other)
	// With its own deadline: Ctrl-C must not leave it running.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return out, errors.Join(err, other.Stop(ctx))
}

// stopTimeout bounds how long a tagger is waited for that was made for one answer.
const stopTimeout = 5 * time.Second

// compare compares the rules in effect with those of another tagger.
func (l *Local) compare(ctx context.Context, other *local.Tagger) (RulesDiff, error) {
	for _, t := range []*local.Tagger{other, l.opts.Tagger} {
		if err := t.CatchUp(ctx); err != nil {
			return RulesDiff{}, err
		}
	}
	out := RulesDiff{
		Rules:      len(l.opts.Tagger.Rules().Rules()),
		Containers: []SelectionChange{}, Entities: []EntityChange{}, Warnings: []Conflict{},
	}
	for entity := range l.opts.Store.Containers() {
		out.Containers = append(out.Containers, selections(entity, l.opts.Store, other.Rules(),
			l.opts.Tagger.Rules())...)
	}
	slices.SortStableFunc(out.Containers, func(a, b SelectionChange) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})

	sets := l.tagSets(other)
	for _, s := range sets {
		if !tagless(s.before) || !tagless(s.after) {
			out.Live++
		}
		if changes := s.changes(other, l.opts.Tagger); len(changes) > 0 {
			out.Entities = append(out.Entities, EntityChange{s.id, s.name, changes})
		}
	}
	out.Warnings = append(out.Warnings, conflicts(sets, l.opts.Tagger)...)
	out.Idle = l.idleRules()
	return out, nil
}

// selections says for which purposes a container is left out, or not any more.
func selections(c *workloadmeta.Container, l rules.Lookup, before,
	after *rules.Set) (list []SelectionChange) {
	for purpose := rules.Everything; purpose <= rules.Logs; purpose++ {
		was, is := before.Why(c, l, purpose), after.Why(c, l, purpose)
		if was.Excluded == is.Excluded {
			continue
		}
		change := SelectionChange{ID: c.ID, Name: c.Name, Change: "included", For: purpose.String(),
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
func (l *Local) tagSets(other *local.Tagger) []tagSet {
	byID := map[tagger.EntityID]*tagSet{}
	note := func(t *local.Tagger, put func(*tagSet, tagger.Entity)) {
		for _, entity := range t.List() {
			workload, live := l.workload(entity.ID)
			if !live && entity.ID != tagger.GlobalEntityID {
				continue
			}
			s := byID[entity.ID]
			if s == nil {
				s = &tagSet{id: entity.ID}
				if live {
					s.name, s.excluded = NameOf(workload), l.excludedBy(workload) != ""
				}
				byID[entity.ID] = s
			}
			put(s, entity)
		}
	}
	note(other, func(s *tagSet, entity tagger.Entity) { s.before = entity })
	note(l.opts.Tagger, func(s *tagSet, entity tagger.Entity) { s.after = entity })
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
func (s *tagSet) changes(before, after tagger.Component) (list []TagChange) {
	had, has := leveledTags(s.before), leveledTags(s.after)
	gone, come := without(had, has), without(has, had)
	if len(gone)+len(come) == 0 {
		return nil
	}
	was, is := before.Explain(s.id), after.Explain(s.id)
	used := map[leveled]bool{}
	for _, t := range come {
		c := TagChange{Change: "added", After: t.tag, AfterCardinality: t.level.String()}
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
		list = append(list, TagChange{
			Change: "removed", Before: t.tag, BeforeCardinality: t.level.String(),
			Rule: firstText(droppedBy(is, firstText(old.Before, t.tag)), changed(old.Rule, "")),
		})
	}
	slices.SortStableFunc(list, func(a, b TagChange) int {
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
	return strings.Join(slices.DeleteFunc(labels, func(s string) bool { return s == "" }), "; ")
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

// conflicts finds entities of one kind that had different tags and would have the same,
// where tags that rules drop made the difference. Of many that become alike the first is
// compared with one of each of the others. What is left out does not count.
func conflicts(sets []tagSet, after tagger.Component) []Conflict {
	var list []Conflict
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
			tags, by := droppedDifferences(first[key], s, level, after)
			if len(tags) == 0 {
				continue // something else made them alike
			}
			j, ok := at[pair]
			if !ok {
				j = len(list)
				at[pair] = j
				list = append(list,
					Conflict{Entities: pair, Names: [2]string{first[key].name, s.name}})
			}
			c := &list[j]
			c.Cardinalities = append(c.Cardinalities, level.String())
			c.Tags, c.Rules = union(c.Tags, tags), union(c.Rules, by)
		}
	}
	return list
}

// droppedDifferences returns the tags in which two entities differed and that rules drop, and the
// rules.
func droppedDifferences(a, b *tagSet, level tagger.TagCardinality, after tagger.Component) (tags,
	by []string) {
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
func (c Conflict) String() string {
	name := func(i int) string {
		if c.Names[i] == "" {
			return string(c.Entities[i])
		}
		return c.Names[i] + " (" + ShortEntity(c.Entities[i]) + ")"
	}
	return fmt.Sprintf("%s and %s would have the same tags (%s); %s drops what told them apart: %s",
		name(0), name(1), strings.Join(c.Cardinalities, ", "), strings.Join(c.Rules,
			", "), strings.Join(c.Tags, ", "))
}

// ShortEntity is what people use of a tagger's ID.
func ShortEntity(id tagger.EntityID) string { return id.Prefix() + "://" + ShortID(id.ID()) }
