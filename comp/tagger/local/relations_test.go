package local_test

import (
	"maps"
	"slices"
	"strings"
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

func service(name string, pods ...string) *wm.KubernetesService {
	return &wm.KubernetesService{EntityID: id(wm.KindKubernetesService, "shop/"+name),
		EntityMeta: wm.EntityMeta{Name: name, Namespace: "shop"}, Type: "ClusterIP", Pods: pods}
}

func TestServicesComeAndGo(t *testing.T) {
	w := newWorld(t, local.Options{TagStore: tagstore.Options{Grace: -1}}, true)
	static := pod("p1", "c1")
	static.APIUID = "mirror"
	want := func(step string, services ...string) {
		t.Helper()
		w.tagger.Prune()
		for _, id := range []tagger.EntityID{c1, p1} {
			tags, _, _ := w.tagger.TagWithCompleteness(id, tagger.LowCardinality)
			got := slices.DeleteFunc(tags,
				func(tag string) bool { return tagset.Name(tag) != "kube_service" })
			if !slices.Equal(got, services) {
				t.Errorf("%s: %s has %q, want %q", step, id, got, services)
			}
		}
	}
	w.notify(sets(cluster, service("cart", "p1")))
	w.notify(sets(runtime, container("c1", noOne)), sets(kubelet, static))
	want("the service was first", "kube_service:cart")
	w.notify(sets(cluster, service("web", "a", "mirror", "p2")))
	want("a second one, by the other UID", "kube_service:cart", "kube_service:web")
	w.notify(sets(cluster, service("cart", "p2")))
	want("no member any more", "kube_service:web")
	w.notify(sets(cluster, service("cart", "p1", "p2")))
	want("a member again", "kube_service:cart", "kube_service:web")
	w.notify(unsets(cluster, service("cart")))
	want("the service goes", "kube_service:web")
	other := *static
	other.APIUID = ""
	w.notify(sets(kubelet, &other))
	want("the pod has that UID no more")
}

// One change of a large service must not cost an extraction of each of its members.
func TestAServiceMarksOnlyWhoComesOrGoes(t *testing.T) {
	extracted := map[string]int{}
	opts := local.DefaultOptions()
	opts.Extract.KubernetesNamespaceLabelsAsTags = map[string]string{"team": "team"}
	opts.Extract.LookupEnv = func(uid string) (string, bool) { extracted[uid]++; return uid, true }
	w := newWorld(t, opts, true)
	for _, uid := range []string{"p1", "p2", "p3"} {
		p := pod(uid)
		p.Annotations = map[string]string{"ad.datadoghq.com/tags": `{"x": "%%env_` + uid + `%%"}`}
		w.notify(sets(kubelet, p))
	}
	w.notify(sets(cluster, service("cart", "p1", "p2")))
	clear(extracted)
	w.notify(sets(cluster, service("cart", "p2", "p3")))
	if want := map[string]int{"p1": 1, "p3": 1}; !maps.Equal(extracted, want) {
		t.Errorf("extracted %v, want %v", extracted, want)
	}
	// Nor does a change of a namespace cost one of each pod that waits for another.
	w.store.Expect(wm.KindKubernetesMetadata, []wm.Source{cluster})
	w.store.MarkSynced()
	w.notify(sets(cluster, namespace("other", "a")))
	w.has("its namespace is not told of", p1, tagger.Partial)
	clear(extracted)
	w.notify(sets(cluster, namespace("other", "b")))
	if len(extracted) > 0 {
		t.Errorf("extracted %v, want none", extracted)
	}
}

func namespace(name, team string) *wm.KubernetesMetadata {
	return &wm.KubernetesMetadata{EntityID: id(wm.KindKubernetesMetadata, "/namespaces//"+name),
		EntityMeta: wm.EntityMeta{Name: name, Labels: map[string]string{"team": team}}}
}

// A pod waits for what a detected collector is still to tell of what its tags are made of, and for
// nothing else.
func TestAPodWaitsForWhatItsTagsAreMadeOf(t *testing.T) {
	for name, c := range map[string]struct {
		named  bool // whether a rule names namespaces
		kind   wm.Kind
		synced bool
		others bool // whether another namespace is known
		want   tagger.Completeness
		why    string
	}{
		"namespace": {true, wm.KindKubernetesMetadata, false, false, tagger.Partial,
			"not told yet: kubernetes_metadata//namespaces//shop (from cluster_orchestrator), " +
				"kubernetes_metadata//nodes//n (from cluster_orchestrator)"},
		"namespace, when others are told of": {true, wm.KindKubernetesMetadata, true, true,
			tagger.Partial,
			"not told yet: kubernetes_metadata//namespaces//shop (from cluster_orchestrator)"},
		"namespace, when none is told of": {true, wm.KindKubernetesMetadata, true, false,
			tagger.Complete, ""},
		"namespace that no rule names": {false, wm.KindKubernetesMetadata, true, true,
			tagger.Complete, ""},
		"node, until all have listed": {false, wm.KindKubernetesMetadata, false, true,
			tagger.Partial,
			"not told yet: kubernetes_metadata//nodes//n (from cluster_orchestrator)"},
		"services, until all have listed": {false, wm.KindKubernetesService, false, false,
			tagger.Partial, "not told yet: its services (from cluster_orchestrator)"},
		"services, when all have listed": {false, wm.KindKubernetesService, true, false,
			tagger.Complete, ""},
		"others": {true, wm.KindKubernetesDeployment, false, true, tagger.Complete, ""},
	} {
		t.Run(name, func(t *testing.T) {
			opts := local.DefaultOptions()
			if c.named {
				opts.Extract.KubernetesNamespaceLabelsAsTags = map[string]string{"team": "team"}
			} else {
				opts.Extract.Rules = []rules.Rule{{Action: rules.Tag, Names: []string{"team"},
					From: rules.From{Field: rules.Label, Key: "team"}}}
			}
			w := newWorld(t, opts, true)
			w.store.Expect(c.kind, []wm.Source{cluster})
			if c.synced {
				w.store.MarkSynced()
			}
			p := pod("p1", "c1")
			p.NodeName = "n"
			if c.others {
				w.notify(sets(cluster, namespace("other", "x")))
			}
			w.notify(sets(kubelet, p), sets(runtime, container("c1", ofP1)))
			for _, id := range []tagger.EntityID{p1, c1} {
				w.has(name, id, c.want)
				if x := w.tagger.Explain(id); c.why != "" && x.Reason != c.why {
					t.Errorf("explain %s: %q, want %q", id, x.Reason, c.why)
				}
			}
			w.notify(sets(cluster, namespace("shop", "core")))
			if c.synced {
				c.want = tagger.Complete
			}
			w.has("the namespace is known", p1, c.want, "team:core")
			w.store.MarkSynced()
			w.catchUp()
			w.has("all are known", c1, tagger.Complete, "team:core")
		})
	}
}

// A static pod answers to the kubelet's UID and to that of its mirror, which comes and changes: it
// is the same pod under both, and never another's.
func TestAStaticPodHasTagsUnderBothUIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, local.Options{}, true)
		called := func(uid string) *wm.KubernetesPod {
			p := pod("p1", "c1")
			p.APIUID = uid
			return p
		}
		mirror, other := tagger.KubernetesPod("mirror"), tagger.KubernetesPod("other")
		handle := w.tagger.Handle(mirror)
		w.notify(sets(kubelet, called("")))
		w.has("no mirror yet", mirror, tagger.Unknown)
		w.notify(sets(kubelet, called("mirror")))
		w.has("under both", p1, tagger.Complete, "pod_name:pod-p1")
		w.has("under both", mirror, tagger.Complete, "pod_name:pod-p1")
		if tags := handle.Tags(tagger.HighCardinality); tags.Len() == 0 {
			t.Error("an older handle has no tags")
		}
		if x := w.tagger.Explain(mirror); len(x.Tags) == 0 || x.Tags[0].Rule == "" {
			t.Errorf("explain %+v, want the rules", x)
		}
		w.notify(sets(kubelet, called("other")))
		w.has("the mirror was made anew", other, tagger.Complete, "pod_name:pod-p1")
		w.lacks("the mirror was made anew", mirror, "pod_name")
		w.notify(sets(cluster, pod("other")))
		w.has("a pod of its own", other, tagger.Complete, "pod_name:pod-other")
		w.notify(unsets(cluster, pod("other")))
		w.has("it has gone", other, tagger.Complete, "pod_name:pod-p1")
		second := pod("p2")
		second.APIUID = "other"
		w.notify(sets(kubelet, second))
		w.lacks("two are called so", other, "pod_name")
		w.notify(unsets(kubelet, second))
		w.has("one is called so", other, tagger.Complete, "pod_name:pod-p1")
		w.notify(unsets(kubelet, called("other")))
		w.has("it has gone, too", other, tagger.Expired, "pod_name:pod-p1")
		time.Sleep(tagstore.DefaultGrace + 2*time.Minute)
		w.has("forgotten", other, tagger.Expired)
		w.lacks("forgotten", other, "pod_name")
	})
}

// The other UID goes from one pod to another in one bundle, in which the second is looked at first.
func TestAnotherPodIsCalledSo(t *testing.T) {
	w := newWorld(t, local.Options{TagStore: tagstore.Options{Grace: -1}}, true)
	called := func(uid, other, phase string) wm.CollectorEvent {
		p := pod(uid)
		p.APIUID, p.Phase = other, phase
		return sets(kubelet, p)
	}
	w.notify(called("p1", "mirror", ""), called("p2", "", ""))
	w.has("the first", tagger.KubernetesPod("mirror"), tagger.Complete, "pod_name:pod-p1")
	w.notify(called("p2", "", "Running"), called("p1", "", ""), called("p2", "mirror", "Running"))
	w.tagger.Prune()
	w.has("the second", tagger.KubernetesPod("mirror"), tagger.Complete, "pod_name:pod-p2")
	// One that has the UID by right.
	w.notify(called("p2", "mirror", ""), called("mirror", "", ""))
	w.has("its own", tagger.KubernetesPod("mirror"), tagger.Complete, "pod_name:pod-mirror")
	w.notify(called("mirror", "", "Running"), called("p2", "", ""))
	w.tagger.Prune()
	w.has("still its own", tagger.KubernetesPod("mirror"), tagger.Complete,
		"pod_name:pod-mirror")
}

// What the runtime's labels say of a pod counts at once, and until the pod is known.
func TestAContainerNamesItsPodBeforeTheKubeletDoes(t *testing.T) {
	labelled := func(cid, uid, name string) *wm.Container {
		c := container(cid, id(wm.KindKubernetesPod, uid))
		c.Labels = map[string]string{"io.kubernetes.pod.name": name,
			"io.kubernetes.pod.namespace": "shop", "io.kubernetes.container.name": "app"}
		return c
	}
	w := newWorld(t, local.Options{}, true)
	w.store.Expect(wm.KindKubernetesPod, []wm.Source{kubelet})
	w.notify(sets(runtime, labelled("c1", "p1", "db-0")))
	w.has("the runtime is first", c1, tagger.Partial, "pod_name:db-0", "kube_namespace:shop",
		"kube_container_name:app")
	w.has("no pod of this", p1, tagger.Unknown)
	early := pod("p1")
	early.Name = "db-0"
	w.notify(sets(kubelet, early))
	w.has("the pod does not list it yet", c1, tagger.Complete, "pod_name:db-0",
		"kube_container_name:app")
	db := pod("p1", "c1")
	db.Name, db.Labels = "db-0", map[string]string{"tags.datadoghq.com/env": "prod"}
	w.notify(sets(kubelet, db))
	w.has("the kubelet has told", c1, tagger.Complete, "pod_name:db-0", "env:prod")
	own, _ := w.tagger.GetEntity(c1)
	for _, src := range own.Sources {
		if src.Source == extract.Source(wm.KindContainer) && len(src.Orchestrator) > 0 {
			t.Errorf("the container goes on saying %q", src.Orchestrator)
		}
	}
	// The StatefulSet's next pod has the name and another UID.
	w.notify(sets(runtime, labelled("c2", "p2", "db-0")))
	w.has("the next one", c2, tagger.Partial, "pod_name:db-0", "kube_namespace:shop")
	w.lacks("the next one", c2, "env")
	w.notify(unsets(kubelet, db))
	w.has("the pod has gone", c1, tagger.Partial, "pod_name:db-0", "env:prod")
	sandbox := labelled("c4", "p3", "db-1")
	sandbox.Labels["io.kubernetes.container.name"] = "POD"
	w.notify(sets(runtime, sandbox))
	w.has("a sandbox", tagger.Container("c4"), tagger.Partial, "pod_name:db-1")
	w.lacks("a sandbox", tagger.Container("c4"), "kube_container_name")
	// Who is in no pod names none.
	w.notify(sets(runtime, &wm.Container{EntityID: id(wm.KindContainer, "c3"),
		EntityMeta: wm.EntityMeta{Labels: map[string]string{"io.kubernetes.pod.name": "db-0"}}}))
	w.lacks("in no pod", tagger.Container("c3"), "pod_name")
}

func TestExplainSaysAllThatAPodWaitsFor(t *testing.T) {
	w := newWorld(t, local.DefaultOptions(), true)
	w.store.Expect(wm.KindKubernetesService, []wm.Source{cluster})
	w.store.Expect(wm.KindKubernetesPod, []wm.Source{cluster, kubelet})
	w.notify(sets(kubelet, pod("p1")))
	if x, want := w.tagger.Explain(p1), "not reported yet by cluster_orchestrator; "+
		"not told yet: its services (from cluster_orchestrator)"; x.Reason != want {
		t.Errorf("%q, want %q", x.Reason, want)
	}
}

func TestAPodThatDisablesServicesWaitsForNone(t *testing.T) {
	w := newWorld(t, local.DefaultOptions(), true)
	w.store.Expect(wm.KindKubernetesService, []wm.Source{cluster})
	p := pod("p1")
	p.Annotations = map[string]string{"tags.datadoghq.com/disable": "kube_service"}
	w.notify(sets(kubelet, p))
	w.has("no services wanted", p1, tagger.Complete)
	if x := w.tagger.Explain(p1); strings.Contains(x.Reason, "services") {
		t.Error(x.Reason)
	}
}

// What a collector may not list is not waited for, and whoever asks is told what is missing.
func TestWhatCannotBeToldIsNamed(t *testing.T) {
	opts := local.DefaultOptions()
	opts.Extract.KubernetesNamespaceLabelsAsTags = map[string]string{"team": "team"}
	opts.Extract.KubernetesNodeLabelsAsTags = map[string]string{"zone": "zone"}
	forbidden := map[string]bool{"namespaces": true, "nodes": true, "": true}
	opts.Missing = func(kind wm.Kind, resource string) string {
		if forbidden[resource] {
			return strings.TrimSpace(kind.String()+" "+resource) + " forbidden"
		}
		return ""
	}
	w := newWorld(t, opts, true)
	w.store.Expect(wm.KindKubernetesMetadata, []wm.Source{cluster})
	w.store.Expect(wm.KindKubernetesService, []wm.Source{cluster})
	w.store.MarkSynced()
	p := pod("p1", "c1")
	p.NodeName = "n"
	w.notify(sets(kubelet, p), sets(runtime, container("c1", ofP1)),
		sets(runtime, container("c2", noOne)))
	const namespaces = "namespace shop is not known: kubernetes_metadata namespaces forbidden"
	const nodes = "node n is not known: kubernetes_metadata nodes forbidden"
	const services = "not all of its services may be known: kubernetes_service forbidden"
	want := func(step string, id tagger.EntityID, reason string, lacks ...string) {
		t.Helper()
		x := w.tagger.Explain(id)
		if x.Completeness != "complete" || x.Reason != reason || !slices.Equal(x.Lacks, lacks) {
			t.Errorf("%s: %s is %s: %s; lacks %q, want %s; %q", step, id, x.Completeness, x.Reason,
				x.Lacks, reason, lacks)
		}
	}
	const all = "every source that is expected to know it has reported it"
	for _, id := range []tagger.EntityID{p1, c1} {
		want("all are forbidden", id, "every source that could be asked has reported it",
			namespaces, nodes, services)
		for tag, why := range map[string]string{"team": namespaces, "zone": nodes,
			"kube_service": services} {
			x := w.tagger.ExplainTag(id, tag)
			if want := "nothing that makes it is known; " + why; x.Reason != want {
				t.Errorf("explain %s %s: %q, want %q", id, tag, x.Reason, want)
			}
		}
		if x := w.tagger.ExplainTag(id, "env"); x.Reason != "nothing that makes it is set" {
			t.Errorf("explain %s env: %q", id, x.Reason)
		}
	}
	want("a container without a pod", c2, all)
	forbidden[""] = false
	w.notify(sets(cluster, namespace("shop", "core")))
	want("only nodes are forbidden", p1, "every source that could be asked has reported it", nodes)
	forbidden["nodes"] = false
	want("nothing is forbidden", p1, all)
	if x := w.tagger.ExplainTag(p1, "team"); !strings.HasPrefix(x.Reason, "it has team:core") {
		t.Errorf("explain team: %q", x.Reason)
	}
}
