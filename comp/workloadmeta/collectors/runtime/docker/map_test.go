package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// recordings are answers of a real daemon, and newer those of one that keeps its images in
// containerd, see TestRecord.
const (
	recordings = "testdata/docker-20.10"
	newer      = "testdata/moby-2.0"
)

// eachRecording runs a test on the answers of each daemon.
func eachRecording(t *testing.T, test func(t *testing.T, folder string)) {
	t.Helper()
	for _, folder := range []string{recordings, newer} {
		t.Run(filepath.Base(folder), func(t *testing.T) { test(t, folder) })
	}
}

func read[T any](t testing.TB, folder, name string) T {
	t.Helper()
	return *collectortest.Read[T](t, filepath.Join(folder, name))
}

// expect compares a value, as JSON, with the one in testdata.
func expect(t *testing.T, folder, name string, v any) {
	t.Helper()
	collectortest.Golden(t, filepath.Join(folder, "want", name), v)
}

func recordedImages(t testing.TB, folder string) map[string]*mapping.ImageNames {
	t.Helper()
	infos := map[string]*mapping.ImageNames{}
	for _, in := range read[[]dockerimage.Summary](t, folder, "images.json") {
		i, err := mapImageList(&in)
		if err != nil {
			t.Fatal(err)
		}
		names := mapping.NamesOf(i)
		infos[i.ID] = &names
	}
	return infos
}

func builtIn(t testing.TB) *env.Filter {
	t.Helper()
	filter, err := env.NewFilter()
	if err != nil {
		t.Fatal(err)
	}
	return filter
}

func TestInspectedContainers(t *testing.T) { eachRecording(t, testInspectedContainers) }

func testInspectedContainers(t *testing.T, folder string) {
	images := recordedImages(t, folder)
	files, err := filepath.Glob(filepath.Join(folder, "inspect", "*.json"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".json"), func(t *testing.T) {
			in := read[container.InspectResponse](t, folder, "inspect/"+name)
			got, err := mapInspect(&in, builtIn(t))
			if err != nil {
				t.Fatal(err)
			}
			c := got.Entity
			c.Image = mapping.ResolveImage(c.Image.ID, c.Image.RawName, images[c.Image.ID])
			expect(t, folder, "inspect/"+name, c)
		})
	}
}

func TestListedContainers(t *testing.T) { eachRecording(t, testListedContainers) }

func testListedContainers(t *testing.T, folder string) {
	images := recordedImages(t, folder)
	var all []*workloadmeta.Container
	for _, in := range read[[]container.Summary](t, folder, "containers.json") {
		c, err := mapList(&in)
		if err != nil {
			t.Fatal(err)
		}
		c.Image = mapping.ResolveImage(c.Image.ID, c.Image.RawName, images[c.Image.ID])
		all = append(all, c)

		// What both tell they have to tell alike, or every comparison would find a difference.
		if c.Name == "created" || c.Name == "crashing" || c.Name == "web" || c.Name == "paused" {
			continue // changed between the two requests, or may have
		}
		in := read[container.InspectResponse](t, folder, "inspect/"+c.Name+".json")
		full, err := mapInspect(&in, builtIn(t))
		if err != nil {
			t.Fatal(err)
		}
		if !sameAsListed(full.Entity, c) {
			t.Errorf("list and inspect differ:\n%s", cmp.Diff(full.Entity, c))
		}
	}
	expect(t, folder, "containers.json", all)
}

func TestImages(t *testing.T) { eachRecording(t, testImages) }

func testImages(t *testing.T, folder string) {
	var listed []*workloadmeta.ContainerImageMetadata
	for _, in := range read[[]dockerimage.Summary](t, folder, "images.json") {
		i, err := mapImageList(&in)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, i)
	}
	expect(t, folder, "images.json", listed)
	for _, name := range []string{"web", "built"} {
		in := read[dockerimage.InspectResponse](t, folder, "image-inspect/"+name+".json")
		i, err := mapImage(&in,
			read[[]dockerimage.HistoryResponseItem](t, folder, "image-history/"+name+".json"),
			builtIn(t))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, folder, "image-"+name+".json", i)
	}
}

func TestStartEvents(t *testing.T) { eachRecording(t, testStartEvents) }

func testStartEvents(t *testing.T, folder string) {
	body, err := os.ReadFile(filepath.Join(folder, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	in := mapping.NewLines(bytes.NewReader(body))
	started := map[string]*workloadmeta.Container{}
	ends := map[string]int64{}
	actions := map[string]bool{}
	for {
		line, err := in.Next()
		if err != nil {
			break
		}
		m, err := decodeEvent(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		action, _ := m.Split()
		actions[m.Type+" "+action] = true
		switch name := m.Actor.Attributes["name"]; action {
		case "start":
			started[name] = mapEvent(m)
		case "die":
			ends[name] = *mapping.ExitCode(m.Actor.Attributes, attributeExitCode)
		}
	}
	delete(started, "crashing") // as often as it liked
	expect(t, folder, "start-events.json", started)
	if ends["short"] != 0 || ends["stopped"] != 3 || ends["web2"] != 137 {
		t.Errorf("exit codes = %v", ends)
	}
	for _, action := range []string{"container rename", "container update", "container commit",
		"container pause", "image untag", "network connect"} {
		if !actions[action] {
			t.Errorf("no event %q among the recordings", action)
		}
	}
}

func TestStates(t *testing.T) {
	ended := "2026-11-22T01:11:59.5Z"
	three := int64(3)
	for _, tc := range []struct {
		name string
		in   container.State
		want workloadmeta.ContainerState
		pid  int
	}{
		{
			name: "running for the second time",
			in: container.State{Status: "running", Running: true, Pid: 7, FinishedAt: ended,
				Health: &container.Health{Status: "healthy"}},
			want: workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning,
				Health: workloadmeta.HealthHealthy}, pid: 7,
		},
		{
			name: "paused is not unhealthy",
			in: container.State{Status: "paused", Running: true, Paused: true, Pid: 7,
				Health: &container.Health{Status: "unhealthy"}},
			want: workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusPaused,
				Health: workloadmeta.HealthUnknown}, pid: 7,
		},
		{
			name: "restarting",
			in: container.State{Status: "restarting", Running: true, Restarting: true,
				ExitCode: 3, FinishedAt: ended},
			want: workloadmeta.ContainerState{
				Running: true, Status: workloadmeta.StatusRestarting,
				Health:   workloadmeta.HealthUnknown,
				ExitCode: &three, FinishedAt: mapping.ParseTime(ended),
			},
		},
		{
			name: "exited keeps its last health, which says nothing",
			in: container.State{Status: "exited", ExitCode: 3, FinishedAt: ended, OOMKilled: true,
				Health: &container.Health{Status: "healthy"}},
			want: workloadmeta.ContainerState{
				Status: workloadmeta.StatusStopped, Health: workloadmeta.HealthUnknown,
				OOMKilled: true, ExitCode: &three, FinishedAt: mapping.ParseTime(ended),
			},
		},
		{
			name: "removing without an exit code",
			in: container.State{Status: "removing", ExitCode: -1,
				FinishedAt: "0001-01-01T00:00:00Z"},
			want: workloadmeta.ContainerState{Status: workloadmeta.StatusStopped,
				Health: workloadmeta.HealthUnknown},
		},
		{
			name: "created",
			in:   container.State{Status: "created"},
			want: workloadmeta.ContainerState{Status: workloadmeta.StatusCreated,
				Health: workloadmeta.HealthUnknown},
		},
		{
			name: "a status of tomorrow",
			in: container.State{Status: "dreaming",
				Health: &container.Health{Status: "starting"}},
			want: workloadmeta.ContainerState{Status: workloadmeta.StatusUnknown,
				Health: workloadmeta.HealthUnknown},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c workloadmeta.Container
			mapState(&c, &tc.in)
			if diff := cmp.Diff(tc.want, c.State); diff != "" || c.PID != tc.pid {
				t.Errorf("PID %d, want %d; state (-want +got):\n%s", c.PID, tc.pid, diff)
			}
		})
	}
}

func TestLayers(t *testing.T) {
	step := func(size int64, by string) dockerimage.HistoryResponseItem {
		return dockerimage.HistoryResponseItem{ID: "<missing>", Size: size, CreatedBy: by}
	}
	summary := func(layers []workloadmeta.ContainerImageLayer) (out []string) {
		for _, l := range layers {
			s := l.Digest + "/"
			if l.History != nil {
				s += l.History.CreatedBy
				if l.History.EmptyLayer {
					s += " empty"
				}
			}
			out = append(out, s)
		}
		return out
	}
	for _, tc := range []struct {
		name    string
		history []dockerimage.HistoryResponseItem // newest first
		digests []string
		want    []string
	}{
		{"steps without a layer", []dockerimage.HistoryResponseItem{step(0, "CMD"), step(5, "COPY"), step(0, "ENV"), step(9, "ADD")},
			[]string{"d1", "d2"}, []string{"d1/ADD", "/ENV empty", "d2/COPY", "/CMD empty"}},
		{"a layer of no bytes", []dockerimage.HistoryResponseItem{step(0, "RUN true"), step(9, "ADD")},
			[]string{"d1", "d2"}, []string{"d1/ADD", "d2/RUN true"}},
		{"numbers that do not agree", []dockerimage.HistoryResponseItem{step(0, "CMD"), step(0, "RUN true"), step(9, "ADD")},
			[]string{"d1", "d2"}, []string{"/ADD", "/RUN true empty", "/CMD empty"}},
		{"no history", nil, []string{"d1"}, []string{"d1/"}},
		{"nothing", nil, nil, nil},
	} {
		if got := summary(mapLayers(tc.history, tc.digests, builtIn(t))); !slices.Equal(got,
			tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestDetails(t *testing.T) {
	if got := listName([]string{"/web/db", "/db"}); got != "db" {
		t.Errorf("listName prefers the alias: %q", got)
	}
	for _, tc := range []struct {
		h    container.HostConfig
		want workloadmeta.SeccompProfile
	}{
		{container.HostConfig{}, workloadmeta.SeccompProfile{Type: "RuntimeDefault"}},
		{container.HostConfig{Privileged: true, SecurityOpt: []string{"label=disable"}}, workloadmeta.SeccompProfile{Type: "Unconfined"}},
		{container.HostConfig{SecurityOpt: []string{"no-new-privileges", "seccomp:unconfined"}}, workloadmeta.SeccompProfile{Type: "Unconfined"}},
		{container.HostConfig{SecurityOpt: []string{`seccomp={"defaultAction":"SCMP_ACT_ERRNO"}`}}, workloadmeta.SeccompProfile{Type: "Localhost"}},
		{container.HostConfig{SecurityOpt: []string{"seccomp="}}, workloadmeta.SeccompProfile{Type: "RuntimeDefault"}},
		{container.HostConfig{SecurityOpt: []string{"seccomp=/p.json"}}, workloadmeta.SeccompProfile{Type: "Localhost", LocalhostProfile: "/p.json"}},
	} {
		if got := *mapSecurity(&tc.h).SeccompProfile; got != tc.want {
			t.Errorf("%v: seccomp = %v, want %v", tc.h.SecurityOpt, got, tc.want)
		}
	}
	if got := (&message{Time: 1795309912, TimeNano: 1795309912999880941}).At(); got != time.Unix(
		1795309912, 999880941).UTC() {
		t.Errorf("at() = %v: timeNano is the whole time, not a fraction", got)
	}
	if code := mapping.ExitCode(map[string]string{"containerExitCode": "7"}, "exitCode",
		"containerExitCode"); code == nil ||
		*code != 7 {
		t.Error("Podman's exit code is not read")
	}
	if code := mapping.ExitCode(map[string]string{"exitCode": "-1"}, "exitCode",
		"containerExitCode"); code != nil {
		t.Errorf("exit code -1 is read as %d", *code)
	}
}

// TestBadAnswers covers answers with parts missing, which no daemon should send and which must not
// end the process.
func TestBadAnswers(t *testing.T) {
	for _, text := range []string{`{}`, `{"Id":""}`, `null`} {
		var in container.InspectResponse
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		if _, err := mapInspect(&in, builtIn(t)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
	for _, text := range []string{`{"Id":"a"}`,
		`{"Id":"a","NetworkSettings":{"Networks":{"x":null}},"HostConfig":{}}`} {
		var in container.InspectResponse
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		if got, err := mapInspect(&in, builtIn(t)); err != nil || got.Entity.ID != "a" ||
			got.Entity.State.Status != workloadmeta.StatusUnknown {
			t.Errorf("%s: %+v, %v", text, got.Entity, err)
		}
	}
}

func TestLinesSurviveBadEvents(t *testing.T) {
	long := strings.Repeat("x", mapping.MaxEvent+1)
	in := mapping.NewLines(
		strings.NewReader("\x1e{\"a\":1}\n\n" + long + "\n" + strings.Repeat("y", 100_000) +
			"\nlast"))
	var got []int
	var long2 int
	for {
		line, err := in.Next()
		if errors.Is(err, mapping.ErrLongEvent) {
			long2++
			continue
		}
		if err != nil {
			break
		}
		got = append(got, len(line))
	}
	if !slices.Equal(got, []int{7, 100_000, 4}) || long2 != 1 {
		t.Errorf("lines of %v bytes and %d too long", got, long2)
	}
}

// FuzzInspect checks that any answer is either refused or makes an entity without variables that
// are not allowed.
func FuzzInspect(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(recordings, "inspect", "*.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	allowed := builtIn(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var in container.InspectResponse
		if mapping.LenientJSON(json.Unmarshal(body, &in)) != nil {
			return
		}
		got, err := mapInspect(&in, allowed)
		if err != nil {
			return
		}
		c := got.Entity
		for name := range c.EnvVars {
			if !allowed.Allowed(name) {
				t.Errorf("variable %q is kept", name)
			}
		}
		for _, p := range c.Ports {
			if p.Port <= 0 || p.Port > 65535 {
				t.Errorf("port %d", p.Port)
			}
		}
		if len(c.Ports) > 2*mapping.MaxPorts && len(in.NetworkSettings.Ports) < mapping.MaxPorts {
			t.Errorf("%d ports", len(c.Ports))
		}
		if again, err := mapInspect(&in, allowed); err != nil || !again.Entity.Equal(c) {
			t.Error("mapping the same answer twice gives two entities")
		}
		c.Image = mapping.ResolveImage(c.Image.ID, c.Image.RawName, nil)
		if e := (workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Source: "runtime",
			Entity: c}); e.Validate() != nil {
			t.Error(e.Validate())
		}
	})
}

// FuzzEvent checks that any line is either refused or makes an event that can be used.
func FuzzEvent(f *testing.F) {
	body, err := os.ReadFile(filepath.Join(recordings, "events.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(body) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := decodeEvent(line)
		if err != nil {
			return
		}
		m.Split()
		m.Size()
		if c := mapEvent(m); c.ID != m.Actor.ID {
			t.Errorf("entity %q of event for %q", c.ID, m.Actor.ID)
		}
		mapping.ExitCode(m.Actor.Attributes)
	})
}

// What docker run --gpus, --device and -e give to a container.
func TestDevices(t *testing.T) {
	for _, tc := range []struct {
		name, requests, env string
		gpus, vendors       []string
		devices             int
	}{
		{"nothing", `null`, ``, nil, nil, 0},
		{"an image of CUDA", `null`, `"NVIDIA_VISIBLE_DEVICES=all"`, nil, nil, 0},
		{"--runtime nvidia", `null,"Runtime":"nvidia"`, `"NVIDIA_VISIBLE_DEVICES=all"`,
			[]string{"all"}, nil, 0},
		{"a variable", `null`, `"NVIDIA_VISIBLE_DEVICES=GPU-0a1b,1"`, []string{"GPU-0a1b", "1"}, nil, 0},
		{"--gpus all", `[{"Driver":"","Count":-1,"Capabilities":[["gpu"]]}]`,
			`"NVIDIA_VISIBLE_DEVICES=void"`, []string{"all"}, []string{"nvidia"}, 0},
		{"--gpus 2", `[{"Driver":"","Count":2,"Capabilities":[["gpu"]]}]`,
			`"NVIDIA_VISIBLE_DEVICES=all"`, []string{"0", "1"}, []string{"nvidia"}, 0},
		{"--gpus device=GPU-0a1b",
			`[{"Driver":"nvidia","DeviceIDs":["GPU-0a1b"],"Capabilities":[["gpu"]]}]`,
			``, []string{"GPU-0a1b"}, []string{"nvidia"}, 0},
		{"--device nvidia.com/gpu=0",
			`[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=0","example.org/nic=a"]}]`,
			``, []string{"0"}, []string{"nvidia"}, 2},
		{"another driver", `[{"Driver":"amd","Count":-1,"Capabilities":[["gpu"]]}]`, ``, nil,
			[]string{"amd"}, 0},
		{"a number beyond reason", `[{"Driver":"","Count":2000000000}]`, ``, nil, nil, 0},
	} {
		var in container.InspectResponse
		if err := json.Unmarshal([]byte(`{"Id":"c1","Config":{"Env":[`+tc.env+`]},
			"HostConfig":{"DeviceRequests":`+tc.requests+`}}`), &in); err != nil {
			t.Fatal(err)
		}
		got, err := mapInspect(&in, builtIn(t))
		if err != nil {
			t.Fatal(err)
		}
		if c := got.Entity; !slices.Equal(c.GPUDeviceIDs, tc.gpus) ||
			!slices.Equal(c.Resources.GPUVendorList, tc.vendors) ||
			len(c.AllocatedResources) != tc.devices {
			t.Errorf("%s: GPUs %q of %q, devices %+v", tc.name, c.GPUDeviceIDs,
				c.Resources.GPUVendorList, c.AllocatedResources)
		}
	}
}

// Which process runs, a list does not tell.
func TestOverlayHasNoProcess(t *testing.T) {
	known := mapping.NewContainer("c1", workloadmeta.RuntimeDocker)
	known.PID, known.CgroupInode, known.Hostname = 7, 70, "web"
	listed := mapping.NewContainer("c1", workloadmeta.RuntimeDocker)
	if got := overlay(known, listed); got.PID != 0 || got.CgroupInode != 0 ||
		got.Hostname != "web" {
		t.Errorf("%+v", got)
	}
}
