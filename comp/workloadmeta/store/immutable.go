package store

import (
	"encoding/json"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// fingerprints notice entities that somebody wrote to after handing them over. A nil
// value checks nothing. It is used under the commit lock.
type fingerprints struct {
	report  func(workloadmeta.EntityID, workloadmeta.Source)
	sums    map[fingerprintKey]fingerprint
	mutated []fingerprintKey // found and not yet reported
}

type fingerprintKey struct {
	id       workloadmeta.EntityID
	reporter workloadmeta.Reporter
}

type fingerprint struct {
	entity workloadmeta.Entity
	sum    string
}

func (f *fingerprints) note(id workloadmeta.EntityID, reports []workloadmeta.Report) {
	if f == nil {
		return
	}
	for _, v := range reports {
		key := fingerprintKey{id, *v.Reporter}
		if have, ok := f.sums[key]; !ok || have.entity != v.Entity {
			f.sums[key] = fingerprint{v.Entity, sum(v.Entity)}
		}
	}
}

func (f *fingerprints) check(id workloadmeta.EntityID, who *workloadmeta.Reporter) {
	if f == nil {
		return
	}
	key := fingerprintKey{id, *who}
	if have, ok := f.sums[key]; ok && sum(have.entity) != have.sum {
		f.mutated = append(f.mutated, key)
		delete(f.sums, key)
	}
}

// take returns what was found since the last call.
func (f *fingerprints) take() []fingerprintKey {
	if f == nil {
		return nil
	}
	mutated := f.mutated
	f.mutated = nil
	return mutated
}

func (f *fingerprints) forget(id workloadmeta.EntityID, who *workloadmeta.Reporter) {
	if f != nil {
		delete(f.sums, fingerprintKey{id, *who})
	}
}

func (f *fingerprints) checkAll() {
	if f == nil {
		return
	}
	for key := range f.sums {
		f.check(key.id, &key.reporter)
	}
}

func sum(e workloadmeta.Entity) string {
	data, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
