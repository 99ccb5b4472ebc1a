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
		above := r.above(i)
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

// above returns the sources of strictly higher priority than the i-th.
func (r *resolver) above(i int) []*source {
	priority := r.order[i].priority()
	for i > 0 && r.order[i-1].priority() == priority {
		i--
	}
	return r.order[:i]
}

// resolveStandard is resolve for standard tags, which have no doubles.
func (r *resolver) resolveStandard() *tagset.List {
	var first *tagset.List
	var united []string // nil as long as the first list says it all
	for i, src := range r.order {
		if src.standard.Len() == 0 {
			continue
		}
		if first == nil {
			first = distinct(src.standard)
			continue
		}
		above := r.above(i)
		for _, tag := range src.standard.Tags() {
			if slices.Contains(first.Tags(), tag) || slices.Contains(united, tag) ||
				hidden(tag, above) {
				continue
			}
			if united == nil {
				united = slices.Clone(first.Tags())
			}
			united = append(united, tag)
		}
	}
	if united == nil {
		return first
	}
	tagset.Sort(united)
	return tagset.ListOf(united)
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
func visible(dst, tags []string, above []*source) []string {
	if len(above) == 0 {
		return append(dst, tags...)
	}
	for _, tag := range tags {
		if !hidden(tag, above) {
			dst = append(dst, tag)
		}
	}
	return dst
}

func hidden(tag string, above []*source) bool {
	name := tagset.Name(tag)
	for _, src := range above {
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
