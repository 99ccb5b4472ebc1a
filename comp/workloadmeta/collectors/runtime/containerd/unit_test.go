package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimetest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Known bug #9: two excluded namespaces excluded nothing, because what one filter left out another
// let pass. containerd's own filters judge here.
func TestBug9ExclusionsExclude(t *testing.T) {
	for _, tc := range []struct {
		only, exclude []string
		in, out       []string
	}{
		{nil, nil, []string{"default", "k8s.io"}, []string{"moby", "plugins.moby"}},
		{nil, []string{"a", "b"}, []string{"default"}, []string{"a", "b", "moby", "plugins.moby"}},
		{[]string{"plugins.moby"}, nil, []string{"plugins.moby"}, []string{"a"}},
		{[]string{"a", "b"}, nil, []string{"a", "b"}, []string{"default", "moby"}},
		{[]string{"a", "b"}, []string{"b"}, []string{"a", "b"}, []string{"default"}},
		// it was asked for by name
		{[]string{"moby", "a"}, nil, []string{"a", "moby"}, []string{"default"}},
		{[]string{"moby"}, nil, []string{"moby"}, []string{"a"}},
	} {
		s := newScope(&Options{Namespaces: tc.only, ExcludeNamespaces: tc.exclude})
		filter, err := filters.ParseAll(s.filters()...)
		if err != nil {
			t.Fatalf("%v: %v", s.filters(), err)
		}
		for _, topic := range topics {
			for _, ns := range slices.Concat(tc.in, tc.out) {
				want := slices.Contains(tc.in, ns)
				if got := filter.Match(&events.Envelope{Namespace: ns,
					Topic: topic}); got != want || s.wants(ns) != want {
					t.Errorf("only %v, exclude %v: %s of %s: sent %v, wanted %v", tc.only,
						tc.exclude, topic, ns, got, s.wants(ns))
				}
			}
		}
		if filter.Match(&events.Envelope{Namespace: "default", Topic: "/tasks/exec-started"}) {
			t.Error("events of probes are asked for")
		}
	}
	if s := newScope(&Options{}); s.wants("moby") {
		t.Error("moby is collected without a word about Docker")
	}
}

// fibTrie is what a kernel says in a container with two addresses, and on a machine.
const fibTrie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.88.0.0/16 2 0 2
        |-- 10.88.0.0
           /16 link UNICAST
Local:
  +-- 0.0.0.0/0 2 0 2
     +-- 10.88.0.0/24 2 0 1
        |-- 10.88.0.17
           /32 host LOCAL
        |-- 10.88.0.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     |-- 10.88.0.9
        /32 host LOCAL
     |-- 10.88.0.9
        /32 host LOCAL
`

const inet6 = `fe80000000000000 0c 40 20 80 eth0
fe80000000000000021122fffe334455 02 40 20 80     eth0
fd000251000700000000000000000002 02 40 00 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
`

// Known bug #39: of several addresses any was taken, and containers on the machine's network had
// one of the machine's.
func TestBug39AddressesAreTheSameEachTime(t *testing.T) {
	root := t.TempDir()
	process := func(pid int, network string) {
		t.Helper()
		dir := filepath.Join(root, fmt.Sprint(pid))
		for _, err := range []error{
			os.MkdirAll(dir+"/ns", 0o755), os.MkdirAll(dir+"/net", 0o755), os.Symlink(network,
				dir+"/ns/net"),
			os.WriteFile(dir+"/net/fib_trie", []byte(fibTrie),
				0o644), os.WriteFile(dir+"/net/if_inet6", []byte(inet6), 0o644),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	process(1, "net:[1]")
	process(20, "net:[2]")
	process(30, "net:[1]")
	m := machine{root: root, now: time.Now}
	for range 20 {
		v4, v6 := m.addresses(20)
		if fmt.Sprint(v4) != "[10.88.0.9 10.88.0.17]" || fmt.Sprint(v6) != "[fd00:251:7::2]" {
			t.Fatalf("addresses = %v %v", v4, v6)
		}
	}
	for _, pid := range []int{30, 1, 0, 40} {
		if v4, v6 := m.addresses(pid); v4 != nil || v6 != nil {
			t.Errorf("process %d on the machine's network has %v %v", pid, v4, v6)
		}
	}
}

// What a record does not tell by itself.
func TestMappingOfOddRecords(t *testing.T) {
	root := t.TempDir()
	for pid, network := range map[string]string{"1": "net:[1]", "20": "net:[2]"} {
		for _, err := range []error{
			os.MkdirAll(root+"/"+pid+"/ns", 0o755), os.MkdirAll(root+"/"+pid+"/net",
				0o755), os.Symlink(network, root+"/"+pid+"/ns/net"),
			os.WriteFile(root+"/"+pid+"/net/fib_trie", []byte(fibTrie), 0o644),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	c := newCollector(t, nil, func(o *Options) { o.ProcRoot = root })
	c.shared.mapper.now = func() time.Time { return epoch }
	entity := func(r record) *workloadmeta.Container {
		t.Helper()
		r.namespace, r.ID = "ns", "c"
		out, err := c.shared.mapper.container(&r)
		if err != nil {
			t.Fatal(err)
		}
		return out.Entity
	}
	labelled := func(labels ...string) (r record) {
		r.Labels = map[string]string{}
		for i := 0; i < len(labels); i += 2 {
			r.Labels[labels[i]] = labels[i+1]
		}
		r.process = &task.Process{ID: "c", Pid: 20, Status: task.Status_RUNNING}
		return r
	}

	pod := labelled(labelCRIKind, "container")
	if got := entity(pod); fmt.Sprint(got.NetworkIPs) != "map[pod:10.88.0.9]" {
		t.Errorf("without its sandbox a pod's container has %v", got.NetworkIPs)
	}
	pod.sandbox = &sandbox{hostNetwork: true}
	if got := entity(pod); got.NetworkIPs != nil {
		t.Errorf("on the machine's network a pod's container has %v", got.NetworkIPs)
	}
	for networks, want := range map[string]string{
		`["blue"]`: "map[blue:10.88.0.9]", `["blue","green"]`: "map[:10.88.0.9]",
		`["host"]`: "map[]", `["none"]`: "map[]", ``: "map[:10.88.0.9]",
	} {
		if got := entity(labelled(labelNerdctlNetworks, networks)); fmt.Sprint(
			got.NetworkIPs) != want {
			t.Errorf("networks %s: %v, want %s", networks, got.NetworkIPs, want)
		}
	}

	restarted := labelled(labelRestartStatus, "running")
	restarted.process = &task.Process{ID: "c", Pid: 20, Status: task.Status_STOPPED,
		ExitedAt: timestamppb.New(epoch.Add(-restartWithin / 2))}
	if got := entity(restarted).State; got.Status != workloadmeta.StatusRestarting ||
		!got.Running || *got.ExitCode != 0 {
		t.Errorf("one that has just ended: %+v", got)
	}
	for after, want := range map[time.Duration]workloadmeta.ContainerStatus{
		-restartWithin: workloadmeta.StatusStopped, // nobody has started it again for a minute
		// The clock was set back: by little, and by so much that it says nothing any more.
		restartWithin / 2: workloadmeta.StatusRestarting,
		restartWithin:     workloadmeta.StatusStopped,
		24 * time.Hour:    workloadmeta.StatusStopped,
	} {
		restarted.process.ExitedAt = timestamppb.New(epoch.Add(after))
		if got := entity(restarted).State; got.Status != want ||
			got.Running != (want == workloadmeta.StatusRestarting) {
			t.Errorf("one that has ended at %v from now: %+v, want %s", after, got, want)
		}
	}
	for _, tc := range []struct {
		facts facts
		want  workloadmeta.ContainerStatus
	}{
		{facts{}, workloadmeta.StatusUnknown},
		{facts{createdAt: epoch}, workloadmeta.StatusCreated},
		{facts{createdAt: epoch, pid: 7}, workloadmeta.StatusStopped},
		{facts{end: &end{}}, workloadmeta.StatusStopped},
	} {
		if got := entity(record{facts: tc.facts}).State; got.Status != tc.want || got.Running ||
			got.ExitCode != nil {
			t.Errorf("without a task, %+v: %+v", tc.facts, got)
		}
	}
}

func TestEndWithoutATime(t *testing.T) {
	c := newCollector(t, nil, nil)
	b := &backend{shared: c.shared, opts: &c.opts}
	e := event("default", "/tasks/exit", epoch,
		&eventtypes.TaskExit{ContainerID: "c", ID: "c", Pid: 1,
			ExitedAt: &timestamppb.Timestamp{Seconds: -62135596800}})
	if ev, err := b.event(e); err != nil || !ev.At.Equal(epoch) || *ev.ExitCode != 0 {
		t.Errorf("%+v, %v", ev, err)
	}
	e.Event.TypeUrl = "containerd.events.TaskStart"
	if ev, err := b.event(e); err == nil || ev.Action != 0 {
		t.Errorf("an event that holds another: %+v", ev)
	}
	if ev, err := b.event(&types.Envelope{Namespace: "default",
		Topic: "/tasks/start"}); err != nil || ev.Action != 0 {
		t.Errorf("an empty event: %+v, %v", ev, err)
	}
}

func TestStartTimeOfAProcess(t *testing.T) {
	root := t.TempDir()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	m := machine{root: root, now: func() time.Time { return now }}
	fields := "13922 (a) b (c) S 13901 13922 13922 0 -1 4194560 163 0 0 0 0 0 0 0 20 0 1 0 218455 1564672"
	for _, err := range []error{
		os.Mkdir(root+"/7", 0o755), os.WriteFile(root+"/7/stat", []byte(fields),
			0o644), os.WriteFile(root+"/uptime", []byte("3600.00 7000.1\n"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if at, ok := m.started(7); !ok ||
		!at.Equal(time.Date(2026, 11, 22, 11, 36, 24, 550e6, time.UTC)) {
		t.Errorf("started %v, %v", at, ok)
	}
	for _, content := range []string{"", "7", "7 (x", "7 (x) S 1",
		strings.Replace(fields, "218455", "-1", 1), strings.Replace(fields, "218455",
			"99999999999999999999", 1)} {
		if err := os.WriteFile(root+"/7/stat", []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if at, ok := m.started(7); ok {
			t.Errorf("%q: started %v", content, at)
		}
	}
}

func TestRestartPolicy(t *testing.T) {
	for _, tc := range []struct {
		status, policy, count, stopped, want string
	}{
		{"", "", "", "", "no"}, {"running", "", "", "", "always"}, {"stopped", "always", "", "", "no"}, {"running", "always", "7", "", "always"},
		{"running", "unless-stopped", "", "", "unless-stopped"}, {"running", "unless-stopped", "", "true", "no"}, {"running", "always", "", "true", "no"},
		{"running", "on-failure", "9", "", "on-failure"}, {"running", "on-failure:3", "2", "", "on-failure"}, {"running", "on-failure:3", "3", "", "no"},
		{"running", "on-failure:x", "3", "", "on-failure"}, {"running", "no", "", "", "no"}, {"running", "sometimes", "", "", "no"},
	} {
		labels := map[string]string{labelRestartStatus: tc.status, labelRestartPolicy: tc.policy,
			labelRestartCount: tc.count, labelRestartStopped: tc.stopped}
		if got := restartPolicy(labels); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
	code := func(n int64) *int64 { return &n }
	if !mapping.Restarts("always", code(0)) || !mapping.Restarts("unless-stopped", nil) ||
		mapping.Restarts("no", code(1)) || mapping.Restarts("on-failure", code(0)) ||
		!mapping.Restarts("on-failure", code(1)) || !mapping.Restarts("on-failure", nil) {
		t.Error("restarts")
	}
}

func TestRefNames(t *testing.T) {
	target := "sha256:" + strings.Repeat("1", 64)
	for ref, want := range map[string][2]string{
		"docker.io/library/redis:7": {"docker.io/library/redis:7",
			"docker.io/library/redis@" + target},
		"reg:5000/app":                      {"reg:5000/app", "reg:5000/app@" + target},
		"reg/app@sha256:" + target[7:]:      {"", "reg/app@" + target},
		"reg/app:1@sha256:" + target[7:]:    {"", "reg/app@" + target},
		"sha256:" + strings.Repeat("2", 64): {"", ""},
		"":                                  {"", ""},
	} {
		if tag, digest := refNames(ref, target); tag != want[0] || digest != want[1] {
			t.Errorf("%q: %q %q, want %q", ref, tag, digest, want)
		}
	}
	if _, digest := refNames("app:1", ""); digest != "" {
		t.Errorf("digest of nothing: %q", digest)
	}
}

// What happens to a name while containerd is being asked about it overtakes the answer.
func TestIndexTakesTheNewest(t *testing.T) {
	x := newIndex()
	a, b := &content{id: "A", identified: true, complete: true}, &content{id: "B", identified: true,
		complete: true}
	asked := x.now()
	if !x.attach("ns/app:1", named{id: "A", target: "ta"}, a, asked) || x.id("ns/app:1") != "A" {
		t.Fatal("not attached")
	}
	x.event("ns/app:1")
	if x.id("ns/app:1") != "" {
		t.Error("what a name stood for before an event counts after it")
	}
	if x.attach("ns/app:1", named{id: "B"}, b, asked) {
		t.Error("an older answer was taken")
	}
	if x.detach("ns/app:1", asked); x.images["A"] == nil {
		t.Error("an older answer has removed a name")
	}
	if !x.attach("ns/app:1", named{id: "B", target: "tb"}, b, x.now()) || x.id("ns/app:1") != "B" {
		t.Error("the newest answer was not taken")
	}
	if i, ok := x.image("A"); ok || i.Entity.ID != "A" {
		t.Errorf("A has lost its name, but = %v", i)
	}

	// A list is everything, but for what has happened since it was asked for.
	asked = x.now()
	x.attach("ns/app:2", named{id: "A", target: "ta"}, a, asked)
	x.event("other/app:3")
	x.attach("other/app:3", named{id: "A", target: "ta"}, a, x.now())
	x.event("ns/gone:1")
	x.replace([]entry{{"ns/gone:1", named{id: "B", target: "tb"}, b},
		{"ns/app:4", named{id: "B", target: "tb"}, b}}, asked)
	got := fmt.Sprint(x.id("ns/app:1"), x.id("ns/app:2"), x.id("other/app:3"), x.id("ns/gone:1"),
		x.id("ns/app:4"))
	if got != "AB" {
		t.Errorf("names stand for %s", got)
	}
	first, _ := x.image("B")
	second, _ := x.image("B")
	if fmt.Sprint(first.Entity.RepoTags) != "[app:4]" || second.Seq <= first.Seq {
		t.Errorf("B = %v, then %d after %d", first.Entity.RepoTags, second.Seq, first.Seq)
	}
}

// fakeBlobs is a content store in which some things are missing.
type fakeBlobs map[string]string

func (b fakeBlobs) read(_ context.Context, d descriptor) ([]byte, error) {
	text, ok := b[d.Digest]
	if !ok {
		return nil, fmt.Errorf("content %s: %w", d.Digest, errdefs.ErrNotFound)
	}
	return []byte(text), nil
}

func TestImagesContent(t *testing.T) {
	r := reader{platform: platforms.Only(platforms.MustParse("linux/arm64")),
		allowed: func(name string) bool { return name == "DD_ENV" }}
	blobs := fakeBlobs{
		"index": `{"mediaType":"index","manifests":[
			{"digest":"att","platform":{"os":"unknown","architecture":"unknown"}},
			{"digest":"m-amd","platform":{"os":"linux","architecture":"amd64"}},
			{"digest":"m-arm7","platform":{"os":"linux","architecture":"arm","variant":"v7"}},
			{"digest":"m-arm64","platform":{"os":"linux","architecture":"arm64","variant":"v8"}}]}`,
		"m-amd":   `{"config":{"digest":"c-amd","size":1},"layers":[]}`,
		"m-arm7":  `{"config":{"digest":"c-arm7","size":1},"layers":[]}`,
		"m-arm64": `{"mediaType":"manifest","config":{"digest":"c-arm64","size":7},"layers":[{"digest":"l1","size":100,"mediaType":"tar"},{"digest":"l2","size":200,"urls":["https://x"]}]}`,
		"c-arm64": `{"os":"linux","architecture":"arm64","variant":"v8","os.version":"1","config":{"Env":["A=hunter2"],"Labels":{"team":"blue"}},"history":[
			{"created":"2026-11-01T00:00:00Z","created_by":"ADD x"},{"created_by":"ENV DB=hunter2 DD_ENV=prod","empty_layer":true},{"created_by":"RUN make","comment":"built"}]}`,
		"c-amd":    `{"os":"linux","architecture":"amd64"}`,
		"onlyamd":  `{"manifests":[{"digest":"m-amd","platform":{"os":"linux","architecture":"amd64"}}]}`,
		"noconfig": `{"layers":[]}`,
		"broken":   `{"config":`,
		"lazy":     `{"config":{"digest":"c-lazy","size":5},"layers":[{"digest":"l1","size":10}]}`,
		"chart":    `{"config":{"digest":"empty","size":2,"mediaType":"application/vnd.oci.empty.v1+json"},"layers":[{"digest":"l9","size":3}]}`,
		"empty":    `{}`,
		"loop":     `{"manifests":[{"digest":"loop"}]}`,
		"badconf":  `{"config":{"digest":"broken","size":5}}`,
	}
	for digest, want := range map[string]struct {
		id, architecture string
		complete         bool
		size             int64
		layers           int
	}{
		"index":    {"c-arm64", "arm64", true, 307, 3},
		"onlyamd":  {"c-amd", "amd64", true, 1, 0}, // somebody has fetched it for a reason
		"m-arm64":  {"c-arm64", "arm64", true, 307, 3},
		"noconfig": {"noconfig", "", false, 0, 0},
		"broken":   {"broken", "", false, 0, 0},
		"missing":  {"missing", "", false, 0, 0},
		"lazy":     {"c-lazy", "", false, 15, 1},
		"chart":    {"chart", "", true, 5, 1},
		"loop":     {"loop", "", false, 0, 0},
		"badconf":  {"broken", "", true, 5, 0},
	} {
		c, err := r.read(t.Context(), descriptor{Digest: digest, MediaType: "of the target"},
			blobs.read)
		if err != nil {
			t.Errorf("%s: %v", digest, err)
			continue
		}
		if c.id != want.id || c.architecture != want.architecture || c.complete != want.complete ||
			c.size != want.size || len(c.layers) != want.layers {
			t.Errorf("%s = %+v, want %+v", digest, c, want)
		}
	}
	c, _ := r.read(t.Context(), descriptor{Digest: "index"}, blobs.read)
	text, err := json.Marshal(c.layers)
	if err != nil || strings.Contains(string(text), "hunter2") ||
		!strings.Contains(string(text), "DD_ENV=prod") {
		t.Errorf("layers = %s, %v", text, err)
	}
	if c.layers[0].Digest != "l1" || c.layers[1].Digest != "" || c.layers[2].Digest != "l2" ||
		c.layers[2].History.Comment != "built" ||
		c.layers[2].URLs[0] != "https://x" || c.labels["team"] != "blue" || c.variant != "v8" ||
		c.osVersion != "1" || c.mediaType != "manifest" {
		t.Errorf("content = %+v", c)
	}
	failing := func(context.Context, descriptor) ([]byte, error) {
		return nil, errdefs.ErrUnavailable
	}
	if _, err := r.read(t.Context(), descriptor{Digest: "index"},
		failing); !errdefs.IsUnavailable(err) {
		t.Errorf("an error of another kind: %v", err)
	}
}

func TestMemoryOfLives(t *testing.T) {
	m := newMemory()
	code := int64(3)
	at := epoch
	m.created("ns/a", "app:1", "runc", at)
	m.started("ns/a", 7, at)
	if end, news := m.ended("ns/a", 7, end{&code, at.Add(-time.Second)}); !news || !end.Equal(at) {
		t.Errorf("an end before its start: %v, %v", end, news)
	}
	if _, news := m.ended("ns/a", 7, end{&code, at}); news {
		t.Error("the same end once more is news")
	}
	m.started("ns/a", 8, at.Add(time.Minute))
	if _, news := m.ended("ns/a", 7, end{&code, at}); news || m.of("ns/a").end != nil {
		t.Error("the end of an earlier life is news")
	}
	if _, news := m.ended("ns/a", 9, end{&code, at.Add(time.Hour)}); !news {
		t.Error("the end of a life whose start was missed is no news")
	}
	if got := m.of("ns/a"); got.image != "app:1" || got.end == nil {
		t.Errorf("remembered %+v", got)
	}
	m.update("ns/a", func(f *facts) { f.end = &end{} }) // nobody knows how
	if _, news := m.ended("ns/a", 8, end{&code, at.Add(time.Hour)}); !news ||
		*m.of("ns/a").end.code != 3 {
		t.Error("how it has ended is no news after all")
	}
	m.forget("ns/a")
	if got := m.of("ns/a"); got != (facts{}) {
		t.Errorf("remembered %+v", got)
	}
}

func TestSecurityOfASpec(t *testing.T) {
	defaults := make([]string, 0, len(defaultCapabilities))
	for _, name := range defaultCapabilities {
		defaults = append(defaults, `"CAP_`+name+`"`)
	}
	usual := strings.Join(defaults, ",")
	for text, want := range map[string]string{
		`{}`: "null",
		`{"process":{"capabilities":{"bounding":[` + usual +
			`]}},"linux":{"seccomp":{}}}`: "null",
		`{"process":{"capabilities":{"bounding":[` + usual +
			`,"CAP_SYS_ADMIN"]}},"linux":{"seccomp":{}}}`: `{"capabilities":{"add":["SYS_ADMIN"]}}`,
		`{"process":{},"linux":{}}`: `{"seccomp_profile":{"type":"Unconfined"}}`,
	} {
		s, err := decodeSpec([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(s.security()); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		`{}`:                             `{}`,
		`{"privileged":true}`:            `{"privileged":true,"seccomp_profile":{"type":"Unconfined"}}`,
		`{"seccomp":{}}`:                 `{"seccomp_profile":{"type":"RuntimeDefault"}}`,
		`{"seccomp":{"profile_type":1}}`: `{"seccomp_profile":{"type":"Unconfined"}}`,
		`{"seccomp":{"profile_type":2,"localhost_ref":"localhost/p.json"}}`:                   `{"seccomp_profile":{"type":"Localhost","localhost_profile":"localhost/p.json"}}`,
		`{"capabilities":{"add_capabilities":["CAP_net_admin"],"drop_capabilities":["ALL"]}}`: `{"capabilities":{"add":["NET_ADMIN"],"drop":["ALL"]}}`,
	} {
		var s mapping.CRISecurity
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(s.Context()); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
}

func FuzzCRIExtension(f *testing.F) {
	f.Add([]byte(
		`{"Version":"v1","Metadata":{"SandboxID":"287a","Config":{"metadata":{"name":"main"},"envs":[{"key":"A","value":"hunter2"}],"annotations":{"io.kubernetes.container.ports":"[{\"containerPort\":8080}]","io.kubernetes.container.restartCount":"1"},"linux":{"resources":{"cpu_quota":1},"security_context":{"seccomp":{}}}},"ImageRef":"sha256:91","IP":"10.0.0.1","AdditionalIPs":["fd00::1","x"]}}`))
	f.Add([]byte(`{"Metadata":{"Config":7}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := decodeCRIContainer(text); err == nil {
			config := &c.Metadata.Config
			for _, p := range mapping.KubernetesPorts(
				config.Annotations[mapping.AnnotationPorts]) {
				if p.Port <= 0 || p.Port > 65535 {
					t.Errorf("port %+v", p)
				}
			}
			if n := restartCount(config.Annotations[mapping.AnnotationRestarts]); n < 0 {
				t.Errorf("%d restarts", n)
			}
			if config.Linux != nil && config.Linux.Resources != nil {
				config.Linux.Resources.Limits().Resources()
			}
			if config.Linux != nil && config.Linux.Security != nil {
				config.Linux.Security.Context()
			}
		}
		if s, err := decodeCRISandbox(text); err == nil {
			for _, ip := range s.ips {
				if _, err := netip.ParseAddr(ip); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func FuzzSpec(f *testing.F) {
	f.Add([]byte(
		`{"hostname":"h","process":{"env":["A=b","HOSTNAME=x"],"capabilities":{"bounding":["CAP_CHOWN"]}},"annotations":{"a":"b"},"linux":{"cgroupsPath":"a-b.slice:c:d","namespaces":[{"type":"network"}],"resources":{"cpu":{"shares":512,"quota":-1,"period":100000,"cpus":"0-1"},"memory":{"limit":9223372036854771712}},"seccomp":{}}}`))
	f.Add([]byte(`{"process":[],"linux":{"resources":{"cpu":{"period":18446744073709551615}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := decodeSpec(text)
		if err != nil {
			return
		}
		s.environment("HOSTNAME")
		s.cgroupPath()
		s.security()
		s.hostNetwork()
		if l := s.limits(false); l != nil {
			l.Resources()
		}
	})
}

func FuzzCgroupsPath(f *testing.F) {
	for _, seed := range []string{"/k8s.io/74fc",
		"kubepods-burstable-pod22.slice:cri-containerd:74fc", ":x:y", "-.slice:a:b", "::",
		"a--b.slice:c:d.slice"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := mapping.RequestedCgroup(path)
		if len(got) > 32*len(path)+len(path)+64 {
			t.Errorf("%d bytes made of %d", len(got), len(path))
		}
		if got != path && !strings.HasPrefix(got, "/") {
			t.Errorf("RequestedCgroup(%q) = %q", path, got)
		}
	})
}

func FuzzNerdctlLabels(f *testing.F) {
	f.Add(`["bridge"]`,
		`[{"HostPort":8080,"ContainerPort":80,"Protocol":"tcp","HostIP":"0.0.0.0"}]`, "10.4.0.9",
		"on-failure:3")
	f.Add(`{}`, `[1]`, "fe80::1%eth0", ":")
	f.Fuzz(func(t *testing.T, networks, ports, ip, policy string) {
		labels := map[string]string{
			labelNerdctlNetworks: networks, labelNerdctlPorts: ports, labelRestartPolicy: policy,
			labelRestartCount: ip, labelRestartStatus: "running",
		}
		nerdctlNetworks(labels)
		for _, p := range nerdctlPorts(machine{}, "c1", labels) {
			if p.Port <= 0 || p.Port > 65535 {
				t.Errorf("port %+v", p)
			}
		}
		switch got := restartPolicy(labels); got {
		case "no", "always", "unless-stopped", "on-failure":
		default:
			t.Errorf("policy %q", got)
		}
		c := &workloadmeta.Container{}
		putAddress(c, "n", ip)
		for _, got := range c.NetworkIPs {
			if a, err := netip.ParseAddr(got); err != nil || !a.Is4() {
				t.Errorf("address %q", got)
			}
		}
	})
}

// From nerdctl 2.1 on the ports are in a file, and a label names the directory.
func TestNerdctlPortsInAFile(t *testing.T) {
	root := t.TempDir()
	const config = `{"portMappings":[{"HostPort":8080,"ContainerPort":80,"Protocol":"tcp",` +
		`"HostIP":"0.0.0.0"}]}`
	put := func(dir, text string) {
		t.Helper()
		folder := filepath.Join(root, "1/root", dir)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "network-config.json"), []byte(text),
			0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("/var/lib/nerdctl/1935db59/containers/default/c1", config)
	put("/big/c1", config+strings.Repeat(" ", maxStateFile))
	put("/broken/c1", config[:20])
	put("/other", config)
	put("/linked/c2", config)
	if err := os.Symlink(filepath.Join(root, "1/root/other/network-config.json"),
		filepath.Join(root, "1/root/linked/c1")); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"/var/lib/nerdctl/1935db59/containers/default/c1":      "[80 of 8080]",
		"/var/lib/nerdctl/1935db59/containers/default/x/../c1": "[]",
		"var/lib/nerdctl/1935db59/containers/default/c1":       "[]",
		"/big/c1": "[]", "/broken/c1": "[]", "/other": "[]", "/linked/c1": "[]",
		"/nowhere/c1": "[]",
	} {
		got := []string{}
		for _, p := range nerdctlPorts(machine{root: root}, "c1",
			map[string]string{labelNerdctlStateDir: dir}) {
			got = append(got, fmt.Sprint(p.Port, " of ", p.HostPort))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: ports %v, want %s", dir, got, want)
		}
	}
}

func TestCgroupInode(t *testing.T) {
	root, inode := runtimetest.Machine(t, 20, "/docker/c1")
	c := newCollector(t, nil, func(o *Options) { o.ProcRoot = root })
	for name, tc := range map[string]struct {
		change func(*record)
		want   uint64
	}{
		"running":     {func(*record) {}, inode},
		"not running": {func(r *record) { r.process = nil }, 0},
		"Kata":        {func(r *record) { r.Runtime.Name = "io.containerd.kata.v2" }, 0},
	} {
		r := record{namespace: "ns",
			process: &task.Process{ID: "c1", Pid: 20, Status: task.Status_RUNNING}}
		r.ID = "c1"
		tc.change(&r)
		out, err := c.shared.mapper.container(&r)
		if err != nil || out.Entity.CgroupInode != tc.want {
			t.Errorf("%s: %+v, %v; want inode %d", name, out.Entity, err, tc.want)
		}
	}
}
