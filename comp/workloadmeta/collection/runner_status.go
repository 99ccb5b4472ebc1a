package collection

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Of how many different failures and problems of one collector the log is told at its
// usual level. A message with a port or an address in it is new each time; this ends that.
const maxLoggedFailures, maxLoggedProblems = 16, 32

// runnerStatus is how a runner's collector is doing, and what the log has been told of it:
// each new state and each new failure, but not the same failure at each attempt.
type runnerStatus struct {
	log *slog.Logger

	mu       sync.Mutex // guards the fields below; nothing but changeMu is locked under it
	status   Status
	found    workloadmeta.Detection
	modes    [numModes]modeState // of the modes that run; the collector's state while it collects
	failing  [numModes]bool      // has failed and not listed yet
	failures map[string]bool     // failures the log has been told of
	problems map[string]bool     // problems the log has been told of
	// a look has found nothing to collect, and nothing has been listed since
	absent   bool
	failedAt time.Time // last failure
	runs     uint64    // of the stream
	warned   bool      // a failure was logged and no recovery yet
}

func (r *runner) initStatus() {
	r.log = r.s.opts.Log.With("collector", r.ID)
	r.failures, r.problems = map[string]bool{}, map[string]bool{}
	r.status = Status{ID: r.ID, Source: r.Source, Kinds: slices.Clone(r.Kinds), Omits: r.Omits,
		State:   StateWaiting,
		Problem: workloadmeta.Problem{Reason: "not started"}}
	for m, on := range [numModes]bool{modeStream: r.streamer != nil, modePull: r.puller != nil,
		modeFetch: r.fetcher != nil} {
		if on {
			r.status.Modes = append(r.status.Modes, modeNames[m])
		}
	}
}

// snapshot returns the status of now; the caller owns it.
func (r *runner) snapshot() Status {
	entities := r.s.reports.count(r.own)
	var parts []Part
	if p, ok := r.collector.(PartReporter); ok {
		if err := guard(func() error { parts = p.Parts(); return nil }); err != nil {
			r.recordFailure("parts", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.status
	st.Kinds, st.Modes = slices.Clone(st.Kinds), slices.Clone(st.Modes)
	st.More = slices.Clone(st.More)
	st.Entities, st.Parts = entities, parts
	return st
}

// setState changes the collector's state and reports whether that is news. It needs mu.
func (r *runner) setState(state State, why workloadmeta.Problem, retry time.Time) (news bool) {
	news = r.status.State != state || r.status.Problem != why
	if r.status.State != state || r.status.Since.IsZero() {
		r.status.Since = time.Now()
		r.s.stateChanged()
	}
	r.status.State, r.status.Problem, r.status.NextRetry = state, why, retry
	r.status.More = nil
	return news
}

// setModeState changes the state of one mode and the collector's with it. It needs mu.
func (r *runner) setModeState(m mode, state State, why workloadmeta.Problem, retry time.Time) {
	r.modes[m] = modeState{on: true, state: state, why: why, retry: retry}
	worst := summarize(r.modes)
	found := worst.why.Reason == ""
	if found {
		worst.why = problemOf(r.found)
	}
	r.setState(worst.state, worst.why, worst.retry)
	if found {
		r.status.More = r.found.More
	}
}

// problemOf returns what a detection says, with the hint of its cause if it has none itself.
func problemOf(d workloadmeta.Detection) workloadmeta.Problem {
	p := d.Problem()
	if p.Hint == "" {
		p.Hint = p.Cause.Hint()
	}
	return p
}

// problemAttrs are a problem's attributes of a log line.
func problemAttrs(p workloadmeta.Problem) []any {
	out := []any{"reason", p.Reason}
	if p.Hint != "" {
		out = append(out, "hint", p.Hint)
	}
	return out
}

// detected: there is something to collect.
func (r *runner) detected(d workloadmeta.Detection) {
	why := problemOf(d)
	r.mu.Lock()
	r.found = d
	begins := modeState{on: true, state: StateConnecting}
	r.modes = [numModes]modeState{}
	if r.streamer != nil {
		r.modes[modeStream] = begins
	}
	if r.puller != nil {
		r.modes[modePull] = begins
	}
	news := r.setState(StateConnecting, why, time.Time{})
	r.status.More = d.More
	r.mu.Unlock()
	r.s.expectations.set(r, true)
	if news {
		r.log.Info("collector starts", problemAttrs(why)...)
	}
}

// collectedByInstances: there are instances, which collect.
func (r *runner) collectedByInstances(d workloadmeta.Detection) {
	r.mu.Lock()
	r.setState(StateLive, d.Problem(), time.Time{})
	r.mu.Unlock()
	r.s.first.record(Outcome{ID: r.ID, Result: Listed})
}

// waiting: there is nothing to collect now. Being expected all the same is for what
// has just been lost and may be back in a moment.
func (r *runner) waiting(d workloadmeta.Detection, retry time.Time, expected bool) {
	why := problemOf(d)
	r.mu.Lock()
	news := r.setState(StateWaiting, why, retry)
	r.absent = true
	r.status.More = d.More
	r.mu.Unlock()
	r.s.expectations.set(r, expected)
	r.s.first.record(Outcome{ID: r.ID, Result: NotDetected, Problem: why, More: d.More})
	if news {
		r.log.Info("collector waits: nothing to collect here", problemAttrs(why)...)
	}
}

// disabled: there will never be anything to collect.
func (r *runner) disabled(d workloadmeta.Detection) {
	why := problemOf(d)
	r.mu.Lock()
	r.setState(StateDisabled, why, time.Time{})
	r.mu.Unlock()
	r.s.expectations.set(r, false)
	r.s.first.record(Outcome{ID: r.ID, Result: NotDetected, Problem: why})
	r.log.Info("collector is off", problemAttrs(why)...)
}

// gaveUp: a permanent error.
func (r *runner) gaveUp(err error) {
	why := workloadmeta.ProblemOf(err)
	r.mu.Lock()
	r.setState(StateFailed, why, time.Time{})
	r.countFailure(err)
	r.mu.Unlock()
	r.s.expectations.set(r, false)
	r.s.first.record(Outcome{ID: r.ID, Result: Failed, Problem: why, Err: err})
	r.log.Error("collector failed for good", withStack(err, "error", err, "hint", why.Hint)...)
}

// connecting: a run of the stream begins.
func (r *runner) connecting() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs++; r.runs > 1 {
		r.status.Restarts++
	}
	r.setModeState(modeStream, StateConnecting, workloadmeta.Problem{}, time.Time{})
}

// received: n valid events have come.
func (r *runner) received(m mode, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > 0 {
		r.status.Events += uint64(n)
		r.status.LastEvent = time.Now()
	}
	if r.modes[m].on && r.modes[m].state == StateConnecting {
		r.setModeState(m, StateSyncing, workloadmeta.Problem{}, time.Time{})
	}
}

// listed: everything there is has been reported.
func (r *runner) listed(m mode) {
	r.mu.Lock()
	now := time.Now()
	if m != modeFetch { // which has nothing to list
		r.status.LastSync = now
		r.absent = false
	}
	r.failing[m] = false
	fresh := r.modes[m].state != StateLive
	if fresh {
		r.setModeState(m, StateLive, workloadmeta.Problem{}, time.Time{})
	}
	recovered := r.warned && r.status.State == StateLive
	if recovered {
		r.warned = false
	}
	if m == modePull && now.Sub(r.failedAt) > r.s.opts.BackoffMax {
		clear(r.failures)
	}
	first := fresh && r.status.Restarts == 0 && r.failedAt.IsZero() && r.status.State == StateLive
	r.mu.Unlock()
	r.s.first.record(Outcome{ID: r.ID, Result: Listed})
	switch {
	case recovered:
		r.log.Info("collector is live again")
	case first:
		r.log.Info("collector is live")
	}
}

// failed: a stream has ended or a pull has failed, and will be tried again.
func (r *runner) failed(m mode, err error, retry time.Time) {
	why := workloadmeta.ProblemOf(err)
	r.mu.Lock()
	r.failing[m] = true
	said := why
	said.Reason = m.String() + ": " + why.Reason
	r.setModeState(m, StateDegraded, said, retry)
	all := true // of the modes that list
	for other, st := range r.modes {
		all = all && (!st.on || r.failing[other])
	}
	r.mu.Unlock()
	r.recordFailure(m.String(), err, "retry_in", time.Until(retry).Round(time.Millisecond))
	if all {
		r.s.first.record(Outcome{ID: r.ID, Result: Failed, Problem: why, Err: err})
	}
}

// recordFailure counts a failed call and logs it, aloud if it is a new one.
func (r *runner) recordFailure(call string, err error, attrs ...any) {
	r.mu.Lock()
	r.countFailure(err)
	key := call + ": " + err.Error()
	level := slog.LevelDebug
	if !r.failures[key] && len(r.failures) < maxLoggedFailures {
		r.failures[key] = true
		level = slog.LevelWarn
		r.warned = true
	}
	r.mu.Unlock()
	said := []any{"call", call, "error", err}
	if hint := workloadmeta.ProblemOf(err).Hint; hint != "" {
		said = append(said, "hint", hint)
	}
	attrs = append(said, attrs...)
	r.log.Log(context.Background(), level, "collector failed", withStack(err, attrs...)...)
}

// countFailure counts a failure. It needs mu.
func (r *runner) countFailure(err error) {
	r.failedAt = time.Now()
	r.status.Failures++
	r.s.stateChanged()
	r.status.LastError, r.status.LastErrorAt = err.Error(), r.failedAt
	if _, ok := errors.AsType[*PanicError](err); ok {
		r.status.Panics++
	}
}

// forgetFailures makes the next failure worth a line again, whatever it is.
func (r *runner) forgetFailures() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.failures)
}

// rejected counts and logs events that are not valid.
func (r *runner) rejected(problems []error) {
	if len(problems) == 0 {
		return
	}
	r.mu.Lock()
	r.status.InvalidEvents += uint64(len(problems))
	r.mu.Unlock()
	for _, err := range problems {
		r.logProblem(err)
	}
}

// logProblem logs something wrong with what the collector reports, once.
func (r *runner) logProblem(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	level := slog.LevelDebug
	if key := err.Error(); !r.problems[key] && len(r.problems) < maxLoggedProblems {
		r.problems[key] = true
		level = slog.LevelWarn
	}
	r.mu.Unlock()
	r.log.Log(context.Background(), level, "collector reports something that is not valid", "error",
		err)
}

func (r *runner) pulled(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.LastPull = took
	r.status.Pulls++
}

func (r *runner) fetched() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Fetches++
}

// collects reports whether the kind is among the collector's.
func (r *runner) collects(kind workloadmeta.Kind) bool {
	return slices.Contains(r.Kinds, kind) || slices.Contains(r.ByProducts, kind)
}

// withStack adds the stack of a panic to the attributes of a log line.
func withStack(err error, attrs ...any) []any {
	if p, ok := errors.AsType[*PanicError](err); ok {
		return append(attrs, "stack", string(p.Stack))
	}
	return attrs
}
