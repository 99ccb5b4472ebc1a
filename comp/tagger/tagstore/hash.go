package tagstore

import (
	"hash/maphash"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
)

const separator = "://"

const mixer = 0x9e3779b97f4a7c15 // an odd number without a pattern

// idHash hashes entity IDs, so that who holds the two parts of one need not join them.
type idHash struct {
	seed      maphash.Seed
	container uint64 // of the prefix that most IDs have
}

func newIDHash() idHash {
	h := idHash{seed: maphash.MakeSeed()}
	h.container = h.prefix(tagger.PrefixContainer)
	return h
}

// prefix is what the prefix adds to the hash of the rest. Without the factor, an ID that is like
// its prefix would add up to a hash with fewer bits.
func (h *idHash) prefix(prefix string) uint64 {
	return maphash.String(h.seed, prefix) * mixer
}

// of is the hash of an ID: of all of it, if it has no parts.
func (h *idHash) of(id tagger.EntityID) uint64 {
	const container = tagger.PrefixContainer + separator
	if len(id) > len(container) && id[:len(container)] == container {
		return h.container + maphash.String(h.seed, string(id[len(container):]))
	}
	colon := strings.IndexByte(string(id), ':')
	if colon < 0 || !strings.HasPrefix(string(id[colon:]), separator) {
		return maphash.String(h.seed, string(id))
	}
	return h.ofParts(string(id[:colon]), string(id[colon+len(separator):]))
}

// ofParts is the hash of "<prefix>://<id>", if there is no colon in prefix.
func (h *idHash) ofParts(prefix, id string) uint64 {
	if prefix == tagger.PrefixContainer {
		return h.container + maphash.String(h.seed, id)
	}
	return h.prefix(prefix) + maphash.String(h.seed, id)
}
