package statebus

// takeSnapshot hands over the first bundle, in the consumer's goroutine.
func (s *Subscription[K, V]) takeSnapshot() (Bundle[K, V], outcome) {
	if out, over := s.lockedOver(); over {
		return Bundle[K, V]{}, out
	}
	if s.snapshotHeld() {
		return Bundle[K, V]{}, blocked
	}
	events := s.snapshot()
	if out, over := s.lockedOver(); over {
		return Bundle[K, V]{}, out // closed while the walk went on
	}
	s.primed = true
	s.peers = nil
	s.out, s.outWhole = events, false
	b := Bundle[K, V]{Revision: s.since, Snapshot: true, Events: events}
	s.handedOver(b)
	return b, handed
}

// snapshot returns the matching values at revision since.
//
// The walk meets each key that has not changed after since exactly once. One that
// has is among the preimages, and the walk may have met its value at since too.
func (s *Subscription[K, V]) snapshot() []Event[K, V] {
	if s.opts.Types&Sets == 0 {
		return nil
	}
	match, size := s.opts.Match, s.t.values.Len()
	room := 16
	if match == nil {
		room = max(room, size)
	}
	events := make([]Event[K, V], 0, room)
	walked := false
	defer func() {
		if walked {
			return
		}
		cause := recover()
		s.t.mu.Lock()
		s.fail(cause)
		s.t.mu.Unlock()
		if cause != nil {
			panic(s.failure)
		}
	}()
	visited := 0
	walk := s.opts.Range
	if walk == nil {
		walk = s.t.values.Range
	}
	walk(func(k K, v V, rev uint64) bool {
		if rev <= s.since && (match == nil || match(k, v)) {
			if n := len(events); n == cap(events) {
				// Expect of the rest what the walk has found so far.
				rest := n * max(0, size-visited) / max(1, visited)
				events = append(make([]Event[K, V], 0, n+rest+n/8+16), events...)
			}
			events = append(events,
				Event[K, V]{Type: Set, New: true, Key: k, Value: v, Revision: rev})
		}
		visited++
		return true
	})
	walked = true

	// Under the commit lock no change is between the map and the preimages.
	s.t.mu.Lock()
	preimages := s.preimages
	s.preimages, s.snapshotting = nil, false
	s.t.mu.Unlock()
	if len(preimages) == 0 {
		return events
	}
	// Comparing revisions first spares hashing most keys, which costs more than the
	// whole walk.
	missed := make(map[K]struct{}, len(preimages))
	revisions := make(map[uint64]struct{}, len(preimages))
	for i := range preimages {
		missed[preimages[i].Key] = struct{}{}
		revisions[preimages[i].Revision] = struct{}{}
	}
	for i := range events {
		if _, ok := revisions[events[i].Revision]; ok {
			delete(missed, events[i].Key)
		}
	}
	for i := range preimages {
		if _, ok := missed[preimages[i].Key]; ok {
			events = append(events, preimages[i])
		}
	}
	return events
}
