package collection_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// lostRuntime lists a container with process 42 and loses its daemon after an hour.
func lostRuntime(back <-chan struct{}) *fakeStreamer {
	list := func(sink workloadmeta.Sink) {
		c := seenAs("web", workloadmeta.StatusRunning)
		c.PID = 42
		sink.Set(c)
		sink.Synced()
	}
	return &fakeStreamer{fake{id: "docker"}, script(
		func(ctx context.Context, sink workloadmeta.Sink) error {
			list(sink)
			select {
			case <-ctx.Done():
			case <-time.After(time.Hour):
			}
			return errors.New("connection lost")
		},
		func(ctx context.Context, sink workloadmeta.Sink) error {
			select {
			case <-back:
				list(sink)
				<-ctx.Done()
			case <-ctx.Done():
			default:
			}
			return errors.New("connection refused")
		})}
}

// processes is a scan of processes: those that the test says.
func processes(list func() []workloadmeta.Entity) *fakePuller {
	return &fakePuller{fake{id: "process", source: workloadmeta.SourceProcess,
		kinds: []workloadmeta.Kind{workloadmeta.KindProcess}},
		func(_ context.Context, sink workloadmeta.Sink) error {
			sink.Set(list()...)
			return nil
		}}
}

func process42(started uint64) workloadmeta.Entity {
	return &workloadmeta.Process{EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindProcess,
		ID: "42"}, PID: 42, StartTicks: started}
}

func TestWhatNobodyConfirmsIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{}, lostRuntime(nil))
		time.Sleep(time.Hour + 9*time.Minute)
		r.wantHas(runtime, "a")
		if _, ok := r.Forgotten(containerID("a")); ok {
			t.Error("forgotten before its time")
		}
		time.Sleep(2 * time.Minute)
		r.wantHas(runtime, "")
		if n := len(r.log.lines("cannot withdraw")); n != 0 {
			t.Errorf("%d lines say that it could not be withdrawn", n)
		}
		f, ok := r.Forgotten(containerID("a"))
		if !ok || f.Reporter != "docker" || f.At.Sub(f.Away) < 10*time.Minute ||
			f.At.Sub(f.Said) < time.Hour || !strings.Contains(f.Reason, "nobody has confirmed it") {
			t.Errorf("why: %+v, %v", f, ok)
		}
	})
}

func TestWhoIsBackInTimeKeepsWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := make(chan struct{})
		r := start(t, collection.Options{}, lostRuntime(back))
		time.Sleep(time.Hour + 9*time.Minute)
		close(back)
		time.Sleep(time.Hour)
		r.wantHas(runtime, "a")
		if reports, _ := r.store.Reports(containerID("a")); reports[0].State != workloadmeta.Live {
			t.Errorf("it is %s", reports[0].State)
		}
	})
}

func TestALiveReporterConfirms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{}, lostRuntime(nil),
			&fakePuller{fake{id: "cri"}, listing("a")})
		time.Sleep(2 * time.Hour)
		c, err := r.store.GetContainer("a")
		if err != nil || c.Name != "web" {
			t.Errorf("container: %v, %v; want it with the name that only docker knows", c, err)
		}
	})
}

// A container whose process has ended or been replaced goes at once; while it is there, the
// container stays for as long as it takes.
func TestWithItsProcessAContainerGoes(t *testing.T) {
	for name, then := range map[string][]workloadmeta.Entity{
		"ended":  nil,
		"reused": {process42(2)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now atomic.Pointer[[]workloadmeta.Entity]
				now.Store(&[]workloadmeta.Entity{process42(1)})
				r := start(t, collection.Options{}, lostRuntime(nil),
					processes(func() []workloadmeta.Entity { return *now.Load() }))
				time.Sleep(24 * time.Hour)
				r.wantHas(runtime, "a")
				now.Store(&then)
				time.Sleep(20 * time.Second)
				r.wantHas(runtime, "")
				if f, ok := r.Forgotten(containerID("a")); !ok ||
					!strings.Contains(f.Reason, "process 42 has ended") {
					t.Errorf("why: %+v, %v", f, ok)
				}
			})
		})
	}
}

// A look-up that was on its way does not bring back what has gone meanwhile.
func TestAFetchBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newHand("docker")
		looked := make(chan struct{})
		fetcher := &fakeFetcher{fake{id: "ecs"},
			func(_ context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
				sink.Set(container(id.ID))
				<-looked
				return nil
			}}
		r := start(t, collection.Options{}, stream, fetcher)
		sink := <-stream.sinks
		sink.Set(container("a"))
		synctest.Wait()
		done := make(chan error)
		go func() { done <- r.Fetch(t.Context(), containerID("a")) }()
		synctest.Wait()
		sink.Unset(container("a"))
		close(looked)
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.wantHas(runtime, "")
		if err := r.Fetch(t.Context(), containerID("a")); err != nil { // asked anew
			t.Error(err)
		}
		r.wantHas(runtime, "a")
	})
}

// A fetcher that does not care for the end of its context holds nobody, and is not asked for
// ever more.
func TestFetcherThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int64
		asked := 0
		hung := &fakeFetcher{fake{id: "hung"},
			func(context.Context, workloadmeta.EntityID, workloadmeta.Sink) error {
				calls.Add(1)
				<-release
				return nil
			}}
		good := &fakeFetcher{fake{id: "good"},
			func(_ context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
				if asked++; asked > 1 || id.ID != "late" {
					sink.Set(container(id.ID))
				}
				return nil
			}}
		r := start(t, collection.Options{FetchTimeout: time.Second,
			FetchNegativeTTL: time.Millisecond}, hung, good)
		synctest.Wait()
		began := time.Now()
		if err := r.Fetch(context.Background(), containerID("late")); !errors.Is(err,
			context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		time.Sleep(time.Second)
		if err := r.Fetch(context.Background(), containerID("late")); err != nil {
			t.Errorf("the next look-up: %v", err)
		}
		r.wantHas(runtime, "late")
		for i := range 30 {
			if err := r.Fetch(context.Background(), containerID(string(rune('a'+i)))); err != nil {
				t.Errorf("one answers: %v", err)
			}
		}
		if calls.Load() != 8 {
			t.Errorf("%d look-ups hang, want 8: no more are begun then", calls.Load())
		}
		close(release)
		synctest.Wait()
		if err := r.Fetch(context.Background(), containerID("again")); err != nil ||
			calls.Load() != 9 {
			t.Errorf("asked %d times after it has returned, %v", calls.Load(), err)
		}
	})
}

// Who does not return from Stop is no longer listened to.
func TestAfterStopNobodyIsListenedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, reported := make(chan struct{}), make(chan struct{})
		r := start(t, collection.Options{}, &fakeStreamer{fake{id: "stuck"},
			func(_ context.Context, sink workloadmeta.Sink) error {
				<-release
				sink.Set(container("a"))
				close(reported)
				return nil
			}})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Stop(ctx); err == nil || !strings.Contains(err.Error(), "stuck") {
			t.Errorf("Stop = %v", err)
		}
		close(release)
		<-reported
		r.wantHas(runtime, "")
	})
}

// panics describes itself by a panic.
type panics struct{ fakePuller }

func (panics) Describe() workloadmeta.Description { panic("describe") }

func TestWhatACollectorSaysOfItselfIsChecked(t *testing.T) {
	for want, c := range map[string]workloadmeta.Collector{
		"panic: describe": &panics{},
		"kind(0)": &fakePuller{fake{id: "x", kinds: []workloadmeta.Kind{0}},
			listing()},
		"kind(200)": &fakePuller{fake{id: "x", byProducts: []workloadmeta.Kind{200}},
			listing()},
	} {
		_, err := collection.New(collection.Options{Store: newStore(),
			Collectors: []workloadmeta.Collector{c}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q", err, want)
		}
	}
}

// Who waits for a short time is not looked at too rarely.
func TestWhatIsForgottenSoonIsLookedAtOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{ForgetAfter: 2 * second}, lostRuntime(nil))
		time.Sleep(time.Hour + 1900*time.Millisecond)
		r.wantHas(runtime, "a")
		time.Sleep(700 * time.Millisecond)
		r.wantHas(runtime, "")
	})
}

// The process of a container that is away speaks for it, unless it is another container's.
func TestOnlyItsOwnProcessSpeaksForAContainer(t *testing.T) {
	for of, want := range map[string]string{"": "a", "a": "a", "b": ""} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, collection.Options{}, lostRuntime(nil),
				processes(func() []workloadmeta.Entity {
					p := process42(1).(*workloadmeta.Process)
					p.ContainerID = of
					return []workloadmeta.Entity{p}
				}))
			time.Sleep(2 * time.Hour)
			r.wantHas(runtime, want)
		})
	}
}

// witness knows of its containers that are not there any more.
type witness struct {
	*fakeStreamer
	gone func(id string) bool
}

func (w *witness) Gone(e workloadmeta.Entity) bool { return w.gone(e.GetID().ID) }

// A collector that has lost its daemon, and knows what has gone all the same, is asked for that;
// for no other time, and if it panics, that is its own failure.
func TestAWitnessIsAskedWhileItIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := "b"
		w := &witness{&fakeStreamer{fake{id: "docker"}, script(
			func(ctx context.Context, sink workloadmeta.Sink) error {
				sink.Set(containers("a", "b", "c")...)
				sink.Synced()
				select {
				case <-time.After(time.Hour):
				case <-ctx.Done():
				}
				return errDown
			}, failing(errDown))}, func(id string) bool {
			if id == "c" {
				panic("c")
			}
			return id == gone
		}}
		r := start(t, collection.Options{}, w)
		time.Sleep(time.Hour - second)
		if st := r.status("docker"); st.Panics != 0 {
			t.Errorf("it was asked %d times while it could ask its daemon", st.Panics)
		}
		r.wantHas(runtime, "a b c")
		time.Sleep(time.Minute)
		r.wantHas(runtime, "a c")
		if st := r.status("docker"); st.Panics == 0 {
			t.Error("its panics are not counted")
		}
	})
}
