package collection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// jitter is by how much pauses and periods are stretched or shortened, so that many
// nodes that lost the same server do not come back in step.
const jitter = 0.1

// maxLate is how many fetches of one collector may go on after their time is over. More are not
// begun: each holds a goroutine that nobody can end.
const maxLate = 8

// runner runs one collector.
type runner struct {
	s         *Supervisor
	collector workloadmeta.Collector
	streamer  workloadmeta.Streamer // nil: does not stream
	puller    workloadmeta.Puller   // nil: does not pull
	fetcher   workloadmeta.Fetcher  // nil: does not fetch
	noticer   workloadmeta.Noticer  // nil: does not care what others report

	discoverer workloadmeta.Discoverer // nil: has no instances
	parent     *runner                 // of an instance: the discoverer's
	stop       context.CancelFunc      // of an instance
	ended      chan struct{}           // of an instance: closed when it has ended

	// Asked for once, so that nothing changes under the supervisor's feet.
	workloadmeta.Description
	forced bool // switched on: runs whatever detection says

	own     *reportSet                  // what the collector reports
	limiter *rate.Limiter               // of fetches
	pauses  *backoff.ExponentialBackOff // of the stream
	active  atomic.Bool                 // run has not returned
	late    atomic.Int32                // fetches under way of which the time is over
	runnerStatus
}

func newRunner(s *Supervisor, c workloadmeta.Collector, d workloadmeta.Description) *runner {
	r := &runner{
		s: s, collector: c, Description: d,
		pauses: s.newPauses(s.opts.BackoffMax),
	}
	r.forced = s.opts.switchOf(r.ID) == On
	r.discoverer, _ = c.(workloadmeta.Discoverer)
	r.streamer, _ = c.(workloadmeta.Streamer)
	r.puller, _ = c.(workloadmeta.Puller)
	r.fetcher, _ = c.(workloadmeta.Fetcher)
	r.noticer, _ = c.(workloadmeta.Noticer)
	r.own = s.reports.open(r.Description)
	r.limiter = rate.NewLimiter(rate.Limit(s.opts.FetchRate), s.opts.FetchBurst)
	r.initStatus()
	return r
}

// newPauses returns the growing pauses between attempts, none longer than most.
func (s *Supervisor) newPauses(most time.Duration) *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval:     s.opts.BackoffMin,
		RandomizationFactor: jitter,
		Multiplier:          2,
		MaxInterval:         max(s.opts.BackoffMin, time.Duration(float64(most)/(1+jitter))),
	}
	b.Reset()
	return b
}

// lostError ends the collection because there is nothing to collect any more.
type lostError struct{ found workloadmeta.Detection }

func (e *lostError) Error() string { return e.found.State.String() + ": " + e.found.Reason }

// run runs the collector until ctx ends or there is no point in going on.
func (r *runner) run(ctx context.Context) {
	r.active.Store(true)
	defer r.active.Store(false)
	if r.s.opts.switchOf(r.ID) == Off {
		r.disabled(workloadmeta.Detection{Cause: workloadmeta.CauseOff,
			Reason: "switched off by configuration"})
		return
	}
	if r.onlyDiscovers() {
		return
	}
	if r.StandsInFor != "" {
		r.runStandIn(ctx)
		return
	}
	r.runWhileDetected(ctx)
}

// runWhileDetected collects whenever there is something to collect, until ctx ends or there is
// no point in going on.
func (r *runner) runWhileDetected(ctx context.Context) {
	lost := time.Time{} // when what had been detected was found to be gone
	for {
		if !r.awaitDetected(ctx, lost) {
			return
		}
		err := r.collect(ctx)
		if ctx.Err() != nil {
			return
		}
		lost = time.Now()
		r.s.reports.lost(r.own, lost)
		if IsPermanent(err) {
			r.gaveUp(err)
			return
		}
	}
}

// awaitDetected returns true when there is something to collect, and false when ctx
// has ended or there will never be anything. What is lost is looked for at short
// intervals at first: a daemon that is restarted takes its socket away for a moment.
func (r *runner) awaitDetected(ctx context.Context, lost time.Time) bool {
	pauses := r.s.newPauses(r.s.opts.RedetectEvery)
	for {
		d := r.detect(ctx)
		pause := r.s.opts.RedetectEvery
		switch {
		case ctx.Err() != nil:
			return false
		case d.State == workloadmeta.Detected:
			r.detected(d)
			return true
		case d.State == workloadmeta.Disabled:
			r.disabled(d)
			return false
		case lost.IsZero():
			r.waiting(d, time.Now().Add(pause), false)
		default:
			pause = min(pause, pauses.NextBackOff())
			// Not long enough to make everybody believe that it will not come back.
			r.waiting(d, time.Now().Add(pause), time.Since(lost) < r.s.opts.RedetectEvery)
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// detect asks the collector. A failure counts as absent, with the failure as reason.
func (r *runner) detect(ctx context.Context) (d workloadmeta.Detection) {
	ctx, cancel := context.WithTimeout(ctx, r.s.opts.DetectTimeout)
	defer cancel()
	err := guard(func() error {
		d = r.collector.Detect(ctx)
		return nil
	})
	if err != nil {
		r.recordFailure("detect", err)
		d = workloadmeta.Detection{State: workloadmeta.Absent, Cause: workloadmeta.CauseOf(err),
			Reason: "detection failed: " + err.Error()}
	}
	if r.forced && d.State == workloadmeta.Absent {
		d.State = workloadmeta.Detected
		d.Reason = "switched on by configuration, although detection says: " + d.Reason
	}
	return d
}

// stillDetected returns a lostError if there is nothing to collect any more.
func (r *runner) stillDetected(ctx context.Context) error {
	if d := r.detect(ctx); d.State != workloadmeta.Detected && ctx.Err() == nil {
		return &lostError{d}
	}
	return nil
}

// collect runs the collector's modes side by side until one of them finds that there
// is no point in going on, and returns why.
func (r *runner) collect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var loops sync.WaitGroup
	start := func(loop func(context.Context) error) {
		loops.Go(func() { cancel(loop(ctx)) })
	}
	if r.streamer != nil {
		start(r.streamLoop)
	}
	if r.puller != nil {
		start(r.pullLoop)
	}
	if r.streamer == nil && r.puller == nil {
		start(r.refreshLoop)
	}
	loops.Wait()
	return context.Cause(ctx)
}

// streamLoop runs the stream again and again.
func (r *runner) streamLoop(ctx context.Context) error {
	for {
		synced, err := r.streamOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if IsPermanent(err) {
			return err
		}
		if isClosed(err) && !synced.IsZero() && time.Since(synced) > r.s.opts.BackoffMin {
			r.log.Debug("the connection has ended; it is made again", "reason", err)
			if !sleep(ctx, r.s.opts.BackoffMin) {
				return nil
			}
			continue
		}
		if err == nil {
			err = errStreamEnded
		}
		if !synced.IsZero() && time.Since(synced) > r.s.opts.BackoffMax {
			r.pauses.Reset()
			r.forgetFailures()
		}
		r.s.reports.lost(r.own, time.Now())
		pause := r.pauses.NextBackOff()
		r.failed(modeStream, err, time.Now().Add(pause))
		if !sleep(ctx, pause) {
			return nil
		}
		if err := r.stillDetected(ctx); err != nil {
			return err
		}
	}
}

// streamOnce is one run of the stream. It returns when the run was synced, if it was.
func (r *runner) streamOnce(ctx context.Context) (synced time.Time, err error) {
	ctx, cancel := context.WithCancel(ctx) // the run's own goroutines end with it
	defer cancel()
	began := r.s.reports.beginStream(r.own)
	r.connecting()
	out := &sink{r: r}
	out.accept = func(events []workloadmeta.CollectorEvent) error {
		r.received(modeStream, len(events))
		return r.s.reports.apply(r.own, events)
	}
	out.synced = func() error {
		if synced.IsZero() {
			synced = time.Now()
		}
		return r.s.reports.finishStream(r.own, began)
	}
	err = guard(func() error { return r.streamer.Stream(ctx, out) })
	out.close()
	return synced, err
}

// pullLoop is the pull clock. A pull never overlaps the one before: the next begins a
// period after the beginning of the last, but not before the source has had a quarter
// of a period of rest.
func (r *runner) pullLoop(ctx context.Context) error {
	period := r.s.opts.periodOf(r.Description)
	for {
		began := time.Now()
		err := r.pullOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if IsPermanent(err) {
			return err
		}
		pause := max(r.s.jittered(period)-time.Since(began), period/4)
		if err != nil {
			r.s.reports.pullFailed(r.own, time.Now())
			r.failed(modePull, err, time.Now().Add(pause))
		} else {
			r.listed(modePull)
		}
		if !sleep(ctx, pause) {
			return nil
		}
		if err != nil {
			if err := r.stillDetected(ctx); err != nil {
				return err
			}
		}
	}
}

// pullOnce is one pull. Nothing of what it reports is used unless it succeeds.
func (r *runner) pullOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.s.opts.PullTimeout)
	defer cancel()
	req := r.s.reports.beginRequest(r.own, false)
	defer r.s.reports.endRequest(req)
	// What has gone is not remembered for longer on account of a pull that hangs.
	defer context.AfterFunc(ctx, func() { r.s.reports.endRequest(req) })()
	out, events := newBuffer(r)
	began := time.Now()
	err := guard(func() error { return r.puller.Pull(ctx, out) })
	out.close()
	r.pulled(time.Since(began))
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("pull timed out after %s: %w", r.s.opts.PullTimeout, err)
		}
		return err
	}
	r.received(modePull, len(*events))
	r.logProblem(r.s.reports.applyPull(req, *events))
	return nil
}

// refreshLoop is for collectors that can do nothing but fetch: it looks again at what
// they have reported, because nothing else would remove it.
func (r *runner) refreshLoop(ctx context.Context) error {
	r.listed(modeFetch) // there is no list to wait for
	detect := time.NewTicker(r.s.opts.RedetectEvery)
	defer detect.Stop()
	refresh := time.NewTicker(r.s.opts.FetchRefresh)
	defer refresh.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-detect.C:
			if err := r.stillDetected(ctx); err != nil {
				return err
			}
		case <-refresh.C:
			keys, tick := r.s.reports.keys(r.own)
			for _, k := range keys {
				fetchCtx, cancel := context.WithTimeout(ctx, r.s.opts.FetchTimeout)
				found, err := r.fetch(fetchCtx, k.id)
				cancel()
				if err == nil && !found {
					r.logProblem(r.s.reports.drop(r.own, k, tick))
				}
			}
		}
	}
}

// fetch looks one entity up and reports whether the collector knew it. What it reports
// is in the store when fetch returns.
func (r *runner) fetch(ctx context.Context, id workloadmeta.EntityID) (found bool, err error) {
	if err := r.limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return false, fmt.Errorf("%s: %w", r.ID, ErrRateLimited) // its turn would come too late
	}
	req := r.s.reports.beginRequest(r.own, true)
	defer r.s.reports.endRequest(req)
	defer context.AfterFunc(ctx, func() { r.s.reports.endRequest(req) })()
	out, events := newBuffer(r)
	if r.late.Load() >= maxLate {
		return false, fmt.Errorf("%s: %w", r.ID, errHangs)
	}
	inTime := context.AfterFunc(ctx, func() { r.late.Add(1) })
	err = guard(func() error { return r.fetcher.Fetch(ctx, id, out) })
	if !inTime() {
		r.late.Add(-1)
	}
	out.close()
	r.fetched()
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) { // nobody waits for it any more
			r.recordFailure("fetch", err)
		}
		return false, fmt.Errorf("%s: %w", r.ID, err)
	}
	for _, ev := range *events {
		found = found || ev.Type == workloadmeta.EventTypeSet && ev.Entity.GetID() == id
	}
	r.received(modeFetch, len(*events))
	r.logProblem(r.s.reports.applyFetch(req, *events))
	return found, nil
}

// sleep waits for d or for the end of ctx; only the former is true.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
