package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// What subscribers are told, step by step. A is the runtime, which says the host name,
// B the kubelet, which says the name.
func TestScenarios(t *testing.T) {
	a, b := host("h"), named("n")
	bare := container("c")
	stopped := func(c *wm.Container) { c.State.Status = wm.StatusStopped }
	type step struct {
		events []wm.CollectorEvent
		want   []string
	}
	one := func(ev wm.CollectorEvent,
		want ...string) step {
		return step{[]wm.CollectorEvent{ev}, want}
	}
	for name, c := range map[string]struct {
		filter *wm.Filter
		steps  []step
	}{
		"two sources, one after the other withdraws": {nil, []step{
			one(sets(runtime, container("c", a)), "set(c:/h)"),
			one(sets(kubelet, container("c", b)), "set(c:n/h)"),
			one(unsets(runtime, bare), "set(c:n/)"), // the state after it
			one(unsets(kubelet, bare), "unset(c:n/)"),
		}},
		"one source": {wm.NewFilter().Source(runtime), []step{
			one(sets(runtime, container("c", a)), "set(c:/h)"),
			one(sets(kubelet, container("c", b))),
			one(unsets(runtime, bare), "unset(c:/h)"),
			one(unsets(kubelet, bare)),
		}},
		"the same twice": {nil, []step{
			one(sets(runtime, container("c", a)), "set(c:/h)"),
			one(sets(runtime, container("c", a))),
		}},
		"a report replaces all of the source's earlier one": {nil, []step{
			one(sets(runtime, container("c", a, b)), "set(c:n/h)"),
			one(sets(runtime, container("c", a)), "set(c:/h)"),
		}},
		"came and went in one batch": {nil, []step{
			{[]wm.CollectorEvent{sets(runtime, container("c", a)), unsets(runtime, container("c", b, stopped))},
				[]string{"set(c:/h) unset(c:n/h)"}},
		}},
		"never there": {nil, []step{
			one(unsets(runtime, bare)),
			one(sets(runtime, container("c", a)), "set(c:/h)"),
			one(unsets(kubelet, bare)),
		}},
		"only unsets": {wm.NewFilter().Events(wm.EventTypeUnset), []step{
			one(sets(runtime, container("c", a))),
			one(sets(kubelet, container("c", b))),
			one(unsets(runtime, bare)), // a set is delivered to the others, so nothing here
			one(unsets(kubelet, bare), "unset(c:n/)"),
		}},
		"only sets": {wm.NewFilter().Events(wm.EventTypeSet), []step{
			one(sets(runtime, container("c", a)), "set(c:/h)"),
			one(sets(kubelet, container("c", b)), "set(c:n/h)"),
			one(unsets(runtime, bare), "set(c:n/)"),
			one(unsets(kubelet, bare)),
		}},
		"another kind": {wm.NewFilter().Kind(wm.KindKubernetesPod), []step{
			{[]wm.CollectorEvent{sets(runtime, container("c", a)), sets(kubelet, pod("p"))}, []string{"set(kubernetes_pod/p)"}},
			one(unsets(runtime, bare)),
		}},
		"what stops matching arrives as unset": {
			wm.NewFilter().Kind(wm.KindContainer,
				func(e wm.Entity) bool { return e.(*wm.Container).Hostname == "h" }), []step{
				one(sets(runtime, container("c", a)), "set(c:/h)"),
				one(sets(runtime, container("c", host("other"))), "unset(c:/h)"),
				one(sets(runtime, container("c", host("third")))),
				one(sets(runtime, container("c", a, b)), "set(c:n/h)"),
				one(unsets(runtime, bare), "unset(c:n/h)"),
			}},
		"one source, which says something at its end": {
			wm.NewFilter().Source(runtime).Events(wm.EventTypeUnset), []step{
				one(sets(runtime, container("c", a))),
				one(sets(kubelet, container("c"))),
				one(unsets(runtime, container("c", b)), "unset(c:n/h)"),
			}},
		"a predicate on a source's view": {
			wm.NewFilter().Source(kubelet).Kind(wm.KindContainer,
				func(e wm.Entity) bool { return e.(*wm.Container).Hostname == "" }), []step{
				one(sets(runtime, container("c", a))),
				one(sets(kubelet, container("c", b)), "set(c:n/)"),
			}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store.New(store.Options{OnMutation: failOnMutation(t)})
				defer s.Close()
				r := record(t, s, c.filter)
				r.want(t, "snapshot", "") // one bundle, even if empty
				for _, step := range c.steps {
					notify(t, s, step.events...)
					r.want(t, step.events[0].Type.String(), step.want...)
				}
			})
		})
	}
}

func failOnMutation(t *testing.T) func(wm.EntityID, wm.Source) {
	return func(id wm.EntityID, source wm.Source) {
		t.Errorf("%s of %s was written to", id, source)
	}
}

func TestSnapshotHoldsWhatMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		defer s.Close()
		notify(t, s, sets(runtime, container("c", host("h"))), sets(kubelet, pod("p")))
		all := record(t, s, nil).take()
		if len(all) != 1 || !all[0].Snapshot || len(all[0].Events) != 2 ||
			all[0].Revision != s.Revision() {
			t.Errorf("snapshot = %+v, want one bundle of 2 events at revision %d", all,
				s.Revision())
		}
		record(t, s, wm.NewFilter().Kind(wm.KindContainer)).want(t, "containers", "set(c:/h)")
		record(t, s, wm.NewFilter().Source(kubelet).Kind(wm.KindContainer)).want(t,
			"the kubelet's containers", "")
		record(t, s, wm.NewFilter().Events(wm.EventTypeUnset)).want(t, "unsets", "")
	})
}

func TestUnsetCarriesWhatTheEndRevealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		defer s.Close()
		died, code := time.Unix(1_700_000_000, 0), int64(0)
		r := record(t, s, wm.NewFilter().Events(wm.EventTypeUnset))
		notify(t, s,
			sets(runtime,
				container("c", named("n"), func(c *wm.Container) { c.State.Running = true })))
		notify(t, s, unsets(runtime, container("c", func(c *wm.Container) {
			c.State = wm.ContainerState{Status: wm.StatusStopped, FinishedAt: died, ExitCode: &code}
		})))
		bundles := r.take()
		last := bundles[len(bundles)-1].Events[0].Entity.(*wm.Container)
		if last.Name != "n" || last.State.Running || last.State.ExitCode == nil ||
			*last.State.ExitCode != 0 || !last.State.FinishedAt.Equal(died) {
			t.Errorf(
				"last state = %+v; want the name, the exit code 0 and the time of death, not running", last)
		}
	})
}

// The last words of a reporter that another of its source outlives are nobody's last state.
func TestLastWordsBesideAnotherReporterAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		defer s.Close()
		docker, containerd := modelReporters[0], modelReporters[1]
		r := record(t, s, nil)
		notify(t, s, says(docker, wm.EventTypeSet, container("c", named("n"))),
			says(containerd, wm.EventTypeSet, container("c")))
		r.take()
		notify(t, s, says(containerd, wm.EventTypeUnset, container("c", withIP("10.0.0.1"))))
		for _, b := range r.take() {
			for _, ev := range b.Events {
				t.Errorf("told of %s %+v", ev.Type, ev.Entity)
			}
		}
	})
}

func TestEventsCarryReportsAndCompleteness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		defer s.Close()
		s.Expect(wm.KindContainer, []wm.Source{kubelet, runtime})
		r := record(t, s, nil)
		r.take()
		notify(t, s, sets(runtime, container("c", host("h"))))
		ev := r.take()[0].Events[0]
		if ev.Complete || len(ev.Reports) != 1 || ev.Reports[0].Source != runtime {
			t.Errorf("after the runtime: complete %v, views %v", ev.Complete, ev.Reports)
		}
		notify(t, s, sets(kubelet, container("c", named("n"))))
		ev = r.take()[0].Events[0]
		if !ev.Complete || len(ev.Reports) != 2 || ev.Reports[0].Source != kubelet {
			t.Errorf("after the kubelet: complete %v, views %v; want the strongest first",
				ev.Complete, ev.Reports)
		}
		notify(t, s, unsets(kubelet, container("c")))
		if ev = r.take()[0].Events[0]; ev.Complete {
			t.Error("complete although the kubelet has withdrawn")
		}
		notify(t, s, unsets(runtime, container("c")))
		if ev = r.take()[0].Events[0]; ev.Complete || ev.Type != wm.EventTypeUnset {
			t.Errorf("end = %s, complete %v", ev.Type, ev.Complete)
		}
		s.Expect(wm.KindContainer, nil)
		notify(t, s, sets(runtime, container("d")), unsets(runtime, container("d")))
		events := r.take()[0].Events
		if end := events[len(events)-1]; end.Type != wm.EventTypeUnset || !end.Complete {
			t.Errorf("end of what was complete = %s, complete %v", end.Type, end.Complete)
		}
	})
}

func TestExpectPublishesWhatItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		defer s.Close()
		notify(t, s, sets(runtime, container("c")), sets(kubelet, container("d")),
			sets(kubelet, pod("p")))
		r := record(t, s, nil)
		r.take()
		s.Expect(wm.KindContainer, []wm.Source{kubelet})
		r.want(t, "the kubelet is expected", "set(c:/)")
		if s.IsComplete(id(wm.KindContainer, "c")) || !s.IsComplete(id(wm.KindContainer, "d")) ||
			s.IsComplete(id(wm.KindContainer, "x")) {
			t.Error("IsComplete is wrong")
		}
		s.Expect(wm.KindContainer, []wm.Source{kubelet})
		r.want(t, "expected already")
		s.Expect(wm.KindContainer, nil)
		r.want(t, "nobody is expected", "set(c:/)")
	})
}

func TestReusedPIDIsAnEndAndABeginning(t *testing.T) {
	const scan, discovery = wm.SourceProcess, wm.SourceServiceDiscovery
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{OnMutation: failOnMutation(t)})
		defer s.Close()
		notify(t, s, sets(scan, process(7, 100, "old")), sets(discovery, process(7, 100, "")))
		r := record(t, s, nil)
		r.take()
		notify(t, s, sets(scan, process(7, 200, "new")))
		r.want(t, "the scan notices", "unset(7@100) set(7@200)")
		notify(t, s,
			sets(discovery,
				&wm.Process{EntityID: id(wm.KindProcess, "7"), StartTicks: 100,
					Language: &wm.ProcessLanguage{Name: "go"}}))
		r.want(t, "another source has not noticed")
		notify(t, s, unsets(scan, process(7, 100, "")))
		r.want(t, "the end of the old process comes late")
		notify(t, s, sets(discovery, process(7, 300, "")))
		r.want(t, "another source notices first", "unset(7@200) set(7@300)")
		if views, _ := s.Reports(id(wm.KindProcess, "7")); len(views) != 1 ||
			views[0].Source != discovery {
			t.Errorf("views = %v, want the one of who noticed", views)
		}
		if got := collect(s.ProcessesOf("new")); len(got) != 0 {
			t.Errorf("the old process is still in its container: %v", got)
		}
	})
}

func TestNotifyAppliesTheRestAndNamesTheInvalid(t *testing.T) {
	s := store.New(store.Options{})
	defer s.Close()
	err := s.Notify([]wm.CollectorEvent{
		{Type: wm.EventTypeSet, Source: runtime},
		sets(runtime, (*wm.Container)(nil)),
		{Type: 9, Source: runtime, Entity: container("type")},
		sets("", container("source")),
		sets(runtime, container("")),
		sets(runtime, &wm.Container{EntityID: id(wm.KindProcess, "kind")}),
		sets(runtime, container("fine")),
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"no entity", "container/type", "container/source",
		"container without an ID", "process/kind"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	if _, err := s.GetContainer("fine"); err != nil || s.Len() != 1 {
		t.Errorf("%d entities, GetContainer(fine): %v; want the valid one", s.Len(), err)
	}
	if err := s.Notify(nil); err != nil || s.Revision() != 1 {
		t.Errorf("Notify(nil) = %v at revision %d", err, s.Revision())
	}
}

func TestPushIsAllOrNothing(t *testing.T) {
	s := store.New(store.Options{})
	defer s.Close()
	for name, bad := range map[string]wm.CollectorEvent{
		"container/x": {Type: wm.EventTypeSet, Source: kubelet, Entity: container("x")},
		"container/y": {Type: 0, Entity: container("y")},
	} {
		err := s.Push(runtime, wm.CollectorEvent{Type: wm.EventTypeSet, Entity: container("c")},
			bad)
		if err == nil || !strings.Contains(err.Error(), name) || s.Len() != 0 {
			t.Errorf("Push = %v with %d entities stored; want an error that names %s, and none",
				err, s.Len(), name)
		}
	}
	if err := s.Push("",
		wm.CollectorEvent{Type: wm.EventTypeSet, Entity: container("c")}); err == nil {
		t.Error("Push without a source: no error")
	}
	events := []wm.CollectorEvent{{Type: wm.EventTypeSet, Entity: container("c")}}
	if err := s.Push(runtime, events...); err != nil || s.Len() != 1 || events[0].Source != "" {
		t.Errorf("Push = %v, %d stored, the caller's event is from %q", err, s.Len(),
			events[0].Source)
	}
}

func TestResetMakesTheViewExactlyThis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		defer s.Close()
		notify(t, s, sets(runtime, container("a")), sets(runtime, container("b")),
			sets(kubelet, container("b", named("n"))),
			sets(kubelet, container("k")), sets(runtime, pod("p")))
		r := record(t, s, nil)
		r.take()
		if err := s.Reset(runtime, []wm.Entity{container("a"), container("new")}); err != nil {
			t.Fatal(err)
		}
		bundles := r.take()
		got := map[string]bool{}
		for _, ev := range bundles[0].Events {
			got[describe(ev)] = true
		}
		if len(bundles) != 1 || len(got) != 3 || !got["set(new:/)"] || !got["set(b:n/)"] ||
			!got["unset(kubernetes_pod/p)"] {
			t.Errorf("Reset delivered %v in %d bundles", got, len(bundles))
		}
		if err := s.Reset(runtime, []wm.Entity{container("z"), container("")}); err == nil ||
			s.Len() != 4 {
			t.Errorf("Reset with an invalid entity = %v, %d entities; want an error and no change",
				err, s.Len())
		}
		if err := s.Reset("", nil); err == nil {
			t.Error("Reset of no source: no error")
		}
		if err := s.Reset(runtime, nil); err != nil || s.Len() != 2 {
			t.Errorf("Reset(nil) = %v, %d entities; want the 2 of the kubelet", err, s.Len())
		}
	})
}

func TestNotifyWaitsForNoSubscriber(t *testing.T) {
	s := store.New(store.Options{})
	defer s.Close()
	sub := s.Subscribe("stalled", nil, wm.FirstTier)
	defer sub.Close()
	for b := range sub.Bundles(t.Context()) { // inside the loop the bundle is not acknowledged
		for range 3000 {
			notify(t, s, sets(runtime, container("c", withPID(s.Len()+int(s.Revision())))))
		}
		if c, err := s.GetContainer("c"); err != nil || c.PID == 0 {
			t.Errorf("readers do not see the change: %v", err)
		}
		if b.Snapshot {
			break
		}
	}
}

func TestSecondTierHearsAfterTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		defer s.Close()
		first := s.Subscribe("first", nil, wm.FirstTier)
		release := make(chan struct{})
		go func() {
			for range first.Bundles(t.Context()) {
				<-release
			}
		}()
		r := record(t, s, nil)
		release <- struct{}{} // the snapshot
		r.take()
		notify(t, s, sets(runtime, container("c", host("h"))))
		r.want(t, "the first tier is not done")
		release <- struct{}{}
		r.want(t, "the first tier is done", "set(c:/h)")
		close(release)
	})
}

func TestWaitSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		ctx, cancel := contextWithTimeout(t, time.Second)
		defer cancel()
		if err := s.WaitSynced(ctx); !errors.Is(err, ctx.Err()) || s.Synced() {
			t.Errorf("WaitSynced = %v, Synced = %v", err, s.Synced())
		}
		done := make(chan error)
		go func() { done <- s.WaitSynced(t.Context()) }()
		synctest.Wait()
		s.MarkSynced()
		s.MarkSynced()
		if err := <-done; err != nil || !s.Synced() {
			t.Errorf("WaitSynced = %v, Synced = %v", err, s.Synced())
		}
	})
}

func TestMutationIsReported(t *testing.T) {
	var got []string
	var s *store.Store
	s = store.New(store.Options{OnMutation: func(id wm.EntityID, source wm.Source) {
		got = append(got, id.String()+" of "+string(source))
		_ = s.Notify(nil)
		_ = s.Push(runtime) // the store's lock is free
	}})
	spoilt, kept, replaced := container("spoilt"), container("kept"), container("replaced")
	notify(t, s, sets(runtime, spoilt), sets(runtime, kept), sets(kubelet, replaced))
	replaced.Name = "x"
	notify(t, s, sets(kubelet, container("replaced", named("y"))))
	if len(got) != 1 || got[0] != "container/replaced of node_orchestrator" {
		t.Errorf("at the next report: %q", got)
	}
	spoilt.PID = 1
	s.Close()
	s.Close()
	if len(got) != 2 || got[1] != "container/spoilt of runtime" {
		t.Errorf("at Close: %q", got)
	}
}

func TestDumpIsSorted(t *testing.T) {
	s := store.New(store.Options{})
	defer s.Close()
	s.Expect(wm.KindContainer, []wm.Source{kubelet})
	notify(t, s, sets(kubelet, pod("a")), sets(runtime, container("c")),
		sets(runtime, container("b")), sets(kubelet, container("b", named("n"))))
	var got []string
	for _, d := range s.Dump() {
		line := d.Entity.GetID().String()
		for _, v := range d.Reports {
			line += " " + string(v.Source)
		}
		if d.Complete {
			line += " complete"
		}
		got = append(got, line)
	}
	want := "container/b node_orchestrator runtime complete; container/c runtime; kubernetes_pod/a node_orchestrator complete"
	if strings.Join(got, "; ") != want {
		t.Errorf("Dump = %q\nwant %q", got, want)
	}
}

func TestSubscriberResumesWhereItWas(t *testing.T) {
	s := store.New(store.Options{Bus: statebus.Options{LogChanges: 10}})
	t.Cleanup(s.Close)
	first := func(options ...wm.SubscribeOption) wm.Bundle {
		sub := s.Subscribe(t.Name(), wm.NewFilter().Kind(wm.KindContainer), options...)
		defer sub.Close()
		for b := range sub.Bundles(t.Context()) {
			b.Events = slices.Clone(b.Events)
			return b
		}
		return wm.Bundle{}
	}
	notify(t, s, sets(runtime, container("a")))
	at := wm.Position{Epoch: s.Epoch(), Revision: first().Revision}
	notify(t, s, sets(runtime, pod("p")), sets(runtime, container("b")),
		unsets(runtime, container("a")))
	if b := first(wm.Since(at)); b.Snapshot || len(b.Events) != 2 ||
		b.Events[0].Entity.GetID().ID != "b" || b.Events[1].Type != wm.EventTypeUnset {
		t.Errorf("resumed with %+v", b)
	}
	at.Epoch++
	if b := first(wm.Since(at)); !b.Snapshot || len(b.Events) != 1 {
		t.Errorf("at another store's position: %+v", b)
	}
}

// A second entity of a reporter is watched in place of its first.
func TestWritingToALaterEntityIsNoticed(t *testing.T) {
	var found []string
	s := store.New(store.Options{OnMutation: func(id wm.EntityID, source wm.Source) {
		found = append(found, id.ID+" of "+string(source))
	}})
	notify(t, s, sets(runtime, container("c", host("h"))))
	later := container("c", host("later"))
	notify(t, s, sets(runtime, later))
	later.Hostname = "written to"
	s.Close()
	if !slices.Equal(found, []string{"c of runtime"}) {
		t.Errorf("found %q", found)
	}
}

// Who follows a source that several report hears nothing of a change elsewhere.
func TestASourceOfSeveralReportersIsFollowedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{OnMutation: failOnMutation(t)})
		defer s.Close()
		docker := &wm.Reporter{Name: "docker", Source: runtime, Rank: 2}
		containerd := &wm.Reporter{Name: "containerd", Source: runtime, Rank: 1}
		notify(t, s, says(docker, wm.EventTypeSet, container("c", host("h"))),
			says(containerd, wm.EventTypeSet, container("c", named("n"))))
		r := record(t, s, wm.NewFilter().Source(runtime))
		r.want(t, "snapshot", "set(c:n/h)")
		notify(t, s, sets(kubelet, container("c", named("web"))))
		r.want(t, "another source")
		notify(t, s, says(containerd, wm.EventTypeSet, container("c", named("m"))))
		r.want(t, "the weaker of the source", "set(c:m/h)")
	})
}

func TestExpectedIsWhatWasSaidLast(t *testing.T) {
	s := newStore(t)
	if got := s.Expected(wm.KindContainer); got != nil {
		t.Errorf("at first %q are expected", got)
	}
	s.Expect(wm.KindContainer, []wm.Source{runtime, kubelet})
	if got := s.Expected(wm.KindContainer); !slices.Equal(got, []wm.Source{runtime, kubelet}) {
		t.Errorf("expected %q", got)
	}
	if got := s.Expected(wm.KindKubernetesPod); got != nil {
		t.Errorf("of another kind %q are expected", got)
	}
}
