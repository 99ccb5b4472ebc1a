package statebus

import "time"

// The tiers meet in two numbers: each first-tier subscription shows the revision
// of the oldest change it was given and has not finished, and a second-tier one
// takes only changes before all of these. Committers fill the mailboxes of the
// first tier first, so whoever finds a change in a second-tier mailbox finds it
// counted in the first tier as well.

// finished notes that a first-tier bundle was finished, under mu.
func (s *Subscription[K, V]) finished() {
	s.settled.Store(true)
	s.oldest.Store(s.firstRev)
	if s.late.Load() {
		inTime := s.takenLate && time.Since(s.takenAt) < s.t.opts.TierDeadline
		if inTime || len(s.pending) == 0 {
			s.late.Store(false)
		}
	}
}

// allowed returns the newest revision up to limit that no first-tier subscription
// holds back.
func (t *Table[K, V]) allowed(limit uint64) uint64 {
	r := t.roster.Load()
	for _, f := range r.all[:r.first] {
		if f.late.Load() {
			continue
		}
		if oldest := f.oldest.Load(); oldest != 0 && oldest <= limit {
			limit = oldest - 1
		}
	}
	return limit
}

// owes reports whether f has not finished everything up to rev, its snapshot
// included.
func (f *Subscription[K, V]) owes(rev uint64) bool {
	oldest := f.oldest.Load()
	return !f.settled.Load() || oldest != 0 && oldest <= rev
}

// snapshotHeld reports whether a first-tier subscription that was there before s
// has not finished what s's snapshot shows. It leaves a mark as released does.
func (s *Subscription[K, V]) snapshotHeld() bool {
	held := func() bool {
		for _, f := range s.peers {
			if !f.late.Load() && f.owes(s.since) {
				return true
			}
		}
		return false
	}
	s.gated.Store(false)
	if !held() {
		return false
	}
	s.gated.Store(true)
	if held() {
		return true
	}
	s.gated.Store(false)
	return false
}

// overrun declares late whoever still holds up s after the deadline.
func (s *Subscription[K, V]) overrun() {
	blockers, rev := s.peers, s.since
	s.mu.Lock()
	s.count.DeadlineMisses++
	if s.primed {
		r := s.t.roster.Load()
		blockers = r.all[:r.first]
		if len(s.pending) > 0 {
			rev = s.pending[0].Revision
		}
	}
	s.mu.Unlock()
	for _, f := range blockers {
		f.mu.Lock()
		oldest := f.oldest.Load()
		owes := oldest != 0 && oldest <= rev || !s.primed && !f.settled.Load()
		if owes && !f.late.Load() {
			f.late.Store(true)
			f.count.DeadlineMisses++
		}
		f.mu.Unlock()
	}
	s.t.openGates()
}

// openGates makes second-tier consumers that wait for the first tier look again.
func (t *Table[K, V]) openGates() {
	r := t.roster.Load()
	for _, s := range r.all[r.first:] {
		if s.gated.Load() && s.gated.CompareAndSwap(true, false) {
			s.signal()
		}
	}
}
