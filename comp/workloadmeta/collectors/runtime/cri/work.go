package cri

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/backoff"
)

const (
	// after the second failure; after the first it is the next pull's turn
	retryMin = 10 * time.Second
	retryMax = 5 * time.Minute
)

// tries says when something that has failed is asked for again.
type tries struct {
	failures int
	next     time.Time // not before
}

func (t *tries) due(now time.Time) bool { return !now.Before(t.next) }

func (t *tries) failed(now time.Time) {
	t.failures++
	if t.failures > 1 {
		t.next = now.Add(backoff.Doubled(retryMin, t.failures-2, retryMax))
	}
}

// timeout is how long the next attempt may take: an object may be slow rather than stuck.
func (t *tries) timeout(o *Options) time.Duration {
	return backoff.Doubled(o.StatusWait, t.failures, o.CallTimeout)
}

// job asks for one thing.
type job struct {
	tries *tries
	// ask runs in a goroutine of its own and may not touch what is known; apply is called with its
	// answer where that may be.
	ask func(ctx context.Context, timeout time.Duration) (apply func(), err error)
}

// result is what has become of a job; the zero value says that there was no time for it.
type result struct {
	apply func()
	err   error
	stack []byte // of a panic
}

// work does the jobs, a few at a time, those that have failed before last. None begins after the
// time for them is over; the next pull does what is left. All have ended when it returns.
func (c *Collector) work(ctx context.Context, jobs []job, until time.Time) {
	slices.SortStableFunc(jobs, func(a, b job) int { return a.tries.failures - b.tries.failures })
	results := make([]result, len(jobs))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(c.opts.Workers, len(jobs)) {
		workers.Go(func() {
			for ctx.Err() == nil && time.Now().Before(until) {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				results[i] = c.attempt(ctx, &jobs[i])
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return
	}
	now := c.now()
	newlyFailed := 0
	var first result
	for i := range results {
		r, t := &results[i], jobs[i].tries
		switch {
		case r.err == nil && r.apply == nil: // no time
		case r.err == nil:
			*t = tries{}
			r.apply()
		case isNotFound(r.err): // removed since it was listed, which the next list tells
			t.failed(now)
		default:
			if t.failed(now); t.failures > 1 {
				continue
			}
			if newlyFailed++; newlyFailed == 1 {
				first = *r
			}
		}
	}
	if newlyFailed > 0 { // one line for all of them: they may have a reason in common
		args := []any{"missing", newlyFailed, "error", first.err}
		if first.stack != nil {
			args = append(args, "stack", string(first.stack))
		}
		c.opts.Log.Warn("the runtime does not tell everything; what is missing is asked for again",
			args...)
	}
}

// attempt does one job. A panic, which only an answer of an unheard-of shape could cause, is an
// error of this job.
func (c *Collector) attempt(ctx context.Context, j *job) (r result) {
	defer func() {
		if v := recover(); v != nil {
			c.counters.update(func(s *Stats) { s.DecodePanics++ })
			r = result{err: fmt.Errorf("panic while reading an answer: %v", v),
				stack: debug.Stack()}
		}
	}()
	r.apply, r.err = j.ask(ctx, j.tries.timeout(&c.opts))
	return r
}
