package collectortest_test

import (
	"context"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

func set(e workloadmeta.Entity) workloadmeta.CollectorEvent {
	return workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet,
		Source: workloadmeta.SourceRuntime, Entity: e}
}

func unset(e workloadmeta.Entity) workloadmeta.CollectorEvent {
	return workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset,
		Source: workloadmeta.SourceRuntime, Entity: e}
}

func named(id string) *workloadmeta.Container {
	return &workloadmeta.Container{EntityID: collectortest.ContainerID(id)}
}

func ended(id string, code int64) *workloadmeta.Container {
	c := named(id)
	c.State.ExitCode = &code
	return c
}

func TestWorldRemembersTheStateAndTheWayThere(t *testing.T) {
	w := collectortest.NewWorld()
	image := &workloadmeta.ContainerImageMetadata{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: "i"}}
	first := w.Sink()
	first.Apply([]workloadmeta.CollectorEvent{set(named("a")), set(named("b")), set(image),
		set(named("b")), unset(ended("a", 3))})
	first.Synced()
	if w.Containers() != "b" || w.Image("i") == nil ||
		w.Count(workloadmeta.KindContainerImage) != 1 || w.Synced() != 1 || len(w.Live()) != 2 {
		t.Errorf("containers %q, %d entities, synced %d times", w.Containers(), len(w.Live()),
			w.Synced())
	}
	if w.Container("a") != nil || w.ExitOf("a") != "3" || w.ExitOf("b") != "not ended" ||
		w.History("a") != "set unset" || w.History("b") != "set set" {
		t.Errorf("a %q, b %q, exit codes %s, %s", w.History("a"), w.History("b"), w.ExitOf("a"),
			w.ExitOf("b"))
	}
	if got := w.News(); got != "set a, set b, set b, unset a exit 3" {
		t.Errorf("news %q", got)
	}

	// The next run does not know of b.
	second := w.Sink()
	second.Apply([]workloadmeta.CollectorEvent{set(image), unset(named("never seen"))})
	if w.Containers() != "b" {
		t.Error("swept before it is synced")
	}
	second.Synced()
	if got := w.News(); got != "unset never seen, swept b" || w.History("b") != "set set swept" ||
		w.ExitOf("b") != "unknown" || w.Image("i") == nil {
		t.Errorf("news %q, b %q, exit code %s", got, w.History("b"), w.ExitOf("b"))
	}
	if got := w.Changes(); len(got) != 8 || got[7].What != "swept" ||
		got[7].Entity.GetID().ID != "b" || got[7].At.IsZero() {
		t.Errorf("changes = %+v", got)
	}
}

func TestOnlyNews(t *testing.T) {
	w := collectortest.NewWorld()
	w.OnlyNews = true
	s := w.Sink()
	renamed := named("a")
	renamed.Name = "web"
	s.Apply([]workloadmeta.CollectorEvent{set(named("a")), set(named("a")), set(renamed)})
	again := w.Sink()
	again.Apply([]workloadmeta.CollectorEvent{set(renamed)})
	again.Synced() // what is no news is reported nevertheless
	if got := w.History("a"); got != "set set" {
		t.Errorf("told %q", got)
	}
}

func TestSinkRefuses(t *testing.T) {
	for what, do := range map[string]func(s *collectortest.Sink){
		"an event without a source": func(s *collectortest.Sink) {
			s.Apply([]workloadmeta.CollectorEvent{
				{Type: workloadmeta.EventTypeSet, Entity: named("a")}})
		},
		"an entity without an ID": func(s *collectortest.Sink) {
			s.Apply([]workloadmeta.CollectorEvent{set(named(""))})
		},
		"Set":   func(s *collectortest.Sink) { s.Set(named("a")) },
		"Unset": func(s *collectortest.Sink) { s.Unset(named("a")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken", what)
				}
			}()
			do(collectortest.NewWorld().Sink())
		}()
	}
}

func TestRunEndsByItselfOrIsStopped(t *testing.T) {
	w := collectortest.NewWorld()
	told := make(chan struct{})
	w.Gate(func() { close(told) })
	r := collectortest.Start(t, func(ctx context.Context, s workloadmeta.Sink) error {
		s.Apply([]workloadmeta.CollectorEvent{set(named("a"))})
		<-ctx.Done()
		return ctx.Err()
	}, w.Sink())
	<-told
	if r.Over() {
		t.Errorf("it has ended: %v", r.Err)
	}
	r.Stop()
	r.Stop() // does nothing
	if !r.Over() || r.Err != context.Canceled || w.Containers() != "a" {
		t.Errorf("over: %v, %v, containers %q", r.Over(), r.Err, w.Containers())
	}
	r = collectortest.Start(t, func(context.Context, workloadmeta.Sink) error { return nil },
		w.Sink())
	<-r.Done
	if r.Err != nil {
		t.Errorf("error %v", r.Err)
	}
}
