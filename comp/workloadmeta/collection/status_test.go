package collection_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// inParts is a collector of several sources.
type inParts struct {
	fakePuller
	parts func() []collection.Part
}

func (p *inParts) Parts() []collection.Part { return p.parts() }

func TestStatusSaysHowACollectorWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "stream"}, staying("a")},
			&fakeBoth{fake{id: "both"}, staying(), listing()},
			&fakeFetcher{fake{id: "fetch"}, nil},
			&inParts{fakePuller{fake{id: "parts"}, listing()}, func() []collection.Part {
				return []collection.Part{{Name: "one"}, {Name: "two"}}
			}},
			&inParts{fakePuller{fake{id: "torn"}, listing()}, func() []collection.Part {
				panic("torn")
			}})
		synctest.Wait()
		for id, want := range map[string]string{"stream": "[stream] 0", "both": "[stream pull] 0",
			"fetch": "[fetch] 0", "parts": "[pull] 2", "torn": "[pull] 0"} {
			st := r.status(id)
			if got := fmt.Sprint(st.Modes, " ", len(st.Parts)); got != want {
				t.Errorf("%s: modes and parts %s, want %s", id, got, want)
			}
			// What has brought nothing has had no event.
			if st.LastEvent.IsZero() != (id != "stream") {
				t.Errorf("%s: last event at %s", id, st.LastEvent)
			}
			if failed := id == "torn"; failed != (st.Failures > 0) || failed != (st.Panics > 0) {
				t.Errorf("%s: %d failures, %d panics", id, st.Failures, st.Panics)
			}
		}
	})
}

// A service that ends its connections from time to time has not failed, unless it does so at once
// or before it has said anything.
func TestAConnectionThatIsClosedAfterAWhileHasNotFailed(t *testing.T) {
	for name, c := range map[string]struct {
		synced bool
		after  time.Duration
		failed bool
	}{
		"after a while": {true, time.Minute, false},
		"at once":       {true, time.Millisecond, true},
		"never synced":  {false, time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, collection.Options{}, &fakeStreamer{fake{id: "kubelet"},
					func(ctx context.Context, sink workloadmeta.Sink) error {
						if c.synced {
							sink.Synced()
						}
						select {
						case <-time.After(c.after):
						case <-ctx.Done():
						}
						return collection.Closed(errDown)
					}})
				time.Sleep(10 * time.Minute)
				st := r.status("kubelet")
				if st.Restarts < 8 || (st.Failures > 0) != c.failed {
					t.Errorf("%d restarts, %d failures", st.Restarts, st.Failures)
				}
			})
		})
	}
}

// Who pulls well is not looked for again; who fails is.
func TestDetectionIsAskedAgainAfterAFailure(t *testing.T) {
	for _, err := range []error{nil, errDown} {
		synctest.Test(t, func(t *testing.T) {
			var gone atomic.Bool
			r := start(t, collection.Options{},
				&fakePuller{fake{id: "kubelet", detect: func() workloadmeta.Detection {
					if gone.Load() {
						return absent("gone")
					}
					return present("")
				}}, failing(err)})
			synctest.Wait()
			gone.Store(true)
			time.Sleep(time.Minute)
			want := collection.StateLive
			if err != nil {
				want = collection.StateWaiting
			}
			r.wantState("kubelet", want)
		})
	}
}

// Where all modes are in trouble, the status says what the first of them says.
func TestTheFirstModeInTroubleIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{BackoffMin: time.Hour, BackoffMax: time.Hour},
			&fakeBoth{fake{id: "podman"}, failing(errDown), failing(errDown)})
		synctest.Wait()
		if st := r.wantState("podman",
			collection.StateDegraded); st.Reason != "stream: connection refused" {
			t.Errorf("reason %q", st.Reason)
		}
	})
}

// Known is about what others report and stand by.
func TestKnownIsWhatOthersReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cri, docker := newHand("cri"), newHand("docker")
		start(t, collection.Options{}, cri, docker)
		asker, other := <-cri.sinks, <-docker.sinks
		want := func(known bool, why string) {
			t.Helper()
			synctest.Wait()
			if asker.Known(containerID("a")) != known {
				t.Errorf("known: %v, %s", !known, why)
			}
		}
		want(false, "and nobody reports it")
		asker.Set(container("a"))
		want(false, "and only who asks reports it")
		other.Set(container("a"))
		want(true, "and another reports it")
		other.Unset(seenAs("web", workloadmeta.StatusStopped))
		want(false, "and the other has seen its end")
	})
}

// Of a collector with parts it is they who say why something may be missing.
func TestMissingNamesParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const metadata, service = workloadmeta.KindKubernetesMetadata,
			workloadmeta.KindKubernetesService
		kinds := []workloadmeta.Kind{metadata, service}
		forbidden := workloadmeta.Problem{Reason: "403", Hint: "grant it"}
		parts := func() []collection.Part {
			return []collection.Part{
				{Name: "nodes", State: collection.StateLive, Kind: metadata},
				{Name: "namespaces", State: collection.StateDegraded, Kind: metadata,
					Problem: forbidden},
				{Name: "services", State: collection.StateConnecting, Kind: service},
				{Name: "autoscalers", State: collection.StateDegraded, Problem: forbidden},
			}
		}
		for name, c := range map[string]struct {
			pull  streamFunc
			state string // of what no part says why
		}{
			"live":     {listing(), ": services is connecting"},
			"degraded": {failing(errDown), " is degraded: pull: " + errDown.Error()},
		} {
			r := start(t, collection.Options{},
				&inParts{fakePuller{fake{id: "api", kinds: kinds}, c.pull}, parts})
			synctest.Wait()
			for _, ask := range []struct {
				kind           workloadmeta.Kind
				resource, want string
			}{
				{metadata, "", "collector api: namespaces is degraded: 403; grant it"},
				{metadata, "namespaces", "collector api: namespaces is degraded: 403; grant it"},
				{service, "", "collector api" + c.state},
			} {
				if got := r.Missing(ask.kind, ask.resource); got != ask.want {
					t.Errorf("%s: %s %s: %q, want %q", name, ask.kind, ask.resource, got, ask.want)
				}
			}
			if got := r.Missing(metadata, "nodes"); name == "live" && got != "" {
				t.Errorf("nodes: %q", got)
			}
		}
	})
}
