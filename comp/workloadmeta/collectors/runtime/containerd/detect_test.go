package containerd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/unprivileged"
	"go.uber.org/fx"
	"google.golang.org/grpc"
)

// serve starts a server that knows containerd's version, or nothing, at a Unix socket.
func serve(t testing.TB, path, version string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	if version != "" {
		f := newFake(t)
		f.version = version
		versionapi.RegisterVersionServer(s, fakeVersion{f: f})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
}

// quiet leaves a socket at which nobody listens.
func quiet(t testing.TB, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
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
	quiet(t, path("refused"))
	hung, err := net.Listen("unix", path("hung"))
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close() // at the test's end
	serve(t, path("containerd"), "1.6.20")
	serve(t, path("crio"), "")
	for _, tc := range []struct {
		name  string
		state workloadmeta.DetectionState
		words string
	}{
		{"missing", workloadmeta.Absent, "no socket at " + path("missing") + "; set containerd.address or CONTAINERD_ADDRESS"},
		{"folder", workloadmeta.Absent, "is a folder"},
		{"file", workloadmeta.Absent, "is not a socket"},
		{"refused", workloadmeta.Detected, "connection refused"},
		{"hung", workloadmeta.Detected, "something listens, but"},
		{"containerd", workloadmeta.Detected, "containerd 1.6.20 answers at " + path("containerd")},
		{"crio", workloadmeta.Absent, "something else than containerd answers at " + path("crio")},
	} {
		for _, address := range []string{path(tc.name), "unix://" + path(tc.name)} {
			detect := func(t *testing.T) {
				c := newCollector(t, nil, func(o *Options) { o.Address = address })
				got := c.Detect(context.Background())
				if got.State != tc.state || !strings.Contains(got.String(), tc.words) {
					t.Errorf("%s: %s, %q; want %s, %q", tc.name, got.State, got.String(), tc.state,
						tc.words)
				}
			}
			if tc.name == "hung" {
				detect(t)
			} else {
				// In a bubble no time-out is over while the kernel has to say something, however
				// busy this machine is.
				synctest.Test(t, detect)
			}
		}
	}
}

// A link from the usual path to the socket of a Kubernetes distribution makes no second collector.
func TestALinkToADistributionsSocketIsNoOtherContainerd(t *testing.T) {
	dir := t.TempDir()
	quiet(t, dir+"/k3s")
	if err := os.Symlink(dir+"/k3s", dir+"/usual"); err != nil {
		t.Fatal(err)
	}
	for usual, want := range map[string]string{
		dir + "/usual":   "containerd@moby",
		dir + "/missing": "containerd@k3s containerd@moby",
	} {
		c := newCollector(t, nil, func(o *Options) { o.Address, o.Namespaces = "", nil })
		c.sockets, c.others.sockets = []string{usual}, []string{dir + "/k3s"}
		var ids []string
		for _, instance := range c.Instances(t.Context()) {
			ids = append(ids, instance.Describe().ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("usual path %s: %s, want %s", usual, got, want)
		}
	}
}

func TestDetectDefaultSockets(t *testing.T) {
	t.Setenv("CONTAINERD_ADDRESS", "")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	detect := func(names ...string) (string, workloadmeta.Detection) {
		t.Helper()
		c := newCollector(t, nil, func(o *Options) { o.Address = "" })
		c.sockets = nil
		for _, name := range names {
			c.sockets = append(c.sockets, path(name))
		}
		return c.find(t.Context())
	}
	if socket, d := detect("a", "b"); socket != "" || d.State != workloadmeta.Absent ||
		d.String() != "no socket at "+path("a")+" or "+path("b")+
			"; set containerd.address or CONTAINERD_ADDRESS" {
		t.Errorf("nothing there: %q, %+v", socket, d)
	}
	quiet(t, path("quiet"))
	if err := os.Symlink(path("quiet"), path("link")); err != nil {
		t.Fatal(err)
	}
	if socket, d := detect("missing", "quiet", "link"); socket != path("quiet") ||
		d.State != workloadmeta.Detected {
		t.Errorf("somebody is expected back: %q, %+v", socket, d)
	}
	quiet(t, path("other"))
	if socket, _ := detect("quiet", "other"); socket != path("quiet") {
		t.Errorf("of two at which nobody listens it is %q, not the first", socket)
	}
	serve(t, path("k3s"), "1.7")
	if socket, d := detect("quiet", "link", "k3s"); socket != path("k3s") ||
		!strings.Contains(d.String(), "containerd 1.7 answers") {
		t.Errorf("one answers: %q, %+v", socket, d)
	}
	serve(t, path("crio"), "")
	if socket, d := detect("crio", "missing"); socket != "" || d.State != workloadmeta.Absent {
		t.Errorf("something else answers: %q, %+v", socket, d)
	}
	if err := newCollector(t, nil, func(o *Options) {
		o.Address = path("missing")
	}).Stream(t.Context(), collectortest.NewWorld().Sink()); err == nil {
		t.Error("a stream without a daemon")
	}

	t.Setenv("CONTAINERD_ADDRESS", "unix://"+path("k3s"))
	c := newCollector(t, nil, func(o *Options) { o.Address = "" })
	if d := c.Detect(t.Context()); !strings.Contains(d.String(), "answers at "+path("k3s")) {
		t.Errorf("CONTAINERD_ADDRESS: %+v", d)
	}
	for _, p := range []string{"/run/containerd/containerd.sock",
		"/host/run/k3s/containerd/containerd.sock", "/var/snap/microk8s/common/run/containerd.sock",
		"/run/k0s/containerd.sock"} {
		if !strings.Contains(fmt.Sprint(DefaultSockets()), p) {
			t.Errorf("%s is not looked at", p)
		}
	}
}

func TestDetectWithoutPermission(t *testing.T) {
	unprivileged.Run(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		quiet(t, path)
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		c := newCollector(t, nil, func(o *Options) { o.Address = path })
		if d := c.Detect(t.Context()); d.State != workloadmeta.Absent ||
			!strings.Contains(d.String(), "permission denied on "+path+"; run as root") {
			t.Errorf("%+v", d)
		}
	})
}

func TestNewRefusesWhatMakesNoSense(t *testing.T) {
	t.Setenv("CONTAINERD_ADDRESS", "")
	for _, tc := range []struct {
		options Options
		words   string
	}{
		{Options{Address: "containerd.sock"}, `option Address: containerd address "containerd.sock": want a path or unix:///path`},
		{Options{Address: "tcp://1.2.3.4:5"}, "want a path"},
		{Options{Namespaces: []string{""}}, "empty names"},
		{Options{Tuning: Tuning{Workers: -1}}, "containerd collector: Workers"},
		{Options{Tuning: Tuning{CallTimeout: -1}}, "CallTimeout is negative"},
	} {
		if _, err := New(tc.options); err == nil || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%+v: %v, want %q", tc.options, err, tc.words)
		}
	}
	t.Setenv("CONTAINERD_ADDRESS", "nonsense")
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Detect(t.Context()); d.State != workloadmeta.Absent ||
		d.Cause != workloadmeta.CauseInvalid ||
		!strings.HasPrefix(d.Reason, "CONTAINERD_ADDRESS: containerd address") || d.Hint == "" {
		t.Errorf("another program's address in the environment: %+v", d)
	}
	if _, err := New(Options{Address: "/run/c.sock"}); err != nil {
		t.Errorf("the option goes before the environment: %v", err)
	}
}

func TestModule(t *testing.T) {
	t.Setenv("CONTAINERD_ADDRESS", "")
	var got []workloadmeta.Collector
	app := fx.New(fx.NopLogger, Module,
		fx.Supply(Options{Address: "/nowhere.sock", NoImages: true}, slog.New(slog.DiscardHandler)),
		fx.Invoke(fx.Annotate(func(all []workloadmeta.Collector) { got = all },
			fx.ParamTags(`group:"collectors"`))))
	if err := app.Err(); err != nil || len(got) != 1 || got[0].Describe().ID != "containerd" ||
		len(got[0].Describe().Kinds) != 1 ||
		got[0].Describe().Source != workloadmeta.SourceRuntime {
		t.Errorf("collectors %v, %v", got, err)
	}
}

// The end of a run takes no time, whatever containerd does.
func TestStreamEndsWhileContainerdHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.container("default", "web", "", nil)
		f.with(func() {
			f.fault = func(ctx context.Context, method, _, _ string) error {
				if method == "Containers/ListStream" {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
		})
		c := newCollector(t, f, func(o *Options) { o.CallTimeout = time.Hour })
		r := collectortest.Start(t, c.Stream, collectortest.NewWorld().Sink())
		eventually(t, func() string {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.calls["Containers/ListStream"] == 0 {
				return "not asked"
			}
			return ""
		})
		if r.Stop(); r.Err == nil { // which checks that it does not wait for a call
			t.Error("no error")
		}
	})
}

func ExampleCollector_Detect() {
	c, err := New(Options{Address: "/nowhere/containerd.sock"})
	if err != nil {
		fmt.Println(err)
		return
	}
	found := c.Detect(context.Background())
	fmt.Println(found.State)
	fmt.Println(found.String())
	// Output:
	// absent
	// no socket at /nowhere/containerd.sock; set containerd.address or CONTAINERD_ADDRESS
}
