package collection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Each outage is told of once, and its end once, with the cause; what has never been live, what is
// only connected anew and who stands in for another are none.
func TestOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := make(chan error)
		var gone atomic.Bool // the socket
		docker := &fakeStreamer{fake{id: "docker", detect: func() workloadmeta.Detection {
			if gone.Load() {
				return workloadmeta.Detection{Cause: workloadmeta.CauseAbsent, Reason: "no socket"}
			}
			return workloadmeta.Detection{State: workloadmeta.Detected}
		}}, func(ctx context.Context, sink workloadmeta.Sink) error {
			sink.Set(container("a"))
			sink.Synced()
			select {
			case err := <-lost:
				return err
			case <-ctx.Done():
				return nil
			}
		}}
		never := &fakeStreamer{fake{id: "never"}, failing(errors.New("refused"))}
		other := standsIn{&fakeStreamer{fake{id: "containerd@moby"}, staying("b")}, "docker"}
		r := start(t, collection.Options{}, docker, never, other)
		ctx, cancel := context.WithCancel(t.Context())
		var told []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for o := range r.Outages(ctx) {
				told = append(told, fmt.Sprintf("%s %t %s", o.Collector, o.Back, o.Problem))
			}
		}()
		want := func(what string, lines ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(told, lines) {
				t.Errorf("%s: told %q, want %q", what, told, lines)
			}
			told = nil
		}
		time.Sleep(time.Minute)
		want("all is well")
		lost <- collection.Closed(errors.New("idle"))
		time.Sleep(time.Minute)
		want("connected anew")
		gone.Store(true)
		lost <- errors.New("EOF")
		time.Sleep(time.Hour) // it is looked for many times
		want("the daemon has gone", "docker false stream: EOF")
		gone.Store(false)
		time.Sleep(time.Minute)
		want("it is back", "docker true stream: EOF")
		lost <- errors.New("EOF again")
		time.Sleep(time.Minute)
		want("and once more", "docker false stream: EOF again", "docker true stream: EOF again")
		lost <- collection.Permanent(errors.New("not here"))
		want("for good", "docker false not here")
		cancel()
		<-ended
		// Who asks only now learns of what is away.
		for o := range r.Outages(t.Context()) {
			if o.Collector != "docker" || o.Back {
				t.Errorf("asked when it is away: %+v", o)
			}
			break
		}
	})
}
