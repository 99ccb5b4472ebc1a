package collection

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// onlyDiscovers reports whether the collector does nothing but find instances.
func (r *runner) onlyDiscovers() bool {
	return r.discoverer != nil && r.streamer == nil && r.puller == nil && r.fetcher == nil
}

// discoverLoop starts the collector's instances as they come, and forgets those that have gone.
func (r *runner) discoverLoop(ctx context.Context) {
	release := r.s.first.release // when the first look is over
	defer func() { release() }()
	if r.s.opts.switchOf(r.ID) == Off {
		return
	}
	period := r.s.opts.RedetectEvery
	if r.puller == nil && r.Period > 0 {
		period = r.s.opts.periodOf(r.Description)
	}
	for {
		r.discover(ctx)
		if ctx.Err() != nil {
			return
		}
		release()
		release = func() {}
		if !sleep(ctx, period) {
			return
		}
	}
}

// discover looks for instances once.
func (r *runner) discover(ctx context.Context) {
	if r.onlyDiscovers() {
		// Nothing of it is switched on for good: its instances are.
		switch d := r.detect(ctx); {
		case ctx.Err() != nil:
			return
		case d.State == workloadmeta.Detected:
			r.collectedByInstances(d)
		default:
			r.waiting(d, time.Now().Add(r.s.opts.RedetectEvery), false)
		}
	}
	looking, cancel := context.WithTimeout(ctx, r.s.opts.DetectTimeout)
	defer cancel()
	var found []workloadmeta.Collector
	err := guard(func() error {
		found = r.discoverer.Instances(looking)
		return nil
	})
	if err != nil {
		r.recordFailure("look for instances", err)
		return
	}
	there := map[string]bool{}
	for _, c := range found {
		if id, err := r.begin(c); err != nil {
			r.logProblem(err)
		} else {
			there[id] = true
		}
	}
	for _, instance := range r.s.all() {
		if instance.parent != r || there[instance.ID] {
			continue
		}
		left, err := r.s.reports.withdraw(instance.own, func(old report) bool {
			return old.away != 0 &&
				time.Since(r.s.reports.begun.Add(old.away)) >= r.s.opts.ForgetAfter
		})
		instance.logProblem(err)
		if left == 0 {
			r.s.drop(instance)
		}
	}
}

// begin runs an instance, unless it runs already, and returns its ID.
func (r *runner) begin(c workloadmeta.Collector) (id string, err error) {
	d, err := describe(c)
	switch {
	case err != nil:
		return "", fmt.Errorf("an instance (%T) does not say what it is: %w", c, err)
	case !strings.HasPrefix(d.ID, r.ID+"@") || d.Source == "":
		return "", fmt.Errorf("an instance (%T) has the ID %q and the source %q", c, d.ID, d.Source)
	case slices.ContainsFunc(r.s.all(), func(other *runner) bool { return other.ID == d.ID }):
		return d.ID, nil
	}
	instance := newRunner(r.s, c, d)
	stopped, stop := context.WithCancel(context.Background())
	instance.parent, instance.stop, instance.ended = r, stop, make(chan struct{})
	r.s.first.add(d.ID)
	r.s.replaceRunners(func(all []*runner) []*runner { return append(all, instance) })
	if !r.s.spawn(func(ctx context.Context) {
		defer close(instance.ended)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(stopped, cancel)()
		instance.run(ctx)
	}) {
		close(instance.ended) // it is too late for it
	}
	return d.ID, nil
}

// drop stops an instance and forgets it.
func (s *Supervisor) drop(instance *runner) {
	instance.stop()
	<-instance.ended
	s.expectations.forget(instance)
	s.reports.forgetSet(instance.own)
	s.replaceRunners(func(all []*runner) []*runner {
		return slices.DeleteFunc(all, func(r *runner) bool { return r == instance })
	})
}

// replaceRunners changes a copy of the list of runners.
func (s *Supervisor) replaceRunners(change func([]*runner) []*runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := change(slices.Clone(s.all()))
	sortRunners(all)
	s.runners.Store(&all)
}
