package local_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
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
		want   tagger.Completeness
		why    string
	}{
		"namespace": {true, wm.KindKubernetesMetadata, false, tagger.Partial,
			"not told yet: kubernetes_metadata//namespaces//shop (from cluster_orchestrator), " +
				"kubernetes_metadata//nodes//n (from cluster_orchestrator)"},
		"namespace, when all have listed": {true, wm.KindKubernetesMetadata, true, tagger.Partial,
			"not told yet: kubernetes_metadata//namespaces//shop (from cluster_orchestrator)"},
		"namespace that no rule names": {false, wm.KindKubernetesMetadata, true,
			tagger.Complete, ""},
		"node, until all have listed": {false, wm.KindKubernetesMetadata, false, tagger.Partial,
			"not told yet: kubernetes_metadata//nodes//n (from cluster_orchestrator)"},
		"services, until all have listed": {false, wm.KindKubernetesService, false,
			tagger.Partial, "not told yet: its services (from cluster_orchestrator)"},
		"services, when all have listed": {false, wm.KindKubernetesService, true,
			tagger.Complete, ""},
		"others": {true, wm.KindKubernetesDeployment, false, tagger.Complete, ""},
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
