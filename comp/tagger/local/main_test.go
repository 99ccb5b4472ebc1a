package local_test

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	runtime = wm.SourceRuntime
	kubelet = wm.SourceNodeOrchestrator
	cluster = wm.SourceClusterOrchestrator
)

// world is a store with a tagger that follows it.
type world struct {
	*testing.T
	store  *store.Store
	tagger *local.Tagger
}

// newWorld returns one that has been started; start = false leaves that to the test.
func newWorld(t *testing.T, opts local.Options, start bool) world {
	t.Helper()
	opts.SelfContainerID = cmp.Or(opts.SelfContainerID, "none")
	s := store.New(store.Options{OnMutation: func(id wm.EntityID, source wm.Source) {
		t.Errorf("%s of %s was written to", id, source)
	}})
	tags, err := local.New(s, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tags.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	if start {
		if err := tags.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return world{t, s, tags}
}

// notify reports events and waits until the tagger has followed.
func (w world) notify(events ...wm.CollectorEvent) {
	w.Helper()
	if err := w.store.Notify(events); err != nil {
		w.Fatal(err)
	}
	w.catchUp()
}

// storeOnly reports events and does not wait.
func (w world) storeOnly(events ...wm.CollectorEvent) {
	w.Helper()
	if err := w.store.Notify(events); err != nil {
		w.Fatal(err)
	}
}

func (w world) catchUp() {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.tagger.CatchUp(ctx); err != nil {
		w.Fatal(err)
	}
}

// has checks that the entity has all of these tags and is known this well.
func (w world) has(step string, id tagger.EntityID, want tagger.Completeness, tags ...string) {
	w.Helper()
	got, known, err := w.tagger.TagWithCompleteness(id, tagger.HighCardinality)
	for _, tag := range tags {
		if !slices.Contains(got, tag) {
			w.Errorf("%s: %s has %q, want %s among them", step, id, got, tag)
		}
	}
	if known != want || err != nil || want == tagger.Unknown && len(got) > 0 {
		w.Errorf("%s: %s is %s (%q, %v), want %s", step, id, known, got, err, want)
	}
}

// lacks checks that the entity has no tag of this name.
func (w world) lacks(step string, id tagger.EntityID, name string) {
	w.Helper()
	tags, _ := w.tagger.Tags(id, tagger.HighCardinality)
	if value, ok := tags.Get(name); ok {
		w.Errorf("%s: %s has %s:%s", step, id, name, value)
	}
}

func id(kind wm.Kind, id string) wm.EntityID { return wm.EntityID{Kind: kind, ID: id} }

func container(cid string, owner wm.EntityID) *wm.Container {
	c := &wm.Container{EntityID: id(wm.KindContainer, cid),
		EntityMeta: wm.EntityMeta{Name: "name-of-" + cid}, Runtime: wm.RuntimeContainerd}
	if owner.ID != "" {
		c.Owner = &owner
	}
	return c
}

func pod(uid string, containers ...string) *wm.KubernetesPod {
	p := &wm.KubernetesPod{EntityID: id(wm.KindKubernetesPod, uid),
		EntityMeta: wm.EntityMeta{Name: "pod-" + uid, Namespace: "shop"}}
	for _, cid := range containers {
		p.Containers = append(p.Containers, wm.OrchestratorContainer{ID: cid, Name: "app"})
	}
	return p
}

func task(arn, clusterName string, containers ...string) *wm.ECSTask {
	task := &wm.ECSTask{EntityID: id(wm.KindECSTask, arn), Family: "cart", ClusterName: clusterName,
		LaunchType: wm.ECSLaunchTypeFargate}
	for _, cid := range containers {
		task.Containers = append(task.Containers, wm.OrchestratorContainer{ID: cid, Name: "app"})
	}
	return task
}

func sets(source wm.Source, e wm.Entity) wm.CollectorEvent {
	return wm.CollectorEvent{Type: wm.EventTypeSet, Source: source, Entity: e}
}

func unsets(source wm.Source, e wm.Entity) wm.CollectorEvent {
	return wm.CollectorEvent{Type: wm.EventTypeUnset, Source: source, Entity: e}
}

var (
	c1, c2 = tagger.Container("c1"), tagger.Container("c2")
	p1     = tagger.KubernetesPod("p1")
	noOne  wm.EntityID
	ofP1   = id(wm.KindKubernetesPod, "p1")
)

// tagsStay is a time for which every tag stays that was withdrawn within the last minutes.
const tagsStay = 2 * time.Minute

// stepClock stands still unless it is moved. The tagger reads it from other goroutines.
type stepClock struct{ nanos atomic.Int64 }

func newStepClock() *stepClock {
	c := &stepClock{}
	c.nanos.Store(1_700_000_000_000_000_000)
	return c
}

func (c *stepClock) Now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *stepClock) Elapsed() time.Duration  { return time.Duration(c.nanos.Load()) }
func (c *stepClock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

func sortedStrings(list []string) []string {
	slices.Sort(list)
	return list
}
