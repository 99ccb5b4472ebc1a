package docker_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/unprivileged"
	"go.uber.org/fx"
)

// detect looks in a bubble, in which no time-out is over while the kernel has to say something,
// however busy this machine is.
func detect(t *testing.T, c *docker.Collector) (found workloadmeta.Detection) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { found = c.Detect(t.Context()) })
	return found
}

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(path("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	quiet, err := net.Listen("unix", path("refused"))
	if err != nil {
		t.Fatal(err)
	}
	quiet.(*net.UnixListener).SetUnlinkOnClose(false)
	quiet.Close() // the file stays, nobody listens
	hung, err := net.Listen("unix", path("hung"))
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close() // at the test's end
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close() // now nobody listens there
	_, docker20 := onSocket(t)
	fake, podman := onSocket(t)
	fake.header["Server"] = "Libpod/4.3.1 (linux)"

	for _, tc := range []struct {
		host  string
		state workloadmeta.DetectionState
		words string
	}{
		{"unix://" + path("missing"), workloadmeta.Absent, "no socket at " + path("missing") + "; set docker.host or DOCKER_HOST"},
		{"unix://" + path("folder"), workloadmeta.Absent, "is a folder"},
		{"unix://" + path("file"), workloadmeta.Absent, "is not a socket"},
		{"unix://" + path("refused"), workloadmeta.Detected, "connection refused"},
		{"unix://" + path("hung"), workloadmeta.Detected, "deadline"},
		{"unix://" + docker20, workloadmeta.Detected, "docker answers at unix://" + docker20 + ", API 1.41"},
		{"unix://" + podman, workloadmeta.Absent, "podman answers at unix://" + podman + "; it is collected by the podman collector"},
		{"tcp://" + free.Addr().String(), workloadmeta.Absent, "cannot reach tcp://" + free.Addr().String()},
	} {
		c := newCollector(t, nil, func(o *docker.Options) { o.Host = tc.host })
		look := detect
		if tc.words == "deadline" {
			look = func(t *testing.T, c *docker.Collector) workloadmeta.Detection {
				return c.Detect(t.Context())
			}
		}
		if got := look(t, c); got.State != tc.state || !strings.Contains(got.String(), tc.words) {
			t.Errorf("%s: %s, %q; want %s, %q", tc.host, got.State, got.String(), tc.state,
				tc.words)
		}
	}
}

func TestDetectDefaultSockets(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	dir := t.TempDir()
	f, path := onSocket(t)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	c := newCollector(t, nil, func(o *docker.Options) { o.Host = "" })

	docker.SetSockets(c, missing, filepath.Join(dir, "too"))
	if got := detect(t, c); got.State != workloadmeta.Absent ||
		!strings.HasPrefix(got.String(), "no socket at "+missing+" or ") {
		t.Errorf("nothing there: %v", got)
	}
	w := collectortest.NewWorld()
	s := start(t, c, w)
	<-s.Done
	if s.Err == nil || !strings.Contains(s.Err.Error(), "no socket at") {
		t.Errorf("Stream without a socket: %v", s.Err)
	}

	f.with(func(f *fakeDocker) { f.header["Server"] = "Libpod/4" })
	docker.SetSockets(c, missing, link, path)
	if got := detect(t, c); got.State != workloadmeta.Absent ||
		strings.Count(got.String(), "podman") != 2 || f.Count("ping") != 1 {
		t.Errorf("one socket under two names was asked %d times: %v", f.Count("ping"), got)
	}
	f.with(func(f *fakeDocker) { f.header["Server"] = "Docker" })
	if got := detect(t, c); got.State != workloadmeta.Detected ||
		!strings.Contains(got.String(), link) {
		t.Errorf("second path: %v", got)
	}
}

func TestPermissionDenied(t *testing.T) { unprivileged.Run(t, testPermissionDenied) }

func testPermissionDenied(t *testing.T) {
	_, path := onSocket(t)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	c := newCollector(t, nil, func(o *docker.Options) { o.Host = "unix://" + path })
	if got := detect(t, c); got.State != workloadmeta.Absent ||
		!strings.Contains(got.String(), "add the user to group docker or run as root") {
		t.Errorf("%v", got)
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	for host, words := range map[string]string{
		"docker.sock":          `option Host: docker host "docker.sock"`,
		"ssh://me@there":       `"ssh://me@there": scheme ssh is not supported`,
		"npipe:////./pipe/d":   "Windows",
		"unix://":              `"unix://"`,
		"tcp://[::1":           `"tcp://[::1"`,
		"fd://docker.sock":     "fd",
		"/var/run/docker.sock": "want unix:///path",
	} {
		if _, err := docker.New(docker.Options{Host: host}); err == nil ||
			!strings.Contains(err.Error(), words) {
			t.Errorf("Host %q: %v, want %q", host, err, words)
		}
	}
	// What serves Docker's own client is no mistake; there is only nothing to collect.
	for host, words := range map[string]string{
		"nonsense":       `DOCKER_HOST: docker host "nonsense"`,
		"ssh://me@there": "DOCKER_HOST: docker host \"ssh://me@there\": scheme ssh is not supported",
	} {
		t.Setenv("DOCKER_HOST", host)
		c, err := docker.New(docker.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d := c.Detect(t.Context()); d.State != workloadmeta.Absent ||
			d.Cause != workloadmeta.CauseInvalid || !strings.HasPrefix(d.Reason, words) ||
			d.Hint == "" {
			t.Errorf("DOCKER_HOST=%s: %+v", host, d)
		}
	}
	if _, err := docker.New(docker.Options{Host: "unix:///x",
		Tuning: docker.Tuning{Coalesce: -1}}); err == nil ||
		!strings.Contains(err.Error(), "Coalesce") {
		t.Errorf("Coalesce: %v", err)
	}
	if _, err := docker.New(docker.Options{Host: "unix:///x",
		Tuning: docker.Tuning{Workers: -1}}); err == nil ||
		!strings.Contains(err.Error(), "Workers") {
		t.Errorf("Workers: %v", err)
	}
}

func TestModule(t *testing.T) {
	type in struct {
		fx.In
		Collectors []workloadmeta.Collector `group:"collectors"`
	}
	for _, supply := range []fx.Option{fx.Options(),
		fx.Supply(docker.Options{Host: "unix:///somewhere/docker.sock", NoImages: true})} {
		app := fx.New(fx.NopLogger, docker.Module, supply, fx.Invoke(func(in in) {
			if len(in.Collectors) != 1 || in.Collectors[0].Describe().ID != "docker" ||
				in.Collectors[0].Describe().Source != workloadmeta.SourceRuntime {
				t.Errorf("collectors = %v", in.Collectors)
			}
			if _, ok := in.Collectors[0].(workloadmeta.Streamer); !ok {
				t.Error("it is no Streamer")
			}
		}))
		if app.Err() != nil {
			t.Error(app.Err())
		}
	}
}
