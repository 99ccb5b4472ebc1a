package statebus

// backlog merges the events of a mailbox that has grown long. It finds the events
// of a key through an index, which it extends by a few events at each commit, so
// that no single commit pays for the length of the mailbox by hashing it. (With
// 100k keys pending, indexing at once held up a commit for 70 ms; what is left is
// the moving of what remains, a few ms: BenchmarkStalledSubscriber.)
//
// Positions count events from an arbitrary beginning; pending[i] has position
// base+i. A position below base means that the event was handed over.
type backlog[K comparable] struct {
	base  int
	byKey map[K]int32 // index into nodes
	nodes []node
	free  []int32 // unused nodes
	// owner holds the node of each of the first len(owner) pending events, and -1
	// for one that is merged already.
	owner []int32
}

// node holds the positions of the events of one key.
type node struct {
	newest int
	// unset is that of the unset that stays before newest, which is a set.
	unset int
}

const nowhere = -1

// indexStep is the number of events, besides twice those that come in, which are
// indexed at a commit.
const indexStep = 32

// reduce merges pending events when they are many, under the commit lock and mu.
func (s *Subscription[K, V]) reduce(arriving int) {
	if len(s.pending) <= s.t.opts.CoalesceAt {
		return
	}
	if b := s.backlog; b == nil || len(b.byKey) > 2*len(s.pending)+s.t.opts.CoalesceAt {
		s.backlog = &backlog[K]{byKey: make(map[K]int32)}
	}
	b := s.backlog
	for n := indexStep + 2*arriving; n > 0 && len(b.owner) < len(s.pending); n-- {
		s.index(b, len(b.owner))
	}
	if len(s.pending) > s.threshold && len(b.owner) == len(s.pending) {
		s.compact(b)
	}
}

// index enters pending event i, and merges it with those of the same key.
func (s *Subscription[K, V]) index(b *backlog[K], i int) {
	e := &s.pending[i]
	if e.Type&merged != 0 {
		b.owner = append(b.owner, nowhere)
		return
	}
	o, ok := b.byKey[e.Key]
	if !ok {
		o = b.newNode()
		b.byKey[e.Key] = o
	}
	b.owner = append(b.owner, o)
	if n := &b.nodes[o]; n.newest >= b.base {
		s.follow(b, n, e)
	} else {
		n.unset = nowhere
	}
	b.nodes[o].newest = b.base + i
}

// follow merges the pending events of a key with the one that comes next. The one
// that stays remembers whether the subscriber knew the key before all of them.
func (s *Subscription[K, V]) follow(b *backlog[K], n *node, later *Event[K, V]) {
	earlier := &s.pending[n.newest-b.base]
	switch {
	case later.Type&Set != 0 && earlier.Type&Unset != 0:
		n.unset = n.newest
		earlier.Type |= recreated
		return
	case later.Type&Set != 0:
		later.Type = later.Type&^unseen | earlier.Type&unseen
	default:
		oldest := earlier
		if n.unset >= b.base {
			oldest = &s.pending[n.unset-b.base]
			oldest.Type |= merged
			s.count.Coalesced++
		}
		n.unset = nowhere
		later.Type = later.Type&^unseen | oldest.Type&unseen
	}
	earlier.Type |= merged
	s.count.Coalesced++
}

// compact removes what is merged, and the oldest tombstones if they are too many.
// What stays keeps its order, and with it that of the revisions.
func (s *Subscription[K, V]) compact(b *backlog[K]) {
	events := s.pending
	drop := s.markSurplus(events) - s.t.opts.MaxTombstones
	n := 0
	for i := range events {
		typ := events[i].Type
		if typ&merged != 0 {
			continue
		}
		o := b.owner[i]
		if typ&surplus != 0 && drop > 0 {
			drop--
			s.count.TombstonesDropped++
			delete(b.byKey, events[i].Key)
			b.free = append(b.free, o)
			continue
		}
		if n != i {
			events[n] = events[i]
			b.owner[n] = o
		}
		events[n].Type &^= surplus
		if typ&recreated != 0 {
			b.nodes[o].unset = b.base + n
		} else {
			b.nodes[o].newest = b.base + n
		}
		n++
	}
	clear(events[n:])
	s.pending, b.owner = events[:n], b.owner[:n]
	s.threshold = max(s.t.opts.CoalesceAt, 2*n)
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
			_, live := s.t.values.Get(e.Key)
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

// advance notes that the first n pending events were handed over; what is left
// stays indexed.
func (b *backlog[K]) advance(n int) *backlog[K] {
	if b == nil || n > len(b.owner) {
		return nil
	}
	b.base += n
	b.owner = b.owner[n:]
	return b
}

func (b *backlog[K]) newNode() int32 {
	if n := len(b.free); n > 0 {
		o := b.free[n-1]
		b.free = b.free[:n-1]
		b.nodes[o] = node{nowhere, nowhere}
		return o
	}
	b.nodes = append(b.nodes, node{nowhere, nowhere})
	return int32(len(b.nodes) - 1)
}
