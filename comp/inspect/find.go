package inspect

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// target is what a [Name] turned out to mean.
type target struct {
	id       tagger.EntityID
	workload workloadmeta.EntityID // zero: id stands for no workload
	entity   workloadmeta.Entity   // nil: the store does not have it
}

func targetOf(entity workloadmeta.Entity) target {
	return target{extract.TaggerID(entity.GetID()), entity.GetID(), entity}
}

// Get implements [Inspector].
func (l *Local) Get(ctx context.Context, r GetRequest) (Entity, error) {
	if err := l.ready(ctx); err != nil {
		return Entity{}, err
	}
	t, err := l.resolve(r.Name)
	if err != nil {
		return Entity{}, err
	}
	if t.entity == nil {
		return Entity{}, l.notFound(Name{Kind: t.workload.Kind,
			Text: cmp.Or(t.workload.ID, string(t.id))})
	}
	reports, _ := l.opts.Store.Reports(t.workload)
	return l.shown(t.entity, reports, r.Cardinality), nil
}

// resolve finds out what somebody means. What has an ID in full need not be there.
func (l *Local) resolve(name Name) (target, error) {
	switch {
	case name.Text == "":
		return target{}, invalidf(
			"the ID or name is empty; want <prefix>://<id>, an ID or a name")
	case strings.Contains(name.Text, "://"):
		return l.byID(name.Text)
	case name.Kind != 0:
		return l.byName(name, []workloadmeta.Kind{name.Kind})
	}
	t, err := l.byName(name, searchOrder())
	if missing := (*NotFoundError)(nil); !errors.As(err, &missing) {
		return t, err
	}
	// "process/4242": as answers show it, and as it can be told from what has the same name.
	if first, rest, ok := strings.Cut(name.Text, "/"); ok && rest != "" {
		if class, classErr := ParseClass(first); classErr == nil {
			return l.byName(Name{class.Kind, class.Resource, rest},
				[]workloadmeta.Kind{class.Kind})
		}
	}
	return t, err
}

// searchOrder are the kinds in the order in which a name is looked for.
func searchOrder() []workloadmeta.Kind {
	order := []workloadmeta.Kind{workloadmeta.KindContainer, workloadmeta.KindKubernetesPod,
		workloadmeta.KindECSTask, workloadmeta.KindKubernetesDeployment,
		workloadmeta.KindContainerImage, workloadmeta.KindProcess}
	for _, kind := range workloadmeta.Kinds() {
		if !slices.Contains(order, kind) {
			order = append(order, kind)
		}
	}
	return order
}

// byID finds the entity of an ID of the tagger or of a service.
func (l *Local) byID(text string) (target, error) {
	id, err := tagger.ParseEntityID(text)
	if err != nil {
		if id = serviceEntity(text); id == "" {
			return target{}, &InvalidError{err}
		}
	}
	t := target{id: id}
	var isWorkload bool
	if t.workload, isWorkload = extract.WorkloadID(id); !isWorkload {
		return t, nil
	}
	if t.entity, err = l.opts.Store.Get(t.workload); err == nil {
		return t, nil
	}
	t.entity = nil
	if t.workload.Kind == workloadmeta.KindKubernetesPod {
		if pod, err := l.opts.Store.GetKubernetesPod(t.workload.ID); err == nil {
			return targetOf(pod), nil // under its other UID
		}
	}
	if id.Prefix() == tagger.PrefixContainer && l.completeness(id) == tagger.Unknown {
		// People copy short IDs.
		if c, err := l.opts.Store.GetContainerByPrefix(id.ID()); err == nil {
			return targetOf(c), nil
		}
	}
	return t, nil
}

func (l *Local) completeness(id tagger.EntityID) tagger.Completeness {
	_, known, _ := l.opts.Tagger.TagWithCompleteness(id, tagger.LowCardinality)
	return known
}

// serviceEntity returns the entity whose tags a service has, "" if the text names no service.
func serviceEntity(text string) tagger.EntityID {
	s, err := tagger.ParseServiceID(text)
	if err != nil || s.Kind == tagger.ServiceContainer && s.Runtime != "container" &&
		!slices.Contains([]workloadmeta.ContainerRuntime{workloadmeta.RuntimeDocker,
			workloadmeta.RuntimeContainerd, workloadmeta.RuntimePodman, workloadmeta.RuntimeCRIO,
			workloadmeta.RuntimeGarden, workloadmeta.RuntimeECSFargate},
			workloadmeta.ContainerRuntime(s.Runtime)) {
		return ""
	}
	id, _ := s.TaggerEntity()
	return id
}

// byName finds what is called this among the kinds: by its ID first, then by its name in the first
// kind that has it, then by the first characters of its ID.
func (l *Local) byName(name Name, kinds []workloadmeta.Kind) (target, error) {
	wanted := Class{name.Kind, name.Resource}
	for _, kind := range kinds {
		if entity, err := l.opts.Store.Get(
			workloadmeta.EntityID{Kind: kind, ID: wanted.prefix() + name.Text}); err == nil {
			return targetOf(entity), nil
		}
	}
	matchers := []func(workloadmeta.Entity) bool{
		func(e workloadmeta.Entity) bool { return slices.Contains(namesOf(e), name.Text) },
		func(e workloadmeta.Entity) bool {
			id := e.GetID()
			return len(name.Text) >= workloadmeta.MinIDPrefix &&
				id.Kind != workloadmeta.KindProcess &&
				strings.HasPrefix(strings.TrimPrefix(id.ID, digestPrefix),
					strings.TrimPrefix(name.Text, digestPrefix))
		},
	}
	for _, matches := range matchers {
		for _, kind := range kinds {
			var found []workloadmeta.Entity
			if kind == workloadmeta.KindProcess && isNumber(name.Text) {
				continue // a process ID, which nothing has
			}
			for entity := range l.opts.Store.List(kind) {
				if matches(entity) && (name.Kind == 0 || wanted.Has(entity)) {
					found = append(found, entity)
				}
			}
			switch len(found) {
			case 0:
			case 1:
				return targetOf(found[0]), nil
			default:
				return target{}, ambiguous(Name{kind, name.Resource, name.Text}, found)
			}
		}
	}
	if gone := l.gone(name); len(gone) == 1 {
		workload, _ := extract.WorkloadID(gone[0])
		return target{id: gone[0], workload: workload}, nil
	} else if len(gone) > 1 {
		e := &AmbiguousError{Name: name, Count: len(gone)}
		for _, id := range gone[:min(len(gone), mostCandidates)] {
			e.Candidates = append(e.Candidates, string(id))
		}
		return target{}, e
	}
	return target{}, l.notFound(name)
}

// gone returns the containers and pods that are called this, are gone, and still have tags.
func (l *Local) gone(name Name) (list []tagger.EntityID) {
	for _, known := range l.opts.Tagger.List() {
		workload, ok := extract.WorkloadID(known.ID)
		if !ok || name.Kind != 0 && name.Kind != workload.Kind {
			continue
		}
		isContainer := workload.Kind == workloadmeta.KindContainer
		if workload.ID == name.Text || isContainer &&
			(slices.Contains(known.HighCardTags, "container_name:"+name.Text) ||
				len(name.Text) >= workloadmeta.MinIDPrefix &&
					strings.HasPrefix(workload.ID, name.Text)) {
			list = append(list, known.ID)
		}
	}
	return list
}

// mostCandidates is how many of the entities that answer to one name are listed.
const mostCandidates = 10

func ambiguous(name Name, found []workloadmeta.Entity) error {
	seen := map[string]int{}
	for _, entity := range found {
		seen[ShortID(entity.GetID().ID)]++
	}
	e := &AmbiguousError{Name: name, Count: len(found)}
	for _, entity := range found {
		line := ShortID(entity.GetID().ID)
		if seen[line] > 1 { // too short to tell them apart
			line = entity.GetID().ID
		}
		if called := NameOf(entity); called != "" && called != name.Text {
			line += " (" + called + ")"
		}
		e.Candidates = append(e.Candidates, line)
	}
	slices.SortFunc(e.Candidates, compareIDs)
	e.Candidates = e.Candidates[:min(len(found), mostCandidates)]
	return e
}

// mostNear is how many names are proposed for one that nothing has.
const mostNear = 3

// notFound says that nothing is called this, and what is called something like it.
func (l *Local) notFound(name Name) error {
	kinds := []workloadmeta.Kind{name.Kind}
	if name.Kind == 0 {
		kinds = Running()
	}
	e := &NotFoundError{Name: name}
	if !isNumber(name.Text) {
		var names []string
		for _, kind := range kinds {
			if kind == workloadmeta.KindProcess && name.Kind == 0 {
				continue // their names are many and mostly not meant
			}
			for entity := range l.opts.Store.List(kind) {
				if name.Kind == 0 || (Class{kind, name.Resource}).Has(entity) {
					names = append(names, namesOf(entity)...)
				}
			}
		}
		e.Near = nearest(name.Text, names, mostNear)
	}
	if name.Kind == 0 {
		kinds = kinds[:1]
	}
	gaps := l.gaps(kinds...)
	answered := l.opts.Collectors != nil && l.answered(kinds[0])
	for _, gap := range gaps {
		// Where somebody has answered, those that have nothing to collect here are no reason.
		if !answered || gap.Silent {
			e.Gaps = append(e.Gaps, gap)
		}
	}
	return e
}
