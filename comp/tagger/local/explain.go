package local

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// workloadID returns the workload that a tagger entity stands for.
func workloadID(id tagger.EntityID) (workloadmeta.EntityID, bool) {
	for _, kind := range workloadmeta.Kinds() {
		if prefix := extract.TaggerID(workloadmeta.EntityID{Kind: kind,
			ID: "x"}).Prefix(); prefix == id.Prefix() {
			return workloadmeta.EntityID{Kind: kind, ID: id.ID()}, true
		}
	}
	return workloadmeta.EntityID{}, false
}

// Explain implements [tagger.Component]. The rules are found by making the tags anew
// from what the store knows; for an entity that is gone only the sources can be named.
func (t *Tagger) Explain(id tagger.EntityID) tagger.Explanation {
	out := tagger.Explanation{ID: id, Completeness: t.tags.Completeness(id).String()}
	workload, isWorkload := workloadID(id)
	var entity workloadmeta.Entity
	if isWorkload {
		entity, _ = t.store.Get(workload)
		out.Waiting = t.waitingFor(workload)
	}
	out.Selection = t.selection(entity)
	known, err := t.tags.GetEntity(id)
	out.Reason = t.reason(id, workload, entity, err)
	traced := t.trace(id, entity)
	out.Dropped = dropped(traced, id)
	if err != nil && len(out.Dropped) > 0 {
		out.Reason = "rules drop all of its tags"
	}
	if err != nil {
		return out
	}
	for _, src := range known.Sources {
		for _, level := range []struct {
			c    tagger.TagCardinality
			tags []string
		}{{tagger.LowCardinality, src.Low}, {tagger.OrchestratorCardinality, src.Orchestrator},
			{tagger.HighCardinality, src.High}} {
			for _, tag := range level.tags {
				line := tagger.TagExplanation{
					Tag: tag, Cardinality: level.c.String(), Source: src.Source,
					Standard: level.c == tagger.LowCardinality &&
						slices.Contains(src.Standard, tag),
					HiddenBy: hiddenBy(known.Sources, src.Source, tag),
				}
				ruleOf(&line, traced, id, level.c)
				out.Tags = append(out.Tags, line)
			}
		}
	}
	slices.SortStableFunc(out.Tags,
		func(a, b tagger.TagExplanation) int { return tagset.Compare(a.Tag, b.Tag) })
	return out
}

// trace returns where the tags of an entity come from: itself, and for a container its
// pod or task; for the global entity, the host and the tasks. entity is nil if the store
// does not have it.
func (t *Tagger) trace(id tagger.EntityID, entity workloadmeta.Entity) []extract.Traced {
	var makers []workloadmeta.Entity
	switch {
	case id == tagger.GlobalEntityID:
		makers = slices.AppendSeq(makers, t.store.List(workloadmeta.KindHost))
		makers = slices.AppendSeq(makers, t.store.List(workloadmeta.KindECSTask))
	case entity != nil:
		makers = append(makers, entity)
		if parent := t.parent(entity); parent != nil {
			makers = append(makers, parent)
		}
	}
	var traced []extract.Traced
	for _, maker := range makers {
		tags, _ := t.x.Explain(maker, t.store)
		traced = append(traced, tags...)
	}
	return traced
}

// parent returns the pod or task that a container belongs to, nil if there is none.
func (t *Tagger) parent(entity workloadmeta.Entity) workloadmeta.Entity {
	c, ok := entity.(*workloadmeta.Container)
	if !ok {
		return nil
	}
	if c.Owner != nil {
		if owner, err := t.store.Get(*c.Owner); err == nil {
			return owner
		}
	}
	if pod, err := t.store.GetKubernetesPodForContainer(c.ID); err == nil {
		return pod
	}
	return nil
}

// ruleOf fills in which rules made a tag of what, and what others did to it.
func ruleOf(line *tagger.TagExplanation, traced []extract.Traced, id tagger.EntityID,
	c tagger.TagCardinality) {
	if line.Source == tagger.SourceStatic {
		line.Rule = "static tag"
		return
	}
	var made, fields []string
	for _, tr := range traced {
		if tr.Entity != id || tr.Source != line.Source || tr.Tag != line.Tag ||
			tr.Cardinality != c || tr.DroppedBy != nil {
			continue
		}
		if !slices.Contains(made, tr.Rule) {
			made = append(made, tr.Rule)
			fields = append(fields, tr.Field)
		}
		if tr.RenamedBy != nil {
			line.Before, line.RenamedBy = tr.Before, tr.RenamedBy.Label()
		}
		if tr.LeveledBy != nil {
			line.CardinalityBy = tr.LeveledBy.Label()
		}
	}
	line.Rule, line.Field = strings.Join(made, "; "), strings.Join(fields, "; ")
}

// dropped returns the tags of an entity that rules drop.
func dropped(traced []extract.Traced, id tagger.EntityID) []tagger.TagExplanation {
	var list []tagger.TagExplanation
	for _, tr := range traced {
		if tr.Entity != id || tr.DroppedBy == nil {
			continue
		}
		line := tagger.TagExplanation{
			Tag: tr.Tag, Cardinality: tr.Cardinality.String(), Standard: tr.Standard,
			Source: tr.Source,
			Rule:   tr.Rule, Field: tr.Field, DroppedBy: tr.DroppedBy.Label(),
		}
		if !slices.Contains(list, line) {
			list = append(list, line)
		}
	}
	slices.SortStableFunc(list,
		func(a, b tagger.TagExplanation) int { return tagset.Compare(a.Tag, b.Tag) })
	return list
}

// selection says whether a container is left out, if any rule has to do with it.
func (t *Tagger) selection(entity workloadmeta.Entity) *tagger.Selection {
	if _, ok := entity.(*workloadmeta.Container); !ok {
		return nil
	}
	v := t.x.Rules().Why(entity, t.store, rules.Everything)
	s := &tagger.Selection{Excluded: v.Excluded, Rule: v.Rule.Label()}
	for _, purpose := range []rules.Purpose{rules.Metrics, rules.Logs} {
		if alone := t.x.Rules().Why(entity, t.store, purpose); alone.Excluded && !v.Excluded {
			if s.ExcludedFrom == nil {
				s.ExcludedFrom = map[string]string{}
			}
			s.ExcludedFrom[purpose.String()] = alone.Rule.Label()
		}
	}
	if v.Rule == nil && s.ExcludedFrom == nil && !t.x.Rules().Selects() {
		return nil
	}
	return s
}

func hiddenBy(sources []tagger.SourceTags, source, tag string) string {
	name := tagset.Name(tag)
	for _, other := range sources {
		if tagger.SourcePriority(other.Source) <= tagger.SourcePriority(source) {
			continue
		}
		if slices.ContainsFunc(other.All(), func(t string) bool { return tagset.Name(t) == name }) {
			return other.Source
		}
	}
	return ""
}

// waitingFor names the sources that are expected to report the entity and have not.
func (t *Tagger) waitingFor(id workloadmeta.EntityID) []string {
	expecting, ok := t.store.(interface {
		Expected(workloadmeta.Kind) []workloadmeta.Source
	})
	if !ok {
		return nil
	}
	views, _ := t.store.Views(id)
	var missing []string
	for _, source := range expecting.Expected(id.Kind) {
		if !slices.ContainsFunc(views,
			func(v workloadmeta.View) bool { return v.Source == source }) {
			missing = append(missing, string(source))
		}
	}
	return missing
}

// unknownOwner says what a container belongs to that is not completely known, and why not.
func (t *Tagger) unknownOwner(entity workloadmeta.Entity) string {
	c, ok := entity.(*workloadmeta.Container)
	if !ok || c.Owner == nil {
		return "what it belongs to (its pod or task) is not completely known yet"
	}
	reason := fmt.Sprintf("%s, which it belongs to, is not completely known yet", c.Owner)
	if t.opts.Missing != nil {
		if why := t.opts.Missing(c.Owner.Kind); why != "" {
			reason += ": " + why
		}
	}
	return reason
}

// reason says in one line why the entity is in its state.
func (t *Tagger) reason(id tagger.EntityID, workload workloadmeta.EntityID,
	entity workloadmeta.Entity, err error) string {
	switch c := t.tags.Completeness(id); {
	case c == tagger.Expired && err == nil:
		until, _ := t.tags.Withdrawn(id)
		return fmt.Sprintf(
			"it is gone; its last tags are kept until %s, so that late telemetry is still tagged",
			until.UTC().Format(time.RFC3339))
	case c == tagger.Expired:
		return fmt.Sprintf("it is gone and its tags have been forgotten: %v", err)
	case c == tagger.Complete:
		return "every source that is expected to know it has reported it"
	case c == tagger.Partial && len(t.waitingFor(workload)) > 0:
		return "not reported yet by " + strings.Join(t.waitingFor(workload), ", ")
	case c == tagger.Partial:
		return t.unknownOwner(entity)
	}
	if _, parseErr := tagger.ParseEntityID(string(id)); parseErr != nil {
		return parseErr.Error()
	}
	if entity != nil {
		views, _ := t.store.Views(workload)
		sources := make([]string, len(views))
		for i, v := range views {
			sources[i] = string(v.Source)
		}
		return fmt.Sprintf(
			"%s is running (reported by %s), but no rule makes a tag of anything known about it",
			workload, strings.Join(sources, ", "))
	}
	if workload.Kind == 0 {
		return "nothing has given it any tags"
	}
	reason := "no collector has reported it, and it is not among those remembered after their end"
	if t.opts.Missing != nil {
		if why := t.opts.Missing(workload.Kind); why != "" {
			reason += "; " + why
		}
	}
	return reason
}
