package tagstore

import (
	"cmp"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// draft is a source while its entity is worked on.
type draft struct {
	source
	rest    []string // its orchestrator tags, then its high ones, sorted
	nOrch   int
	changed bool // rest is not what the entity had
	shown   bool // no other source hides any of it
}

// resolver makes one set of what several sources say. It holds the scratch memory for
// that.
type resolver struct {
	drafts  []draft
	room    []string // for what drafts show as rest
	order   []*draft
	scratch []string
	levels  [3][]string
	sources []source
}

// begin returns what the entry's sources say, to work on.
func (r *resolver) begin(old *entry) []draft {
	clear(r.drafts) // so that it keeps nothing alive
	r.drafts, r.room = r.drafts[:0], r.room[:0]
	if old != nil {
		for i, src := range old.sources.all {
			from := len(r.room)
			room, nOrch := old.appendRest(r.room, i)
			r.room = room
			r.drafts = append(r.drafts, draft{source: src, rest: room[from:], nOrch: nOrch})
		}
	}
	return r.drafts
}

// change makes these the tags that the draft has besides the low ones.
func (r *resolver) change(d *draft, orchestrator, high []string) {
	from := len(r.room)
	r.room = append(append(r.room, orchestrator...), high...)
	d.rest, d.nOrch, d.changed = r.room[from:], len(orchestrator), true
	tagset.Sort(d.rest[:d.nOrch])
	tagset.Sort(d.rest[d.nOrch:])
}

func find(drafts []draft, name string) int {
	for i := range drafts {
		if drafts[i].name.Value() == name {
			return i
		}
	}
	return -1
}

// resolve applies the priorities, and lets each draft say by mask or own which tags besides the
// low ones are its. It takes a reference to the set's low list. old is what these drafts replace,
// or nil.
func (r *resolver) resolve(in *tagset.Interner, drafts []draft, old *entry) (tagset.Set,
	*tagset.List) {
	if len(drafts) == 1 {
		d := &drafts[0]
		d.mask, d.own = 0, nil
		return tagset.MakeSet(in.Retain(d.low), kept(d.rest, old), d.nOrch), distinct(d.standard)
	}
	r.order = r.order[:0]
	for i := range drafts {
		r.order = append(r.order, &drafts[i])
	}
	slices.SortFunc(r.order, func(a, b *draft) int {
		return cmp.Or(-cmp.Compare(a.priority(), b.priority()),
			cmp.Compare(a.name.Value(), b.name.Value()))
	})
	for i := range r.levels {
		r.levels[i] = r.levels[i][:0]
	}
	lowIsSame := r.sameLow(drafts, old)
	for i, d := range r.order {
		above := r.hiding(i)
		if !lowIsSame {
			r.levels[0] = visible(r.levels[0], d.low.Tags(), above)
		}
		before := len(r.levels[1]) + len(r.levels[2])
		r.levels[1] = visible(r.levels[1], d.rest[:d.nOrch], above)
		r.levels[2] = visible(r.levels[2], d.rest[d.nOrch:], above)
		d.shown = len(r.levels[1])+len(r.levels[2])-before == len(d.rest)
	}
	for _, level := range r.levels {
		tagset.Sort(level)
	}
	nOrch := len(r.levels[1])
	r.levels[1] = append(r.levels[1], r.levels[2]...)
	rest := kept(r.levels[1], old)
	mark(drafts, rest, nOrch)
	var low *tagset.List
	if lowIsSame {
		low = in.Retain(old.set.LowList())
	} else {
		low = in.List(r.levels[0])
	}
	return tagset.MakeSet(low, rest, nOrch), r.resolveStandard()
}

// kept returns a copy of the tags, or those of the old entry if they are the same.
func kept(tags []string, old *entry) []string {
	if old != nil {
		if had, _ := old.set.Rest(); slices.Equal(had, tags) {
			return had
		}
	}
	return append(make([]string, 0, len(tags)), tags...)
}

// mark says of each draft which of the tags are its: by a mask, if it can.
func mark(drafts []draft, tags []string, nOrch int) {
	taken := uint64(0) // by a draft before: tags of equal sources may be equal
	for i := range drafts {
		d := &drafts[i]
		if !d.shown || len(tags) > 64 {
			if d.own == nil || d.changed {
				d.own = &ownTags{slices.Clone(d.rest), d.nOrch}
			}
			d.mask = 0
			continue
		}
		d.mask, d.own = 0, nil
		at := 0
		for j, tag := range d.rest { // both are sorted, level by level
			if j == d.nOrch {
				at = nOrch
			}
			for tags[at] != tag || taken>>at&1 != 0 {
				at++
			}
			taken |= 1 << at
			d.mask |= 1 << at
			at++
		}
	}
}

// sameLow reports whether the low tags come out as they did before, which is the
// common case and worth not doing the work: no source's low tags have changed, nor
// have the other tags of a source that can hide those of another.
func (r *resolver) sameLow(drafts []draft, old *entry) bool {
	if old == nil || len(old.sources.all) != len(drafts) {
		return false
	}
	lowest := r.order[len(r.order)-1].priority()
	for i := range drafts {
		// As many are the same ones: no change both adds a source and drops one.
		now, was := &drafts[i], &old.sources.all[i]
		if now.low != was.low {
			return false
		}
		if now.changed && now.priority() > lowest {
			return false
		}
	}
	return true
}

// hiding are the names of tags that sources of a higher priority have. They are in a set
// if they are many, else they are looked for in the sources.
type hiding struct {
	above []*draft
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
