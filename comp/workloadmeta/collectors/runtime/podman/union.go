package podman

import (
	"context"
	"maps"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// union makes one view of what several services report: an entity is there until the last service
// that has reported it withdraws it. It outlives the runs of Stream and belongs to the goroutine of
// the running one.
type union struct {
	source workloadmeta.Source
	held   map[workloadmeta.EntityID]map[*view]workloadmeta.Entity
}

func newUnion(source workloadmeta.Source) *union {
	return &union{source: source, held: map[workloadmeta.EntityID]map[*view]workloadmeta.Entity{}}
}

// view is what one service reports.
type view struct {
	rank int // of two views, the lower one's word counts
	// reported is what has been reported over this connection, until it is synced; nil afterwards.
	reported map[workloadmeta.EntityID]struct{}
	// stale says that what is held of the view has not been reported in this run of Stream.
	stale bool
	size  int // entities held
}

// begin starts a connection: what it has not reported by the time it is synced is withdrawn.
func (u *union) begin(v *view) { v.reported = map[workloadmeta.EntityID]struct{}{} }

// apply takes what a service reports and returns what is to be told of it.
func (u *union) apply(v *view, events []workloadmeta.CollectorEvent) []workloadmeta.CollectorEvent {
	var out []workloadmeta.CollectorEvent
	for _, e := range events {
		id := e.Entity.GetID()
		switch e.Type {
		case workloadmeta.EventTypeSet:
			if v.reported != nil {
				v.reported[id] = struct{}{}
			}
			views := u.held[id]
			if views == nil {
				views = make(map[*view]workloadmeta.Entity, 1)
				u.held[id] = views
			}
			if views[v] == nil {
				v.size++
			}
			views[v] = e.Entity
			out = append(out, u.event(workloadmeta.EventTypeSet, combined(views)))
		case workloadmeta.EventTypeUnset:
			out = append(out, u.withdraw(v, e.Entity)...)
		}
	}
	return out
}

// withdraw takes back what a service has reported. last is its last word on the entity.
func (u *union) withdraw(v *view, last workloadmeta.Entity) []workloadmeta.CollectorEvent {
	id := last.GetID()
	views := u.held[id]
	if views[v] == nil {
		return nil
	}
	v.size--
	delete(views, v)
	delete(v.reported, id)
	if len(views) > 0 {
		return []workloadmeta.CollectorEvent{u.event(workloadmeta.EventTypeSet, combined(views))}
	}
	delete(u.held, id)
	return []workloadmeta.CollectorEvent{u.event(workloadmeta.EventTypeUnset, last)}
}

// synced ends the beginning of a connection.
func (u *union) synced(v *view) []workloadmeta.CollectorEvent {
	var out []workloadmeta.CollectorEvent
	for _, e := range u.of(v) {
		if _, ok := v.reported[e.GetID()]; !ok {
			out = append(out, u.withdraw(v, e)...)
		}
	}
	v.reported, v.stale = nil, false
	return out
}

// again returns everything that is held of views that have not been synced in this run, so that a
// run in which a service does not answer takes nothing away.
func (u *union) again() []workloadmeta.CollectorEvent {
	var out []workloadmeta.CollectorEvent
	for _, views := range u.held {
		for v := range views {
			if v.stale {
				out = append(out, u.event(workloadmeta.EventTypeSet, combined(views)))
				break
			}
		}
	}
	return out
}

// of returns what is held of a view.
func (u *union) of(v *view) []workloadmeta.Entity {
	if v.size == 0 {
		return nil
	}
	var out []workloadmeta.Entity
	for _, views := range u.held {
		if e := views[v]; e != nil {
			out = append(out, e)
		}
	}
	return out
}

func (u *union) event(t workloadmeta.EventType, e workloadmeta.Entity) workloadmeta.CollectorEvent {
	return workloadmeta.CollectorEvent{Type: t, Source: u.source, Entity: e}
}

// combined returns one entity for what several services report under one ID. An image has the names
// that any of them gives it.
func combined(views map[*view]workloadmeta.Entity) workloadmeta.Entity {
	byRank := slices.SortedFunc(maps.Keys(views), func(a, b *view) int { return a.rank - b.rank })
	first := views[byRank[0]]
	image, ok := first.(*workloadmeta.ContainerImageMetadata)
	if len(byRank) == 1 || !ok {
		return first
	}
	var tags, digests []string
	for _, v := range byRank {
		if other, ok := views[v].(*workloadmeta.ContainerImageMetadata); ok {
			tags = append(tags, other.RepoTags...)
			digests = append(digests, other.RepoDigests...)
			if len(image.Layers) == 0 && len(other.Layers) > 0 {
				image = other // the first has only been listed so far
			}
		}
	}
	return mapping.Renamed(image, mapping.NewImageNames(image.ID, tags, digests))
}

// viewSink hands what a follower reports to the goroutine that owns the union, and waits until it
// is told.
type viewSink struct {
	ctx      context.Context
	view     *view
	requests chan<- request
}

// request is a report on its way.
type request struct {
	view   *view
	events []workloadmeta.CollectorEvent
	begin  bool
	synced bool
	done   chan struct{}
}

var _ workloadmeta.Sink = viewSink{}

func (s viewSink) Set(entities ...workloadmeta.Entity) {
	s.all(workloadmeta.EventTypeSet, entities)
}

func (s viewSink) Unset(entities ...workloadmeta.Entity) {
	s.all(workloadmeta.EventTypeUnset, entities)
}

func (s viewSink) all(t workloadmeta.EventType, entities []workloadmeta.Entity) {
	var events []workloadmeta.CollectorEvent
	for _, e := range entities {
		events = append(events, workloadmeta.CollectorEvent{Type: t, Entity: e})
	}
	s.Apply(events)
}

func (s viewSink) Apply(events []workloadmeta.CollectorEvent) { s.send(request{events: events}) }

func (s viewSink) Known(workloadmeta.EntityID) bool { return false }
func (s viewSink) Synced()                          { s.send(request{synced: true}) }

func (s viewSink) send(r request) {
	r.view, r.done = s.view, make(chan struct{})
	select {
	case s.requests <- r:
		<-r.done // whoever takes requests answers them
	case <-s.ctx.Done():
	}
}
