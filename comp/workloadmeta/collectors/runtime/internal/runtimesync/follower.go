package runtimesync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Follower follows one runtime over any number of connections, one at a time. It remembers from one
// to the next what it has reported. Create one with [New].
type Follower struct {
	opts     Options
	log      *slog.Logger
	counters *counters

	streaming atomic.Bool
	known     *known // what the last connection knew; only the running one may touch it
}

// New returns a follower. The options must be complete: see [Tuning.WithDefaults].
func New(o Options) *Follower {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Source == "" {
		o.Source = workloadmeta.SourceRuntime
	}
	return &Follower{opts: o, log: o.Log.With("collector", o.Name), counters: newCounters(),
		known: newKnown()}
}

// Stats returns what the follower has counted. The caller owns the result.
func (f *Follower) Stats() Stats { return f.counters.snapshot() }

// Stream follows the runtime over one connection. It returns when ctx ends or the connection does,
// and everything it has started has then ended. The backend stays the caller's to close.
func (f *Follower) Stream(ctx context.Context, b Backend, sink workloadmeta.Sink) error {
	if !f.streaming.CompareAndSwap(false, true) {
		return errors.New("Stream is running already")
	}
	defer f.streaming.Store(false)
	if err := f.stream(ctx, b, sink); err != nil {
		return err
	}
	return fmt.Errorf("%s: the stream has ended", f.opts.Name)
}
