package inspect

import (
	"context"
	"sync"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// ended remembers containers and pods that have ended: the tags of a container outlive it, and
// whether rules leave it out must be known for as long. What the tagger has forgotten is
// forgotten.
type ended struct {
	store  *store.Store
	tagger *local.Tagger

	mu       sync.Mutex    // guards the fields below
	cancel   func()        // set by start
	done     chan struct{} // closed when what start has begun is over
	entities map[workloadmeta.EntityID]workloadmeta.Entity
	forgetAt int // number of entities at which those that are forgotten are looked for
	seen     uint64
	advanced chan struct{} // closed and replaced whenever seen grows
}

// forgetEvery is how many ended entities there are at least before those that the tagger has
// forgotten are looked for.
const forgetEvery = 256

func newEnded(s *store.Store, t *local.Tagger) *ended {
	return &ended{store: s, tagger: t, entities: map[workloadmeta.EntityID]workloadmeta.Entity{},
		forgetAt: forgetEvery, advanced: make(chan struct{})}
}

// start begins to remember. Starting twice does nothing.
func (e *ended) start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel, e.done = cancel, make(chan struct{})
	// Everything, because the revision it has seen has to keep up with the store's.
	sub := e.store.Subscribe("inspect", nil)
	go func() {
		defer close(e.done)
		defer sub.Close()
		for bundle := range sub.Bundles(ctx) {
			e.note(bundle)
		}
	}()
}

// stop ends what start has begun, and waits for it.
func (e *ended) stop() {
	e.mu.Lock()
	cancel, done := e.cancel, e.done
	e.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

func (e *ended) note(bundle workloadmeta.Bundle) {
	e.mu.Lock()
	for _, ev := range bundle.Events {
		id := ev.Entity.GetID()
		if id.Kind != workloadmeta.KindContainer && id.Kind != workloadmeta.KindKubernetesPod {
			continue
		}
		if ev.Type == workloadmeta.EventTypeUnset {
			e.entities[id] = ev.Entity
		} else {
			delete(e.entities, id)
		}
	}
	forget := len(e.entities) >= e.forgetAt
	e.mu.Unlock()
	if forget {
		e.forget()
	}
	e.mu.Lock()
	e.seen = bundle.Revision
	advanced := e.advanced
	e.advanced = make(chan struct{})
	e.mu.Unlock()
	close(advanced)
}

// forget drops what the tagger has forgotten.
func (e *ended) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.entities {
		if _, err := e.tagger.Tags(extract.TaggerID(id), tagger.LowCardinality); err != nil {
			delete(e.entities, id)
		}
	}
	e.forgetAt = max(forgetEvery, 2*len(e.entities))
}

// list returns what has ended, up to what the store knows now; after stop, what was known then.
func (e *ended) list(ctx context.Context) (map[workloadmeta.EntityID]workloadmeta.Entity, error) {
	for goal, over := e.store.Revision(), false; ; {
		e.mu.Lock()
		if e.seen >= goal || e.cancel == nil || over {
			out := make(map[workloadmeta.EntityID]workloadmeta.Entity, len(e.entities))
			for id, entity := range e.entities {
				out[id] = entity
			}
			e.mu.Unlock()
			return out, nil
		}
		advanced, done := e.advanced, e.done
		e.mu.Unlock()
		select {
		case <-advanced:
		case <-done:
			over = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// excluded returns the containers, live or ended, that rules leave out.
func (l *Local) excluded(ctx context.Context) (map[tagger.EntityID]bool, error) {
	past, err := l.ended.list(ctx)
	if err != nil {
		return nil, err
	}
	out := map[tagger.EntityID]bool{}
	find := lookup{l.opts.Store, past}
	note := func(entity workloadmeta.Entity) {
		if l.opts.Tagger.Rules().Why(entity, find, rules.Everything).Excluded {
			out[extract.TaggerID(entity.GetID())] = true
		}
	}
	for c := range l.opts.Store.Containers() {
		note(c)
	}
	for _, entity := range past {
		note(entity)
	}
	return out, nil
}

// lookup finds what is there and what has ended.
type lookup struct {
	store *store.Store
	past  map[workloadmeta.EntityID]workloadmeta.Entity
}

// Get implements [rules.Lookup].
func (l lookup) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	entity, err := l.store.Get(id)
	if ended, ok := l.past[id]; err != nil && ok {
		return ended, nil
	}
	return entity, err
}
