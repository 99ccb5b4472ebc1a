// Package tagset holds tags the way the tagger serves them: immutable, sorted,
// shared, and hashed once.
//
// A [Set] is everything known about one entity. It has three levels of
// cardinality: low, orchestrator and high. [Tags] is a view of a set up to one
// level; making and passing one allocates nothing.
//
// Low-cardinality tags are the same for many entities, so they live in a [List]
// that an [Interner] stores once. The others are few and mostly unique.
//
// Within a level tags are sorted by name, then by value. A tag is "name:value"; a
// string without a colon is all name.
package tagset

import (
	"cmp"
	"hash/fnv"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Name returns the part of a tag before its first colon, or all of it.
func Name(tag string) string {
	if i := strings.IndexByte(tag, ':'); i >= 0 {
		return tag[:i]
	}
	return tag
}

// Compare orders tags by name, then by value. It is one pass: the order is that of
// the bytes, but for the first colon, which ends the name and comes before any byte.
func Compare(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == ':' && strings.IndexByte(a[:i], ':') < 0:
			return -1
		case b[i] == ':' && strings.IndexByte(b[:i], ':') < 0:
			return 1
		}
		return cmp.Compare(a[i], b[i])
	}
	return cmp.Compare(len(a), len(b))
}

// Sort sorts tags by [Compare]. It is made for the few tags an entity has.
func Sort(tags []string) {
	if len(tags) > 24 {
		slices.SortFunc(tags, Compare)
		return
	}
	for i := 1; i < len(tags); i++ {
		tag := tags[i]
		j := i
		for ; j > 0 && Compare(tag, tags[j-1]) < 0; j-- {
			tags[j] = tags[j-1]
		}
		tags[j] = tag
	}
}

// Set holds the tags of one entity. The zero Set is empty. A Set is not changed
// after it was made.
type Set struct {
	low   *List    // nil = none
	rest  []string // orchestrator tags, then high tags
	nOrch int32    // how many of rest are orchestrator tags
}

// MakeSet returns the set of these tags. Each level must be sorted by [Compare];
// rest holds the orchestrator tags (nOrch of them), then the high ones. The set
// keeps rest.
func MakeSet(low *List, rest []string, nOrch int) Set {
	return Set{low: low, rest: slices.Clip(rest), nOrch: int32(nOrch)}
}

// New returns a view, at high cardinality, of a set made of these tags. The lists
// are copied and sorted.
func New(low, orchestrator, high []string) Tags {
	sorted := func(tags []string) []string {
		out := slices.Clone(tags)
		Sort(out)
		return out
	}
	set := &Set{nOrch: int32(len(orchestrator))}
	if len(low) > 0 {
		set.low = newList(sorted(low))
	}
	set.rest = append(sorted(orchestrator), sorted(high)...)
	return set.High()
}

// Low is the view of the low-cardinality tags.
func (s *Set) Low() Tags { return Tags{s, levelLow} }

// Orchestrator is the view of the tags up to orchestrator cardinality.
func (s *Set) Orchestrator() Tags { return Tags{s, levelOrchestrator} }

// High is the view of all tags.
func (s *Set) High() Tags { return Tags{s, levelHigh} }

// LowList is the shared list of the low-cardinality tags; nil = none.
func (s *Set) LowList() *List { return s.low }

// Rest returns the orchestrator tags and then the high ones, shared. Levels are
// compared by it and by [Set.LowList].
func (s *Set) Rest() (tags []string, nOrch int) { return s.rest, int(s.nOrch) }

// Levels returns the three disjoint levels. The slices are shared and must not be
// written to.
func (s *Set) Levels() (low, orchestrator, high []string) {
	return s.low.tagsOrNil(), s.rest[:s.nOrch:s.nOrch], s.rest[s.nOrch:]
}

// Tags is an immutable view of a set up to one cardinality. The zero Tags is empty.
// It may be kept as long as one likes.
type Tags struct {
	set   *Set // not looked into before somebody asks, which spares the query a cache miss
	level level
}

type level uint8

const (
	levelLow level = iota
	levelOrchestrator
	levelHigh
)

// rest returns the tags of the view above low cardinality.
func (t Tags) rest() []string {
	switch t.level {
	case levelOrchestrator:
		return t.set.rest[:t.set.nOrch]
	case levelHigh:
		return t.set.rest
	}
	return nil
}

// Len returns the number of tags.
func (t Tags) Len() int {
	if t.set == nil {
		return 0
	}
	return len(t.set.low.tagsOrNil()) + len(t.rest())
}

// Equal reports whether both views show the same tags in the same order. At which
// level a tag is does not count.
func (t Tags) Equal(o Tags) bool {
	if t.set == o.set && t.level == o.level {
		return true
	}
	n := t.Len()
	if n != o.Len() {
		return false
	}
	if n == 0 {
		return true
	}
	if t.set.low == o.set.low {
		return slices.Equal(t.rest(), o.rest())
	}
	for i := range n {
		if t.at(i) != o.at(i) {
			return false
		}
	}
	return true
}

// at returns the i-th tag of a set that has it.
func (t Tags) at(i int) string {
	low := t.set.low.tagsOrNil()
	if i < len(low) {
		return low[i]
	}
	return t.rest()[i-len(low)]
}

// All yields the tags: low, orchestrator, high; sorted within each.
func (t Tags) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		if t.set == nil {
			return
		}
		for _, tag := range t.set.low.tagsOrNil() {
			if !yield(tag) {
				return
			}
		}
		for _, tag := range t.rest() {
			if !yield(tag) {
				return
			}
		}
	}
}

// AppendTo appends the tags to dst, in the order of [Tags.All].
func (t Tags) AppendTo(dst []string) []string {
	if t.set == nil {
		return dst
	}
	return append(append(dst, t.set.low.tagsOrNil()...), t.rest()...)
}

// Slice returns a copy, which the caller owns; nil when there are no tags.
func (t Tags) Slice() []string {
	if t.set == nil {
		return nil
	}
	low, rest := t.set.low.tagsOrNil(), t.rest()
	if len(low)+len(rest) == 0 {
		return nil
	}
	out := make([]string, len(low)+len(rest))
	copy(out[copy(out, low):], rest)
	return out
}

// Get returns the value of the first tag with this name.
func (t Tags) Get(name string) (value string, ok bool) {
	for tag := range t.All() {
		if n := Name(tag); n == name {
			return strings.TrimPrefix(tag[len(n):], ":"), true
		}
	}
	return "", false
}

// Hash returns a 64-bit FNV-1 hash, in lower-case hexadecimal, of the tags sorted by
// byte and written one after the other; "" when there are none. Two sets of tags have
// the same hash whatever their order.
func (t Tags) Hash() string { return Hash(t.Slice()) }

// Hash is [Tags.Hash] of a slice, which it leaves as it is.
func Hash(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	h := fnv.New64()
	for _, tag := range slices.Sorted(slices.Values(tags)) {
		h.Write([]byte(tag))
	}
	return strconv.FormatUint(h.Sum64(), 16)
}
