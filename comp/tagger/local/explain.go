package local

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/kubenames"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// Explain implements [tagger.Component]. The rules are found by making the tags anew
// from what the store knows; for an entity that is gone only the sources can be named.
func (t *Tagger) Explain(id tagger.EntityID) tagger.Explanation {
	out := tagger.Explanation{ID: id, Completeness: t.tags.Completeness(id).String()}
	workload, isWorkload := extract.WorkloadID(id)
	var entity workloadmeta.Entity
	if isWorkload {
		entity = t.entity(workload)
		if entity != nil {
			workload = entity.GetID()
		}
		out.Waiting = t.waitingFor(workload)
	}
	out.Lacks = t.lacks(entity, "")
	out.Selection = t.selection(entity)
	known, err := t.tags.GetEntity(id)
	traced, problems := t.trace(id, entity)
	out.Dropped = dropped(traced, id)
	if err == nil {
		out.Tags = lines(known, traced)
	}
	switch tagless := len(out.Tags) == 0; {
	case tagless && len(out.Dropped) > 0:
		out.Reason = "rules drop all of its tags"
	case tagless && entity != nil:
		out.Reason = t.untagged(workload)
	default:
		out.Reason = t.reason(id, workload, entity, err)
		if len(out.Lacks) > 0 && out.Completeness == tagger.Complete.String() {
			out.Reason = "every source that could be asked has reported it"
		}
	}
	out.Problems = problemsOf(problems, out.Tags)
	return out
}

// entity returns what the store has of an ID, which for a pod may be its other UID; nil if nothing.
func (t *Tagger) entity(id workloadmeta.EntityID) workloadmeta.Entity {
	if entity, err := t.store.Get(id); err == nil {
		return entity
	}
	if id.Kind == workloadmeta.KindKubernetesPod {
		if pod, err := t.store.GetKubernetesPod(id.ID); err == nil {
			return pod
		}
	}
	return nil
}

// lines explains each tag of each source of an entity.
func lines(known tagger.Entity, traced []extract.Traced) []tagger.TagExplanation {
	origins := map[tagOf][]*extract.Traced{}
	for i := range traced {
		if tr := &traced[i]; tr.Entity == known.ID && tr.DroppedBy == nil {
			key := tagOf{tr.Source, tr.Tag, tr.Cardinality}
			origins[key] = append(origins[key], tr)
		}
	}
	hidden := hiders(known.Sources)
	var out []tagger.TagExplanation
	for _, src := range known.Sources {
		standard := map[string]bool{}
		for _, tag := range src.Standard {
			standard[tag] = true
		}
		for _, level := range []struct {
			c    tagger.TagCardinality
			tags []string
		}{{tagger.LowCardinality, src.Low}, {tagger.OrchestratorCardinality, src.Orchestrator},
			{tagger.HighCardinality, src.High}} {
			for _, tag := range level.tags {
				line := tagger.TagExplanation{
					Tag: tag, Cardinality: level.c.String(), Source: src.Source,
					Standard: level.c == tagger.LowCardinality && standard[tag],
				}
				if by := hidden[tagset.Name(tag)]; tagger.SourcePriority(by) >
					tagger.SourcePriority(src.Source) {
					line.HiddenBy = by
				}
				ruleOf(&line, origins[tagOf{src.Source, tag, level.c}])
				out = append(out, line)
			}
		}
	}
	slices.SortStableFunc(out,
		func(a, b tagger.TagExplanation) int { return tagset.Compare(a.Tag, b.Tag) })
	return out
}

// tagOf is a tag of one source.
type tagOf struct {
	source, tag string
	c           tagger.TagCardinality
}

// hiders returns for each name of a tag the source of the highest priority that has it.
func hiders(sources []tagger.SourceTags) map[string]string {
	by := map[string]string{}
	for _, src := range sources {
		for _, tag := range src.All() {
			name := tagset.Name(tag)
			if have, ok := by[name]; !ok ||
				tagger.SourcePriority(src.Source) > tagger.SourcePriority(have) {
				by[name] = src.Source
			}
		}
	}
	return by
}

// trace returns where the tags of an entity come from, and what of it could not be
// understood. entity is nil if the store does not have it.
func (t *Tagger) trace(id tagger.EntityID, entity workloadmeta.Entity) (traced []extract.Traced,
	problems []extract.Problem) {
	if entity == nil && id != tagger.GlobalEntityID {
		return nil, nil
	}
	t.graphMu.Lock()
	defer t.graphMu.Unlock()
	return t.graph.x.Explain(entity, t.graph)
}

// ruleOf fills in which rules made a tag of what, and what others did to it.
func ruleOf(line *tagger.TagExplanation, origins []*extract.Traced) {
	if line.Source == tagger.SourceStatic {
		line.Rule = "static tag"
		return
	}
	var made, fields []string
	for _, tr := range origins {
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
	seen := map[tagger.TagExplanation]bool{}
	for _, tr := range traced {
		if tr.Entity != id || tr.DroppedBy == nil {
			continue
		}
		line := tagger.TagExplanation{
			Tag: tr.Tag, Cardinality: tr.Cardinality.String(), Standard: tr.Standard,
			Source: tr.Source,
			Rule:   tr.Rule, Field: tr.Field, DroppedBy: tr.DroppedBy.Label(),
		}
		if !seen[line] {
			seen[line] = true
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
	set := t.Rules()
	v := set.Why(entity, t.store, rules.Everything)
	s := &tagger.Selection{Excluded: v.Excluded, Rule: v.Rule.Label()}
	for _, purpose := range []rules.Purpose{rules.Metrics, rules.Logs} {
		if alone := set.Why(entity, t.store, purpose); alone.Excluded && !v.Excluded {
			if s.ExcludedFrom == nil {
				s.ExcludedFrom = map[string]string{}
			}
			s.ExcludedFrom[purpose.String()] = alone.Rule.Label()
		}
	}
	if v.Rule == nil && s.ExcludedFrom == nil && !set.Selects() {
		return nil
	}
	return s
}

// waitingFor names the sources that are expected to report the entity and have not.
func (t *Tagger) waitingFor(id workloadmeta.EntityID) []string {
	views, _ := t.store.Reports(id)
	return slices.DeleteFunc(t.expectedOf(id.Kind), func(source string) bool {
		return slices.ContainsFunc(views,
			func(v workloadmeta.Report) bool { return string(v.Source) == source })
	})
}

// unknownOwner says what a container belongs to that is not completely known, and why not.
func (t *Tagger) unknownOwner(entity workloadmeta.Entity) string {
	c, ok := entity.(*workloadmeta.Container)
	if !ok || c.Owner == nil {
		return "what it belongs to (its pod or task) is not completely known yet"
	}
	reason := fmt.Sprintf("%s, which it belongs to, is not completely known yet", c.Owner)
	if t.opts.Missing != nil {
		if why := t.opts.Missing(c.Owner.Kind, ""); why != "" {
			reason += ": " + why
		}
	}
	return reason
}

// lacking says what keeps an entity from being completely known.
func (t *Tagger) lacking(id workloadmeta.EntityID, entity workloadmeta.Entity) string {
	var list []string
	if waiting := t.waitingFor(id); len(waiting) > 0 {
		list = append(list, "not reported yet by "+strings.Join(waiting, ", "))
	}
	if awaited := t.awaited(entity); awaited != "" {
		list = append(list, awaited)
	}
	if len(list) == 0 {
		return t.unknownOwner(entity)
	}
	return strings.Join(list, "; ")
}

// awaited says what an entity's tags are still to be made of, and who is expected to tell it.
func (t *Tagger) awaited(entity workloadmeta.Entity) string {
	t.graphMu.Lock()
	defer t.graphMu.Unlock()
	var list []string
	for id := range t.graph.x.Awaited(entity, t.graph) {
		what := "its services"
		if id.ID != "" {
			what = id.String()
		}
		list = append(list, what+" (from "+strings.Join(t.expectedOf(id.Kind), ", ")+")")
	}
	if len(list) == 0 {
		return ""
	}
	return "not told yet: " + strings.Join(list, ", ")
}

// lacks says what an entity's tags of a name, or all of them, are made of that cannot be told, and
// why not.
func (t *Tagger) lacks(entity workloadmeta.Entity, name string) (list []string) {
	if t.opts.Missing == nil {
		return nil
	}
	t.graphMu.Lock()
	ids := slices.Collect(t.graph.x.Lacks(name, entity, t.graph))
	t.graphMu.Unlock()
	for _, id := range ids {
		what, resource := "not all of its services may be known", ""
		if id.Kind == workloadmeta.KindKubernetesMetadata {
			object, err := kubenames.ParseMetadataEntityID(id.ID)
			if err != nil {
				continue
			}
			resource = object.Resource
			what = strings.TrimSuffix(resource, "s") + " " + object.Name + " is not known"
		}
		if why := t.opts.Missing(id.Kind, resource); why != "" {
			list = append(list, what+": "+why)
		}
	}
	return list
}

// expectedOf names the sources that are expected to report entities of a kind.
func (t *Tagger) expectedOf(kind workloadmeta.Kind) (names []string) {
	if expecting, ok := t.store.(interface {
		Expected(workloadmeta.Kind) []workloadmeta.Source
	}); ok {
		for _, source := range expecting.Expected(kind) {
			names = append(names, string(source))
		}
	}
	return names
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
	case c == tagger.Partial:
		return t.lacking(workload, entity)
	}
	if _, parseErr := tagger.ParseEntityID(string(id)); parseErr != nil {
		return parseErr.Error()
	}
	if workload.Kind == 0 {
		return "nothing has given it any tags"
	}
	reason := "no collector has reported it, and it is not among those remembered after their end"
	if t.opts.Missing != nil {
		if why := t.opts.Missing(workload.Kind, ""); why != "" {
			reason += "; " + why
		}
	}
	return reason
}

// untagged says that an entity is there and has no tags.
func (t *Tagger) untagged(id workloadmeta.EntityID) string {
	views, _ := t.store.Reports(id)
	sources := make([]string, len(views))
	for i, v := range views {
		sources[i] = string(v.Source)
	}
	return fmt.Sprintf(
		"%s is running (reported by %s), but no rule makes a tag of anything known about it",
		id, strings.Join(sources, ", "))
}

// problemsOf returns what could not be understood of an entity, and standard tags of which
// it has several values.
func problemsOf(problems []extract.Problem, tags []tagger.TagExplanation) []tagger.Problem {
	var out []tagger.Problem
	for _, p := range problems {
		out = append(out, tagger.Problem{Entity: p.Entity.String(), Field: p.Field,
			Problem: p.Err.Error()})
	}
	values := map[string][]string{} // with where they are from
	for _, line := range tags {
		if name := tagset.Name(line.Tag); line.HiddenBy == "" && extract.IsStandard(name) {
			value := strings.TrimPrefix(line.Tag, name+":")
			if from := cmp.Or(line.Rule, line.Source); !slices.ContainsFunc(values[name],
				func(have string) bool { return strings.HasPrefix(have, value+" (") }) {
				values[name] = append(values[name], value+" ("+from+")")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			out = append(out, tagger.Problem{Field: name, Problem: fmt.Sprintf(
				"%d different values: %s", len(values[name]), strings.Join(values[name], ", "))})
		}
	}
	return out
}
