package collection

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// ledger knows which collector reports what, and is the only one to write to the store.
//
// Each collector has a book with what it has reported and not withdrawn. The book's
// clock ticks whenever something is reported and whenever a list begins; every entry
// carries the tick at which it was last reported. A list that began at tick n and is
// finished removes the entries older than n.
type ledger struct {
	store Store

	// mu guards the books. It is held while the store is written to, against the habit
	// of making no calls under a lock: the books and the store must change in the same
	// order, or a removal by one collector could overtake a report by another. The
	// store promises not to wait for anybody, and takes one writer at a time anyway.
	mu    sync.Mutex
	books []*book
}

// book is what one collector reports. The ledger's mutex guards it.
type book struct {
	clock    uint64
	id       string // the collector's
	source   workloadmeta.Source
	multi    bool               // reports under other sources, too
	reported map[entry]report   // what was reported and not withdrawn
	trusted  uint64             // older entries have not been confirmed since the last failure
	syncedAt uint64             // tick of the last finished list of the stream
	pulling  bool               // a pull is under way, so that the next two are kept
	gone     map[entry]struct{} // what was withdrawn since the pull began
	ended    map[entry]struct{} // what a stronger collector has seen ending since then
}

// report is what a collector last said of an entity.
type report struct {
	tick   uint64 // of the book
	entity workloadmeta.Entity
	// end is the last word of a stronger collector of the source, which has seen the entity's end
	// since; nil = none has.
	end workloadmeta.Entity
}

// entry is one source's view of one entity.
type entry struct {
	source workloadmeta.Source
	id     workloadmeta.EntityID
}

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.id.Kind, b.id.Kind), strings.Compare(a.id.ID, b.id.ID),
		strings.Compare(string(a.source), string(b.source)))
}

// open adds a collector's book. Books are kept in the order of compareReporters.
func (l *ledger) open(collector string, source workloadmeta.Source, multi bool) *book {
	b := &book{id: collector, source: source, multi: multi, reported: map[entry]report{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books = append(l.books, b)
	slices.SortStableFunc(l.books, func(a, b *book) int { return compareReporters(a.id, b.id) })
	return b
}

// beginStream returns the tick at which a run of the stream begins.
func (l *ledger) beginStream(b *book) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.clock++
	return b.clock
}

// beginPull returns the tick at which a pull begins. endPull must follow.
func (l *ledger) beginPull(b *book) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.clock++
	b.pulling, b.gone, b.ended = true, map[entry]struct{}{}, map[entry]struct{}{}
	return b.clock
}

func (l *ledger) endPull(b *book) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.pulling, b.gone, b.ended = false, nil, nil
}

// report applies valid events that are true now.
func (l *ledger) report(b *book, events []workloadmeta.CollectorEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.clock++
	return l.write(l.post(b, events, b.clock, nil))
}

// distrust is called when a list or a stream has failed. What it reported stays, but
// no longer outvotes another collector of the source that says an entity is gone: who
// sees nothing cannot contradict who does.
func (l *ledger) distrust(b *book) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.clock++
	b.trusted = b.clock
}

// finishStream removes what was last reported before the run of the stream began.
func (l *ledger) finishStream(b *book, began uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.clock++
	b.syncedAt = b.clock
	return l.write(l.sweep(b, began, nil))
}

// applyPull makes the book, and with it the store, what a pull found. Whatever the
// stream of the same collector has said since the pull began is newer and stays, and so
// is an end that a stronger collector has seen since.
func (l *ledger) applyPull(b *book, began uint64, events []workloadmeta.CollectorEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.syncedAt > began {
		return nil // the stream has just listed everything
	}
	newer := func(e entry) bool {
		_, gone := b.gone[e]
		_, ended := b.ended[e]
		return gone || ended || b.reported[e].tick > began
	}
	// The pull's own events must not count as news from the stream.
	b.pulling = false
	// What is gone goes first: a container that was replaced by one of the same name
	// must not make the name ambiguous.
	marked := map[entry]bool{}
	for _, ev := range events {
		marked[entry{ev.Source, ev.Entity.GetID()}] = true
	}
	var out []workloadmeta.CollectorEvent
	out = l.sweepUnless(b, began, marked, out)
	return l.write(append(out, l.post(b, events, began, newer)...))
}

// drop removes one entity if it has not been reported since the given tick.
func (l *ledger) drop(b *book, e entry, since uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := b.reported[e]; !ok || r.tick > since {
		return nil
	}
	return l.write(l.remove(b, e, nil, nil))
}

// entries returns what the book holds, sorted, and the tick of now.
func (l *ledger) entries(b *book) ([]entry, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]entry, 0, len(b.reported))
	for e := range b.reported {
		list = append(list, e)
	}
	slices.SortFunc(list, compareEntries)
	return list, b.clock
}

// count returns how many entities the book holds.
func (l *ledger) count(b *book) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(b.reported)
}

// The functions below need l.mu.

func (l *ledger) write(events []workloadmeta.CollectorEvent) error {
	if len(events) == 0 {
		return nil
	}
	return l.store.Notify(events)
}

// post enters events into the book with the given tick and returns what the store
// must be told. Entries for which skip is true are left alone.
func (l *ledger) post(b *book, events []workloadmeta.CollectorEvent, tick uint64,
	skip func(entry) bool) []workloadmeta.CollectorEvent {
	out := make([]workloadmeta.CollectorEvent, 0, len(events))
	for _, ev := range events {
		e := entry{ev.Source, ev.Entity.GetID()}
		if skip != nil && skip(e) {
			continue
		}
		if ev.Type == workloadmeta.EventTypeUnset {
			out = l.remove(b, e, ev.Entity, out)
			continue
		}
		b.reported[e] = report{tick: tick, entity: ev.Entity}
		ev.Entity = l.combined(e, ev.Entity)
		out = append(out, ev)
	}
	return out
}

// remove takes an entry out of the book and appends the event the store needs, if any.
// A nil last means that nothing is known about the end.
func (l *ledger) remove(b *book, e entry, last workloadmeta.Entity,
	out []workloadmeta.CollectorEvent) []workloadmeta.CollectorEvent {
	mine, ok := b.reported[e]
	if !ok {
		return out // not this collector's to remove
	}
	delete(b.reported, e)
	if b.pulling {
		b.gone[e] = struct{}{}
	}
	if last == nil {
		last, _ = workloadmeta.NewEntity(e.id) // the kind was valid when it was reported
	}
	l.tellOthers(b, e, workloadmeta.Finalize(mine.entity, last))
	if l.standing(e) {
		return append(out,
			workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Source: e.source,
				Entity: l.combined(e, nil)})
	}
	if mine.end != nil {
		ends := []workloadmeta.Entity{mine.end, last}
		last = workloadmeta.Combine(ends, ends)
	}
	return append(out,
		workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset, Source: e.source,
			Entity: last})
}

// standing reports whether a collector that can be trusted still reports the entry.
func (l *ledger) standing(e entry) bool {
	for _, b := range l.books {
		if r, ok := b.reported[e]; ok && r.tick >= b.trusted {
			return true
		}
	}
	return false
}

// tellOthers notes the end that b has seen with the weaker collectors: with their reports of the
// entry, where it counts until they report it anew, and with the pulls that are under way, which
// may have looked before.
func (l *ledger) tellOthers(b *book, e entry, end workloadmeta.Entity) {
	stronger := true
	for _, other := range l.books {
		if other == b {
			stronger = false
			continue
		}
		if stronger {
			continue
		}
		if other.pulling && workloadmeta.Ended(end, end) != nil {
			other.ended[e] = struct{}{}
		}
		if r, ok := other.reported[e]; ok {
			r.end = end
			other.reported[e] = r
		}
	}
}

// combined returns what all collectors of a source say of an entry. only is returned if nobody but
// its reporter does; nil = not known.
func (l *ledger) combined(e entry, only workloadmeta.Entity) workloadmeta.Entity {
	var room, fresh, stale [4]workloadmeta.Entity
	reports, confirmed, unconfirmed := room[:0], fresh[:0], stale[:0]
	for _, b := range l.books {
		r, ok := b.reported[e]
		if !ok {
			continue
		}
		entity := r.entity
		if r.end != nil {
			if ended := workloadmeta.Ended(entity, r.end); ended != nil {
				entity = ended
			}
		}
		reports = append(reports, entity)
		// What nobody has confirmed since its collector failed may have changed since, however
		// strong the collector is. Who it is has not.
		if r.tick >= b.trusted {
			confirmed = append(confirmed, entity)
		} else {
			unconfirmed = append(unconfirmed, entity)
		}
	}
	if only != nil && len(reports) == 1 {
		return only
	}
	return workloadmeta.Combine(reports, append(confirmed, unconfirmed...))
}

// reports returns who says what of an entity, the strongest of each source first.
func (l *ledger) reports(id workloadmeta.EntityID) []Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Report
	for _, b := range l.books {
		for e, r := range b.of(id) {
			out = append(out, Report{Collector: b.id, Source: e.source, Entity: r.entity})
		}
	}
	slices.SortStableFunc(out,
		func(a, b Report) int { return workloadmeta.CompareSources(a.Source, b.Source) })
	return out
}

// of yields what the book has of an entity: usually under one source.
func (b *book) of(id workloadmeta.EntityID) iter.Seq2[entry, report] {
	return func(yield func(entry, report) bool) {
		if r, ok := b.reported[entry{b.source, id}]; ok && !b.multi {
			yield(entry{b.source, id}, r)
			return
		}
		for e, r := range b.reported {
			if b.multi && e.id == id && !yield(e, r) {
				return
			}
		}
	}
}

func (l *ledger) sweep(b *book, before uint64,
	out []workloadmeta.CollectorEvent) []workloadmeta.CollectorEvent {
	return l.sweepUnless(b, before, nil, out)
}

// sweepUnless removes the entries last reported before the tick, in a stable order, but
// not those in keep.
func (l *ledger) sweepUnless(b *book, before uint64, keep map[entry]bool,
	out []workloadmeta.CollectorEvent) []workloadmeta.CollectorEvent {
	var old []entry
	for e, r := range b.reported {
		if r.tick < before && !keep[e] {
			old = append(old, e)
		}
	}
	slices.SortFunc(old, compareEntries)
	for _, e := range old {
		out = l.remove(b, e, nil, out)
	}
	return out
}
