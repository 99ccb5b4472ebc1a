package collection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// maxMisses bounds the negative cache; the oldest go first.
const maxMisses = 10_000

// failureTTL is how long a failed look-up is remembered: just long enough that a crowd
// asking for the same entity does not become a crowd at its source.
const failureTTL = time.Second

// answerGrace is how long collectors have, when the time of a look-up is over, to say so.
const answerGrace = 100 * time.Millisecond

// fetches looks up entities that somebody misses.
type fetches struct {
	s *Supervisor

	mu      sync.Mutex // guards the fields below
	flights map[workloadmeta.EntityID]*flight
	misses  map[workloadmeta.EntityID]miss
	oldest  []workloadmeta.EntityID // of misses, in the order they were entered
	results map[string]uint64       // by result, for metrics
}

// flight is one look-up and those who wait for it.
type flight struct {
	cancel  context.CancelFunc
	waiters int
	done    chan struct{} // closed after err is written
	err     error
}

// miss is a remembered answer: nobody knows the entity, or asking failed.
type miss struct {
	until time.Time
	err   error
}

func (f *fetches) init(s *Supervisor) {
	f.s = s
	f.flights = map[workloadmeta.EntityID]*flight{}
	f.misses = map[workloadmeta.EntityID]miss{}
	f.results = map[string]uint64{}
}

// Fetch implements [workloadmeta.OnMiss]: it asks every collector that can look up this
// kind of entity and has something to collect here, and returns when they have answered.
// Callers that ask for the same entity share one look-up, which is given up when none
// of them waits any longer. That nobody knows an entity is not an error and is
// remembered for [Options.FetchNegativeTTL].
//
// Errors: [ErrNoFetcher], [ErrNotRunning], [ErrRateLimited], the end of ctx, or what the
// collectors failed with.
func (s *Supervisor) Fetch(ctx context.Context, id workloadmeta.EntityID) error {
	err := s.fetches.fetch(ctx, id)
	if err != nil {
		return fmt.Errorf("look up %s: %w", id, err)
	}
	return nil
}

func (f *fetches) fetch(ctx context.Context, id workloadmeta.EntityID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fl, err := f.join(id)
	if fl == nil {
		return err
	}
	select {
	case <-fl.done:
		return fl.err
	case <-ctx.Done():
		f.leave(id, fl)
		return context.Cause(ctx)
	}
}

// join returns the flight for an entity, or the answer if none is needed.
func (f *fetches) join(id workloadmeta.EntityID) (*flight, error) {
	var able []*runner
	for _, r := range f.s.all() {
		if r.fetcher != nil && r.collects(id.Kind) && f.s.expectations.has(r) {
			able = append(able, r)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.flights[id]; fl != nil {
		fl.waiters++
		return fl, nil
	}
	if m, ok := f.misses[id]; ok {
		if time.Now().Before(m.until) {
			f.results["remembered"]++
			return nil, m.err
		}
		delete(f.misses, id)
	}
	if !f.s.alive() {
		return nil, ErrNotRunning
	}
	if len(able) == 0 {
		f.results["nobody to ask"]++
		return nil, ErrNoFetcher
	}
	fl := &flight{waiters: 1, done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), f.s.opts.FetchTimeout)
	fl.cancel = cancel
	started := f.s.spawn(func(stopped context.Context) {
		defer cancel()
		defer context.AfterFunc(stopped, cancel)()
		f.fly(ctx, id, fl, able)
	})
	if !started {
		cancel()
		return nil, ErrNotRunning
	}
	f.flights[id] = fl
	return fl, nil
}

// leave gives a flight up if nobody else waits for it. Whoever comes then starts a new one.
func (f *fetches) leave(id workloadmeta.EntityID, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.waiters--; fl.waiters == 0 {
		fl.cancel()
		if f.flights[id] == fl {
			delete(f.flights, id)
		}
	}
}

// fly asks the collectors side by side and lands.
func (f *fetches) fly(ctx context.Context, id workloadmeta.EntityID, fl *flight, able []*runner) {
	type answer struct {
		from  *runner
		found bool
		err   error
	}
	answers := make(chan answer, len(able)) // has room for those that come too late
	silent := map[*runner]bool{}
	for _, r := range able {
		silent[r] = true
		if !f.s.spawn(func(context.Context) {
			found, err := r.fetch(ctx, id)
			answers <- answer{r, found, err}
		}) {
			answers <- answer{r, false, ErrNotRunning}
		}
	}
	known := false
	var errs []error
	ended := ctx.Done()
	var over <-chan time.Time
	for len(silent) > 0 {
		select {
		case a := <-answers:
			delete(silent, a.from)
			known = known || a.found
			errs = append(errs, a.err)
		case <-ended:
			ended, over = nil, time.After(answerGrace)
		case <-over: // a collector that does not care must not hold up the callers
			for r := range silent {
				errs = append(errs, fmt.Errorf("%s: no answer: %w", r.ID, ctx.Err()))
			}
			clear(silent)
		}
	}
	err := errors.Join(errs...)
	result := "unknown"
	switch {
	case known:
		result, err = "found", nil // whoever failed could only have added to it
	case err != nil:
		result = "failed"
		if !f.s.alive() {
			err = ErrNotRunning // the reason for whatever the collectors said
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flights[id] == fl {
		delete(f.flights, id)
	}
	f.results[result]++
	switch {
	case known || errors.Is(ctx.Err(), context.Canceled):
		// Nothing to remember, or given up before there was an answer.
	case err != nil:
		f.remember(id, miss{time.Now().Add(min(failureTTL, f.s.opts.FetchNegativeTTL)), err})
	default:
		f.remember(id, miss{time.Now().Add(f.s.opts.FetchNegativeTTL), nil})
	}
	fl.err = err
	close(fl.done)
}

// remember enters a miss and drops what has expired or is too much. It needs mu.
func (f *fetches) remember(id workloadmeta.EntityID, m miss) {
	f.misses[id] = m
	f.oldest = append(f.oldest, id)
	now := time.Now()
	for len(f.oldest) > 0 {
		first := f.oldest[0]
		if known, ok := f.misses[first]; ok && now.Before(known.until) &&
			len(f.oldest) <= maxMisses {
			break
		}
		delete(f.misses, first)
		f.oldest = f.oldest[1:]
	}
}

// counts returns how many look-ups had which result, and how many are under way.
func (f *fetches) counts() (results map[string]uint64, underWay int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.results), len(f.flights)
}

var _ workloadmeta.OnMiss = (*Supervisor)(nil)
