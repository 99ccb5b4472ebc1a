package collection

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// ledger knows what each collector has reported and not withdrawn, so that what a full list no
// longer has can be removed, and is the only one to write to the store. What the reports say,
// and what becomes of several reports of one entity, is the store's business.
//
// Each collector has a book. The book's clock ticks whenever something is reported and whenever
// a list begins; every entry carries the tick at which it was last reported. A list that began
// at tick n and is finished removes the entries older than n.
type ledger struct {
	store Store

	// mu guards the books. It is held while the store is written to, against the habit
	// of making no calls under a lock: the books and the store must change in the same
	// order, or a removal by one collector could overtake a report by another. The
	// store promises not to wait for anybody, and takes one writer at a time anyway.
	mu        sync.Mutex
	books     []*book
	closed    bool        // nothing is taken any more
	forgotten []Forgotten // the newest last
}

// book is what one collector reports. The ledger's mutex guards it.
type book struct {
	clock uint64
	// the collector itself and, if it passes on what others report, those
	reporters []*workloadmeta.Reporter
	reported  map[entry]report   // what was reported and not withdrawn
	peak      int                // most entries since the map was made
	listedAt  time.Time          // when the last list or pull was finished; zero: lost since
	syncedAt  uint64             // tick of the last finished list of the stream
	streams   bool               // its stream is connected and has listed everything
	lostAt    uint64             // tick at which the daemon was last lost
	looks     map[*look]struct{} // pulls and fetches under way
	// what was withdrawn since the first of looks began; nil if there are none
	gone map[workloadmeta.EntityID]withdrawal
}

// report is what is remembered of a collector's last report of an entity.
type report struct {
	tick    uint64 // of the book
	started uint64 // of a process: when, if that is known
	away    int64  // when the collector lost its daemon, Unix time in ns; 0: it has not
	ended   bool   // says that the entity has ended
	// refuted says that somebody who knows better has seen the end of what the collector
	// infers from something else. Saying the same again is no news then.
	refuted  bool
	inferred workloadmeta.Entity // what it says, if it infers that
	// process is a container's first process, if the scan of processes saw it when the
	// collector went away: as long as it is there, so is the container.
	process *workloadmeta.Process
}

// look is a pull or a fetch under way. What it finds may have changed by the time it is done.
type look struct {
	b     *book
	began uint64 // tick of the book
	fetch bool
}

// withdrawal is what happened to an entity while somebody was looking.
type withdrawal struct {
	tick uint64 // of the book of who looks
	// ours says that the looking collector itself has withdrawn it, or that somebody has
	// seen its end; otherwise another collector does not report it any longer.
	ours bool
}

// entry is what one reporter says of one entity.
type entry struct {
	by *workloadmeta.Reporter // of book.reporters
	id workloadmeta.EntityID
}

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.id.Kind, b.id.Kind), strings.Compare(a.id.ID, b.id.ID),
		workloadmeta.CompareReporters(a.by, b.by))
}

// open adds a collector's book.
func (l *ledger) open(d workloadmeta.Description) *book {
	b := &book{
		reporters: []*workloadmeta.Reporter{{Name: d.ID, Source: d.Source, Rank: d.Rank}},
		reported:  map[entry]report{},
		looks:     map[*look]struct{}{},
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books = append(l.books, b)
	return b
}

// forgetBook drops the book of an instance that has gone.
func (l *ledger) forgetBook(b *book) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books = slices.DeleteFunc(l.books, func(other *book) bool { return other == b })
}

// entry returns whose report of what an event is.
func (b *book) entry(ev *workloadmeta.CollectorEvent) entry {
	return entry{b.reporter(ev), ev.Entity.GetID()}
}

// reporter returns who an event is from, the same pointer for the same reporter.
func (b *book) reporter(ev *workloadmeta.CollectorEvent) *workloadmeta.Reporter {
	own := b.reporters[0]
	who := workloadmeta.Reporter{Name: own.Name, Source: ev.Source, Rank: own.Rank}
	if ev.Reporter != nil {
		who = *ev.Reporter
	}
	for _, r := range b.reporters {
		if *r == who {
			return r
		}
	}
	b.reporters = append(b.reporters, &who)
	return &who
}

// beginStream returns the tick at which a run of the stream begins.
func (l *ledger) beginStream(b *book) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.clock++
	b.streams = false
	return b.clock
}

// beginLook is called when a pull or a fetch begins. endLook must follow.
func (l *ledger) beginLook(b *book, fetch bool) *look {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.clock++
	if b.gone == nil {
		b.gone = map[workloadmeta.EntityID]withdrawal{}
	}
	k := &look{b: b, began: b.clock, fetch: fetch}
	b.looks[k] = struct{}{}
	return k
}

// endLook may be called more than once. What the look finds after that is not used.
func (l *ledger) endLook(k *look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(k.b.looks, k)
	if len(k.b.looks) == 0 {
		k.b.gone = nil
	}
}

// report applies valid events that are true now.
func (l *ledger) report(b *book, events []workloadmeta.CollectorEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.clock++
	return l.write(l.post(b, events, b.clock, nil))
}

// pullFailed is called when a pull has failed. While the same collector's stream is connected,
// that tells of what is there.
func (l *ledger) pullFailed(b *book, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !b.streams {
		l.lose(b, now)
	}
}

// lost is called when a pull or a stream has failed. What the collector reported stays, but
// until it reports it again, a live reporter outvotes it.
func (l *ledger) lost(b *book, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose(b, now)
}

// lose is lost with l.mu held.
func (l *ledger) lose(b *book, now time.Time) {
	b.listedAt, b.streams = time.Time{}, false
	b.clock++
	b.lostAt = b.clock
	l.away(b, now, func(report) bool { return true })
}

// away notes that the collector cannot confirm those of its reports that picks returns true
// for. It needs l.mu.
func (l *ledger) away(b *book, now time.Time, picks func(report) bool) {
	ids := map[*workloadmeta.Reporter][]workloadmeta.EntityID{}
	for e, r := range b.reported {
		if r.away == 0 && picks(r) {
			r.away = now.UnixNano()
			r.process = l.firstProcess(e)
			b.reported[e] = r
			ids[e.by] = append(ids[e.by], e.id)
		}
	}
	for by, ids := range ids {
		l.store.Away(by, ids)
	}
}

// finishStream removes what was last reported before the run of the stream began.
func (l *ledger) finishStream(b *book, began uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.clock++
	b.syncedAt, b.listedAt, b.streams = b.clock, time.Now(), true
	return l.write(l.sweep(b, began, nil, nil))
}

// applyPull makes the book, and with it the store, what a pull found. Whatever the
// stream of the same collector has said since the pull began is newer and stays, and so
// is an end that somebody else has seen since.
func (l *ledger) applyPull(k *look, events []workloadmeta.CollectorEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := k.b
	if _, ok := b.looks[k]; !ok || b.syncedAt > k.began {
		return nil // it took too long, or the stream has just listed everything
	}
	b.listedAt = time.Now()
	// What is gone goes first: a container that was replaced by one of the same name
	// must not make the name ambiguous.
	marked := map[entry]bool{}
	for _, ev := range events {
		marked[b.entry(&ev)] = true
	}
	skip := l.newerThan(k) // before the sweep, which is no news from the stream
	out := l.sweep(b, k.began, marked, nil)
	return l.write(append(out, l.post(b, events, k.began, skip)...))
}

// applyFetch reports what a fetch has found, except for what has gone meanwhile.
func (l *ledger) applyFetch(k *look, events []workloadmeta.CollectorEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := k.b.looks[k]; !ok {
		return nil
	}
	b := k.b
	err := l.write(l.post(b, events, k.began, l.newerThan(k)))
	if b.lostAt > k.began && b.listedAt.IsZero() {
		// The answer is from before the loss.
		l.away(b, time.Now(), func(r report) bool { return r.tick == k.began })
	}
	return err
}

// newerThan returns which entries have news that a look cannot know of.
func (l *ledger) newerThan(k *look) func(entry) bool {
	b := k.b
	gone := map[workloadmeta.EntityID]bool{}
	for id, w := range b.gone {
		if w.tick > k.began && (w.ours || k.fetch) {
			gone[id] = true
		}
	}
	return func(e entry) bool { return gone[e.id] || b.reported[e].tick > k.began }
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

// close makes the ledger deaf: whoever still reports is not listened to.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// The functions below need l.mu.

func (l *ledger) write(events []workloadmeta.CollectorEvent) error {
	switch {
	case len(events) == 0:
		return nil
	case l.closed:
		return errAfterRun
	}
	return l.store.Notify(events)
}

// post enters events into the book with the given tick and returns what the store
// must be told. Entries for which skip is true are left alone.
func (l *ledger) post(b *book, events []workloadmeta.CollectorEvent, tick uint64,
	skip func(entry) bool) []workloadmeta.CollectorEvent {
	out := make([]workloadmeta.CollectorEvent, 0, len(events))
	for _, ev := range events {
		e := b.entry(&ev)
		if skip != nil && skip(e) {
			continue
		}
		if ev.Type == workloadmeta.EventTypeUnset {
			out = l.remove(b, e, ev.Entity, out)
			continue
		}
		r := report{tick: tick, ended: workloadmeta.HasEnded(ev.Entity)}
		if p, ok := ev.Entity.(*workloadmeta.Process); ok {
			r.started = p.StartTicks
		}
		if e.by.Source.Infers(e.id.Kind) {
			r.inferred = ev.Entity
			if old := b.reported[e]; old.refuted && old.inferred.Equal(ev.Entity) {
				r.refuted = true
			}
		}
		b.reported[e] = r
		if r.refuted {
			continue
		}
		b.peak = max(b.peak, len(b.reported))
		ev.Reporter = e.by
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
	if last != nil && l.isAnother(e, mine, last) {
		return out
	}
	delete(b.reported, e)
	if b.peak > 1024 && len(b.reported) < b.peak/4 {
		b.shrink()
	}
	if last == nil {
		last, _ = workloadmeta.NewEntity(e.id) // the kind was valid when it was reported
	}
	ended := mine.ended || workloadmeta.HasEnded(last)
	for _, looking := range l.books {
		if ended && looking != b {
			looking.refute(e)
		}
		if looking.gone == nil || looking != b && e.by.Source.Infers(e.id.Kind) {
			continue
		}
		looking.clock++
		looking.gone[e.id] = withdrawal{looking.clock, looking == b || ended ||
			looking.gone[e.id].ours}
	}
	return append(out, workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset,
		Source: e.by.Source, Entity: last, Reporter: e.by})
}

// isAnother reports whether what has ended is an older process than the one that the collector
// reports under this ID. The store takes no notice of such an end.
func (l *ledger) isAnother(e entry, mine report, ended workloadmeta.Entity) bool {
	p, ok := ended.(*workloadmeta.Process)
	if !ok || p.StartTicks == 0 {
		return false
	}
	if mine.started != 0 {
		return mine.started != p.StartTicks
	}
	reports, _ := l.store.Reports(e.id) // none if it has gone
	_, held := workloadmeta.FindReport(reports, e.by)
	return held && slices.ContainsFunc(reports, func(r workloadmeta.Report) bool {
		return !workloadmeta.SameIncarnation(r.Entity, p)
	})
}

// refute notes that somebody has seen the end of an entity.
func (b *book) refute(ended entry) {
	for _, by := range b.reporters {
		e := entry{by, ended.id}
		if r, ok := b.reported[e]; ok && by.Source.Infers(e.id.Kind) &&
			!ended.by.Source.Infers(e.id.Kind) {
			r.refuted = true
			b.reported[e] = r
		}
	}
}

// shrink gives back what the map took when it was at its largest.
func (b *book) shrink() {
	reported := make(map[entry]report, len(b.reported))
	for e, r := range b.reported {
		reported[e] = r
	}
	b.reported, b.peak = reported, len(reported)
}

// sweep removes the entries last reported before the tick, in a stable order, but not those
// in keep.
func (l *ledger) sweep(b *book, before uint64, keep map[entry]bool,
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
