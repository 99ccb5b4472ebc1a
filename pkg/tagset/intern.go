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
	refs int32
	sum  uint64
	next *List // of the same sum
}

func newList(tags []string) *List { return &List{tags: tags} }

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
	// Maps that give back the memory of a peak, a little at each change.
	lists   *singlewriter.Map[uint64, *List] // by sum, others of the same sum behind it
	strings *singlewriter.Map[string, *interned]
	n       int // lists, those of one sum included
}

type interned struct {
	s    string
	refs int
}

// NewInterner returns an empty interner.
func NewInterner() *Interner {
	return &Interner{seed: maphash.MakeSeed(), lists: singlewriter.New[uint64, *List](),
		strings: singlewriter.New[string, *interned]()}
}

// List returns the one list of these tags and counts a reference to it. The tags
// must be sorted by [Compare]; the slice stays the caller's. No tags give nil.
func (in *Interner) List(tags []string) *List {
	if len(tags) == 0 {
		return nil
	}
	sum := in.Sum(tags)
	first, _ := in.lists.Get(sum)
	for l := first; l != nil; l = l.next {
		if slices.Equal(l.tags, tags) {
			l.refs++
			return l
		}
	}
	l := &List{tags: make([]string, len(tags)), refs: 1, sum: sum, next: first}
	for i, tag := range tags {
		l.tags[i] = in.String(tag)
	}
	in.lists.Set(sum, l, 0)
	in.n++
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
	in.n--
	first, _ := in.lists.Get(l.sum)
	switch {
	case first == l && l.next == nil:
		in.lists.Delete(l.sum)
	case first == l:
		in.lists.Set(l.sum, l.next, 0)
	default:
		for p := first; p != nil; p = p.next {
			if p.next == l {
				p.next = l.next
				break
			}
		}
	}
	for _, tag := range l.tags {
		in.ReleaseString(tag)
	}
}

// String returns the one copy of the string and counts a reference to it.
func (in *Interner) String(s string) string {
	if have, ok := in.strings.Get(s); ok {
		have.refs++
		return have.s
	}
	in.strings.Set(s, &interned{s, 1}, 0)
	return s
}

// ReleaseString gives a reference back.
func (in *Interner) ReleaseString(s string) {
	if have, ok := in.strings.Get(s); ok {
		if have.refs--; have.refs == 0 {
			in.strings.Delete(s)
		}
	}
}

// Len returns the number of lists and strings stored, for statistics.
func (in *Interner) Len() (lists, strings int) { return in.n, in.strings.Len() }

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
