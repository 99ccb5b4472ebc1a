// Package singlewriter is a hash map for one writer at a time and any number of readers,
// who take no lock and never wait. It is what the state bus keeps its values in and the
// workloadmeta store its indexes.
//
// # Promises
//
//   - A look-up compares the key: it never takes one for another.
//   - A look-up finds a value that was current at some moment during the look-up. What was
//     set before it began, it sees.
//   - [Map.All] yields each key that does not change meanwhile exactly once. One that does
//     may appear with its old or new value, and twice if it is deleted and set again.
//   - No write does more than a bounded amount of work, however large the map is: it rebuilds
//     one shard of at most 1024 slots and copies the directory (8 bytes a shard).
//   - The memory of a peak is given back as the keys go.
//
// # How it works
//
//	hash    bits 63…           → directory: one pointer a shard
//	        bits 7…13          → group of 8 slots in the shard, then the next ones in turn
//	        bits 0…6           → tag: what a slot's control byte says of its key
//
//	shard   control bytes      [tag tag  -  tag …] 8 of a group in one word
//	        slots              [key, revision, value] …
//
// A look-up reads the control word of its group, and then only slots whose tag matches. Words
// lie apart from the slots, 1 byte for 32, and stay in the processor's cache; a slot is half
// a cache line. So a hit costs two cache misses one after the other, slot and key, where a Go
// map has three.
//
// What makes it safe without locks: a slot belongs to one key for as long as its shard lives.
// The writer fills a new slot before it sets the control byte, replaces a value by one atomic
// store, and deletes by storing none. When a shard is full, or nearly empty, the writer builds
// one or two others and puts them into a new directory. Nobody writes to the old ones any
// more; readers that are still in them find what was current when they came.
//
// It is extendible hashing: a shard whose keys have the first depth bits of their hash in common
// is in 2^(bits - depth) places of a directory of 2^bits, and is split by the next bit.
package singlewriter

import (
	"hash/maphash"
	"iter"
	"math/bits"
	"reflect"
	"slices"
	"sync/atomic"
	"unsafe"
)

// Map maps keys to values, and remembers a revision with each value. Create one with [New].
//
// Set and Delete are for one goroutine at a time; the caller sees to that. Everything else
// may be called from any goroutine at any time.
type Map[K comparable, V any] struct {
	dir    atomic.Pointer[directory[K, V]]
	seed   maphash.Seed
	hashOf func(K) uint64 // nil: by seed
	direct bool           // V is a pointer
	count  atomic.Int64
}

// directory is not changed after it was made.
type directory[K comparable, V any] struct {
	shift  uint8 // 64 less the number of bits that index shards
	shards []*shard[K, V]
}

func (d *directory[K, V]) bits() uint8 { return 64 - d.shift }

// shard holds the keys whose hashes begin with the same depth bits.
type shard[K comparable, V any] struct {
	control []atomic.Uint64
	slots   []slot[K]
	depth   uint8
	// Of the slots, used have a key and live a value. Only the writer looks.
	used, live int
}

type slot[K comparable] struct {
	key      K // not changed once the control byte is set
	revision atomic.Uint64
	value    unsafe.Pointer // atomic; nil = deleted
}

const (
	groupSize = 8
	maxSlots  = 1024 // of a shard

	ones  = 0x0101010101010101
	tops  = 0x8080808080808080
	inUse = 0x80 // set in the control byte of a slot that has a key
)

// New returns an empty map.
func New[K comparable, V any]() *Map[K, V] { return NewHashed[K, V](nil) }

// NewHashed returns an empty map that hashes keys by a function of the caller's, for look-ups
// by what is not a key but has the hash of one: see [Map.Find]. The function must be as
// random in all 64 bits, whatever the keys are, as one of package maphash.
func NewHashed[K comparable, V any](hash func(K) uint64) *Map[K, V] {
	m := &Map[K, V]{
		seed:   maphash.MakeSeed(),
		hashOf: hash,
		direct: reflect.TypeFor[V]().Kind() == reflect.Pointer,
	}
	m.dir.Store(&directory[K, V]{shift: 64, shards: []*shard[K, V]{newShard[K, V](groupSize, 0)}})
	return m
}

// Len returns the number of keys.
func (m *Map[K, V]) Len() int { return int(m.count.Load()) }

func (m *Map[K, V]) hash(k K) uint64 {
	if m.hashOf == nil {
		return maphash.Comparable(m.seed, k)
	}
	return m.hashOf(k)
}

// Get returns the value of k.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	if m.hashOf != nil {
		return m.GetHashed(m.hashOf(k), k)
	}
	// Written out here, this spares two calls, which are not inlined.
	h := maphash.Comparable(m.seed, k)
	d := m.dir.Load()
	if at := d.shards[h>>d.shift].find(h, k); at != nil {
		if p := atomic.LoadPointer(&at.value); p != nil {
			return m.unbox(p), true
		}
	}
	return v, false
}

// GetHashed is Get for a caller who has the hash of k.
func (m *Map[K, V]) GetHashed(h uint64, k K) (v V, ok bool) {
	d := m.dir.Load()
	if at := d.shards[h>>d.shift].find(h, k); at != nil {
		if p := atomic.LoadPointer(&at.value); p != nil {
			return m.unbox(p), true
		}
	}
	return v, false
}

// Find is Get of the key that has the hash h and of which is says that it is meant.
func (m *Map[K, V]) Find(h uint64, is func(K) bool) (v V, ok bool) {
	d := m.dir.Load()
	s := d.shards[h>>d.shift]
	tag := h&0x7f | inUse
	for g := h >> 7; ; g++ {
		g &= uint64(len(s.control) - 1)
		word := s.control[g].Load()
		x := word ^ ones*tag
		for match := (x - ones) &^ x & tops; match != 0; match &= match - 1 {
			at := &s.slots[g*groupSize+uint64(bits.TrailingZeros64(match)/8)]
			if is(at.key) {
				if p := atomic.LoadPointer(&at.value); p != nil {
					return m.unbox(p), true
				}
				return v, false
			}
		}
		if ^word&tops != 0 {
			return v, false
		}
	}
}

// Key returns k as the map holds it, for a caller who wants to share its memory, and the
// revision of its value.
func (m *Map[K, V]) Key(k K) (held K, revision uint64, ok bool) {
	h := m.hash(k)
	d := m.dir.Load()
	at := d.shards[h>>d.shift].find(h, k)
	if at == nil || atomic.LoadPointer(&at.value) == nil {
		return held, 0, false
	}
	return at.key, at.revision.Load(), true
}

// find returns the slot of k, which may have been deleted; nil if it has none.
func (s *shard[K, V]) find(h uint64, k K) *slot[K] {
	tag := h&0x7f | inUse
	for g := h >> 7; ; g++ {
		g &= uint64(len(s.control) - 1)
		word := s.control[g].Load()
		// The bytes that are equal to tag come out as 0x80. So does, now and then, one that
		// differs in the lowest bit: comparing the key sorts that out, and the slot has one.
		x := word ^ ones*tag
		for match := (x - ones) &^ x & tops; match != 0; match &= match - 1 {
			at := &s.slots[g*groupSize+uint64(bits.TrailingZeros64(match)/8)]
			if at.key == k {
				return at
			}
		}
		if ^word&tops != 0 {
			return nil // a free slot: k would be here
		}
	}
}

// All yields the keys and values.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		m.Range(func(k K, v V, _ uint64) bool { return yield(k, v) })
	}
}

// Range calls f with each key, its value and the revision of that value, in the way of [Map.All],
// until f returns false.
func (m *Map[K, V]) Range(f func(k K, v V, revision uint64) bool) {
	d := m.dir.Load()
	for i := 0; i < len(d.shards); {
		s := d.shards[i]
		for g := range s.control {
			for full := s.control[g].Load() & tops; full != 0; full &= full - 1 {
				at := &s.slots[g*groupSize+bits.TrailingZeros64(full)/8]
				p := atomic.LoadPointer(&at.value)
				if p == nil {
					continue
				}
				// The writer stores the revision first. So if this one is old enough for the
				// caller, the value is the one that came with it; if the value has been replaced
				// meanwhile, the revision may be too new, but never too old.
				if !f(at.key, m.unbox(p), at.revision.Load()) {
					return
				}
			}
		}
		i += 1 << (d.bits() - s.depth)
	}
}

// Set gives k the value v, which must not be a nil pointer, at this revision. It returns what k had
// before.
func (m *Map[K, V]) Set(k K, v V, revision uint64) (old V, oldRevision uint64, had bool) {
	value := m.box(v)
	h := m.hash(k)
	d := m.dir.Load()
	s := d.shards[h>>d.shift]
	at := s.find(h, k)
	if at == nil {
		for s.used >= limit(len(s.slots)) {
			m.rebuild(s, h)
			d = m.dir.Load()
			s = d.shards[h>>d.shift]
		}
		s.insert(h, k, value, revision)
		m.count.Add(1)
		return old, 0, false
	}
	if p := at.value; p != nil {
		old, oldRevision, had = m.unbox(p), at.revision.Load(), true
	} else {
		s.live++
		m.count.Add(1)
	}
	at.revision.Store(revision)
	atomic.StorePointer(&at.value, value)
	return old, oldRevision, had
}

// Replace gives k another value at the revision that it has. It does nothing if k is not there.
func (m *Map[K, V]) Replace(k K, v V) {
	h := m.hash(k)
	d := m.dir.Load()
	if at := d.shards[h>>d.shift].find(h, k); at != nil && at.value != nil {
		atomic.StorePointer(&at.value, m.box(v))
	}
}

// Delete removes k and returns what it had.
func (m *Map[K, V]) Delete(k K) (old V, oldRevision uint64, had bool) {
	h := m.hash(k)
	d := m.dir.Load()
	s := d.shards[h>>d.shift]
	at := s.find(h, k)
	if at == nil || at.value == nil {
		return old, 0, false
	}
	old, oldRevision = m.unbox(at.value), at.revision.Load()
	atomic.StorePointer(&at.value, nil)
	s.live--
	m.count.Add(-1)
	if s.live <= len(s.slots)/8 {
		m.shrink(s, h)
	}
	return old, oldRevision, true
}

// box returns v as the one word that a slot holds: v itself if it is a pointer, else a pointer to
// a copy.
func (m *Map[K, V]) box(v V) unsafe.Pointer {
	if m.direct {
		p := *(*unsafe.Pointer)(unsafe.Pointer(&v))
		if p == nil {
			panic("singlewriter: Set to a nil pointer")
		}
		return p
	}
	boxed := new(V)
	*boxed = v
	return unsafe.Pointer(boxed)
}

func (m *Map[K, V]) unbox(p unsafe.Pointer) V {
	if m.direct {
		return *(*V)(unsafe.Pointer(&p))
	}
	return *(*V)(p)
}

// limit is how many slots of a shard may be used. Some must be free, which is what ends the search
// for a key that is not there.
func limit(slots int) int { return slots / 8 * 7 }

func newShard[K comparable, V any](slots int, depth uint8) *shard[K, V] {
	return &shard[K, V]{
		control: make([]atomic.Uint64, slots/groupSize), slots: make([]slot[K], slots),
		depth: depth,
	}
}

// roomFor returns how many slots a shard for n keys and a third more has.
func roomFor(n int) int {
	slots := groupSize
	for limit(slots) < n+n/3 {
		slots *= 2
	}
	return slots
}

// insert enters a key that the shard does not have and has room for.
func (s *shard[K, V]) insert(h uint64, k K, value unsafe.Pointer, revision uint64) {
	for g := h >> 7; ; g++ {
		g &= uint64(len(s.control) - 1)
		word := s.control[g].Load()
		free := ^word & tops
		if free == 0 {
			continue
		}
		i := uint64(bits.TrailingZeros64(free) / 8)
		at := &s.slots[g*groupSize+i]
		at.key = k
		at.revision.Store(revision)
		atomic.StorePointer(&at.value, value)
		s.control[g].Store(word | (h&0x7f|inUse)<<(8*i)) // readers see the slot from here on
		s.used++
		s.live++
		return
	}
}

// rebuild replaces a shard that is full by one that has room, or by two. h is the hash of one of
// its keys.
func (m *Map[K, V]) rebuild(s *shard[K, V], h uint64) {
	if slots := roomFor(s.live); slots <= maxSlots {
		next := newShard[K, V](slots, s.depth)
		m.fill(s, next, next)
		m.replace(h, next, next)
		return
	}
	// Either has room for all keys, should their hashes not be as random as they ought to be.
	low := newShard[K, V](maxSlots, s.depth+1)
	high := newShard[K, V](maxSlots, s.depth+1)
	m.fill(s, low, high)
	m.replace(h, low, high)
}

// shrink replaces a shard that has become nearly empty by a smaller one, or by one that holds the
// keys of its neighbour as well, which differs in the last of their bits. h is the hash of one of
// its keys.
func (m *Map[K, V]) shrink(s *shard[K, V], h uint64) {
	merged := false
	for s.depth > 0 {
		d := m.dir.Load()
		buddy := d.shards[(h^1<<(64-s.depth))>>d.shift]
		if buddy.depth != s.depth || s.live+buddy.live > maxSlots/4 {
			break
		}
		both := newShard[K, V](roomFor(s.live+buddy.live), s.depth-1)
		m.fill(s, both, both)
		m.fill(buddy, both, both)
		m.replace(h, both, both)
		s, merged = both, true
	}
	if slots := roomFor(s.live); !merged && slots < len(s.slots) {
		next := newShard[K, V](slots, s.depth)
		m.fill(s, next, next)
		m.replace(h, next, next)
	}
}

// fill copies the keys of s that have a value: to low those whose bit number low.depth is not set,
// to high the others. The two may be one.
func (m *Map[K, V]) fill(s, low, high *shard[K, V]) {
	bit := uint64(1) << (64 - low.depth) // 0 for depth 0, when the two are one
	for g := range s.control {
		for taken := s.control[g].Load() & tops; taken != 0; taken &= taken - 1 {
			from := &s.slots[g*groupSize+bits.TrailingZeros64(taken)/8]
			if from.value == nil {
				continue
			}
			h, to := m.hash(from.key), low
			if h&bit != 0 {
				to = high
			}
			to.insert(h, from.key, from.value, from.revision.Load())
		}
	}
}

// replace puts low and high, or the one shard that both are, where the hashes are that have as many
// bits in common with h.
func (m *Map[K, V]) replace(h uint64, low, high *shard[K, V]) {
	d := m.dir.Load()
	shards := slices.Clone(d.shards)
	if depth := low.depth; depth > d.bits() { // as many again, each twice
		shards = make([]*shard[K, V], 0, 2*len(d.shards))
		for _, s := range d.shards {
			shards = append(shards, s, s)
		}
	}
	next := &directory[K, V]{shift: uint8(64 - bits.Len(uint(len(shards)-1))), shards: shards}
	whole := low.depth // bits that all of the replaced have in common
	if low != high {
		whole--
	}
	places := 1 << (next.bits() - whole)
	first := int(h>>next.shift) &^ (places - 1)
	for i := range places {
		shards[first+i] = low
		if i >= places/2 {
			shards[first+i] = high
		}
	}
	m.dir.Store(next.halved())
}

// halved returns the directory without bits that no shard needs.
func (d *directory[K, V]) halved() *directory[K, V] {
	for d.bits() > 0 {
		half := make([]*shard[K, V], 0, len(d.shards)/2)
		for i := 0; i < len(d.shards); i += 2 {
			if d.shards[i] != d.shards[i+1] {
				return d
			}
			half = append(half, d.shards[i])
		}
		d = &directory[K, V]{shift: d.shift + 1, shards: half}
	}
	return d
}
