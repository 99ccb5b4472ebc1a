package local_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

func TestWhoeverHearsOfAContainerCanAskForItsTags(t *testing.T) {
	w := newWorld(t, local.Options{}, true)
	const containers = 5000
	heard, failed := 0, 0
	sub := w.store.Subscribe("second",
		wm.NewFilter().Kind(wm.KindContainer).Events(wm.EventTypeSet))
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer sub.Close()
		for b := range sub.Bundles(t.Context()) {
			for _, ev := range b.Events {
				id := tagger.Container(ev.Entity.GetID().ID)
				if tags, err := w.tagger.Tags(id, tagger.HighCardinality); err != nil ||
					tags.Len() == 0 {
					failed++
				}
				if heard++; heard == containers {
					return
				}
			}
		}
	}()
	for i := range containers {
		if err := w.store.Notify(
			[]wm.CollectorEvent{sets(runtime, container(fmt.Sprint(i), noOne))}); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	if failed > 0 {
		t.Errorf("%d of %d containers had no tags when they were heard of", failed, heard)
	}
}

func TestShortLivedIsTaggedForTheGraceTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, local.Options{}, false)
		if err := w.tagger.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		// All of it happened before the tagger looked: what is left are unsets. The pod's
		// tags are on the container, too, although neither is in the store any more.
		if err := w.store.Notify([]wm.CollectorEvent{
			sets(runtime, container("c1", ofP1)), sets(kubelet, pod("p1", "c1")),
			unsets(runtime, container("c1", noOne)), unsets(kubelet, pod("p1")),
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.has("just gone", c1, tagger.Expired, "container_id:c1", "kube_namespace:shop",
			"pod_name:pod-p1", "kube_container_name:app")
		w.has("just gone", p1, tagger.Expired, "pod_name:pod-p1")
		time.Sleep(tagstore.DefaultGrace - time.Second)
		w.has("late telemetry", c1, tagger.Expired, "container_id:c1", "pod_name:pod-p1")
		time.Sleep(2 * time.Minute) // the next prune
		w.has("forgotten", c1, tagger.Expired)
		w.lacks("forgotten", c1, "container_id")
	})
}

// A tagger that lags sees the pod's set after the container has gone from the store.
func TestTheStoreMayBeAheadOfTheEvents(t *testing.T) {
	w := newWorld(t, local.Options{}, true)
	w.notify(
		sets(runtime, container("c1", ofP1)), sets(kubelet, pod("p1", "c1")),
		unsets(runtime, container("c1", noOne)),
	)
	w.has("the container is gone, the pod is not", c1, tagger.Expired, "container_id:c1",
		"pod_name:pod-p1")
	if n := w.tagger.Stats().Tombstones; n != 1 {
		t.Errorf("%d tombstones, want the container to be one", n)
	}
}

func TestTagsOfThePodComeAndGoWithIt(t *testing.T) {
	w := newWorld(t, local.Options{TagStore: tagstore.Options{Grace: -1}}, true)
	w.notify(sets(runtime, container("c1", ofP1)), sets(runtime, container("c2", ofP1)),
		sets(kubelet, pod("p1", "c1", "c2", "unheard-of")))
	w.has("both", c1, tagger.Complete, "pod_name:pod-p1")
	w.has("both", c2, tagger.Complete, "pod_name:pod-p1")
	w.has("not in the store", tagger.Container("unheard-of"), tagger.Unknown)

	w.notify(sets(kubelet, pod("p1", "c1")))
	w.tagger.Prune()
	w.has("still listed", c1, tagger.Complete, "pod_name:pod-p1")
	w.lacks("no longer listed", c2, "pod_name")
	w.has("no longer listed", c2, tagger.Complete, "container_id:c2")

	w.notify(unsets(kubelet, pod("p1")))
	w.tagger.Prune()
	w.lacks("the pod is gone", c1, "pod_name")
	w.has("the pod is gone", c1, tagger.Partial, "container_id:c1")
	w.has("the pod is gone", p1, tagger.Expired)

	w.notify(sets(kubelet, pod("p1", "c1")), unsets(runtime, container("c1", noOne)))
	w.tagger.Prune()
	w.lacks("the runtime has withdrawn", c1, "container_id")
}

// A pod that has completed lists containers for days that are gone for good.
func TestAContainerEndsBeforeItsPod(t *testing.T) {
	for name, parent := range map[string]wm.Entity{
		"kube_container_name": pod("p1", "c1", "c2"),
		"ecs_container_name":  task("arn", "prod", "c1", "c2"),
	} {
		w := newWorld(t, local.Options{TagStore: tagstore.Options{Grace: -1}}, true)
		w.notify(sets(runtime, container("c1", noOne)), sets(runtime, container("c2", noOne)),
			sets(kubelet, parent))
		w.notify(unsets(runtime, container("c1", noOne)))
		w.has("just gone", c1, tagger.Expired, "container_id:c1", name+":app")
		w.has("the other one", c2, tagger.Complete, name+":app")
		w.notify(sets(runtime, container("c1", noOne)))
		w.tagger.Prune()
		w.has("started again", c1, tagger.Complete, "container_id:c1", name+":app")

		w.notify(unsets(runtime, container("c1", noOne)))
		w.tagger.Prune()
		w.has("forgotten", c1, tagger.Expired)
		w.lacks("forgotten", c1, name)
		w.has("the other one", c2, tagger.Complete, "container_id:c2", name+":app")

		w.notify(unsets(kubelet, parent))
		w.notify(sets(runtime, container("c1", noOne)))
		w.has("the other is gone", c1, tagger.Complete, "container_id:c1")
		w.lacks("the other is gone", c1, name)
	}
}

func TestCompleteness(t *testing.T) {
	partial, complete := tagger.Partial, tagger.Complete
	arn := tagger.NewEntityID(tagger.PrefixECSTask, "arn")
	ofTask := id(wm.KindECSTask, "arn")
	type state map[tagger.EntityID]tagger.Completeness
	type step struct {
		event wm.CollectorEvent
		want  state
	}
	for name, c := range map[string]struct {
		expect map[wm.Kind][]wm.Source
		steps  []step
	}{
		"Kubernetes, container first": {
			map[wm.Kind][]wm.Source{wm.KindContainer: {kubelet, runtime},
				wm.KindKubernetesPod: {cluster, kubelet}}, []step{
				{sets(runtime, container("c1", noOne)), state{c1: partial}},
				{sets(kubelet, container("c1", ofP1)), state{c1: partial}}, // its pod is not known
				{sets(kubelet, pod("p1", "c1")), state{c1: partial, p1: partial}},
				{sets(cluster, pod("p1")), state{c1: complete, p1: complete}},
				{unsets(cluster, pod("p1")), state{c1: partial, p1: partial}},
			}},
		"Kubernetes, pod first": {
			map[wm.Kind][]wm.Source{wm.KindContainer: {kubelet, runtime},
				wm.KindKubernetesPod: {cluster, kubelet}}, []step{
				{sets(cluster, pod("p1")), state{p1: partial}},
				{sets(kubelet, pod("p1", "c1")), state{p1: complete, c1: tagger.Unknown}},
				{sets(kubelet, container("c1", ofP1)), state{c1: partial, p1: complete}},
				{sets(runtime, container("c1", noOne)), state{c1: complete}},
				{unsets(runtime, container("c1", noOne)), state{c1: partial}},
			}},
		"a container without an owner": {
			map[wm.Kind][]wm.Source{wm.KindContainer: {runtime}}, []step{
				{sets(kubelet, container("c1", noOne)), state{c1: partial}},
				{sets(runtime, container("c1", noOne)), state{c1: complete}},
			}},
		"nothing is expected": {nil, []step{
			{sets(runtime, container("c1", noOne)), state{c1: complete}},
			{sets(kubelet, pod("p1")), state{p1: complete}},
		}},
		"a container whose pod nobody knows": {nil, []step{
			{sets(runtime, container("c1", ofP1)), state{c1: partial}},
			{sets(kubelet, pod("p1", "c1")), state{c1: complete}},
		}},
		"ECS: a task without a cluster was reported too early": {
			map[wm.Kind][]wm.Source{wm.KindContainer: {kubelet, runtime}}, []step{
				{sets(runtime, container("c1", noOne)), state{c1: partial}},
				{sets(kubelet, container("c1", ofTask)), state{c1: partial}},
				{sets(kubelet, task("arn", "", "c1")), state{c1: partial, arn: partial, tagger.GlobalEntityID: partial}},
				{sets(kubelet, task("arn", "prod", "c1")), state{c1: complete, arn: complete, tagger.GlobalEntityID: complete}},
			}},
		"the host": {nil, []step{
			{sets(wm.SourceHost, &wm.Host{EntityID: id(wm.KindHost, wm.HostID), HostTags: []string{"rack:1"}}), state{tagger.GlobalEntityID: complete}},
		}},
		"other kinds": {map[wm.Kind][]wm.Source{wm.KindGPU: {wm.SourceNVML, "other"}}, []step{
			{sets(wm.SourceNVML, &wm.GPU{EntityID: id(wm.KindGPU, "g"), Vendor: "nvidia"}), state{"gpu://g": partial}},
			{sets("other", &wm.GPU{EntityID: id(wm.KindGPU, "g")}), state{"gpu://g": complete}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, local.Options{}, true)
			for kind, sources := range c.expect {
				w.store.Expect(kind, sources)
			}
			for i, step := range c.steps {
				w.notify(step.event)
				for id, want := range step.want {
					w.has(fmt.Sprint("step ", i+1), id, want)
				}
			}
		})
	}
}

func TestChangedExpectationsReachTheTags(t *testing.T) {
	w := newWorld(t, local.Options{}, true)
	w.notify(sets(runtime, container("c1", noOne)))
	w.store.Expect(wm.KindContainer, []wm.Source{runtime, kubelet})
	w.catchUp()
	w.has("the kubelet is expected", c1, tagger.Partial)
	w.store.Expect(wm.KindContainer, nil)
	w.catchUp()
	w.has("it is not", c1, tagger.Complete)
}

func TestGlobalTags(t *testing.T) {
	opts := local.DefaultOptions()
	opts.Extract.StaticTags = []string{"site:home"}
	opts.TagStore.Grace = -1
	w := newWorld(t, opts, true)
	want := func(step string, tags ...string) {
		t.Helper()
		w.tagger.Prune()
		got, err := w.tagger.GlobalTags(tagger.OrchestratorCardinality)
		got = slices.DeleteFunc(got,
			func(tag string) bool {
				return tagset.Name(tag) != "task_arn" &&
					tagset.Name(tag) != "site"
			})
		if err != nil || !slices.Equal(got, append([]string{"site:home"}, tags...)) {
			t.Errorf("%s: %q, %v; want site:home and %q", step, got, err, tags)
		}
	}
	want("at first")
	w.notify(sets(kubelet, task("a", "prod")))
	want("one task", "task_arn:a")
	w.notify(sets(kubelet, task("b", "prod")))
	want("the newest", "task_arn:b")
	w.notify(unsets(kubelet, task("b", "prod")))
	want("the other one remains", "task_arn:a")
	w.notify(unsets(kubelet, task("a", "prod")))
	want("with the last task")
}

func TestAnUnsetTakesNothingAway(t *testing.T) {
	w := newWorld(t, local.Options{}, true)
	full := container("c1", noOne)
	full.Image = wm.ContainerImage{Name: "reg.io/shop/app", ShortName: "app", Tag: "1"}
	w.notify(sets(runtime, full))
	w.notify(unsets(runtime, &wm.Container{EntityID: full.EntityID}))
	w.has("its end was an ID and nothing else", c1, tagger.Expired, "container_id:c1",
		"short_image:app", "container_name:name-of-c1")
	w.notify(sets(runtime, full))
	w.has("alive again", c1, tagger.Complete, "short_image:app")
}

func TestPIDThatIsReusedGetsTheNewTagsOnly(t *testing.T) {
	w := newWorld(t, local.Options{}, true)
	proc := func(ticks uint64, language string) *wm.Process {
		return &wm.Process{EntityID: id(wm.KindProcess, "7"), PID: 7, StartTicks: ticks,
			Service: &wm.ProcessService{UST: wm.UST{Service: language}}}
	}
	w.notify(sets(wm.SourceProcess, proc(1, "old")))
	w.has("old", "process://7", tagger.Complete, "service:old")
	w.notify(sets(wm.SourceProcess, proc(2, "new")))
	w.has("new", "process://7", tagger.Complete, "service:new")
	if tags, _ := w.tagger.Standard("process://7"); len(tags) != 1 || tags[0] != "service:new" {
		t.Errorf("standard tags = %q", tags)
	}
}

func TestStartAndStop(t *testing.T) {
	never := newWorld(t, local.Options{}, false)
	if err := never.tagger.Stop(t.Context()); err != nil {
		t.Errorf("Stop before Start: %v", err)
	}
	if err := never.tagger.Start(t.Context()); err == nil {
		t.Error("Start after Stop: no error")
	}
	if subs := never.store.Stats().Subscriptions; len(subs) != 0 {
		t.Errorf("what has never started is still subscribed: %+v", subs)
	}
	w := newWorld(t, local.Options{}, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the context of Start is for Start alone
	if err := w.tagger.Start(ctx); err != nil {
		t.Errorf("Start: %v", err)
	}
	if err := w.tagger.Start(ctx); err == nil {
		t.Error("the second Start: no error")
	}
	w.notify(sets(runtime, container("c1", noOne)))
	for range 2 {
		if err := w.tagger.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	w.has("after Stop", c1, tagger.Complete, "container_id:c1")
	if err := w.tagger.Start(t.Context()); err == nil {
		t.Error("Start after Stop: no error")
	}
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, local.Options{}, false)
		stuck := make(chan struct{})
		hanging, err := local.New(stuckStore{w.store, stuck},
			local.Options{SelfContainerID: "none"})
		if err != nil {
			t.Fatal(err)
		}
		if err := hanging.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := hanging.Stop(ctx); err == nil {
			t.Error("Stop returned although the subscription hangs")
		}
		close(stuck)
		if err := hanging.Stop(t.Context()); err != nil {
			t.Errorf("Stop again: %v", err)
		}
	})
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, opts := range map[string]local.Options{
		"PruneEvery":  {PruneEvery: -1},
		"Cardinality": {Cardinality: 9},
	} {
		if _, err := local.New(nil, opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
