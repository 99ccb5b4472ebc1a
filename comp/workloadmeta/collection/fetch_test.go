package collection_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// knows returns a fetch that takes a second and knows these containers.
func knows(calls *atomic.Int64, ids ...string) fetchFunc {
	return func(ctx context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
		calls.Add(1)
		select {
		case <-time.After(second):
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, known := range ids {
			if known == id.ID {
				sink.Set(container(known))
			}
		}
		return nil
	}
}

func TestFetchIsOneFlightPerEntity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := start(t, collection.Options{}, &fakeFetcher{fake{id: "ecs"}, knows(&calls, "a", "b")})
		synctest.Wait()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := r.Fetch(t.Context(), containerID("a")); err != nil {
					t.Error(err)
				}
				if r.store.view(runtime, containerID("a")) == nil {
					t.Error("Fetch returned and the store does not have what was found")
				}
			})
		}
		all.Go(func() {
			if err := r.Fetch(t.Context(), containerID("b")); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if calls.Load() != 2 {
			t.Errorf("the source was asked %d times for two entities", calls.Load())
		}
		r.wantHas(runtime, "a b")
		if st := r.status("ecs"); st.State != collection.StateLive || st.Fetches != 2 ||
			st.Entities != 2 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestFetchRemembersThatNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := start(t, collection.Options{FetchNegativeTTL: 10 * second},
			&fakeFetcher{fake{id: "ecs"}, knows(&calls)})
		synctest.Wait()
		for range 9 { // the first takes a second, the others nothing
			if err := r.Fetch(t.Context(), containerID("x")); err != nil {
				t.Errorf("Fetch() of what nobody knows = %v, want nil", err)
			}
			time.Sleep(second)
			synctest.Wait()
		}
		if calls.Load() != 1 {
			t.Errorf("asked %d times within the TTL, want once", calls.Load())
		}
		time.Sleep(2 * second)
		synctest.Wait()
		if err := r.Fetch(t.Context(), containerID("x")); err != nil || calls.Load() != 2 {
			t.Errorf("after the TTL: asked %d times (%v), want twice", calls.Load(), err)
		}
	})
}

func TestFetchRemembersFailuresForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := start(t, collection.Options{},
			&fakeFetcher{fake{id: "ecs"},
				func(context.Context, workloadmeta.EntityID, workloadmeta.Sink) error {
					calls.Add(1)
					return errDown
				}})
		synctest.Wait()
		for range 5 {
			if err := r.Fetch(t.Context(), containerID("x")); !errors.Is(err, errDown) {
				t.Errorf("Fetch() = %v, want the source's failure", err)
			}
		}
		if calls.Load() != 1 {
			t.Errorf("asked %d times at once, want once", calls.Load())
		}
		time.Sleep(2 * second)
		synctest.Wait()
		r.Fetch(t.Context(), containerID("x"))
		if calls.Load() != 2 {
			t.Errorf("asked %d times in all, want twice", calls.Load())
		}
		if n := len(r.log.lines("level=WARN", "connection refused")); n != 1 {
			t.Errorf("logged aloud %d times, want once", n)
		}
	})
}

func TestFetchAsksOnlyWhoCanAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, other atomic.Int64
		var there atomic.Bool
		r := start(t, collection.Options{},
			&fakeFetcher{fake{id: "ecs", detect: func() workloadmeta.Detection {
				if there.Load() {
					return present("here")
				}
				return absent("not here")
			}}, knows(&calls, "a")},
			&fakeFetcher{
				fake{id: "pods", kinds: []workloadmeta.Kind{workloadmeta.KindKubernetesPod}},
				knows(&other)},
			&fakeStreamer{fake{id: "docker"}, staying()})
		synctest.Wait()
		err := r.Fetch(t.Context(), containerID("a"))
		if !errors.Is(err, collection.ErrNoFetcher) ||
			err.Error() != "look up container/a: no collector can look this up" {
			t.Errorf("Fetch() = %v, want ErrNoFetcher", err)
		}
		there.Store(true)
		time.Sleep(20 * second)
		synctest.Wait()
		if err := r.Fetch(t.Context(), containerID("a")); err != nil {
			t.Error(err)
		}
		r.wantHas(runtime, "a")
		if other.Load() != 0 {
			t.Error("a collector of another kind was asked")
		}
	})
	s, _ := collection.New(collection.Options{Store: newStore()})
	if err := s.Fetch(t.Context(), containerID("a")); !errors.Is(err, collection.ErrNotRunning) {
		t.Errorf("Fetch() before Start = %v, want ErrNotRunning", err)
	}
}

func TestFetchHonoursEachCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := make(chan struct{}, 1)
		r := start(t, collection.Options{FetchTimeout: time.Minute},
			&fakeFetcher{fake{id: "ecs"},
				func(ctx context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
					select {
					case <-time.After(5 * second):
						sink.Set(container(id.ID))
					case <-ctx.Done():
						given <- struct{}{}
						return ctx.Err()
					}
					return nil
				}})
		synctest.Wait()
		hurried := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return r.Fetch(ctx, containerID("a"))
		}
		var patient sync.WaitGroup
		patient.Go(func() {
			if err := hurried(10 * second); err != nil {
				t.Errorf("the patient caller got %v", err)
			}
		})
		began := time.Now()
		if err := hurried(second); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(began) != second {
			t.Errorf("the hurried caller got %v after %s", err, time.Since(began))
		}
		patient.Wait()
		r.wantHas(runtime, "a")

		// Nobody waits any longer: the look-up is given up, and not remembered as an answer.
		ctx, cancel := context.WithTimeout(t.Context(), second)
		defer cancel()
		if err := r.Fetch(ctx, containerID("b")); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		<-given
		if err := r.Fetch(t.Context(), containerID("b")); err != nil {
			t.Error(err)
		}
		r.wantHas(runtime, "a b")
	})
}

func TestFetchRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := start(t, collection.Options{FetchRate: 2, FetchBurst: 3, FetchTimeout: 5 * second},
			&fakeFetcher{fake{id: "ecs"},
				func(context.Context, workloadmeta.EntityID, workloadmeta.Sink) error {
					calls.Add(1)
					return nil
				}})
		synctest.Wait()
		var refused atomic.Int64
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				if err := r.Fetch(t.Context(), containerID(fmt.Sprint(i))); errors.Is(err,
					collection.ErrRateLimited) {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		// Three at once and two per second for the five seconds there are.
		if calls.Load() != 13 || refused.Load() != 87 {
			t.Errorf("%d made and %d refused, want 13 and 87", calls.Load(), refused.Load())
		}
	})
}

func TestWhatIsOnlyFetchedIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer atomic.Value
		answer.Store("known")
		r := start(t, collection.Options{FetchRefresh: time.Minute}, &fakeFetcher{fake{id: "ecs"},
			func(_ context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
				switch answer.Load() {
				case "known":
					sink.Set(container(id.ID))
				case "failure":
					return errDown
				}
				return nil
			}})
		synctest.Wait()
		if err := r.Fetch(t.Context(), containerID("a")); err != nil {
			t.Fatal(err)
		}
		for _, a := range []string{"known", "failure", "known"} {
			answer.Store(a)
			time.Sleep(61 * second)
			synctest.Wait()
			r.wantHas(runtime, "a")
		}
		answer.Store("unknown")
		time.Sleep(61 * second)
		synctest.Wait()
		r.wantHas(runtime, "")
	})
}

func TestStopEndsLookUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{},
			&fakeFetcher{fake{id: "ecs"},
				func(ctx context.Context, _ workloadmeta.EntityID, _ workloadmeta.Sink) error {
					<-ctx.Done()
					return ctx.Err()
				}})
		synctest.Wait()
		result := make(chan error, 1)
		go func() { result <- r.Fetch(context.Background(), containerID("a")) }()
		synctest.Wait()
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-result; !errors.Is(err, collection.ErrNotRunning) {
			t.Errorf("Fetch() = %v, want ErrNotRunning", err)
		}
	})
}

// When all who waited have gone, the look-up is given up.
func TestALookUpThatAllHaveLeftIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given atomic.Int64
		r := start(t, collection.Options{FetchTimeout: time.Hour}, &fakeFetcher{fake{id: "ecs"},
			func(ctx context.Context, _ workloadmeta.EntityID, _ workloadmeta.Sink) error {
				<-ctx.Done()
				given.Add(1)
				return ctx.Err()
			}})
		synctest.Wait()
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*second)
				defer cancel()
				if err := r.Fetch(ctx, containerID("a")); !errors.Is(err,
					context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if given.Load() != 0 {
			t.Error("given up, and one still waits")
		}
		all.Wait()
		synctest.Wait()
		if given.Load() != 1 {
			t.Error("it goes on, and nobody waits")
		}
	})
}

// When the time is over, what collectors say of that is what the caller is told.
func TestCollectorsMaySayWhyTheyTookTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{}, &fakeFetcher{fake{id: "ecs"},
			func(ctx context.Context, _ workloadmeta.EntityID, _ workloadmeta.Sink) error {
				<-ctx.Done()
				time.Sleep(50 * time.Millisecond)
				return errDown
			}})
		synctest.Wait()
		if err := r.Fetch(t.Context(), containerID("a")); !errors.Is(err, errDown) {
			t.Errorf("%v, want what the collector says", err)
		}
	})
}

// Of two look-ups under way, the end of one does not let the other bring back what has gone.
func TestTheLastOfTwoLookUpsBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream, answer := newHand("docker"), make(chan struct{})
		r := start(t, collection.Options{}, stream, &fakeFetcher{fake{id: "ecs"},
			func(_ context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
				sink.Set(container(id.ID))
				if id.ID == "a" {
					<-answer
				}
				return nil
			}})
		sink := <-stream.sinks
		sink.Set(container("a"))
		synctest.Wait()
		done := make(chan error)
		go func() { done <- r.Fetch(t.Context(), containerID("a")) }()
		synctest.Wait()
		sink.Unset(container("a"))
		if err := r.Fetch(t.Context(), containerID("b")); err != nil {
			t.Error(err)
		}
		close(answer)
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.wantHas(runtime, "b")
	})
}
