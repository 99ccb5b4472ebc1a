package podman

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/unprivileged"
	"go.uber.org/fx"
)

// listen makes a socket at which somebody listens and says nothing.
func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// detectIn looks in a bubble, in which no time-out is over while the kernel has to say something,
// however busy this machine is.
func detectIn(t *testing.T, o Options, p paths) (found workloadmeta.Detection) {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.paths = p
	synctest.Test(t, func(t *testing.T) { found = c.Detect(t.Context()) })
	return found
}

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	listen(t, in("run/podman.sock"))
	listen(t, in("user/0/p.sock"))
	listen(t, in("user/1000/p.sock"))
	refused := listen(t, in("refused"))
	refused.(*net.UnixListener).SetUnlinkOnClose(false)
	refused.Close() // the file stays, nobody listens
	if err := os.Mkdir(in("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(in("run"), in("varrun")); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close() // now nobody listens there
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	storage, program := []string{in("nowhere"), in("fold*")}, in("podman")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}

	for _, tc := range []struct {
		name    string
		sockets []string
		paths   paths
		state   workloadmeta.DetectionState
		words   []string
	}{
		{"one", []string{in("run/podman.sock")}, paths{}, workloadmeta.Detected, []string{"podman socket at " + in("run/podman.sock")}},
		{"all users", []string{in("user/*/p.sock")}, paths{}, workloadmeta.Detected, []string{in("user/0/p.sock"), in("user/1000/p.sock")}},
		{"one of two", []string{in("missing"), "unix://" + in("run/podman.sock")}, paths{}, workloadmeta.Detected, []string{"podman socket at " + in("run/podman.sock")}},
		{"one is unfit", []string{in("folder"), in("run/podman.sock")}, paths{}, workloadmeta.Detected, []string{in("run/podman.sock"), "is a folder"}},
		{"expected back", []string{in("refused")}, paths{}, workloadmeta.Detected, []string{"connection refused"}},
		{"none", []string{in("missing")}, paths{}, workloadmeta.Absent, []string{"no podman socket at " + in("missing") + "; set podman.sockets or CONTAINER_HOST"}},
		{"a folder", []string{in("folder")}, paths{}, workloadmeta.Absent, []string{"is a folder, not a socket"}},
		{"only the command", []string{in("missing")}, paths{program: program}, workloadmeta.Absent,
			[]string{"podman is installed", "systemctl enable --now podman.socket",
				"systemctl --user enable --now podman.socket"}},
		{"only storage", []string{in("missing")}, paths{storage: storage}, workloadmeta.Absent,
			[]string{"container storage in " + in("folder"), "systemctl enable --now podman.socket",
				"systemctl --user enable --now podman.socket"}},
		// Known bug: it was "waiting" where a socket that refuses was "degraded", and got the
		// advice that is for sockets.
		{"a host that is away", []string{"tcp://" + free.Addr().String()}, paths{program: program},
			workloadmeta.Detected,
			[]string{"connection refused on tcp://" + free.Addr().String() +
				"; see that `podman system service` listens there"}},
		{"a host of another kind", []string{strings.Replace(web.URL, "http", "tcp", 1)}, paths{program: program}, workloadmeta.Absent, []string{"not podman answers"}},
	} {
		got := detectIn(t, Options{Sockets: tc.sockets}, tc.paths)
		for _, words := range tc.words {
			if got.State != tc.state || !strings.Contains(got.String(), words) ||
				tc.sockets[0][0] == 't' && strings.Contains(got.String(), "systemctl") {
				t.Errorf("%s: %s, %q; want %s, %q", tc.name, got.State, got.String(), tc.state,
					words)
			}
		}
	}

	// Two paths of one socket are one socket.
	c, err := New(Options{Sockets: []string{in("run/podman.sock"), in("varrun/podman.sock")}})
	if err != nil {
		t.Fatal(err)
	}
	if found := c.find(); len(found) != 1 {
		t.Errorf("found %v", found)
	}
}

// DataDog/datadog-agent#13316: an error every five seconds on each machine where Podman was merely
// installed.
func TestBug27InstalledIsNotBroken(t *testing.T) {
	log := &collectortest.LogCount{}
	c, err := New(Options{Sockets: []string{filepath.Join(t.TempDir(), "podman.sock")},
		Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if found := c.Detect(t.Context()); found.State != workloadmeta.Absent {
			t.Fatalf("detection = %v", found)
		}
		if err := c.stream(t.Context(), collectortest.NewWorld().Sink()); err == nil ||
			!strings.Contains(err.Error(), "no socket at") {
			t.Fatalf("Stream = %v", err)
		}
	}
	if n := log.N(); n != 0 {
		t.Errorf("%d lines in the log", n)
	}
}

func TestPermissionDenied(t *testing.T) { unprivileged.Run(t, testPermissionDenied) }

func testPermissionDenied(t *testing.T) {
	dir := t.TempDir()
	forbidden, allowed := filepath.Join(dir, "forbidden.sock"), filepath.Join(dir, "allowed.sock")
	listen(t, forbidden)
	if err := os.Chmod(forbidden, 0); err != nil {
		t.Fatal(err)
	}
	const words = "; run as root, or as the user whose socket it is"
	if got := detectIn(t, Options{Sockets: []string{forbidden}},
		paths{}); got.State != workloadmeta.Absent ||
		got.String() != "permission denied on "+forbidden+words {
		t.Errorf("detection = %v %q", got.State, got.String())
	}
	log := &collectortest.LogCount{}
	c, err := New(Options{Sockets: []string{forbidden}, Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.stream(t.Context(), collectortest.NewWorld().Sink()); err == nil ||
		workloadmeta.ProblemOf(err).String() != "permission denied on "+forbidden+words {
		t.Errorf("Stream = %v", err)
	}
	if n := log.N(); n != 0 { // whoever called it has the error
		t.Errorf("%d lines in the log", n)
	}
	listen(t, allowed)
	got := detectIn(t, Options{Sockets: []string{forbidden, allowed}}, paths{})
	if got.State != workloadmeta.Detected || !strings.Contains(got.String(), allowed) ||
		!strings.Contains(got.String(), "permission denied on "+forbidden) {
		t.Errorf("detection = %v %q", got.State, got.String())
	}
}

func TestWhereToLook(t *testing.T) {
	for _, tc := range []struct {
		name, container, docker string
		configured              []string
		want                    []string
	}{
		{"nothing set", "", "", nil, DefaultSockets()},
		{"the environment", "unix:///run/mine.sock", "unix:///run/user/7/podman/podman.sock", nil,
			append(DefaultSockets(), "unix:///run/mine.sock",
				"unix:///run/user/7/podman/podman.sock")},
		{"configured", "unix:///run/mine.sock", "x", []string{"/a.sock"}, []string{"/a.sock"}},
	} {
		t.Setenv("CONTAINER_HOST", tc.container)
		t.Setenv("DOCKER_HOST", tc.docker)
		c, err := New(Options{Sockets: tc.configured})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range c.places {
			got = append(got, p.address)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	// An address in the environment that we cannot use is worth a word, but no reason not to start.
	t.Setenv("CONTAINER_HOST", "ssh://core@somewhere/run/podman.sock")
	t.Setenv("DOCKER_HOST", "npipe:////./pipe/docker_engine")
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.places = c.places[len(DefaultSockets()):]
	if got := c.Detect(t.Context()); got.State != workloadmeta.Absent ||
		!strings.Contains(got.String(), "scheme ssh is not supported") ||
		strings.Contains(got.String(), "npipe") {
		t.Errorf("detection = %v %q", got.State, got.String())
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"/run/podman/podman.sock":          "/run/podman/podman.sock",
		"unix:///run/podman/podman.sock":   "/run/podman/podman.sock",
		"unix:/run/podman/podman.sock":     "/run/podman/podman.sock",
		"/run//user/*/podman/../p.sock":    "/run/user/*/p.sock",
		"tcp://localhost:8080":             "tcp://localhost:8080",
		"tcp://[::1]:8080":                 "tcp://[::1]:8080",
		"tcp://localhost":                  "host or port is missing; want a path",
		"unix://run/podman.sock":           "must begin with /",
		"podman.sock":                      "want a path",
		"":                                 "want a path",
		"ssh://core@host/run/podman.sock":  "scheme ssh is not supported",
		"unix:///run/%zz":                  "want a path",
		"http://localhost:8080/containers": "scheme http is not supported",
	} {
		a, err := parseAddress(in)
		if got := a.String(); err != nil &&
			(!strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), accepted)) ||
			err == nil && got != want {
			t.Errorf("%q = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestOptions(t *testing.T) {
	for words, o := range map[string]Options{
		"podman collector: option Sockets: podman address \"x\"": {Sockets: []string{"/ok", "x"}},
		"podman collector: option PollEvery is negative":         {PollEvery: -1},
		"podman collector: option RescanEvery is negative":       {RescanEvery: -1},
		"podman collector: option Coalesce is negative":          {Tuning: Tuning{Coalesce: -1}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%+v: %v, want %q", o, err, words)
		}
	}
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.opts.ResyncEvery != 30*time.Second || c.opts.PollEvery != 10*time.Second ||
		c.opts.RescanEvery != 10*time.Second || c.opts.CallTimeout != 5*time.Second {
		t.Errorf("defaults = %+v", c.opts)
	}
	if kinds := c.Describe().Kinds; len(kinds) != 2 || c.Describe().ID != "podman" ||
		c.Describe().Source != workloadmeta.SourceRuntime {
		t.Errorf("%v %s %s", kinds, c.Describe().ID, c.Describe().Source)
	}
	if c, err = New(Options{NoImages: true}); err != nil || len(c.Describe().Kinds) != 1 {
		t.Errorf("without images: %v, %v", c.Describe().Kinds, err)
	}
}

func TestModule(t *testing.T) {
	type in struct {
		fx.In
		Collectors []workloadmeta.Collector `group:"collectors"`
	}
	var got in
	app := fx.New(fx.NopLogger, Module,
		fx.Supply(Options{Sockets: []string{"/nowhere/podman.sock"}}), fx.Populate(&got))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	if len(got.Collectors) != 1 || got.Collectors[0].Describe().ID != "podman" {
		t.Errorf("collectors = %v", got.Collectors)
	}
	if err := fx.New(fx.NopLogger, Module, fx.Supply(Options{Sockets: []string{"x"}}),
		fx.Populate(&got)).Err(); err == nil {
		t.Error("an address that makes no sense is no error")
	}
}

// A service that is named twice is one: by another spelling, by a link, where nothing is yet.
func TestAServiceNamedTwiceIsOne(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/a")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Symlink(dir+"/a", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for want, sockets := range map[string][]string{
		"podman@" + dir + "/a":       {dir + "/a", "unix://" + dir + "//a", dir + "/link", dir + "/*"},
		"podman@" + dir + "/missing": {dir + "/missing", "unix://" + dir + "//missing"},
		"podman@tcp://127.0.0.1:1":   {"tcp://127.0.0.1:1", "tcp://127.0.0.1:1"},
	} {
		c, err := New(Options{Sockets: sockets, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, instance := range c.Instances(t.Context()) {
			ids = append(ids, instance.Describe().ID)
		}
		if !slices.Equal(ids, []string{want}) {
			t.Errorf("%q: instances %q, want %q", sockets, ids, want)
		}
	}
}
