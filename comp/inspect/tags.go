package inspect

import (
	"context"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Tagged is an entity of the tagger with its tags up to a cardinality. Lists are sorted by bytes,
// and the first three are disjoint.
type Tagged struct {
	ID           tagger.EntityID     `json:"id"`
	Name         string              `json:"name,omitempty"`
	Low          []string            `json:"low"`
	Orchestrator []string            `json:"orchestrator"`
	High         []string            `json:"high"`
	Standard     []string            `json:"standard"`
	Complete     bool                `json:"complete"`
	Sources      map[string][]string `json:"sources"` // before priorities are applied
	// Note says in a line why there are no tags, or whose they are.
	Note string `json:"note,omitempty"`
}

// Tags implements [Inspector].
func (l *Local) Tags(ctx context.Context, r TagsRequest) ([]Tagged, error) {
	if err := l.ready(ctx); err != nil {
		return nil, err
	}
	var excluded map[tagger.EntityID]bool
	if !r.All {
		var err error
		if excluded, err = l.excluded(ctx); err != nil {
			return nil, err
		}
	}
	list := []Tagged{}
	for _, entity := range l.opts.Tagger.List() {
		if !excluded[entity.ID] && !tagless(entity) {
			list = append(list, tagged(entity, r.Cardinality, l.nameOfTagged(entity)))
		}
	}
	slices.SortFunc(list, func(a, b Tagged) int {
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return list, nil
}

// tagless reports whether an entity is known to have no tags. Lists leave it out.
func tagless(entity tagger.Entity) bool {
	return len(entity.LowCardTags)+len(entity.OrchestratorCardTags)+len(entity.HighCardTags) == 0
}

// nameOfTagged is what people call an entity of the tagger, also after its end.
func (l *Local) nameOfTagged(entity tagger.Entity) string {
	if workload, ok := l.workload(entity.ID); ok {
		return NameOf(workload)
	}
	if entity.ID.Prefix() == tagger.PrefixKubernetesPod {
		if pod, err := l.opts.Store.GetKubernetesPod(entity.ID.ID()); err == nil {
			return NameOf(pod) // under its other UID
		}
	}
	for _, tag := range entity.HighCardTags {
		if name, ok := strings.CutPrefix(tag, "container_name:"); ok {
			return name
		}
	}
	return ""
}

// workload returns what an entity of the tagger stands for, if it is there.
func (l *Local) workload(id tagger.EntityID) (workloadmeta.Entity, bool) {
	workload, ok := extract.WorkloadID(id)
	if !ok {
		return nil, false
	}
	entity, err := l.opts.Store.Get(workload)
	return entity, err == nil
}

// TagsOf implements [Inspector].
func (l *Local) TagsOf(ctx context.Context, r GetRequest) (Tagged, error) {
	if err := l.ready(ctx); err != nil {
		return Tagged{}, err
	}
	t, err := l.resolve(r.Name)
	if err != nil {
		return Tagged{}, err
	}
	entity, err := l.opts.Tagger.GetEntity(t.id)
	if err != nil {
		return Tagged{}, &NotFoundError{Name: Name{Text: string(t.id)},
			Reason: l.opts.Tagger.Explain(t.id).Reason}
	}
	name := ""
	if t.entity != nil {
		name = NameOf(t.entity)
	}
	out := tagged(entity, r.Cardinality, name)
	container := containerOf(t.entity)
	switch {
	case container != "":
		of, containerErr := l.opts.Tagger.GetEntity(container)
		if containerErr == nil {
			out.add(tagged(of, r.Cardinality, ""))
			out.Complete = out.Complete && of.Completeness == tagger.Complete
		}
		out.Note = "a process has the tags of its container, " + string(container)
	case tagless(entity) && t.workload.Kind == workloadmeta.KindHost:
		out.Note = "the tags of the host are at " + string(tagger.GlobalEntityID)
	case tagless(entity):
		out.Note = "no rule makes a tag of anything known about it"
	}
	return out, nil
}

// add adds the tags of another entity.
func (t *Tagged) add(o Tagged) {
	for _, list := range []struct{ to, from *[]string }{{&t.Low, &o.Low},
		{&t.Orchestrator, &o.Orchestrator}, {&t.High, &o.High}, {&t.Standard, &o.Standard}} {
		*list.to = union(*list.to, *list.from)
	}
	for source, tags := range o.Sources {
		t.Sources[source] = union(t.Sources[source], tags)
	}
}

// union returns what is in either list, sorted.
func union(a, b []string) []string {
	all := append(append(make([]string, 0, len(a)+len(b)), a...), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// tagged returns an entity as it is shown, without the levels above a cardinality.
func tagged(entity tagger.Entity, c tagger.TagCardinality, name string) Tagged {
	upTo := func(level tagger.TagCardinality, tags []string) []string {
		if level > c {
			return []string{}
		}
		return union(tags, nil)
	}
	out := Tagged{
		ID: entity.ID, Name: name,
		Low:          upTo(tagger.LowCardinality, entity.LowCardTags),
		Orchestrator: upTo(tagger.OrchestratorCardinality, entity.OrchestratorCardTags),
		High:         upTo(tagger.HighCardinality, entity.HighCardTags),
		Standard:     upTo(tagger.LowCardinality, entity.StandardTags),
		Complete:     entity.Completeness == tagger.Complete,
		Sources:      map[string][]string{},
	}
	for _, s := range entity.Sources {
		out.Sources[s.Source] = union(union(upTo(tagger.LowCardinality, s.Low),
			upTo(tagger.OrchestratorCardinality, s.Orchestrator)),
			upTo(tagger.HighCardinality, s.High))
	}
	return out
}

// SourcesOf names the sources of the strongest priority that say a tag: those it comes from.
func (t Tagged) SourcesOf(tag string) []string {
	var names []string
	best := tagger.PriorityNodeRuntime
	for source, tags := range t.Sources {
		if !slices.Contains(tags, tag) {
			continue
		}
		if p := tagger.SourcePriority(source); p > best {
			best, names = p, nil
		} else if p < best {
			continue
		}
		names = append(names, source)
	}
	slices.Sort(names)
	return names
}
