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
const maxToldFailures, maxToldProblems = 16, 32

// board keeps a collector's status and tells the log of changes worth a line: each new
// state, each new failure, but not the same failure at each attempt.
type board struct {
	r   *runner
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

func (b *board) init(r *runner) {
	b.r = r
	b.log = r.s.opts.Log.With("collector", r.ID)
	b.failures, b.problems = map[string]bool{}, map[string]bool{}
	b.status = Status{ID: r.ID, Source: r.Source, Kinds: slices.Clone(r.Kinds), Omits: r.Omits,
		State:   StateWaiting,
		Problem: workloadmeta.Problem{Reason: "not started"}}
	for m, on := range [numModes]bool{modeStream: r.streamer != nil, modePull: r.puller != nil,
		modeFetch: r.fetcher != nil} {
		if on {
			b.status.Modes = append(b.status.Modes, modeNames[m])
		}
	}
}

// snapshot returns the status of now; the caller owns it.
func (b *board) snapshot() Status {
	entities := b.r.s.ledger.count(b.r.book)
	var parts []Part
	if p, ok := b.r.collector.(PartReporter); ok {
		if err := guard(func() error { parts = p.Parts(); return nil }); err != nil {
			b.noteFailure("parts", err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.status
	st.Kinds, st.Modes = slices.Clone(st.Kinds), slices.Clone(st.Modes)
	st.More = slices.Clone(st.More)
	st.Entities, st.Parts = entities, parts
	return st
}

// enter changes the collector's state and reports whether that is news. It needs mu.
func (b *board) enter(state State, why workloadmeta.Problem, retry time.Time) (news bool) {
	news = b.status.State != state || b.status.Problem != why
	if b.status.State != state || b.status.Since.IsZero() {
		b.status.Since = time.Now()
		b.r.s.stateChanged()
	}
	b.status.State, b.status.Problem, b.status.NextRetry = state, why, retry
	b.status.More = nil
	return news
}

// enterMode changes the state of one mode and the collector's with it. It needs mu.
func (b *board) enterMode(m mode, state State, why workloadmeta.Problem, retry time.Time) {
	b.modes[m] = modeState{on: true, state: state, why: why, retry: retry}
	worst := summarize(b.modes)
	found := worst.why.Reason == ""
	if found {
		worst.why = problemOf(b.found)
	}
	b.enter(worst.state, worst.why, worst.retry)
	if found {
		b.status.More = b.found.More
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
func (b *board) detected(d workloadmeta.Detection) {
	why := problemOf(d)
	b.mu.Lock()
	b.found = d
	begins := modeState{on: true, state: StateConnecting}
	b.modes = [numModes]modeState{}
	if b.r.streamer != nil {
		b.modes[modeStream] = begins
	}
	if b.r.puller != nil {
		b.modes[modePull] = begins
	}
	news := b.enter(StateConnecting, why, time.Time{})
	b.status.More = d.More
	b.mu.Unlock()
	b.r.s.expectations.set(b.r, true)
	if news {
		b.log.Info("collector starts", problemAttrs(why)...)
	}
}

// standsFor: there are instances, which collect.
func (b *board) standsFor(d workloadmeta.Detection) {
	b.mu.Lock()
	b.enter(StateLive, d.Problem(), time.Time{})
	b.mu.Unlock()
	b.r.s.first.settle(Outcome{ID: b.r.ID, Result: Listed})
}

// waiting: there is nothing to collect now. Being expected all the same is for what
// has just been lost and may be back in a moment.
func (b *board) waiting(d workloadmeta.Detection, retry time.Time, expected bool) {
	why := problemOf(d)
	b.mu.Lock()
	news := b.enter(StateWaiting, why, retry)
	b.absent = true
	b.status.More = d.More
	b.mu.Unlock()
	b.r.s.expectations.set(b.r, expected)
	b.r.s.first.settle(Outcome{ID: b.r.ID, Result: NotDetected, Problem: why, More: d.More})
	if news {
		b.log.Info("collector waits: nothing to collect here", problemAttrs(why)...)
	}
}

// disabled: there will never be anything to collect.
func (b *board) disabled(d workloadmeta.Detection) {
	why := problemOf(d)
	b.mu.Lock()
	b.enter(StateDisabled, why, time.Time{})
	b.mu.Unlock()
	b.r.s.expectations.set(b.r, false)
	b.r.s.first.settle(Outcome{ID: b.r.ID, Result: NotDetected, Problem: why})
	b.log.Info("collector is off", problemAttrs(why)...)
}

// gaveUp: a permanent error.
func (b *board) gaveUp(err error) {
	why := workloadmeta.ProblemOf(err)
	b.mu.Lock()
	b.enter(StateFailed, why, time.Time{})
	b.count(err)
	b.mu.Unlock()
	b.r.s.expectations.set(b.r, false)
	b.r.s.first.settle(Outcome{ID: b.r.ID, Result: Failed, Problem: why, Err: err})
	b.log.Error("collector failed for good", withStack(err, "error", err, "hint", why.Hint)...)
}

// connecting: a run of the stream begins.
func (b *board) connecting() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.runs++; b.runs > 1 {
		b.status.Restarts++
	}
	b.enterMode(modeStream, StateConnecting, workloadmeta.Problem{}, time.Time{})
}

// took: n valid events have come.
func (b *board) took(m mode, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 {
		b.status.Events += uint64(n)
		b.status.LastEvent = time.Now()
	}
	if b.modes[m].on && b.modes[m].state == StateConnecting {
		b.enterMode(m, StateSyncing, workloadmeta.Problem{}, time.Time{})
	}
}

// listed: everything there is has been reported.
func (b *board) listed(m mode) {
	b.mu.Lock()
	now := time.Now()
	if m != modeFetch { // which has nothing to list
		b.status.LastSync = now
		b.absent = false
	}
	b.failing[m] = false
	fresh := b.modes[m].state != StateLive
	if fresh {
		b.enterMode(m, StateLive, workloadmeta.Problem{}, time.Time{})
	}
	recovered := b.warned && b.status.State == StateLive
	if recovered {
		b.warned = false
	}
	if m == modePull && now.Sub(b.failedAt) > b.r.s.opts.BackoffMax {
		clear(b.failures)
	}
	first := fresh && b.status.Restarts == 0 && b.failedAt.IsZero() && b.status.State == StateLive
	b.mu.Unlock()
	b.r.s.first.settle(Outcome{ID: b.r.ID, Result: Listed})
	switch {
	case recovered:
		b.log.Info("collector is live again")
	case first:
		b.log.Info("collector is live")
	}
}

// failed: a stream has ended or a pull has failed, and will be tried again.
func (b *board) failed(m mode, err error, retry time.Time) {
	why := workloadmeta.ProblemOf(err)
	b.mu.Lock()
	b.failing[m] = true
	said := why
	said.Reason = m.String() + ": " + why.Reason
	b.enterMode(m, StateDegraded, said, retry)
	all := true // of the modes that list
	for other, st := range b.modes {
		all = all && (!st.on || b.failing[other])
	}
	b.mu.Unlock()
	b.noteFailure(m.String(), err, "retry_in", time.Until(retry).Round(time.Millisecond))
	if all {
		b.r.s.first.settle(Outcome{ID: b.r.ID, Result: Failed, Problem: why, Err: err})
	}
}

// noteFailure counts a failed call and logs it, aloud if it is a new one.
func (b *board) noteFailure(call string, err error, attrs ...any) {
	b.mu.Lock()
	b.count(err)
	key := call + ": " + err.Error()
	level := slog.LevelDebug
	if !b.failures[key] && len(b.failures) < maxToldFailures {
		b.failures[key] = true
		level = slog.LevelWarn
		b.warned = true
	}
	b.mu.Unlock()
	told := []any{"call", call, "error", err}
	if hint := workloadmeta.ProblemOf(err).Hint; hint != "" {
		told = append(told, "hint", hint)
	}
	attrs = append(told, attrs...)
	b.log.Log(context.Background(), level, "collector failed", withStack(err, attrs...)...)
}

// count counts a failure. It needs mu.
func (b *board) count(err error) {
	b.failedAt = time.Now()
	b.status.Failures++
	b.r.s.stateChanged()
	b.status.LastError, b.status.LastErrorAt = err.Error(), b.failedAt
	if _, ok := errors.AsType[*PanicError](err); ok {
		b.status.Panics++
	}
}

// forgetFailures makes the next failure worth a line again, whatever it is.
func (b *board) forgetFailures() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.failures)
}

// rejected counts and logs events that are not valid.
func (b *board) rejected(problems []error) {
	if len(problems) == 0 {
		return
	}
	b.mu.Lock()
	b.status.InvalidEvents += uint64(len(problems))
	b.mu.Unlock()
	for _, err := range problems {
		b.problem(err)
	}
}

// problem logs something wrong with what the collector reports, once.
func (b *board) problem(err error) {
	if err == nil {
		return
	}
	b.mu.Lock()
	level := slog.LevelDebug
	if key := err.Error(); !b.problems[key] && len(b.problems) < maxToldProblems {
		b.problems[key] = true
		level = slog.LevelWarn
	}
	b.mu.Unlock()
	b.log.Log(context.Background(), level, "collector reports something that is not valid", "error",
		err)
}

func (b *board) pulled(took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.LastPull = took
	b.status.Pulls++
}

func (b *board) fetched() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Fetches++
}

// reports reports whether the kind is among the collector's.
func (r *runner) reports(kind workloadmeta.Kind) bool {
	return slices.Contains(r.Kinds, kind) || slices.Contains(r.ByProducts, kind)
}

// withStack adds the stack of a panic to the attributes of a log line.
func withStack(err error, attrs ...any) []any {
	if p, ok := errors.AsType[*PanicError](err); ok {
		return append(attrs, "stack", string(p.Stack))
	}
	return attrs
}
