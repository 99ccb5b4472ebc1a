package tagset

import (
	"hash/maphash"
	"slices"

	"github.com/rollcall-dev/rollcall/pkg/singlewriter"
)

// List is an immutable, sorted list of tags that many sets may share. A nil List is
// empty.
type List struct {
	tags []string

	// The rest belongs to the interner.
	sum  uint64
	refs int32
}

// The capacity goes no further than the tags, so that an append by a reader makes a copy.
func newList(tags []string) *List { return &List{tags: slices.Clip(tags)} }

// ListOf returns a list of these tags that no interner knows; none give nil. They must
// be sorted by [Compare]; the list keeps the slice.
func ListOf(tags []string) *List {
	if len(tags) == 0 {
		return nil
	}
	return newList(tags)
}

func (l *List) tagsOrNil() []string {
	if l == nil {
		return nil
	}
	return l.tags
}

// Len returns the number of tags.
func (l *List) Len() int { return len(l.tagsOrNil()) }

// Tags returns the tags, sorted. The slice is shared and must not be written to.
func (l *List) Tags() []string { return l.tagsOrNil() }

// Sum is [Interner.Sum] of the list's tags.
func (l *List) Sum() uint64 {
	if l == nil {
		return 0
	}
	return l.sum
}

// Interner stores each list, and each tag in them, once. It counts references, so
// that what nobody uses is forgotten. It is for one goroutine at a time; the lists it
// returns may be read by any number.
type Interner struct {
	seed maphash.Seed
	// Maps that give back the memory of a peak, a little at each change. Of two lists of one
	// sum, only the last is in the map and shared.
	lists *singlewriter.Map[uint64, *List]
	// The keys are the strings. In the place of a revision each has the number of references.
	strings *singlewriter.Map[string, struct{}]
}

// NewInterner returns an empty interner.
func NewInterner() *Interner {
	return &Interner{seed: maphash.MakeSeed(), lists: singlewriter.New[uint64, *List](),
		strings: singlewriter.New[string, struct{}]()}
}

// List returns the one list of these tags and counts a reference to it. The tags
// must be sorted by [Compare]; the slice stays the caller's. No tags give nil.
func (in *Interner) List(tags []string) *List {
	if len(tags) == 0 {
		return nil
	}
	sum := in.Sum(tags)
	if l, ok := in.lists.Get(sum); ok && slices.Equal(l.tags, tags) {
		l.refs++
		return l
	}
	l := &List{tags: make([]string, len(tags)), refs: 1, sum: sum}
	for i, tag := range tags {
		l.tags[i] = in.String(tag)
	}
	in.lists.Set(sum, l, 0)
	return l
}

// Retain counts another reference to a list, which may be nil.
func (in *Interner) Retain(l *List) *List {
	if l != nil {
		l.refs++
	}
	return l
}

// Release gives a reference back. Views that still show the list stay valid.
func (in *Interner) Release(l *List) {
	if l == nil {
		return
	}
	if l.refs--; l.refs > 0 {
		return
	}
	in.lists.Delete(l.sum)
	for _, tag := range l.tags {
		in.ReleaseString(tag)
	}
}

// String returns the one copy of the string and counts a reference to it.
func (in *Interner) String(s string) string {
	if have, refs, ok := in.strings.Key(s); ok {
		in.strings.Set(have, struct{}{}, refs+1)
		return have
	}
	in.strings.Set(s, struct{}{}, 1)
	return s
}

// ReleaseString gives a reference back.
func (in *Interner) ReleaseString(s string) {
	switch have, refs, ok := in.strings.Key(s); {
	case ok && refs > 1:
		in.strings.Set(have, struct{}{}, refs-1)
	case ok:
		in.strings.Delete(s)
	}
}

// Len returns the number of lists and strings stored, for statistics.
func (in *Interner) Len() (lists, strings int) { return in.lists.Len(), in.strings.Len() }

// Sum returns a 64-bit keyed hash of tags in any order; none give 0. Lists whose sums
// are equal may be taken for equal: the key is random, so that nobody can make two
// lists collide, and by chance it happens once in 2^64.
func (in *Interner) Sum(tags []string) uint64 {
	var sum uint64
	for _, tag := range tags {
		sum += maphash.String(in.seed, tag)
	}
	return sum
}
