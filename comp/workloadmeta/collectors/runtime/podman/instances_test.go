package podman

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// supervised is a collector that runs under the real supervisor, over the real store.
type supervised struct {
	*collection.Supervisor
	t     *testing.T
	store *store.Store
}

func supervise(t *testing.T, c *Collector) *supervised {
	t.Helper()
	s := store.New(store.Options{})
	runs, err := collection.New(collection.Options{Store: s,
		Collectors: []workloadmeta.Collector{c}, Log: c.opts.Log})
	if err != nil {
		t.Fatal(err)
	}
	if err := runs.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runs.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return &supervised{runs, t, s}
}

// want compares the containers, and the tags of imageA.
func (s *supervised) want(what, containers, tags string) {
	s.t.Helper()
	var ids []string
	for c := range s.store.Containers() {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	have := "gone"
	if i, err := s.store.GetContainerImage(imageA); err == nil {
		have = fmt.Sprint(i.RepoTags)
	}
	if got := strings.Join(ids, " "); got != containers || have != tags {
		s.t.Errorf("%s: containers %q, image %s; want %q and %s", what, got, have, containers, tags)
	}
}

// of returns the state of what is at an address, and why.
func (s *supervised) of(address string) string {
	for _, st := range s.Status() {
		if st.ID == "podman@"+address {
			return fmt.Sprintf("%s: %s", st.State, st.Problem)
		}
	}
	return "not told"
}

// DataDog/datadog-agent#47584: one user only.
func TestBug30SeveralUsersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, user := newFake(t), newFake(t)
		root.image("tag", imageA, "localhost/app:1")
		user.image("tag", imageA, "localhost/app:1", "localhost/mine:1")
		root.run(&fakeContainer{ID: "c1", ImageID: imageA})
		ofUser := user.run(&fakeContainer{ID: "c2", ImageID: imageA})
		user.down = syscall.ECONNREFUSED
		c := newTestCollector(t, map[string]*fakePodman{"/a.sock": root, "/b.sock": user}, nil)
		s := supervise(t, c)
		if _, err := s.WaitFirstPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.want("at first", "c1", "[localhost/app:1]")
		user.with(func(f *fakePodman) { f.down = nil })
		pass(30 * time.Second)
		s.want("when the user is there", "c1 c2", "[localhost/app:1 localhost/mine:1]")
		// One that fails takes nothing away, and does not disturb the other.
		user.stop(syscall.ECONNREFUSED)
		root.run(&fakeContainer{ID: "c3"})
		pass(time.Minute)
		s.want("when the user's fails", "c1 c2 c3", "[localhost/app:1 localhost/mine:1]")
		if got := s.of("/a.sock"); !strings.HasPrefix(got, "live") {
			t.Errorf("root's is %s", got)
		}
		if got := s.of("/b.sock"); !strings.HasPrefix(got, "degraded") ||
			!strings.Contains(got, "connection refused on /b.sock; start it with") {
			t.Errorf("the user's is %s", got)
		}
		if n := user.Count("dial"); n > 60 { // each attempt looks first
			t.Errorf("%d attempts in a minute", n)
		}
		user.with(func(f *fakePodman) {
			delete(f.containers, "c2")
			delete(f.images, imageA)
			f.event("container", "died", "c2", f.attributes(ofUser, "containerExitCode", "8"))
			f.down = nil
		})
		pass(time.Minute)
		s.want("when it is back", "c1 c3", "[localhost/app:1]")
	})
}

func TestNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newFake(t), newFake(t)
		a.run(&fakeContainer{ID: "c1"})
		b.run(&fakeContainer{ID: "c2"})
		c := newTestCollector(t, map[string]*fakePodman{"/a.sock": a, "/b.sock": b}, nil)
		s := supervise(t, c)
		pass(time.Second)
		a.stop(syscall.ECONNREFUSED)
		b.stop(syscall.ECONNREFUSED)
		pass(time.Minute)
		s.want("nobody answers", "c1 c2", "gone")
		// One comes back first. That the other does not answer takes nothing away.
		a.with(func(f *fakePodman) { f.down = nil; delete(f.containers, "c1") })
		pass(time.Minute)
		s.want("one is back", "c2", "gone")
		b.with(func(f *fakePodman) { f.down = nil; delete(f.containers, "c2") })
		pass(time.Minute)
		s.want("both are back", "", "gone")

		a.stop(syscall.EACCES)
		b.stop(syscall.EACCES)
		pass(time.Minute)
		for _, address := range []string{"/a.sock", "/b.sock"} {
			if got := s.of(address); !strings.HasSuffix(got,
				"permission denied on "+address+"; "+permissionHint) {
				t.Errorf("%s is %s", address, got)
			}
		}
	})
}

// A service that hangs delays the others' first pass by the time limit of a call, and not what they
// report.
func TestServiceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad, refused := newFake(t), newFake(t), newFake(t)
		good.run(&fakeContainer{ID: "c1"})
		bad.run(&fakeContainer{ID: "c2"})
		bad.Hang("_ping")
		refused.down = syscall.ECONNREFUSED
		c := newTestCollector(t, map[string]*fakePodman{"/a.sock": good, "/b.sock": bad,
			"/c.sock": refused}, nil)
		s := supervise(t, c)
		began := time.Now()
		if _, err := s.WaitFirstPass(t.Context()); err != nil ||
			time.Since(began) > 15*time.Second {
			t.Errorf("first pass after %s: %v", time.Since(began), err)
		}
		s.want("at first", "c1", "gone")
		if got := s.of("/b.sock"); !strings.HasPrefix(got,
			"degraded: stream: podman at /b.sock does not answer within 5s; restart") &&
			!strings.HasPrefix(got,
				"degraded: podman at /b.sock does not answer within 5s; restart") {
			t.Errorf("frozen: %q", got)
		}
		if got := s.of("/c.sock"); !strings.Contains(got,
			"connection refused on /c.sock; start it with") {
			t.Errorf("refused: %q", got)
		}
		bad.Fail(nil)
		pass(time.Minute)
		s.want("after it has been mended", "c1 c2", "gone")
		good.Hang("") // the stream is open and silent, and nothing is answered
		pass(30 * time.Second)
		if got := s.of("/a.sock"); strings.HasPrefix(got, "live") {
			t.Errorf("hung: %s", got)
		}
		s.want("when the other hangs", "c1 c2", "gone")
	})
}

// Known bug: a path that was misspelt among the configured ones was nowhere to be seen.
func TestWhatIsMissingIsTold(t *testing.T) {
	dir := t.TempDir()
	good, missing, pattern := filepath.Join(dir, "p.sock"), filepath.Join(dir,
		"nope.sock"), filepath.Join(dir, "*", "p.sock")
	collectortest.ServeSocket(t, good, newFake(t))
	c, err := New(Options{Sockets: []string{good, "unix://" + missing, missing, pattern},
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.places = append(c.places, place{"ssh://core:secret@host/p.sock", false, true})
	s := supervise(t, c)
	outcomes, err := s.WaitFirstPass(t.Context())
	if err != nil || len(outcomes) != 3 || len(s.Status()) != 2 {
		t.Errorf("outcomes %+v, %v; status %+v", outcomes, err, s.Status())
	}
	if got := s.of(missing); !strings.HasPrefix(got,
		"waiting: no socket at "+missing+"; start it with `systemctl enable --now podman.socket`") {
		t.Errorf("of the missing socket: %q", got)
	}
	if got := c.Detect(t.Context()).String(); !strings.Contains(got,
		"scheme ssh is not supported; want a path") || strings.Contains(got, "secret") {
		t.Errorf("of the address that makes no sense: %q", got)
	}
	if got := c.missing().String(); strings.Contains(got, "secret") {
		t.Errorf("of what is missing: %q", got)
	}
}

// Docker may be what DOCKER_HOST names.
func TestDockerIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		podman, docker := newFake(t), newFake(t)
		docker.version = ""
		podman.run(&fakeContainer{ID: "c1"})
		c := newTestCollector(t, map[string]*fakePodman{"/a.sock": podman, "/b.sock": docker}, nil)
		c.places = []place{{"/a.sock", false, true}, {"unix:///b.sock", true, false}}
		s := supervise(t, c)
		pass(time.Minute)
		s.want("beside Docker", "c1", "gone")
		if s.of("/b.sock") != "not told" || docker.Count("dial") != 1 {
			t.Errorf("Docker: %s, %d attempts", s.of("/b.sock"), docker.Count("dial"))
		}
		found := c.Detect(t.Context())
		if found.State != workloadmeta.Detected || strings.Contains(found.String(), "/b.sock") {
			t.Errorf("detection = %v %s", found.State, found.String())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		docker := newFake(t)
		docker.version = ""
		c := newTestCollector(t, map[string]*fakePodman{"/b.sock": docker}, nil)
		c.places = []place{{"unix:///b.sock", true, false}}
		s := supervise(t, c)
		pass(time.Second)
		if st := s.Status(); len(st) != 1 || st[0].State != collection.StateWaiting {
			t.Errorf("with nothing but a Docker daemon: %+v", st)
		}
	})
}

// Known bug: a Docker daemon that was down made the Podman collector degraded, or gave advice about
// Podman.
func TestDockerThatIsDownIsNotOurs(t *testing.T) {
	hangs := errors.New("hangs")
	for _, down := range []error{syscall.ECONNREFUSED, syscall.EACCES, syscall.ENOENT, hangs} {
		log := &collectortest.LogCount{From: slog.LevelWarn}
		synctest.Test(t, func(t *testing.T) {
			podman, docker := newFake(t), newFake(t)
			podman.run(&fakeContainer{ID: "c1"})
			docker.version = ""
			if docker.down = down; down == hangs {
				docker.down = nil
				docker.Hang("")
			}
			c := newTestCollector(t, map[string]*fakePodman{"/a.sock": podman, "/b.sock": docker},
				func(o *Options) { o.Log = slog.New(log) })
			c.places = []place{{"/a.sock", false, true}, {"unix:///b.sock", true, false}}
			s := supervise(t, c)
			pass(10 * time.Second)
			s.want("beside Docker", "c1", "gone")
			if len(s.Status()) != 1 || s.of("/b.sock") != "not told" {
				t.Errorf("%v: %+v", down, s.Status())
			}
			if n := log.N(); n != 0 {
				t.Errorf("%v: %d warnings in the log", down, n)
			}
			alone := newTestCollector(t, map[string]*fakePodman{"/b.sock": docker}, nil)
			alone.places = c.places[1:]
			if found := alone.Detect(t.Context()); found.State != workloadmeta.Absent ||
				strings.Contains(found.String(), "b.sock") ||
				strings.Contains(found.String(), "whose socket") {
				t.Errorf("%v: detection = %v %s", down, found.State, found.String())
			}
			// It was Podman's, after all.
			docker.Fail(nil)
			docker.with(func(f *fakePodman) { f.down, f.version = nil, "4.3.1" })
			pass(time.Minute)
			if got := s.of("/b.sock"); got != "live: podman 4.3.1 answers at /b.sock" {
				t.Errorf("%v: a Podman there is %q", down, got)
			}
			docker.stop(syscall.EACCES)
			pass(time.Minute)
			if got := s.of("/b.sock"); !strings.Contains(got, "permission denied on /b.sock") {
				t.Errorf("%v: a Podman there that is down: %s", down, got)
			}
		})
	}
}
