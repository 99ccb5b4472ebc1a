package workloadmeta_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func podOf(edit func(*workloadmeta.KubernetesPod)) *workloadmeta.KubernetesPod {
	p := &workloadmeta.KubernetesPod{EntityID: workloadmeta.EntityID{
		Kind: workloadmeta.KindKubernetesPod, ID: "p1"}}
	edit(p)
	return p
}

// A container that two list is one if it has the same name, or the same ID; without a name it
// is known by its ID alone. The second list fills in what the first does not know.
func TestMergedContainersOfAPod(t *testing.T) {
	type container = workloadmeta.OrchestratorContainer
	named := func(image string) workloadmeta.ContainerImage {
		return workloadmeta.ContainerImage{Name: image}
	}
	for name, c := range map[string]struct{ first, second, want []container }{
		"nothing":  {nil, nil, nil},
		"one list": {nil, []container{{Name: "a"}}, []container{{Name: "a"}}},
		"the same name": {[]container{{Name: "a", ID: "1"}}, []container{{Name: "a", ID: "2"}},
			[]container{{Name: "a", ID: "1"}}},
		"the first of several": {[]container{{Name: "a"}, {Name: "b"}},
			[]container{{Name: "a", ID: "1"}},
			[]container{{Name: "a", ID: "1"}, {Name: "b"}}},
		"the same ID": {[]container{{Name: "a", ID: "1"}}, []container{{Name: "b", ID: "1"}},
			[]container{{Name: "a", ID: "1"}}},
		"neither": {[]container{{Name: "a", ID: "1"}}, []container{{Name: "b", ID: "2"}},
			[]container{{Name: "a", ID: "1"}, {Name: "b", ID: "2"}}},
		"names without IDs": {[]container{{Name: "a"}}, []container{{Name: "b"}},
			[]container{{Name: "a"}, {Name: "b"}}},
		"IDs without names": {[]container{{ID: "1"}}, []container{{ID: "2"}},
			[]container{{ID: "1"}, {ID: "2"}}},
		"the same ID without names": {[]container{{ID: "1"}}, []container{{ID: "1",
			Image: named("x")}}, []container{{ID: "1", Image: named("x")}}},
		"image": {[]container{{Name: "a", Image: named("x")}}, []container{{Name: "a",
			Image: workloadmeta.ContainerImage{Name: "y", Tag: "1", ID: "i"}}},
			[]container{{Name: "a", Image: workloadmeta.ContainerImage{Name: "x", ID: "i"}}}},
	} {
		got := combine(
			podOf(func(p *workloadmeta.KubernetesPod) { p.Containers = c.first }),
			podOf(func(p *workloadmeta.KubernetesPod) { p.Containers = c.second }),
		).(*workloadmeta.KubernetesPod).Containers
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// Addresses are those of the best observer. Others fill them in who have seen the same phase, or
// where nobody has seen one.
func TestMergedAddressesOfAPod(t *testing.T) {
	seen := func(phase, ip, host string) *workloadmeta.KubernetesPod {
		return podOf(func(p *workloadmeta.KubernetesPod) {
			p.Phase, p.IP, p.HostIP = phase, ip, host
		})
	}
	for name, c := range map[string]struct {
		first, second *workloadmeta.KubernetesPod
		ip, host      string
	}{
		"the same phase":  {seen("Running", "", ""), seen("Running", "2", "b"), "2", "b"},
		"has them":        {seen("Running", "1", "a"), seen("Running", "2", "b"), "1", "a"},
		"has one":         {seen("Running", "1", ""), seen("Running", "2", "b"), "1", "b"},
		"has the other":   {seen("Running", "", "a"), seen("Running", "2", "b"), "2", "a"},
		"another phase":   {seen("Succeeded", "", ""), seen("Running", "2", "b"), "", ""},
		"nobody's phase":  {seen("", "", ""), seen("", "2", "b"), "2", "b"},
		"the other's one": {seen("", "1", "a"), seen("Running", "", ""), "", ""},
	} {
		got := combine(c.first, c.second).(*workloadmeta.KubernetesPod)
		if got.IP != c.ip || got.HostIP != c.host {
			t.Errorf("%s: addresses %q and %q, want %q and %q", name, got.IP, got.HostIP, c.ip,
				c.host)
		}
	}
}

// Of one who is away nothing is taken that a live observer leaves open.
func TestMergedObservationIsOfThoseWhoAreLive(t *testing.T) {
	for state, want := range map[workloadmeta.ReportState]string{
		workloadmeta.Live: "2", workloadmeta.Away: ""} {
		all := reports(podOf(func(p *workloadmeta.KubernetesPod) { p.Phase = "Running" }),
			podOf(func(p *workloadmeta.KubernetesPod) { p.Phase, p.IP = "Running", "2" }))
		all[1].State = state
		if got := workloadmeta.Merge(all).(*workloadmeta.KubernetesPod).IP; got != want {
			t.Errorf("of one who is %s: address %q, want %q", state, got, want)
		}
	}
}

// Lists whose order means nothing are sorted when they are united, and otherwise left alone.
func TestMergedListsAreSortedWhenTheyGrow(t *testing.T) {
	image := func(tags ...string) *workloadmeta.ContainerImageMetadata {
		return &workloadmeta.ContainerImageMetadata{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindContainerImage, ID: "i"}, RepoTags: tags}
	}
	for name, c := range map[string]struct{ first, second, want []string }{
		"one":      {[]string{"b", "a"}, nil, []string{"b", "a"}},
		"other":    {nil, []string{"b", "a"}, []string{"b", "a"}},
		"same":     {[]string{"b", "a"}, []string{"a"}, []string{"b", "a"}},
		"more":     {[]string{"b", "c"}, []string{"a"}, []string{"a", "b", "c"}},
		"one, one": {[]string{"b"}, []string{"a"}, []string{"a", "b"}},
	} {
		got := combine(image(c.first...), image(c.second...)).(*workloadmeta.ContainerImageMetadata)
		if diff := cmp.Diff(c.want, got.RepoTags); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	// What was reported is not sorted in place.
	first := image("b", "c")
	combine(first, image("a"))
	if diff := cmp.Diff([]string{"b", "c"}, first.RepoTags); diff != "" {
		t.Errorf("the report: %s", diff)
	}
}

// The size and the type of media go with the layers.
func TestMergedImagesKeepSizeAndTypeOfTheLayers(t *testing.T) {
	image := func(layers int, size int64, media string) *workloadmeta.ContainerImageMetadata {
		return &workloadmeta.ContainerImageMetadata{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindContainerImage, ID: "i"}, SizeBytes: size, MediaType: media,
			Layers: make([]workloadmeta.ContainerImageLayer, layers)}
	}
	for name, c := range map[string]struct {
		first, second, want *workloadmeta.ContainerImageMetadata
	}{
		"of the second": {image(0, 1, "a"), image(2, 5, "b"), image(2, 5, "b")},
		"of the first":  {image(1, 1, "a"), image(2, 5, "b"), image(1, 1, "a")},
		"not told":      {image(0, 1, "a"), image(2, 0, ""), image(2, 1, "a")},
	} {
		got := combine(c.first, c.second).(*workloadmeta.ContainerImageMetadata)
		if len(got.Layers) != len(c.want.Layers) || got.SizeBytes != c.want.SizeBytes ||
			got.MediaType != c.want.MediaType {
			t.Errorf("%s: %d layers, %d bytes, %q", name, len(got.Layers), got.SizeBytes,
				got.MediaType)
		}
	}
}

// Health that the best observer does not know is anybody's who sees the same run.
func TestMergedHealth(t *testing.T) {
	const none, unknown, healthy, sick = "", workloadmeta.HealthUnknown,
		workloadmeta.HealthHealthy, workloadmeta.HealthUnhealthy
	for _, c := range []struct{ first, second, want workloadmeta.ContainerHealth }{
		{none, none, none}, {none, healthy, healthy}, {none, unknown, unknown},
		{unknown, healthy, healthy}, {unknown, none, unknown}, {healthy, sick, healthy},
		{healthy, none, healthy}, {healthy, unknown, healthy},
	} {
		of := func(h workloadmeta.ContainerHealth) *workloadmeta.Container {
			return reported(func(w *workloadmeta.Container) {
				w.State = workloadmeta.ContainerState{Running: true, Health: h,
					Status: workloadmeta.StatusRunning}
			})
		}
		if got := combine(of(c.first), of(c.second)).(*workloadmeta.Container); got.State.Health !=
			c.want {
			t.Errorf("%q and %q make %q, want %q", c.first, c.second, got.State.Health, c.want)
		}
	}
}

// A pod set that two tell of is one by its name.
func TestMergedPodSets(t *testing.T) {
	workload := func(names ...string) *workloadmeta.KueueWorkload {
		w := &workloadmeta.KueueWorkload{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindKueueWorkload, ID: "ns/w"}}
		for _, name := range names {
			w.PodSetAssignments = append(w.PodSetAssignments,
				workloadmeta.PodSetAssignment{Name: name})
		}
		return w
	}
	got := combine(workload("a", "b"), workload("b", "c")).(*workloadmeta.KueueWorkload)
	if diff := cmp.Diff(workload("a", "b", "c").PodSetAssignments, got.PodSetAssignments); diff !=
		"" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Languages of a container are united; one who knows of none takes none away.
func TestMergedLanguages(t *testing.T) {
	speaks := func(l workloadmeta.ContainerLanguages) *workloadmeta.KubernetesDeployment {
		return &workloadmeta.KubernetesDeployment{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindKubernetesDeployment, ID: "ns/d"}, DetectedLanguages: l}
	}
	type languages = workloadmeta.ContainerLanguages
	for name, c := range map[string]struct{ first, second, want languages }{
		"first":  {languages{"a": {"go"}}, nil, languages{"a": {"go"}}},
		"second": {nil, languages{"a": {"go"}}, languages{"a": {"go"}}},
		"both": {languages{"a": {"java"}}, languages{"a": {"go"}, "b": {"ruby"}},
			languages{"a": {"go", "java"}, "b": {"ruby"}}},
	} {
		got := combine(speaks(c.first), speaks(c.second)).(*workloadmeta.KubernetesDeployment)
		if diff := cmp.Diff(c.want, got.DetectedLanguages); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestNodesAndNamespacesAreOfTheCoreGroup(t *testing.T) {
	for resource, want := range map[workloadmeta.GroupVersionResource][2]bool{
		{Resource: "nodes"}:                        {true, false},
		{Resource: "namespaces"}:                   {false, true},
		{Resource: "pods"}:                         {false, false},
		{Group: "acme.io", Resource: "nodes"}:      {false, false},
		{Group: "acme.io", Resource: "namespaces"}: {false, false},
	} {
		m := &workloadmeta.KubernetesMetadata{GVR: resource}
		if got := [2]bool{m.IsNode(), m.IsNamespace()}; got != want {
			t.Errorf("%+v: %v, want %v", resource, got, want)
		}
	}
}

func TestCPUManagerPolicy(t *testing.T) {
	for config, want := range map[string]string{
		`{"kubeletconfig": {"cpuManagerPolicy": "static"}}`: "static",
		`{"kubeletconfig": {"cpuManagerPolicy": "none"}}`:   "none",
		`{"kubeletconfig": {"cpuManagerPolicy": "magic"}}`:  "",
		`{"kubeletconfig": {}}`:                             "",
		`{}`:                                                "",
		`{`:                                                 "",
		``:                                                  "",
	} {
		k := &workloadmeta.Kubelet{Config: json.RawMessage(config)}
		got, err := k.CPUManagerPolicy()
		if want == "" && (err == nil || got != "unknown") || want != "" && (err != nil ||
			got != want) {
			t.Errorf("%s: %q, %v", config, got, err)
		}
	}
}

// What an event must not be: of no type, of no source, reported by somebody of another source.
func TestInvalidEvents(t *testing.T) {
	c := reported(func(*workloadmeta.Container) {})
	r := &workloadmeta.Reporter{Name: "docker", Source: workloadmeta.SourceRuntime}
	for _, c := range []struct {
		event workloadmeta.CollectorEvent
		valid bool
	}{
		{workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet,
			Source: workloadmeta.SourceRuntime, Entity: c}, true},
		{workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset,
			Source: workloadmeta.SourceRuntime, Entity: c, Reporter: r}, true},
		{workloadmeta.CollectorEvent{Source: workloadmeta.SourceRuntime, Entity: c}, false},
		{workloadmeta.CollectorEvent{Type: 7, Source: workloadmeta.SourceRuntime, Entity: c}, false},
		{workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Entity: c}, false},
		{workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet,
			Source: workloadmeta.SourceProcess, Entity: c, Reporter: r}, false},
	} {
		if err := c.event.Validate(); (err == nil) != c.valid {
			t.Errorf("%+v: %v", c.event, err)
		}
	}
}

// A report is read as it was written, and an entity that cannot be read is an error.
func TestReportAsJSON(t *testing.T) {
	want := reports(reported(func(c *workloadmeta.Container) { c.Name = "web" }))[0]
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got workloadmeta.Report
	if err := json.Unmarshal(text, &got); err != nil || got.Name != want.Name ||
		!got.Entity.Equal(want.Entity) {
		t.Errorf("%s is read as %+v, %v", text, got, err)
	}
	for _, bad := range []string{`{"entity": {"kind": "pot"}}`, `{"entity": 1}`, `{"state": "odd"}`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

// Two reports say the same if state, reporter and entity are the same, whenever that was said.
func TestSameFacts(t *testing.T) {
	base := func() workloadmeta.Report {
		return reports(reported(func(c *workloadmeta.Container) { c.Name = "web" }))[0]
	}
	later := workloadmeta.NewReport(base().Reporter, base().Entity, time.Now())
	for name, c := range map[string]struct {
		change func(*workloadmeta.Report)
		same   bool
	}{
		"the same":   {func(*workloadmeta.Report) {}, true},
		"said later": {func(r *workloadmeta.Report) { *r = later }, true},
		"away":       {func(r *workloadmeta.Report) { r.State = workloadmeta.Away }, false},
		"outdated":   {func(r *workloadmeta.Report) { r.Outdated = true }, false},
		"by another": {func(r *workloadmeta.Report) {
			r.Reporter = &workloadmeta.Reporter{Name: "s", Source: workloadmeta.SourceRuntime}
		}, false},
		"something else": {func(r *workloadmeta.Report) {
			r.Entity = reported(func(c *workloadmeta.Container) { c.Name = "db" })
		}, false},
	} {
		a, b := base(), base()
		c.change(&b)
		if a.SameFacts(&b) != c.same {
			t.Errorf("%s: the same is not %t", name, c.same)
		}
	}
}

// An image without a name is filled up by one that has a name, and gives it no tag.
func TestMergedImageIsOfOneName(t *testing.T) {
	image := func(i workloadmeta.ContainerImage) *workloadmeta.Container {
		return reported(func(c *workloadmeta.Container) { c.Image = i })
	}
	got := combine(image(workloadmeta.ContainerImage{Tag: "1", ID: "i"}),
		image(workloadmeta.ContainerImage{Name: "app", Tag: "2", ID: "j"})).(*workloadmeta.Container)
	if want := (workloadmeta.ContainerImage{Name: "app", Tag: "2", ID: "j"}); got.Image != want {
		t.Errorf("image %+v, want %+v", got.Image, want)
	}
}

// Who withdraws without having seen an end leaves no trace; an end that another has seen stays
// while a third has not looked since.
func TestAWithdrawalLeavesTheEndsThatOthersHaveSeen(t *testing.T) {
	running := reported(func(c *workloadmeta.Container) {
		c.PID, c.State.Running = 42, true
	})
	again := reported(func(c *workloadmeta.Container) { c.PID, c.State.Running = 43, true })
	end := reported(func(c *workloadmeta.Container) { c.State.Status = workloadmeta.StatusStopped })
	all := reports(running, running, running)
	left, _ := workloadmeta.Withdraw(all, 0, end)
	left = workloadmeta.Confirm(left, workloadmeta.NewReport(all[2].Reporter, again, at(1)))
	left, alive := workloadmeta.Withdraw(left, 2, again)
	if !alive || len(left) != 2 || left[0].Reporter != all[0].Reporter ||
		left[0].State != workloadmeta.Done || left[1].Reporter != all[1].Reporter {
		t.Errorf("left are %+v, alive %t", left, alive)
	}
}

func TestWhoInfers(t *testing.T) {
	for source, want := range map[workloadmeta.Source]bool{workloadmeta.SourceProcess: true,
		workloadmeta.SourceRuntime: false, workloadmeta.SourceNodeOrchestrator: false} {
		if source.Infers(workloadmeta.KindContainer) != want ||
			source.Infers(workloadmeta.KindProcess) {
			t.Errorf("%s infers wrongly", source)
		}
	}
}

func TestValidKinds(t *testing.T) {
	kinds := workloadmeta.Kinds()
	last := kinds[len(kinds)-1]
	if workloadmeta.Kind(0).Valid() || !kinds[0].Valid() || !last.Valid() || (last + 1).Valid() {
		t.Errorf("valid are not the kinds from %s to %s", kinds[0], last)
	}
}

// A configuration is the same however it is laid out, and one that is no JSON only as itself.
func TestKubeletsConfigurationIsComparedAsJSON(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a": 1}`, "{ \"a\":\n1 }", true}, {`{"a": 1}`, `{"a": 2}`, false},
		{`{`, `{`, true}, {`{`, `[`, false}, {``, ``, true}, {``, `{}`, false},
	} {
		a := &workloadmeta.Kubelet{Config: json.RawMessage(c.a)}
		b := &workloadmeta.Kubelet{Config: json.RawMessage(c.b)}
		if a.Equal(b) != c.same {
			t.Errorf("%q and %q: the same is not %t", c.a, c.b, c.same)
		}
	}
}

// Numbers are written as encoding/json writes them, and an owner without an ID has none.
func TestNumbersAndIDsAsJSON(t *testing.T) {
	little := 0.0000001
	c := reported(func(c *workloadmeta.Container) { c.Resources.CPURequest = &little })
	if text, err := json.Marshal(c); err != nil || !strings.Contains(string(text),
		`"cpu_request":1e-7`) {
		t.Errorf("%s, %v", text, err)
	}
	p := podOf(func(p *workloadmeta.KubernetesPod) {
		p.Owners = []workloadmeta.KubernetesPodOwner{{Kind: "Job", Name: "j"}}
	})
	if text, err := json.Marshal(p); err != nil || !strings.Contains(string(text),
		`"owners":[{"kind":"Job","name":"j"}]`) {
		t.Errorf("%s, %v", text, err)
	}
}
