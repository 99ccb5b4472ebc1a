package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
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
	"github.com/rollcall-dev/rollcall/pkg/env"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the expected entities in testdata")

// recordings are answers of a real daemon, see TestRecord.
const recordings = "testdata/docker-20.10"

func read[T any](t testing.TB, name string) T {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(recordings, name))
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// expect compares a value, as JSON, with the one in testdata.
func expect(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join(recordings, "want", name)
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update accepts it):\n%s", name, diff)
	}
}

func recordedImages(t testing.TB) map[string]*imageInfo {
	t.Helper()
	infos := map[string]*imageInfo{}
	for _, in := range read[[]dockerimage.Summary](t, "images.json") {
		_, info, err := mapImageList(&in)
		if err != nil {
			t.Fatal(err)
		}
		infos[info.id] = &info
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

func TestInspectedContainers(t *testing.T) {
	images := recordedImages(t)
	files, err := filepath.Glob(filepath.Join(recordings, "inspect", "*.json"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".json"), func(t *testing.T) {
			in := read[container.InspectResponse](t, "inspect/"+name)
			got, err := mapInspect(&in, builtIn(t))
			if err != nil {
				t.Fatal(err)
			}
			c := got.entity
			c.Image = resolveImage(c.Image.ID, c.Image.RawName, images[c.Image.ID])
			expect(t, "inspect/"+name, c)
			text, err := json.Marshal(c)
			if err != nil || bytes.Contains(text, []byte("hunter")) {
				t.Errorf("a secret of the environment is in %s (%v)", text, err)
			}
		})
	}
}

func TestListedContainers(t *testing.T) {
	images := recordedImages(t)
	var all []*workloadmeta.Container
	for _, in := range read[[]container.Summary](t, "containers.json") {
		c, err := mapList(&in)
		if err != nil {
			t.Fatal(err)
		}
		c.Image = resolveImage(c.Image.ID, c.Image.RawName, images[c.Image.ID])
		all = append(all, c)

		// What both tell they have to tell alike, or every comparison would find a difference.
		if c.Name == "created" || c.Name == "crashing" || c.Name == "web" || c.Name == "paused" {
			continue // changed between the two requests, or may have
		}
		in := read[container.InspectResponse](t, "inspect/"+c.Name+".json")
		full, err := mapInspect(&in, builtIn(t))
		if err != nil {
			t.Fatal(err)
		}
		if !sameAsListed(full.entity, c) {
			t.Errorf("list and inspect differ:\n%s", cmp.Diff(full.entity, c))
		}
	}
	expect(t, "containers.json", all)
}

func TestImages(t *testing.T) {
	var listed []*workloadmeta.ContainerImageMetadata
	for _, in := range read[[]dockerimage.Summary](t, "images.json") {
		i, _, err := mapImageList(&in)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, i)
	}
	expect(t, "images.json", listed)
	for _, name := range []string{"web", "built"} {
		in := read[dockerimage.InspectResponse](t, "image-inspect/"+name+".json")
		i, _, err := mapImage(&in, read[[]dockerimage.HistoryResponseItem](t, "image-history/"+name+".json"), builtIn(t))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "image-"+name+".json", i)
	}
}

func TestStartEvents(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(recordings, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	in := newLines(bytes.NewReader(body))
	started := map[string]*workloadmeta.Container{}
	ends := map[string]int64{}
	actions := map[string]bool{}
	for {
		line, err := in.next()
		if err != nil {
			break
		}
		m, err := decodeEvent(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		action, _ := m.action()
		actions[m.Type+" "+action] = true
		switch name := m.Actor.Attributes["name"]; action {
		case "start":
			started[name] = mapEvent(m)
		case "die":
			ends[name] = *exitCode(m.Actor.Attributes)
		}
	}
	delete(started, "crashing") // as often as it liked
	expect(t, "start-events.json", started)
	if ends["short"] != 0 || ends["stopped"] != 3 || ends["web2"] != 137 {
		t.Errorf("exit codes = %v", ends)
	}
	for _, action := range []string{"container rename", "container update", "container commit", "container pause", "image untag", "network connect"} {
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
			in:   container.State{Status: "running", Running: true, Pid: 7, FinishedAt: ended, Health: &container.Health{Status: "healthy"}},
			want: workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning, Health: workloadmeta.HealthHealthy}, pid: 7,
		},
		{
			name: "paused is not unhealthy",
			in:   container.State{Status: "paused", Running: true, Paused: true, Pid: 7, Health: &container.Health{Status: "unhealthy"}},
			want: workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusPaused, Health: workloadmeta.HealthUnknown}, pid: 7,
		},
		{
			name: "restarting",
			in:   container.State{Status: "restarting", Running: true, Restarting: true, ExitCode: 3, FinishedAt: ended},
			want: workloadmeta.ContainerState{
				Running: true, Status: workloadmeta.StatusRestarting, Health: workloadmeta.HealthUnknown,
				ExitCode: &three, FinishedAt: parseTime(ended),
			},
		},
		{
			name: "exited keeps its last health, which says nothing",
			in:   container.State{Status: "exited", ExitCode: 3, FinishedAt: ended, OOMKilled: true, Health: &container.Health{Status: "healthy"}},
			want: workloadmeta.ContainerState{
				Status: workloadmeta.StatusStopped, Health: workloadmeta.HealthUnknown, OOMKilled: true, ExitCode: &three, FinishedAt: parseTime(ended),
			},
		},
		{
			name: "removing without an exit code",
			in:   container.State{Status: "removing", ExitCode: -1, FinishedAt: "0001-01-01T00:00:00Z"},
			want: workloadmeta.ContainerState{Status: workloadmeta.StatusStopped, Health: workloadmeta.HealthUnknown},
		},
		{
			name: "created",
			in:   container.State{Status: "created"},
			want: workloadmeta.ContainerState{Status: workloadmeta.StatusCreated, Health: workloadmeta.HealthUnknown},
		},
		{
			name: "a status of tomorrow",
			in:   container.State{Status: "dreaming", Health: &container.Health{Status: "starting"}},
			want: workloadmeta.ContainerState{Status: workloadmeta.StatusUnknown, Health: workloadmeta.HealthUnknown},
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

func TestResolveImage(t *testing.T) {
	id := "sha256:" + strings.Repeat("ab", 32)
	digest := "sha256:" + strings.Repeat("cd", 32)
	other := "sha256:" + strings.Repeat("ef", 32)
	info := func(tags, digests []string) *imageInfo {
		i := newImageInfo(id, tags, digests)
		return &i
	}
	for _, tc := range []struct {
		raw  string
		info *imageInfo
		want workloadmeta.ContainerImage
	}{
		{raw: "redis", want: workloadmeta.ContainerImage{Name: "redis", ShortName: "redis", Tag: "latest"}},
		{
			raw: "reg:5000/shop/cart:9", info: info([]string{"reg:5000/shop/cart:9"}, []string{"reg:5000/shop/cart@" + digest}),
			want: workloadmeta.ContainerImage{Name: "reg:5000/shop/cart", Registry: "reg:5000", ShortName: "cart", Tag: "9", RepoDigest: digest},
		},
		{
			raw: "b/app:1", info: info(nil, []string{"a/app@" + other, "b/app@" + digest}),
			want: workloadmeta.ContainerImage{Name: "b/app", ShortName: "app", Tag: "1", RepoDigest: digest},
		},
		{
			raw: "reg.io/x/app:1", info: info(nil, []string{"a/app@" + other, "reg.io/y/app@" + digest}),
			want: workloadmeta.ContainerImage{Name: "reg.io/x/app", Registry: "reg.io", ShortName: "app", Tag: "1", RepoDigest: digest},
		},
		{
			raw:  "reg.io/x/app:1@" + digest,
			want: workloadmeta.ContainerImage{Name: "reg.io/x/app", Registry: "reg.io", ShortName: "app", Tag: "1", RepoDigest: digest},
		},
		{
			raw:  "app@" + digest,
			want: workloadmeta.ContainerImage{Name: "app", ShortName: "app", RepoDigest: digest},
		},
		{
			raw: id, info: info([]string{"z:1", "b.io/z:1", "a:2", "<none>:<none>"}, nil),
			want: workloadmeta.ContainerImage{Name: "a", ShortName: "a", Tag: "2"},
		},
		{
			raw: "abababababab", info: info(nil, []string{"a/app@" + digest}),
			want: workloadmeta.ContainerImage{Name: "a/app", ShortName: "app", RepoDigest: digest},
		},
		{raw: id, info: info(nil, nil), want: workloadmeta.ContainerImage{Name: id}},
		{raw: id, want: workloadmeta.ContainerImage{Name: id}},
		{raw: "", want: workloadmeta.ContainerImage{Name: id}},
	} {
		tc.want.ID, tc.want.RawName = id, tc.raw
		if diff := cmp.Diff(tc.want, resolveImage(id, tc.raw, tc.info)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.raw, diff)
		}
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
		if got := summary(mapLayers(tc.history, tc.digests, builtIn(t))); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestDetails(t *testing.T) {
	for list, want := range map[string]int{"": 0, "0": 1, "0-3,7": 5, "3-1": 0, "x": 0, "0,,1": 0} {
		if got := cpusetSize(list); got != want {
			t.Errorf("cpusetSize(%q) = %d, want %d", list, got, want)
		}
	}
	for runtime, want := range map[string]workloadmeta.ContainerRuntimeFlavor{
		"runc": "", "": "", "kata-fc": "kata", "io.containerd.kata.v2": "kata", "runsc": "gvisor", "/usr/bin/runsc": "gvisor",
	} {
		if got := flavor(runtime); got != want {
			t.Errorf("flavor(%q) = %q, want %q", runtime, got, want)
		}
	}
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
		{container.HostConfig{SecurityOpt: []string{"seccomp=/p.json"}}, workloadmeta.SeccompProfile{Type: "Localhost", LocalhostProfile: "/p.json"}},
	} {
		if got := *mapSecurity(&tc.h).SeccompProfile; got != tc.want {
			t.Errorf("%v: seccomp = %v, want %v", tc.h.SecurityOpt, got, tc.want)
		}
	}
	for labels, want := range map[[2]string]bool{
		{"io.kubernetes.docker.type", "podsandbox"}: true,
		{"io.kubernetes.container.name", "POD"}:     true,
		{"io.kubernetes.pod.name", "web-0"}:         true,
		{"io.kubernetes.container.name", "web"}:     false,
		{"team", "blue"}:                            false,
	} {
		if got := isSandbox(map[string]string{labels[0]: labels[1]}); got != want {
			t.Errorf("isSandbox(%v) = %v", labels, got)
		}
	}
	if got := (&message{Time: 1795309912, TimeNano: 1795309912999880941}).at(); got != time.Unix(1795309912, 999880941).UTC() {
		t.Errorf("at() = %v: timeNano is the whole time, not a fraction", got)
	}
	if code := exitCode(map[string]string{"containerExitCode": "7"}); code == nil || *code != 7 {
		t.Error("Podman's exit code is not read")
	}
	if code := exitCode(map[string]string{"exitCode": "-1"}); code != nil {
		t.Errorf("exit code -1 is read as %d", *code)
	}
}

// TestBadAnswers covers answers with parts missing, which no daemon should send and which must not end the process.
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
	for _, text := range []string{`{"Id":"a"}`, `{"Id":"a","NetworkSettings":{"Networks":{"x":null}},"HostConfig":{}}`} {
		var in container.InspectResponse
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		if got, err := mapInspect(&in, builtIn(t)); err != nil || got.entity.ID != "a" || got.entity.State.Status != workloadmeta.StatusUnknown {
			t.Errorf("%s: %+v, %v", text, got.entity, err)
		}
	}
}

func TestLinesSurviveBadEvents(t *testing.T) {
	long := strings.Repeat("x", maxEvent+1)
	in := newLines(strings.NewReader("\x1e{\"a\":1}\n\n" + long + "\n" + strings.Repeat("y", 100_000) + "\nlast"))
	var got []int
	var long2 int
	for {
		line, err := in.next()
		if errors.Is(err, errLongEvent) {
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

// FuzzInspect checks that any answer is either refused or makes an entity without variables that are not allowed.
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
		if lenient(json.Unmarshal(body, &in)) != nil {
			return
		}
		got, err := mapInspect(&in, allowed)
		if err != nil {
			return
		}
		c := got.entity
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
		if len(c.Ports) > 2*maxPorts && len(in.NetworkSettings.Ports) < maxPorts {
			t.Errorf("%d ports", len(c.Ports))
		}
		if again, err := mapInspect(&in, allowed); err != nil || !again.entity.Equal(c) {
			t.Error("mapping the same answer twice gives two entities")
		}
		c.Image = resolveImage(c.Image.ID, c.Image.RawName, nil)
		if e := (workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Source: "runtime", Entity: c}); e.Validate() != nil {
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
		m.action()
		m.size()
		if c := mapEvent(m); c.ID != m.Actor.ID {
			t.Errorf("entity %q of event for %q", c.ID, m.Actor.ID)
		}
		exitCode(m.Actor.Attributes)
	})
}

// TestQueueModel checks the queue's promises over random operations with a clock.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const coalesce = 100 * time.Millisecond
		q := newQueue(coalesce, 5*time.Second, 5*time.Minute)
		now := time.Unix(1_800_000_000, 0)
		type look struct {
			generation uint64
			void       bool // a barrier or a forget came later
		}
		running := map[key]*look{}
		last := map[key]time.Time{}
		failures := map[key]int{}
		dirty := map[key]bool{} // marked since the last look began
		keys := rapid.SampledFrom([]key{{id: "a"}, {id: "b"}, {image: true, id: "a"}})
		t.Repeat(map[string]func(*rapid.T){
			"mark": func(t *rapid.T) {
				k, barrier := keys.Draw(t, "key"), rapid.Bool().Draw(t, "barrier")
				q.mark(k, barrier, now)
				dirty[k] = true
				if r := running[k]; r != nil && barrier {
					r.void = true
				}
			},
			"forget": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				q.forget(k)
				delete(dirty, k)
				delete(last, k)
				delete(failures, k)
				if r := running[k]; r != nil {
					r.void = true
					running[key{id: "forgotten " + k.id, image: k.image}] = r
					delete(running, k)
				}
			},
			"next": func(t *rapid.T) {
				k, generation, ok := q.next(now)
				if !ok {
					return
				}
				if running[k] != nil {
					t.Fatalf("two looks at %v", k)
				}
				if !dirty[k] {
					t.Fatalf("a look at %v, which is not marked", k)
				}
				if at, ok := last[k]; ok && now.Sub(at) < coalesce {
					t.Fatalf("looks at %v %v apart", k, now.Sub(at))
				}
				if n := failures[k]; n > 0 && now.Sub(last[k]) < 5*time.Second {
					t.Fatalf("a look at %v %v after a failure", k, now.Sub(last[k]))
				}
				running[k] = &look{generation: generation}
				last[k] = now
				delete(dirty, k)
			},
			"done": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				r := running[k]
				if r == nil {
					return
				}
				delete(running, k)
				if verdict := q.done(k, r.generation, now); (verdict == usable) == r.void {
					t.Fatalf("verdict %d on a look at %v, void %v", verdict, k, r.void)
				}
				failures[k] = 0
			},
			"failed": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				r := running[k]
				if r == nil {
					return
				}
				delete(running, k)
				q.failed(k, r.generation, rapid.Bool().Draw(t, "slow"), now)
				failures[k]++
				dirty[k] = true // it is tried again
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				// Everything that is marked is waiting or will be after the look that runs.
				for k := range dirty {
					if e := q.entries[k]; e == nil || e.heapIndex < 0 && e.looking == 0 {
						t.Fatalf("%v is marked and nothing will look at it", k)
					}
				}
				open := 0
				for _, n := range failures {
					if n > 0 {
						open++
					}
				}
				if q.open != open {
					t.Fatalf("%d failing keys, want %d", q.open, open)
				}
			},
		})
	})
}

func TestQueueBackoff(t *testing.T) {
	q := newQueue(time.Millisecond, 5*time.Second, 5*time.Minute)
	now := time.Unix(1_800_000_000, 0)
	q.mark(key{id: "a"}, false, now)
	var pauses []time.Duration
	for range 9 {
		k, generation, ok := q.next(now)
		if !ok {
			t.Fatal("nothing is due")
		}
		q.failed(k, generation, true, now)
		q.mark(k, true, now) // must not hurry it
		pause, _ := q.wait(now)
		pauses = append(pauses, pause)
		now = now.Add(pause)
	}
	want := []time.Duration{5, 10, 20, 40, 80, 160, 300, 300, 300}
	for i := range want {
		if pauses[i] != want[i]*time.Second {
			t.Fatalf("pauses = %v", pauses)
		}
	}
	// A daemon that is slow altogether is no reason to wait longer for one container.
	q.forget(key{id: "a"})
	q.mark(key{id: "a"}, false, now)
	for range 3 {
		k, generation, _ := q.next(now)
		q.failed(k, generation, false, now)
		if pause, _ := q.wait(now); pause != 5*time.Second {
			t.Fatalf("pause = %v", pause)
		}
		now = now.Add(5 * time.Second)
	}
	q.renew(key{id: "a"}, now)
	if pause, ok := q.wait(now); !ok || pause > time.Millisecond || q.open != 0 {
		t.Fatalf("pause after renew = %v, %d failing", pause, q.open)
	}
}
