package statebus

// takeSnapshot hands over the first bundle, in the consumer's goroutine.
func (s *Subscription[K, V]) takeSnapshot() (Bundle[K, V], outcome) {
	s.mu.Lock()
	out, over := s.over()
	s.mu.Unlock()
	if over {
		return Bundle[K, V]{}, out
	}
	if s.snapshotHeld() {
		return Bundle[K, V]{}, blocked
	}
	events := s.snapshot()

	s.mu.Lock()
	defer s.mu.Unlock()
	if out, over := s.over(); over {
		return Bundle[K, V]{}, out
	}
	s.primed = true
	s.peers = nil
	s.out, s.outWhole = events, false
	s.handedOver(s.since, len(events))
	return Bundle[K, V]{Revision: s.since, Snapshot: true, Events: events}, handed
}

// snapshot returns the matching values at revision since.
//
// The walk meets each key that has not changed after since exactly once. One that
// has is among the preimages, and the walk may have met its value at since too.
func (s *Subscription[K, V]) snapshot() []Event[K, V] {
	if s.opts.Types&Sets == 0 {
		return nil
	}
	var events []Event[K, V]
	match := s.opts.Match
	if match == nil {
		events = make([]Event[K, V], 0, s.t.slots.Size())
	}
	s.t.slots.RangeRelaxed(func(k K, sl slot[V]) bool {
		if sl.rev <= s.since && (match == nil || match(k, sl.value)) {
			events = append(events, Event[K, V]{Type: Set, New: true, Key: k, Value: sl.value, Revision: sl.rev})
		}
		return true
	})

	// Under the commit lock no change is between the map and the preimages.
	s.t.mu.Lock()
	preimages := s.preimages
	s.preimages, s.snapshotting = nil, false
	s.t.mu.Unlock()
	if len(preimages) == 0 {
		return events
	}
	missed := make(map[K]struct{}, len(preimages))
	for i := range preimages {
		missed[preimages[i].Key] = struct{}{}
	}
	for i := range events {
		delete(missed, events[i].Key)
	}
	for i := range preimages {
		if _, ok := missed[preimages[i].Key]; ok {
			events = append(events, preimages[i])
		}
	}
	return events
}
