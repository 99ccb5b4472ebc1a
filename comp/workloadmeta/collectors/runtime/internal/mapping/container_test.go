package mapping_test

import (
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

func TestFlavor(t *testing.T) {
	for runtime, want := range map[string]workloadmeta.ContainerRuntimeFlavor{
		"runc": "", "": "", "kata-fc": "kata", "io.containerd.kata.v2": "kata", "runsc": "gvisor",
		"/usr/bin/runsc": "gvisor",
	} {
		if got := mapping.Flavor(runtime); got != want {
			t.Errorf("Flavor(%q) = %q, want %q", runtime, got, want)
		}
	}
}

func TestIsSandbox(t *testing.T) {
	for labels, want := range map[[2]string]bool{
		{"io.kubernetes.docker.type", "podsandbox"}: true,
		{"io.cri-containerd.kind", "sandbox"}:       true,
		{"io.cri-containerd.kind", "container"}:     false,
		{"io.kubernetes.container.name", "POD"}:     true,
		{"io.kubernetes.pod.name", "web-0"}:         true,
		{"io.kubernetes.container.name", "web"}:     false,
		{"team", "blue"}:                            false,
	} {
		if got := mapping.IsSandbox(map[string]string{labels[0]: labels[1]}); got != want {
			t.Errorf("IsSandbox(%v) = %v", labels, got)
		}
	}
}

func TestMetadataDropsTheWholeManifest(t *testing.T) {
	got := mapping.Metadata(map[string]string{
		"kubectl.kubernetes.io/last-applied-configuration":            "hunter2",
		"annotation.kubectl.kubernetes.io/last-applied-configuration": "hunter2", "team": "blue",
	})
	if diff := cmp.Diff(map[string]string{"team": "blue"}, got); diff != "" {
		t.Error(diff)
	}
	if got := mapping.Metadata(
		map[string]string{"kubectl.kubernetes.io/last-applied-configuration": ""}); got != nil {
		t.Errorf("nothing left is %v, want nil", got)
	}
}

func TestLimits(t *testing.T) {
	percent := func(v float64) *float64 { return &v }
	bytes := func(v uint64) *uint64 { return &v }
	for _, tc := range []struct {
		name string
		in   mapping.Limits
		want workloadmeta.ContainerResources
	}{
		{"nothing", mapping.Limits{Shares: 2, Quota: -1}, workloadmeta.ContainerResources{}},
		{"CRI", mapping.Limits{Quota: 50_000, Period: 100_000, Shares: 256, Memory: 128 << 20},
			workloadmeta.ContainerResources{CPULimit: percent(50), CPURequest: percent(25),
				MemoryLimit: bytes(128 << 20)}},
		{"the tightest", mapping.Limits{NanoCPUs: 3e9, Quota: 250_000, Cpuset: "0-3,7"}, workloadmeta.ContainerResources{CPULimit: percent(250)}},
		{"a set", mapping.Limits{Cpuset: "0-3,7"}, workloadmeta.ContainerResources{CPULimit: percent(500)}},
		{"sets that make no sense", mapping.Limits{Cpuset: "3-1"}, workloadmeta.ContainerResources{}},
		{"an empty item", mapping.Limits{Cpuset: "0,,1"}, workloadmeta.ContainerResources{}},
		{"unlimited memory", mapping.Limits{Memory: math.MaxInt64 - 4095, MemoryReservation: math.MaxInt64}, workloadmeta.ContainerResources{}},
		{"reserved memory", mapping.Limits{MemoryReservation: 5}, workloadmeta.ContainerResources{MemoryRequest: bytes(5)}},
	} {
		if got := tc.in.Resources(); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s (-want +got):\n%s", tc.name, cmp.Diff(tc.want, got))
		}
	}
}

func TestPairLayers(t *testing.T) {
	allowed := func(string) bool { return false }
	layer := func(digest string) workloadmeta.ContainerImageLayer {
		return workloadmeta.ContainerImageLayer{Digest: digest}
	}
	created := time.Date(2026, 11, 22, 1, 0, 0, 0, time.FixedZone("", 3600))
	got := mapping.PairLayers([]mapping.HistoryEntry{
		{CreatedBy: "ADD", Created: created}, {CreatedBy: "ENV", EmptyLayer: true}, {CreatedBy: "COPY", Author: "me", Comment: "note"},
	}, []workloadmeta.ContainerImageLayer{layer("d1"), layer("d2")}, allowed)
	want := []workloadmeta.ContainerImageLayer{
		{Digest: "d1", History: &workloadmeta.LayerHistory{CreatedBy: "ADD", Created: created.UTC()}},
		{History: &workloadmeta.LayerHistory{CreatedBy: "ENV", EmptyLayer: true}},
		{Digest: "d2", History: &workloadmeta.LayerHistory{CreatedBy: "COPY", Author: "me", Comment: "note"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	alone := []workloadmeta.ContainerImageLayer{layer("d1")}
	for _, history := range [][]mapping.HistoryEntry{nil, {{CreatedBy: "a"}, {CreatedBy: "b"}}} {
		if got := mapping.PairLayers(history, alone, allowed); !cmp.Equal(alone, got) {
			t.Errorf("history %v gives %v: it is guessed", history, got)
		}
	}
	secret := mapping.PairLayers(
		[]mapping.HistoryEntry{{CreatedBy: "ENV API_TOKEN=hunter2", EmptyLayer: true},
			{CreatedBy: "ADD"}}, alone, allowed)
	if text := secret[0].History.CreatedBy; strings.Contains(text, "hunter2") {
		t.Errorf("a build's variable is in the history: %q", text)
	}
}

func TestProbeSocket(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	listen := func(name string) net.Listener {
		l, err := net.Listen("unix", path(name))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	open := listen("open")
	defer open.Close() // at the test's end
	quiet := listen("quiet").(*net.UnixListener)
	quiet.SetUnlinkOnClose(false)
	quiet.Close() // the file stays, nobody listens
	for _, err := range []error{os.Mkdir(path("folder"), 0o700),
		os.WriteFile(path("file"), nil, 0o600), os.Symlink(path("open"), path("link"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name  string
		state mapping.SocketState
		words string
	}{
		{"missing", mapping.SocketAbsent, "no socket at " + path("missing")},
		{"folder", mapping.SocketUnfit, path("folder") + " is a folder"},
		{"file", mapping.SocketUnfit, path("file") + " is not a socket"},
		{"quiet", mapping.SocketQuiet, "connection refused"},
		{"open", mapping.SocketOpen, ""},
		{"link", mapping.SocketOpen, ""},
	} {
		state, words := mapping.ProbeSocket(t.Context(), path(tc.name), "join the group")
		if state != tc.state || !strings.Contains(words.Reason, tc.words) {
			t.Errorf("%s: state %d, %q; want %d, %q", tc.name, state, words, tc.state, tc.words)
		}
	}
	paths := []string{path("missing"), path("link"), path("open"), path("quiet")}
	if got, want := mapping.Distinct(paths), []string{path("link"),
		path("quiet")}; !slices.Equal(got, want) {
		t.Errorf("Distinct(%v) = %v, want %v", paths, got, want)
	}
}

func TestRedact(t *testing.T) {
	for address, want := range map[string]string{
		"/run/podman/podman.sock":               "/run/podman/podman.sock",
		"tcp://127.0.0.1:2375":                  "tcp://127.0.0.1:2375",
		"ssh://core:hunter2@host:22/run/p.sock": "ssh://core:…@host:22/run/p.sock",
		"tcp://a:p@ss@[::1":                     "tcp://a:…@[::1",
		"unix:///home/me@work/p.sock":           "unix:///home/me@work/p.sock",
	} {
		if got := mapping.Redact(address); got != want {
			t.Errorf("Redact(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestCandidates(t *testing.T) {
	got := mapping.Candidates([]string{"/run/x/a.sock", "/var/run/x/a.sock", "/srv/a.sock",
		"/host/run/x/a.sock", "/srv/a.sock"})
	want := []string{"/run/x/a.sock"}
	if link, err := filepath.EvalSymlinks("/var/run"); err != nil || link != "/run" {
		want = append(want, "/var/run/x/a.sock")
	}
	want = append(want, "/srv/a.sock")
	if info, err := os.Stat("/host"); err == nil && info.IsDir() {
		want = append(want, "/host/run/x/a.sock")
	}
	if !slices.Equal(got, want) {
		t.Errorf("Candidates = %v, want %v", got, want)
	}
}

func TestCgroupPath(t *testing.T) {
	root := t.TempDir()
	id := strings.Repeat("ab", 32)
	if err := os.Mkdir(filepath.Join(root, "42"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "12:cpu,cpuacct:/\n11:memory:/docker/" + id + "\n0::/docker/" + id + "\n"
	if err := os.WriteFile(filepath.Join(root, "42", "cgroup"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mapping.CgroupPath(root, 42, id); got != "/docker/"+id {
		t.Errorf("path = %q", got)
	}
	if got := mapping.CgroupPath(root, 42, strings.Repeat("cd", 32)); got != "" {
		t.Errorf("somebody else's process gives %q", got)
	}
	if got := mapping.CgroupPath(root, 43, id); got != "" {
		t.Errorf("no process gives %q", got)
	}
}

func TestRequestedCgroup(t *testing.T) {
	for in, want := range map[string]string{
		"":               "",
		"/k8s.io/74fc":   "/k8s.io/74fc",
		"/kubepods/p/74": "/kubepods/p/74",
		"kubepods-burstable-pod22fb_bbe1.slice:cri-containerd:74fc": "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod22fb_bbe1.slice/cri-containerd-74fc.scope",
		"system.slice:nerdctl:74fc":                                 "/system.slice/nerdctl-74fc.scope",
		":nerdctl:74fc":                                             "/system.slice/nerdctl-74fc.scope",
		"-.slice:nerdctl:74fc":                                      "/nerdctl-74fc.scope",
		"a.slice::74fc":                                             "/a.slice/74fc.scope",
		"a.slice:x:b.slice":                                         "/a.slice/b.slice",
		"a--b.slice:x:y":                                            "/a--b.slice/x-y.scope",
		"-a.slice:x:y":                                              "/-a.slice/x-y.scope",
		"a-.slice:x:y":                                              "/a-.slice/x-y.scope",
		"custom:x:y":                                                "/custom/x-y.scope",
		"a:b":                                                       "/a:b",
		"a.slice:b:":                                                "/a.slice:b:",
		"/a.slice:b:c":                                              "/a.slice:b:c",
		strings.Repeat("a-", 40) + "a.slice:x:y": "/" +
			strings.Repeat("a-", 40) + "a.slice/x-y.scope",
	} {
		if got := mapping.RequestedCgroup(in); got != want {
			t.Errorf("RequestedCgroup(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRequestedCgroupOfTheCRI(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"/kubepods/pod1/abc":  "/kubepods/pod1/abc",
		"kubepods/pod1/abc/":  "/kubepods/pod1/abc",
		"/a:b:c":              "/a:b:c",
		"a.slice:crio:abc":    "/a.slice/crio-abc.scope",
		"a-b-c.slice:crio:id": "/a.slice/a-b.slice/a-b-c.slice/crio-id.scope",
		"a.slice::abc":        "/a.slice/abc.scope",
		":crio:abc":           "/system.slice/crio-abc.scope",
		"-.slice:crio:abc":    "/crio-abc.scope",
		"a.slice:x:b.slice":   "/a.slice/b.slice",
		"machine:crio:abc":    "/machine/crio-abc.scope",
		"../../x":             "/x",
	} {
		if got := mapping.RequestedCgroup(in); got != want {
			t.Errorf("RequestedCgroup(%q) = %q, want %q", in, got, want)
		}
	}
}

// A runtime that does not tell the cgroup has a kernel that does.
