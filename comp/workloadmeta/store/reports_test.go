package store_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// Service discovery does not know when a process has started, and tells of the end of an older
// one of that number.
func TestEndOfAnOldProcessIsNotMixedIntoTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{OnMutation: failOnMutation(t)})
		defer s.Close()
		notify(t, s, sets(wm.SourceServiceDiscovery, process(7, 0, "")),
			sets(wm.SourceProcess, process(7, 200, "new")))
		r := record(t, s, nil)
		r.take()
		notify(t, s, unsets(wm.SourceServiceDiscovery, process(7, 1, "old")))
		r.want(t, "the end of another process")
		if p, err := s.GetProcess(7); err != nil || p.StartTicks != 200 || p.ContainerID != "new" {
			t.Errorf("process 7 is %+v, %v", p, err)
		}
	})
}

// Two collectors of one source, of which one has not noticed that a process ID was reused.
func TestReportersOfOneSourceAndAReusedPID(t *testing.T) {
	slow := &wm.Reporter{Name: "a", Source: wm.SourceProcess, Rank: 2}
	quick := &wm.Reporter{Name: "b", Source: wm.SourceProcess, Rank: 1}
	old := &wm.Process{EntityID: id(wm.KindProcess, "7"), PID: 7, StartTicks: 1, Exe: "/old"}
	now := &wm.Process{EntityID: id(wm.KindProcess, "7"), PID: 7, StartTicks: 200, Name: "new"}
	for _, order := range [][]wm.CollectorEvent{
		{says(slow, wm.EventTypeSet, old), says(quick, wm.EventTypeSet, now)},
		{says(quick, wm.EventTypeSet, now), says(slow, wm.EventTypeSet, old)},
	} {
		s := newStore(t, order...)
		if p, err := s.GetProcess(7); err != nil || !p.Equal(now) {
			t.Errorf("process 7 is %+v, %v", p, err)
		}
	}
}

// No mixture of two reporters is in a state that none of them has seen.
func TestObservationIsOneUnit(t *testing.T) {
	code := int64(1)
	s := newStore(t, sets(kubelet, container("c", named("web"), func(c *wm.Container) {
		c.State.Running, c.State.Status, c.RestartCount = true, wm.StatusRunning, 3
		c.PID = 42
	})), sets(runtime, container("c", func(c *wm.Container) {
		c.State.Status, c.State.ExitCode = wm.StatusStopped, &code
	})), sets(cluster, pod("p", func(p *wm.KubernetesPod) {
		p.Ready, p.Phase = true, "Running"
		p.Containers = []wm.OrchestratorContainer{{Name: "app"}, {ID: "old", Name: "side"}}
	})), sets(kubelet, pod("p", func(p *wm.KubernetesPod) {
		p.Phase = "Running"
		p.Containers = []wm.OrchestratorContainer{{ID: "c", Name: "app"}, {ID: "new", Name: "side"}}
	})))
	c, _ := s.GetContainer("c")
	if c.State.Running || c.PID != 0 || c.RestartCount != 0 || *c.State.ExitCode != 1 ||
		c.Name != "web" {
		t.Errorf("container: %+v", c)
	}
	p, _ := s.GetKubernetesPod("p")
	if p.Ready || len(p.Containers) != 2 || p.Containers[0].ID != "c" ||
		p.Containers[1].ID != "new" {
		t.Errorf("pod: %+v", p)
	}
}

// What the best observer leaves open comes only from those who agree that it runs.
func TestNothingIsFilledInFromWhoDisagrees(t *testing.T) {
	s := newStore(t, sets(runtime, container("c", func(c *wm.Container) {
		c.State.Running, c.State.Status = true, wm.StatusRunning
	})), sets(wm.SourceProcess, container("c", withPID(7), func(c *wm.Container) {
		c.State.Status, c.State.Health = wm.StatusStopped, wm.HealthHealthy
	})), sets(kubelet, container("c", withPID(8), func(c *wm.Container) {
		c.State.Running, c.State.Status = true, wm.StatusRunning
	})))
	if c, _ := s.GetContainer("c"); c.PID != 8 || c.State.Health != "" {
		t.Errorf("PID %d, health %q; want those of who says that it runs", c.PID, c.State.Health)
	}
}

// A reporter that is away counts for what nobody else knows, and for nothing else.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{OnMutation: failOnMutation(t)})
		defer s.Close()
		docker, containerd := modelReporters[0], modelReporters[1]
		state := func(status wm.ContainerStatus, name string) *wm.Container {
			return container("c", named(name), func(c *wm.Container) {
				c.State.Status, c.State.Running = status, status == wm.StatusRunning
			})
		}
		running := says(docker, wm.EventTypeSet, state(wm.StatusRunning, "web"))
		other := says(containerd, wm.EventTypeSet, state(wm.StatusPaused, "c"))
		notify(t, s, running, other)
		r := record(t, s, nil)
		r.take()
		status := func() string {
			c, err := s.GetContainer("c")
			if err != nil {
				return "none"
			}
			return c.Name + " " + string(c.State.Status)
		}
		want := func(what, want string) {
			t.Helper()
			if got := status(); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		ids := []wm.EntityID{id(wm.KindContainer, "c"), id(wm.KindContainer, "unknown")}
		s.Away(docker, ids)
		want("docker is away", "web paused")
		r.want(t, "docker is away", "set(c:web/)")
		notify(t, s, running)
		want("docker is back", "web running")
		s.Away(containerd, ids)
		want("containerd is away", "web running")
		s.Away(docker, ids)
		want("both are away", "web running")
		reports, _ := s.Reports(ids[0])
		if reports[0].State != wm.Away || reports[1].State != wm.Away {
			t.Errorf("reports %+v", reports)
		}
		r.take()
		notify(t, s, running, other)
		r.want(t, "both are back and say the same")
		s.Away(docker, ids)
		notify(t, s, says(containerd, wm.EventTypeUnset, container("c")))
		want("who is live says that it is gone", "none")
	})
}

// The entities are a function of the reports, whatever the order in which independent ones come.
func TestOrderOfReportsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// What each reporter does, in its own order.
		var all [][]func(*store.Store)
		for _, by := range modelReporters {
			var own []func(*store.Store)
			held := map[wm.EntityID]bool{}
			for range rapid.IntRange(0, 6).Draw(rt, "reports") {
				e := drawEntity(rt)
				held[e.GetID()] = true
				own = append(own, func(s *store.Store) {
					_ = s.Notify([]wm.CollectorEvent{says(by, wm.EventTypeSet, e)})
				})
			}
			if by.Name != string(by.Source) && rapid.Bool().Draw(rt, "away") {
				ids := slices.Collect(maps.Keys(held))
				own = append(own, func(s *store.Store) { s.Away(by, ids) })
			}
			all = append(all, own)
		}
		play := func(seed uint64) []wm.DumpedEntity {
			s := store.New(store.Options{})
			defer s.Close()
			rng := rand.New(rand.NewPCG(seed, 0))
			left := slices.Clone(all)
			for len(left) > 0 {
				i := rng.IntN(len(left))
				if len(left[i]) == 0 {
					left = slices.Delete(left, i, i+1)
					continue
				}
				left[i][0](s)
				left[i] = left[i][1:]
			}
			return s.Dump()
		}
		first := play(1)
		for seed := range uint64(5) {
			again := play(seed + 2)
			if !slices.EqualFunc(first, again, func(a, b wm.DumpedEntity) bool {
				return a.Entity.Equal(b.Entity) && slices.EqualFunc(a.Reports, b.Reports,
					func(a, b wm.Report) bool { return a.SameFacts(&b) })
			}) {
				rt.Fatalf("another order, another world:\n%v\n%v", first, again)
			}
		}
	})
}
