package runtimesync

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// create puts a container there that does not run.
func (b *fakeClient) create(key string, edit func(*Container)) {
	b.run(key, key, image1, func(c *Container) {
		c.Entity.State = workloadmeta.ContainerState{Status: workloadmeta.StatusCreated,
			CreatedAt: time.Now()}
		c.Entity.EnvVars = map[string]string{"DD_SERVICE": "job"}
		if edit != nil {
			edit(c)
		}
	})
	b.send(Event{Action: ActionCreated, Key: key})
}

// startEvent is what a runtime tells of a start.
func startEvent(key string) Event {
	c := mapping.NewContainer(key, "fake")
	c.Name, c.Image.RawName, c.PID, c.CgroupInode = "started-"+key, "app:1", 42, 420
	c.State = workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning,
		StartedAt: time.Now()}
	return Event{Action: ActionStarted, Key: key, Container: c, At: time.Now()}
}

// Known bug: of ten containers that lived shorter than an inspection takes, nine had no service.
func TestShortLifeKeepsWhatWasKnownBeforeIt(t *testing.T) {
	var zero int64
	for name, between := range map[string]func(){
		"inspected before the start": func() { time.Sleep(150 * time.Millisecond) },
		"start overtakes the answer": func() { synctest.Wait() },
	} {
		for _, policy := range []string{"no", "always"} {
			t.Run(name+", policy "+policy, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, w := newFakeClient(), collectortest.NewWorld()
					r := follow(t, newSyncer(t, nil), b, w)
					time.Sleep(time.Second)
					b.with(func() { b.slow = 20 * time.Millisecond })
					b.create("job", func(c *Container) { c.Policy = policy })
					between()
					if got := w.News(); got != "" {
						t.Errorf("before its start: %q", got)
					}
					at := time.Now()
					b.send(startEvent("job"))
					b.with(func() { delete(b.containers, "job") })
					time.Sleep(40 * time.Millisecond)
					b.send(Event{Action: ActionEnded, Key: "job", ExitCode: &zero, At: time.Now()},
						Event{Action: ActionRemoved, Key: "job"})
					time.Sleep(5 * time.Second)
					if got := w.News(); got != "set job, unset job exit 0" {
						t.Errorf("told %q", got)
					}
					c := w.Ended("job")
					if c == nil || c.EnvVars["DD_SERVICE"] != "job" ||
						!c.State.StartedAt.Equal(at) || c.State.CreatedAt.IsZero() ||
						c.Name != "started-job" {
						t.Errorf("last state: %+v", c)
					}
					r.Stop()
				})
			})
		}
	}
}

// A runtime that is slow to tell more: what is reported in the meantime has the environment and
// runs.
func TestStartIsReportedWithWhatWasKnownBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Second)
		b.create("job", nil)
		time.Sleep(time.Minute) // a list or two
		b.with(func() { b.slow = 3 * time.Second })
		b.send(startEvent("job"))
		b.run("job", "job", image1, func(c *Container) { c.Entity.Hostname = "inspected" })
		time.Sleep(time.Second)
		if c := w.Container("job"); c == nil || c.EnvVars["DD_SERVICE"] != "job" ||
			!c.State.Running || c.PID != 42 || c.CgroupInode != 420 ||
			c.State.Status != workloadmeta.StatusRunning {
			t.Errorf("in the meantime: %+v", c)
		}
		time.Sleep(5 * time.Second)
		if c := w.Container("job"); c.Hostname != "inspected" {
			t.Errorf("afterwards: %+v", c)
		}
		// Of one that is reported, a creation is no news: it is about to be started again.
		b.create("job", nil)
		time.Sleep(5 * time.Second)
		if got := w.News(); got != "set job, set job" {
			t.Errorf("told %q", got)
		}
		r.Stop()
	})
}

func TestWhatIsKnownOfCreatedContainersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		f := newSyncer(t, func(o *Options) { o.ResyncEvery = time.Minute })
		left := func(step, want string, play func()) {
			t.Helper()
			r := follow(t, f, b, w)
			time.Sleep(time.Second)
			play()
			r.Stop()
			got := fmt.Sprint(f.machine.notStarted.Keys())
			if want == "all" && f.machine.notStarted.Len() == maxCreated {
				return
			}
			if got != want || len(f.machine.containers) != 0 {
				t.Errorf("%s: %s is known, want %s; %d containers", step, got, want,
					len(f.machine.containers))
			}
		}
		left("created", "[a b c]", func() {
			for _, key := range []string{"a", "b", "c"} {
				b.create(key, nil)
				time.Sleep(time.Second)
			}
		})
		left("removed", "[b c]", func() {
			b.with(func() { delete(b.containers, "a") })
			b.send(Event{Action: ActionRemoved, Key: "a"})
			time.Sleep(time.Second)
		})
		left("gone from the list", "[c]", func() {
			b.with(func() { delete(b.containers, "b") })
			time.Sleep(time.Minute + 10*time.Second)
		})
		left("many", "all", func() {
			for i := range 2 * maxCreated {
				b.create(fmt.Sprint("c", i), nil)
			}
			time.Sleep(time.Minute)
		})
		b.with(func() {
			maps.DeleteFunc(b.containers, func(string, Container) bool { return true })
		})
		left("a new connection", "[]", func() {})
		if got := w.News(); got != "" {
			t.Errorf("told %q", got)
		}
	})
}
