package statebus

// merger is what merging needs for a while. The table owns one, used under the
// commit lock.
type merger[K comparable, V any] struct {
	last map[K]int32 // index of the newest event of a key
	// before holds, for a set that follows a kept unset, the index of that unset
	// plus one.
	before []int32
}

func (m *merger[K, V]) reset(n int) {
	if m.last == nil {
		m.last = make(map[K]int32, n)
	}
	if cap(m.before) < n {
		m.before = make([]int32, n)
	}
	m.before = m.before[:n]
	clear(m.before)
}

// release forgets the keys, and gives large buffers back.
func (m *merger[K, V]) release() {
	if cap(m.before) > 4*keepCap {
		m.last, m.before = nil, nil
		return
	}
	clear(m.last)
}

// merge reduces the pending events of each key to its newest one and, if that is
// a set, the unset before it. What stays keeps its place, so revisions stay in
// order. It runs under the commit lock and mu.
func (s *Subscription[K, V]) merge() {
	events, m := s.pending, &s.t.merger
	m.reset(len(events))
	defer m.release()
	for i := range events {
		e := &events[i]
		j, ok := m.last[e.Key]
		m.last[e.Key] = int32(i)
		if ok {
			m.follow(events, int(j), i)
		}
	}

	drop := s.markSurplus(events) - s.t.opts.MaxTombstones
	n := 0
	for i := range events {
		typ := events[i].Type
		switch {
		case typ&merged != 0:
			s.count.Coalesced++
			continue
		case typ&surplus != 0 && drop > 0:
			drop--
			s.count.TombstonesDropped++
			continue
		}
		if n != i {
			events[n] = events[i]
		}
		events[n].Type &^= recreated | surplus
		n++
	}
	clear(events[n:])
	s.pending = events[:n]
	s.threshold = max(s.t.opts.CoalesceAt, 2*n)
}

// follow merges event j of a key with event i, the next of the same key.
func (m *merger[K, V]) follow(events []Event[K, V], j, i int) {
	earlier, later := &events[j], &events[i]
	switch {
	case later.Type&Set != 0 && earlier.Type&Set != 0:
		later.Type = later.Type&^unseen | earlier.Type&unseen
		m.before[i] = m.before[j]
		earlier.Type |= merged
	case later.Type&Set != 0:
		m.before[i] = int32(j) + 1
		earlier.Type |= recreated
	default:
		oldest := earlier
		if b := m.before[j]; b > 0 {
			oldest = &events[b-1]
			oldest.Type |= merged
		}
		later.Type = later.Type&^unseen | oldest.Type&unseen
		earlier.Type |= merged
	}
}

// markSurplus marks and counts the events of keys that are neither live nor known
// to the subscriber: nothing else would bound their number.
func (s *Subscription[K, V]) markSurplus(events []Event[K, V]) int {
	n := 0
	for i := range events {
		e := &events[i]
		if e.Type&merged != 0 {
			continue
		}
		var dead bool
		if s.opts.Types&Unsets == 0 {
			// No unset tells that the key is gone.
			_, live := s.t.slots.Load(e.Key)
			dead = !live
		} else {
			dead = e.Type&Unset != 0 && e.Type&unseen != 0 && e.Type&recreated == 0
		}
		if dead {
			e.Type |= surplus
			n++
		}
	}
	return n
}
