package store

import (
	"context"
	"iter"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

type subscription struct {
	*statebus.Subscription[workloadmeta.EntityID, *record]
	source workloadmeta.Source
}

// Subscribe implements [workloadmeta.Component].
func (s *Store) Subscribe(name string, filter *workloadmeta.Filter,
	options ...workloadmeta.SubscribeOption) workloadmeta.Subscription {
	var o workloadmeta.SubscribeOptions
	for _, option := range options {
		option(&o)
	}
	opts := statebus.SubOptions[workloadmeta.EntityID, *record]{Name: name, Tier: statebus.Second}
	if o.FirstTier {
		opts.Tier = statebus.First
	}
	if o.Since != nil {
		opts.Since = &statebus.Since{Epoch: o.Since.Epoch, Revision: o.Since.Revision}
	}
	if filter.WantsType(workloadmeta.EventTypeSet) {
		opts.Types |= statebus.Sets
	}
	if filter.WantsType(workloadmeta.EventTypeUnset) {
		opts.Types |= statebus.Unsets
	}
	source := filter.ViewOf()
	if filter != nil {
		opts.Match = func(id workloadmeta.EntityID, r *record) bool {
			if !filter.WantsKind(id.Kind) {
				return false
			}
			e := r.as(source)
			return e != nil && filter.Accepts(e)
		}
		opts.Range = func(f func(workloadmeta.EntityID, *record, uint64) bool) {
			s.kinds.rangeOf(filter.WantsKind, f)
		}
	}
	if source != workloadmeta.SourceAll {
		opts.Same = func(a, b *record) bool {
			return a.complete == b.complete && sameView(a.as(source), b.as(source))
		}
	}
	return &subscription{s.table.Subscribe(opts), source}
}

// Bundles implements [workloadmeta.Subscription].
func (s *subscription) Bundles(ctx context.Context) iter.Seq[workloadmeta.Bundle] {
	return func(yield func(workloadmeta.Bundle) bool) {
		var events []workloadmeta.Event // reused: it is the subscriber's only during the body
		for b := range s.Subscription.Bundles(ctx) {
			events = slices.Grow(events[:0], len(b.Events))
			for _, ev := range b.Events {
				out := workloadmeta.Event{
					Type:     workloadmeta.EventTypeSet,
					Entity:   ev.Value.as(s.source),
					Complete: ev.Value.complete,
				}
				if ev.Type == statebus.Unset {
					out.Type = workloadmeta.EventTypeUnset
				}
				if s.source == workloadmeta.SourceAll {
					out.Reports = ev.Value.reports()
				}
				events = append(events, out)
			}
			if !yield(workloadmeta.Bundle{Revision: b.Revision, Snapshot: b.Snapshot,
				Events: events}) {
				return
			}
			clear(events)
			if cap(events) > maxReused {
				events = nil
			}
		}
	}
}

// maxReused is the number of events up to which a bundle's buffer is used again, so
// that a large snapshot does not stay in memory.
const maxReused = 1024
