package kubelet

import (
	"bufio"
	"encoding/json"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// moment is a line of a recording: what one way of asking a kubelet has shown, and when.
type moment struct {
	at      time.Duration
	watched bool   // told by the Pods API's watch; otherwise in the answer of /pods from now on
	event   string // new, chg, gone; ADDED, MODIFIED, DELETED, INITIAL_SYNC_COMPLETE
	uid     string
	pod     json.RawMessage
}

// recordings reads all that was recorded of kubelets, by name.
func recordings(t *testing.T) map[string][]moment {
	t.Helper()
	out := map[string][]moment{}
	files, err := filepath.Glob("../testdata/1.3*/*.jsonl")
	if err != nil || len(files) < 10 {
		t.Fatalf("recordings: %v, %v", files, err)
	}
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<22)
		for lines.Scan() {
			var line struct {
				Scenario, Source, Event, Key, UID string
				MS                                *int64
				TMS                               int64 `json:"t_ms"`
				Pod                               json.RawMessage
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
			if line.Scenario != "" {
				name = line.Scenario
			}
			ms := line.TMS
			if line.MS != nil {
				ms = *line.MS
			}
			m := moment{at: time.Duration(ms) * time.Millisecond, event: line.Event, uid: line.UID,
				pod: line.Pod, watched: line.Source == "watch_pods"}
			if line.Source != "kubelet" && line.Source != "pods_endpoint" && !m.watched {
				continue
			}
			if line.Pod != nil {
				var pod object.Pod
				if err := json.Unmarshal(line.Pod, &pod); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				m.uid = pod.Meta.UID
			} else if _, uid, ok := strings.Cut(line.Key, "/"); ok {
				m.uid = uid
			}
			out[name] = append(out[name], m)
		}
	}
	return out
}

// player plays a recording to a tracker, and keeps what the tracker has reported.
type player struct {
	t       *testing.T
	tracker *tracker
	served  map[string]json.RawMessage // what /pods answers
	began   time.Time
	live    map[workloadmeta.EntityID]workloadmeta.Entity
	ended   map[workloadmeta.EntityID]workloadmeta.Entity
	events  int
	decodes int
	watched bool
	seed    maphash.Seed
}

func newPlayer(t *testing.T) *player {
	t.Helper()
	filter, err := env.NewFilter()
	if err != nil {
		t.Fatal(err)
	}
	return &player{t: t, tracker: newTracker(podmap.New(filter)),
		served: map[string]json.RawMessage{}, began: time.Unix(1_800_000_000, 0),
		live:  map[workloadmeta.EntityID]workloadmeta.Entity{},
		ended: map[workloadmeta.EntityID]workloadmeta.Entity{}, seed: maphash.MakeSeed()}
}

func (p *player) apply(changes []workloadmeta.CollectorEvent) {
	p.t.Helper()
	for _, c := range changes {
		id := c.Entity.GetID()
		if c.Type == workloadmeta.EventTypeUnset {
			if p.live[id] == nil {
				p.t.Errorf("%s ends and is not there", id)
			}
			delete(p.live, id)
			p.ended[id] = c.Entity
			p.events++
			continue
		}
		if have := p.live[id]; have == nil || !have.Equal(c.Entity) {
			p.events++
		}
		p.live[id] = c.Entity
	}
}

// list lets the tracker see what /pods answers now, in any order.
func (p *player) list(at time.Duration) {
	p.t.Helper()
	now := p.began.Add(at)
	l := listing{began: now, watched: p.watched}
	known := p.tracker.hashes()
	for _, raw := range p.served {
		i := item{hash: maphash.Bytes(p.seed, raw)}
		if !known[i.hash] {
			i.pod = new(object.Pod)
			i.err = json.Unmarshal(raw, i.pod)
			p.decodes++
		}
		l.items = append(l.items, i)
	}
	rand.Shuffle(len(l.items), func(i, j int) { l.items[i], l.items[j] = l.items[j], l.items[i] })
	p.apply(p.tracker.list(now, l))
	p.apply(p.tracker.tick(now))
}

// happens applies one moment.
func (p *player) happens(m moment, watch bool) {
	p.t.Helper()
	now := p.began.Add(m.at)
	switch {
	case !m.watched && m.event == "gone":
		delete(p.served, m.uid)
	case !m.watched && m.pod != nil:
		p.served[m.uid] = m.pod
	case !watch || m.pod == nil:
	case m.event == "DELETED":
		p.apply(p.tracker.done(now, m.uid))
	default:
		pod := new(object.Pod)
		if err := json.Unmarshal(m.pod, pod); err != nil {
			p.t.Fatal(err)
		}
		mapped, err := p.tracker.mapper.Map(pod)
		if err != nil {
			p.t.Fatal(err)
		}
		p.apply(p.tracker.event(now, mapped))
	}
}

// play plays a whole recording, with a list every period, and what follows until nothing changes.
func (p *player) play(recording []moment, period time.Duration, watch bool) {
	p.t.Helper()
	p.watched = watch
	next := time.Duration(0)
	for _, m := range recording {
		for ; next < m.at; next += period {
			p.list(next)
		}
		p.happens(m, watch)
	}
	for end := next + time.Minute; next < end; next += period {
		p.list(next)
	}
	p.list(next + keptFinished + time.Minute)
}

func ids(m map[workloadmeta.EntityID]workloadmeta.Entity) []string {
	var out []string
	for id := range m {
		out = append(out, id.String())
	}
	slices.Sort(out)
	return out
}

// TestSamplingDoesNotMatter is item 1 of what is to be shown: a recording that is sampled often or
// rarely, or watched, ends in the same entities.
func TestSamplingDoesNotMatter(t *testing.T) {
	for name, recording := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			want := newPlayer(t)
			want.play(recording, 100*time.Millisecond, false)
			for id := range want.ended {
				if id.Kind == workloadmeta.KindKubernetesPod && want.live[id] != nil {
					t.Logf("%s has come back", id)
				}
			}
			for _, period := range []time.Duration{time.Second, 5 * time.Second} {
				got := newPlayer(t)
				got.play(recording, period, false)
				if diff := cmp.Diff(want.live, got.live); diff != "" {
					t.Errorf("every %s: entities as every 100ms (-), now (+):\n%s", period, diff)
				}
			}
			if !slices.ContainsFunc(recording, func(m moment) bool { return m.watched }) {
				return
			}
			got := newPlayer(t)
			got.play(recording, 5*time.Second, true)
			if diff := cmp.Diff(ids(want.live), ids(got.live)); diff != "" {
				t.Errorf("watched: entities as sampled every 100ms (-), now (+):\n%s", diff)
			}
			for id := range want.ended {
				if got.ended[id] == nil && got.live[id] == nil {
					t.Errorf("watched: %s was never there", id)
				}
			}
		})
	}
}

// TestTheSameListTwice is item 2: order says nothing, and what has not changed is not even decoded.
func TestTheSameListTwice(t *testing.T) {
	for _, path := range []string{"pods-multi-container.json", "pods-crashloop.json"} {
		data, err := os.ReadFile("../testdata/1.34/" + path)
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		p := newPlayer(t)
		for i, raw := range list.Items {
			p.served[string(rune('a'+i))] = raw
		}
		p.list(0)
		if p.events == 0 || p.decodes != len(list.Items) {
			t.Fatalf("%s: %d events, %d decoded", path, p.events, p.decodes)
		}
		before, decodes := p.events, p.decodes
		for i := range 20 {
			p.list(time.Duration(i+1) * time.Second)
		}
		if p.events != before || p.decodes != decodes {
			t.Errorf("%s: again: %d events and %d decodes more; want none", path, p.events-before,
				p.decodes-decodes)
		}

		// A kubelet that starts again has seen all pods at another time.
		for key, raw := range p.served {
			p.served[key] = json.RawMessage(strings.ReplaceAll(string(raw),
				`"kubernetes.io/config.seen":"2026`, `"kubernetes.io/config.seen":"2027`))
		}
		p.list(time.Minute)
		if p.events != before || p.decodes == decodes {
			t.Errorf("%s: seen at another time: %d events, %d decodes; want only the latter", path,
				p.events-before, p.decodes-decodes)
		}
	}
}

// frames returns what /pods showed of a recording, for tests that look at single states.
func scenario(t *testing.T, name string) []moment {
	t.Helper()
	all := recordings(t)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(key, name) {
			return all[key]
		}
	}
	t.Fatalf("no recording %s", name)
	return nil
}

func (p *player) containers(state workloadmeta.ContainerStatus) (out []*workloadmeta.Container) {
	for _, e := range p.live {
		if c, ok := e.(*workloadmeta.Container); ok && c.State.Status == state {
			out = append(out, c)
		}
	}
	return out
}

// TestCrashLoop is item 5: each instance keeps its own end.
func TestCrashLoop(t *testing.T) {
	p := newPlayer(t)
	recording := scenario(t, "05")
	for _, m := range recording {
		p.happens(m, false)
		p.list(m.at)
		for _, c := range p.containers(workloadmeta.StatusStopped) {
			if c.State.ExitCode == nil || *c.State.ExitCode != 1 || c.State.FinishedAt.IsZero() ||
				c.State.Running {
				t.Errorf("at %s: %s ended %+v; want exit code 1 and a time", m.at, c.ID, c.State)
			}
		}
	}
	if n := len(p.containers(workloadmeta.StatusStopped)); n < 3 {
		t.Errorf("%d instances have stopped, want 3 at least", n)
	}
}

// TestStartError is item 7: what has never started did not start in 1970.
func TestStartError(t *testing.T) {
	p := newPlayer(t)
	for _, m := range scenario(t, "02") {
		p.happens(m, false)
		p.list(m.at)
	}
	stopped := p.containers(workloadmeta.StatusStopped)
	if len(stopped) != 1 || !stopped[0].State.StartedAt.IsZero() ||
		*stopped[0].State.ExitCode != 128 || stopped[0].State.Reason != "StartError" {
		t.Errorf("stopped: %+v; want one without start, with code 128", stopped)
	}
}

// TestRejected is item 13: a pod that its kubelet refuses is there for a while, with the reason.
func TestRejected(t *testing.T) {
	p := newPlayer(t)
	for _, m := range scenario(t, "15") {
		p.happens(m, false)
	}
	for _, at := range []time.Duration{0, time.Minute, 14 * time.Minute} {
		p.list(at)
		if len(p.live) != 1 {
			t.Fatalf("after %s: %v", at, ids(p.live))
		}
		for _, e := range p.live {
			if pod := e.(*workloadmeta.KubernetesPod); pod.Reason != "OutOfcpu" ||
				pod.Phase != "Failed" {
				t.Errorf("after %s: phase %s, reason %q", at, pod.Phase, pod.Reason)
			}
		}
	}
	p.list(17 * time.Minute)
	if len(p.live) != 0 || len(p.ended) != 1 {
		t.Errorf("after 17 minutes: %v, ended %v", ids(p.live), ids(p.ended))
	}
}

// TestKubeletRestart is item 11: a kubelet that is away, then has no pods, then static ones only,
// takes nothing away.
func TestKubeletRestart(t *testing.T) {
	p := newPlayer(t)
	var whole, static map[string]json.RawMessage
	data, err := os.ReadFile("../testdata/1.34/pods-crashloop.json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	whole, static = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for i, raw := range list.Items {
		whole[string(rune('a'+i))] = raw
		if strings.Contains(string(raw), `"kubernetes.io/config.source":"file"`) {
			static[string(rune('a'+i))] = raw
		}
	}
	if len(static) == 0 || len(static) == len(whole) {
		t.Fatalf("%d pods, %d static", len(whole), len(static))
	}
	p.served = whole
	p.list(0)
	before := p.events
	p.tracker.outage()
	at := 150 * time.Second
	p.tracker.restored(p.began.Add(at))
	for _, served := range []map[string]json.RawMessage{nil, static, static, static} {
		p.served = served
		p.list(at)
		at += 5 * time.Second
	}
	p.served = whole
	p.list(at)
	if len(p.ended) > 0 || p.events != before {
		t.Errorf("ended: %v; %d events, want none", ids(p.ended), p.events-before)
	}
	// A pod that has really gone meanwhile goes when the kubelet has settled.
	p.served = static
	for range 20 {
		at += 5 * time.Second
		p.list(at)
	}
	if len(p.live) == 0 || len(p.ended) == 0 {
		t.Errorf("a minute and a half after: live %v, ended %v", ids(p.live), ids(p.ended))
	}
}

// TestForceDelete is item 8: the pod that has the name next is another one, and that which is
// deleted by force stays until its containers have stopped.
func TestForceDelete(t *testing.T) {
	p := newPlayer(t)
	p.watched = true
	var first string
	for _, m := range scenario(t, "force") {
		p.happens(m, true)
		if m.watched && m.event == "ADDED" && first == "" {
			first = m.uid
		}
		id := workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: first}
		p.list(m.at)
		if m.at > 2*time.Second && m.at < 2890*time.Millisecond && p.live[id] == nil {
			t.Fatalf("at %s: the pod is gone before its containers have stopped", m.at)
		}
		if m.at > 2910*time.Millisecond && p.live[id] != nil && m.at < 6*time.Second {
			t.Errorf("at %s: the pod is still there", m.at)
		}
	}
	p.list(time.Minute)
	for id, e := range p.live {
		if c, ok := e.(*workloadmeta.Container); ok && c.Owner.ID == first {
			t.Errorf("%s of the first pod is there", id)
		}
	}
}

// TestADoneJobStays is of item 23: the kubelet is done with a pod that has run to its end, and it
// stays, finished, while lists have it. A new watch does not revive it.
func TestADoneJobStays(t *testing.T) {
	p := newPlayer(t)
	p.watched = true
	var last moment
	uid := ""
	for _, m := range scenario(t, "job") {
		if m.watched && m.event == "DELETED" {
			uid = m.uid
		}
		p.happens(m, true)
		if uid != "" {
			break
		}
		if m.watched && m.pod != nil {
			last = m
		}
	}
	id := workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: uid}
	if uid == "" || p.live[id] == nil || len(p.served) == 0 {
		t.Fatalf("DELETED of %q: live %v", uid, ids(p.live))
	}
	at := time.Minute
	last.at = at
	p.happens(last, true)
	p.list(at + time.Second)
	if pod, ok := p.live[id].(*workloadmeta.KubernetesPod); !ok || pod.Phase != "Succeeded" {
		t.Errorf("while lists have it: %+v", pod)
	}
	p.served = nil
	p.list(at + 2*time.Second)
	if p.live[id] != nil {
		t.Error("it is still there when no list has it")
	}
}
