package statebus

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Tier orders subscribers: see the package's promise 4.
type Tier uint8

const (
	// First is the tier of those whose work others rely on.
	First Tier = iota
	// Second is the tier of those who are told when the first tier is done.
	Second
)

func (t Tier) String() string {
	if t == First {
		return "first"
	}
	return "second"
}

// SubOptions say what a subscriber wants. The zero value takes everything.
type SubOptions[K comparable, V any] struct {
	// Name is for people: it appears in [Stats].
	Name string
	Tier Tier
	// Match selects values; nil selects all. It is called on the old and the new
	// value of each change.
	//
	// Match and Same run under the commit lock and in the consumer's goroutine:
	// they must be pure and fast and must not call the table. If one panics, or ends
	// its goroutine, the subscription ends and its Bundles panics in turn; the commit
	// goes on.
	Match func(K, V) bool
	// Range, if set, is what the snapshot walks in place of the whole table: a part of it
	// that holds all that Match selects.
	Range func(f func(k K, v V, revision uint64) bool)
	// Same reports that a change from a to b is none for this subscriber, so a
	// Set is not delivered; nil delivers all.
	Same func(a, b V) bool
	// Types are the events to deliver; 0 means all. Without Sets, the snapshot
	// is empty.
	Types Types
	// Since, if set, asks for the changes after a revision that the subscriber has seen,
	// instead of a snapshot. [Subscription.Resumed] says whether the log still had them; if
	// not, the first bundle is a snapshot as ever.
	Since *Since
}

// Since is the place at which a subscriber stopped: the [Bundle.Revision] of the last bundle that
// it finished, and the [Table.Epoch] of the table it came from. The subscriber asks with the
// filter that it had. In the second tier, what was merged into a change that the first tier still
// held back is not told again: a set of a key that the subscriber was never told of may then come
// without [Event.New], and a set may come without the unset before it.
type Since struct{ Epoch, Revision uint64 }

// Subscription is one subscriber's place in the table. Create one with
// [Table.Subscribe] and close it when done: an open one keeps collecting.
type Subscription[K comparable, V any] struct {
	t       *Table[K, V]
	opts    SubOptions[K, V]
	plain   bool   // no filter at all
	since   uint64 // the snapshot's revision, or where it resumed
	resumed bool

	over atomic.Bool // closed or failed

	// Guarded by the commit lock.
	snapshotting bool
	preimages    []Event[K, V] // values at since of keys that have changed after it

	wake chan struct{} // holds one token when a sleeping consumer should look again

	// What the tiers know of each other; see tier.go.
	oldest  atomic.Uint64 // first tier: revision of the oldest change not finished, or 0
	settled atomic.Bool   // first tier: the snapshot is finished
	late    atomic.Bool   // first tier: missed a deadline; written under mu
	gated   atomic.Bool   // second tier: sleeps until the first tier gets on

	// Of what was handed over; written by the consumer's loop.
	delivered, bundles, events atomic.Uint64

	mu        sync.Mutex // guards the fields below; taken after the commit lock
	pending   []Event[K, V]
	spare     []Event[K, V] // an empty buffer to swap with pending
	backlog   *backlog[K]   // merges pending when it is long, else nil
	threshold int           // compact when pending is longer
	firstRev  uint64        // oldest revision that went into pending
	asleep    bool          // the consumer wants a token for the next event
	looping   bool          // a Bundles loop runs
	closed    bool
	failure   error // a filter panicked
	count     SubscriptionStats

	// Owned by the consumer's loop.
	primed    bool // the snapshot was handed over
	out       []Event[K, V]
	outWhole  bool                  // out is a whole buffer that can be used again
	peers     []*Subscription[K, V] // first-tier ones that were there before, until primed
	timer     *time.Timer           // second tier: the deadline
	takenAt   time.Time             // of the current bundle
	takenLate bool                  // the current bundle was taken while late
}

// Subscribe registers a subscriber at the current revision. It costs no more in
// a large table than in a small one: the snapshot is taken when the first loop
// asks for it. Until then the subscription keeps the changes, merged as for one
// that lags, and at most one old value for each key that lived at Subscribe.
func (t *Table[K, V]) Subscribe(opts SubOptions[K, V]) *Subscription[K, V] {
	if opts.Types == 0 {
		opts.Types = Sets | Unsets
	}
	s := &Subscription[K, V]{
		t:            t,
		opts:         opts,
		plain:        opts.Match == nil && opts.Same == nil && opts.Types == Sets|Unsets,
		snapshotting: opts.Types&Sets != 0,
		wake:         make(chan struct{}, 1),
		threshold:    t.opts.CoalesceAt,
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	s.since = t.rev.Load()
	s.count = SubscriptionStats{Name: opts.Name, Tier: opts.Tier, Since: s.since}
	if t.closed {
		s.closed = true
		s.over.Store(true)
		return s
	}
	defer t.resume(s) // when it is on the roster: a filter may do anything
	r := t.roster.Load()
	next := &roster[K, V]{first: r.first}
	if opts.Tier == First {
		next.all = slices.Insert(slices.Clone(r.all), r.first, s)
		next.first++
	} else {
		next.all = append(slices.Clip(r.all), s)
		s.peers = r.all[:r.first]
	}
	t.roster.Store(next)
	return s
}

// Resumed reports whether the subscription goes on where [SubOptions.Since] says, without a
// snapshot.
func (s *Subscription[K, V]) Resumed() bool { return s.resumed }

// Bundles yields the snapshot and then the changes, waiting for them, until ctx
// ends or the subscription or the table is closed. When the loop's body ends, by
// whatever way, the bundle is acknowledged and its events are no longer the
// consumer's. Bundles may be called again later and goes on where it stopped; two
// loops at a time are a mistake and panic.
func (s *Subscription[K, V]) Bundles(ctx context.Context) iter.Seq[Bundle[K, V]] {
	return func(yield func(Bundle[K, V]) bool) {
		s.enter()
		defer s.leave()
		for {
			b, ok := s.next(ctx)
			if !ok || !s.deliver(b, yield) {
				return
			}
		}
	}
}

// deliver runs the loop's body and acknowledges the bundle, even if the body panics:
// it was handed over, and a first-tier consumer must not hold up the others.
func (s *Subscription[K, V]) deliver(b Bundle[K, V], yield func(Bundle[K, V]) bool) bool {
	defer s.acknowledge(b)
	return yield(b)
}

func (s *Subscription[K, V]) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looping {
		panic(fmt.Sprintf("statebus: subscription %q: two Bundles loops at a time", s.opts.Name))
	}
	s.looping = true
}

func (s *Subscription[K, V]) leave() {
	s.mu.Lock()
	s.looping = false
	s.mu.Unlock()
}

// yields is how often a consumer lets others run before it goes to sleep. Waking
// it costs the committer more than all the rest of a commit, and under load the
// next event is only a moment away.
const yields = 4

// next waits for the next bundle; false means the loop is over.
func (s *Subscription[K, V]) next(ctx context.Context) (Bundle[K, V], bool) {
	var deadline <-chan time.Time
	overdue := false
	for n := 0; ctx.Err() == nil; {
		b, out := s.take(n == yields)
		switch out {
		case handed:
			if deadline != nil {
				s.timer.Stop()
			}
			return b, true
		case atEnd:
			return b, false
		case failed:
			panic(s.failure)
		case empty:
			if n < yields {
				n++
				runtime.Gosched()
				continue
			}
		case blocked:
			if overdue {
				s.overrun()
				continue
			}
			if deadline == nil {
				deadline = s.startTimer()
			}
		}
		select {
		case <-s.wake:
		case <-deadline:
			overdue = true
		case <-ctx.Done():
		}
	}
	if deadline != nil {
		s.timer.Stop()
	}
	return Bundle[K, V]{}, false
}

func (s *Subscription[K, V]) startTimer() <-chan time.Time {
	if s.timer == nil {
		s.timer = time.NewTimer(s.t.opts.TierDeadline)
	} else {
		s.timer.Reset(s.t.opts.TierDeadline)
	}
	return s.timer.C
}

// Close ends the subscription and its loop, after which there are no more
// bundles; a body that runs is not interrupted. Close may be called again, also
// from within the loop's body.
func (s *Subscription[K, V]) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.retire()
	s.mu.Unlock()
	s.signal()
	s.t.openGates()

	s.t.mu.Lock()
	s.preimages, s.snapshotting = nil, false
	s.t.remove(s)
	s.t.mu.Unlock()
}

// remove takes s off the roster, under the commit lock, and keeps its counts.
func (t *Table[K, V]) remove(s *Subscription[K, V]) {
	r := t.roster.Load()
	i := slices.Index(r.all, s)
	if i < 0 {
		return
	}
	next := &roster[K, V]{first: r.first, all: slices.Delete(slices.Clone(r.all), i, i+1)}
	if i < r.first {
		next.first--
	}
	t.roster.Store(next)
	t.past.add(s.stats())
}

// fail ends the subscription because its filter panicked, or ended its goroutine, which is what
// no cause means. The panic continues in its consumer, whose mistake it is, and not in the
// committer. It runs under the commit lock.
func (s *Subscription[K, V]) fail(cause any) {
	if cause == nil {
		cause = "it called runtime.Goexit, as FailNow of a test does"
	}
	err := fmt.Errorf("statebus: subscription %q: its filter panicked: %v\n%s", s.opts.Name, cause,
		debug.Stack())
	s.preimages, s.snapshotting = nil, false
	s.mu.Lock()
	if s.failure == nil {
		s.failure = err
	}
	s.retire()
	s.mu.Unlock()
	s.signal()
	s.t.openGates()
}

// retire empties the mailbox and stops s from holding up others, under mu.
func (s *Subscription[K, V]) retire() {
	s.over.Store(true)
	s.pending, s.spare, s.backlog = nil, nil, nil
	s.firstRev = 0
	s.oldest.Store(0)
	s.settled.Store(true)
	s.late.Store(false)
}

// signal makes the consumer look again. It never blocks, so it may be called
// under a lock: a token that is still there serves as well.
func (s *Subscription[K, V]) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
