package tagstore

import (
	"container/heap"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/singlewriter"
)

// expiryHeap orders entities by when one of their sources expires. An item whose
// source has since been renewed finds nothing to do.
type expiryHeap []expiry

type expiry struct {
	at int64 // nanoseconds
	id tagger.EntityID
}

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are for package heap.
func (h *expiryHeap) Push(x any) { *h = append(*h, x.(expiry)) }
func (h *expiryHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = expiry{}
	*h = old[:len(old)-1]
	return x
}

// nanoseconds is t as the heap counts it. A date beyond what that can hold, as people
// write it for "never", is as late as can be; no date is 0.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Unix() >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	case t.Unix() <= 0:
		return 1
	}
	return t.UnixNano()
}

func (h *expiryHeap) push(at int64, id tagger.EntityID) { heap.Push(h, expiry{at, id}) }
func (h *expiryHeap) pop() expiry                       { return heap.Pop(h).(expiry) }

// rebuildExpiries drops the items that will find nothing to do: an entity whose expiry is
// renewed again and again leaves one each time, and if it is far off, they would gather.
func (s *Store) rebuildExpiries() {
	s.graces, s.dates = nil, nil
	for id, e := range s.table.All() {
		for _, src := range e.sources.all {
			switch {
			case src.withdrawn:
				s.graces = append(s.graces, expiry{src.expiry, id})
			case src.expiry != 0:
				s.dates = append(s.dates, expiry{src.expiry, id})
			}
		}
	}
	heap.Init(&s.graces)
	heap.Init(&s.dates)
}

// tombstones are the entities that are only remembered, oldest first.
type tombstones struct {
	count int // of valid ones
	last  uint32
	queue []tombstone // with invalid ones among them
}

// tombstone is valid as long as the entity's entry carries its number.
type tombstone struct {
	id     tagger.EntityID
	number uint32
}

func (t *tombstones) add(id tagger.EntityID) (number uint32) {
	t.count++
	if t.last++; t.last == 0 {
		t.last = 1 // 0 is no tombstone
	}
	t.queue = append(t.queue, tombstone{id, t.last})
	return t.last
}

func (t *tombstones) pop() tombstone {
	oldest := t.queue[0]
	t.queue[0] = tombstone{}
	t.queue = t.queue[1:]
	return oldest
}

// trim removes what is no longer valid from the old end, which is where it gathers.
func (t *tombstones) trim(valid func(tombstone) bool) {
	i := 0
	for i < len(t.queue) && !valid(t.queue[i]) {
		i++
	}
	if i > 0 {
		t.queue = slices.Clone(t.queue[i:])
	}
}

// forgotten remembers that IDs were known once, for the answer "expired" instead of
// "unknown". It is written under the commit lock.
type forgotten struct {
	max  int
	m    *singlewriter.Map[tagger.EntityID, forgottenID]
	ring []tombstone // the IDs in the order they were forgotten, from next on
	next int
	last uint32
}

// forgottenID says when an ID was forgotten, and under which number it is in the ring.
type forgottenID struct {
	at     time.Time
	number uint32
}

func newForgotten(limit int) forgotten {
	return forgotten{max: limit, m: singlewriter.New[tagger.EntityID, forgottenID]()}
}

func (f *forgotten) add(id tagger.EntityID, at time.Time) {
	f.last++
	entry := tombstone{id, f.last}
	if len(f.ring) < f.max {
		f.ring = append(f.ring, entry)
	} else {
		// An ID that came back and was forgotten again is in the ring twice: the older
		// entry is not what the map shows.
		oldest := f.ring[f.next]
		if shown, ok := f.m.Get(oldest.id); ok && shown.number == oldest.number {
			f.m.Delete(oldest.id)
		}
		f.ring[f.next] = entry
		f.next = (f.next + 1) % f.max
	}
	f.m.Set(id, forgottenID{at, f.last}, 0)
}

func (f *forgotten) remove(id tagger.EntityID) { f.m.Delete(id) }

func (f *forgotten) when(id tagger.EntityID) (time.Time, bool) {
	last, ok := f.m.Get(id)
	return last.at, ok
}

// waiters wait for news about an entity.
type waiters struct {
	n  atomic.Int32
	mu sync.Mutex // guards m
	m  map[tagger.EntityID]*waiting
}

// waiting is what those who wait for one entity share.
type waiting struct {
	n     int           // how many they are
	woken chan struct{} // closed by the next wake
}

func (w *waiters) any() bool { return w.n.Load() > 0 }

// wait returns a channel that is closed by the next wake of the ID, and what gives it back.
func (w *waiters) wait(id tagger.EntityID) (woken <-chan struct{}, done func()) {
	w.n.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil {
		w.m = map[tagger.EntityID]*waiting{}
	}
	all := w.m[id]
	if all == nil {
		all = &waiting{woken: make(chan struct{})}
		w.m[id] = all
	}
	all.n++
	return all.woken, func() {
		w.n.Add(-1)
		w.mu.Lock()
		defer w.mu.Unlock()
		if all.n--; all.n == 0 && w.m[id] == all {
			delete(w.m, id)
		}
	}
}

func (w *waiters) wake(id tagger.EntityID) {
	w.mu.Lock()
	all := w.m[id]
	delete(w.m, id)
	w.mu.Unlock()
	if all != nil {
		close(all.woken)
	}
}
