package tagstore

import (
	"context"
	"iter"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/statebus"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

type subscription struct {
	*statebus.Subscription[tagger.EntityID, *entry]
	cardinality tagger.TagCardinality
}

// Subscribe starts a subscription. A change that does not show at the filter's
// cardinality is no event.
func (s *Store) Subscribe(name string, filter *tagger.Filter) tagger.Subscription {
	if filter == nil {
		filter = &tagger.Filter{Cardinality: tagger.HighCardinality}
	}
	c := filter.Cardinality
	opts := statebus.SubOptions[tagger.EntityID, *entry]{
		Name: name,
		Tier: statebus.Second,
		Same: func(a, b *entry) bool { return sameAt(a, b, c) },
	}
	if len(filter.Prefixes) > 0 {
		prefixes := slices.Clone(filter.Prefixes)
		opts.Match = func(id tagger.EntityID,
			_ *entry) bool {
			return slices.Contains(prefixes, id.Prefix())
		}
	}
	return &subscription{s.table.Subscribe(opts), c}
}

func sameAt(a, b *entry, c tagger.TagCardinality) bool {
	return a.completeness() == b.completeness() &&
		slices.Equal(a.standard.Tags(), b.standard.Tags()) && a.at(c).Equal(b.at(c))
}

func (e *entry) at(c tagger.TagCardinality) tagset.Tags {
	switch c {
	case tagger.LowCardinality:
		return e.set.Low()
	case tagger.OrchestratorCardinality:
		return e.set.Orchestrator()
	case tagger.HighCardinality:
		return e.set.High()
	}
	return tagset.Tags{}
}

// Bundles implements [tagger.Subscription].
func (s *subscription) Bundles(ctx context.Context) iter.Seq[tagger.Bundle] {
	return func(yield func(tagger.Bundle) bool) {
		for b := range s.Subscription.Bundles(ctx) {
			events := make([]tagger.Event, 0, len(b.Events))
			for _, ev := range b.Events {
				out := tagger.Event{
					Type: tagger.EventModified, ID: ev.Key, Tags: ev.Value.at(s.cardinality),
					Standard: ev.Value.standard.Tags(), Completeness: ev.Value.completeness(),
				}
				switch {
				case ev.Type == statebus.Unset:
					out.Type, out.Completeness = tagger.EventDeleted, tagger.Expired
				case ev.New:
					out.Type = tagger.EventAdded
				}
				events = append(events, out)
			}
			if !yield(tagger.Bundle{Revision: b.Revision, Snapshot: b.Snapshot, Events: events}) {
				return
			}
		}
	}
}
