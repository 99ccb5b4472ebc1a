package statebus

// Stats is the state of a table for people and metrics.
type Stats struct {
	Revision uint64
	Entries  int
	// Subscriptions are the open ones, the first tier first.
	Subscriptions []SubscriptionStats
	// Totals are the counts of all subscriptions, those that are closed included,
	// so they never go down.
	Totals Totals
}

// Totals are counts over the life of a table.
type Totals struct {
	Bundles           uint64
	Events            uint64
	Coalesced         uint64
	TombstonesDropped uint64
	// DeadlineMisses counts how often the first tier was found late.
	DeadlineMisses uint64
}

func (t *Totals) add(s SubscriptionStats) {
	t.Bundles += s.Bundles
	t.Events += s.Events
	t.Coalesced += s.Coalesced
	t.TombstonesDropped += s.TombstonesDropped
	if s.Tier == First {
		t.DeadlineMisses += s.DeadlineMisses
	}
}

// SubscriptionStats is the state of one subscription.
type SubscriptionStats struct {
	Name string
	Tier Tier
	// Since is the revision of the snapshot.
	Since uint64
	// Pending is the number of events in the mailbox, including merged ones that
	// still take up room.
	Pending int
	// Delivered is the revision of the last bundle handed over, Acknowledged that
	// of the last one finished; both are 0 before the first.
	Delivered, Acknowledged uint64
	// Bundles and Events were handed over.
	Bundles, Events uint64
	// Coalesced events were merged into later ones, as the subscriber lagged.
	Coalesced uint64
	// TombstonesDropped events of dead keys were lost to MaxTombstones.
	TombstonesDropped uint64
	// DeadlineMisses is, in the first tier, how often this subscription was found
	// late; in the second tier, how often it went on without waiting further.
	DeadlineMisses uint64
	// Late says that a first-tier subscription delays nobody at the moment.
	Late bool
	// Failure is the text of a filter's panic, which ended the subscription.
	Failure string
}

// Stats returns the present state. It takes the commit lock for a moment.
func (t *Table[K, V]) Stats() Stats {
	t.mu.Lock()
	r, totals := t.roster.Load(), t.past
	rev := t.rev.Load()
	t.mu.Unlock()
	st := Stats{Revision: rev, Entries: t.Len(), Totals: totals}
	for _, s := range r.all {
		sub := s.stats()
		st.Totals.add(sub)
		st.Subscriptions = append(st.Subscriptions, sub)
	}
	return st
}

func (s *Subscription[K, V]) stats() SubscriptionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count
	c.Pending = len(s.pending)
	c.Delivered, c.Bundles, c.Events = s.delivered.Load(), s.bundles.Load(), s.events.Load()
	c.Late = s.late.Load()
	if s.failure != nil {
		c.Failure = s.failure.Error()
	}
	return c
}
