package extract

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Lookup answers an extraction's questions about other entities. It sees each question,
// also those that have no answer yet: whoever keeps the tags up to date notes them and
// extracts again when an answer changes. See [Query].
type Lookup interface {
	// Get finds an entity by its ID. An error means that it is not known.
	Get(id workloadmeta.EntityID) (workloadmeta.Entity, error)
	// Find returns the entities that answer a query, in the order of their IDs. The
	// slice is the lookup's.
	Find(q Query) []workloadmeta.Entity
	// Complete reports whether every source that is expected to report the entity has
	// done so. It is a question only about the entity that is extracted and about those
	// that another question has led to.
	Complete(id workloadmeta.EntityID) bool
	// Expected reports whether a source is expected to report entities of the kind.
	Expected(kind workloadmeta.Kind) bool
	// Listed reports whether all sources have listed what there is at least once.
	Listed() bool
}

// Relation is a way in which extractions find other entities.
type Relation uint8

// Relations.
const (
	// ByID leads to the entity with the query's ID. It is what [Lookup.Get] asks.
	ByID Relation = iota
	// Lists leads from a container to the pods and tasks that list it.
	Lists
	// Everywhere leads from a kind, in an ID without ID, to the entities of the kind
	// whose tags everything on the machine carries.
	Everywhere
	// Selects leads from a pod, under either of its UIDs, to the services that have it as a
	// member. Only their IDs are read.
	Selects
	// Means leads from what a container calls its GPUs, unless it is a UUID, to the GPUs: from "0"
	// to the first of the machine, from "all" to all.
	Means
	// AlsoCalled leads from the UID that the API server has for a static pod to that pod.
	AlsoCalled
	// Namespaces leads to all namespaces; the query has no ID. Only whether there are any is read.
	Namespaces
	// Sources leads to no entity. It is what [Lookup.Expected] and [Lookup.Listed] ask;
	// the query has no ID.
	Sources
)

// Query is a question of an extraction.
type Query struct {
	Relation Relation
	ID       workloadmeta.EntityID
}

// Compare orders queries.
func (q Query) Compare(o Query) int {
	return cmp.Or(cmp.Compare(q.Relation, o.Relation), cmp.Compare(q.ID.Kind, o.ID.Kind),
		strings.Compare(q.ID.ID, o.ID.ID))
}

// Answers yields the queries that lead to an entity, but for the one by its ID. A new
// relation is a look-up where tags are made, and its other direction here.
func Answers(e workloadmeta.Entity) iter.Seq[Query] {
	return func(yield func(Query) bool) {
		switch e := e.(type) {
		case *workloadmeta.KubernetesPod:
			if e.APIUID != "" && e.APIUID != e.ID && !yield(alsoCalled(e.APIUID)) {
				return
			}
			for c := range e.AllContainers() {
				if c.ID != "" && !yield(listing(c.ID)) {
					return
				}
			}
		case *workloadmeta.ECSTask:
			if !yield(everywhere(workloadmeta.KindECSTask)) {
				return
			}
			for i := range e.Containers {
				if id := e.Containers[i].ID; id != "" && !yield(listing(id)) {
					return
				}
			}
		case *workloadmeta.KubernetesMetadata:
			if strings.HasPrefix(e.ID, namespacePrefix) {
				yield(Query{Relation: Namespaces})
			}
		case *workloadmeta.KubernetesService:
			for _, uid := range e.Pods {
				if !yield(memberOf(uid)) {
					return
				}
			}
		case *workloadmeta.GPU:
			for _, name := range namesOf(e) {
				if !yield(meaning(name)) {
					return
				}
			}
		case *workloadmeta.Host:
			yield(everywhere(workloadmeta.KindHost))
		}
	}
}

func listing(container string) Query {
	return Query{Lists, workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: container}}
}

func memberOf(uid string) Query {
	return Query{Selects, workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: uid}}
}

func alsoCalled(uid string) Query {
	return Query{AlsoCalled, workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: uid}}
}

// otherID returns what a pod is called as well, if nothing else is called so.
func otherID(p *workloadmeta.KubernetesPod, lookup Lookup) tagger.EntityID {
	if p.APIUID == "" || p.APIUID == p.ID || len(lookup.Find(alsoCalled(p.APIUID))) > 1 {
		return ""
	}
	other := workloadmeta.EntityID{Kind: p.Kind, ID: p.APIUID}
	if _, err := lookup.Get(other); err == nil {
		return ""
	}
	return TaggerID(other)
}

// SameAnswer reports whether a query that both states of an entity answer has the same answer
// still, so that nobody who has asked it needs to be extracted again. It keeps a change of one
// member of a large service from being a change of all of them.
func SameAnswer(q Query, before, after workloadmeta.Entity) bool {
	switch q.Relation {
	case Namespaces:
		return true
	case Selects:
	default:
		return false
	}
	was, ok := before.(*workloadmeta.KubernetesService)
	is, also := after.(*workloadmeta.KubernetesService)
	return ok && also && has(was.Pods, q.ID.ID) && has(is.Pods, q.ID.ID)
}

func has(sorted []string, text string) bool {
	_, found := slices.BinarySearch(sorted, text)
	return found
}

func everywhere(kind workloadmeta.Kind) Query {
	return Query{Everywhere, workloadmeta.EntityID{Kind: kind}}
}

// emptyLookup knows nothing, and nothing is to come.
type emptyLookup struct{}

func (emptyLookup) Get(workloadmeta.EntityID) (workloadmeta.Entity, error) {
	return nil, tagger.ErrUnknown
}
func (emptyLookup) Find(Query) []workloadmeta.Entity    { return nil }
func (emptyLookup) Complete(workloadmeta.EntityID) bool { return true }
func (emptyLookup) Expected(workloadmeta.Kind) bool     { return false }
func (emptyLookup) Listed() bool                        { return true }

// find returns an entity if lookup has it and it is of the Go type of its kind.
func find[T workloadmeta.Entity](lookup Lookup, kind workloadmeta.Kind, id string) (found T,
	ok bool) {
	if id == "" {
		return found, false
	}
	e, err := lookup.Get(workloadmeta.EntityID{Kind: kind, ID: id})
	if err != nil {
		return found, false
	}
	found, ok = e.(T)
	return found, ok
}

// parents are what a container belongs to; nil = nothing that is known.
type parents struct {
	pod  *workloadmeta.KubernetesPod
	task *workloadmeta.ECSTask
}

// parentsOf finds the pod and the task that list a container. Should several pods list
// it, as a static pod and its mirror may, it is the one the container names as its owner,
// else the one with the first ID: the tags of one of them, never a mixture. Where none
// lists it, or not yet, it is the one that the container names.
func parentsOf(c *workloadmeta.Container, lookup Lookup) (p parents) {
	named := func(e workloadmeta.Entity) bool { return c.Owner != nil && *c.Owner == e.GetID() }
	for _, e := range lookup.Find(listing(c.ID)) {
		switch e := e.(type) {
		case *workloadmeta.KubernetesPod:
			if p.pod == nil || named(e) {
				p.pod = e
			}
		case *workloadmeta.ECSTask:
			if p.task == nil || named(e) {
				p.task = e
			}
		}
	}
	switch {
	case c.Owner == nil:
	case p.pod == nil && c.Owner.Kind == workloadmeta.KindKubernetesPod:
		p.pod, _ = find[*workloadmeta.KubernetesPod](lookup, c.Owner.Kind, c.Owner.ID)
	case p.task == nil && c.Owner.Kind == workloadmeta.KindECSTask:
		p.task, _ = find[*workloadmeta.ECSTask](lookup, c.Owner.Kind, c.Owner.ID)
	}
	return p
}
