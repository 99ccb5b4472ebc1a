package podman

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimetest"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

const (
	imageA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	imageB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	pod1   = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
)

// pass lets time go by and everything that is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// inBubble runs a test with one fake at /a.sock.
func inBubble(t *testing.T, change func(*Options),
	body func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		body(t, f, newTestCollector(t, map[string]*fakePodman{"/a.sock": f}, change),
			collectortest.NewWorld())
	})
}

func TestFirstPassIsCompleteWhenSynced(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		f.image("tag", imageA, "localhost/app:1")
		f.run(&fakeContainer{ID: "c1", ImageID: imageA,
			Env: []string{"DD_ENV=prod", "SECRET=hunter2"}, Pod: pod1, PodName: "shop"})
		f.run(&fakeContainer{ID: "infra", ImageID: imageA, Pod: pod1, PodName: "shop", Infra: true})
		paused := f.run(&fakeContainer{ID: "c2", ImageID: imageA})
		stopping := f.run(&fakeContainer{ID: "c3", ImageID: imageA})
		f.with(func(*fakePodman) { paused.Status, stopping.Status = "paused", "stopping" })
		pass(time.Minute) // so that no event tells of it
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		if w.Synced() != 1 || w.Containers() != "c1 c2 c3" ||
			tags(w, imageA) != "[localhost/app:1]" {
			t.Fatalf("synced %d times, containers %s, image %s", w.Synced(), w.Containers(),
				tags(w, imageA))
		}
		got := w.Container("c1")
		if got.PID != 1000 || got.Hostname != "h-c1" || len(got.EnvVars) != 1 ||
			got.EnvVars["DD_ENV"] != "prod" || got.Runtime != "podman" ||
			got.Labels[labelPodID] != pod1 || got.Labels[labelPodName] != "shop" ||
			got.Image.Name != "localhost/app" ||
			fmt.Sprint(got.Ports) != "[{ 8080 tcp 0}]" {
			t.Errorf("container = %+v", got)
		}
		if got := w.Container("c2"); got.State.Status != workloadmeta.StatusPaused ||
			!got.State.Running {
			t.Errorf("a paused container is %+v", got.State)
		}
		if got := w.Container("c3"); got.State.Status != workloadmeta.StatusRunning ||
			got.PID == 0 {
			t.Errorf("a container that is being stopped is %+v", got.State)
		}
		if h := w.History("c1"); h != "set" {
			t.Errorf("c1: %s, want one report, with what the inspection tells", h)
		}
		st := c.Sockets()
		if len(st) != 1 || st[0].Version != "4.3.1" ||
			st[0].Stats.Containers != 4 || st[0].Address != "/a.sock" {
			t.Errorf("sockets = %+v", st)
		}
		s.Stop()
	})
}

// DataDog/datadog-agent#31002: containers that live shorter than a poll never appeared.
func TestBug13ShortLivedContainersAreSeen(t *testing.T) {
	for name, play := range map[string]func(f *fakePodman, c *fakeContainer){
		"gone before it can be inspected": func(f *fakePodman, c *fakeContainer) {
			f.die(c, 7)
			f.remove(c)
		},
		"stays when it has ended": func(f *fakePodman, c *fakeContainer) { f.die(c, 7) },
		"ends while it is inspected": func(f *fakePodman, c *fakeContainer) {
			pass(0)
			f.die(c, 7)
			pass(0)
			f.remove(c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil,
				func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
					s := collectortest.Start(t, c.stream, w.Sink())
					pass(time.Second)
					play(f, f.run(
						&fakeContainer{ID: "c1", Labels: map[string]string{"team": "blue"}}))
					pass(3 * time.Second)
					if h := w.History("c1"); h != "set unset" || w.ExitOf("c1") != "7" ||
						w.Ended("c1").Labels["team"] != "blue" || w.Ended("c1").Name != "name-c1" {
						t.Errorf("it was told %s, exit code %s, %+v", h, w.ExitOf("c1"),
							w.Ended("c1"))
					}
					s.Stop()
				})
		})
	}
}

// Podman says "500" of a container that is removed while it looks at it.
func TestRemovedWhileItIsInspected(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if !strings.HasSuffix(r.URL.Path, "/containers/c1/json") {
				return nil
			}
			return func(w http.ResponseWriter) {
				fail(w, 500, "container c1 does not exist in database: no such container")
			}
		})
		f.die(f.run(&fakeContainer{ID: "c1"}), 7)
		pass(500 * time.Millisecond)
		st := c.Sockets()[0].Stats
		if h := w.History("c1"); h != "set unset" || st.Inspects["error"] != 0 ||
			st.Inspects["gone"] == 0 {
			t.Errorf("it was told %s; inspections %v", h, st.Inspects)
		}
		s.Stop()
	})
}

// Podman tells of a container before it starts it: what ends before it can be inspected has its
// environment from there.
func TestShortLivedContainersHaveTheirEnvironment(t *testing.T) {
	for _, announced := range []string{"create", "init"} {
		inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
			s := collectortest.Start(t, c.stream, w.Sink())
			pass(time.Second)
			one := &fakeContainer{ID: "c1", Name: "job", Image: "localhost/app:1",
				Status: "created", Env: []string{"DD_SERVICE=job"}}
			f.with(func(f *fakePodman) {
				f.containers["c1"] = one
				f.event("container", announced, "c1", f.attributes(one))
			})
			pass(150 * time.Millisecond)
			if h := w.History("c1"); h != "" {
				t.Errorf("%s: it was told %s before it ran", announced, h)
			}
			f.run(one)
			f.die(one, 0)
			f.remove(one)
			pass(3 * time.Second)
			if got := w.Ended("c1"); w.History("c1") != "set unset" ||
				got.EnvVars["DD_SERVICE"] != "job" || got.State.StartedAt.IsZero() {
				t.Errorf("%s: it was told %s, %+v", announced, w.History("c1"), got)
			}
			s.Stop()
		})
	}
}

// Every event but that of an end says "containerExitCode": "0" (containers/podman#12628 and
// others): it is none.
func TestBug32OnlyAnEndHasAnExitCode(t *testing.T) {
	s := newTestService(t)
	s.major = 4
	for _, action := range []string{"create", "init", "start", "pause", "exec", "exec_died", "kill",
		"stop", "cleanup", "remove", "destroy", "died", "die", "restart"} {
		for _, version := range []string{`"containerExitCode":"0"`,
			`"containerExitCode":"137","exitCode":"137"`} {
			m, err := decodeEvent(
				[]byte(`{"Type":"container","Action":"` + action +
					`","Actor":{"ID":"c1","Attributes":{` + version + `}},"timeNano":5}`))
			if err != nil {
				t.Fatal(err)
			}
			ev := s.event(m)
			if has := ev.ExitCode != nil; has != strings.HasPrefix(action, "die") {
				t.Errorf("%s: exit code %v", action, ev.ExitCode)
			}
		}
	}
}

// Labels may have the names of what Podman tells itself.
func TestLabelsAreNoAttributes(t *testing.T) {
	s := newTestService(t)
	s.major = 4
	event := func(action, attributes string) runtimesync.Event {
		m, err := decodeEvent([]byte(`{"Type":"container","Action":"` + action +
			`","Actor":{"ID":"c1","Attributes":{` + attributes + `}},"timeNano":5}`))
		if err != nil {
			t.Fatal(err)
		}
		return s.event(m)
	}
	ev := event("died", `"exitCode":"99","containerExitCode":"0"`)
	if ev.ExitCode == nil || *ev.ExitCode != 0 {
		t.Errorf("exit code = %v, want 0", ev.ExitCode)
	}
	labels := event("start", `"name":"n","image":"i","containerExitCode":"0","podId":"x",`+
		`"exitCode":"9","network":"blue","error":"e","signal":"s","comment":"c"`).Container.Labels
	want := map[string]string{"exitCode": "9", "network": "blue", "error": "e", "signal": "s",
		"comment": "c"}
	if !maps.Equal(labels, want) {
		t.Errorf("labels = %v, want %v", labels, want)
	}
}

// containers/podman#23712: from Podman 5 on not even the head of the answer comes before the first
// event. Clients with a time-out gave up.
func TestBug32NothingComesBeforeTheFirstEvent(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		f.version, f.lateHead = "5.2.0", true
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		if w.Synced() != 1 {
			t.Fatal("not synced: it waits for the head")
		}
		pass(3 * time.Hour)
		if n := f.Count("events"); n != 1 {
			t.Errorf("the silent stream was opened %d times", n)
		}
		one := f.run(&fakeContainer{ID: "c1"})
		pass(time.Second)
		if w.Container("c1") == nil {
			t.Error("what happens then is not seen")
		}
		f.die(one, 3)
		pass(2 * time.Second)
		if w.ExitOf("c1") != "3" || c.Sockets()[0].Stats.Connects != 1 {
			t.Errorf("exit code %s, %d connections", w.ExitOf("c1"), c.Sockets()[0].Stats.Connects)
		}
		s.Stop()
	})
}

// What happens between the list and the moment from which the service watches its log is asked for
// by its time.
func TestBug32EventsBeforeTheHeadAreNotLost(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		f.version = "5.2.0"
		late := false
		f.Fail(func(r *http.Request) func(http.ResponseWriter) {
			if strings.HasSuffix(r.URL.Path, "/events") && !late {
				late = true
				time.Sleep(2 * time.Second) // it is slow to look at its log
			}
			return nil
		})
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second) // listed
		f.die(f.run(&fakeContainer{ID: "c1"}), 9)
		pass(5 * time.Second)
		if h := w.History("c1"); h != "set unset" || w.ExitOf("c1") != "9" {
			t.Errorf("it was told %s, exit code %s", h, w.ExitOf("c1"))
		}
		s.Stop()
	})
}

// containers/podman#19581, #21685: the journal drops events, and events_logger none has none: an
// error comes in their place, with status 200.
func TestBug32WithoutEventsListsAreCompared(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		f.noEvents = `cannot read events with the "none" backend`
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		one := f.run(&fakeContainer{ID: "c1"})
		pass(11 * time.Second)
		if w.Container("c1") == nil {
			t.Error("a container was not found within the period")
		}
		f.die(one, 5)
		pass(11 * time.Second)
		if w.ExitOf("c1") != "5" {
			t.Errorf("exit code %s", w.ExitOf("c1"))
		}
		pass(time.Hour)
		if st := c.Sockets()[0].Stats; st.Connects != 1 || st.DecodeErrors != 0 {
			t.Errorf("stats = %+v", st)
		}
		if n := f.Count("events"); n > 15 {
			t.Errorf("events were asked for %d times in an hour", n)
		}
		// Somebody turns them on.
		f.with(func(f *fakePodman) { f.noEvents = "" })
		pass(6 * time.Minute)
		f.run(&fakeContainer{ID: "c2"})
		lists := f.Count("list")
		pass(time.Minute)
		if w.Container("c2") == nil || f.Count("list")-lists > 4 {
			t.Errorf("container %v, %d lists in a minute", w.Container("c2"), f.Count("list")-lists)
		}
		s.Stop()
	})
}

// containers/podman#8751: single events are missing.
func TestBug32MissingEventsAreMadeUpFor(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		stays, ends := f.run(&fakeContainer{ID: "c1"}), f.run(&fakeContainer{ID: "c2"})
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		f.with(func(f *fakePodman) { f.Deaf = true })
		f.run(&fakeContainer{ID: "c3"})
		f.die(ends, 4)
		f.with(func(*fakePodman) { stays.Name = "renamed" })
		pass(31 * time.Second)
		if w.Containers() != "c1 c3" || w.ExitOf("c2") != "4" ||
			w.Container("c1").Name != "renamed" {
			t.Errorf("containers %s, exit code %s, name %s", w.Containers(), w.ExitOf("c2"),
				w.Container("c1").Name)
		}
		s.Stop()
	})
}

// containers/podman#10168, #16857: what is called "die" and "destroy" by one interface is "died"
// and "remove" by the other, in any version.
func TestBug32BothVocabularies(t *testing.T) {
	TestBothVocabulariesMeanTheSame(t)
}

// systemd ends a user's service when it has not said that it has started, after 90 s, and one that
// is idle ends by itself: that is no error.
func TestBug32ClosedStreamsAreNoNews(t *testing.T) {
	log := &collectortest.LogCount{From: slog.LevelInfo}
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.run(&fakeContainer{ID: "c1"})
		c := newTestCollector(t, map[string]*fakePodman{"/a.sock": f},
			func(o *Options) { o.Log = slog.New(log) })
		s := supervise(t, c)
		pass(time.Second)
		before, lines := s.store.Revision(), log.N()
		for range 10 {
			pass(90 * time.Second)
			f.KillStreams()
		}
		pass(time.Second)
		s.want("after ten ends", "c1", "gone")
		if s.store.Revision() != before {
			t.Errorf("%d changes were told", s.store.Revision()-before)
		}
		if n := log.N() - lines; n != 0 {
			t.Errorf("%d lines in the log", n)
		}
		if st := c.Sockets()[0]; st.Stats.Connects != 11 {
			t.Errorf("status = %+v", st)
		}
		if st := s.Status()[0]; st.Failures != 0 || st.State != collection.StateLive ||
			st.Restarts != 10 {
			t.Errorf("status = %+v", st)
		}
	})
}

// containers/podman#24003: an event for every probe. Others have burnt the CPU with it.
func TestBug7HealthIsPublishedOnChangeOnly(t *testing.T) {
	for version, probe := range map[string]func(f *fakePodman, c *fakeContainer, result string){
		"4.3.1": func(f *fakePodman, c *fakeContainer, result string) {
			// that before
			f.event("container", "health_status", c.ID, f.attributes(c, "health_status", c.Health))
			c.Health = result
			f.event("container", "exec_died", c.ID, f.attributes(c))
		},
		"5.2.0": func(f *fakePodman, c *fakeContainer, result string) {
			c.Health = result
			f.event("container", "health_status", c.ID, f.attributes(c, "health_status", result))
		},
	} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, nil,
				func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
					f.version = version
					one := f.run(&fakeContainer{ID: "c1", Health: "starting"})
					s := collectortest.Start(t, c.stream, w.Sink())
					pass(time.Second)
					for range 600 { // ten minutes, with a probe a second
						f.with(func(f *fakePodman) { probe(f, one, "healthy") })
						pass(time.Second)
					}
					if h := w.History("c1"); h != "set set" ||
						w.Container("c1").State.Health != workloadmeta.HealthHealthy {
						t.Errorf("it was told %s: %+v", h, w.Container("c1").State)
					}
					if n := f.Count("inspect c1"); n > 650 || version == "5.2.0" && n > 30 {
						t.Errorf("%d inspections", n)
					}
					f.with(func(f *fakePodman) { probe(f, one, "unhealthy") })
					pass(time.Second)
					if w.Container("c1").State.Health != workloadmeta.HealthUnhealthy {
						t.Error("a change is not seen")
					}
					// Its events can be switched off.
					f.with(func(*fakePodman) { one.Health = "healthy" })
					pass(31 * time.Second)
					if w.Container("c1").State.Health != workloadmeta.HealthHealthy {
						t.Error("a change without an event is not seen")
					}
					s.Stop()
				})
		})
	}
}

// A restart by the policy is no end, although Podman says "exited" in between.
func TestRestartIsNoEnd(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		one := f.run(&fakeContainer{ID: "c1", Policy: "always"})
		two := f.run(&fakeContainer{ID: "c2", Policy: "on-failure", MaxRetries: 2})
		pass(time.Second)
		for range 5 {
			f.die(one, 1)
			pass(200 * time.Millisecond)
			f.with(func(f *fakePodman) { one.RestartCount++; f.start(one) })
			pass(time.Second)
		}
		if h := w.History("c1"); strings.Contains(h, "unset") ||
			w.Container("c1").RestartCount != 5 {
			t.Errorf("it was told %s: %+v", h, w.Container("c1"))
		}
		f.with(func(*fakePodman) { two.RestartCount = 2 })
		f.die(two, 3)
		pass(100 * time.Millisecond)
		if w.ExitOf("c2") != "3" {
			t.Error("a container that is not started again any more has not ended at once")
		}
		f.die(one, 137) // somebody stops it; Podman 4 does not say so
		pass(time.Second)
		if w.ExitOf("c1") != "137" {
			t.Errorf("c1: %s, %s", w.History("c1"), w.ExitOf("c1"))
		}
		s.Stop()
	})
}

func TestImageEvents(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		f.image("tag", imageA, "localhost/app:1", "localhost/app:2")
		f.run(&fakeContainer{ID: "c1", ImageID: imageA})
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		f.image("remove", imageA, "localhost/app:1") // one of several names
		pass(time.Second)
		if got := tags(w, imageA); got != "[localhost/app:1]" {
			t.Errorf("after one of its names has gone the image has %s", got)
		}
		f.image("tag", imageB, "localhost/app:1") // takes the name away
		f.with(func(f *fakePodman) { f.images[imageA].Tags = nil })
		pass(time.Second)
		if tags(w, imageA) != "[]" || tags(w, imageB) != "[localhost/app:1]" {
			t.Errorf("images: %s, %s", tags(w, imageA), tags(w, imageB))
		}
		if got := w.Container("c1").Image; got.Name != "localhost/app" || got.ID != imageA {
			t.Errorf("the container's image is %+v", got)
		}
		f.with(func(f *fakePodman) {
			delete(f.images, imageB)
			f.event("image", "remove", imageB[7:], map[string]string{"name": "localhost/app:1"})
		})
		pass(time.Second)
		if tags(w, imageB) != "gone" {
			t.Errorf("after its last name has gone: %s", tags(w, imageB))
		}
		f.with(func(f *fakePodman) { // of an archive only the name is told
			f.images[imageB] = &fakeImage{ID: imageB, Tags: []string{"localhost/app:9"}}
			f.event("image", "loadfromarchive", "", map[string]string{"name": "/tmp/x.tar"})
		})
		pass(2 * time.Second)
		if tags(w, imageB) != "[localhost/app:9]" {
			t.Errorf("loaded: %s", tags(w, imageB))
		}
		s.Stop()
	})
}

func TestReasonsOfAFailedConnection(t *testing.T) {
	for _, tc := range []struct {
		name string
		down error
		hang string
		want string
	}{
		{"frozen", nil, "", "podman at /a.sock does not answer within 5s; restart its service"},
		{"frozen later", nil, "json", "podman at /a.sock does not answer: "},
		{"refused", syscall.ECONNREFUSED, "none", "connection refused on /a.sock; start it with `systemctl"},
		{"gone", syscall.ENOENT, "none", "no socket at /a.sock; start it with `systemctl"},
	} {
		inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
			f.Hang(tc.hang)
			f.with(func(f *fakePodman) { f.down = tc.down })
			s := collectortest.Start(t, c.stream, w.Sink())
			pass(c.opts.CallTimeout)
			if !s.Over() || !strings.HasPrefix(workloadmeta.ProblemOf(s.Err).String(), tc.want) {
				t.Errorf("%s: over: %v, %v; want %q", tc.name, s.Over(), s.Err, tc.want)
			}
			s.Stop()
		})
	}
}

func TestRepeatedEventsChangeNothing(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		w.OnlyNews = true // every connection tells once what is there
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		one := f.run(&fakeContainer{ID: "c1"})
		pass(100 * time.Millisecond)
		f.with(func(f *fakePodman) {
			f.event("container", "pause", "c1", f.attributes(one))
			one.Status = "paused"
			// Stamped before what has been sent already.
			f.eventAt(time.Now().Add(-18*time.Millisecond), "image", "pull", "",
				map[string]string{"name": "localhost/app:1"})
		})
		pass(100 * time.Millisecond)
		told := w.History("c1")
		f.KillStreams() // the next one sends the last second's events again
		pass(5 * time.Second)
		if h := w.History("c1"); h != told || c.Sockets()[0].Stats.Duplicates < 3 {
			t.Errorf("it was told %s, then %s; %d repetitions", told,
				h, c.Sockets()[0].Stats.Duplicates)
		}
		s.Stop()
	})
}

func TestPanicIsTheEventsError(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, c *Collector, w *collectortest.World) {
		c.decode = func(line []byte) (*message, error) {
			if strings.Contains(string(line), "bomb") {
				panic("boom")
			}
			return decodeEvent(line)
		}
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		f.run(&fakeContainer{ID: "bomb"})
		f.with(func(f *fakePodman) { f.Log = nil; f.event("container", "not json", "", nil) })
		f.run(&fakeContainer{ID: "c1"})
		pass(2 * time.Second)
		// found by the lists
		if w.Containers() != "bomb c1" || c.Sockets()[0].Stats.DecodePanics == 0 {
			t.Errorf("containers %s, stats %+v", w.Containers(), c.Sockets()[0].Stats)
		}
		s.Stop()
	})
}

// A goroutine that nobody guards takes the whole process with it.
func TestPanicWhileReadingTheStreamIsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, client := range map[string]transport{
			"before the answer": func(*http.Request) (*http.Response, error) { panic("boom") },
			"in the answer": func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(panicReader{})},
					nil
			},
		} {
			s := newTestService(t)
			s.http = &http.Client{Transport: client}
			events, err := s.Events(t.Context(), time.Now())
			if err == nil {
				_, err = events.Next()
				events.Close() //nolint:errcheck // it never fails
			}
			if err == nil || !strings.Contains(err.Error(), "panic: boom") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("boom") }

func TestOneStreamAtATime(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, _ *fakePodman, c *Collector, w *collectortest.World) {
		s := collectortest.Start(t, c.stream, w.Sink())
		pass(time.Second)
		if err := c.stream(t.Context(), w.Sink()); err == nil ||
			!strings.Contains(err.Error(), "running already") {
			t.Errorf("a second Stream = %v", err)
		}
		s.Stop()
	})
}

// containers/podman#14885: a container that is said to run for ever, because nobody has told Podman
// of its end.
func TestBug33RunningWithoutAProcess(t *testing.T) {
	const id = "1111111111111111111111111111111111111111111111111111111111111111"
	const other = "2222222222222222222222222222222222222222222222222222222222222222"
	root := t.TempDir()
	process := func(pid, cgroup string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Join(root, pid), 0o755),
			os.WriteFile(filepath.Join(root, pid, "cgroup"), []byte(cgroup), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	process("10", "0::/machine.slice/libpod-"+id+".scope/container\n")
	process("11", "0::/machine.slice/libpod-"+other+".scope\n")
	process("12", "0::/user.slice/session-1.scope\n")
	for _, tc := range []struct {
		procs processes
		pid   int
		gone  bool
	}{
		{processes{root: root, groups: true}, 10, false},
		// the number is another container's by now
		{processes{root: root, groups: true}, 11, true},
		{processes{root: root, groups: true}, 12, false}, // not known to be another's
		{processes{root: root, groups: true}, 13, true},
		{processes{root: root, groups: true}, 0, false},
		{processes{root: root}, 11, false}, // rootless containers may have no cgroup of their own
		{processes{root: root}, 13, true},
		{processes{}, 13, false}, // processes of another machine
	} {
		if got := tc.procs.gone(tc.pid, id); got != tc.gone {
			t.Errorf("%+v: process %d gone = %v", tc.procs, tc.pid, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := newTestService(t)
		s.procs = processes{root: root, groups: true}
		look := func(pid int) *workloadmeta.Container {
			in := containerEntry{ID: id, State: "running", PID: pid, StartedAt: 5}
			c, err := mapList(&in)
			if err != nil {
				t.Fatal(err)
			}
			s.complete(c.Entity)
			return c.Entity
		}
		if c := look(13); !c.State.Running {
			t.Error("it has only just ended; Podman may still tell how")
		}
		time.Sleep(6 * time.Second)
		if c := look(13); c.State.Running || c.State.Status != workloadmeta.StatusStopped ||
			c.State.ExitCode != nil || c.PID != 0 {
			t.Errorf("it is %+v", c.State)
		}
		look(10)
		if c := look(13); !c.State.Running {
			t.Error("it had a process since")
		}
	})
}

func TestCgroupInode(t *testing.T) {
	root, inode := runtimetest.Machine(t, 1000, "/machine.slice/c1")
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.image("tag", imageA, "localhost/app:1")
		f.run(&fakeContainer{ID: "c1", ImageID: imageA})
		o, err := Options{Dial: dialer(map[string]*fakePodman{"/a.sock": f}),
			Log: slog.New(slog.DiscardHandler)}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		s := newService(address{"unix", "/a.sock"}, &o, o.Log)
		defer s.close()
		if err := s.connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		inspect := func(procs processes, want uint64) *workloadmeta.Container {
			t.Helper()
			s.procs = procs
			c, err := s.Inspect(t.Context(), "c1")
			if err != nil || c.Entity.PID != 1000 || c.Entity.CgroupInode != want {
				t.Errorf("%+v, %v; want inode %d", c.Entity, err, want)
			}
			return c.Entity
		}
		inspect(processes{}, 0) // on another machine
		c := inspect(processes{root: root}, inode)
		again := *c
		again.PID++
		if got := overlay(c, &again); got.PID != c.PID+1 || got.CgroupInode != 0 {
			t.Errorf("another run has the inode of the first: %+v", got)
		}
		if lost(&again); again.CgroupInode != 0 {
			t.Errorf("an inode without a process: %+v", again)
		}
	})
}

// DataDog/datadog-agent#41524: with cgroup v2 the process of a rootless container is in a group
// below the container's; containers/podman#20225: with v1 it has none of its own.
func TestBug31CgroupOfRootlessContainers(t *testing.T) {
	got, err := mapInspect(collectortest.Read[containerAnswer](t,
		handmade+"/inspect/rootless.json"), builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Entity.CgroupPath; !strings.HasPrefix(p, "/user.slice/user-1000.slice/") ||
		!strings.HasSuffix(p, got.Key+".scope") {
		t.Errorf("cgroup = %q", p)
	}
	var in containerAnswer
	in.ID, in.State.Status, in.State.PID = "c1", "running", 5
	if got, err = mapInspect(&in, builtIn(t)); err != nil || got.Entity.CgroupPath != "" ||
		got.Entity.PID != 5 {
		t.Errorf("without a cgroup: %+v, %v", got.Entity, err)
	}
}

// From Podman 4 on the keys of ports and addresses in its database are others, and from 4.8 on so
// is the database (DataDog/datadog-agent#22387, #24373): readers of it saw nothing any more. The
// REST API is what Podman promises to keep.
func TestBug28And29PortsAddressesAndExitCodes(t *testing.T) {
	for _, tc := range []struct{ file, ips, ips6, ports, code string }{
		{recordings + "/inspect/web.json", "map[back:10.97.252.3 front:10.97.251.4]", "map[front:fd00:97:251::4]", "[{ 53 udp 0} { 80 tcp 18081} { 9000 udp 18061} { 9001 udp 18062} { 9002 udp 18063}]", "not ended"},
		{recordings + "/inspect/stopped.json", "map[]", "map[]", "[]", "3"},
		{recordings + "/inspect/failed.json", "map[]", "map[]", "[]", "4"},
		{handmade + "/inspect/rootless.json", "map[]", "map[]", "[{ 80 tcp 8080} { 80 udp 8080} { 81 tcp 8081} { 81 udp 8081} { 443 tcp 0}]", "not ended"},
	} {
		got, err := mapInspect(collectortest.Read[containerAnswer](t, tc.file), builtIn(t))
		if err != nil {
			t.Fatal(err)
		}
		c := got.Entity
		code := collectortest.ExitOf(c)
		if c.State.ExitCode == nil {
			code = "not ended"
		}
		if fmt.Sprint(c.NetworkIPs) != tc.ips || fmt.Sprint(c.NetworkIPv6s) != tc.ips6 ||
			fmt.Sprint(c.Ports) != tc.ports || code != tc.code {
			t.Errorf("%s: %v %v %v %s", tc.file, c.NetworkIPs, c.NetworkIPv6s, c.Ports, code)
		}
	}
}

// Maps that only ever grew.
func TestBug41CachesAreBounded(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, f *fakePodman, _ *Collector, _ *collectortest.World) {
		o, err := Options{Dial: dialer(map[string]*fakePodman{"/a.sock": f}),
			Log: slog.New(slog.DiscardHandler)}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		s := newService(address{"unix", "/a.sock"}, &o, o.Log)
		defer s.close()
		if err := s.connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.procs = processes{root: t.TempDir()}
		for i := range 2 * maxExposed {
			id := fmt.Sprintf("sha256:%064x", i)
			f.image("tag", id, fmt.Sprintf("localhost/app:%d", i))
			c := f.run(&fakeContainer{ID: fmt.Sprint("c", i), ImageID: id, Health: "healthy",
				Pod: fmt.Sprintf("pod%060d", i), PodName: "pod"})
			if _, err := s.Inspect(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
			f.remove(c)
		}
		if s.exposed.Len() > maxExposed || len(s.checked) == 0 || len(s.missed) == 0 ||
			len(s.pods) == 0 {
			t.Errorf("%d %d %d %d", s.exposed.Len(), len(s.checked), len(s.missed), len(s.pods))
		}
		if _, err := s.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(s.checked) != 0 || len(s.missed) != 0 || len(s.pods) != 0 {
			t.Errorf("after a list: %d %d %d", len(s.checked), len(s.missed), len(s.pods))
		}
	})
}

func TestLongAndBrokenLines(t *testing.T) {
	long := `{"Type":"container","Action":"start","Actor":{"ID":"` + strings.Repeat("x", 100_000) +
		`"}}`
	r := strings.NewReader(long + "\n\n" + strings.Repeat("y", mapping.MaxEvent+1) + "\n{}\n" +
		`{"Type":"image","Action":"tag"}`)
	in := mapping.NewLines(r)
	if line, err := in.Next(); err != nil || string(line) != long {
		t.Errorf("a long line: %d bytes, %v", len(line), err)
	}
	if _, err := in.Next(); !errors.Is(err, mapping.ErrLongEvent) {
		t.Errorf("a line that is too long: %v", err)
	}
	if line, err := in.Next(); err != nil || string(line) != "{}" {
		t.Errorf("the line after it: %q, %v", line, err)
	}
	if line, err := in.Next(); err != nil || !strings.Contains(string(line), "tag") {
		t.Errorf("a line without an end: %q, %v", line, err)
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}
