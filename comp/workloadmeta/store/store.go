// Package store is the workloadmeta store: it merges what sources report into one
// entity each, answers look-ups without locks, and tells subscribers of every change.
//
// # Promises
//
//   - Notify is synchronous and never waits for a subscriber.
//   - What a reporter says replaces everything it said about the entity before. A report
//     that says nothing new is no event.
//   - The merged entity is a function of the reports that there are, whatever their order
//     ([workloadmeta.Merge]). An entity is there while a reporter that is live reports it,
//     or, when nobody who is live ever contradicted, one that is away.
//   - When one of several reporters withdraws, subscribers get the state after it. When
//     the last one withdraws, they get an unset with the last full state, filled up with
//     what the message of the end revealed.
//   - An end that was seen counts until those who have not looked since look again
//     ([workloadmeta.Withdraw]).
//   - A process ID that is reused arrives as an unset of the old process, then a set of
//     the new one, in one bundle, whoever notices first. What another reporter still says
//     about an older process, its end included, is not mixed into the newer: the entity is
//     the process with the latest start that anybody reports. A report without a start is
//     about that one, too. With the end of the newest, all older ones have ended.
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
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// Options tune a store. The zero value is useful.
type Options struct {
	// Bus tunes the subscriptions. Its LogChanges lets subscribers resume; LogBytes does not
	// count here, as nobody knows how much of an entity others share.
	Bus statebus.Options
	// OnMutation, for tests: called when an entity was written to after it had been
	// handed over. Setting it costs a fingerprint per report.
	OnMutation func(id workloadmeta.EntityID, source workloadmeta.Source)
}

// Store implements [workloadmeta.Component] and [workloadmeta.Writer]. Create one with
// [New]. All methods may be called from any goroutine.
type Store struct {
	table        *statebus.Table[workloadmeta.EntityID, *record]
	kinds        *kinds // what the table holds, for look-ups
	index        *indexes
	fingerprints *fingerprints // nil unless Options.OnMutation
	// own are the reporters of code that is no collector; written under the commit lock
	own map[workloadmeta.Source]*workloadmeta.Reporter

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

// record is what the table holds per entity. It is immutable. There are as many as entities, nearly
// all of them with one report, so they are small.
type record struct {
	// one is the report if there is one only. Otherwise nothing in it counts but the entity, which
	// is the merged one either way.
	one      [1]workloadmeta.Report
	several  *[]workloadmeta.Report // if there are several: strongest first
	complete bool
	final    bool // of an entity that has ended: nobody stands by the reports any more
}

// recordOf returns the record of one report.
func recordOf(report workloadmeta.Report) *record {
	return &record{one: [1]workloadmeta.Report{report}}
}

// merge returns the record of these reports, which it keeps. They are sorted.
func merge(reports []workloadmeta.Report) *record {
	if len(reports) == 1 {
		return recordOf(reports[0])
	}
	r := &record{several: &reports}
	r.one[0].Entity = workloadmeta.Merge(workloadmeta.Newest(reports))
	return r
}

// entity returns the merged entity.
func (r *record) entity() workloadmeta.Entity { return r.one[0].Entity }

// reports returns what the reporters say of the incarnation that the entity is, the strongest
// first. The slice is shared.
func (r *record) reports() []workloadmeta.Report { return workloadmeta.Newest(r.all()) }

// keepAsides returns r with what old has of incarnations that are older than r's.
func (r *record) keepAsides(old *record) *record {
	for _, report := range old.all() {
		if old.isAside(report.Entity) && r.isAside(report.Entity) {
			r = merge(workloadmeta.Confirm(r.all(), report))
		}
	}
	return r
}

// isAside reports whether this is about an older incarnation than the entity is.
func (r *record) isAside(e workloadmeta.Entity) bool {
	return !workloadmeta.SameIncarnation(r.entity(), e)
}

// all returns what the reporters say, those included who say it of an older incarnation.
func (r *record) all() []workloadmeta.Report {
	if r.several != nil {
		return *r.several
	}
	return r.one[:]
}

// as is the entity as a subscriber with this source in its filter sees it: what the source's
// reporters say that have not withdrawn, merged.
func (r *record) as(source workloadmeta.Source) workloadmeta.Entity {
	if source == workloadmeta.SourceAll {
		return r.entity()
	}
	var room [4]workloadmeta.Report
	of := room[:0]
	for _, report := range r.reports() {
		if report.Source == source && (report.State != workloadmeta.Done || r.final) {
			of = append(of, report)
		}
	}
	if len(of) == 0 {
		return nil
	}
	return workloadmeta.Merge(of)
}

// looksLike reports whether no subscriber, whatever its filter, can tell the records apart.
func (r *record) looksLike(o *record) bool {
	if !r.entity().Equal(o.entity()) {
		return false
	}
	last := workloadmeta.SourceAll
	for _, report := range o.reports() { // those of one source stand together
		if report.Source != last {
			last = report.Source
			if !sameView(r.as(last), o.as(last)) {
				return false
			}
		}
	}
	return true
}

func sameView(a, b workloadmeta.Entity) bool {
	return a == b || a != nil && b != nil && a.Equal(b)
}

// of returns what the reporter says.
func (r *record) of(reporter *workloadmeta.Reporter) (report workloadmeta.Report, found bool) {
	reports := r.all()
	at, found := workloadmeta.FindReport(reports, reporter)
	if found {
		report = reports[at]
	}
	return report, found && report.State != workloadmeta.Done
}

// New returns an empty store.
func New(opts Options) *Store {
	s := &Store{
		kinds:  newKinds(),
		index:  newIndexes(),
		own:    map[workloadmeta.Source]*workloadmeta.Reporter{},
		synced: make(chan struct{}),
	}
	s.table = statebus.Over(s.kinds, opts.Bus)
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
		s.fingerprints.report(m.id, m.reporter.Source)
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
		own := s.reporter(&workloadmeta.CollectorEvent{Source: source})
		for i := range events {
			s.apply(t, &events[i])
		}
		for id, r := range s.table.All() {
			if report, held := r.of(own); held {
				if _, ok := keep[id]; !ok {
					s.unset(t, &workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset,
						Source: source, Entity: report.Entity})
				}
			}
		}
	})
	return nil
}

// reporter returns who an event is from. It runs under the commit lock.
func (s *Store) reporter(ev *workloadmeta.CollectorEvent) *workloadmeta.Reporter {
	if ev.Reporter != nil {
		return ev.Reporter
	}
	r := s.own[ev.Source]
	if r == nil {
		r = workloadmeta.NewReporter(ev.Source)
		s.own[ev.Source] = r
	}
	return r
}

// apply carries out one valid event, under the commit lock.
func (s *Store) apply(t *tx, ev *workloadmeta.CollectorEvent) {
	if ev.Type == workloadmeta.EventTypeUnset {
		s.unset(t, ev)
		return
	}
	id, who := ev.Entity.GetID(), s.reporter(ev)
	old, known := t.Get(id)
	if !known {
		s.put(t, id, nil, recordOf(workloadmeta.NewReport(who, ev.Entity, time.Now())), loud)
		return
	}
	reports := old.all()
	at, held := workloadmeta.FindReport(reports, who)
	same := false // as before
	if held {
		s.fingerprints.check(id, who)
		same = reports[at].Entity.Equal(ev.Entity)
		if same && reports[at].Current() {
			return
		}
	}
	report := workloadmeta.NewReport(who, ev.Entity, time.Now())
	if len(reports) == 1 && held {
		s.put(t, id, old, recordOf(report), quietIf(same))
		return
	}
	next := merge(workloadmeta.Confirm(reports, report))
	s.put(t, id, old, next, quietIf(same || next.isAside(ev.Entity)))
}

func (s *Store) unset(t *tx, ev *workloadmeta.CollectorEvent) {
	id, who := ev.Entity.GetID(), s.reporter(ev)
	old, known := t.Get(id)
	if !known {
		return
	}
	if report, held := old.of(who); held && old.isAside(report.Entity) {
		if workloadmeta.SameIncarnation(report.Entity, ev.Entity) {
			s.fingerprints.forget(id, who)
			s.put(t, id, old, merge(slices.DeleteFunc(slices.Clone(old.all()),
				func(r workloadmeta.Report) bool { return r.Reporter == report.Reporter })), quiet)
		}
		return
	}
	reports := old.reports()
	at, held := workloadmeta.FindReport(reports, who)
	if old.isAside(ev.Entity) {
		return
	}
	if !held {
		// A collector withdraws only what it has once reported. It outvotes those who are away,
		// even if its own report went with an earlier end.
		if ev.Reporter != nil && !slices.ContainsFunc(reports,
			func(r workloadmeta.Report) bool { return r.State == workloadmeta.Live }) {
			s.end(t, id, old, old)
		}
		return
	}
	if reports[at].State == workloadmeta.Done ||
		!workloadmeta.SameIncarnation(reports[at].Entity, ev.Entity) {
		return
	}
	s.fingerprints.check(id, who)
	defer s.fingerprints.forget(id, who)
	last := workloadmeta.Finalize(reports[at].Entity, ev.Entity)
	after, alive := workloadmeta.Withdraw(reports, at, last)
	if !alive {
		s.end(t, id, old, merge(after))
		return
	}
	alone := !slices.ContainsFunc(after, func(r workloadmeta.Report) bool {
		return r.Source == who.Source && r.State != workloadmeta.Done
	})
	if alone && last != reports[at].Entity {
		// The reporter had something to say at the end. Those who watch its source alone get
		// it with their unset, the others as the last state before the withdrawal.
		before := slices.Clone(reports)
		before[at].Entity = last
		next := merge(before).keepAsides(old)
		s.put(t, id, old, next, loud)
		old = next
	}
	s.put(t, id, old, merge(after).keepAsides(old), quietIf(!alone))
}

// end removes an entity that nobody stands by any longer. last is not changed.
func (s *Store) end(t *tx, id workloadmeta.EntityID, old, last *record) {
	final := *last
	final.complete, final.final = old.complete, true
	s.remove(t, id, old, &final)
	for _, r := range old.all() {
		s.fingerprints.forget(id, r.Reporter)
	}
}

// Away implements [workloadmeta.Writer].
func (s *Store) Away(reporter *workloadmeta.Reporter, ids []workloadmeta.EntityID) {
	s.update(func(t *tx) {
		for _, id := range ids {
			old, known := t.Get(id)
			if !known {
				continue
			}
			at, held := workloadmeta.FindReport(old.all(), reporter)
			if !held || old.all()[at].State != workloadmeta.Live {
				continue
			}
			reports := slices.Clone(old.all())
			reports[at].State = workloadmeta.Away
			s.put(t, id, old, merge(reports), quiet)
		}
	})
}

// volume says whether a change is told to subscribers.
type volume uint8

const (
	loud volume = iota
	// quiet is a change that only they hear of who would see another entity: it is not worth
	// an event that one reporter of several agrees, is away, or is back.
	quiet
)

func quietIf(is bool) volume {
	if is {
		return quiet
	}
	return loud
}

// put makes r what the table holds. old is what it holds now, or nil.
func (s *Store) put(t *tx, id workloadmeta.EntityID, old, r *record, v volume) {
	r.complete = s.isComplete(id.Kind, r.reports())
	s.fingerprints.note(id, r.all())
	if old != nil && r.isAside(old.entity()) {
		// What was there has ended, and something else has its ID.
		s.remove(t, id, old, old)
		old = nil
	}
	if old == nil {
		s.index.add(nil, r.entity())
		t.Set(id, r)
		return
	}
	if r.several != nil && r.entity().Equal(old.entity()) {
		r.one[0].Entity = old.entity() // what is the same is kept once
	}
	if v == quiet && r.complete == old.complete && r.looksLike(old) {
		t.Replace(id, r)
		return
	}
	// Indexes first when adding, last when removing: whoever finds an ID in an index
	// may find nothing behind it, but never misses what the table shows.
	same := s.index.add(old.entity(), r.entity())
	t.Set(id, r)
	if !same {
		s.index.drop(old.entity(), r.entity())
	}
}

func (s *Store) remove(t *tx, id workloadmeta.EntityID, old, final *record) {
	t.Delete(id, final)
	s.index.drop(old.entity(), nil)
}

func (s *Store) isComplete(kind workloadmeta.Kind, reports []workloadmeta.Report) bool {
	expected := s.expected[kind].Load()
	if expected == nil {
		return true
	}
	for _, source := range *expected {
		if !slices.ContainsFunc(reports,
			func(r workloadmeta.Report) bool { return r.Source == source }) {
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
		for _, r := range s.kinds[kind].All() {
			if r.complete != s.isComplete(kind, r.reports()) {
				changed = append(changed, r)
			}
		}
		for _, r := range changed {
			again := *r
			again.complete = !r.complete
			t.Set(r.entity().GetID(), &again)
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
