package collection

import (
	"context"
	"iter"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Outage is a collector that has been live and has lost its source, or has it back.
type Outage struct {
	Collector string `json:"collector"`
	Back      bool   `json:"back,omitempty"`
	// Why it has lost it, also when it is back.
	workloadmeta.Problem
}

// Outages yields each collector that has been live and is not any more, once, and once when it is
// live again, until ctx ends. A connection that is only made again is no outage.
func (s *Supervisor) Outages(ctx context.Context) iter.Seq[Outage] {
	return func(yield func(Outage) bool) {
		away := map[string]*workloadmeta.Problem{} // of those that have been live; nil: they are
		for {
			changed := s.stateChange()
			for _, r := range s.all() {
				if r.StandsInFor != "" || r.onlyDiscovers() {
					continue // they have nothing to lose
				}
				r.mu.Lock()
				state, why := r.status.State, r.status.Problem
				listed := !r.status.LastSync.IsZero()
				r.mu.Unlock()
				lost, was := away[r.ID]
				was = was || listed // before anybody asked
				switch state {
				case StateLive:
					away[r.ID] = nil
					if lost != nil && !yield(Outage{r.ID, true, *lost}) {
						return
					}
				case StateWaiting, StateDegraded, StateFailed:
					if !was || lost != nil {
						continue
					}
					away[r.ID] = &why
					if !yield(Outage{r.ID, false, why}) {
						return
					}
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}
