package collection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// hand lets a test report as a collector does.
type hand struct {
	fake
	sinks chan workloadmeta.Sink
	fail  chan error
}

func newHand(id string) *hand {
	return &hand{fake{id: id}, make(chan workloadmeta.Sink, 8), make(chan error)}
}

func (h *hand) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	sink.Synced()
	h.sinks <- sink
	select {
	case <-ctx.Done():
		return nil
	case err := <-h.fail:
		return err
	}
}

// hands starts collectors over the real store and returns their sinks.
func hands(t *testing.T, ids ...string) (*store.Store, *collection.Supervisor,
	map[string]workloadmeta.Sink, map[string]*hand) {
	t.Helper()
	real := store.New(
		store.Options{OnMutation: func(id workloadmeta.EntityID, source workloadmeta.Source) {
			t.Errorf("%s of %s was written to", id, source)
		}})
	t.Cleanup(real.Close)
	var collectors []workloadmeta.Collector
	byID := map[string]*hand{}
	for _, id := range ids {
		byID[id] = newHand(id)
		collectors = append(collectors, byID[id])
	}
	s, err := collection.New(collection.Options{Store: real, Collectors: collectors})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) }) //nolint:errcheck // it ends with the test
	sinks := map[string]workloadmeta.Sink{}
	for id, h := range byID {
		sinks[id] = <-h.sinks
	}
	return real, s, sinks, byID
}

func seenAs(name string, status workloadmeta.ContainerStatus) *workloadmeta.Container {
	c := &workloadmeta.Container{EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer,
		ID: "a"}}
	c.Name, c.Labels = name, map[string]string{"by": name, name: "yes"}
	c.State.Status, c.State.Running = status, status == workloadmeta.StatusRunning
	if status == workloadmeta.StatusStopped {
		code := int64(137)
		c.State.ExitCode = &code
	}
	return c
}

// changes notes what a subscriber hears of containers: "set docker running".
func changes(t *testing.T, s *store.Store) func() []string {
	t.Helper()
	sub := s.Subscribe("test", workloadmeta.NewFilter().Kind(workloadmeta.KindContainer))
	ctx, cancel := context.WithCancel(context.Background())
	var heard []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for bundle := range sub.Bundles(ctx) {
			for _, ev := range bundle.Events {
				c := ev.Entity.(*workloadmeta.Container)
				text := fmt.Sprint(ev.Type, " ", c.Name, " ", c.State.Status)
				if c.State.ExitCode != nil {
					text += fmt.Sprint(" ", *c.State.ExitCode)
				}
				heard = append(heard, text)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done; sub.Close() })
	return func() []string {
		synctest.Wait()
		out := heard
		heard = nil
		return out
	}
}

// wantHeard compares what a subscriber has heard since it was last asked.
func wantHeard(t *testing.T, heard func() []string, why string, want ...string) {
	t.Helper()
	if got := heard(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q: %s", got, want, why)
	}
}

// says is what a collector reports.
type says struct {
	who  string
	what *workloadmeta.Container
}

// told starts collectors that report these containers, and a subscriber that has heard of them.
func told(t *testing.T, all ...says) (sinks map[string]workloadmeta.Sink, byID map[string]*hand,
	heard func() []string) {
	t.Helper()
	var ids []string
	for _, s := range all {
		ids = append(ids, s.who)
	}
	store, _, sinks, byID := hands(t, ids...)
	heard = changes(t, store)
	for _, s := range all {
		sinks[s.who].Set(s.what)
	}
	heard()
	return sinks, byID, heard
}

func TestSeveralCollectorsOfOneSourceDoNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, _, sinks, _ := hands(t, "cri", "containerd", "docker")
		heard := changes(t, store)
		running := workloadmeta.StatusRunning
		for range 3 {
			for _, id := range []string{"cri", "docker", "containerd"} {
				sinks[id].Set(seenAs(id, running))
			}
		}
		wantHeard(t, heard, "the last brings containerd's label", "set cri running",
			"set docker running", "set docker running")
		c, err := store.GetContainer("a")
		if err != nil || c.Name != "docker" || c.Labels["by"] != "docker" ||
			c.Labels["containerd"] != "yes" || c.Labels["cri"] != "yes" {
			t.Errorf("container = %v, %v", c, err)
		}
		var by []string
		reports, _ := store.Reports(c.EntityID)
		for _, r := range reports {
			by = append(by, r.Name+" says "+r.Entity.(*workloadmeta.Container).Name)
		}
		if got, want := fmt.Sprint(by),
			"[docker says docker containerd says containerd cri says cri]"; got != want {
			t.Errorf("reports %s, want %s", got, want)
		}
	})
}

// The CRI is polled: for some seconds it goes on to report what containerd has seen ending.
func TestAnEndIsNotUndoneByWhoHasNotLookedSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sinks, _, heard := told(t,
			says{"cri", seenAs("web", workloadmeta.StatusRunning)}, says{"containerd",
				seenAs("web", workloadmeta.StatusRunning)})
		sinks["containerd"].Unset(seenAs("web", workloadmeta.StatusStopped))
		wantHeard(t, heard, "it has ended", "set web stopped 137")
		sinks["cri"].Unset(&workloadmeta.Container{EntityID: seenAs("", "").EntityID})
		wantHeard(t, heard, "only containerd knew the exit code", "unset web stopped 137")

		// A container that is started again is news, whoever brings it.
		sinks["cri"].Set(seenAs("web", workloadmeta.StatusRunning))
		sinks["containerd"].Set(seenAs("web", workloadmeta.StatusRunning))
		sinks["containerd"].Unset(seenAs("web", workloadmeta.StatusStopped))
		heard()
		sinks["cri"].Set(seenAs("web", workloadmeta.StatusRunning))
		wantHeard(t, heard, "it runs again", "set web running")
	})
}

func TestAWeakerCollectorsEndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sinks, _, heard := told(t,
			says{"docker", seenAs("web", workloadmeta.StatusRestarting)}, says{"containerd",
				seenAs("web", workloadmeta.StatusRunning)})
		sinks["containerd"].Unset(seenAs("web", workloadmeta.StatusStopped))
		wantHeard(t, heard, "dockerd deletes containerd's container at every end")
	})
}

func TestWhoFailsIsOutvoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sinks, byID, heard := told(t,
			says{"docker", seenAs("docker", workloadmeta.StatusRunning)}, says{"containerd",
				seenAs("containerd", workloadmeta.StatusRunning)})
		byID["docker"].fail <- errors.New("connection lost")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		sinks["containerd"].Set(seenAs("containerd", workloadmeta.StatusStopped))
		wantHeard(t, heard,
			"a lost connection changes what is known of the state, not whose name counts",
			"set docker stopped 137")
	})
}

// A pull takes a while: what it finds may have ended before it is done.
func TestAPullDoesNotUndoAnEndThatCameMeanwhile(t *testing.T) {
	for _, known := range []bool{false, true} { // to the puller, before
		t.Run(fmt.Sprint("known ", known), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				real := store.New(store.Options{})
				defer real.Close()
				stream := newHand("containerd")
				looked := make(chan struct{})
				first := true
				pull := &fakePuller{fake{id: "cri"},
					func(ctx context.Context, sink workloadmeta.Sink) error {
						if first {
							first = false
							if known {
								sink.Set(seenAs("web", workloadmeta.StatusRunning))
							}
							return nil
						}
						// as it was when the pull looked
						sink.Set(seenAs("web", workloadmeta.StatusRunning))
						looked <- struct{}{}
						looked <- struct{}{}
						return nil
					}}
				s, err := collection.New(
					collection.Options{Store: real,
						Collectors: []workloadmeta.Collector{stream, pull}})
				if err != nil {
					t.Fatal(err)
				}
				heard := changes(t, real)
				if err := s.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer s.Stop(context.Background()) //nolint:errcheck // it ends with the test
				sink := <-stream.sinks
				sink.Set(seenAs("web", workloadmeta.StatusRunning))
				<-looked
				heard()
				sink.Unset(seenAs("web", workloadmeta.StatusStopped))
				<-looked
				want := "unset web stopped 137"
				if known {
					want = "set web stopped 137"
				}
				wantHeard(t, heard,
					"until the next pull, one that knew it before may go on to list it, as stopped",
					want)
			})
		})
	}
}

// TestReportersModel lets the runtimes' collectors report in any order: the outcome depends only on
// what each said last.
func TestReportersModel(t *testing.T) {
	order := []string{"docker", "podman", "containerd", "cri"}
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			store, _, sinks, _ := hands(t, order...)
			last := map[string]workloadmeta.Entity{}
			steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) [2]string {
				return [2]string{rapid.SampledFrom(order).Draw(rt, "who"),
					rapid.SampledFrom([]string{"running", "paused", "withdraw"}).Draw(rt, "what")}
			}), 1, 30).Draw(rt, "steps")
			for _, step := range steps {
				who := step[0]
				if step[1] == "withdraw" {
					// Without telling of an end: what the others say stands as it is.
					sinks[who].Unset(&workloadmeta.Container{EntityID: seenAs("", "").EntityID})
					delete(last, who)
				} else {
					last[who] = seenAs(who, workloadmeta.ContainerStatus(step[1]))
					sinks[who].Set(last[who])
				}
				var reports []workloadmeta.Report
				for _, id := range order {
					if e := last[id]; e != nil {
						reports = append(reports, workloadmeta.NewReport(&workloadmeta.Reporter{
							Name: id, Source: workloadmeta.SourceRuntime, Rank: ranks[id]}, e,
							time.Now()))
					}
				}
				got, err := store.GetContainer("a")
				if len(reports) == 0 {
					if err == nil {
						rt.Fatalf("after %v the store has %v, and nobody reports it", step, got)
					}
					continue
				}
				if err != nil || !got.Equal(workloadmeta.Merge(reports)) {
					rt.Fatalf("after %v the store has %v (%v), want %v", step, got, err,
						workloadmeta.Merge(reports))
				}
			}
		})
	})
}
