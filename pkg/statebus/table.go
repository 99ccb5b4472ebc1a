package statebus

import (
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/pkg/singlewriter"
)

// Options tune a table. The zero value is useful; so is any field left at zero.
type Options struct {
	// TierDeadline is how long a second-tier subscriber waits for the first
	// tier. Default 1 s.
	TierDeadline time.Duration
	// MaxTombstones bounds, per subscription, the pending unsets of keys which
	// the subscriber never saw. Default 65536.
	MaxTombstones int
	// CoalesceAt is the number of pending events from which those of a
	// subscription are merged per key. Default 1024.
	CoalesceAt int
	// LogChanges and LogBytes bound the log of changes that lets a subscriber resume where it
	// was: see [SubOptions.Since]. Without LogChanges there is no log, which is the default.
	// LogBytes counts what the values say that are a [Sizer]; 0 = no bound.
	LogChanges, LogBytes int
}

func (o Options) withDefaults() Options {
	if o.TierDeadline <= 0 {
		o.TierDeadline = time.Second
	}
	if o.MaxTombstones <= 0 {
		o.MaxTombstones = 64 << 10
	}
	if o.CoalesceAt <= 0 {
		o.CoalesceAt = 1024
	}
	return o
}

// keepCap is the number of elements up to which an emptied buffer is used again.
// Larger ones go to the garbage collector, so that a burst does not pin memory.
const keepCap = 1024

// Table holds the current value of each key. Create one with [New]. All methods
// are safe for concurrent use.
type Table[K comparable, V any] struct {
	opts   Options
	values Storage[K, V] // written under mu
	rev    atomic.Uint64 // stored under mu
	// roster is replaced under mu and never changed in place.
	roster atomic.Pointer[roster[K, V]]

	epoch uint64 // random: revisions of another table mean nothing here

	mu         sync.Mutex // the commit lock; guards the fields below
	log        changeLog[K, V]
	tx         Tx[K, V]
	changes    []change[K, V] // those of the commit in progress
	deliveries []EventType    // scratch of publish
	closed     bool
	past       Totals // of subscriptions that are closed
}

// Storage is where a table keeps its values, each with the revision that wrote it. It is a
// [singlewriter.Map], or made of several, as in a store that has one for each kind of key; what
// that promises its readers and its writer is what a table needs.
type Storage[K comparable, V any] interface {
	Get(k K) (V, bool)
	Len() int
	Range(f func(k K, v V, revision uint64) bool)
	Set(k K, v V, revision uint64) (old V, oldRevision uint64, had bool)
	Replace(k K, v V) // keeps the revision; nothing if k is not there
	Delete(k K) (old V, oldRevision uint64, had bool)
}

// change is one effective change of the commit in progress.
type change[K comparable, V any] struct {
	key    K
	value  V // the new one, or the final one of a delete
	old    V // valid if had
	oldRev uint64
	typ    EventType // what a subscriber without a filter is told
	had    bool
}

// roster lists the subscriptions, the first tier first: a change must be in the
// mailboxes of the first tier before one of the second tier can look for it.
type roster[K comparable, V any] struct {
	all   []*Subscription[K, V]
	first int // number of first-tier ones at the beginning of all
}

// New returns an empty table at revision 0.
func New[K comparable, V any](opts Options) *Table[K, V] {
	return Over(singlewriter.New[K, V](), opts)
}

// Over returns a table that keeps its values in storage, which must be empty, and which nobody
// else may write to. Whoever reads there directly sees what [Table.Get] shows.
func Over[K comparable, V any](storage Storage[K, V], opts Options) *Table[K, V] {
	t := &Table[K, V]{opts: opts.withDefaults(), values: storage, epoch: rand.Uint64()}
	t.tx.t = t
	t.roster.Store(&roster[K, V]{})
	return t
}

// Get returns the current value of k. It takes no lock.
func (t *Table[K, V]) Get(k K) (V, bool) { return t.values.Get(k) }

// Len returns the number of keys.
func (t *Table[K, V]) Len() int { return t.values.Len() }

// All yields the keys and values. It takes no lock and does not stop committers:
// a key that does not change while the loop runs is yielded exactly once; one
// that does may appear with its old or new value, and twice if it is deleted and
// created again.
func (t *Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		t.values.Range(func(k K, v V, _ uint64) bool { return yield(k, v) })
	}
}

// Revision returns the number of effective commits so far. A reader that has
// seen revision r sees the values of r or newer ones.
func (t *Table[K, V]) Revision() uint64 { return t.rev.Load() }

// Epoch tells this table's revisions from those of any other, such as the one that this process
// had before it was started again.
func (t *Table[K, V]) Epoch() uint64 { return t.epoch }

// Commit applies the changes in order under one revision, which it returns, and
// passes them to the subscribers. When it returns, readers see them. Deleting an
// absent key is no change; without any effective change the revision stays.
func (t *Table[K, V]) Commit(changes ...Change[K, V]) uint64 {
	t.begin()
	defer t.end()
	for i := range changes {
		c := &changes[i]
		if c.Delete {
			t.tx.Delete(c.Key, c.Value)
		} else {
			t.tx.Set(c.Key, c.Value)
		}
	}
	return t.tx.result()
}

// Update runs fn under the commit lock, so that it can decide on changes from the
// current values with nobody in between, and returns the revision. Readers see
// each change at once, subscribers see them together. fn must not call methods of
// the table or of its subscriptions other than Get, Len, All and Revision. If fn
// panics, what it changed so far stands and is published.
func (t *Table[K, V]) Update(fn func(tx *Tx[K, V])) uint64 {
	t.begin()
	defer t.end()
	fn(&t.tx)
	return t.tx.result()
}

// begin takes the commit lock.
func (t *Table[K, V]) begin() {
	t.mu.Lock()
	t.tx.rev = t.rev.Load() + 1
	t.tx.changed = false
	t.tx.open = true
	t.tx.record = len(t.roster.Load().all) > 0 || t.opts.LogChanges > 0
}

// end publishes what changed and releases the commit lock, whatever a filter does.
func (t *Table[K, V]) end() {
	defer t.mu.Unlock()
	t.tx.open = false
	if t.tx.changed {
		t.rev.Store(t.tx.rev)
	}
	if len(t.changes) > 0 {
		defer t.emptyChanges()
		if t.opts.LogChanges > 0 {
			t.log.add(t.changes, t.tx.rev, &t.opts)
		}
		t.publish(t.roster.Load().all, t.tx.rev)
	}
}

func (t *Table[K, V]) emptyChanges() {
	clear(t.changes)
	t.changes = t.changes[:0]
	if cap(t.changes) > keepCap {
		t.changes, t.deliveries = nil, nil
	}
}

// publish puts the changes into the mailboxes, under the commit lock.
func (t *Table[K, V]) publish(subs []*Subscription[K, V], rev uint64) {
	at := 0
	defer func() {
		if at < len(subs) { // a filter has ended this goroutine; the others get theirs
			t.publish(subs[at+1:], rev)
		}
	}()
	for ; at < len(subs); at++ {
		s := subs[at]
		switch {
		case s.over.Load():
		case s.plain:
			s.offer(t.changes, nil, rev)
		default:
			t.deliveries = slices.Grow(t.deliveries[:0], len(t.changes))[:len(t.changes)]
			if s.decide(t.changes, t.deliveries) {
				s.offer(t.changes, t.deliveries, rev)
			}
		}
	}
}

// Close ends all subscriptions; later ones are closed from the start. The values
// stay, and can still be read and changed. Close may be called again.
func (t *Table[K, V]) Close() {
	t.mu.Lock()
	t.closed = true
	all := t.roster.Load().all
	t.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
}

// Tx is the table as the function passed to [Table.Update] sees it. It is valid
// only until that function returns.
type Tx[K comparable, V any] struct {
	t       *Table[K, V]
	rev     uint64
	open    bool
	changed bool
	record  bool // somebody subscribes
}

// Get returns the value of k, changes of this transaction included.
func (tx *Tx[K, V]) Get(k K) (V, bool) { return tx.t.Get(k) }

// Revision returns the revision that changes of this transaction carry.
func (tx *Tx[K, V]) Revision() uint64 { return tx.rev }

// Set gives k the value v. It is a change even if k has that value already:
// whether two values are equal is for the caller to know.
func (tx *Tx[K, V]) Set(k K, v V) {
	tx.check()
	old, oldRev, had := tx.t.values.Set(k, v, tx.rev)
	tx.changed = true
	if !tx.record {
		return
	}
	typ := Set
	if !had {
		typ |= unseen
	}
	tx.t.changes = append(tx.t.changes, change[K, V]{
		key: k, value: v, old: old, oldRev: oldRev, typ: typ, had: had,
	})
}

// Replace gives k, which must be there, a value that subscribers need not hear of: they see
// it with the next change of k. It is no change of the table.
func (tx *Tx[K, V]) Replace(k K, v V) {
	tx.check()
	tx.t.values.Replace(k, v)
}

// Delete removes k and reports whether it was there. The Unset event carries
// final, the last full value of k as subscribers should know it.
func (tx *Tx[K, V]) Delete(k K, final V) bool {
	tx.check()
	old, oldRev, had := tx.t.values.Delete(k)
	if !had {
		return false
	}
	tx.changed = true
	if tx.record {
		tx.t.changes = append(tx.t.changes, change[K, V]{
			key: k, value: final, old: old, oldRev: oldRev, typ: Unset, had: true,
		})
	}
	return true
}

func (tx *Tx[K, V]) check() {
	if !tx.open {
		panic("statebus: Tx used outside its Update")
	}
}

// result is the revision of the table when this transaction ends.
func (tx *Tx[K, V]) result() uint64 {
	if tx.changed {
		return tx.rev
	}
	return tx.rev - 1
}
