package tagstore

import (
	"cmp"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// resolver makes one set of what several sources say. It holds the scratch memory for
// that.
type resolver struct {
	sources []source
	order   []*source
	scratch []string
	levels  [3][]string
}

// begin returns a copy of the entry's sources to work on.
func (r *resolver) begin(old *entry) []source {
	stale := len(r.sources)
	r.sources = r.sources[:0]
	if old != nil {
		r.sources = append(r.sources, old.sources...)
	}
	if stale > len(r.sources) {
		clear(r.sources[len(r.sources):stale]) // so that it keeps nothing alive
	}
	return r.sources
}

func find(sources []source, name string) int {
	for i := range sources {
		if sources[i].name.Value() == name {
			return i
		}
	}
	return -1
}

// resolve applies the priorities. It takes a reference to the set's low list. old is
// what these sources replace, or nil.
func (r *resolver) resolve(in *tagset.Interner, sources []source, old *entry) (tagset.Set,
	*tagset.List) {
	if len(sources) == 1 {
		src := &sources[0]
		return tagset.MakeSet(in.Retain(src.low), src.rest, int(src.nOrch)), distinct(src.standard)
	}
	r.order = r.order[:0]
	for i := range sources {
		r.order = append(r.order, &sources[i])
	}
	slices.SortFunc(r.order, func(a, b *source) int {
		return cmp.Or(-cmp.Compare(a.priority(), b.priority()),
			cmp.Compare(a.name.Value(), b.name.Value()))
	})
	for i := range r.levels {
		r.levels[i] = r.levels[i][:0]
	}
	lowIsSame := r.sameLow(sources, old)
	for i, src := range r.order {
		above := r.hiding(i)
		if !lowIsSame {
			r.levels[0] = visible(r.levels[0], src.low.Tags(), above)
		}
		r.levels[1] = visible(r.levels[1], src.rest[:src.nOrch], above)
		r.levels[2] = visible(r.levels[2], src.rest[src.nOrch:], above)
	}
	for _, level := range r.levels {
		tagset.Sort(level)
	}
	rest := make([]string, 0, len(r.levels[1])+len(r.levels[2]))
	rest = append(append(rest, r.levels[1]...), r.levels[2]...)
	var low *tagset.List
	if lowIsSame {
		low = in.Retain(old.set.LowList())
	} else {
		low = in.List(r.levels[0])
	}
	return tagset.MakeSet(low, rest, len(r.levels[1])), r.resolveStandard()
}

// sameLow reports whether the low tags come out as they did before, which is the
// common case and worth not doing the work: no source's low tags have changed, nor
// have the other tags of a source that can hide those of another.
func (r *resolver) sameLow(sources []source, old *entry) bool {
	if old == nil || len(old.sources) != len(sources) {
		return false
	}
	lowest := r.order[len(r.order)-1].priority()
	for i := range sources {
		now, was := &sources[i], &old.sources[i]
		if now.name != was.name || now.low != was.low {
			return false
		}
		if !sameSlice(now.rest, was.rest) && now.priority() > lowest {
			return false
		}
	}
	return true
}

// hiding are the names of tags that sources of a higher priority have. They are in a set
// if they are many, else they are looked for in the sources.
type hiding struct {
	above []*source
	names map[string]struct{}
}

// manyTags is how many tags of higher priority are worth a set of their names.
const manyTags = 64

// hiding returns what the sources of strictly higher priority than the i-th hide.
func (r *resolver) hiding(i int) hiding {
	priority := r.order[i].priority()
	for i > 0 && r.order[i-1].priority() == priority {
		i--
	}
	h := hiding{above: r.order[:i]}
	n := 0
	for _, src := range h.above {
		n += src.low.Len() + len(src.rest)
	}
	if n <= manyTags {
		return h
	}
	h.names = make(map[string]struct{}, n)
	for _, src := range h.above {
		for _, tag := range src.low.Tags() {
			h.names[tagset.Name(tag)] = struct{}{}
		}
		for _, tag := range src.rest {
			h.names[tagset.Name(tag)] = struct{}{}
		}
	}
	return h
}

// resolveStandard is resolve for standard tags, which have no doubles.
func (r *resolver) resolveStandard() *tagset.List {
	var first *tagset.List // of the first source that has any, unless some are hidden
	r.scratch = r.scratch[:0]
	for i, src := range r.order {
		tags := src.standard.Tags()
		if len(tags) == 0 {
			continue
		}
		before := len(r.scratch)
		r.scratch = visible(r.scratch, tags, r.hiding(i))
		if before == 0 && len(r.scratch) == len(tags) {
			first = distinct(src.standard)
		}
	}
	if len(r.scratch) == 0 || len(r.scratch) == first.Len() {
		return first
	}
	tagset.Sort(r.scratch)
	united := slices.Compact(r.scratch)
	if slices.Equal(united, first.Tags()) {
		return first
	}
	return tagset.ListOf(slices.Clone(united))
}

// distinct returns the list without doubles: itself, if it has none.
func distinct(list *tagset.List) *tagset.List {
	tags := list.Tags()
	for i := 1; i < len(tags); i++ {
		if tags[i] == tags[i-1] {
			return tagset.ListOf(slices.Compact(slices.Clone(tags)))
		}
	}
	return list
}

// sameSlice reports whether two slices are one and the same memory.
func sameSlice(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (s *source) priority() tagger.Priority { return tagger.SourcePriority(s.name.Value()) }

// visible appends the tags whose name no source above has.
func visible(dst, tags []string, above hiding) []string {
	if len(above.above) == 0 {
		return append(dst, tags...)
	}
	for _, tag := range tags {
		if !above.hides(tagset.Name(tag)) {
			dst = append(dst, tag)
		}
	}
	return dst
}

func (h *hiding) hides(name string) bool {
	if h.names != nil {
		_, ok := h.names[name]
		return ok
	}
	for _, src := range h.above {
		if hasName(src.low.Tags(), name) || hasName(src.rest, name) {
			return true
		}
	}
	return false
}

func hasName(tags []string, name string) bool {
	n := len(name)
	for _, tag := range tags {
		if len(tag) == n && tag == name || len(tag) > n && tag[n] == ':' && tag[:n] == name {
			return true
		}
	}
	return false
}
