package runtimesync

import (
	"container/heap"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/backoff"
)

// queue says which object to look at next. It is plain data with the time as an argument and
// belongs to one goroutine.
//
// For one key:
//
//   - The first mark is due at once, later ones not before a pause since the last look
//     (coalescing).
//   - There is never more than one look at a time.
//   - A look that began before the newest mark is repeated. If the mark was a barrier, or the key
//     was forgotten meanwhile, what the look found is not to be used either: see lookResult.
//   - A look that failed is repeated after a back-off that doubles up to a limit, and marks do not
//     hurry it.
//
// Keys of containers go before keys of images, otherwise the longest due goes first.
type queue struct {
	coalesce   time.Duration
	backoffMin time.Duration
	backoffMax time.Duration
	// counts marks over all keys, so that a key that is forgotten and comes back is newer
	generation uint64
	entries    map[key]*entry
	containers dueHeap
	images     dueHeap
	coalesced  int // marks that a look already waiting or running covers
	inUse      int // looks that run
	open       int // keys whose last look failed
}

// key names an object.
type key struct {
	image bool
	id    string // for an image also a name, where the runtime tells no more
}

type entry struct {
	key       key
	due       time.Time
	heapIndex int    // -1 when not waiting
	marked    uint64 // generation of the newest mark
	barrier   uint64 // generation of the newest barrier
	looking   uint64 // generation at which the running look began; 0 when none runs
	lastLook  time.Time
	failures  int
	retryAt   time.Time // when failures > 0
}

func newQueue(coalesce, backoffMin, backoffMax time.Duration) *queue {
	return &queue{coalesce: coalesce, backoffMin: backoffMin, backoffMax: backoffMax,
		entries: map[key]*entry{}}
}

// mark says that the object has changed. With barrier, looks that began earlier are void.
func (q *queue) mark(k key, barrier bool, now time.Time) {
	q.generation++
	e := q.entries[k]
	if e == nil {
		e = &entry{key: k, heapIndex: -1}
		q.entries[k] = e
	}
	e.marked = q.generation
	if barrier {
		e.barrier = q.generation
	}
	if q.pending(k) {
		q.coalesced++
		return
	}
	q.schedule(e, now)
}

// pending reports whether a look at the object is waiting or running.
func (q *queue) pending(k key) bool {
	e := q.entries[k]
	return e != nil && (e.heapIndex >= 0 || e.looking != 0)
}

// supersede makes a running look void and has it repeated, because newer facts are known from
// elsewhere. If none runs there is nothing to do.
func (q *queue) supersede(k key) {
	if e := q.entries[k]; e != nil && e.looking != 0 {
		q.generation++
		e.marked, e.barrier = q.generation, q.generation
	}
}

func (q *queue) schedule(e *entry, now time.Time) {
	e.due = now
	if !e.lastLook.IsZero() && e.lastLook.Add(q.coalesce).After(e.due) {
		e.due = e.lastLook.Add(q.coalesce)
	}
	if e.failures > 0 && e.retryAt.After(e.due) {
		e.due = e.retryAt
	}
	heap.Push(q.heap(e.key), e)
}

func (q *queue) heap(k key) *dueHeap {
	if k.image {
		return &q.images
	}
	return &q.containers
}

// next starts a look at the key that is due, if any. Its generation goes to done.
func (q *queue) next(now time.Time) (k key, generation uint64, ok bool) {
	for _, h := range []*dueHeap{&q.containers, &q.images} {
		if len(*h) > 0 && !(*h)[0].due.After(now) {
			e := heap.Pop(h).(*entry)
			e.looking, e.lastLook = e.marked, now
			q.inUse++
			return e.key, e.looking, true
		}
	}
	return key{}, 0, false
}

// wait returns how long until next has something; ok is false if nothing waits.
func (q *queue) wait(now time.Time) (d time.Duration, ok bool) {
	for _, h := range []dueHeap{q.containers, q.images} {
		if len(h) > 0 {
			if until := max(0, h[0].due.Sub(now)); !ok || until < d {
				d, ok = until, true
			}
		}
	}
	return d, ok
}

// lookResult says what to do with what a look has found.
type lookResult uint8

const (
	usable    lookResult = iota
	void                 // something newer is known; the look is repeated
	forgotten            // nobody wants to know any more
)

// done ends a look.
func (q *queue) done(k key, generation uint64, now time.Time) lookResult {
	q.inUse--
	e := q.entries[k]
	if e == nil || e.looking != generation {
		return forgotten
	}
	e.looking = 0
	if e.failures > 0 {
		q.open--
		e.failures = 0
	}
	if e.marked > generation {
		q.schedule(e, now)
	}
	if e.barrier > generation {
		return void
	}
	return usable
}

// failed ends a look that found nothing out and has it repeated later. slow says that the object is
// to blame: then the pause doubles with each failure, otherwise it stays short. It reports whether
// the failure counts: one of a forgotten key does not.
func (q *queue) failed(k key, generation uint64, slow bool, now time.Time) (counts bool) {
	q.inUse--
	e := q.entries[k]
	if e == nil || e.looking != generation {
		return false
	}
	e.looking = 0
	pause := q.backoffMin
	if slow {
		pause = backoff.Doubled(q.backoffMin, e.failures, q.backoffMax)
	}
	if e.failures == 0 {
		q.open++
	}
	if slow || e.failures == 0 {
		e.failures++
	}
	e.retryAt = now.Add(pause)
	q.schedule(e, now)
	return true
}

// renew forgets a key's failures, because it is no longer the same object: a container has been
// started again.
func (q *queue) renew(k key, now time.Time) {
	e := q.entries[k]
	if e == nil || e.failures == 0 {
		return
	}
	e.failures = 0
	q.open--
	if e.heapIndex >= 0 {
		heap.Remove(q.heap(k), e.heapIndex)
		q.schedule(e, now)
	}
}

// forget drops a key. A look that is running will not be usable.
func (q *queue) forget(k key) {
	e := q.entries[k]
	if e == nil {
		return
	}
	if e.heapIndex >= 0 {
		heap.Remove(q.heap(k), e.heapIndex)
	}
	if e.failures > 0 {
		q.open--
	}
	delete(q.entries, k)
}

// waiting returns how many keys wait for a look.
func (q *queue) waiting() int { return len(q.containers) + len(q.images) }

// dueHeap orders entries by when they are due.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	e.heapIndex = len(*h)
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.heapIndex = -1
	return e
}
