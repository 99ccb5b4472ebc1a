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

func TestPullIsAFullList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{}, &fakePuller{fake{id: "kubelet"}, script(
			listing("a", "b"),
			failing(errDown, "c"), // nothing of a failed pull is used
			listing("b", "d"),
			listing(),
		)})
		synctest.Wait()
		r.wantHas(runtime, "a b")
		r.wantState("kubelet", collection.StateLive)

		time.Sleep(5600 * time.Millisecond)
		synctest.Wait()
		r.wantHas(runtime, "a b")
		r.wantState("kubelet", collection.StateDegraded)
		r.store.changes()

		time.Sleep(5600 * time.Millisecond)
		synctest.Wait()
		r.wantHas(runtime, "b d")
		r.wantState("kubelet", collection.StateLive)
		if got, want := fmt.Sprint(r.store.changes()),
			"[[unset runtime container/a set runtime container/b set runtime container/d]]"; got != want {
			t.Errorf("one pull made the changes %s, want %s", got, want)
		}
		time.Sleep(5600 * time.Millisecond)
		synctest.Wait()
		r.wantHas(runtime, "")
		if st := r.status("kubelet"); st.Pulls != 4 || st.Failures != 1 || st.LastSync.IsZero() {
			t.Errorf("status %+v", st)
		}
	})
}

func TestPullClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		running, overlaps := 0, 0
		r := start(t, collection.Options{Periods: map[string]time.Duration{"slow": 10 * second}},
			&fakePuller{fake{id: "slow"}, func(ctx context.Context, sink workloadmeta.Sink) error {
				at = append(at, time.Now())
				if running++; running > 1 {
					overlaps++
				}
				defer func() { running-- }()
				switch len(at) {
				case 3:
					time.Sleep(4 * second) // does not move the next one
				case 5:
					time.Sleep(20 * second) // the next begins after a rest
				}
				return nil
			}})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if overlaps > 0 {
			t.Errorf("%d pulls overlapped another", overlaps)
		}
		different := map[time.Duration]bool{}
		for i := 1; i < len(at); i++ {
			gap := at[i].Sub(at[i-1])
			low, high := 9*second, 11*second
			if i == 5 {
				low, high = 22500*time.Millisecond, 22500*time.Millisecond
			}
			if gap < low || gap > high {
				t.Errorf("pull %d came after %s, want %s to %s", i+1, gap, low, high)
			}
			different[gap] = true
		}
		if len(at) < 10 || len(different) < 5 {
			t.Errorf("%d pulls with %d different gaps; want jitter", len(at), len(different))
		}
		if st := r.status("slow"); st.Pulls != uint64(len(at)) {
			t.Errorf("status says %d pulls, there were %d", st.Pulls, len(at))
		}
	})
}

func TestCollectorMaySuggestItsPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{Periods: map[string]time.Duration{"told": second}},
			&fakePuller{fake{id: "suggests", period: time.Minute}, listing()},
			&fakePuller{fake{id: "told", period: time.Minute}, listing()})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := r.status("suggests").Pulls; n < 5 || n > 6 {
			t.Errorf("%d pulls in 5 minutes, want one per minute as suggested", n)
		}
		if n := r.status("told").Pulls; n < 270 {
			t.Errorf("%d pulls in 5 minutes, want one per second as configured", n)
		}
	})
}

func TestPullTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{PullTimeout: 3 * second},
			&fakePuller{fake{id: "kubelet"}, script(
				listing("a"),
				func(ctx context.Context, sink workloadmeta.Sink) error {
					sink.Set(container("b"))
					<-ctx.Done()
					return ctx.Err()
				})})
		time.Sleep(9 * second)
		synctest.Wait()
		st := r.wantState("kubelet", collection.StateDegraded)
		if want := "pull timed out after 3s: context deadline exceeded"; st.LastError != want ||
			st.LastPull != 3*second {
			t.Errorf("last error %q after %s, want %q after 3s", st.LastError, st.LastPull, want)
		}
		r.wantHas(runtime, "a")
	})
}

func TestFlappingPullIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := start(t, collection.Options{},
			&fakePuller{fake{id: "kubelet"},
				func(ctx context.Context, sink workloadmeta.Sink) error {
					if n++; n%2 == 0 || n > 20 {
						return nil
					}
					return errDown
				}})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(r.log.lines("level=WARN", "connection refused")); n != 1 {
			t.Errorf("logged aloud %d times, want once", n)
		}
		if n := len(r.log.lines("level=DEBUG", "connection refused")); n != 9 {
			t.Errorf("logged quietly %d times, want 9", n)
		}
		if n := len(r.log.lines("level=INFO", "live again")); n != 1 {
			t.Errorf("recovery logged %d times, want once", n)
		}
	})
}

func TestStreamAndPullShareOneSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulls atomic.Int64
		steps := make(chan func(workloadmeta.Sink))
		r := start(t, collection.Options{PullPeriod: 100 * second}, &fakeBoth{fake{id: "podman"},
			func(ctx context.Context, sink workloadmeta.Sink) error {
				sink.Set(containers("a", "b", "missed its end")...)
				sink.Synced()
				for {
					select {
					case step := <-steps:
						step(sink)
					case <-ctx.Done():
						return nil
					}
				}
			},
			func(ctx context.Context, sink workloadmeta.Sink) error {
				if pulls.Add(1) != 2 {
					return errDown
				}
				sink.Set(containers("a", "b", "missed its start", "ends during the pull")...)
				time.Sleep(10 * second)
				return nil
			}})
		synctest.Wait()
		r.wantHas(runtime, "a b missed its end")
		if st := r.wantState("podman",
			collection.StateDegraded); st.Reason != "pull: connection refused" {
			t.Errorf("reason %q", st.Reason)
		}

		steps <- func(sink workloadmeta.Sink) { sink.Set(container("ends during the pull")) }
		for pulls.Load() < 2 {
			time.Sleep(second)
		}
		named := container("b")
		named.Name = "newer"
		steps <- func(sink workloadmeta.Sink) {
			sink.Set(container("starts during the pull"), named)
			sink.Unset(container("ends during the pull"))
		}
		time.Sleep(20 * second)
		synctest.Wait()
		r.wantHas(runtime, "a b missed its start starts during the pull")
		if c := r.store.view(runtime,
			containerID("b")).(*workloadmeta.Container); c.Name != "newer" {
			t.Errorf("the pull has overwritten what the stream said after it began")
		}
		r.wantState("podman", collection.StateLive)
		if st := r.status("podman"); st.Entities != 4 {
			t.Errorf("%d entities, want 4", st.Entities)
		}
	})
}

func TestPullThatBeganBeforeTheStreamListedIsOutdated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{PullPeriod: 100 * second}, &fakeBoth{fake{id: "podman"},
			func(ctx context.Context, sink workloadmeta.Sink) error {
				time.Sleep(second)
				return staying("new")(ctx, sink)
			},
			func(ctx context.Context, sink workloadmeta.Sink) error {
				time.Sleep(2 * second)
				sink.Set(container("old"))
				return nil
			}})
		time.Sleep(10 * second)
		synctest.Wait()
		r.wantHas(runtime, "new")
	})
}

func TestTwoCollectorsOfOneSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{},
			&fakePuller{fake{id: "cri"}, script(listing("a", "b", "c"), listing("a"))},
			&fakePuller{fake{id: "containerd"},
				script(listing("b", "d"), listing("b", "d"), listing("d"))})
		synctest.Wait()
		r.wantHas(runtime, "a b c d")
		time.Sleep(5600 * time.Millisecond)
		synctest.Wait()
		r.wantHas(runtime, "a b d") // c had one reporter, b still has one
		time.Sleep(5600 * time.Millisecond)
		synctest.Wait()
		r.wantHas(runtime, "a d")
	})
}

func TestACollectorThatFailsDoesNotOutvoteOneThatSees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{},
			&fakePuller{fake{id: "cri"},
				script(listing("a", "b"), listing("a", "b"), listing("a"))},
			&fakePuller{fake{id: "containerd"}, script(listing("a", "b", "c"), failing(errDown))})
		time.Sleep(20 * second)
		synctest.Wait()
		r.wantHas(runtime, "a c") // b is gone, c nobody else ever saw
	})
}

// Also a stream that lists nothing outdates a pull that began before.
func TestAPullThatBeganBeforeTheStreamListedNothingIsOutdated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{PullPeriod: 100 * second}, &fakeBoth{fake{id: "podman"},
			func(ctx context.Context, sink workloadmeta.Sink) error {
				time.Sleep(second)
				return staying()(ctx, sink)
			},
			func(ctx context.Context, sink workloadmeta.Sink) error {
				time.Sleep(2 * second)
				sink.Set(container("old"))
				return nil
			}})
		time.Sleep(10 * second)
		r.wantHas(runtime, "")
	})
}
