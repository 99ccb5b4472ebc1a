package statebus

import (
	"sort"
	"time"
)

// decide decides what s is told of each change, puts aside what a snapshot still
// needs, and reports whether there is anything to tell. It runs the subscriber's
// functions, under the commit lock but not under the mailbox's.
func (s *Subscription[K, V]) decide(changes []change[K, V], deliveries []EventType) (any bool) {
	done := false
	defer func() {
		if !done {
			s.fail(recover())
			any = false
		}
	}()
	match, same, types := s.opts.Match, s.opts.Same, s.opts.Types
	for i := range changes {
		c := &changes[i]
		before := c.had && (match == nil || match(c.key, c.old))
		if before {
			s.preserve(c)
		}
		after := c.typ&Set != 0 && (match == nil || match(c.key, c.value))
		var v EventType
		switch {
		case before && after:
			if same == nil || !same(c.old, c.value) {
				v = Set
			}
		case after:
			v = Set | unseen
		case before && c.typ&Set != 0:
			v = Unset | left
		case before:
			v = Unset
		}
		switch {
		case v&Set != 0 && types&Sets == 0, v&Unset != 0 && types&Unsets == 0:
			v = 0
		case v&Unset != 0 && types&Sets == 0:
			v |= unseen // it sees no key before its end
		}
		deliveries[i] = v
		any = any || v != 0
	}
	done = true
	return any
}

// preserve keeps the value at the snapshot's revision of a key that changes while
// the snapshot is not taken yet. The slot's revision tells the first change from
// later ones.
func (s *Subscription[K, V]) preserve(c *change[K, V]) {
	if s.snapshotting && c.oldRev <= s.since {
		s.preimages = append(s.preimages,
			Event[K, V]{Type: Set, New: true, Key: c.key, Value: c.old, Revision: c.oldRev})
	}
}

// offer appends the changes to the mailbox and wakes the consumer if it sleeps.
// Without deliveries, s has no filter. It runs under the commit lock.
//
// Merging comes before appending and not after, so that a subscriber that keeps
// up sees every change of a commit of any size.
func (s *Subscription[K, V]) offer(changes []change[K, V], deliveries []EventType, rev uint64) {
	if deliveries == nil && s.snapshotting {
		for i := range changes {
			if changes[i].had {
				s.preserve(&changes[i])
			}
		}
	}

	s.mu.Lock()
	if s.closed || s.failure != nil {
		s.mu.Unlock()
		return
	}
	s.reduce(len(changes))
	for i := range changes {
		c := &changes[i]
		typ, value := c.typ, c.value
		if deliveries != nil {
			typ = deliveries[i]
			if typ == 0 {
				continue
			}
			if typ&left != 0 {
				value = c.old
			}
		}
		s.pending = append(s.pending,
			Event[K, V]{Type: typ, Key: c.key, Value: value, Revision: rev})
	}
	if s.firstRev == 0 {
		s.firstRev = rev
	}
	if s.opts.Tier == First && s.oldest.Load() == 0 {
		s.oldest.Store(rev)
	}
	wake := s.asleep
	s.asleep = false
	s.mu.Unlock()
	if wake {
		s.signal()
	}
}

// outcome is what came of an attempt to take a bundle.
type outcome uint8

const (
	handed  outcome = iota
	empty           // nothing is pending
	blocked         // the first tier is not done
	atEnd           // closed
	failed          // a filter panicked
)

// take hands over what is pending. If there is nothing and park is set, the next
// event leaves a token in wake; if the first tier is not done, its progress does.
func (s *Subscription[K, V]) take(park bool) (Bundle[K, V], outcome) {
	if !s.primed {
		return s.takeSnapshot()
	}
	for {
		if out := s.cut(park); out != handed {
			return Bundle[K, V]{}, out
		}
		n := 0
		for i := range s.out {
			typ := s.out[i].Type
			if typ&merged != 0 {
				continue
			}
			if n != i {
				s.out[n] = s.out[i]
			}
			s.out[n].Type = typ & typeMask
			s.out[n].New = typ&(unseen|Set) == unseen|Set
			n++
		}
		if n == 0 {
			clear(s.out) // all merged into what the first tier still holds back
			continue
		}
		b := Bundle[K, V]{Revision: s.out[n-1].Revision, Events: s.out[:n:n]}
		s.handedOver(b)
		return b, handed
	}
}

// cut moves to out what may be handed over, merged events included.
func (s *Subscription[K, V]) cut(park bool) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asleep = false
	if out, over := s.ended(); over {
		return out
	}
	n := len(s.pending)
	if n == 0 {
		s.asleep = park
		return empty
	}
	if s.opts.Tier == Second {
		if n = s.released(); n == 0 {
			return blocked
		}
	}
	if s.outWhole = n == len(s.pending); s.outWhole {
		s.out = s.pending
		s.pending, s.spare = s.spare, nil
		s.threshold = s.t.opts.CoalesceAt
		s.backlog = nil
		s.firstRev = 0
	} else {
		// The two parts share an array but no element.
		s.out, s.pending = s.pending[:n:n], s.pending[n:]
		s.threshold = max(s.t.opts.CoalesceAt, 2*len(s.pending))
		s.backlog = s.backlog.advance(n)
		s.firstRev = s.pending[0].Revision
	}
	return handed
}

// released returns how many pending events the first tier lets pass, under mu. If
// it is none, the gate is marked, so that the first tier's progress wakes s.
func (s *Subscription[K, V]) released() int {
	count := func() int {
		limit := s.t.allowed(s.pending[len(s.pending)-1].Revision)
		return sort.Search(len(s.pending),
			func(i int) bool { return s.pending[i].Revision > limit })
	}
	s.gated.Store(false)
	n := count()
	if n == 0 {
		// Look again once the mark is set: progress before it woke nobody.
		s.gated.Store(true)
		if n = count(); n > 0 {
			s.gated.Store(false)
		}
	}
	return n
}

// ended reports whether the subscription has come to its end, under mu.
func (s *Subscription[K, V]) ended() (outcome, bool) {
	switch {
	case s.closed:
		return atEnd, true
	case s.failure != nil:
		return failed, true
	}
	return 0, false
}

func (s *Subscription[K, V]) lockedOver() (outcome, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended()
}

// handedOver notes that the consumer gets b.
func (s *Subscription[K, V]) handedOver(b Bundle[K, V]) {
	s.delivered.Store(b.Revision)
	s.bundles.Add(1)
	s.events.Add(uint64(len(b.Events)))
	if s.takenLate = s.late.Load(); s.takenLate {
		s.takenAt = time.Now()
	}
}

// acknowledge ends the consumer's work on b and takes its events back. They are
// cleared, so that the buffer keeps no value alive.
func (s *Subscription[K, V]) acknowledge(b Bundle[K, V]) {
	out := s.out
	s.out = nil
	clear(out)
	keep := s.outWhole && cap(out) <= keepCap

	s.mu.Lock()
	if !s.closed && s.failure == nil {
		if keep {
			s.spare = out[:0]
		}
		s.count.Acknowledged = b.Revision
		if s.opts.Tier == First {
			s.finished()
		}
	}
	s.mu.Unlock()
	if s.opts.Tier == First {
		s.t.openGates()
	}
}
