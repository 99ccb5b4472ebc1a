package cri

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/test/unprivileged"
	"go.uber.org/fx"
)

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(path("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	quiet, err := net.Listen("unix", path("quiet"))
	if err != nil {
		t.Fatal(err)
	}
	quiet.(*net.UnixListener).SetUnlinkOnClose(false)
	quiet.Close() // the file stays, nobody listens
	open := newFake().socket(t)
	for _, tc := range []struct {
		socket string
		state  workloadmeta.DetectionState
		words  string
	}{
		{path("missing"), workloadmeta.Absent, "no socket at " + path("missing") + "; set cri_socket_path"},
		{path("folder"), workloadmeta.Absent, "is a folder"},
		{path("quiet"), workloadmeta.Detected, "nobody answers"},
		{open, workloadmeta.Detected, "socket at " + open},
		{"unix://" + open, workloadmeta.Detected, "socket at " + open},
	} {
		got := newCollector(t, tc.socket, nil).Detect(context.Background())
		if got.State != tc.state || !strings.Contains(got.String(), tc.words) {
			t.Errorf("%s: %s, %q; want %s, %q", tc.socket, got.State, got.String(), tc.state,
				tc.words)
		}
	}
}

func TestDetectDefaultSockets(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	c := newCollector(t, "", nil)
	all := strings.Join(DefaultSockets(), " ")
	for _, want := range []string{"/run/crio/crio.sock", "/var/run/crio/crio.sock",
		"/host/run/crio/crio.sock", "/run/cri-dockerd.sock"} {
		if !strings.Contains(all+" ", want+" ") {
			t.Errorf("%s is not looked at", want)
		}
	}
	if strings.Contains(all, "containerd.sock") {
		t.Error("containerd's socket is looked at without being asked for")
	}
	if all := newCollector(t, "", func(o *Options) {
		o.UseContainerd = true
	}).sockets; !strings.Contains(strings.Join(all, " "), "/run/containerd/containerd.sock") {
		t.Error("UseContainerd does not look at containerd's socket")
	}

	c.sockets, c.docker = []string{path("none"), path("nor-here")}, nil
	got := c.Detect(t.Context())
	if got.State != workloadmeta.Absent ||
		!strings.HasPrefix(got.String(), "no socket at "+path("none")+" or ") ||
		!strings.Contains(got.String(), "set cri_socket_path, or collectors.cri to on") {
		t.Errorf("nothing there: %v", got)
	}
	if _, err := c.tryPull(); err == nil || workloadmeta.ProblemOf(err).String() != got.String() {
		t.Errorf("Pull without a socket: %v", err)
	}

	// A socket at which nobody listens gives way to one at which somebody does. A link to it is the
	// same socket.
	f := newFake()
	f.add(0, running)
	open := f.socket(t)
	link := path("link")
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	quiet, err := net.Listen("unix", path("quiet"))
	if err != nil {
		t.Fatal(err)
	}
	quiet.(*net.UnixListener).SetUnlinkOnClose(false)
	quiet.Close() // the file stays, nobody listens
	c.sockets = []string{path("quiet"), link, open}
	if got := c.Detect(t.Context()); got.State != workloadmeta.Detected ||
		got.String() != "socket at "+link {
		t.Errorf("%v", got)
	}
	if a := c.pull(); len(a.containers) != 1 {
		t.Errorf("%v", a)
	}
	if n := f.count("Version"); n != 1 {
		t.Errorf("detection and pull asked %d times for the version", n)
	}
	c = newCollector(t, "", nil)
	c.sockets = []string{path("quiet"), path("none")}
	if got := c.Detect(t.Context()); got.State != workloadmeta.Detected ||
		!strings.Contains(got.String(), "nobody answers") {
		t.Errorf("only a quiet one: %v", got)
	}
}

// The containers of cri-dockerd are Docker's, which another collector reports under the same
// source.
func TestCRIDockerdIsLeftToDocker(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "cri-dockerd.sock")
	f := newFake()
	f.version.RuntimeName = "docker"
	id := f.add(0, running)
	f.serve(t, socket)
	docker := newFake().socket(t)
	c := newCollector(t, "", nil)
	c.sockets, c.docker = []string{socket}, []string{docker}
	if got := c.Detect(t.Context()); got.State != workloadmeta.Absent ||
		!strings.Contains(got.String(), "collected by the docker collector; set cri_socket_path") {
		t.Errorf("with Docker: %v", got)
	}
	c.docker = []string{filepath.Join(dir, "no-docker.sock")}
	if k := c.pull().containers[id]; k == nil || k.Runtime != workloadmeta.RuntimeDocker {
		t.Errorf("without Docker: %+v", k)
	}
	c = newCollector(t, socket, nil)
	c.docker = []string{docker}
	if got := c.Detect(t.Context()); got.State != workloadmeta.Detected {
		t.Errorf("asked for: %v", got)
	}
}

// Acceptance 2.
func TestPermissionDenied(t *testing.T) { unprivileged.Run(t, testPermissionDenied) }

func testPermissionDenied(t *testing.T) {
	path := newFake().socket(t)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	c := newCollector(t, path, nil)
	if got := c.Detect(context.Background()); got.State != workloadmeta.Absent ||
		!strings.Contains(got.String(), "permission denied on "+path+"; run as root") {
		t.Errorf("%v", got)
	}
	// Where detection is overruled the error says it, too.
	if _, err := c.tryPull(); err == nil ||
		workloadmeta.CauseOf(err) != workloadmeta.CauseDenied ||
		!strings.Contains(workloadmeta.ProblemOf(err).String(), "permission denied; run as root") {
		t.Errorf("pull: %v", err)
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	for words, o := range map[string]Options{
		`Socket: it is "crio.sock"`: {Socket: "crio.sock"},
		`Socket: it is "tcp://x:1"`: {Socket: "tcp://x:1"},
		`Socket: it is "unix://x"`:  {Socket: "unix://x"},
		"CallTimeout is negative":   {CallTimeout: -1},
		"StatusWait is negative":    {StatusWait: -1},
		"ImagePeriod is negative":   {ImagePeriod: -time.Second},
		"Workers is negative":       {Workers: -1},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%+v: %v, want %q", o, err, words)
		}
	}
}

func TestModule(t *testing.T) {
	type in struct {
		fx.In
		Collectors []workloadmeta.Collector `group:"collectors"`
	}
	for _, supply := range []fx.Option{fx.Options(),
		fx.Supply(Options{Socket: "/somewhere/cri.sock", NoImages: true})} {
		app := fx.New(fx.NopLogger, Module, supply, fx.Invoke(func(in in) {
			if len(in.Collectors) != 1 || in.Collectors[0].Describe().ID != "cri" ||
				in.Collectors[0].Describe().Source != workloadmeta.SourceRuntime {
				t.Errorf("collectors = %v", in.Collectors)
			}
			if _, ok := in.Collectors[0].(workloadmeta.Puller); !ok {
				t.Error("it is no Puller")
			}
		}))
		if app.Err() != nil {
			t.Error(app.Err())
		}
	}
}
