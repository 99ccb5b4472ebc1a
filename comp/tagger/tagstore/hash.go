package tagstore

import (
	"hash/maphash"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
)

const separator = "://"

// idHash hashes entity IDs, so that who holds the two parts of one need not join them.
type idHash struct {
	seed, prefixSeed maphash.Seed // two, lest an ID that is like its prefix has a poorer hash
	container        uint64       // of the prefix that most IDs have
}

func newIDHash() idHash {
	h := idHash{seed: maphash.MakeSeed(), prefixSeed: maphash.MakeSeed()}
	h.container = h.prefix(tagger.PrefixContainer)
	return h
}

// prefix is what the prefix adds to the hash of the rest.
func (h *idHash) prefix(prefix string) uint64 { return maphash.String(h.prefixSeed, prefix) }

// of is the hash of an ID: of all of it, if it has no parts.
func (h *idHash) of(id tagger.EntityID) uint64 {
	const container = tagger.PrefixContainer + separator
	if bare, ok := strings.CutPrefix(string(id), container); ok {
		return h.container + maphash.String(h.seed, bare)
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
