package collection

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// reportTable knows what each collector has reported and not withdrawn, so that what a full list
// no longer has can be removed, and is the only one to write to the store. What the reports say,
// and what becomes of several reports of one entity, is the store's business.
//
// Each collector has a set of reports. The set's clock ticks whenever something is reported and
// whenever a list begins; every report carries the tick at which it was last made. A list that
// began at tick n and is finished removes the reports older than n.
type reportTable struct {
	store Store
	begun time.Time // from which the times of losses count, by the monotonic clock

	// mu guards the sets. It is held while the store is written to, against the habit
	// of making no calls under a lock: the sets and the store must change in the same
	// order, or a removal by one collector could overtake a report by another. The
	// store promises not to wait for anybody, and takes one writer at a time anyway.
	mu        sync.Mutex
	sets      []*reportSet
	closed    bool        // nothing is taken any more
	forgotten []Forgotten // the newest last
}

// reportSet is what one collector reports. The table's mutex guards it.
type reportSet struct {
	clock uint64
	// the collector itself and, if it passes on what others report, those
	reporters []*workloadmeta.Reporter
	reported  map[reportKey]report  // what was reported and not withdrawn
	peak      int                   // most reports since the map was made
	listedAt  time.Time             // when the last list or pull was finished; zero: lost since
	syncedAt  uint64                // tick of the last finished list of the stream
	streams   bool                  // its stream is connected and has listed everything
	lostAt    uint64                // tick at which the daemon was last lost
	requests  map[*request]struct{} // pulls and fetches under way
	// what was withdrawn since the first of requests began; nil if there are none
	withdrawn map[workloadmeta.EntityID]withdrawal
}

// report is what is remembered of a collector's last report of an entity.
type report struct {
	tick    uint64 // of the set
	started uint64 // of a process: when, if that is known
	// when the collector lost its daemon, after the table was begun; 0: it has not
	away  time.Duration
	ended bool // says that the entity has ended
	// refuted says that somebody who knows better has seen the end of what the collector
	// infers from something else. Saying the same again is no news then.
	refuted  bool
	inferred workloadmeta.Entity // what it says, if it infers that
	// process is a container's first process, if the scan of processes saw it when the
	// collector went away: as long as it is there, so is the container.
	process *workloadmeta.Process
}

// request is a pull or a fetch under way. What it finds may have changed by the time it is done.
type request struct {
	set   *reportSet
	began uint64 // tick of the set
	fetch bool
}

// withdrawal is what happened to an entity while a request was under way.
type withdrawal struct {
	tick uint64 // of the set of the collector that makes the request
	// ours says that this collector itself has withdrawn it, or that somebody has
	// seen its end; otherwise another collector does not report it any longer.
	ours bool
}

// reportKey names what one reporter says of one entity.
type reportKey struct {
	by *workloadmeta.Reporter // of reportSet.reporters
	id workloadmeta.EntityID
}

func compareReportKeys(a, b reportKey) int {
	return cmp.Or(cmp.Compare(a.id.Kind, b.id.Kind), strings.Compare(a.id.ID, b.id.ID),
		workloadmeta.CompareReporters(a.by, b.by))
}

// open adds a collector's set.
func (t *reportTable) open(d workloadmeta.Description) *reportSet {
	s := &reportSet{
		reporters: []*workloadmeta.Reporter{{Name: d.ID, Source: d.Source, Rank: d.Rank}},
		reported:  map[reportKey]report{},
		requests:  map[*request]struct{}{},
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sets = append(t.sets, s)
	return s
}

// forgetSet drops the set of an instance that has gone.
func (t *reportTable) forgetSet(s *reportSet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sets = slices.DeleteFunc(t.sets, func(other *reportSet) bool { return other == s })
}

// key returns whose report of what an event is.
func (s *reportSet) key(ev *workloadmeta.CollectorEvent) reportKey {
	return reportKey{s.reporter(ev), ev.Entity.GetID()}
}

// reporter returns who an event is from, the same pointer for the same reporter.
func (s *reportSet) reporter(ev *workloadmeta.CollectorEvent) *workloadmeta.Reporter {
	own := s.reporters[0]
	who := workloadmeta.Reporter{Name: own.Name, Source: ev.Source, Rank: own.Rank}
	if ev.Reporter != nil {
		who = *ev.Reporter
	}
	for _, r := range s.reporters {
		if *r == who {
			return r
		}
	}
	s.reporters = append(s.reporters, &who)
	return &who
}

// beginStream returns the tick at which a run of the stream begins.
func (t *reportTable) beginStream(s *reportSet) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.clock++
	s.streams = false
	return s.clock
}

// beginRequest is called when a pull or a fetch begins. endRequest must follow.
func (t *reportTable) beginRequest(s *reportSet, fetch bool) *request {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.clock++
	if s.withdrawn == nil {
		s.withdrawn = map[workloadmeta.EntityID]withdrawal{}
	}
	req := &request{set: s, began: s.clock, fetch: fetch}
	s.requests[req] = struct{}{}
	return req
}

// endRequest may be called more than once. What the request finds after that is not used.
func (t *reportTable) endRequest(req *request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(req.set.requests, req)
	if len(req.set.requests) == 0 {
		req.set.withdrawn = nil
	}
}

// apply records valid events that are true now.
func (t *reportTable) apply(s *reportSet, events []workloadmeta.CollectorEvent) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.clock++
	return t.write(t.record(s, events, s.clock, nil))
}

// pullFailed is called when a pull has failed. While the same collector's stream is connected,
// that tells of what is there.
func (t *reportTable) pullFailed(s *reportSet, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.streams {
		t.lose(s, now)
	}
}

// lost is called when a pull or a stream has failed. What the collector reported stays, but
// until it reports it again, a live reporter outvotes it.
func (t *reportTable) lost(s *reportSet, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lose(s, now)
}

// lose is lost with t.mu held.
func (t *reportTable) lose(s *reportSet, now time.Time) {
	s.listedAt, s.streams = time.Time{}, false
	s.clock++
	s.lostAt = s.clock
	t.away(s, now, func(report) bool { return true })
}

// away notes that the collector cannot confirm those of its reports that picks returns true
// for. It needs t.mu.
func (t *reportTable) away(s *reportSet, now time.Time, picks func(report) bool) {
	ids := map[*workloadmeta.Reporter][]workloadmeta.EntityID{}
	for k, r := range s.reported {
		if r.away == 0 && picks(r) {
			r.away = max(1, now.Sub(t.begun))
			r.process = t.firstProcess(k)
			s.reported[k] = r
			ids[k.by] = append(ids[k.by], k.id)
		}
	}
	for by, ids := range ids {
		t.store.Away(by, ids)
	}
}

// finishStream removes what was last reported before the run of the stream began.
func (t *reportTable) finishStream(s *reportSet, began uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.clock++
	s.syncedAt, s.listedAt, s.streams = s.clock, time.Now(), true
	return t.write(t.sweep(s, began, nil, nil))
}

// applyPull makes the set, and with it the store, what a pull found. Whatever the
// stream of the same collector has said since the pull began is newer and stays, and so
// is an end that somebody else has seen since.
func (t *reportTable) applyPull(req *request, events []workloadmeta.CollectorEvent) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := req.set
	if _, ok := s.requests[req]; !ok || s.syncedAt > req.began {
		return nil // it took too long, or the stream has just listed everything
	}
	s.listedAt = time.Now()
	// What is gone goes first: a container that was replaced by one of the same name
	// must not make the name ambiguous.
	marked := map[reportKey]bool{}
	for _, ev := range events {
		marked[s.key(&ev)] = true
	}
	skip := t.newerThan(req) // before the sweep, which is no news from the stream
	out := t.sweep(s, req.began, marked, nil)
	return t.write(append(out, t.record(s, events, req.began, skip)...))
}

// applyFetch reports what a fetch has found, except for what has gone meanwhile.
func (t *reportTable) applyFetch(req *request, events []workloadmeta.CollectorEvent) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := req.set.requests[req]; !ok {
		return nil
	}
	s := req.set
	err := t.write(t.record(s, events, req.began, t.newerThan(req)))
	if s.lostAt > req.began && s.listedAt.IsZero() {
		// The answer is from before the loss.
		t.away(s, time.Now(), func(r report) bool { return r.tick == req.began })
	}
	return err
}

// newerThan returns which reports have news that a request cannot know of.
func (t *reportTable) newerThan(req *request) func(reportKey) bool {
	s := req.set
	gone := map[workloadmeta.EntityID]bool{}
	for id, w := range s.withdrawn {
		if w.tick > req.began && (w.ours || req.fetch) {
			gone[id] = true
		}
	}
	return func(k reportKey) bool { return gone[k.id] || s.reported[k].tick > req.began }
}

// drop removes one entity if it has not been reported since the given tick.
func (t *reportTable) drop(s *reportSet, k reportKey, since uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r, ok := s.reported[k]; !ok || r.tick > since {
		return nil
	}
	return t.write(t.remove(s, k, nil, nil))
}

// keys returns what the set holds, sorted, and the tick of now.
func (t *reportTable) keys(s *reportSet) ([]reportKey, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]reportKey, 0, len(s.reported))
	for k := range s.reported {
		list = append(list, k)
	}
	slices.SortFunc(list, compareReportKeys)
	return list, s.clock
}

// count returns how many entities the set holds.
func (t *reportTable) count(s *reportSet) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(s.reported)
}

// close ends the table: what collectors still report is an error.
func (t *reportTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// The functions below need t.mu.

func (t *reportTable) write(events []workloadmeta.CollectorEvent) error {
	switch {
	case len(events) == 0:
		return nil
	case t.closed:
		return errAfterRun
	}
	return t.store.Notify(events)
}

// record enters events into the set with the given tick and returns what the store
// must be told. Those for which skip is true are left alone.
func (t *reportTable) record(s *reportSet, events []workloadmeta.CollectorEvent, tick uint64,
	skip func(reportKey) bool) []workloadmeta.CollectorEvent {
	out := make([]workloadmeta.CollectorEvent, 0, len(events))
	for _, ev := range events {
		k := s.key(&ev)
		if skip != nil && skip(k) {
			continue
		}
		if ev.Type == workloadmeta.EventTypeUnset {
			out = t.remove(s, k, ev.Entity, out)
			continue
		}
		r := report{tick: tick, ended: workloadmeta.HasEnded(ev.Entity)}
		if p, ok := ev.Entity.(*workloadmeta.Process); ok {
			r.started = p.StartTicks
		}
		if k.by.Source.Infers(k.id.Kind) {
			r.inferred = ev.Entity
			if old := s.reported[k]; old.refuted && old.inferred.Equal(ev.Entity) {
				r.refuted = true
			}
		}
		s.reported[k] = r
		if r.refuted {
			continue
		}
		s.peak = max(s.peak, len(s.reported))
		ev.Reporter = k.by
		out = append(out, ev)
	}
	return out
}

// remove takes a report out of the set and appends the event the store needs, if any.
// A nil last means that nothing is known about the end.
func (t *reportTable) remove(s *reportSet, k reportKey, last workloadmeta.Entity,
	out []workloadmeta.CollectorEvent) []workloadmeta.CollectorEvent {
	mine, ok := s.reported[k]
	if !ok {
		return out // not this collector's to remove
	}
	if last != nil && t.isAnother(k, mine, last) {
		return out
	}
	delete(s.reported, k)
	if s.peak > 1024 && len(s.reported) < s.peak/4 {
		s.shrink()
	}
	if last == nil {
		last, _ = workloadmeta.NewEntity(k.id) // the kind was valid when it was reported
	}
	ended := mine.ended || workloadmeta.HasEnded(last)
	for _, other := range t.sets {
		if ended && other != s {
			other.refute(k)
		}
		if other.withdrawn == nil || other != s && k.by.Source.Infers(k.id.Kind) {
			continue
		}
		other.clock++
		other.withdrawn[k.id] = withdrawal{other.clock, other == s || ended ||
			other.withdrawn[k.id].ours}
	}
	return append(out, workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset,
		Source: k.by.Source, Entity: last, Reporter: k.by})
}

// isAnother reports whether what has ended is an older process than the one that the collector
// reports under this ID. The store takes no notice of such an end.
func (t *reportTable) isAnother(k reportKey, mine report, ended workloadmeta.Entity) bool {
	p, ok := ended.(*workloadmeta.Process)
	if !ok || p.StartTicks == 0 {
		return false
	}
	if mine.started != 0 {
		return mine.started != p.StartTicks
	}
	reports, _ := t.store.Reports(k.id) // none if it has gone
	_, held := workloadmeta.FindReport(reports, k.by)
	return held && slices.ContainsFunc(reports, func(r workloadmeta.Report) bool {
		return !workloadmeta.SameIncarnation(r.Entity, p)
	})
}

// refute notes that somebody has seen the end of an entity.
func (s *reportSet) refute(ended reportKey) {
	for _, by := range s.reporters {
		k := reportKey{by, ended.id}
		if r, ok := s.reported[k]; ok && by.Source.Infers(k.id.Kind) &&
			!ended.by.Source.Infers(k.id.Kind) {
			r.refuted = true
			s.reported[k] = r
		}
	}
}

// shrink gives back what the map took when it was at its largest.
func (s *reportSet) shrink() {
	reported := make(map[reportKey]report, len(s.reported))
	for k, r := range s.reported {
		reported[k] = r
	}
	s.reported, s.peak = reported, len(reported)
}

// sweep removes the reports last reported before the tick, in a stable order, but not those
// in keep.
func (t *reportTable) sweep(s *reportSet, before uint64, keep map[reportKey]bool,
	out []workloadmeta.CollectorEvent) []workloadmeta.CollectorEvent {
	var old []reportKey
	for k, r := range s.reported {
		if r.tick < before && !keep[k] {
			old = append(old, k)
		}
	}
	slices.SortFunc(old, compareReportKeys)
	for _, k := range old {
		out = t.remove(s, k, nil, out)
	}
	return out
}
