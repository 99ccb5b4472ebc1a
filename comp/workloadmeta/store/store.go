// Package store is the workloadmeta store: it merges what sources report into one
// entity each, answers look-ups without locks, and tells subscribers of every change.
//
// # Promises
//
//   - Notify is synchronous and never waits for a subscriber.
//   - What a source reports replaces everything it reported about the entity before.
//     A report that says nothing new is no event.
//   - When one of several sources withdraws, subscribers get the state after it. When
//     the last one withdraws, they get an unset with the last full state, filled up with
//     what the message of the end revealed.
//   - A process ID that is reused arrives as an unset of the old process, then a set of
//     the new one, in one bundle, whichever source notices first. What another source
//     still says about an older process, its end included, is not mixed into the newer.
//   - Look-ups by name, owner, PID or address use indexes. An index entry belongs to
//     whoever made it: removing one entity never removes another's entry, and several
//     owners are "ambiguous".
package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// Options tune a store. The zero value is useful.
type Options struct {
	// Bus tunes the subscriptions.
	Bus statebus.Options
	// OnMutation, for tests: called when an entity was written to after it had been
	// handed over. Setting it costs a fingerprint per report.
	OnMutation func(id workloadmeta.EntityID, source workloadmeta.Source)
}

// Store implements [workloadmeta.Component] and [workloadmeta.Writer]. Create one with
// [New]. All methods may be called from any goroutine.
type Store struct {
	table        *statebus.Table[workloadmeta.EntityID, *record]
	index        indexes
	fingerprints *fingerprints // nil unless Options.OnMutation

	expected [workloadmeta.NumKinds]atomic.Pointer[[]workloadmeta.Source]
	// closed and replaced under the commit lock when expected changes
	expectations atomic.Pointer[chan struct{}]
	synced       chan struct{} // closed by MarkSynced
	syncOnce     sync.Once
}

var (
	_ workloadmeta.Component = (*Store)(nil)
	_ workloadmeta.Writer    = (*Store)(nil)
)

// record is what the table holds per entity. It is immutable.
type record struct {
	entity   workloadmeta.Entity // merged
	views    []workloadmeta.View // strongest first; one[:] if there is one
	complete bool
	one      [1]workloadmeta.View
}

// newRecord returns the record of these views, which it keeps. They are sorted.
func newRecord(views ...workloadmeta.View) *record {
	r := &record{views: views}
	if len(views) == 1 {
		r.one[0] = views[0]
		r.views = r.one[:]
	}
	r.entity = workloadmeta.Merge(r.views)
	return r
}

func (r *record) view(source workloadmeta.Source) workloadmeta.Entity {
	for i := range r.views {
		if r.views[i].Source == source {
			return r.views[i].Entity
		}
	}
	return nil
}

// as is the entity as a subscriber with this source in its filter sees it.
func (r *record) as(source workloadmeta.Source) workloadmeta.Entity {
	if source == workloadmeta.SourceAll {
		return r.entity
	}
	return r.view(source)
}

// New returns an empty store.
func New(opts Options) *Store {
	s := &Store{
		table:  statebus.New[workloadmeta.EntityID, *record](opts.Bus),
		index:  newIndexes(),
		synced: make(chan struct{}),
	}
	expectations := make(chan struct{})
	s.expectations.Store(&expectations)
	if opts.OnMutation != nil {
		s.fingerprints = &fingerprints{report: opts.OnMutation,
			sums: map[fingerprintKey]fingerprint{}}
	}
	return s
}

// Close ends all subscriptions. Look-ups go on to work.
func (s *Store) Close() {
	s.table.Close()
	s.update(func(*tx) { s.fingerprints.checkAll() })
}

type tx = statebus.Tx[workloadmeta.EntityID, *record]

// update makes changes as one, and then, without any lock, tells whose entities were
// found to have been written to.
func (s *Store) update(change func(*tx)) {
	var mutated []fingerprintKey
	s.table.Update(func(t *tx) {
		change(t)
		mutated = s.fingerprints.take()
	})
	for _, m := range mutated {
		s.fingerprints.report(m.id, m.source)
	}
}

// Notify implements [workloadmeta.Writer].
func (s *Store) Notify(events []workloadmeta.CollectorEvent) error {
	if len(events) == 0 {
		return nil
	}
	var bad []error
	s.update(func(t *tx) {
		for i := range events {
			if err := events[i].Validate(); err != nil {
				bad = append(bad, err)
				continue
			}
			s.apply(t, &events[i])
		}
	})
	if len(bad) > 0 {
		return fmt.Errorf("notify: %w", errors.Join(bad...))
	}
	return nil
}

// Push implements [workloadmeta.Writer].
func (s *Store) Push(source workloadmeta.Source, events ...workloadmeta.CollectorEvent) error {
	var bad []error
	stamped := slices.Clone(events)
	for i := range stamped {
		ev := &stamped[i]
		if ev.Source == "" {
			ev.Source = source
		}
		if err := ev.Validate(); err != nil {
			bad = append(bad, err)
		} else if ev.Source != source {
			bad = append(bad, fmt.Errorf("event for %s: from %s", ev.Entity.GetID(), ev.Source))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("push from %q: %w", source, errors.Join(bad...))
	}
	return s.Notify(stamped)
}

// Reset implements [workloadmeta.Writer].
func (s *Store) Reset(source workloadmeta.Source, entities []workloadmeta.Entity) error {
	if source == workloadmeta.SourceAll {
		return errors.New("reset: no source")
	}
	events := make([]workloadmeta.CollectorEvent, 0, len(entities))
	var bad []error
	for _, e := range entities {
		ev := workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Source: source,
			Entity: e}
		if err := ev.Validate(); err != nil {
			bad = append(bad, err)
			continue
		}
		events = append(events, ev)
	}
	if len(bad) > 0 {
		return fmt.Errorf("reset of %q: %w", source, errors.Join(bad...))
	}
	keep := make(map[workloadmeta.EntityID]struct{}, len(entities))
	for _, ev := range events {
		keep[ev.Entity.GetID()] = struct{}{}
	}
	s.update(func(t *tx) {
		for i := range events {
			s.apply(t, &events[i])
		}
		for id, r := range s.table.All() {
			if view := r.view(source); view != nil {
				if _, ok := keep[id]; !ok {
					s.unset(t, &workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset,
						Source: source, Entity: view})
				}
			}
		}
	})
	return nil
}

// apply carries out one valid event, under the commit lock.
func (s *Store) apply(t *tx, ev *workloadmeta.CollectorEvent) {
	if ev.Type == workloadmeta.EventTypeUnset {
		s.unset(t, ev)
		return
	}
	id := ev.Entity.GetID()
	old, known := t.Get(id)
	if !known {
		s.put(t, id, nil, newRecord(workloadmeta.View{Source: ev.Source, Entity: ev.Entity}))
		return
	}
	at, held := s.find(old.views, ev.Source)
	if held {
		s.fingerprints.check(id, ev.Source)
		have := old.views[at].Entity
		if have.Equal(ev.Entity) {
			return
		}
	}
	switch {
	case workloadmeta.SameIncarnation(old.entity, ev.Entity):
	case held && len(old.views) == 1, workloadmeta.Newer(ev.Entity, old.entity):
		// What the sources said until now was about the old incarnation.
		for _, v := range old.views {
			s.fingerprints.forget(id, v.Source)
		}
		s.remove(t, id, old, old)
		s.put(t, id, nil, newRecord(workloadmeta.View{Source: ev.Source, Entity: ev.Entity}))
		return
	default:
		return // this source has not noticed yet that what it reports is gone
	}
	view := workloadmeta.View{Source: ev.Source, Entity: ev.Entity}
	if len(old.views) == 1 && held {
		s.put(t, id, old, newRecord(view))
		return
	}
	views := slices.Clone(old.views)
	if held {
		views[at] = view
	} else {
		views = slices.Insert(views, at, view)
	}
	s.put(t, id, old, newRecord(views...))
}

func (s *Store) unset(t *tx, ev *workloadmeta.CollectorEvent) {
	id := ev.Entity.GetID()
	old, known := t.Get(id)
	if !known {
		return
	}
	at, held := s.find(old.views, ev.Source)
	if !held || !workloadmeta.SameIncarnation(old.views[at].Entity, ev.Entity) {
		return
	}
	s.fingerprints.check(id, ev.Source)
	defer s.fingerprints.forget(id, ev.Source)
	view := old.views[at]
	view.Entity = workloadmeta.Finalize(view.Entity, ev.Entity)
	if len(old.views) == 1 {
		final := newRecord(view)
		final.complete = old.complete
		s.remove(t, id, old, final)
		return
	}
	if view.Entity != old.views[at].Entity {
		// The source had something to say at the end. Those who watch this source alone
		// get it with their unset, the others as the last state before the withdrawal.
		views := slices.Clone(old.views)
		views[at] = view
		next := newRecord(views...)
		s.put(t, id, old, next)
		old = next
	}
	s.put(t, id, old, newRecord(slices.Delete(slices.Clone(old.views), at, at+1)...))
}

// find returns where the source's view is, or where it would go.
func (s *Store) find(views []workloadmeta.View, source workloadmeta.Source) (at int, held bool) {
	for i := range views {
		if views[i].Source == source {
			return i, true
		}
	}
	return slices.BinarySearchFunc(views, source,
		func(v workloadmeta.View, source workloadmeta.Source) int {
			return workloadmeta.CompareSources(v.Source, source)
		})
}

// put makes r what the table holds. old is what it holds now, or nil.
func (s *Store) put(t *tx, id workloadmeta.EntityID, old, r *record) {
	r.complete = s.isComplete(id.Kind, r.views)
	s.fingerprints.note(id, r.views)
	// Indexes first when adding, last when removing: whoever finds an ID in an index
	// may find nothing behind it, but never misses what the table shows.
	var before workloadmeta.Entity
	if old != nil {
		before = old.entity
	}
	s.index.add(before, r.entity)
	t.Set(id, r)
	s.index.drop(before, r.entity)
}

func (s *Store) remove(t *tx, id workloadmeta.EntityID, old, final *record) {
	t.Delete(id, final)
	s.index.drop(old.entity, nil)
}

func (s *Store) isComplete(kind workloadmeta.Kind, views []workloadmeta.View) bool {
	expected := s.expected[kind].Load()
	if expected == nil {
		return true
	}
	for _, source := range *expected {
		if !slices.ContainsFunc(views,
			func(v workloadmeta.View) bool { return v.Source == source }) {
			return false
		}
	}
	return true
}

// Expect says which sources have to report an entity of the kind before it counts as
// complete; none means that any report completes it. Entities whose completeness that
// changes are published anew.
func (s *Store) Expect(kind workloadmeta.Kind, sources []workloadmeta.Source) {
	if !kind.Valid() {
		panic("store: Expect of an invalid kind")
	}
	s.table.Update(func(t *tx) {
		if have := s.expected[kind].Load(); have != nil && slices.Equal(*have, sources) ||
			have == nil && len(sources) == 0 {
			return
		}
		sources = slices.Clone(sources)
		s.expected[kind].Store(&sources)
		next := make(chan struct{})
		defer close(*s.expectations.Swap(&next))
		var changed []*record
		for id, r := range s.table.All() {
			if id.Kind == kind && r.complete != s.isComplete(kind, r.views) {
				changed = append(changed, r)
			}
		}
		for _, r := range changed {
			again := *r
			again.complete = !r.complete
			if len(again.views) == 1 {
				again.views = again.one[:]
			}
			t.Set(r.entity.GetID(), &again)
		}
	})
}

// Expected returns what the last [Store.Expect] said about the kind. The slice is shared.
func (s *Store) Expected(kind workloadmeta.Kind) []workloadmeta.Source {
	if expected := s.expected[kind].Load(); expected != nil {
		return *expected
	}
	return nil
}

// ExpectationsChanged returns a channel that is closed by the next [Store.Expect] that
// changes what is expected.
func (s *Store) ExpectationsChanged() <-chan struct{} { return *s.expectations.Load() }

// Stats returns figures about the store and its subscriptions.
func (s *Store) Stats() statebus.Stats { return s.table.Stats() }
