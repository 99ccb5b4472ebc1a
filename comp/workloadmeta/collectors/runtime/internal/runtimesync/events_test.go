package runtimesync

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// What events tell by themselves is reported before the inspection that follows them has come.
func TestWhatEventsTellIsReportedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, func(c *Container) {
			c.Entity.State.Health = workloadmeta.HealthUnknown
		})
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(20 * time.Second) // past the comparison after connecting
		inspected := b.called("inspect")
		b.send(Event{Action: ActionHealth, Key: "a", Detail: "unhealthy"})
		time.Sleep(time.Second)
		if h := w.Container("a").State.Health; h != workloadmeta.HealthUnhealthy ||
			b.called("inspect") != inspected {
			t.Errorf("health = %v after %d inspections", h, b.called("inspect")-inspected)
		}
		b.send(Event{Action: ActionHealth, Key: "a"})
		time.Sleep(time.Second)
		if n := b.called("inspect") - inspected; n != 1 {
			t.Errorf("%d inspections when only an inspection can tell", n)
		}
		b.with(func() { b.slow = 5 * time.Second })
		for _, step := range []struct {
			event  Event
			name   string
			status workloadmeta.ContainerStatus
			health workloadmeta.ContainerHealth
		}{
			{Event{Action: ActionRenamed, Detail: "new"}, "new", workloadmeta.StatusRunning, workloadmeta.HealthUnknown},
			{Event{Action: ActionRenamed}, "new", workloadmeta.StatusRunning, workloadmeta.HealthUnknown},
			{Event{Action: ActionHealth, Detail: "healthy"}, "new", workloadmeta.StatusRunning, workloadmeta.HealthHealthy},
			{Event{Action: ActionPaused}, "new", workloadmeta.StatusPaused, workloadmeta.HealthUnknown},
			{Event{Action: ActionHealth, Detail: "healthy"}, "new", workloadmeta.StatusPaused, workloadmeta.HealthUnknown},
			{Event{Action: ActionResumed}, "new", workloadmeta.StatusRunning, workloadmeta.HealthUnknown},
		} {
			step.event.Key = "a"
			b.send(step.event)
			synctest.Wait()
			c := w.Container("a")
			if c.Name != step.name || c.State.Status != step.status ||
				c.State.Health != step.health {
				t.Errorf("after %+v: %s, %+v", step.event, c.Name, c.State)
			}
		}
		time.Sleep(time.Minute) // for the inspections
		r.Stop()
	})
}

// A container that is started again by its policy is there all the time.
func TestWhatIsRestartedIsNotReportedAsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, func(c *Container) {
			c.Policy, c.Entity.PID, c.Entity.CgroupInode = "always", 7, 70
		})
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(20 * time.Second)
		w.News()
		code := int64(1)
		b.with(func() { b.slow = 5 * time.Second })
		b.send(Event{Action: ActionEnded, Key: "a", ExitCode: &code, At: time.Now()})
		time.Sleep(2 * time.Second)
		c := w.Container("a")
		if c == nil || c.State.Status != workloadmeta.StatusRestarting ||
			c.State.ExitCode == nil || *c.State.ExitCode != 1 || c.PID != 0 ||
			c.CgroupInode != 0 {
			t.Errorf("told %q; a = %+v", w.News(), c)
		}
		time.Sleep(time.Minute) // for the inspections
		r.Stop()
	})
}

// Once synced, inspections are limited: a thousand containers that change must not cost a runtime
// a thousand at a time. The first ones are not.
func TestInspectionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		const n = 20
		for i := range n {
			b.run(fmt.Sprint(i), fmt.Sprint(i), "", nil)
		}
		r := follow(t, newSyncer(t, func(o *Options) { o.InspectRate, o.InspectBurst = 10, 5 }),
			b, w)
		synctest.Wait()
		if got := b.called("inspect"); got != n || w.Synced() != 1 {
			t.Errorf("%d inspections to begin with, synced %d times", got, w.Synced())
		}
		time.Sleep(5 * time.Second)
		for i := range n {
			b.send(Event{Action: ActionChanged, Key: fmt.Sprint(i)})
		}
		synctest.Wait()
		if got := b.called("inspect") - n; got != 5 {
			t.Errorf("%d at once, want 5", got)
		}
		time.Sleep(time.Second)
		if got := b.called("inspect") - n; got < 14 || got > 15 {
			t.Errorf("%d after a second, want 15", got)
		}
		time.Sleep(time.Second)
		if got := b.called("inspect") - n; got != n {
			t.Errorf("%d after two seconds, want all", got)
		}
		r.Stop()
	})
}

// Stats.Differences counts what lists told that events had not, each once.
func TestDifferencesAreCounted(t *testing.T) {
	for _, complete := range []bool{false, true} {
		t.Run(fmt.Sprint("complete ", complete), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
				edit := func(name string) func(*Container) {
					return func(c *Container) { c.Complete, c.Entity.Name = complete, name }
				}
				b, w := newFakeClient(), collectortest.NewWorld()
				for _, key := range []string{"same", "changed", "ended"} {
					b.run(key, key, id("1"), edit(key))
				}
				b.images[id("1")] = fakeImage(id("1"), 0, "app:1")
				b.images[id("2")] = fakeImage(id("2"), 0, "app:2")
				b.images[id("3")] = fakeImage(id("3"), 0, "app:3")
				f := newSyncer(t, nil)
				r := follow(t, f, b, w)
				time.Sleep(20 * time.Second)
				if n := f.Stats().Differences; n != 0 {
					t.Errorf("%d differences although nothing changed", n)
				}
				b.run("new", "new", id("1"), edit("new"))
				b.run("changed", "changed", id("1"), edit("other"))
				b.with(func() {
					delete(b.containers, "ended")
					delete(b.images, id("2"))
					b.images[id("3")] = fakeImage(id("3"), 0, "app:4")
					b.images[id("5")] = fakeImage(id("5"), 0, "app:5")
				})
				b.send(Event{Action: ActionCompare})
				time.Sleep(20 * time.Second)
				if n := f.Stats().Differences; n != 6 {
					t.Errorf("%d differences, want 6", n)
				}
				b.send(Event{Action: ActionCompare})
				time.Sleep(20 * time.Second)
				if n := f.Stats().Differences; n != 6 {
					t.Errorf("%d differences after nothing more has changed, want 6", n)
				}
				if w.Container("ended") != nil || w.Container("new") == nil ||
					w.Container("changed").Name != "other" || w.Image(id("2")) != nil ||
					w.Image(id("5")) == nil || w.Image(id("3")).RepoTags[0] != "app:4" {
					t.Errorf("told %q", w.News())
				}
				r.Stop()
			})
		})
	}
}

// After a loss every container is looked at, because a list need not show that one has ended and
// was started again.
func TestAfterALossContainersAreInspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", "", nil)
		b.run("b", "b", "", nil)
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(20 * time.Second)
		inspected := b.called("inspect")
		b.send(Event{Name: "garbage"})
		time.Sleep(time.Second)
		if n := b.called("inspect") - inspected; n != 2 {
			t.Errorf("%d inspections, want 2", n)
		}
		r.Stop()
	})
}

// A list that was asked for before an end may come after it.
func TestAListOnItsWayBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image2 := "sha256:" + strings.Repeat("cd", 32)
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, nil)
		b.images[image1], b.images[image2] = fakeImage(image1, 0, "app:1"), fakeImage(image2,
			0, "b:1")
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(20 * time.Second)
		w.News()
		b.with(func() { b.slowList = 3 * time.Second })
		b.send(Event{Action: ActionCompare})
		time.Sleep(time.Second)
		b.with(func() { delete(b.containers, "a"); delete(b.images, image2) })
		b.send(Event{Action: ActionEnded, Key: "a", At: time.Now()},
			Event{Action: ActionRemoved, Key: "a"},
			Event{Action: ActionImageRemoved, Key: image2})
		time.Sleep(8 * time.Second)
		if w.Container("a") != nil || w.Image(image2) != nil || w.Image(image1) == nil ||
			strings.Contains(w.News(), "set ") && strings.Count(w.News(), "set ") > 2 {
			t.Errorf("a = %v, image = %v", w.Container("a"), w.Image(image2))
		}
		r.Stop()
	})
}

// A list that leaves images out says nothing of one that a container is made of.
func TestAnImageInUseThatListsLeaveOutStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image2 := "sha256:" + strings.Repeat("cd", 32)
		b, w := newFakeClient(), collectortest.NewWorld()
		b.someImages = true
		b.run("a", "a", image1, nil)
		b.images[image1], b.images[image2] = fakeImage(image1, 0, "app:1"), fakeImage(image2,
			0, "b:1")
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Second)
		b.with(func() { clear(b.images) })
		time.Sleep(20 * time.Second)
		if w.Image(image1) == nil || w.Image(image2) != nil {
			t.Errorf("in use: %v, not in use: %v", w.Image(image1), w.Image(image2))
		}
		r.Stop()
	})
}

// Without images, those of containers are still asked for, once each, and no others.
func TestWithoutImagesThoseOfContainersAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image2 := "sha256:" + strings.Repeat("cd", 32)
		byID := func(c *Container) { c.Entity.Image.RawName = image1 }
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("a", "a", image1, byID)
		r := follow(t, newSyncer(t, func(o *Options) { o.NoImages = true }), b, w)
		time.Sleep(time.Second)
		if n := b.called("image"); n != 1 || w.Container("a").Image.Tag != "" {
			t.Errorf("%d inspections of an image that nobody knows; %+v", n,
				w.Container("a").Image)
		}
		b.with(func() {
			b.images[image1], b.images[image2] = fakeImage(image1, 0, "app:1"),
				fakeImage(image2, 0, "b:1")
		})
		b.send(Event{Action: ActionImageChanged, Key: image2})
		time.Sleep(time.Second)
		if n := b.called("image"); n != 1 {
			t.Errorf("%d inspections; nobody uses that image", n-1)
		}
		b.send(Event{Action: ActionImageChanged, Key: image1})
		time.Sleep(time.Second)
		if i := w.Container("a").Image; i.Name != "app" || b.called("image") != 2 {
			t.Errorf("%+v after %d inspections", i, b.called("image"))
		}
		// Lists tell of other names as well.
		b.with(func() { b.images[image1] = fakeImage(image1, 0, "app:2") })
		time.Sleep(20 * time.Second)
		if i := w.Container("a").Image; i.Tag != "2" {
			t.Errorf("after a list: %+v", i)
		}
		if w.Image(image1) != nil {
			t.Error("an image is reported")
		}
		r.Stop()
	})
}

// An image that has lost its names is still the one that its containers were started from.
func TestAContainerKeepsItsImagesNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		digest := "app@sha256:" + strings.Repeat("12", 32)
		names := mapping.NewImageNames(image1, []string{"app:1"}, []string{digest})
		b, w := newFakeClient(), collectortest.NewWorld()
		b.run("by-id", "by-id", image1, func(c *Container) { c.Entity.Image.RawName = image1 })
		b.run("by-name", "by-name", image1, nil)
		b.images[image1] = Image{Entity: names.NewImage(), Complete: true}
		f := newSyncer(t, nil)
		r := follow(t, f, b, w)
		time.Sleep(time.Second)
		check := func(when string) {
			t.Helper()
			for _, key := range []string{"by-id", "by-name"} {
				c := w.Container(key)
				if i := c.Image; i.ID != image1 || i.Name != "app" || i.Tag != "1" ||
					!strings.HasSuffix(digest, i.RepoDigest) || i.RepoDigest == "" {
					t.Errorf("%s: the image of %s = %+v", when, key, i)
				}
			}
		}
		check("started")
		b.with(func() { b.images[image1] = fakeImage(image1, 0) })
		b.send(Event{Action: ActionImageChanged, Key: image1},
			Event{Action: ActionChanged, Key: "by-id"}, Event{Action: ActionChanged,
				Key: "by-name"})
		time.Sleep(time.Minute)
		check("untagged")
		// Over a new connection, both are there again, and nothing else is told.
		r.Stop()
		w.News()
		r = follow(t, f, b, w)
		time.Sleep(time.Minute)
		if w.Image(image1) == nil || strings.Contains(w.News(), "unset") {
			t.Errorf("image = %v; told %q", w.Image(image1), w.News())
		}
		check("reconnected")
		b.with(func() { delete(b.images, image1) })
		b.send(Event{Action: ActionImageRemoved, Key: image1})
		time.Sleep(time.Second)
		looked := b.called("image")
		b.send(Event{Action: ActionChanged, Key: "by-id"},
			Event{Action: ActionChanged, Key: "by-name"})
		time.Sleep(time.Second)
		if n := b.called("image") - looked; n != 0 {
			t.Errorf("%d inspections of an image that is known to be gone", n)
		}
		check("gone")
		r.Stop()
	})
}

// The names of events are the runtime's, so their number is bounded.
func TestNamesOfEventsAreBounded(t *testing.T) {
	s := Stats{Events: map[string]int{}}
	for i := range maxActions + 10 {
		s.event(fmt.Sprint(i), time.Now())
	}
	s.event("0", time.Now())
	if s.Events["0"] != 2 || s.Events["other"] != 10 || len(s.Events) != maxActions+1 {
		t.Errorf("%d names; %v", len(s.Events), s.Events)
	}
}

// The end of a pause container may overtake the inspection that tells what it is.
func TestASandboxThatEndsBeforeItIsKnownStaysOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(20 * time.Second)
		b.with(func() { b.slow = 20 * time.Millisecond })
		b.run("pause", "pause", image1, func(c *Container) { c.Sandbox = true })
		b.send(Event{Action: ActionCreated, Key: "pause"})
		time.Sleep(10 * time.Millisecond)
		b.send(Event{Action: ActionEnded, Key: "pause", At: time.Now()})
		time.Sleep(time.Minute)
		if got := w.News(); got != "" {
			t.Errorf("told %q", got)
		}
		r.Stop()
	})
}
