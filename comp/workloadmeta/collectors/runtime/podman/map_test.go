package podman

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// recordings are answers of a real Podman, see TestRecord. handmade are answers as Podman 5 gives
// them, written from its documentation and from reports: nobody has recorded them.
const (
	recordings = "testdata/podman-4.3"
	handmade   = "testdata/podman-5-handmade"
)

// expect compares a value, as JSON, with the one in testdata.
func expect(t *testing.T, folder, name string, v any) {
	t.Helper()
	collectortest.Golden(t, filepath.Join(folder, "want", name), v)
}

func builtIn(t testing.TB) *env.Filter {
	t.Helper()
	filter, err := env.NewFilter()
	if err != nil {
		t.Fatal(err)
	}
	return filter
}

// newTestService returns a service that is not connected to anything.
func newTestService(t testing.TB) *service {
	t.Helper()
	o, err := Options{Log: slog.New(slog.DiscardHandler)}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return newService(address{"unix", "/nowhere"}, &o, o.Log)
}

func recordedNames(t testing.TB, folder string) map[string]*mapping.ImageNames {
	t.Helper()
	names := map[string]*mapping.ImageNames{}
	for _, in := range *collectortest.Read[[]imageEntry](t, filepath.Join(folder, "images.json")) {
		e, err := mapImageList(&in)
		if err != nil {
			t.Fatal(err)
		}
		n := mapping.NamesOf(e)
		names[n.ID] = &n
	}
	return names
}

// inspectedJSON is what the syncer is told and what it makes of the image.
type inspectedJSON struct {
	Entity  *workloadmeta.Container `json:"entity"`
	Policy  string                  `json:"policy"`
	Sandbox bool                    `json:"sandbox,omitempty"`
}

func TestInspectedContainers(t *testing.T) {
	for _, folder := range []string{recordings, handmade} {
		names := recordedNames(t, folder)
		files, err := filepath.Glob(filepath.Join(folder, "inspect", "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%d recordings, %v", len(files), err)
		}
		for _, file := range files {
			name := filepath.Base(file)
			t.Run(filepath.Base(folder)+"/"+strings.TrimSuffix(name, ".json"), func(t *testing.T) {
				got, err := mapInspect(collectortest.Read[containerAnswer](t, file), builtIn(t))
				if err != nil {
					t.Fatal(err)
				}
				c := got.Entity
				if got.Key != c.ID || !got.Complete {
					t.Errorf("key %q, complete %v", got.Key, got.Complete)
				}
				c.Image = mapping.ResolveImage(c.Image.ID, c.Image.RawName, names[c.Image.ID])
				expect(t, folder, "inspect/"+name, inspectedJSON{c, got.Policy, got.Sandbox})
			})
		}
	}
}

func TestListedContainers(t *testing.T) {
	for _, folder := range []string{recordings, handmade} {
		names := recordedNames(t, folder)
		var all []inspectedJSON
		for _, in := range *collectortest.Read[[]containerEntry](t,
			filepath.Join(folder, "containers.json")) {
			got, err := mapList(&in)
			if err != nil {
				t.Fatal(err)
			}
			c := got.Entity
			c.Image = mapping.ResolveImage(c.Image.ID, c.Image.RawName, names[c.Image.ID])
			all = append(all, inspectedJSON{Entity: c, Sandbox: got.Sandbox})

			// What both tell they have to tell alike, or every comparison would find a difference.
			file := c.Name
			if got.Sandbox {
				file = "infra"
			}
			full, err := mapInspect(collectortest.Read[containerAnswer](t,
				filepath.Join(folder, "inspect", file+".json")), builtIn(t))
			if err != nil {
				t.Fatal(err)
			}
			// which Inspect has looked up
			mapping.Put(&full.Entity.Labels, labelPodName, in.PodName)
			if mapping.IsUp(c.State.Status) && !sameAsListed(full.Entity, c) ||
				full.Sandbox != got.Sandbox {
				t.Errorf("list and inspect differ:\n%s", cmp.Diff(full.Entity, c))
			}
			published := slices.DeleteFunc(slices.Clone(full.Entity.Ports),
				func(p workloadmeta.ContainerPort) bool { return p.HostPort == 0 })
			if mapping.IsUp(c.State.Status) && full.Entity.Labels[labelPodID] == "" &&
				!slices.Equal(c.Ports, published) {
				t.Errorf("list and inspect differ in published ports:\n%s",
					cmp.Diff(published, c.Ports))
			}
		}
		expect(t, folder, "containers.json", all)
	}
}

func TestImages(t *testing.T) {
	var listed []*workloadmeta.ContainerImageMetadata
	for _, in := range *collectortest.Read[[]imageEntry](t,
		filepath.Join(recordings, "images.json")) {
		i, err := mapImageList(&in)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, i)
	}
	expect(t, recordings, "images.json", listed)
	for _, name := range []string{"web", "built"} {
		in := collectortest.Read[imageAnswer](t,
			filepath.Join(recordings, "image-inspect", name+".json"))
		i, err := mapImage(in, builtIn(t))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, recordings, "image-"+name+".json", i)
		if name == "web" {
			if ports := mapPorts(nil, in.Config.ExposedPorts); len(ports) != 2 {
				t.Errorf("exposed ports = %v", ports)
			}
		}
	}
}

// readEvents decodes a recorded stream and says what each event means.
func readEvents(t *testing.T, path string) []runtimesync.Event {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newTestService(t)
	s.major = 4
	if strings.HasPrefix(path, handmade) {
		s.major = 5
	}
	in := mapping.NewLines(bytes.NewReader(body))
	var events []runtimesync.Event
	for {
		line, err := in.Next()
		if err != nil {
			return events
		}
		m, err := decodeEvent(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		events = append(events, s.event(m))
	}
}

// eventJSON is an event as testdata has it.
type eventJSON struct {
	Name     string                  `json:"name"`
	Action   runtimesync.Action      `json:"action"`
	Key      string                  `json:"key,omitempty"`
	ExitCode *int64                  `json:"exit_code,omitempty"`
	Detail   string                  `json:"detail,omitempty"`
	Sandbox  bool                    `json:"sandbox,omitempty"`
	Entity   *workloadmeta.Container `json:"entity,omitempty"`
}

func TestEvents(t *testing.T) {
	for _, path := range []string{recordings + "/events.jsonl", recordings + "/events-compat.jsonl",
		handmade + "/events.jsonl"} {
		var all []eventJSON
		for _, ev := range readEvents(t, path) {
			if ev.ID == "" || ev.At.IsZero() || ev.Size == 0 {
				t.Errorf("%s: event %+v", path, ev)
			}
			all = append(all,
				eventJSON{ev.Name, ev.Action, ev.Key, ev.ExitCode, ev.Detail, ev.Sandbox,
					ev.Container})
		}
		expect(t, filepath.Dir(path), strings.TrimSuffix(filepath.Base(path), "l"), all)
	}
}

// Both of Podman's interfaces tell the same, in other words.
func TestBothVocabulariesMeanTheSame(t *testing.T) {
	a, b := readEvents(t, recordings+"/events.jsonl"), readEvents(t,
		recordings+"/events-compat.jsonl")
	if len(a) != len(b) || len(a) < 50 {
		t.Fatalf("%d and %d events", len(a), len(b))
	}
	for i := range a {
		a[i].Name, b[i].Name, a[i].ID, b[i].ID, a[i].Size, b[i].Size = "", "", "", "", 0, 0
		if diff := cmp.Diff(a[i], b[i]); diff != "" {
			t.Errorf("event %d:\n%s", i, diff)
		}
	}
}

func TestWhatARealPodmanTells(t *testing.T) {
	got := map[string]int{}
	codes := map[string]int64{}
	for _, ev := range readEvents(t, recordings+"/events.jsonl") {
		got[ev.Name]++
		if ev.ExitCode != nil {
			codes[ev.Name]++
			if ev.Action != runtimesync.ActionEnded {
				t.Errorf("%s has an exit code", ev.Name)
			}
		}
	}
	for _, name := range []string{"container rename", "container commit", "container pause",
		"container health_status", "container exec_died",
		"image untag", "image remove", "image loadfromarchive", "network connect",
		"container remove", "container restart"} {
		if got[name] == 0 {
			t.Errorf("no event %q among the recordings: %v", name, got)
		}
	}
}

// The last option counts, whole: nothing of an earlier one stays.
func TestSeccompOptions(t *testing.T) {
	for _, tc := range []struct {
		options []string
		want    workloadmeta.SeccompProfile
	}{
		{nil, workloadmeta.SeccompProfile{Type: "RuntimeDefault"}},
		{[]string{"label=disable", "seccomp="}, workloadmeta.SeccompProfile{Type: "RuntimeDefault"}},
		{[]string{"seccomp=/p.json"}, workloadmeta.SeccompProfile{Type: "Localhost", LocalhostProfile: "/p.json"}},
		{[]string{"seccomp=/p.json", "seccomp=unconfined"}, workloadmeta.SeccompProfile{Type: "Unconfined"}},
	} {
		in := &containerAnswer{}
		in.HostConfig.SecurityOpt = tc.options
		if got := mapSecurity(in).SeccompProfile; got == nil || *got != tc.want {
			t.Errorf("%q: seccomp = %+v, want %+v", tc.options, got, tc.want)
		}
	}
}

func TestDevices(t *testing.T) {
	in := containerAnswer{ID: "c1"}
	in.Config.Env = []string{"NVIDIA_VISIBLE_DEVICES=1", "NVIDIA_TOKEN=hunter2"}
	got, err := mapInspect(&in, builtIn(t))
	if err != nil || !slices.Equal(got.Entity.GPUDeviceIDs, []string{"1"}) {
		t.Errorf("by a variable: %+v, %v", got.Entity, err)
	}
	in.Config.Env, in.OCIRuntime = []string{"NVIDIA_VISIBLE_DEVICES=all"}, "crun"
	got, err = mapInspect(&in, builtIn(t))
	if err != nil || got.Entity.GPUDeviceIDs != nil {
		t.Errorf("an image of CUDA: %+v, %v", got.Entity, err)
	}
	in.OCIRuntime = "nvidia"
	got, err = mapInspect(&in, builtIn(t))
	if err != nil || !slices.Equal(got.Entity.GPUDeviceIDs, []string{"all"}) {
		t.Errorf("NVIDIA's runtime: %+v, %v", got.Entity, err)
	}
	in.Config.Annotations = map[string]string{"cdi.k8s.io/x": "nvidia.com/gpu=all"}
	got, err = mapInspect(&in, builtIn(t))
	if err != nil || !slices.Equal(got.Entity.GPUDeviceIDs, []string{"all"}) ||
		len(got.Entity.AllocatedResources) != 1 || len(got.Entity.EnvVars) != 1 {
		t.Errorf("by an annotation: %+v, %v", got.Entity, err)
	}
}
