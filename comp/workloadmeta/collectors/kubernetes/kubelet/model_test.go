package kubelet

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// world is a kubelet that a model plays: its pods as they are, and lists and events on their way.
type world struct {
	t       *rapid.T
	tracker *tracker
	seed    maphash.Seed
	now     time.Time
	watched bool

	pods    map[string]json.RawMessage // as the kubelet has them
	marked  map[string]bool            // being deleted
	done    map[string]bool            // run to their end
	pending []listing                  // asked for and not answered yet
	live    map[workloadmeta.EntityID]workloadmeta.Entity
	created int
	settled bool // finished pods may go
}

func (w *world) apply(changes []workloadmeta.CollectorEvent) {
	for _, c := range changes {
		id := c.Entity.GetID()
		if c.Type == workloadmeta.EventTypeUnset {
			if w.live[id] == nil {
				w.t.Fatalf("%s ends and is not there", id)
			}
			uid := id.ID
			if container, ok := c.Entity.(*workloadmeta.Container); ok {
				uid = container.Owner.ID
			}
			// One that has run to its end may be taken for gone by the first list that lacks it.
			if id.Kind == workloadmeta.KindKubernetesPod && w.pods[uid] != nil &&
				!w.marked[uid] && !w.settled && !w.done[uid] {
				w.t.Fatalf("at %s: %s ends, which runs", w.now, id)
			}
			delete(w.live, id)
			continue
		}
		w.live[id] = c.Entity
	}
}

func (w *world) json(uid string, edit func(*corev1.Pod)) {
	p := pod(uid)
	p.UID = "uid-" + p.UID[4:]
	if raw := w.pods["uid-"+uid]; raw != nil {
		p = new(corev1.Pod)
		if err := json.Unmarshal(raw, p); err != nil {
			w.t.Fatal(err)
		}
	}
	edit(p)
	raw, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	w.pods[string(p.UID)] = raw
}

func (w *world) ask() {
	l := listing{began: w.now, watched: w.watched}
	known := w.tracker.hashes()
	for _, uid := range slices.Sorted(maps.Keys(w.pods)) {
		l.items = append(l.items, w.item(w.pods[uid], known))
	}
	w.pending = append(w.pending, l)
}

func (w *world) item(raw json.RawMessage, known map[uint64]bool) item {
	i := item{hash: maphash.Bytes(w.seed, raw)}
	if !known[i.hash] {
		i.pod = new(object.Pod)
		i.err = json.Unmarshal(raw, i.pod)
	}
	return i
}

func (w *world) answer() {
	if len(w.pending) == 0 {
		return
	}
	l := w.pending[0]
	w.pending = w.pending[1:]
	w.apply(w.tracker.list(w.now, l))
}

// tell lets the watch tell of a pod as it is.
func (w *world) tell(uid string) {
	raw := w.pods[uid]
	if raw == nil || !w.watched {
		return
	}
	p := new(object.Pod)
	if err := json.Unmarshal(raw, p); err != nil {
		w.t.Fatal(err)
	}
	mapped, err := w.tracker.mapper.Map(p)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(w.tracker.event(w.now, mapped))
}

// TestTrackerModel: whatever lists and events say, in whatever order and however late, a pod that
// runs is never taken away, and when nothing changes any more what is reported is what there is.
func TestTrackerModel(t *testing.T) {
	filter, err := env.NewFilter()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, tracker: newTracker(podmap.New(filter)), seed: maphash.MakeSeed(),
			now: time.Unix(1_800_000_000, 0), watched: rapid.Bool().Draw(t, "watched"),
			pods: map[string]json.RawMessage{}, marked: map[string]bool{}, done: map[string]bool{},
			live: map[workloadmeta.EntityID]workloadmeta.Entity{}}
		some := func() string {
			return rapid.SampledFrom(slices.Sorted(maps.Keys(w.pods))).Draw(t, "pod")
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(*rapid.T) {
				w.created++
				w.json(fmt.Sprint(w.created), func(*corev1.Pod) {})
				if rapid.Bool().Draw(t, "told") {
					w.tell(fmt.Sprint("uid-", w.created))
				}
			},
			"change labels": func(t *rapid.T) {
				if len(w.pods) == 0 {
					t.Skip()
				}
				w.json(some()[4:], func(p *corev1.Pod) {
					p.Labels = map[string]string{"v": fmt.Sprint(rapid.Int().Draw(t, "v"))}
				})
			},
			"restart a container": func(t *rapid.T) {
				if len(w.pods) == 0 {
					t.Skip()
				}
				uid := some()
				w.json(uid[4:], func(p *corev1.Pod) {
					s := &p.Status.ContainerStatuses[0]
					s.RestartCount++
					s.ContainerID = fmt.Sprintf("containerd://%s-%d", uid, s.RestartCount)
				})
				if rapid.Bool().Draw(t, "told") {
					w.tell(uid)
				}
			},
			"run to the end": func(t *rapid.T) {
				if len(w.pods) == 0 {
					t.Skip()
				}
				uid := some()
				w.json(uid[4:], func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
				w.done[uid] = true
				if rapid.Bool().Draw(t, "told") {
					w.tell(uid)
				}
			},
			"start half of it again": func(t *rapid.T) {
				if w.watched || len(w.pods) < 3 {
					t.Skip()
				}
				// Between two lists the kubelet has been started again, which nobody has noticed.
				w.pending = nil
				l := listing{began: w.now}
				l.items = append(l.items, w.item(w.pods[some()], nil))
				w.apply(w.tracker.list(w.now, l))
			},
			"delete": func(t *rapid.T) {
				if len(w.pods) == 0 {
					t.Skip()
				}
				uid := some()
				w.marked[uid] = true
				if rapid.Bool().Draw(t, "mark") {
					w.json(uid[4:], func(p *corev1.Pod) {
						at := metav1.NewTime(w.now)
						p.DeletionTimestamp = &at
					})
					w.tell(uid)
				}
				delete(w.pods, uid)
				if w.watched && rapid.Bool().Draw(t, "told") {
					w.apply(w.tracker.done(w.now, uid))
				}
			},
			"ask":    func(*rapid.T) { w.ask() },
			"answer": func(*rapid.T) { w.answer() },
			"restart the kubelet": func(t *rapid.T) {
				if w.watched {
					t.Skip() // it says itself what it has
				}
				w.pending = nil
				w.tracker.outage()
				w.tracker.restored(w.now)
				for range rapid.IntRange(0, 3).Draw(t, "empty lists") {
					w.now = w.now.Add(time.Second)
					w.apply(w.tracker.list(w.now, listing{began: w.now}))
				}
			},
			"wait": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) *
					time.Millisecond)
				w.apply(w.tracker.tick(w.now))
			},
		})
		for _, uid := range slices.Sorted(maps.Keys(w.marked)) {
			if w.watched { // the kubelet tells of each end at last
				w.apply(w.tracker.done(w.now, uid))
			}
		}
		w.pending = nil
		for range 20 {
			w.now = w.now.Add(5 * time.Second)
			w.ask()
			w.answer()
			w.apply(w.tracker.tick(w.now))
		}
		w.settled = true
		w.now = w.now.Add(keptFinished + time.Second)
		w.apply(w.tracker.tick(w.now))
		want := map[workloadmeta.EntityID]workloadmeta.Entity{}
		for _, raw := range w.pods {
			i := w.item(raw, nil)
			mapped, err := w.tracker.mapper.Map(i.pod)
			if err != nil {
				t.Fatal(err)
			}
			if finished(mapped.Pod) {
				continue
			}
			want[mapped.Pod.EntityID] = mapped.Pod
			for _, c := range mapped.Containers {
				want[c.EntityID] = c
			}
		}
		if len(want) != len(w.live) {
			t.Fatalf("live %d, want %d: %v, %v", len(w.live), len(want), w.live, want)
		}
		for id, e := range want {
			if have := w.live[id]; have == nil || !have.Equal(e) {
				t.Errorf("%s is\n%v\nwant\n%v", id, have, e)
			}
		}
	})
}
