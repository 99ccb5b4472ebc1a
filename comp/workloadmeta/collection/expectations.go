package collection

import (
	"slices"
	"sync"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// expectations tells the store which sources must report an entity for it to be
// complete: those of the collectors that have something to collect here and list it. A
// collector that only fetches is not expected, because it reports what somebody asks for.
type expectations struct {
	store Store

	// mu guards the fields below. It is held while the store is told, so that what the
	// store hears last is what is true; see reportTable.mu.
	mu       sync.Mutex
	detected map[*runner]bool
	expected map[workloadmeta.Kind][]workloadmeta.Source
}

func (e *expectations) init(store Store) {
	e.store = store
	e.detected = map[*runner]bool{}
	e.expected = map[workloadmeta.Kind][]workloadmeta.Source{}
}

// set notes whether a collector has something to collect.
func (e *expectations) set(r *runner, detected bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.detected[r] == detected {
		return
	}
	e.detected[r] = detected
	for _, kind := range r.Kinds {
		var sources []workloadmeta.Source
		for other, on := range e.detected {
			if on && other.expected() && slices.Contains(other.Kinds, kind) &&
				!slices.Contains(sources, other.Source) {
				sources = append(sources, other.Source)
			}
		}
		slices.SortFunc(sources, workloadmeta.CompareSources)
		if !slices.Equal(sources, e.expected[kind]) {
			e.expected[kind] = sources
			e.store.Expect(kind, sources)
		}
	}
}

// forget is for an instance that has gone.
func (e *expectations) forget(r *runner) {
	e.set(r, false)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.detected, r)
}

// has reports whether a collector has something to collect.
func (e *expectations) has(r *runner) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.detected[r]
}

func (r *runner) expected() bool {
	return !r.MultiSource && (r.streamer != nil || r.puller != nil)
}
