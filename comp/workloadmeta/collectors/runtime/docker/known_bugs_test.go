package docker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// The numbers are those of docs/known-bugs.md, which also names the tests that have other names.

// answering returns what makes requests whose path ends with one of the keys have that answer.
func answering(answers map[string]func(http.ResponseWriter)) func(r *http.Request) func(
	http.ResponseWriter) {
	return func(r *http.Request) func(http.ResponseWriter) {
		for suffix, answer := range answers {
			if strings.HasSuffix(r.URL.Path, suffix) {
				return answer
			}
		}
		return nil
	}
}

// text answers with a body that the test has written.
func text(body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, body) // the client may be gone
	}
}

func broken(w http.ResponseWriter) { fail(w, http.StatusInternalServerError, "not today") }

// Known bug #2: after an error nothing was listed again, and no further event was listened to.
func TestBug2EventsGoOnAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.run(&fakeContainer{ID: "stays"})
		ends := f.run(&fakeContainer{ID: "ends"})
		entities := store.New(store.Options{})
		defer entities.Close()
		runs, err := collection.New(collection.Options{
			Store: entities, Collectors: []workloadmeta.Collector{newCollector(t, f, nil)},
			Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := runs.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer runs.Stop(context.Background()) //nolint:errcheck // the bubble waits for it
		has := func(id string) bool {
			_, err := entities.GetContainer(id)
			return err == nil
		}
		time.Sleep(time.Second)
		if !has("stays") || !has("ends") {
			t.Fatal("not listed at the start")
		}
		for round := range 3 {
			// The stream breaks, in the first round alone, later because the daemon is down, and
			// events of the past are gone with it.
			if round > 0 {
				f.Fail(func(*http.Request) func(http.ResponseWriter) { return broken })
			}
			f.KillStreams()
			f.with(func(f *fakeDocker) { f.Deaf = true })
			f.die(ends, 1)
			f.destroy(ends)
			ends = f.run(&fakeContainer{ID: fmt.Sprint("unseen", round)})
			f.with(func(f *fakeDocker) { f.Deaf, f.Log = false, nil })
			time.Sleep(time.Minute)
			if !has("stays") {
				t.Fatalf("round %d: a daemon that is down has no containers any more", round)
			}
			f.Fail(nil)
			time.Sleep(time.Minute)
			if !has(ends.ID) || has("ends") {
				t.Errorf("round %d: what has changed meanwhile is not known", round)
			}
			heard := fmt.Sprint("heard", round)
			f.run(&fakeContainer{ID: heard})
			time.Sleep(time.Second) // long before the next list
			if !has(heard) {
				t.Errorf("round %d: events are not listened to any more", round)
			}
		}
	})
}

// Known bug #3: inspections that timed out at the start crashed the store with an entity that was
// nil, or ended the collector for good.
func TestBug3StartOnASlowDaemon(t *testing.T) {
	const n = 100
	begin := func(f *fakeDocker) {
		for i := range n {
			f.run(&fakeContainer{ID: fmt.Sprintf("c%03d", i),
				Labels: map[string]string{"team": "blue"}})
		}
	}
	t.Run("no inspection is answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := inMemory(t)
			begin(f)
			release := f.Hang("/containers/c")
			w := collectortest.NewWorld()
			s := start(t, newCollector(t, f, nil), w)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if w.Synced() != 1 || w.Count(workloadmeta.KindContainer) != n {
				t.Fatalf("synced %d times with %d containers, want once with all", w.Synced(),
					w.Count(workloadmeta.KindContainer))
			}
			if c := w.Container("c042"); c.Name != "name-c042" || c.Labels["team"] != "blue" ||
				c.Image.Name != "app" || !c.State.Running {
				t.Errorf("what the list tells was not used: %+v", c)
			}
			release()
			time.Sleep(10 * time.Minute)
			for i := range n {
				if c := w.Container(fmt.Sprintf("c%03d", i)); c == nil || c.PID == 0 {
					t.Fatalf("never inspected again: %+v", c)
				}
			}
			s.Stop()
		})
	})
	t.Run("inspections are answered with nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := inMemory(t)
			begin(f)
			f.Fail(answering(map[string]func(http.ResponseWriter){
				"/c001/json": text("null"), "/c002/json": text("{}"), "/c003/json": text("")}))
			w := collectortest.NewWorld() // which panics if an entity is nil
			s := start(t, newCollector(t, f, nil), w)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if w.Synced() != 1 || w.Count(workloadmeta.KindContainer) != n {
				t.Errorf("synced %d times with %d containers", w.Synced(),
					w.Count(workloadmeta.KindContainer))
			}
			s.Stop()
		})
	})
	t.Run("the list is not answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := inMemory(t)
			begin(f)
			release := f.Hang("/containers/json")
			w := collectortest.NewWorld()
			c := newCollector(t, f, nil)
			s := start(t, c, w)
			<-s.Done
			if s.Err == nil || !strings.Contains(s.Err.Error(), "list containers") {
				t.Errorf("Stream ended with %v", s.Err)
			}
			release()
			s = start(t, c, w) // as package collection does, for ever: see its tests
			time.Sleep(time.Second)
			if w.Synced() != 1 || w.Count(workloadmeta.KindContainer) != n {
				t.Errorf("synced %d times with %d containers", w.Synced(),
					w.Count(workloadmeta.KindContainer))
			}
			s.Stop()
		})
	})
}

// Known bug #5: /info hangs with a network file system that is gone, and was asked at each
// connection.
func TestBug5InfoIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.run(&fakeContainer{ID: "c1"})
		release := f.Hang("/info")
		defer release()
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		if got := c.Detect(t.Context()); got.State != workloadmeta.Detected ||
			!strings.Contains(got.String(), "docker answers") {
			t.Errorf("detection = %v", got)
		}
		s := start(t, c, w)
		synctest.Wait()
		if w.Synced() != 1 || w.Container("c1") == nil {
			t.Errorf("synced %d times, c1 = %v", w.Synced(), w.Container("c1"))
		}
		time.Sleep(10 * time.Minute)
		f.with(func(f *fakeDocker) {
			for _, path := range f.paths {
				if strings.Contains(path, "/info") {
					t.Errorf("asked for %s", path)
				}
			}
		})
		s.Stop()
	})
}

// Known bug #6: what was asked for kept the daemon busy.
func TestBug6TheDaemonIsLeftInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		var mu sync.Mutex // guards the next two
		asked := map[string]int{}
		var dear []string
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			mu.Lock()
			defer mu.Unlock()
			path := strings.TrimPrefix(r.URL.Path, "/v1.41")
			asked[path]++
			if r.Method != http.MethodGet || r.URL.Query().Has("size") ||
				strings.HasSuffix(path, "/stats") || strings.HasSuffix(path, "/top") {
				dear = append(dear, r.Method+" "+r.URL.String())
			}
			return nil
		})
		const n = 100
		for i := range n {
			f.run(&fakeContainer{ID: fmt.Sprintf("c%03d", i), ImageID: imageA})
		}
		f.image("load", imageA, []string{"app:1"}, nil)
		s := start(t, newCollector(t, f, nil), collectortest.NewWorld())
		synctest.Wait()
		takes := func() map[string]int {
			mu.Lock()
			defer mu.Unlock()
			out := asked
			asked = map[string]int{}
			return out
		}
		first := takes()
		if first["/containers/json"] != 1 || first["/containers/c042/json"] != 1 ||
			first["/images/"+imageA+"/json"] != 1 || len(first) > n+6 {
			t.Errorf("asked at the start: %v", first)
		}

		// Nothing happens for an hour.
		time.Sleep(time.Hour)
		quiet := takes()
		if quiet["/_ping"] > 250 || quiet["/containers/json"] > 14 || quiet["/images/json"] > 14 ||
			len(quiet) > 3 {
			t.Errorf("asked in an hour in which nothing happened: %v", quiet)
		}
		// Much happens to one container.
		for range 1000 {
			f.with(func(f *fakeDocker) {
				f.event("container", "update", "c007", f.attributes(f.containers["c007"]))
			})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		busy := takes()
		if got := busy["/containers/c007/json"]; got < 2 || got > 12 || len(busy) > 1 {
			t.Errorf("asked because of 1000 events in a second: %v", busy)
		}
		if len(dear) > 0 {
			t.Errorf("asked for what costs the daemon much, or for a change: %q", dear)
		}
		s.Stop()
	})
}

// Known bug #12: a daemon that is restarted makes a new socket, and whoever holds the old one is
// alone. A bind mount that comes before the daemon makes a folder in the socket's place.
func TestBug12ANewSocketIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docker.sock")
	serve := func(container string) (f *fakeDocker, stop func()) {
		t.Helper()
		f = newFake()
		stop = collectortest.ServeSocket(t, path, f)
		f.run(&fakeContainer{ID: container})
		return f, stop
	}
	c := newCollector(t, nil, func(o *docker.Options) { o.Host = "unix://" + path })
	w := collectortest.NewWorld()
	// connected starts a stream and waits for the first thing it tells.
	connected := func() *collectortest.Run {
		told := make(chan struct{})
		var once sync.Once
		w.Gate(func() { once.Do(func() { close(told) }) })
		s := start(t, c, w)
		select {
		case <-told:
		case <-s.Done:
			t.Fatalf("the stream has ended: %v", s.Err)
		}
		return s
	}

	_, stop := serve("c1")
	s := connected()
	stop()
	<-s.Done
	if s.Err == nil || w.Container("c1") == nil {
		t.Errorf("without its daemon: %v, c1 = %v", s.Err, w.Container("c1"))
	}
	if err := os.Mkdir(path, 0o700); err != nil { // fails if the socket is still there
		t.Fatal(err)
	}
	if got := c.Detect(t.Context()); got.State != workloadmeta.Absent ||
		!strings.Contains(got.String(),
			"is a folder, not a socket; a bind mount may have made it") {
		t.Errorf("detection with a folder = %v", got)
	}
	s = start(t, c, w)
	<-s.Done
	if s.Err == nil {
		t.Error("a folder is good enough for a stream")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := c.Detect(t.Context()); got.State != workloadmeta.Absent ||
		!strings.Contains(got.String(), "no socket at ") {
		t.Errorf("detection without a socket = %v", got)
	}
	restarted, _ := serve("c2")
	if got := c.Detect(t.Context()); got.State != workloadmeta.Detected {
		t.Errorf("detection with the new socket = %v", got)
	}
	s = connected()
	if restarted.Count("list") != 1 {
		t.Errorf("the new daemon was asked for %d lists", restarted.Count("list"))
	}
	s.Stop()
}

// Known bug #14: a container that is gone before it can be inspected was a warning in the log.
func TestBug14GoneIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		log := &collectortest.LogCount{}
		w := collectortest.NewWorld()
		c := newCollector(t, f, func(o *docker.Options) { o.Log = slog.New(log) })
		s := start(t, c, w)
		synctest.Wait()
		begin := log.N()
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if strings.Contains(r.URL.Path, "/containers/killed") ||
				strings.Contains(r.URL.Path, "/images/sha256:") {
				return func(w http.ResponseWriter) {
					fail(w, http.StatusNotFound, "No such container or image")
				}
			}
			return nil
		})
		for i := range 20 {
			x := f.run(&fakeContainer{ID: fmt.Sprint("killed", i), ImageID: imageA})
			f.image("untag", imageA, nil, nil)
			time.Sleep(50 * time.Millisecond)
			f.die(x, 137)
			f.destroy(x)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := c.Stats(); st.Inspects["gone"] < 20 || w.ExitOf("killed19") != "137" {
			t.Errorf("killed19 ended with %s; stats = %+v", w.ExitOf("killed19"), st)
		}
		if n := log.N() - begin; n != 0 {
			t.Errorf("%d lines in the log", n)
		}
		s.Stop()
	})
}

// Known bug #16: who heard of a container first had only some of its tags. Which sources are still
// missing is the store's to say; here a container is told of with all that Docker knows.
func TestBug16TheFirstViewIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		f.image("load", imageA, []string{"app:1"}, []string{"app@" + digest})
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, nil), w)
		synctest.Wait()
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if strings.Contains(r.URL.Path, "/containers/c1/") {
				// the event is there long before
				return func(http.ResponseWriter) { time.Sleep(200 * time.Millisecond) }
			}
			return nil
		})
		f.run(&fakeContainer{
			ID: "c1", ImageID: imageA, Env: []string{"DD_SERVICE=cart"},
			IPs: map[string]string{"front": "10.0.0.2"}, Labels: map[string]string{"team": "blue"},
		})
		time.Sleep(time.Second)
		s.Stop()
		at := slices.IndexFunc(w.Changes(),
			func(c collectortest.Change) bool {
				return c.Entity.GetID() == collectortest.ContainerID("c1")
			})
		if at < 0 {
			t.Fatal("not reported")
		}
		c := w.Changes()[at].Entity.(*workloadmeta.Container)
		if c.EnvVars["DD_SERVICE"] != "cart" || c.Image.RepoDigest != digest ||
			c.NetworkIPs["front"] != "10.0.0.2" || c.Labels["team"] != "blue" || c.PID == 0 {
			t.Errorf("the first view = %+v", c)
		}
	})
}

// Known bug #20: one image that could not be read kept the collector from starting.
func TestBug20OneBadImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		id := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
		for _, c := range []string{"1", "2", "3", "4"} {
			f.image("load", id(c), []string{"app:" + c}, nil)
		}
		// an entry of the list without an ID
		f.with(func(f *fakeDocker) { f.images[""] = &fakeImage{} })
		f.Fail(answering(map[string]func(http.ResponseWriter){
			id("1") + "/json": broken, id("2") + "/json": text(`{"Id": [`), id("3") +
				"/json": text(`{"RepoTags": ["app:3"]}`), id("4") + "/history": broken,
		}))
		f.image("load", imageA, []string{"good:1"}, nil)
		f.run(&fakeContainer{ID: "c1", Image: "app:1", ImageID: id("1")})
		f.run(&fakeContainer{ID: "c2", Image: "good:1", ImageID: imageA})
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, nil), w)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if w.Synced() != 1 {
			t.Fatal("not synced")
		}
		if i := w.Image(imageA); i == nil || i.OS != "linux" || len(i.Layers) == 0 {
			t.Errorf("the good image = %+v", i)
		}
		for _, c := range []string{"1", "2", "3", "4"} {
			if i := w.Image(id(c)); i == nil || i.Name != "app:"+c {
				t.Errorf("image %s = %+v, want at least what the list tells", c, i)
			}
		}
		if a, b := w.Container("c1"), w.Container("c2"); a == nil || a.Image.ID != id("1") ||
			a.PID == 0 || b == nil {
			t.Errorf("containers = %+v, %+v", a, b)
		}
		s.Stop()
	})
}

// Known bug #40: events of networks, of pausing and of images that are loaded were not asked for.
// Only those that pass the filter that the daemon gets are sent here.
func TestBug40WhatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		var mu sync.Mutex // guards filters
		var filters map[string]map[string]bool
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if strings.HasSuffix(r.URL.Path, "/events") {
				mu.Lock()
				defer mu.Unlock()
				if err := json.Unmarshal([]byte(r.URL.Query().Get("filters")),
					&filters); err != nil {
					t.Errorf("filters: %v", err)
				}
			}
			return nil
		})
		f.run(&fakeContainer{ID: "c1", IPs: map[string]string{"front": "10.0.0.2"}})
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, nil), w)
		synctest.Wait()
		passes := func(kind, action string) bool {
			mu.Lock()
			defer mu.Unlock()
			for prefix := range filters["event"] {
				if strings.HasPrefix(action, prefix) {
					return filters["type"][kind]
				}
			}
			return false
		}
		status := func(want workloadmeta.ContainerStatus) func() bool {
			return func() bool { return w.Container("c1").State.Status == want }
		}
		for _, step := range []struct {
			kind, action, id string
			change           func(f *fakeDocker)
			done             func() bool
		}{
			{"network", "connect", "n1", func(f *fakeDocker) {
				f.containers["c1"].IPs = map[string]string{"front": "10.0.0.2", "back": "10.1.0.2"}
			},
				func() bool { return w.Container("c1").NetworkIPs["back"] == "10.1.0.2" }},
			{"network", "disconnect", "n1", func(f *fakeDocker) { f.containers["c1"].IPs = map[string]string{"back": "10.1.0.2"} },
				func() bool { return len(w.Container("c1").NetworkIPs) == 1 }},
			{"container", "pause", "c1", func(f *fakeDocker) { f.containers["c1"].Status = "paused" }, status(workloadmeta.StatusPaused)},
			{"container", "unpause", "c1", func(f *fakeDocker) { f.containers["c1"].Status = "running" }, status(workloadmeta.StatusRunning)},
			{"image", "load", imageA, func(f *fakeDocker) { f.images[imageA] = &fakeImage{ID: imageA, Tags: []string{"a:1"}} },
				func() bool { return w.Image(imageA) != nil }},
			{"image", "import", imageB, func(f *fakeDocker) { f.images[imageB] = &fakeImage{ID: imageB, Tags: []string{"b:1"}} },
				func() bool { return w.Image(imageB) != nil }},
		} {
			if !passes(step.kind, step.action) {
				t.Errorf("%s %s is not asked for", step.kind, step.action)
				continue
			}
			f.with(func(f *fakeDocker) {
				step.change(f)
				f.event(step.kind, step.action, step.id,
					map[string]string{"container": "c1", "name": "x"})
			})
			time.Sleep(time.Second) // long before the next list
			synctest.Wait()
			if !step.done() {
				t.Errorf("%s %s changes nothing: %+v", step.kind, step.action, w.Container("c1"))
			}
		}
		for _, action := range []string{"exec_create: sh", "exec_start: sh", "exec_die", "attach",
			"top", "archive-path"} {
			if passes("container", action) {
				t.Errorf("container %s is asked for", action)
			}
		}
		s.Stop()
	})
}

// Known bug #42: with one inspection after the other between the events, a slow daemon stalled
// everything.
func TestBug42ASlowDaemonStallsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inMemory(t)
		w := collectortest.NewWorld()
		s := start(t, newCollector(t, f, nil), w)
		synctest.Wait()
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if strings.Contains(r.URL.Path, "/containers/c") {
				return func(http.ResponseWriter) { // a moment before it would be too late
					select {
					case <-r.Context().Done():
					case <-time.After(4900 * time.Millisecond):
					}
				}
			}
			return nil
		})
		const n = 100
		var all []*fakeContainer
		for i := range n {
			all = append(all,
				f.run(&fakeContainer{ID: fmt.Sprintf("c%03d", i),
					Labels: map[string]string{"team": "blue"}}))
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if w.Count(workloadmeta.KindContainer) != n {
			t.Errorf("%d containers are known half a second after their start",
				w.Count(workloadmeta.KindContainer))
		}
		for i, x := range all[:n/2] {
			f.die(x, i)
			if i%2 == 0 {
				f.destroy(x)
			}
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		for i, x := range all[:n/2] {
			if got := w.ExitOf(x.ID); got != fmt.Sprint(i) {
				t.Fatalf("the end of %s is told so: %s", x.ID, got)
			}
		}
		// Four at a time.
		time.Sleep(time.Duration(n/2/4+2) * 5 * time.Second)
		synctest.Wait()
		for _, x := range all[n/2:] {
			if c := w.Container(x.ID); c == nil || c.PID == 0 {
				t.Fatalf("%s = %+v", x.ID, c)
			}
		}
		s.Stop()
	})
}
