package docker_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// TestEventsChangeContainers plays one event after the other and looks at the container.
func TestEventsChangeContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		c1 := f.run(&fakeContainer{ID: "c1", ImageID: imageA,
			Labels: map[string]string{"team": "blue"}})
		w := collectortest.NewWorld()
		// events alone
		c := newCollector(t, f, func(o *docker.Options) { o.SettleResync = time.Hour })
		s := start(t, c, w)
		synctest.Wait()

		for _, step := range []struct {
			name   string
			change func()
			event  string
			more   []string
			check  func(c *workloadmeta.Container) bool
		}{
			{"pause", func() { c1.Status, c1.Health = "paused", "unhealthy" }, "pause", nil,
				func(c *workloadmeta.Container) bool {
					return c.State.Status == workloadmeta.StatusPaused && c.State.Running &&
						c.State.Health == workloadmeta.HealthUnknown
				}},
			{"unpause", func() { c1.Status, c1.Health = "running", "" }, "unpause", nil,
				func(c *workloadmeta.Container) bool {
					return c.State.Status == workloadmeta.StatusRunning
				}},
			{"rename", func() { c1.Name = "front" }, "rename", []string{"oldName", "/name-c1"},
				func(c *workloadmeta.Container) bool {
					return c.Name == "front"
				}},
			{"healthy", func() { c1.Health = "healthy" }, "health_status: healthy", nil,
				func(c *workloadmeta.Container) bool {
					return c.State.Health == workloadmeta.HealthHealthy
				}},
			{"unhealthy", func() { c1.Health = "unhealthy" }, "health_status: unhealthy", nil,
				func(c *workloadmeta.Container) bool {
					return c.State.Health == workloadmeta.HealthUnhealthy
				}},
			{"update", func() { c1.Env = []string{"DD_ENV=prod"} }, "update", nil,
				func(c *workloadmeta.Container) bool {
					return c.EnvVars["DD_ENV"] == "prod"
				}},
			{"restart", func() { c1.PID = 77 }, "restart", nil, func(c *workloadmeta.Container) bool { return c.PID == 77 }},
		} {
			time.Sleep(time.Second)
			told := len(w.Changes())
			f.with(func(f *fakeDocker) {
				step.change()
				f.event("container", step.event, "c1", f.attributes(c1, step.more...))
			})
			synctest.Wait()
			if got := w.Container("c1"); got == nil || !step.check(got) ||
				got.Labels["team"] != "blue" {
				t.Errorf("after %s: %+v", step.name, got)
			}
			if n := len(w.Changes()) - told; n != 1 {
				t.Errorf("%s was told %d times: %s", step.name, n,
					cmp.Diff(w.Changes()[told].Entity, w.Changes()[len(w.Changes())-1].Entity))
			}
		}

		time.Sleep(time.Second)
		f.with(func(f *fakeDocker) {
			c1.IPs = map[string]string{"back": "10.1.0.9"}
			f.event("network", "connect", "n1",
				map[string]string{"container": "c1", "name": "back", "type": "bridge"})
			f.event("network", "connect", "n1",
				map[string]string{"container": "somebody else", "name": "back"})
		})
		synctest.Wait()
		if got := w.Container("c1").NetworkIPs["back"]; got != "10.1.0.9" {
			t.Errorf("IP after connect = %q", got)
		}

		// What tells nothing costs nothing.
		time.Sleep(time.Second)
		told, inspects := len(w.Changes()), f.Count("inspect")
		f.with(func(f *fakeDocker) {
			f.event("container", "create", "c9", nil)
			f.event("container", "kill", "c1", f.attributes(c1, "signal", "15"))
			f.event("container", "stop", "c1", f.attributes(c1))
			f.event("container", "start", "", nil)
			f.event("volume", "mount", "v", nil)
			f.event("container", "health_status: unhealthy", "c1", f.attributes(c1))
		})
		time.Sleep(time.Second)
		if len(w.Changes()) != told || f.Count("inspect") != inspects {
			t.Errorf("%d things told, %d inspections for nothing", len(w.Changes())-told,
				f.Count("inspect")-inspects)
		}

		f.with(func(f *fakeDocker) { f.event("container", "oom", "c1", f.attributes(c1)) })
		f.die(c1, 137)
		synctest.Wait()
		if got := w.Ended("c1"); collectortest.ExitOf(got) != "137" || !got.State.OOMKilled ||
			got.PID != 0 || got.NetworkIPs["back"] == "" {
			t.Errorf("last state = %+v", got)
		}
		// It may be started again.
		f.with(func(f *fakeDocker) { f.start(c1) })
		synctest.Wait()
		if got := w.Container("c1"); got == nil || got.State.OOMKilled ||
			got.State.ExitCode != nil {
			t.Errorf("started again: %+v", got)
		}
		for _, event := range []string{"reload", "prune"} {
			lists := f.Count("list")
			f.with(func(f *fakeDocker) {
				f.event(map[string]string{"reload": "daemon", "prune": "container"}[event], event,
					"", nil)
			})
			time.Sleep(1500 * time.Millisecond)
			synctest.Wait()
			if f.Count("list") != lists+1 {
				t.Errorf("no comparison after %s", event)
			}
		}
		s.Stop()
	})
}

// TestPolicyDecidesWhatAnEndMeans covers the end of containers with a restart policy, which may or
// may not be final.
func TestPolicyDecidesWhatAnEndMeans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		stopped := f.run(&fakeContainer{ID: "stopped", Policy: "always"})
		crashed := f.run(&fakeContainer{ID: "crashed", Policy: "always"})
		hung := f.run(&fakeContainer{ID: "hung", Policy: "on-failure"})
		done := f.run(&fakeContainer{ID: "done", Policy: "on-failure"})
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, nil), w)
		synctest.Wait()
		time.Sleep(time.Second)

		f.die(crashed, 1)
		// a person stops it: this fake has no better way
		f.with(func(f *fakeDocker) { stopped.Policy = "no" })
		f.die(stopped, 143)
		synctest.Wait()
		if got := w.Container("crashed"); got == nil ||
			got.State.Status != workloadmeta.StatusRestarting || got.PID != 0 {
			t.Errorf("crashed = %+v", got)
		}
		if got := w.Container("stopped"); got != nil || w.ExitOf("stopped") != "143" {
			t.Errorf("stopped = %+v", got)
		}
		release := f.Hang("/containers/")
		f.die(hung, 2)
		f.die(done, 0)
		time.Sleep(1200 * time.Millisecond)
		synctest.Wait()
		if got := w.Container("hung"); got == nil ||
			got.State.Status != workloadmeta.StatusRestarting {
			t.Errorf("without an inspection, a failure under on-failure = %+v", got)
		}
		if got := w.Container("done"); got != nil || w.ExitOf("done") != "0" {
			t.Errorf("without an inspection, a success under on-failure = %+v", got)
		}
		release()
		s.Stop()
	})
}

func TestPauseContainersAreLeftOut(t *testing.T) {
	for _, keep := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := inMemory(t)
			sandboxes := []*fakeContainer{
				{ID: "shim", Labels: map[string]string{"io.kubernetes.docker.type": "podsandbox"}},
				{ID: "pod", Labels: map[string]string{"io.kubernetes.pod.name": "web-0"}},
				{ID: "image", Image: "registry.k8s.io/pause:3.9"},
				{ID: "by-id", Image: imageA, ImageID: imageA},
			}
			f.run(sandboxes[0])
			f.run(sandboxes[2])
			f.run(sandboxes[3])
			f.image("load", imageA, []string{"registry.k8s.io/pause:3.9"}, nil)
			w := collectortest.NewWorld()
			s := start(t, newCollector(t, f, func(o *docker.Options) { o.KeepPause = keep }), w)
			synctest.Wait()
			f.run(sandboxes[1])
			later := f.run(&fakeContainer{ID: "later", Image: "kubernetes/pause"})
			app := f.run(
				&fakeContainer{ID: "app",
					Labels: map[string]string{"io.kubernetes.pod.name": "web-0",
						"io.kubernetes.container.name": "web"}})
			time.Sleep(20 * time.Second)
			synctest.Wait()
			want := 1
			if keep {
				want = 6
			}
			if n := w.Count(workloadmeta.KindContainer); n != want || w.Container("app") == nil {
				t.Errorf("keep %v: %d containers, want %d", keep, n, want)
			}
			f.with(func(f *fakeDocker) {
				f.event("container", "update", "by-id", f.attributes(sandboxes[3]))
			})
			for _, c := range append(sandboxes, later, app) {
				f.die(c, 0)
				f.destroy(c)
			}
			time.Sleep(time.Second)
			if n := w.Count(workloadmeta.KindContainer); n != 0 {
				t.Errorf("%d containers left", n)
			}
			s.Stop()
		})
	}
}

func TestKeepStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.with(func(f *fakeDocker) {
			f.containers["old"] = &fakeContainer{ID: "old", Name: "old", Status: "exited",
				ExitCode: 2, Image: "app:1"}
		})
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, func(o *docker.Options) { o.KeepStopped = true }), w)
		synctest.Wait()
		if got := w.Container("old"); got == nil || got.State.Running ||
			collectortest.ExitOf(got) != "2" {
			t.Errorf("old = %+v", got)
		}
		f.with(func(f *fakeDocker) {
			f.containers["c1"] = &fakeContainer{ID: "c1", Name: "c1", Status: "created",
				Image: "app:1", Policy: "no"}
			f.event("container", "create", "c1", f.attributes(f.containers["c1"]))
		})
		c1 := f.containers["c1"]
		synctest.Wait()
		if got := w.Container("c1"); got == nil || got.State.Status != workloadmeta.StatusCreated {
			t.Errorf("created: %+v", got)
		}
		time.Sleep(time.Second)
		f.with(func(f *fakeDocker) { f.start(c1) })
		synctest.Wait()
		if got := w.Container("c1"); got == nil || !got.State.Running {
			t.Errorf("started: %+v", got)
		}
		time.Sleep(time.Second)
		f.die(c1, 9)
		synctest.Wait()
		if got := w.Container("c1"); got == nil || got.State.Running ||
			collectortest.ExitOf(got) != "9" || got.State.Status != workloadmeta.StatusStopped {
			t.Errorf("stopped: %+v", got)
		}
		f.destroy(c1)
		synctest.Wait()
		if got := w.Container("c1"); got != nil || w.ExitOf("c1") != "9" {
			t.Errorf("removed: %+v, exit code %s", got, w.ExitOf("c1"))
		}
		s.Stop()
	})
}

func TestImageEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.image("load", imageA, []string{"app:1"}, nil)
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		tags := func(id string) string {
			if i := w.Image(id); i != nil {
				return i.Name + " " + fmt.Sprint(i.RepoTags)
			}
			return "none"
		}
		step := func(what, id, want string, do func()) {
			t.Helper()
			time.Sleep(time.Second)
			do()
			time.Sleep(time.Second)
			synctest.Wait()
			if got := tags(id); got != want {
				t.Errorf("after %s: %s, want %s", what, got, want)
			}
		}
		for _, action := range []string{"load", "import", "tag"} {
			id := "sha256:" +
				strings.Repeat(map[string]string{"load": "1", "import": "2", "tag": "3"}[action],
					64)
			step(action, id, action+":1 ["+action+":1]", func() {
				f.image(action, id, []string{action + ":1"}, nil)
			})
		}
		step("tag", imageA, "app:1 [app:1 app:2]", func() {
			f.image("tag", imageA, []string{"app:2", "app:1"}, nil)
		})
		step("pull of a tag that moves", imageB, "app:2 [app:2]", func() {
			f.with(func(f *fakeDocker) {
				f.images[imageA].Tags = []string{"app:1"}
				f.images[imageB] = &fakeImage{ID: imageB, Tags: []string{"app:2"}}
				f.event("image", "pull", "app:2", map[string]string{"name": "app"})
			})
		})
		if got := tags(imageA); got != "app:1 [app:1]" {
			t.Errorf("the image that lost its tag: %s", got)
		}
		step("untag", imageA, imageA+" []", func() { f.image("untag", imageA, nil, nil) })
		step("untag of an image that is gone", imageB, "app:2 [app:2]", func() {
			f.with(func(f *fakeDocker) {
				delete(f.images, imageB)
				f.event("image", "untag", imageB, map[string]string{"name": imageB})
			})
		})
		step("delete", imageB, "none", func() {
			f.with(func(f *fakeDocker) {
				f.event("image", "delete", imageB, map[string]string{"name": imageB})
			})
		})
		step("commit", imageB, "x:1 [x:1]", func() {
			f.with(func(f *fakeDocker) {
				f.images[imageB] = &fakeImage{ID: imageB, Tags: []string{"x:1"}}
				f.event("container", "commit", "c1",
					map[string]string{"imageID": imageB, "imageRef": "x:1"})
			})
		})
		step("prune", imageB, "none", func() {
			f.with(func(f *fakeDocker) {
				delete(f.images, imageB)
				f.event("image", "prune", "", nil)
			})
			time.Sleep(2 * time.Second)
		})
		f.with(func(f *fakeDocker) { f.event("image", "delete", "sha256:layer", nil) })
		synctest.Wait()
		if n := f.Count("history"); n != 6 {
			t.Errorf("%d histories were asked for, want one of each image", n)
		}
		s.Stop()
	})
}

func TestContainersLearnOfTheirImageLater(t *testing.T) {
	for _, noImages := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := inMemory(t)
			w := collectortest.NewWorld()
			c := newCollector(t, f, func(o *docker.Options) { o.NoImages = noImages })
			s := start(t, c, w)
			synctest.Wait()
			for _, id := range []string{"c1", "c2"} {
				f.run(&fakeContainer{ID: id, Image: "app:1", ImageID: imageA})
			}
			f.run(&fakeContainer{ID: "by-id", Image: imageA[len("sha256:") : len("sha256:")+12],
				ImageID: imageA})
			time.Sleep(time.Second)
			if got := w.Container("c1").Image; got.RepoDigest != "" || got.ID != imageA ||
				got.Name != "app" {
				t.Errorf("before: %+v", got)
			}
			if n := f.Count("inspect image"); n != 1 {
				t.Errorf("%d inspections of one image that is not there", n)
			}
			f.image("load", imageA, []string{"app:1"}, []string{"app@" + digest})
			time.Sleep(time.Second)
			synctest.Wait()
			for _, id := range []string{"c1", "c2", "by-id"} {
				if got := w.Container(id).Image; got.RepoDigest != digest || got.Name != "app" ||
					got.Tag != "1" {
					t.Errorf("%s: %+v", id, got)
				}
			}
			if n := f.Count("inspect c1"); n != 1 {
				t.Errorf("%d inspections of the container", n)
			}
			if (w.Image(imageA) == nil) != noImages {
				t.Errorf("NoImages %v: image = %v", noImages, w.Image(imageA))
			}
			// Losing its names does not rename what runs.
			f.image("untag", imageA, nil, nil)
			time.Sleep(time.Second)
			f.with(func(f *fakeDocker) {
				delete(f.images, imageA)
				f.event("image", "delete", imageA, nil)
				f.event("container", "update", "c1", f.attributes(f.containers["c1"]))
			})
			time.Sleep(time.Second)
			synctest.Wait()
			for _, id := range []string{"c1", "by-id"} {
				if got := w.Container(id).Image; got.RepoDigest != digest || got.Name != "app" {
					t.Errorf("%s after the image is gone: %+v", id, got)
				}
			}
			if got := c.Describe().Kinds; slices.Contains(got,
				workloadmeta.KindContainerImage) == noImages {
				t.Errorf("Kinds() = %v", got)
			}
			s.Stop()
		})
	}
}

func TestImagesMayFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.image("load", imageA, []string{"app:1"}, nil)
		f.run(&fakeContainer{ID: "c1", ImageID: imageA})
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		s.Stop()
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if strings.HasSuffix(r.URL.Path, "/images/json") {
				return func(w http.ResponseWriter) {
					fail(w, http.StatusInternalServerError, "layer does not exist")
				}
			}
			return nil
		})
		s = start(t, c, w)
		synctest.Wait()
		if w.Synced() != 2 || w.Container("c1") == nil || w.Image(imageA) == nil {
			t.Errorf("synced %d, container %v, image %v", w.Synced(), w.Container("c1"),
				w.Image(imageA))
		}
		f.Fail(nil)
		f.with(func(f *fakeDocker) { f.Deaf = true })
		f.image("load", imageB, []string{"b:1"}, nil)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if w.Image(imageB) == nil {
			t.Error("images are not asked for again")
		}
		s.Stop()
	})
}

func TestErrorsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if strings.HasSuffix(r.URL.Path, "/containers/c1/json") {
				return func(w http.ResponseWriter) {
					fail(w, http.StatusInternalServerError, "no such device")
				}
			}
			return nil
		})
		f.run(&fakeContainer{ID: "c1"})
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		synctest.Wait()
		if got := w.Container("c1"); w.Synced() != 1 || got == nil || got.PID != 0 {
			t.Errorf("synced %d, container %+v", w.Synced(), got)
		}
		f.Fail(nil)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if got := w.Container("c1"); got.PID == 0 {
			t.Errorf("container = %+v", got)
		}
		s.Stop()
	})
}

// Events are not strictly in the order of their times: the end of a container's life may
// be heard of when its next life has been inspected already.
func TestALateEndIsOfTheLifeBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		c := f.run(&fakeContainer{ID: "again"})
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, nil), w)
		synctest.Wait()
		time.Sleep(time.Second)

		ended := time.Now()
		time.Sleep(time.Second)
		f.with(func(f *fakeDocker) { f.start(c) })
		time.Sleep(time.Second)
		f.with(func(f *fakeDocker) {
			line, err := json.Marshal(map[string]any{
				"Type": "container", "Action": "die", "scope": "local", "time": ended.Unix(),
				"timeNano": ended.UnixNano(),
				"Actor": map[string]any{"ID": c.ID,
					"Attributes": f.attributes(c, "exitCode", "1")},
			})
			if err != nil {
				t.Error(err)
			}
			f.Send(ended, append(line, '\n'))
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := w.Container("again"); got == nil || !got.State.Running ||
			!got.State.StartedAt.After(ended) {
			t.Errorf("the container that runs again = %+v", got)
		}
		if dead := w.Ended("again"); dead != nil {
			t.Errorf("it was reported to have ended: %+v", dead)
		}
		s.Stop()
	})
}

// dockerd copies a container's labels over what its events tell themselves.
func TestALabelIsNoExitCode(t *testing.T) {
	for _, tc := range []struct {
		name            string
		inspected, kept bool
		want            string
	}{
		{"inspected before and after", true, true, "137"},
		{"inspected before, gone after", true, false, "unknown"},
		{"known from events only", false, false, "unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, w := inMemory(t), collectortest.NewWorld()
				s := start(t, newCollector(t, f, nil), w)
				time.Sleep(time.Second)
				labels := map[string]string{"exitCode": "99", "signal": "s", "comment": "c",
					"imageID": "i", "execDuration": "d", "team": "t"}
				if !tc.inspected {
					f.Hang("/containers/")
				}
				c := f.run(&fakeContainer{ID: "c1", ImageID: imageA, Labels: labels})
				time.Sleep(time.Second)
				if !tc.kept {
					f.with(func(f *fakeDocker) { delete(f.containers, "c1") })
				}
				f.die(c, 137)
				if !tc.kept {
					f.destroy(c)
				}
				time.Sleep(5 * time.Second)
				got := w.Ended("c1")
				if got == nil || collectortest.ExitOf(got) != tc.want ||
					!maps.Equal(got.Labels, labels) {
					t.Errorf("exit %s with labels %v, want %s with %v", collectortest.ExitOf(got),
						got.Labels, tc.want, labels)
				}
				s.Stop()
			})
		})
	}
}

// A proxy may let nothing pass but lists: they are compared instead, and the status says so.
func TestEventsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, w := inMemory(t), collectortest.NewWorld()
		c1 := f.run(&fakeContainer{ID: "c1", ImageID: imageA})
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if !strings.HasSuffix(r.URL.Path, "/events") {
				return nil
			}
			return func(w http.ResponseWriter) { http.Error(w, "by rule", http.StatusForbidden) }
		})
		c := newCollector(t, f, nil)
		s := start(t, c, w)
		time.Sleep(3 * time.Second)
		if w.Container("c1") == nil || w.Synced() != 1 {
			t.Fatalf("c1 = %v, synced %d times", w.Container("c1"), w.Synced())
		}
		parts := c.Parts()
		if len(parts) != 1 || parts[0].State != collection.StateDegraded ||
			parts[0].Cause != workloadmeta.CauseForbidden ||
			!strings.Contains(parts[0].Reason, "403 Forbidden: by rule") {
			t.Errorf("parts = %+v", parts)
		}
		f.die(c1, 7)
		f.run(&fakeContainer{ID: "c2", ImageID: imageA})
		time.Sleep(15 * time.Second)
		if w.Container("c2") == nil || collectortest.ExitOf(w.Ended("c1")) != "7" {
			t.Errorf("c2 = %v; c1 ended with %s", w.Container("c2"),
				collectortest.ExitOf(w.Ended("c1")))
		}
		f.Fail(nil) // the rule is mended
		time.Sleep(5 * time.Minute)
		f.run(&fakeContainer{ID: "c3", ImageID: imageA})
		synctest.Wait()
		if w.Container("c3") == nil || len(c.Parts()) != 0 {
			t.Errorf("c3 = %v, parts = %+v: there are events now", w.Container("c3"), c.Parts())
		}
		s.Stop()
	})
}
