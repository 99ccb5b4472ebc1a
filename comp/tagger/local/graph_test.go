package local_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
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
	w.notify(sets(runtime, container("c1", ofP1)), sets(runtime, container("c2", noOne)),
		sets(runtime, container("c3", ofP1)),
		sets(kubelet, pod("p1", "c1", "c2", "c3", "unheard-of")))
	w.has("both", c1, tagger.Complete, "pod_name:pod-p1")
	w.has("both", c2, tagger.Complete, "pod_name:pod-p1")
	w.has("not in the store", tagger.Container("unheard-of"), tagger.Unknown)

	w.notify(sets(kubelet, pod("p1", "c1")))
	w.tagger.Prune()
	w.has("still listed", c1, tagger.Complete, "pod_name:pod-p1")
	w.lacks("no longer listed", c2, "pod_name")
	w.has("no longer listed, and says whose it is", tagger.Container("c3"), tagger.Complete,
		"pod_name:pod-p1")
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

// What an end reveals, or what was merged into it because the tagger was busy, is the last
// state, whether or not the tagger had seen an earlier one.
func TestTheLastStateIsTagged(t *testing.T) {
	full := container("c1", noOne)
	full.EnvVars = map[string]string{"DD_SERVICE": "shop"}
	w := newWorld(t, local.Options{}, true)
	w.notify(sets(runtime, &wm.Container{EntityID: full.EntityID}))
	w.has("poor", c1, tagger.Complete, "container_id:c1")
	w.notify(unsets(runtime, full))
	w.has("its end", c1, tagger.Expired, "container_id:c1", "container_name:name-of-c1",
		"service:shop")

	// With a source of one's own, which keeps it from being unknown.
	if err := w.tagger.Process([]tagger.TagInfo{{Source: "mine", Entity: c2,
		LowCardTags: []string{"team:a"}}}); err != nil {
		t.Fatal(err)
	}
	full = container("c2", noOne)
	w.notify(sets(runtime, full), unsets(runtime, full))
	w.has("short-lived", c2, tagger.Partial, "team:a", "container_name:name-of-c2")
}

// Each relation there is: whoever comes first, the asker follows what the other says, and
// when it goes.
func TestEachRelation(t *testing.T) {
	labels := func(key, value string) wm.EntityMeta {
		return wm.EntityMeta{Name: "p", Namespace: "ns", Labels: map[string]string{key: value}}
	}
	eid := id
	queue := func(id, typ string) func(string) wm.Entity {
		return func(label string) wm.Entity {
			m := labels("team", label)
			m.Name = "q"
			return &wm.KueueQueue{EntityID: eid(wm.KindKueueQueue, id), QueueType: typ,
				EntityMeta: m}
		}
	}
	workload := &wm.KueueWorkload{EntityID: id(wm.KindKueueWorkload, "ns/w"), QueueName: "q",
		EntityMeta: wm.EntityMeta{Name: "w", Namespace: "ns"}, ClusterQueueName: "q",
		PodSetAssignments: []wm.PodSetAssignment{{Name: "m", Flavors: map[string]string{"x": "f"}}}}
	teamPod := func(label string) wm.Entity {
		p := pod("p1", "c1")
		p.Labels = map[string]string{"team": label}
		return p
	}
	object := func(id string) func(string) wm.Entity {
		return func(label string) wm.Entity {
			return &wm.KubernetesMetadata{EntityID: eid(wm.KindKubernetesMetadata, id),
				EntityMeta: labels("team", label)}
		}
	}
	usesGPU := func(name string) wm.Entity {
		return &wm.Container{EntityID: eid(wm.KindContainer, "c1"), GPUDeviceIDs: []string{name}}
	}
	nvidia := func(uuid string) func(string) wm.Entity {
		return func(v string) wm.Entity {
			return &wm.GPU{EntityID: eid(wm.KindGPU, uuid), Vendor: "NVIDIA", Index: 1,
				Architecture: v}
		}
	}
	const local1, cluster1 = "localqueue/ns/q", "clusterqueue//q"
	for name, c := range map[string]struct {
		asker wm.Entity
		other func(string) wm.Entity
		tag   string
	}{
		"container, pod":           {container("c1", noOne), teamPod, "pod_team"},
		"container, pod by a rule": {container("c1", ofP1), teamPod, "renamed"},
		"container, task": {container("c1", noOne), func(v string) wm.Entity {
			task := task("arn", "prod", "c1")
			task.Version = v
			return task
		}, "task_version"},
		"process, GPU": {&wm.Process{EntityID: id(wm.KindProcess, "1"), GPUs: []string{"g"}},
			func(v string) wm.Entity {
				return &wm.GPU{EntityID: eid(wm.KindGPU, "g"), Vendor: v}
			}, "gpu_vendor"},
		"container, GPU":              {usesGPU("g"), nvidia("g"), "gpu_architecture"},
		"container, GPU by its place": {usesGPU("1"), nvidia("g"), "gpu_architecture"},
		"container, GPU of a claim": {&wm.Container{EntityID: eid(wm.KindContainer, "c1"),
			AllocatedResources: []wm.ContainerAllocatedResource{
				{Name: "gpu.amd.com", Pool: "node-1", ID: "gpu-0"}}},
			func(v string) wm.Entity {
				return &wm.GPU{EntityID: eid(wm.KindGPU, "g"), Architecture: v,
					DynamicName: wm.DynamicDeviceName("gpu.amd.com", "node-1", "gpu-0")}
			}, "gpu_architecture"},
		"container, all GPUs":     {usesGPU("all"), nvidia("g"), "gpu_architecture"},
		"workload, local queue":   {workload, queue(local1, "localqueue"), "team"},
		"workload, cluster queue": {workload, queue(cluster1, "clusterqueue"), "team"},
		"workload, flavor": {workload, func(v string) wm.Entity {
			return &wm.KueueResourceFlavor{EntityID: eid(wm.KindKueueResourceFlavor, "f"),
				EntityMeta: labels("team", v)}
		}, "team"},
		"pod, workload": {&wm.KubernetesPod{EntityID: ofP1, EntityMeta: wm.EntityMeta{
			Namespace: "ns", Annotations: map[string]string{"kueue.x-k8s.io/workload": "w"}}},
			func(v string) wm.Entity {
				w := *workload
				w.EntityMeta = labels("team", v)
				return &w
			}, "team"},
		"pod, local queue": {&wm.KubernetesPod{EntityID: ofP1,
			EntityMeta: labels("kueue.x-k8s.io/queue-name", "q")},
			queue(local1, "localqueue"), "team"},
		"pod, namespace": {pod("p1"), object("/namespaces//shop"), "ns_team"},
		"pod, node": {&wm.KubernetesPod{EntityID: ofP1, NodeName: "n"},
			object("/nodes//n"), "node_team"},
		"pod, cluster queue": {&wm.KubernetesPod{EntityID: ofP1,
			EntityMeta: labels("kueue.x-k8s.io/cluster-queue-name", "q")},
			queue(cluster1, "clusterqueue"), "team"},
	} {
		for _, askerFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/asker first %t", name, askerFirst), func(t *testing.T) {
				opts := local.DefaultOptions()
				opts.TagStore.Grace = -1
				opts.Extract.KubernetesPodLabelsAsTags = map[string]string{"team": "pod_team"}
				opts.Extract.KubernetesNamespaceLabelsAsTags = map[string]string{"team": "ns_team"}
				opts.Extract.KubernetesNodeLabelsAsTags = map[string]string{"team": "node_team"}
				opts.Extract.KubernetesResourcesLabelsAsTags = map[string]map[string]string{}
				for _, resource := range []string{"workloads", "localqueues", "clusterqueues",
					"resourceflavors"} {
					opts.Extract.KubernetesResourcesLabelsAsTags[resource+".kueue.x-k8s.io"] =
						map[string]string{"team": "team"}
				}
				opts.Extract.Rules = []rules.Rule{{Action: rules.Rename,
					Renames: []rules.Renaming{{Name: "container_name", To: "renamed"}},
					When: []rules.Condition{{Field: rules.Label, Key: "team",
						Patterns: []string{"*"}}}}}
				w := newWorld(t, opts, true)
				asker := extract.TaggerID(c.asker.GetID())
				want := func(step, value string) {
					t.Helper()
					w.tagger.Prune()
					tags, _ := w.tagger.Tags(asker, tagger.HighCardinality)
					got, _ := tags.Get(c.tag)
					if c.tag == "renamed" && value != "" {
						value = "name-of-c1"
					}
					if got != value {
						t.Errorf("%s: %s is %q, want %q", step, c.tag, got, value)
					}
				}
				if askerFirst {
					w.notify(sets(runtime, c.asker))
					want("alone", "")
					w.notify(sets(kubelet, c.other("a")))
				} else {
					w.notify(sets(kubelet, c.other("a")))
					w.notify(sets(runtime, c.asker))
				}
				want("both", "a")
				w.notify(sets(kubelet, c.other("b")))
				want("it changes", "b")
				w.notify(unsets(kubelet, c.other("b")))
				want("it goes", "")
				w.notify(sets(kubelet, c.other("a")))
				want("it comes back", "a")
				w.notify(unsets(runtime, c.asker))
				w.notify(sets(runtime, c.asker))
				want("the asker comes back", "a")
			})
		}
	}
}

// A static pod and its mirror list one container.
func TestOneOfTwoPodsGoes(t *testing.T) {
	w := newWorld(t, local.Options{TagStore: tagstore.Options{Grace: -1}}, true)
	w.notify(sets(runtime, container("c1", noOne)), sets(kubelet, pod("hash", "c1")),
		sets(cluster, pod("mirror", "c1")))
	w.has("both", c1, tagger.Complete, "pod_name:pod-hash")
	for _, step := range []struct {
		event wm.CollectorEvent
		want  string
	}{
		{unsets(kubelet, pod("hash", "c1")), "pod_name:pod-mirror"},
		{sets(kubelet, pod("hash", "c1")), "pod_name:pod-hash"},
		{unsets(cluster, pod("mirror", "c1")), "pod_name:pod-hash"},
	} {
		w.notify(step.event)
		w.tagger.Prune()
		w.has("one of them goes", c1, tagger.Complete, "kube_container_name:app", step.want)
	}
}

// A container is partial while its pod may still come, and no longer.
func TestContainerWaitsForWhatItMayBelongTo(t *testing.T) {
	w := newWorld(t, local.Options{}, true)
	w.notify(sets(runtime, container("c1", noOne)), sets(runtime, container("c2", ofP1)))
	w.has("nobody is expected", c1, tagger.Complete)
	w.has("its pod is not known", c2, tagger.Partial)
	w.store.Expect(wm.KindKubernetesPod, []wm.Source{kubelet, cluster})
	w.catchUp()
	w.has("the kubelet has not listed", c1, tagger.Partial)
	w.store.MarkSynced()
	w.catchUp()
	w.has("the kubelet has listed without it", c1, tagger.Complete)
	w.has("the kubelet has listed without its pod", c2, tagger.Partial)
	w.store.Expect(wm.KindKubernetesPod, nil)
	w.catchUp()
	w.has("nobody can tell", c2, tagger.Complete)

	w.store.Expect(wm.KindKubernetesPod, []wm.Source{kubelet, cluster})
	w.notify(sets(kubelet, pod("p1", "c1", "c2")))
	w.has("the cluster has not told", c1, tagger.Partial)
	changed := container("c1", noOne)
	changed.State.Health = wm.HealthHealthy
	w.notify(sets(runtime, changed))
	w.has("whoever speaks last", c1, tagger.Partial)
	w.notify(sets(cluster, pod("p1")))
	w.has("it has", c1, tagger.Complete)
	w.has("it has", c2, tagger.Complete)
}

// Two hosts, of which one goes: what everything carries is as well known as before.
func TestGlobalTagsOfSeveralHosts(t *testing.T) {
	host := func(name, tag string) wm.Entity {
		return &wm.Host{EntityID: id(wm.KindHost, name), HostTags: []string{tag}}
	}
	w := newWorld(t, local.Options{TagStore: tagstore.Options{Grace: -1}}, true)
	w.notify(sets(wm.SourceHost, host("b", "rack:b")), sets(wm.SourceHost, host("a", "rack:a")))
	w.has("both", tagger.GlobalEntityID, tagger.Complete, "rack:b")
	w.notify(unsets(wm.SourceHost, host("b", "rack:b")))
	w.has("one", tagger.GlobalEntityID, tagger.Complete, "rack:a")
	w.notify(unsets(wm.SourceHost, host("a", "rack:a")))
	w.tagger.Prune()
	w.has("none", tagger.GlobalEntityID, tagger.Expired)
}

func TestReload(t *testing.T) {
	opts := local.DefaultOptions()
	opts.Extract.StaticTags = []string{"site:home"}
	w := newWorld(t, opts, true)
	labelled := container("c1", noOne)
	labelled.Labels = map[string]string{"team": "blue"}
	w.notify(sets(runtime, labelled), sets(runtime, container("c2", noOne)),
		sets(kubelet, pod("p1", "c1")))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sub := w.tagger.Subscribe("test", &tagger.Filter{Cardinality: tagger.HighCardinality,
		Prefixes: []string{tagger.PrefixContainer}})
	defer sub.Close()
	next, stop := iter.Pull(sub.Bundles(ctx))
	defer stop()
	if b, ok := next(); !ok || len(b.Events) != 2 {
		t.Fatalf("snapshot %+v, %t", b, ok)
	}
	again := opts.Extract
	again.ContainerLabelsAsTags = map[string]string{"team": "team"}
	if err := w.tagger.Reload(again); err != nil {
		t.Fatal(err)
	}
	b, _ := next()
	if len(b.Events) != 1 || b.Events[0].ID != c1 || b.Events[0].Type != tagger.EventModified {
		t.Errorf("after the reload: %+v, want c1 alone", b)
	}
	w.has("reloaded", c1, tagger.Complete, "team:blue", "site:home", "pod_name:pod-p1")

	again.Rules = []rules.Rule{{Action: rules.Rename, Renames: []rules.Renaming{{Name: "a*"}}}}
	if err := w.tagger.Reload(again); err == nil {
		t.Error("Reload with a bad rule: no error")
	}
	w.has("after a bad reload", c1, tagger.Complete, "team:blue")

	if err := w.tagger.Reload(extract.Options{}); err != nil {
		t.Fatal(err)
	}
	w.lacks("without options", c1, "team")
	w.lacks("without static tags", c1, "site")
	w.lacks("without static tags", tagger.GlobalEntityID, "site")
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
