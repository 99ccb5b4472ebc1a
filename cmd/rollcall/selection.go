package main

import (
	"context"
	"iter"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// excludedBy names the rule that leaves a container out, "" if none does.
func (e *engine) excludedBy(entity workloadmeta.Entity) string {
	if v := e.tagger.Rules().Why(entity, e.store, rules.Everything); v.Excluded {
		return v.Rule.Label()
	}
	return ""
}

// past remembers what has ended: the tags of a container outlive it, and whether rules
// leave it out must be known for as long.
type past struct {
	next  func() (workloadmeta.Bundle, bool)
	stop  func()
	seen  uint64
	ended map[workloadmeta.EntityID]workloadmeta.Entity
}

// follow starts to remember. Stop it.
func (e *engine) follow(ctx context.Context) *past {
	sub := e.store.Subscribe("rules", nil)
	next, stop := iter.Pull(sub.Bundles(ctx))
	return &past{next: next, stop: func() {
		stop()
		sub.Close()
	}, ended: map[workloadmeta.EntityID]workloadmeta.Entity{}}
}

// leftOut returns the containers, live or ended, that rules leave out.
func (p *past) leftOut(e *engine) map[tagger.EntityID]bool {
	for goal := e.store.Revision(); p.seen < goal; {
		bundle, ok := p.next()
		if !ok {
			break
		}
		p.seen = bundle.Revision
		for _, ev := range bundle.Events {
			if id := ev.Entity.GetID(); ev.Type == workloadmeta.EventTypeUnset {
				p.ended[id] = ev.Entity
			} else {
				delete(p.ended, id)
			}
		}
	}
	out := map[tagger.EntityID]bool{}
	note := func(entity workloadmeta.Entity) {
		if e.tagger.Rules().Why(entity, lookup{e, p}, rules.Everything).Excluded {
			out[extract.TaggerID(entity.GetID())] = true
		}
	}
	for c := range e.store.Containers() {
		note(c)
	}
	for _, entity := range p.ended {
		note(entity)
	}
	return out
}

// lookup finds what is there and what has ended.
type lookup struct {
	e *engine
	p *past
}

// Get implements [rules.Lookup].
func (l lookup) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	entity, err := l.e.store.Get(id)
	if ended, ok := l.p.ended[id]; err != nil && ok {
		return ended, nil
	}
	return entity, err
}
