package docker_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimetest"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

const (
	imageA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	imageB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	digest = "sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
)

func TestCgroup(t *testing.T) {
	root, inode := runtimetest.Machine(t, 1000, "/docker/c1")
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.image("load", imageA, []string{"app:1"}, nil)
		running := f.run(&fakeContainer{ID: "c1", ImageID: imageA})
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, func(o *docker.Options) { o.ProcRoot = root }), w)
		synctest.Wait()
		if c := w.Container("c1"); c.PID != 1000 || c.CgroupPath != "/docker/c1" ||
			c.CgroupInode != inode {
			t.Errorf("container = %+v", c)
		}
		f.die(running, 0)
		time.Sleep(time.Minute)
		if c := w.Ended("c1"); c == nil || c.PID != 0 || c.CgroupInode != 0 {
			t.Errorf("ended as %+v", c)
		}
		s.Stop()
	})
}

func TestFirstPassIsCompleteWhenSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.image("load", imageA, []string{"app:1"}, []string{"app@" + digest})
		f.run(&fakeContainer{ID: "c1", ImageID: imageA, IPs: map[string]string{"front": "10.0.0.2"},
			Env: []string{"DD_ENV=prod", "SECRET=x"}})
		f.run(&fakeContainer{ID: "c2", ImageID: imageA})
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		if w.Synced() != 1 {
			t.Fatal("not synced")
		}
		got := w.Container("c1")
		if got == nil || got.PID != 1000 || got.Hostname != "h-c1" ||
			got.EnvVars["DD_ENV"] != "prod" || len(got.EnvVars) != 1 ||
			got.Image.RepoDigest != digest || got.Image.Name != "app" ||
			got.NetworkIPs["front"] != "10.0.0.2" {
			t.Errorf("container = %+v", got)
		}
		if i := w.Image(imageA); i == nil || i.OS != "linux" || len(i.Layers) != 1 ||
			i.Layers[0].Digest != "sha256:layer-of-"+imageA {
			t.Errorf("image = %+v", i)
		}
		if first := w.Changes()[0].Entity.GetID().Kind; first != workloadmeta.KindContainerImage {
			t.Errorf("the first thing reported is a %s", first)
		}
		// A list has no environment: an earlier report would be a container without its service.
		if h := w.History("c1"); h != "set" {
			t.Errorf("c1: %s, want one report, with what the inspection tells", h)
		}
		st := c.Stats()
		if st.Containers != 2 || st.Images != 1 || st.Inspects["ok"] != 3 || st.QueueDepth != 0 {
			t.Errorf("stats = %+v", st)
		}
		s.Stop()
	})
}

func TestHangingInspectDelaysOnlyItsOwnContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		for i := range 20 {
			f.run(&fakeContainer{ID: fmt.Sprintf("c%02d", i)})
		}
		release := f.Hang("/containers/c05/json")
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		begin := time.Now()
		s := start(t, c, w)
		synctest.Wait()
		if got := w.Container("c05"); got != nil {
			t.Errorf("c05 is reported before its inspection has had time: %+v", got)
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		for i := range 20 {
			got := w.Container(fmt.Sprintf("c%02d", i))
			if got == nil || got.PID == 0 && i != 5 {
				t.Fatalf("container %d = %+v", i, got)
			}
		}
		if w.Synced() != 0 {
			t.Error("synced although an inspection is on its way")
		}
		time.Sleep(2100 * time.Millisecond)
		synctest.Wait()
		if w.Synced() != 1 {
			t.Errorf("not synced after %v", time.Since(begin))
		}
		f.run(&fakeContainer{ID: "new"})
		synctest.Wait()
		if w.Container("new") == nil {
			t.Error("a new container is not reported")
		}
		time.Sleep(time.Hour)
		// 5 s, then 10, 20, … up to 5 min apart, and 5 s each.
		if n := f.Count("inspect c05"); n > 20 {
			t.Errorf("%d inspections in an hour", n)
		}
		if st := c.Stats(); st.BreakerOpen != 1 || st.Inspects["timeout"] < 10 {
			t.Errorf("stats = %+v", st)
		}
		release()
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if got := w.Container("c05"); got.PID == 0 {
			t.Errorf("container = %+v after it answers again", got)
		}
		s.Stop()
	})
}

func TestShortLivedContainers(t *testing.T) {
	for _, tc := range []struct {
		name string
		play func(f *fakeDocker, c *fakeContainer)
		rich bool
	}{
		{"gone before it can be inspected", func(f *fakeDocker, c *fakeContainer) {
			f.Fail(func(r *http.Request) func(http.ResponseWriter) {
				if strings.Contains(r.URL.Path, "/containers/short/") {
					return func(w http.ResponseWriter) {
						fail(w, http.StatusNotFound, "No such container: short")
					}
				}
				return nil
			})
			f.run(c)
			time.Sleep(30 * time.Millisecond)
			f.die(c, 3)
			f.destroy(c)
		}, false},
		{"ends while it is inspected", func(f *fakeDocker, c *fakeContainer) {
			release := f.Hang("/containers/short/")
			f.run(c)
			synctest.Wait()
			f.die(c, 3)
			synctest.Wait()
			release() // the late answer shows it has ended
			time.Sleep(50 * time.Millisecond)
			f.destroy(c)
		}, true},
		{"ends and is removed while it is inspected", func(f *fakeDocker, c *fakeContainer) {
			release := f.Hang("/containers/short/")
			f.run(c)
			synctest.Wait()
			f.die(c, 3)
			f.destroy(c)
			synctest.Wait()
			release()
		}, false},
		{"all at once", func(f *fakeDocker, c *fakeContainer) {
			f.run(c)
			f.die(c, 3)
			f.destroy(c)
		}, false},
		{"inspected, then removed", func(f *fakeDocker, c *fakeContainer) {
			f.run(c)
			synctest.Wait()
			f.die(c, 3)
			f.destroy(c)
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := inMemory(t)
				w := collectortest.NewWorld()
				s := start(t, newCollector(t, f, nil), w)
				synctest.Wait()
				tc.play(f, &fakeContainer{ID: "short", Labels: map[string]string{"team": "blue"}})
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if h := w.History("short"); h != "set unset" {
					t.Errorf("told %s, want one set and one unset", h)
				}
				got := w.Ended("short")
				if collectortest.ExitOf(got) != "3" || got.State.FinishedAt.IsZero() ||
					got.State.Running || got.Labels["team"] != "blue" ||
					got.Name != "name-short" || got.Image.Name != "app" {
					t.Errorf("last state = %+v", got)
				}
				if tc.rich && got.Hostname == "" {
					t.Errorf("the inspection was not used: %+v", got)
				}
				s.Stop()
			})
		})
	}
}

// TestLateInspectNeverRevives holds back the answer to an inspection of a running container until
// it has ended.
func TestLateInspectNeverRevives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.run(&fakeContainer{ID: "c1"})
		c1 := f.containers["c1"]
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, nil), w)
		synctest.Wait()

		answered := make(chan struct{})
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if !strings.Contains(r.URL.Path, "/containers/c1/") {
				return nil
			}
			return func(w http.ResponseWriter) {
				f.inspectContainer(w, "c1") // as it is now
				<-answered
			}
		})
		time.Sleep(time.Second)
		f.with(func(f *fakeDocker) { f.event("container", "update", "c1", f.attributes(c1)) })
		synctest.Wait()
		f.die(c1, 9)
		synctest.Wait()
		close(answered)
		time.Sleep(10 * time.Second)
		if h := w.History("c1"); !strings.HasSuffix(h, " unset") || w.Container("c1") != nil {
			t.Errorf("told %s", h)
		}
		if got := w.ExitOf("c1"); got != "9" {
			t.Errorf("exit code %s", got)
		}
		s.Stop()
	})
}

func TestReconnectRepairsTheGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		for _, id := range []string{"stays", "exits", "removed", "restarted"} {
			f.run(&fakeContainer{ID: id, ImageID: imageA})
		}
		f.image("load", imageA, []string{"app:1"}, nil)
		f.image("load", imageB, []string{"other:1"}, nil)
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		stays := w.Container("stays")
		time.Sleep(time.Second)
		for i := range 300 {
			f.run(&fakeContainer{ID: fmt.Sprintf("burst%03d", i)})
			if i == 150 {
				f.KillStreams()
				<-s.Done
			}
		}
		if s.Err == nil || !strings.Contains(s.Err.Error(), "fake.sock") {
			t.Errorf("Stream returned %v", s.Err)
		}
		if w.Container("stays") == nil {
			t.Fatal("a lost connection has unset a container")
		}
		f.with(func(f *fakeDocker) { f.Deaf = true }) // the daemon restarts and forgets its events
		f.die(f.containers["exits"], 7)
		f.die(f.containers["removed"], 8)
		f.destroy(f.containers["removed"])
		f.die(f.containers["restarted"], 8)
		f.with(func(f *fakeDocker) {
			c := f.containers["restarted"]
			c.RestartCount++
			f.start(c)
			f.Deaf, f.Log = false, nil
			delete(f.images, imageB)
		})
		f.run(&fakeContainer{ID: "new"})

		s = start(t, c, w)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if w.Synced() != 2 || w.Count(workloadmeta.KindContainer) != 303 ||
			w.Container("new") == nil {
			t.Errorf("%d containers, new = %v", w.Count(workloadmeta.KindContainer),
				w.Container("new"))
		}
		if got := w.Container("stays"); got != stays && !got.Equal(stays) ||
			strings.Count(w.History("stays"), "set") > 3 {
			t.Errorf("what has not changed was told again: %s", w.History("stays"))
		}
		if got := w.Container("restarted"); got == nil || got.PID != 1001 {
			t.Errorf("restarted = %+v", got)
		}
		if got := w.ExitOf("exits"); got != "7" {
			t.Errorf("exit code of the one that ended = %s", got)
		}
		if got := w.ExitOf("removed"); got != "unknown" {
			t.Errorf("exit code of the removed one = %s", got)
		}
		if w.Image(imageB) != nil || w.Image(imageA) == nil {
			t.Error("images are not those of the daemon")
		}
		s.Stop()
	})
}

func TestRepeatedEventsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		c1 := f.run(&fakeContainer{ID: "c1"})
		c2 := f.run(&fakeContainer{ID: "c2"})
		synctest.Wait()
		f.die(c2, 4)
		synctest.Wait()
		f.KillStreams()
		<-s.Done
		// In the gap one container comes and goes, and one ends.
		time.Sleep(time.Second)
		gone := f.run(&fakeContainer{ID: "gone"})
		f.die(gone, 5)
		f.destroy(gone)
		f.die(c1, 6)
		f.destroy(c1)
		before := len(w.Changes())
		s = start(t, c, w)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if st := c.Stats(); st.Duplicates == 0 {
			t.Errorf("nothing was repeated: %+v", st)
		}
		if h := w.History("c2"); h != "set unset" {
			t.Errorf("c2: %s", h)
		}
		if h := w.History("gone"); h != "set unset" || w.ExitOf("gone") != "5" {
			t.Errorf("gone: %s, exit code %s", h, w.ExitOf("gone"))
		}
		if h := w.History("c1"); h != "set unset" {
			t.Errorf("c1: %s, exit code %s", h, w.ExitOf("c1"))
		}
		if n := len(w.Changes()) - before; n != 3 {
			t.Errorf("%d things told after the gap, want 3", n)
		}
		s.Stop()
	})
}

func TestLostEventsAreFoundByComparing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		dies := f.run(&fakeContainer{ID: "dies"})
		f.image("load", imageA, []string{"app:1"}, nil)
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		f.with(func(f *fakeDocker) { f.Deaf = true })
		f.run(&fakeContainer{ID: "new"})
		f.die(dies, 5)
		f.image("tag", imageA, []string{"app:1", "app:2"}, nil)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if w.Container("new") == nil || w.Container("dies") != nil || w.ExitOf("dies") != "5" ||
			len(w.Image(imageA).RepoTags) != 2 {
			t.Errorf("after settling: new %v, dies %s, image %v", w.Container("new"),
				w.History("dies"), w.Image(imageA).RepoTags)
		}
		// Later only every five minutes, and cheaply when nothing is different.
		inspects := f.Count("inspect")
		time.Sleep(time.Hour)
		if n := f.Count("list"); n < 13 || n > 15 {
			t.Errorf("%d lists in an hour", n)
		}
		if n := f.Count("inspect"); n != inspects {
			t.Errorf("%d inspections with nothing different", n-inspects)
		}
		f.with(func(f *fakeDocker) { f.containers["new"].Status = "paused" })
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		if got := w.Container("new").State.Status; got != workloadmeta.StatusPaused {
			t.Errorf("status = %s", got)
		}
		if st := c.Stats(); st.Differences != 4 {
			t.Errorf("%d differences", st.Differences)
		}
		s.Stop()
	})
}

func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		// 2000 events a second for 5 seconds: 4000 containers start, and all but every tenth end at
		// once.
		n := 0
		for range 500 {
			for range 8 {
				x := f.run(&fakeContainer{ID: fmt.Sprintf("c%04d", n)})
				if n%10 != 0 {
					f.die(x, n%256)
					f.destroy(x)
				}
				n++
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := w.Count(workloadmeta.KindContainer); got != n/10 {
			t.Errorf("%d containers, want %d", got, n/10)
		}
		for i := range n {
			id := fmt.Sprintf("c%04d", i)
			if i%10 == 0 {
				if got := w.Container(id); got == nil || got.PID == 0 {
					t.Fatalf("%s = %+v", id, got)
				}
			} else if h := w.History(id); h != "set unset" || w.ExitOf(id) != fmt.Sprint(i%256) {
				t.Fatalf("%s: %s, exit code %s", id, h, w.ExitOf(id))
			}
		}
		if got := c.Stats(); got.QueueDepth != 0 || got.Containers != n/10 {
			t.Errorf("stats = %+v", got)
		}
		s.Stop()
	})
}

func TestOverflowIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		hold := make(chan struct{})
		w.Gate(func() { <-hold })
		f.run(&fakeContainer{ID: "first"})
		synctest.Wait() // the store takes its time over this one
		for i := range 6000 {
			f.run(&fakeContainer{ID: fmt.Sprintf("c%04d", i), Labels: map[string]string{"n": "1"}})
		}
		synctest.Wait()
		close(hold)
		time.Sleep(5 * time.Minute) // 50 inspections a second
		synctest.Wait()
		if st := c.Stats(); st.RingOverflow == 0 || st.Lists < 2 {
			t.Errorf("stats = %+v", st)
		}
		if n := w.Count(workloadmeta.KindContainer); n != 6001 {
			t.Errorf("%d containers", n)
		}
		if got := w.Container("c5999"); got == nil || got.PID == 0 {
			t.Errorf("the last container = %+v", got)
		}
		s.Stop()
	})
}

func TestInspectRateIsLimitedAndNothingWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		w := collectortest.NewWorld()
		s := start(t,
			newCollector(t, f, func(o *docker.Options) { o.InspectRate, o.InspectBurst = 10, 20 }),
			w)
		synctest.Wait()
		for i := range 100 {
			f.run(&fakeContainer{ID: fmt.Sprintf("c%04d", i)})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := f.Count("inspect"); n < 25 || n > 31 {
			t.Errorf("%d inspections in the first second", n)
		}
		if n := w.Count(workloadmeta.KindContainer); n != 100 {
			t.Errorf("%d containers are known after a second", n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := w.Container("c0099"); got == nil || got.PID == 0 {
			t.Errorf("container = %+v", got)
		}
		s.Stop()
	})
}

func TestAtMostFourInspectionsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		for i := range 500 {
			f.run(&fakeContainer{ID: fmt.Sprintf("c%03d", i)})
		}
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			return func(http.ResponseWriter) { time.Sleep(3 * time.Millisecond) }
		})
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, nil), w)
		time.Sleep(1900 * time.Millisecond)
		synctest.Wait()
		if w.Synced() != 1 || w.Count(workloadmeta.KindContainer) != 500 {
			t.Errorf("synced %d times with %d containers", w.Synced(),
				w.Count(workloadmeta.KindContainer))
		}
		lists, inspects := f.Count("list"), f.Count("inspect")
		f.with(func(f *fakeDocker) {
			if f.maxActive != 4 || lists != 1 || inspects != 500 {
				t.Errorf("%d at a time, %d lists, %d inspections", f.maxActive, lists, inspects)
			}
		})
		s.Stop()
	})
}

func TestCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		c1 := f.run(&fakeContainer{ID: "c1", Policy: "always"})
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		time.Sleep(time.Second)
		before := len(w.Changes())
		for range 200 {
			f.die(c1, 4)
			time.Sleep(20 * time.Millisecond)
			f.with(func(f *fakeDocker) { f.start(c1) })
			time.Sleep(5 * time.Millisecond)
		}
		f.die(c1, 4)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		got := w.Container("c1")
		if got == nil || got.State.Status != workloadmeta.StatusRestarting ||
			got.RestartCount != 201 || collectortest.ExitOf(got) != "4" {
			t.Errorf("container = %+v", got)
		}
		if h := w.History("c1"); strings.Contains(h, "unset") {
			t.Errorf("told %s", h)
		}
		changes := w.Changes()[before:] // all of c1
		if len(changes) < 20 || len(changes) > 52 {
			t.Errorf("told %d times in 5 s; stats %+v", len(changes), c.Stats())
		}
		for i := 1; i < len(changes); i++ {
			if d := changes[i].At.Sub(changes[i-1].At); d < 99*time.Millisecond {
				t.Fatalf("told twice within %v", d)
			}
		}
		if st := c.Stats(); st.Coalesced == 0 {
			t.Errorf("stats = %+v", st)
		}
		s.Stop()
	})
}

func TestDecodePanicIsOneEventsProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		docker.SetDecode(c, func(line []byte, next func([]byte) error) error {
			if strings.Contains(string(line), `"poison"`) {
				panic("bad decoder")
			}
			return next(line)
		})
		s := start(t, c, w)
		synctest.Wait()
		f.run(&fakeContainer{ID: "poison"})
		f.with(func(f *fakeDocker) {
			f.Send(time.Unix(0, 1), []byte("{\"Type\": 7}\n"))
			f.Send(time.Unix(0, 1), []byte("{half\n"))
			f.Send(time.Unix(0, 1),
				[]byte(
					`{"Type":"container","Action":"start","Actor":{"ID":"c0","Attributes":{"name":"n","x":5}},"time":"soon"}`+"\n"))
		})
		f.run(&fakeContainer{ID: "c1"})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if w.Container("c1") == nil || w.Container("poison") == nil {
			t.Errorf("c1 %v, poison %v: want both, the latter from the list", w.Container("c1"),
				w.Container("poison"))
		}
		if st := c.Stats(); st.DecodePanics != 1 || st.DecodeErrors != 2 {
			t.Errorf("stats = %+v", st)
		}
		if w.History("c0") == "" {
			t.Error("an event with a field of another type is lost")
		}
		s.Stop()
	})
}

func TestStopWhileTheDaemonHangs(t *testing.T) {
	for _, part := range []string{"/_ping", "/events", "/containers/json", "/images/json",
		"/containers/c1/json", "nothing"} {
		t.Run(part, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := inMemory(t)
				f.run(&fakeContainer{ID: "c1"})
				release := f.Hang(part)
				c := newCollector(t, f, func(o *docker.Options) { o.CallTimeout = time.Hour })
				s := start(t, c, collectortest.NewWorld())
				synctest.Wait()
				s.Stop() // checks that it does not wait for a call
				release()
			})
		})
	}
}

func TestStreamErrors(t *testing.T) {
	t.Run("podman", func(t *testing.T) {
		f, path := onSocket(t)
		f.header["Libpod-Api-Version"] = "4.3.1"
		c := newCollector(t, nil, func(o *docker.Options) { o.Host = "unix://" + path })
		s := start(t, c, collectortest.NewWorld())
		<-s.Done
		if s.Err == nil || !strings.Contains(s.Err.Error(), "podman") {
			t.Errorf("error = %v", s.Err)
		}
	})
	t.Run("version too new", func(t *testing.T) {
		t.Setenv("DOCKER_API_VERSION", "1.99")
		_, path := onSocket(t)
		c := newCollector(t, nil, func(o *docker.Options) { o.Host = "unix://" + path })
		s := start(t, c, collectortest.NewWorld())
		<-s.Done
		if s.Err == nil || !strings.Contains(s.Err.Error(), "client version 1.99 is too new") {
			t.Errorf("error = %v", s.Err)
		}
	})
	t.Run("hanging list", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := inMemory(t)
			f.run(&fakeContainer{ID: "c1"})
			w := collectortest.NewWorld()
			c := newCollector(t, f, nil)
			s := start(t, c, w)
			synctest.Wait()
			release := f.Hang("/containers/json")
			time.Sleep(time.Minute)
			<-s.Done
			if s.Err == nil || !strings.Contains(s.Err.Error(), "list containers") ||
				w.Container("c1") == nil {
				t.Errorf("error = %v", s.Err)
			}
			release()
			s = start(t, c, w)
			synctest.Wait()
			if w.Synced() != 2 {
				t.Error("it does not recover")
			}
			s.Stop()
		})
	})
	t.Run("twice at the same time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := inMemory(t)
			c := newCollector(t, f, nil)
			s := start(t, c, collectortest.NewWorld())
			synctest.Wait()
			second := start(t, c, collectortest.NewWorld())
			<-second.Done
			if second.Err == nil {
				t.Error("two streams run")
			}
			s.Stop()
		})
	})
}

func TestAPIVersions(t *testing.T) {
	for server, want := range map[string]string{"1.24": "/v1.24/", "1.41": "/v1.41/",
		"1.60": "/v1.51/"} {
		synctest.Test(t, func(t *testing.T) {
			f := inMemory(t)
			f.apiVersion = server
			f.run(&fakeContainer{ID: "c1"})
			w := collectortest.NewWorld()
			s := start(t, newCollector(t, f, nil), w)
			synctest.Wait()
			if w.Container("c1") == nil {
				t.Errorf("API %s: no container", server)
			}
			f.with(func(f *fakeDocker) {
				for _, path := range f.paths {
					if path != "/_ping" && !strings.HasPrefix(path, want) {
						t.Errorf("API %s: request for %s", server, path)
					}
				}
			})
			s.Stop()
		})
	}
}
