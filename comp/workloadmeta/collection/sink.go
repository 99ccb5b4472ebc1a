package collection

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

var errAfterRun = errors.New("reports after its run has ended")

// sink is what the three sinks have in common: it prepares events, and it is of no use
// any more when the run it belongs to is over.
type sink struct {
	r *runner
	// takes valid events; called with mu held
	accept func(events []workloadmeta.CollectorEvent) error
	// called with mu held; nil: nothing to do
	synced func() error

	// mu keeps reports of several goroutines of one run in order, and the end of the run
	// behind the last of them.
	mu     sync.Mutex
	closed bool
}

func (s *sink) Set(entities ...workloadmeta.Entity) {
	s.each(workloadmeta.EventTypeSet, entities)
}
func (s *sink) Unset(entities ...workloadmeta.Entity) {
	s.each(workloadmeta.EventTypeUnset, entities)
}

func (s *sink) each(t workloadmeta.EventType, entities []workloadmeta.Entity) {
	events := make([]workloadmeta.CollectorEvent, len(entities))
	for i, e := range entities {
		events[i] = workloadmeta.CollectorEvent{Type: t, Entity: e}
	}
	s.Apply(events)
}

// Apply copies what it takes: the slice stays the collector's.
func (s *sink) Apply(events []workloadmeta.CollectorEvent) {
	if len(events) == 0 {
		return
	}
	valid := make([]workloadmeta.CollectorEvent, 0, len(events))
	var problems []error
	for _, ev := range events {
		if ev.Source == "" || !s.r.MultiSource {
			ev.Source, ev.Reporter = s.r.Source, nil
		}
		if err := ev.Validate(); err != nil {
			problems = append(problems, err)
			continue
		}
		if kind := ev.Entity.GetID().Kind; !s.r.collects(kind) {
			// Used all the same: it is true. But nobody waits for it.
			s.r.logProblem(fmt.Errorf("reports %s, which is not among its Kinds", kind))
		}
		valid = append(valid, ev)
	}
	s.r.rejected(problems)
	if len(valid) == 0 {
		return
	}
	s.r.logProblem(s.deliver(valid))
}

func (s *sink) deliver(events []workloadmeta.CollectorEvent) error {
	if err := s.take(events); err != nil {
		return err
	}
	for _, other := range s.r.s.all() {
		if other.noticer == nil || other == s.r {
			continue
		}
		for _, ev := range events {
			if ev.Type == workloadmeta.EventTypeSet {
				other.noticer.Notice(ev.Entity)
			}
		}
	}
	return nil
}

func (s *sink) take(events []workloadmeta.CollectorEvent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errAfterRun
	}
	return s.accept(events)
}

// Synced may be called more than once; in a pull and a fetch it says nothing new.
func (s *sink) Synced() {
	if s.synced == nil {
		return
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.r.logProblem(errAfterRun)
		return
	}
	err := s.synced()
	s.mu.Unlock()
	s.r.logProblem(err)
	s.r.listed(modeStream)
}

// Known implements [workloadmeta.Sink].
func (s *sink) Known(id workloadmeta.EntityID) bool {
	reports, _ := s.r.s.opts.Store.Reports(id) // none if nobody does
	return slices.ContainsFunc(reports, func(r workloadmeta.Report) bool {
		return r.Name != s.r.ID && r.State != workloadmeta.Done
	})
}

// close makes the sink deaf. When it returns, no report is under way.
func (s *sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// newBuffer returns a sink that keeps everything until the caller, after close, takes it.
func newBuffer(r *runner) (*sink, *[]workloadmeta.CollectorEvent) {
	var events []workloadmeta.CollectorEvent
	return &sink{r: r, accept: func(more []workloadmeta.CollectorEvent) error {
		events = append(events, more...)
		return nil
	}}, &events
}
