package collectortest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Fake is a collector whose source is what a test says it is. Run it like any other, by package
// collection; it streams, and as [Fake.Puller] it is polled. Create one with [NewFake]: its source
// is there, answers, and has nothing.
//
// While the source is connected, what a test changes is in the store when the call returns. A
// change while the connection is lost comes with the list of the next connection, as with any
// daemon.
type Fake struct {
	desc workloadmeta.Description

	mu      sync.Mutex // guards the fields below; also held while a change is reported
	there   []workloadmeta.Entity
	absent  *workloadmeta.Detection
	down    error             // what connecting fails with
	silent  bool              // it connects, but does not list
	sink    workloadmeta.Sink // of the connection that has listed, or nil
	changed chan struct{}     // closed and replaced when one of the fields above changes
	lists   int
}

var _ workloadmeta.Streamer = (*Fake)(nil)

// ErrConnectionLost is what the connection of a [Fake] fails with, unless the test says otherwise.
var ErrConnectionLost = errors.New("connection lost")

// NewFake returns a collector that describes itself like this.
func NewFake(desc workloadmeta.Description) *Fake {
	return &Fake{desc: desc, changed: make(chan struct{})}
}

// Describe implements [workloadmeta.Collector].
func (f *Fake) Describe() workloadmeta.Description { return f.desc }

// Detect implements [workloadmeta.Collector].
func (f *Fake) Detect(context.Context) workloadmeta.Detection {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.absent != nil {
		return *f.absent
	}
	return workloadmeta.Detection{State: workloadmeta.Detected, Reason: "it is there"}
}

// Stream implements [workloadmeta.Streamer].
func (f *Fake) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ctx.Err() == nil {
		switch {
		case f.absent != nil:
			return f.absent.Err()
		case f.down != nil:
			return f.down
		case !f.silent && f.sink == nil:
			sink.Set(f.there...)
			sink.Synced()
			f.sink = sink
			f.lists++
			defer func() { f.sink = nil }()
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-changed:
		}
		f.mu.Lock()
	}
	return ctx.Err()
}

// Set makes entities part of the source, or changes those that are.
func (f *Fake) Set(entities ...workloadmeta.Entity) {
	f.Apply(events(workloadmeta.Set, entities)...)
}

// Unset takes entities out of the source, with their last words.
func (f *Fake) Unset(entities ...workloadmeta.Entity) {
	f.Apply(events(workloadmeta.Unset, entities)...)
}

func events(event func(workloadmeta.Entity) workloadmeta.CollectorEvent,
	entities []workloadmeta.Entity) []workloadmeta.CollectorEvent {
	out := make([]workloadmeta.CollectorEvent, len(entities))
	for i, e := range entities {
		out[i] = event(e)
	}
	return out
}

// Apply changes the source by several events, which are reported as one change.
func (f *Fake) Apply(events ...workloadmeta.CollectorEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ev := range events {
		at := slices.IndexFunc(f.there, func(e workloadmeta.Entity) bool {
			return e.GetID() == ev.Entity.GetID()
		})
		switch {
		case ev.Type == workloadmeta.EventTypeUnset && at >= 0:
			f.there = slices.Delete(f.there, at, at+1)
		case ev.Type == workloadmeta.EventTypeUnset:
		case at >= 0:
			f.there[at] = ev.Entity
		default:
			f.there = append(f.there, ev.Entity)
		}
	}
	if f.sink != nil {
		f.sink.Apply(events)
	}
}

// Lose breaks the connection, and refuses new ones until [Fake.Restore], with this error; nil is
// [ErrConnectionLost].
func (f *Fake) Lose(err error) {
	if err == nil {
		err = ErrConnectionLost
	}
	f.change(func() { f.down = err })
}

// Hide breaks the connection and says that there is nothing to collect, until [Fake.Restore].
func (f *Fake) Hide(why workloadmeta.Problem) {
	f.change(func() {
		f.absent = &workloadmeta.Detection{State: workloadmeta.Absent,
			Cause:  cmp.Or(why.Cause, workloadmeta.CauseAbsent),
			Reason: cmp.Or(why.Reason, "it is not there"), Hint: why.Hint}
	})
}

// Silence lets whoever connects from now on wait for the list until [Fake.Restore].
func (f *Fake) Silence() { f.change(func() { f.silent = true }) }

// Restore ends what Lose, Hide and Silence have begun.
func (f *Fake) Restore() {
	f.change(func() { f.absent, f.down, f.silent = nil, nil, false })
}

func (f *Fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// Lists returns how many times everything has been listed.
func (f *Fake) Lists() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lists
}

// Puller returns the same source as a collector that is polled instead.
func (f *Fake) Puller() workloadmeta.Puller { return puller{f} }

type puller struct{ f *Fake }

func (p puller) Describe() workloadmeta.Description { return p.f.desc }

func (p puller) Detect(ctx context.Context) workloadmeta.Detection { return p.f.Detect(ctx) }

func (p puller) Pull(ctx context.Context, sink workloadmeta.Sink) error {
	f := p.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.silent && ctx.Err() == nil {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-changed:
		}
		f.mu.Lock()
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case f.absent != nil:
		return f.absent.Err()
	case f.down != nil:
		return f.down
	}
	sink.Set(f.there...)
	f.lists++
	return nil
}
