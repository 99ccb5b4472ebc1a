package tagstore

import (
	"strconv"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger"
)

// A hit compares the IDs, so that a poor hash would only show as a slow store.
func TestHashTellsIDsApart(t *testing.T) {
	h := newIDHash()
	const n = 64
	hashes, bits := map[uint64]bool{}, [2]uint64{0, ^uint64(0)} // or, and
	for i := range n {
		one := strconv.Itoa(i)
		same := h.of(tagger.EntityID(one + "://" + one)) // an ID that is like its prefix
		bits[0], bits[1] = bits[0]|same, bits[1]&same
		for _, id := range []tagger.EntityID{tagger.Container(one), tagger.EntityID(one),
			tagger.EntityID(one + "://x"), tagger.EntityID("x://" + one)} {
			hashes[h.of(id)] = true
		}
	}
	if len(hashes) != 4*n {
		t.Errorf("%d hashes of %d IDs", len(hashes), 4*n)
	}
	if bits[0] != ^uint64(0) || bits[1] != 0 {
		t.Errorf("some bits of the hashes are always alike: %x, %x", bits[0], bits[1])
	}
}
