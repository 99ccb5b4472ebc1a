package collection

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// collecting reports whether a collector reports what it has to, or may be about to: it has
// listed, or its first attempt is not over yet. It is false for a collector that does not exist,
// that has nothing to collect, or whose source has never answered; and for one whose source has
// appeared only after it was missing, until it has listed, so that whoever stands in for it can
// hand over without a gap.
func (s *Supervisor) collecting(id string) bool {
	for _, r := range s.all() {
		if r.ID == id {
			return r.collecting()
		}
	}
	return false
}

func (r *runner) collecting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.status.State {
	case StateDisabled, StateFailed:
		return false
	case StateWaiting:
		return r.status.NextRetry.IsZero() // nobody has looked yet
	case StateLive:
		return true
	}
	return !r.absent && (r.status.Failures == 0 || !r.status.LastSync.IsZero())
}

// idle reports whether the collector waits, or is off.
func (r *runner) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.State == StateWaiting || r.status.State == StateDisabled
}

// awaitCollecting waits until a collector is collecting, or is not. It returns false if ctx
// ends first.
func (s *Supervisor) awaitCollecting(ctx context.Context, id string, want bool) bool {
	for {
		changed := s.stateChange()
		if s.collecting(id) == want {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// stateChange returns a channel that is closed when a collector's state changes.
func (s *Supervisor) stateChange() <-chan struct{} {
	s.changeMu.Lock()
	defer s.changeMu.Unlock()
	if s.change == nil {
		s.change = make(chan struct{})
	}
	return s.change
}

// stateChanged wakes who waits for a change of state.
func (s *Supervisor) stateChanged() {
	s.changeMu.Lock()
	defer s.changeMu.Unlock()
	if s.change != nil {
		close(s.change)
		s.change = nil
	}
}

// runStandIn collects while the collector that r stands in for does not, until ctx ends or
// there is no point in going on.
func (r *runner) runStandIn(ctx context.Context) {
	if !slices.ContainsFunc(r.s.all(), func(o *runner) bool { return o.ID == r.StandsInFor }) {
		r.disabled(workloadmeta.Detection{Reason: "there is no collector " + r.StandsInFor +
			" for which it could stand in"})
		return
	}
	for {
		if r.s.collecting(r.StandsInFor) {
			r.waiting(workloadmeta.Detection{Reason: "collected by " + r.StandsInFor}, time.Time{},
				false)
		}
		if !r.s.awaitCollecting(ctx, r.StandsInFor, false) {
			return
		}
		turn, end := context.WithCancel(ctx)
		watching := make(chan struct{})
		go func() { // ends with turn
			defer close(watching)
			r.s.awaitCollecting(turn, r.StandsInFor, true)
			end()
		}()
		r.runWhileDetected(turn)
		over := turn.Err() != nil
		end()
		<-watching
		if ctx.Err() != nil || !over {
			return
		}
		_, err := r.s.reports.withdraw(r.own, nil)
		r.logProblem(err)
	}
}
