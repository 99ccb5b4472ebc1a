package collection

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Supervisor runs collectors. Create one with [New]. Its methods may be called from any
// goroutine.
type Supervisor struct {
	marked sync.Once // the store as synced

	opts         Options
	reports      reportTable
	expectations expectations
	first        *firstPass
	fetches      fetches
	// of all collectors and their instances, sorted by ID; replaced under mu
	runners atomic.Pointer[[]*runner]

	changeMu sync.Mutex    // guards change; leaf
	change   chan struct{} // closed at the next change of a collector's state; nil: nobody waits

	mu      sync.Mutex // guards the fields below
	started bool
	stopped bool
	cancel  context.CancelFunc
	ctx     context.Context // of everything that runs; ends at Stop
	running sync.WaitGroup  // add only through spawn
}

// New returns a supervisor that is not started yet. Its error names everything that is
// wrong with the options.
func New(opts Options) (*Supervisor, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := &Supervisor{opts: opts.withDefaults()}
	s.reports.store, s.reports.begun = opts.Store, time.Now()
	s.expectations.init(opts.Store)
	s.fetches.init(s)
	s.first = newFirstPass()
	runners := make([]*runner, len(opts.Collectors))
	for i, c := range opts.Collectors {
		runners[i] = newRunner(s, c, c.Describe())
		s.first.add(runners[i].ID)
		if runners[i].discoverer != nil {
			s.first.hold()
		}
	}
	s.first.release()
	sortRunners(runners)
	s.runners.Store(&runners)
	return s, nil
}

func sortRunners(runners []*runner) {
	slices.SortFunc(runners, func(a, b *runner) int { return strings.Compare(a.ID, b.ID) })
}

// all returns the runners of all collectors, sorted by ID.
func (s *Supervisor) all() []*runner { return *s.runners.Load() }

// shown returns the runners that are worth a line: all but those that only stand for their
// instances, and those that could stand in for another collector and do not.
func (s *Supervisor) shown() []*runner {
	all := s.all()
	return slices.DeleteFunc(slices.Clone(all), func(r *runner) bool {
		return r.onlyDiscovers() &&
			slices.ContainsFunc(all, func(other *runner) bool { return other.parent == r }) ||
			r.StandsInFor != "" && r.idle()
	})
}

// Start starts the collectors and returns at once. They go on after ctx has ended,
// until [Supervisor.Stop]. A supervisor can be started once.
func (s *Supervisor) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stopped {
		return errors.New("start the collectors: they have been started or stopped before")
	}
	s.started = true
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, r := range s.all() {
		s.running.Go(func() { r.run(s.ctx) })
		if r.discoverer != nil {
			s.running.Go(func() { r.discoverLoop(s.ctx) })
		}
	}
	s.running.Go(func() { s.markSynced(s.ctx) })
	s.running.Go(func() { s.forgetLoop(s.ctx) })
	return nil
}

// markSynced marks the store synced when the first pass is over, or after the grace time.
func (s *Supervisor) markSynced(ctx context.Context) {
	grace := time.NewTimer(s.opts.SyncGrace)
	defer grace.Stop()
	select {
	case <-ctx.Done():
		return
	case <-s.first.done:
	case <-grace.C:
		var late []string
		for _, o := range s.first.list() {
			if o.Result == Pending {
				late = append(late, o.ID)
			}
		}
		s.opts.Log.Warn("the store counts as synced although some collectors have not answered",
			"collectors", strings.Join(late, ", "), "grace", s.opts.SyncGrace)
	}
	s.marked.Do(s.opts.Store.MarkSynced)
}

// Stop ends everything and waits until it has ended. If ctx ends first, the error names
// the collectors that do not return; they are no longer listened to. Stop may be called
// more than once, and without Start.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() { // ends with what it waits for
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.reports.close()
	var stuck []string
	for _, r := range s.all() {
		if r.active.Load() {
			stuck = append(stuck, r.ID)
		}
	}
	if len(stuck) == 0 {
		stuck = []string{"look-ups"}
	}
	return fmt.Errorf("stop the collectors: still waiting for %s: %w", strings.Join(stuck, ", "),
		context.Cause(ctx))
}

// spawn runs f in a goroutine that Stop ends and waits for. It returns false if the
// supervisor does not run.
func (s *Supervisor) spawn(f func(ctx context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started || s.stopped {
		return false
	}
	s.running.Go(func() { f(s.ctx) })
	return true
}

// alive reports whether the supervisor has been started and not stopped.
func (s *Supervisor) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started && !s.stopped
}

// Status returns how every collector is doing, sorted by ID. The caller owns it.
func (s *Supervisor) Status() []Status {
	shown := s.shown()
	list := make([]Status, len(shown))
	for i, r := range shown {
		list[i] = r.snapshot()
	}
	return list
}

// jittered returns the period, a bit longer or shorter.
func (s *Supervisor) jittered(period time.Duration) time.Duration {
	return time.Duration(float64(period) * (1 - jitter + 2*jitter*rand.Float64()))
}
