package collection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

func absent(reason string) workloadmeta.Detection {
	return workloadmeta.Detection{State: workloadmeta.Absent, Reason: reason}
}

func present(reason string) workloadmeta.Detection {
	return workloadmeta.Detection{State: workloadmeta.Detected, Reason: reason}
}

func TestAbsentIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		var there atomic.Bool
		r := start(t, collection.Options{RedetectEvery: 15 * second},
			&fakeStreamer{fake{id: "docker", detect: func() workloadmeta.Detection {
				asked.Add(1)
				if there.Load() {
					return present("socket")
				}
				return absent("no socket at /var/run/docker.sock; set docker.host")
			}}, staying("a")})
		synctest.Wait()
		st := r.wantState("docker", collection.StateWaiting)
		if st.Reason != "no socket at /var/run/docker.sock; set docker.host" ||
			!st.NextRetry.Equal(time.Now().Add(15*second)) {
			t.Errorf("status %+v", st)
		}
		if !r.store.isSynced() {
			t.Error("a collector with nothing to collect keeps the store from being synced")
		}
		time.Sleep(40 * second)
		synctest.Wait()
		if asked.Load() != 3 {
			t.Errorf("asked %d times in 40 s, want 3", asked.Load())
		}
		if got := r.store.expectedOf(workloadmeta.KindContainer); got != "[]" {
			t.Errorf("expected of containers: %s", got)
		}
		there.Store(true)
		time.Sleep(10 * second)
		synctest.Wait()
		r.wantState("docker", collection.StateLive)
		r.wantHas(runtime, "a")
		if got := r.store.expectedOf(workloadmeta.KindContainer); got != "[runtime]" {
			t.Errorf("expected of containers: %s", got)
		}
		if n := len(r.log.lines("nothing to collect here")); n != 1 {
			t.Errorf("absence was logged %d times, want once", n)
		}
		if n := len(r.log.lines("level=ERROR")) + len(r.log.lines("level=WARN")); n != 0 {
			t.Errorf("%d warnings or errors; absence is normal", n)
		}
	})
}

func TestDisabledIsNeverAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "host", detect: func() workloadmeta.Detection {
				asked.Add(1)
				return workloadmeta.Detection{State: workloadmeta.Disabled,
					Reason: "set expected_tags_duration"}
			}}, staying("a")})
		time.Sleep(time.Hour)
		synctest.Wait()
		st := r.wantState("host", collection.StateDisabled)
		if asked.Load() != 1 || st.Reason != "set expected_tags_duration" {
			t.Errorf("asked %d times; reason %q", asked.Load(), st.Reason)
		}
		r.wantHas(runtime, "")
		if !r.store.isSynced() {
			t.Error("not synced")
		}
	})
}

func TestSwitches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nothing := func() workloadmeta.Detection { return absent("no socket") }
		r := start(t, collection.Options{Enabled: map[string]collection.Switch{
			"off": collection.Off, "on": collection.On, "auto": collection.Auto,
		}},
			&fakeStreamer{fake{id: "off"}, staying("a")},
			&fakeStreamer{fake{id: "on", detect: nothing}, staying("b")},
			&fakeStreamer{fake{id: "auto", detect: nothing}, staying("c")})
		synctest.Wait()
		r.wantHas(runtime, "b")
		if st := r.wantState("off",
			collection.StateDisabled); st.Reason != "switched off by configuration" {
			t.Errorf("reason %q", st.Reason)
		}
		r.wantState("auto", collection.StateWaiting)
	})
	var s collection.Switch
	for text, want := range map[string]collection.Switch{"on": collection.On, "Off": collection.Off,
		"auto": collection.Auto, "": collection.Auto} {
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("switch %q is %s, %v; want %s", text, s, err, want)
		}
	}
	if err := s.UnmarshalText([]byte("maybe")); err == nil ||
		!strings.Contains(err.Error(), `"maybe"`) {
		t.Errorf("switch maybe: error %v", err)
	}
}

func TestADaemonThatIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		up.Store(true)
		var end atomic.Value
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "docker", detect: func() workloadmeta.Detection {
				if up.Load() {
					return present("socket")
				}
				return absent("no socket")
			}}, func(ctx context.Context, sink workloadmeta.Sink) error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				end.Store(cancel)
				return staying("a")(ctx, sink)
			}})
		synctest.Wait()
		for _, restart := range []struct {
			down, up time.Duration // until the daemon is back, and until it is looked at again
			expected string        // while it is down
			changes  int           // of what is expected, up to its end
		}{
			{2 * second, 5 * second, "[runtime]", 1}, // it may be back in a moment
			{time.Minute, 20 * second, "[]", 3},
		} {
			up.Store(false)
			end.Load().(context.CancelFunc)()
			time.Sleep(restart.down)
			synctest.Wait()
			r.wantState("docker", collection.StateWaiting)
			r.wantHas(runtime, "a")
			if got := r.store.expectedOf(workloadmeta.KindContainer); got != restart.expected {
				t.Errorf("expected after %v: %s, want %s", restart.down, got, restart.expected)
			}
			up.Store(true)
			time.Sleep(restart.up)
			synctest.Wait()
			r.wantState("docker", collection.StateLive)
			if r.store.expects != restart.changes {
				t.Errorf("%d changes of what is expected, want %d", r.store.expects,
					restart.changes)
			}
		}
	})
}

func TestExpectationsAreOfDetectedCollectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pods := []workloadmeta.Kind{workloadmeta.KindKubernetesPod, workloadmeta.KindContainer}
		var later atomic.Bool
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "docker"}, staying("a")},
			&fakeStreamer{fake{id: "containerd"}, staying("a")},
			&fakePuller{fake{id: "kubelet", source: workloadmeta.SourceNodeOrchestrator,
				kinds: pods, detect: func() workloadmeta.Detection {
					if later.Load() {
						return present("kubelet")
					}
					return absent("no kubelet")
				}}, listing("a")},
			&fakeFetcher{fake{id: "ecs", source: "fetched"}, nil})
		synctest.Wait()
		want := func(kind workloadmeta.Kind, sources string) {
			t.Helper()
			if got := r.store.expectedOf(kind); got != sources {
				t.Errorf("expected of %s: %s, want %s", kind, got, sources)
			}
		}
		want(workloadmeta.KindContainer, "[runtime]")
		want(workloadmeta.KindKubernetesPod, "[]")
		later.Store(true)
		time.Sleep(20 * second)
		synctest.Wait()
		want(workloadmeta.KindContainer, "[node_orchestrator runtime]")
		want(workloadmeta.KindKubernetesPod, "[node_orchestrator]")
	})
}

func TestPanicsAreTheCollectorsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := func(context.Context, workloadmeta.Sink) error { panic("boom") }
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "streams"}, boom},
			&fakePuller{fake{id: "pulls"}, boom},
			&fakeStreamer{
				fake{id: "detects", detect: func() workloadmeta.Detection { panic("boom") }}, boom},
			&fakeFetcher{fake{id: "fetches"},
				func(context.Context, workloadmeta.EntityID,
					workloadmeta.Sink) error {
					panic("boom")
				}},
			&fakeStreamer{fake{id: "well"}, staying("a")})
		err := r.Fetch(t.Context(), containerID("x"))
		synctest.Wait()
		if p, ok := errors.AsType[*collection.PanicError](
			r.Fetch(t.Context(), containerID("y"))); !ok ||
			!strings.Contains(string(p.Stack), "detection_test.go") {
			t.Errorf(
				"Fetch() = %v, want a panic with a stack that shows where (the first answered %v)",
				p, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for id, want := range map[string]collection.State{
			"streams": collection.StateDegraded, "pulls": collection.StateDegraded,
			"detects": collection.StateWaiting,
			"fetches": collection.StateLive, "well": collection.StateLive,
		} {
			st := r.wantState(id, want)
			if id != "well" && (st.Panics == 0 || st.LastError != "panic: boom") {
				t.Errorf("%s: %d panics, last error %q", id, st.Panics, st.LastError)
			}
			stacks := len(r.log.lines("level=WARN", "collector="+id+" ", "stack=",
				"detection_test.go"))
			if id != "well" && stacks != 1 {
				t.Errorf("%s: %d stacks in the log, want 1", id, stacks)
			}
		}
		r.wantHas(runtime, "a")
	})
}

func TestSynced(t *testing.T) {
	slow := func(ctx context.Context, sink workloadmeta.Sink) error {
		time.Sleep(3 * second)
		return staying("a")(ctx, sink)
	}
	hangs := func(ctx context.Context, sink workloadmeta.Sink) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for name, c := range map[string]struct {
		collectors []workloadmeta.Collector
		after      time.Duration
		result     collection.Result
	}{
		"no collectors": {nil, 0, ""},
		"absent": {
			[]workloadmeta.Collector{
				&fakeStreamer{
					fake{id: "c", detect: func() workloadmeta.Detection { return absent("") }},
					slow}}, 0, collection.NotDetected},
		"lists": {[]workloadmeta.Collector{&fakeStreamer{fake{id: "c"}, slow}},
			3 * second, collection.Listed},
		"pulls": {
			[]workloadmeta.Collector{
				&fakePuller{fake{id: "c"},
					func(context.Context,
						workloadmeta.Sink) error {
						time.Sleep(2 * second)
						return nil
					}}}, 2 * second, collection.Listed},
		"fails": {
			[]workloadmeta.Collector{&fakeStreamer{fake{id: "c"}, failing(errDown)}},
			0, collection.Failed},
		"one mode fails": {
			[]workloadmeta.Collector{&fakeBoth{fake{id: "c"}, slow, failing(errDown)}}, 3 * second,
			collection.Listed},
		"both modes fail": {
			[]workloadmeta.Collector{&fakeBoth{fake{id: "c"}, failing(errDown), failing(errDown)}},
			0, collection.Failed},
		"hangs": {[]workloadmeta.Collector{&fakeStreamer{fake{id: "c"}, hangs}},
			10 * second, collection.Pending},
		"fetches only": {[]workloadmeta.Collector{&fakeFetcher{fake{id: "c"}, nil}}, 0,
			collection.Listed},
		"one of two hangs": {[]workloadmeta.Collector{&fakeStreamer{fake{id: "b"}, staying("a")},
			&fakeStreamer{fake{id: "c"}, hangs}}, 10 * second, collection.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, collection.Options{}, c.collectors...)
				ctx, cancel := context.WithTimeout(t.Context(), 20*second)
				defer cancel()
				type answer struct {
					outcomes []collection.Outcome
					err      error
				}
				answers := make(chan answer, 1)
				go func() {
					outcomes, err := r.WaitFirstPass(ctx)
					answers <- answer{outcomes, err}
				}()
				if c.after > 0 {
					time.Sleep(c.after - 1)
					synctest.Wait()
					if r.store.isSynced() {
						t.Errorf("synced before %s", c.after)
					}
					time.Sleep(time.Nanosecond)
				}
				synctest.Wait()
				if !r.store.isSynced() {
					t.Errorf("not synced after %s", c.after)
				}
				got := <-answers
				if len(c.collectors) > 0 {
					if last := got.outcomes[len(got.outcomes)-1]; last.Result != c.result ||
						(last.Err != nil) != (c.result == collection.Failed) {
						t.Errorf("outcome %+v, want %s", last, c.result)
					}
				}
				if pending := c.result == collection.Pending; pending != (got.err != nil) {
					t.Errorf("WaitFirstPass() error %v", got.err)
				} else if pending && !strings.Contains(got.err.Error(), "first answer of c:") {
					t.Errorf("error %q does not name who is missing", got.err)
				}
				time.Sleep(time.Minute)
				if r.store.synced != 1 {
					t.Errorf("MarkSynced was called %d times", r.store.synced)
				}
			})
		})
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	ok := &fakeStreamer{fake{id: "docker"}, nil}
	for want, opts := range map[string]collection.Options{
		"Options.Store is missing": {},
		`two collectors have the ID "docker"`: {Store: newStore(),
			Collectors: []workloadmeta.Collector{ok, ok}},
		"Options.Collectors[1] is nil": {Store: newStore(),
			Collectors: []workloadmeta.Collector{ok, nil}},
		`collector "x" (*collection_test.fake) implements neither`: {Store: newStore(),
			Collectors: []workloadmeta.Collector{&fake{id: "x"}}},
		"has no ID": {Store: newStore(), Collectors: []workloadmeta.Collector{&fakeStreamer{}}},
		`Options.Enabled names "dcoker", which is no collector (there are docker)`: {
			Store: newStore(), Collectors: []workloadmeta.Collector{ok},
			Enabled: map[string]collection.Switch{"dcoker": collection.Off}},
		`Options.Periods has 0s for "docker"`: {
			Store: newStore(), Collectors: []workloadmeta.Collector{ok},
			Periods: map[string]time.Duration{"docker": 0}},
		"Options.PullPeriod is -1s": {
			Store: newStore(), PullPeriod: -second},
	} {
		if _, err := collection.New(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New() error = %v, want %q in it", err, want)
		}
	}
}

func TestStopWaitsAndNamesWhoDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s, err := collection.New(collection.Options{Store: newStore(),
			Collectors: []workloadmeta.Collector{
				&fakeStreamer{fake{id: "good"}, staying("a")},
				&fakeStreamer{fake{id: "stubborn"},
					func(ctx context.Context, sink workloadmeta.Sink) error {
						<-release
						return nil
					}},
			}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil {
			t.Error("a second Start is accepted")
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), second)
		defer cancel()
		err = s.Stop(ctx)
		if want := "stop the collectors: still waiting for stubborn: context deadline exceeded"; fmt.Sprint(err) != want {
			t.Errorf("Stop() = %v, want %s", err, want)
		}
		close(release)
		if err := s.Stop(t.Context()); err != nil {
			t.Errorf("second Stop() = %v", err)
		}
		if err := s.Fetch(t.Context(), containerID("x")); !errors.Is(err,
			collection.ErrNotRunning) {
			t.Errorf("Fetch() after Stop = %v, want ErrNotRunning", err)
		}
	})
	s, _ := collection.New(collection.Options{Store: newStore()})
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop() without Start = %v", err)
	}
}

func TestStartContextIsNotTheCollectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		s, err := collection.New(collection.Options{Store: store,
			Collectors: []workloadmeta.Collector{&fakePuller{fake{id: "c"}, listing("a")}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Start(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := s.Status()[0].Pulls; n < 10 {
			t.Errorf("%d pulls in a minute; the end of Start's context must not end the collectors",
				n)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
