package local

import (
	"slices"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// follower turns events of the store into tag infos. It remembers what the events do
// not say: which containers a pod or task has tagged, and how complete what is. It
// belongs to one goroutine.
type follower struct {
	x     *extract.Extractor
	store Store
	tags  interface {
		Completeness(tagger.EntityID) tagger.Completeness
	}
	// complete holds the last flag of each container, pod and task.
	complete map[workloadmeta.EntityID]bool
	// children are the containers that carry tags of a pod or task.
	children map[workloadmeta.EntityID][]tagger.EntityID
	// parentOf says whose children they are.
	parentOf map[tagger.EntityID]workloadmeta.EntityID
	// orphans are children that have gone before their pod or task has changed.
	orphans map[tagger.EntityID]struct{}
	// global are the entities whose tags everything carries.
	global map[workloadmeta.EntityID]struct{}

	out    []tagger.TagInfo
	lookup bundleLookup
}

func newFollower(t *Tagger) follower {
	return follower{
		x: t.x, store: t.store, tags: t.tags, lookup: bundleLookup{store: t.store},
		complete: map[workloadmeta.EntityID]bool{},
		children: map[workloadmeta.EntityID][]tagger.EntityID{},
		parentOf: map[tagger.EntityID]workloadmeta.EntityID{},
		orphans:  map[tagger.EntityID]struct{}{},
		global:   map[workloadmeta.EntityID]struct{}{},
	}
}

// infos returns what the events mean for the tags. The slice is valid until the next call.
func (f *follower) infos(events []workloadmeta.Event) []tagger.TagInfo {
	clear(f.out)
	f.out = f.out[:0]
	f.lookup.begin(events)
	defer f.lookup.begin(nil)
	for i := range events {
		ev := &events[i]
		if ev.Type == workloadmeta.EventTypeSet {
			f.set(ev)
			f.adopt(ev.Entity.GetID())
		} else {
			f.unset(ev)
		}
	}
	return f.out
}

func (f *follower) set(ev *workloadmeta.Event) {
	id := ev.Entity.GetID()
	flagged := hasCompleteness(id.Kind)
	if flagged {
		f.complete[id] = ev.Complete
	}
	own := extract.TaggerID(id)
	infos := f.x.Extract(ev.Entity, &f.lookup)
	var children, gone []tagger.EntityID
	global := false
	for i := range infos {
		info := &infos[i]
		switch {
		case info.Entity == own:
			info.IsComplete = f.isComplete(ev)
		case info.Entity == tagger.GlobalEntityID:
			info.IsComplete = id.Kind == workloadmeta.KindHost || f.isComplete(ev)
			global = true
		default:
			child := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: info.Entity.ID()}
			info.IsComplete = f.isComplete(ev) && f.complete[child]
			if _, err := f.store.Get(child); err != nil {
				gone = append(gone, info.Entity)
			} else {
				children = append(children, info.Entity)
			}
		}
	}
	f.out = append(f.out, infos...)
	for _, child := range gone {
		f.withdraw(extract.Source(id.Kind), child) // the grace time is all it has
	}
	for _, child := range f.children[id] {
		if !slices.Contains(children, child) && !slices.Contains(gone, child) {
			f.withdraw(extract.Source(id.Kind), child)
		}
	}
	f.setChildren(id, children)
	f.setGlobal(id, global)
	if id.Kind == workloadmeta.KindKubernetesPod && f.x.Rules().FollowsPods() {
		for _, child := range children {
			f.again(workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: child.ID()})
		}
	}
}

// again makes a container's own tags anew, because rules for them look at its pod. What
// has not been heard of yet will have them anyway.
func (f *follower) again(id workloadmeta.EntityID) {
	complete, known := f.complete[id]
	if e, err := f.store.Get(id); err == nil && known {
		f.set(&workloadmeta.Event{Type: workloadmeta.EventTypeSet, Entity: e, Complete: complete})
	}
}

func (f *follower) setChildren(id workloadmeta.EntityID, children []tagger.EntityID) {
	for _, child := range f.children[id] {
		if f.parentOf[child] == id && !slices.Contains(children, child) {
			delete(f.parentOf, child)
			delete(f.orphans, child)
		}
	}
	if len(children) == 0 {
		delete(f.children, id)
		return
	}
	f.children[id] = children
	for _, child := range children {
		f.parentOf[child] = id
		delete(f.orphans, child)
	}
}

// orphan withdraws from a container that has gone what its pod or task says of it, which
// may go on to list it: a pod that has completed does so for days.
func (f *follower) orphan(child tagger.EntityID) {
	if parent, ok := f.parentOf[child]; ok {
		f.withdraw(extract.Source(parent.Kind), child)
		f.orphans[child] = struct{}{}
	}
}

// adopt gives a container that is back the tags of its pod or task again.
func (f *follower) adopt(id workloadmeta.EntityID) {
	if id.Kind != workloadmeta.KindContainer || len(f.orphans) == 0 {
		return
	}
	child := extract.TaggerID(id)
	if _, ok := f.orphans[child]; !ok {
		return
	}
	parent := f.parentOf[child]
	if e, err := f.lookup.Get(parent); err == nil { // else its own end is on the way
		f.set(&workloadmeta.Event{Type: workloadmeta.EventTypeSet, Entity: e,
			Complete: f.complete[parent]})
	}
}

func (f *follower) unset(ev *workloadmeta.Event) {
	id := ev.Entity.GetID()
	own := extract.TaggerID(id)
	// What lived and died between two looks has not been heard of: its tags are made now,
	// so that its telemetry, which is still on the way, gets them.
	if c := f.tags.Completeness(own); c == tagger.Unknown || c == tagger.Expired {
		f.set(ev)
	}
	source := extract.Source(id.Kind)
	f.withdraw(source, own)
	f.orphan(own)
	for _, child := range f.children[id] {
		f.withdraw(source, child)
	}
	f.setChildren(id, nil)
	delete(f.complete, id)
	f.setGlobal(id, false)
}

// setGlobal notes whether the entity's tags are everybody's. When such an entity goes,
// another of its kind gives its own instead; with the last one, the tags are taken back.
func (f *follower) setGlobal(id workloadmeta.EntityID, global bool) {
	if global {
		f.global[id] = struct{}{}
		return
	}
	if _, was := f.global[id]; !was {
		return
	}
	delete(f.global, id)
	var heir workloadmeta.EntityID
	for other := range f.global {
		if other.Kind == id.Kind && (heir.ID == "" || other.ID < heir.ID) {
			heir = other
		}
	}
	if heir.ID == "" {
		f.withdraw(extract.Source(id.Kind), tagger.GlobalEntityID)
		return
	}
	e, err := f.lookup.Get(heir)
	if err != nil {
		return // its own end is on the way
	}
	for _, info := range f.x.Extract(e, &f.lookup) {
		if info.Entity == tagger.GlobalEntityID {
			info.IsComplete = f.isComplete(&workloadmeta.Event{Entity: e,
				Complete: f.complete[heir]})
			f.out = append(f.out, info)
		}
	}
}

func (f *follower) withdraw(source string, id tagger.EntityID) {
	f.out = append(f.out, tagger.TagInfo{Source: source, Entity: id, DeleteEntity: true})
}

func hasCompleteness(kind workloadmeta.Kind) bool {
	switch kind {
	case workloadmeta.KindContainer, workloadmeta.KindKubernetesPod, workloadmeta.KindECSTask:
		return true
	}
	return false
}

// isComplete says whether the entity's own tags are complete. A container's are when
// its pod's or task's are, too: their tags become its own. A task without a cluster
// name was reported before the metadata service was ready.
func (f *follower) isComplete(ev *workloadmeta.Event) bool {
	if !ev.Complete {
		return false
	}
	switch e := ev.Entity.(type) {
	case *workloadmeta.ECSTask:
		return e.ClusterName != ""
	case *workloadmeta.Container:
		if e.Owner == nil || !hasCompleteness(e.Owner.Kind) {
			return true
		}
		owner, err := f.store.Get(*e.Owner)
		if err != nil || !f.complete[*e.Owner] {
			return false
		}
		task, ok := owner.(*workloadmeta.ECSTask)
		return !ok || task.ClusterName != ""
	}
	return true
}

// bundleLookup finds entities for the extractor: those in the store, and those that the
// events at hand are about. The store is ahead of the events, so that a container may
// have gone from it before the tags of its pod are made.
type bundleLookup struct {
	store  Store
	events []workloadmeta.Event
	byID   map[workloadmeta.EntityID]workloadmeta.Entity // of events; made when first needed
}

func (l *bundleLookup) begin(events []workloadmeta.Event) { l.events, l.byID = events, nil }

// Get implements [extract.Lookup].
func (l *bundleLookup) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	e, err := l.store.Get(id)
	if err == nil {
		return e, nil
	}
	if l.byID == nil {
		l.byID = make(map[workloadmeta.EntityID]workloadmeta.Entity, len(l.events))
		for i := range l.events {
			l.byID[l.events[i].Entity.GetID()] = l.events[i].Entity
		}
	}
	if e, ok := l.byID[id]; ok {
		return e, nil
	}
	return nil, err
}
