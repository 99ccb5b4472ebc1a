package tagstore

import (
	"runtime"
	"sync/atomic"
	"weak"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// Handle implements [tagger.Handle]: the store shows it each new state of its entity, so
// that a query is one atomic load.
type Handle struct {
	cur atomic.Pointer[entry] // nil while the entity is unknown
	id  tagger.EntityID
}

// handles are those that somebody still holds. It is used under the commit lock. It
// holds them weakly: a handle that everybody has dropped goes.
type handles map[tagger.EntityID]weak.Pointer[Handle]

// show makes e what the entity's handle answers, if there is one.
func (h handles) show(id tagger.EntityID, e *entry) {
	if len(h) == 0 {
		return
	}
	if held, ok := h[id]; ok {
		if handle := held.Value(); handle != nil {
			handle.cur.Store(e)
		}
	}
}

// Handle returns the handle on an entity, known or not. All who ask for one entity
// share it.
func (s *Store) Handle(id tagger.EntityID) tagger.Handle {
	var handle *Handle
	s.table.Update(func(t *tx) {
		if held, ok := s.handles[id]; ok {
			if handle = held.Value(); handle != nil {
				return
			}
		}
		handle = &Handle{id: id}
		if e, ok := t.Get(id); ok {
			handle.cur.Store(e)
		} else if _, ok := s.forgotten.when(id); ok {
			handle.cur.Store(&entry{tombstone: 1})
		}
		s.handles[id] = weak.Make(handle)
		runtime.AddCleanup(handle, s.dropHandle, id)
	})
	return handle
}

func (s *Store) dropHandle(id tagger.EntityID) {
	s.table.Update(func(*tx) {
		// It may be another one's by now.
		if held, ok := s.handles[id]; ok && held.Value() == nil {
			delete(s.handles, id)
		}
	})
}

// Tags implements [tagger.Handle].
func (h *Handle) Tags(c tagger.TagCardinality) tagset.Tags {
	e := h.cur.Load()
	if e == nil {
		return tagset.Tags{}
	}
	return e.at(c)
}

// Completeness implements [tagger.Handle].
func (h *Handle) Completeness() tagger.Completeness {
	if e := h.cur.Load(); e != nil {
		return e.completeness()
	}
	return tagger.Unknown
}

// ID implements [tagger.Handle].
func (h *Handle) ID() tagger.EntityID { return h.id }
