package store

import (
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/singlewriter"
)

// kinds hold the entities: one map for each kind, so that a look-up hashes the ID alone and a
// list of one kind costs no more than that kind. Together they are what the table of the
// state bus keeps its values in.
type kinds [workloadmeta.NumKinds]*singlewriter.Map[string, *record]

func newKinds() *kinds {
	k := &kinds{}
	for i := range k {
		k[i] = singlewriter.New[string, *record]()
	}
	return k
}

// Get also takes IDs of a kind that there is not.
func (k *kinds) Get(id workloadmeta.EntityID) (*record, bool) {
	if int(id.Kind) >= len(k) {
		return nil, false
	}
	return k[id.Kind].Get(id.ID)
}

func (k *kinds) Set(id workloadmeta.EntityID, r *record, revision uint64) (*record, uint64, bool) {
	return k[id.Kind].Set(id.ID, r, revision)
}

func (k *kinds) Replace(id workloadmeta.EntityID, r *record) { k[id.Kind].Replace(id.ID, r) }

func (k *kinds) Delete(id workloadmeta.EntityID) (*record, uint64, bool) {
	return k[id.Kind].Delete(id.ID)
}

func (k *kinds) Len() int {
	n := 0
	for _, of := range k {
		n += of.Len()
	}
	return n
}

func (k *kinds) Range(f func(id workloadmeta.EntityID, r *record, revision uint64) bool) {
	k.rangeOf(workloadmeta.Kind.Valid, f)
}

// rangeOf is Range over those kinds alone that are wanted.
func (k *kinds) rangeOf(wanted func(workloadmeta.Kind) bool,
	f func(id workloadmeta.EntityID, r *record, revision uint64) bool) {
	more := true
	for i := 0; i < len(k) && more; i++ {
		kind := workloadmeta.Kind(i)
		if !wanted(kind) {
			continue
		}
		k[i].Range(func(id string, r *record, revision uint64) bool {
			more = f(workloadmeta.EntityID{Kind: kind, ID: id}, r, revision)
			return more
		})
	}
}
