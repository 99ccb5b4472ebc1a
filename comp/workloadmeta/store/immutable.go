package store

import (
	"encoding/json"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// fingerprints notice entities that somebody wrote to after handing them over. A nil
// value checks nothing. It is used under the commit lock.
type fingerprints struct {
	report func(workloadmeta.EntityID, workloadmeta.Source)
	sums   map[fingerprintKey]fingerprint
}

type fingerprintKey struct {
	id     workloadmeta.EntityID
	source workloadmeta.Source
}

type fingerprint struct {
	entity workloadmeta.Entity
	sum    string
}

func (f *fingerprints) note(id workloadmeta.EntityID, views []workloadmeta.View) {
	if f == nil {
		return
	}
	for _, v := range views {
		key := fingerprintKey{id, v.Source}
		if have, ok := f.sums[key]; !ok || have.entity != v.Entity {
			f.sums[key] = fingerprint{v.Entity, sum(v.Entity)}
		}
	}
}

func (f *fingerprints) check(id workloadmeta.EntityID, source workloadmeta.Source) {
	if f == nil {
		return
	}
	if have, ok := f.sums[fingerprintKey{id, source}]; ok && sum(have.entity) != have.sum {
		f.report(id, source)
	}
}

func (f *fingerprints) forget(id workloadmeta.EntityID, source workloadmeta.Source) {
	if f != nil {
		delete(f.sums, fingerprintKey{id, source})
	}
}

func (f *fingerprints) checkAll() {
	for key := range f.sums {
		f.check(key.id, key.source)
	}
}

func sum(e workloadmeta.Entity) string {
	data, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
