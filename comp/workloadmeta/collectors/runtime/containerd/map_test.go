package containerd

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// expect compares a value, as JSON, with the one in testdata.
func expect(t *testing.T, folder, name string, v any) {
	t.Helper()
	collectortest.Golden(t, filepath.Join(folder, "want", name), v)
}

// recorded returns a collector for the recorded containerd, as if it were still then.
func recorded(t testing.TB, folder string, change func(*Options)) (*Collector, *recording,
	*fakeContainerd) {
	t.Helper()
	r, f, proc := load(t, folder)
	c := newCollector(t, f, func(o *Options) {
		o.ProcRoot = proc
		if change != nil {
			change(o)
		}
	})
	c.shared.scope = scope{} // Docker's containers are among the recorded ones
	now := func() time.Time { return r.At }
	c.shared.mapper.now, c.shared.mapper.machine.now = now, now
	c.shared.reader.platform = platforms.Only(platforms.MustParse("linux/amd64"))
	return c, r, f
}

// What is recorded of a real containerd, as it reaches the store: whole entities.
func TestRecordedContainerd(t *testing.T) { eachRecording(t, testRecordedContainerd) }

func testRecordedContainerd(t *testing.T, folder string) {
	c, r, f := recorded(t, folder, nil)
	w := collectortest.NewWorld()
	start(t, c, w)
	f.with(func() {
		if f.calls["Containers/Get"] != 0 || f.calls["Images/Get"] != 0 {
			t.Errorf("what the lists tell was asked for again: %v", f.calls)
		}
	})
	names := map[string]bool{}
	for id, e := range w.Live() {
		switch e := e.(type) {
		case *workloadmeta.Container:
			names[e.Name] = true
			expect(t, folder, "containers/"+e.Name+".json", e)
			if e.Namespace == "k8s.io" && (e.Owner == nil || e.Image.ID == "" || e.Hostname == "") {
				t.Errorf("%s = %#v", e.Name, e)
			}
		case *workloadmeta.ContainerImageMetadata:
			expect(t, folder, "images/"+strings.NewReplacer("/", "_", ":", "_").Replace(e.Name)+
				".json", e)
		default:
			t.Errorf("%v is reported", id)
		}
	}
	for _, name := range []string{"web", "seccomp", "privileged", "hostnet", "front", "restarted",
		"paused", "5f3c9d2f", "cart", "job", "waiting", "agent"} {
		if !names[name] {
			t.Errorf("%s is not reported", name)
		}
	}
	for _, name := range []string{"failed", "created", ""} {
		if names[name] {
			t.Errorf("%q is reported: nothing runs in it", name)
		}
	}
	if got := c.Stats(); len(got.Inspects) != 0 || len(r.Namespaces) != 3 {
		t.Errorf("stats = %+v", got)
	}
}

// Nothing of a second look may differ from the first, or every comparison would publish.
func TestRecordedContainerdIsTheSameAgain(t *testing.T) {
	eachRecording(t, testRecordedContainerdIsTheSameAgain)
}

func testRecordedContainerdIsTheSameAgain(t *testing.T, folder string) {
	c, _, _ := recorded(t, folder, nil)
	b := newBackend(t, c)
	list := func() map[string]runtimesync.Container {
		l, err := b.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]runtimesync.Container{}
		for _, c := range l.Containers {
			out[c.Key] = c
		}
		return out
	}
	first := list()
	c.shared.mapper.machine.now = time.Now // start times are remembered
	for key, again := range list() {
		if !again.Entity.Equal(first[key].Entity) {
			t.Errorf("%s differs: %s", key, cmp.Diff(first[key].Entity, again.Entity))
		}
		inspected, err := b.Inspect(t.Context(), key)
		if err != nil || !inspected.Entity.Equal(again.Entity) || inspected.Keep != again.Keep ||
			inspected.Sandbox != again.Sandbox || inspected.Policy != again.Policy {
			t.Errorf("%s differs when inspected: %v %s", key, err,
				cmp.Diff(inspected.Entity, again.Entity))
		}
	}
}

func TestRecordedFlags(t *testing.T) { eachRecording(t, testRecordedFlags) }

func testRecordedFlags(t *testing.T, folder string) {
	c, _, _ := recorded(t, folder, nil)
	l, err := newBackend(t, c).List(t.Context())
	if err != nil || len(l.Problems) != 0 || l.ImagesErr != nil || !l.AllImages {
		t.Fatalf("%v, %v, %v", err, l.Problems, l.ImagesErr)
	}
	sandboxes := 0
	for _, c := range l.Containers {
		if c.Sandbox {
			sandboxes++
			continue
		}
		if pod := strings.HasPrefix(c.Key, "k8s.io/"); c.Keep != pod {
			t.Errorf("%s: keep = %v", c.Key, c.Keep)
		}
		want := "no"
		if c.Entity.ID == "restarted" {
			want = "on-failure"
		}
		if c.Policy != want || !c.Complete {
			t.Errorf("%s: policy %q, complete %v", c.Key, c.Policy, c.Complete)
		}
	}
	if sandboxes != 2 {
		t.Errorf("%d sandboxes", sandboxes)
	}
}

// What the recorded events mean. Names of pods' containers are random and stand for themselves.
func TestRecordedEvents(t *testing.T) { eachRecording(t, testRecordedEvents) }

func testRecordedEvents(t *testing.T, folder string) {
	c, r, _ := recorded(t, folder, nil)
	b := newBackend(t, c)
	type told struct {
		Name, Key string
		Action    runtimesync.Action
		At        time.Time
		ExitCode  *int64                  `json:",omitempty"`
		Sandbox   bool                    `json:",omitempty"`
		Container *workloadmeta.Container `json:",omitempty"`
	}
	var all []told
	for i := range r.Events {
		ev, err := b.event(r.Events[i].proto(t))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all,
			told{ev.Name, ev.Key, ev.Action, ev.At, ev.ExitCode, ev.Sandbox, ev.Container})
	}
	expect(t, folder, "events.json", all)
}
