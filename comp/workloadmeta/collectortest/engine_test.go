package collectortest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

var runtimeOf = workloadmeta.Description{ID: "fake", Source: workloadmeta.SourceRuntime,
	Kinds: []workloadmeta.Kind{workloadmeta.KindContainer}}

func wantNews(t *testing.T, e *collectortest.Engine, step string, want ...string) {
	t.Helper()
	synctest.Wait()
	got := e.News()
	for i, line := range got {
		got[i], _, _ = strings.Cut(line, " {")
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: told %q, want %q", step, got, want)
	}
}

func TestFakeUnderTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := collectortest.NewFake(runtimeOf)
		f.Set(named("a"))
		e := collectortest.NewEngine(t, f)
		e.WaitSynced()
		wantNews(t, e, "listed", "set container/a")
		f.Set(named("b"))
		f.Unset(ended("a", 3))
		wantNews(t, e, "changed", "set container/b", "unset container/a")

		f.Lose(errors.New("the daemon is restarted"))
		synctest.Wait()
		if s := e.Status("fake"); s.State != collection.StateDegraded ||
			!strings.Contains(s.LastError, "restarted") {
			t.Errorf("lost: %+v", s)
		}
		f.Unset(named("b"))
		f.Set(named("c"))
		wantNews(t, e, "lost")
		before := f.Lists()
		f.Restore()
		time.Sleep(30 * time.Second)
		wantNews(t, e, "restored", "set container/c", "unset container/b")
		if f.Lists() != before+1 || e.Status("fake").State != collection.StateLive {
			t.Errorf("listed %d times, %s", f.Lists(), e.Status("fake").State)
		}

		f.Hide(workloadmeta.Problem{Reason: "uninstalled"})
		time.Sleep(time.Minute)
		if s := e.Status("fake"); s.State != collection.StateWaiting || s.Reason != "uninstalled" {
			t.Errorf("hidden: %+v", s)
		}
	})
}

func TestFakeThatIsSilentOrPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := collectortest.NewFake(runtimeOf)
		silent.Silence()
		desc := runtimeOf
		desc.ID = "polled"
		polled := collectortest.NewFake(desc)
		polled.Set(named("a"))
		e := collectortest.NewEngine(t, silent, polled.Puller())
		wantNews(t, e, "at the start", "set container/a")
		if silent.Lists() != 0 || e.Store.Synced() {
			t.Error("it has answered")
		}
		silent.Set(named("b"))
		silent.Restore()
		polled.Unset(named("a"))
		wantNews(t, e, "before the next poll", "set container/b")
		time.Sleep(6 * time.Second)
		wantNews(t, e, "polled again", "unset container/a")
		polled.Lose(nil)
		polled.Set(named("c"))
		time.Sleep(time.Minute)
		wantNews(t, e, "lost")
		if s := e.Status("polled"); s.State != collection.StateDegraded {
			t.Errorf("lost: %+v", s)
		}
	})
}

// What World says a store would have is what the store has: both take the same reports of the same
// runs, some of which end before they have listed.
func TestWorldIsWhatTheStoreHas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type step struct {
			what string // "set", "unset", "synced", "end"
			id   string
		}
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.SampledFrom([]string{"set", "set", "set", "unset", "synced",
				"end"}).Draw(rt, "what"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "id")}
		}), 1, 40).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			w := collectortest.NewWorld()
			c := &stepped{steps: make(chan func(workloadmeta.Sink) bool)}
			e := collectortest.NewEngine(t, c)
			sink := w.Sink()
			version := 0
			for _, s := range steps {
				version++
				entity := named(s.id)
				entity.Name = fmt.Sprint(version)
				switch s.what {
				case "set", "unset":
					event := set(entity)
					if s.what == "unset" {
						event = unset(entity)
					}
					sink.Apply([]workloadmeta.CollectorEvent{event})
					c.steps <- func(s workloadmeta.Sink) bool {
						s.Apply([]workloadmeta.CollectorEvent{event})
						return true
					}
				case "synced":
					sink.Synced()
					c.steps <- func(s workloadmeta.Sink) bool { s.Synced(); return true }
				case "end":
					sink = w.Sink()
					c.steps <- func(workloadmeta.Sink) bool { return false }
				}
				synctest.Wait()
				var has []string
				for c := range e.Store.Containers() {
					has = append(has, c.ID+" "+c.Name)
				}
				var want []string
				for id, e := range w.Live() {
					want = append(want, id.ID+" "+e.(*workloadmeta.Container).Name)
				}
				slices.Sort(has)
				slices.Sort(want)
				if !slices.Equal(has, want) {
					t.Fatalf("after %v the store has %q and the world %q", s, has, want)
				}
			}
		})
	})
}

// stepped is a collector that does what it is told.
type stepped struct {
	steps chan func(workloadmeta.Sink) bool
}

func (c *stepped) Describe() workloadmeta.Description { return runtimeOf }

func (c *stepped) Detect(context.Context) workloadmeta.Detection {
	return workloadmeta.Detection{State: workloadmeta.Detected}
}

func (c *stepped) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case do := <-c.steps:
			if !do(sink) {
				return errors.New("it ends")
			}
		}
	}
}
