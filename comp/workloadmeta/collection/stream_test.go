package collection_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

const runtime = workloadmeta.SourceRuntime

var errDown = errors.New("connection refused")

func TestStreamSweepsWhatANewListDoesNotHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{}, &fakeStreamer{fake{id: "docker"}, script(
			listing("a", "b", "c"),
			failing(errDown, "a", "d"), // never synced: may add, must not remove
			staying("a", "e"),
		)})
		synctest.Wait()
		r.wantHas(runtime, "a b c")
		if st := r.wantState("docker", collection.StateDegraded); st.NextRetry.IsZero() {
			t.Error("a degraded collector does not say when it is tried again")
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		r.wantHas(runtime, "a b c d")
		r.store.changes()

		time.Sleep(second)
		synctest.Wait()
		r.wantHas(runtime, "a e")
		got := fmt.Sprint(r.store.changes())
		want := "[[set runtime container/a set runtime container/e]" +
			" [unset runtime container/b unset runtime container/c unset runtime container/d]]"
		if got != want {
			t.Errorf("changes of the last run:\n got %s\nwant %s", got, want)
		}
		st := r.wantState("docker", collection.StateLive)
		if st.Restarts != 2 || st.Entities != 2 || st.Failures != 2 ||
			st.LastError != "connection refused" {
			t.Errorf("status %+v", st)
		}
	})
}

func TestStreamEventsAfterSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := int64(0)
		r := start(t, collection.Options{}, &fakeStreamer{fake{id: "docker"}, script(
			func(ctx context.Context, sink workloadmeta.Sink) error {
				sink.Set(containers("a", "b")...)
				sink.Synced()
				sink.Set(container("c"))
				last := container("a")
				last.State.ExitCode = &code
				sink.Unset(last)
				sink.Unset(container("never seen"))
				return errDown
			},
			staying("c"))})
		synctest.Wait()
		r.wantHas(runtime, "b c")
		if got, want := fmt.Sprint(r.store.changes()),
			"[[set runtime container/a set runtime container/b]"+
				" [set runtime container/c] [unset runtime container/a]]"; got != want {
			t.Errorf("changes:\n got %s\nwant %s", got, want)
		}
		time.Sleep(second)
		synctest.Wait()
		r.wantHas(runtime, "c")
	})
}

func TestStreamRetriesForEverWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		var up atomic.Bool
		r := start(t, collection.Options{BackoffMin: second, BackoffMax: 30 * second},
			&fakeStreamer{fake{id: "docker"},
				func(ctx context.Context, sink workloadmeta.Sink) error {
					at = append(at, time.Now())
					if up.Swap(false) {
						sink.Synced()
						time.Sleep(31 * second)
					}
					return errDown
				}})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		up.Store(true) // one long good run, and the pauses start over
		time.Sleep(6 * time.Minute)
		synctest.Wait()

		var pauses []time.Duration
		for i := 1; i < len(at); i++ {
			pauses = append(pauses, at[i].Sub(at[i-1]))
		}
		want := second
		restarts := 0
		for i, p := range pauses {
			if p > 31*second && p < 33*second {
				want = second // the long run, with the first pause of the new series
				p -= 31 * second
				restarts++
			}
			if p < want*85/100 || p > want*115/100 || p > 30*second {
				t.Fatalf("pause %d is %s, want about %s (all: %s)", i, p, want, pauses)
			}
			want = min(want*2, 27300*time.Millisecond)
		}
		if len(pauses) < 25 || restarts != 1 {
			t.Errorf("%d attempts, %d series after the first; want many and one: %s", len(pauses),
				restarts, pauses)
		}
		if n := len(r.log.lines("level=WARN", "connection refused")); n != 2 {
			t.Errorf("the failure was logged aloud %d times, want once per series", n)
		}
		if n := len(r.log.lines("level=ERROR")); n != 0 {
			t.Errorf("%d lines at error level", n)
		}
	})
}

func TestStreamThatEndsWithoutErrorIsDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{}, &fakeStreamer{fake{id: "docker"}, listing("a")})
		synctest.Wait()
		st := r.wantState("docker", collection.StateDegraded)
		if st.LastError != "the stream ended" {
			t.Errorf("last error %q", st.LastError)
		}
		r.wantHas(runtime, "a")
	})
}

func TestPermanentErrorEndsTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "docker"},
				func(ctx context.Context, sink workloadmeta.Sink) error {
					calls++
					sink.Set(container("a"))
					return fmt.Errorf("connect: %w",
						collection.Permanent(errors.New("no such API")))
				}})
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		st := r.wantState("docker", collection.StateFailed)
		if calls != 1 || st.Reason != "connect: no such API" {
			t.Errorf("%d calls, reason %q", calls, st.Reason)
		}
		r.wantHas(runtime, "a")
		if got := r.store.expectedOf(workloadmeta.KindContainer); got != "[]" {
			t.Errorf("expected of containers: %s; a collector that gave up will not report any",
				got)
		}
		if !r.store.isSynced() {
			t.Error("not synced")
		}
		if reports, _ := r.store.Reports(containerID("a")); reports[0].State != workloadmeta.Away {
			t.Errorf("the report of a collector that gave up is %s", reports[0].State)
		}
		time.Sleep(time.Hour)
		r.wantHas(runtime, "") // see Options.ForgetAfter
	})
}

func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "docker"},
				func(ctx context.Context, sink workloadmeta.Sink) error {
					time.Sleep(second)
					sink.Set(container("a"))
					time.Sleep(second)
					sink.Synced()
					time.Sleep(second)
					return errDown
				}})
		for _, want := range []collection.State{collection.StateConnecting, collection.StateSyncing,
			collection.StateLive, collection.StateDegraded} {
			synctest.Wait()
			st := r.wantState("docker", want)
			if !st.Since.Equal(time.Now()) {
				t.Errorf("%s since %s ago, want now", want, time.Since(st.Since))
			}
			time.Sleep(second)
		}
	})
}

func TestReportsAfterTheRunAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var leaked workloadmeta.Sink
		r := start(t, collection.Options{}, &fakeStreamer{fake{id: "docker"}, script(
			func(ctx context.Context, sink workloadmeta.Sink) error {
				leaked = sink
				sink.Set(container("a"))
				return errDown
			}, staying("a"))})
		time.Sleep(second)
		synctest.Wait()
		leaked.Set(container("b"))
		leaked.Synced()
		r.wantHas(runtime, "a")
		if n := len(r.log.lines("level=WARN", "after its run has ended")); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
	})
}

func TestInvalidEventsAreNamedOnceAndTheOthersUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "docker"},
				func(ctx context.Context, sink workloadmeta.Sink) error {
					for range 3 {
						sink.Set(container("a"), container(""), nil, container("b"))
					}
					sink.Set(process(7, 1))
					sink.Synced()
					<-ctx.Done()
					return nil
				}})
		synctest.Wait()
		r.wantHas(runtime, "7 a b")
		if st := r.status("docker"); st.InvalidEvents != 6 || st.Events != 7 {
			t.Errorf("%d invalid and %d valid events, want 6 and 7", st.InvalidEvents, st.Events)
		}
		for _, part := range []string{"without an ID", "no entity", "not among its Kinds"} {
			if n := len(r.log.lines("level=WARN", "collector=docker", part)); n != 1 {
				t.Errorf("%q logged %d times, want once", part, n)
			}
		}
	})
}

func TestOnlyMultiSourceCollectorsKeepTheirEventsSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := func(id string) streamFunc {
			return func(ctx context.Context, sink workloadmeta.Sink) error {
				sink.Apply([]workloadmeta.CollectorEvent{
					{Type: workloadmeta.EventTypeSet, Source: workloadmeta.SourceHost, Entity: container(id)},
					{Type: workloadmeta.EventTypeSet, Entity: container(id + "2")},
				})
				sink.Synced()
				<-ctx.Done()
				return nil
			}
		}
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "replay", source: "replay", many: true}, stream("a")},
			&fakeStreamer{fake{id: "docker"}, stream("b")})
		synctest.Wait()
		r.wantHas(workloadmeta.SourceHost, "a")
		r.wantHas("replay", "a2")
		r.wantHas(runtime, "b b2")
		if got := r.store.expectedOf(workloadmeta.KindContainer); got != "[runtime]" {
			t.Errorf("expected of containers: %s, want only what docker reports", got)
		}
	})
}

func TestByProductsAreReportedAndNotExpected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := func(ctx context.Context, sink workloadmeta.Sink) error {
			sink.Set(process(7, 1))
			sink.Synced()
			<-ctx.Done()
			return nil
		}
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "docker",
				byProducts: []workloadmeta.Kind{workloadmeta.KindProcess}}, stream},
			&fakeStreamer{
				fake{id: "process", source: "procs",
					kinds: []workloadmeta.Kind{workloadmeta.KindProcess}}, stream})
		synctest.Wait()
		r.wantHas(runtime, "7")
		if n := len(r.log.lines("level=WARN")); n != 0 {
			t.Errorf("%d warnings about what was announced", n)
		}
		// Somebody else is expected to report the kind; that does not make it the by-producer's.
		if got := r.store.expectedOf(workloadmeta.KindProcess); got != "[procs]" {
			t.Errorf("expected of processes: %s", got)
		}
	})
}

func TestMissingSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		absent := &fakeStreamer{fake{id: "docker", detect: func() workloadmeta.Detection {
			return workloadmeta.Detection{State: workloadmeta.Absent, Reason: "no socket"}
		}, omits: map[workloadmeta.Kind]workloadmeta.Problem{
			workloadmeta.KindContainerImage: {Reason: "not wanted", Hint: "want it"}}}, nil}
		r := start(t, collection.Options{}, absent)
		synctest.Wait()
		for kind, want := range map[workloadmeta.Kind]string{
			workloadmeta.KindContainer:      "collector docker is waiting: no socket",
			workloadmeta.KindContainerImage: "not wanted; want it",
			workloadmeta.KindGPU:            "no collector in this program reports this kind",
		} {
			if got := r.Missing(kind, ""); got != want {
				t.Errorf("%s: %q, want %q", kind, got, want)
			}
		}
	})
}
