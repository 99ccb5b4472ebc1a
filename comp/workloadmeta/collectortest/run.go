package collectortest

import (
	"context"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Run is a Stream that was started with [Start].
type Run struct {
	// Done is closed when it has returned.
	Done <-chan struct{}
	// Err is what it has returned, to be read after Done.
	Err error

	t      testing.TB
	cancel context.CancelFunc
}

// Start calls a collector's Stream, which goes on until [Run.Stop], or until it ends by itself.
func Start(t testing.TB, stream func(context.Context, workloadmeta.Sink) error,
	sink workloadmeta.Sink) *Run {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r := &Run{Done: done, t: t, cancel: cancel}
	go func() {
		defer close(done)
		r.Err = stream(ctx, sink)
	}()
	return r
}

// Over reports whether it has returned.
func (r *Run) Over() bool {
	select {
	case <-r.Done:
		return true
	default:
		return false
	}
}

// Stop ends it and waits for it, which must not take longer than half a minute whatever the daemon
// does. A test of that lets calls take an hour: a machine that is busy takes its time for anything.
// Stop may be called again, and when it is over.
func (r *Run) Stop() {
	r.t.Helper()
	begin := time.Now()
	r.cancel()
	<-r.Done
	if took := time.Since(begin); took > stopLimit {
		r.t.Errorf("Stream took %v to end", took)
	}
}
