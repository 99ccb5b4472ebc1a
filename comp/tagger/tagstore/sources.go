package tagstore

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"unique"

	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// sources are what the sources of an entity say, but for the orchestrator and high tags, which
// nearly always are strings of its own: those lie in the entity's set alone, and each source
// says which of them are its. So the containers of a deployment share one sources. It is not
// changed after it was made.
type sources struct {
	all []source

	// The rest belongs to the store. It is used under the commit lock.
	sum  uint64 // under which it is among the shared ones; 0 = it is not
	refs int32
}

// source is what one source said about an entity.
type source struct {
	name     unique.Handle[string]
	low      *tagset.List
	standard *tagset.List
	// Its orchestrator and high tags are own, if that is not nil; else all of those in the
	// entity's set, if it is the only source; else those whose bits are set in mask.
	mask      uint64
	own       *ownTags
	expiry    int64 // Unix nanoseconds, 0 = none; of a withdrawn one as Elapsed counts
	withdrawn bool
	complete  bool
}

// ownTags are the orchestrator and high tags of a source that are not all in its entity's set,
// since another source hides some, or that are too many for a mask.
type ownTags struct {
	tags  []string
	nOrch int
}

// appendRest appends the i-th source's orchestrator tags, nOrch of them, and its high ones.
func (e *entry) appendRest(dst []string, i int) (_ []string, nOrch int) {
	src := &e.sources.all[i]
	if src.own != nil {
		return append(dst, src.own.tags...), src.own.nOrch
	}
	tags, nOrch := e.set.Rest()
	if len(e.sources.all) == 1 {
		return append(dst, tags...), nOrch
	}
	for m := src.mask; m != 0; m &= m - 1 {
		dst = append(dst, tags[bits.TrailingZeros64(m)])
	}
	return dst, bits.OnesCount64(src.mask & (1<<nOrch - 1))
}

// share returns sources that say what the drafts say, and counts a reference to them: those of
// the entity's old entry or of another entity, if they are the same.
func (s *Store) share(drafts []draft, old *entry) *sources {
	all := s.resolver.sources[:0]
	shareable := true
	for i := range drafts {
		src := drafts[i].source
		shareable = shareable && src.own == nil && src.expiry == 0
		all = append(all, src)
	}
	s.resolver.sources = all
	if old != nil && slices.Equal(old.sources.all, all) {
		old.sources.refs++
		return old.sources
	}
	made := &sources{refs: 1}
	if shareable {
		made.sum = s.sum(all)
		if have, ok := s.shared.Get(made.sum); ok && slices.Equal(have.all, all) {
			have.refs++
			return have
		}
		s.shared.Set(made.sum, made, 0)
	}
	made.all = append(make([]source, 0, len(all)), all...)
	return made
}

// unshare gives a reference back.
func (s *Store) unshare(src *sources) {
	if src.refs--; src.refs == 0 && src.sum != 0 {
		s.shared.Delete(src.sum)
	}
}

const mixer = 0x9e3779b97f4a7c15 // an odd number without a pattern

// sum is a hash of sources. If two have the same by chance, the later one is shared from then on.
func (s *Store) sum(all []source) uint64 {
	sum := uint64(1)
	for i := range all {
		src := &all[i]
		name := maphash.String(s.hash.seed, src.name.Value())
		for _, part := range [...]uint64{name, src.low.Sum(), src.standard.Sum(), src.mask} {
			sum = (sum ^ part) * mixer
			sum ^= sum >> 32
		}
		if src.complete {
			sum++
		}
	}
	return sum
}
