package extract_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// byName returns the tags of one source about an entity, by name.
func byName(infos []tagger.TagInfo, kind workloadmeta.Kind) map[string][]string {
	tags := map[string][]string{}
	for _, info := range infos {
		if info.Source != extract.Source(kind) {
			continue
		}
		for _, tag := range slices.Concat(info.LowCardTags, info.OrchestratorCardTags,
			info.HighCardTags) {
			tags[tagset.Name(tag)] = append(tags[tagset.Name(tag)], tag)
		}
	}
	return tags
}

// Each level has a label for the names that it and the levels farther away give: of each name
// the tag of the nearest level counts.
func TestTheNearestLevelGivesATag(t *testing.T) {
	const of = workloadmeta.KindKubernetesPod
	labels := func(level string, names ...string) string {
		text := `"labels": {`
		for i, name := range names {
			if i > 0 {
				text += ", "
			}
			text += `"` + name + `": "` + level + `"`
		}
		return text + "}"
	}
	each := map[string]string{"c": "c", "p": "p", "n": "n", "o": "o",
		"kube_deployment": "kube_deployment",
		"env":             "env"}
	container := entity(t, `{"kind": "container", "id": "c1", "env": {"DD_ENV": "container"}, `+
		labels("container", "c")+`}`)
	pod := entity(t, `{"kind": "kubernetes_pod", "id": "p1", "namespace": "shop", "node_name": "node-1",
		"owners": [{"kind": "Deployment", "name": "owner"}], "containers": [{"id": "c1"}], `+
		labels("pod", "p")+`}`)
	namespace := entity(t, `{"kind": "kubernetes_metadata", "id": "/namespaces//shop", `+
		labels("namespace", "c", "p", "n", "kube_deployment", "env")+`}`)
	node := entity(t, `{"kind": "kubernetes_metadata", "id": "/nodes//node-1", `+
		labels("node", "c", "p", "n", "o", "kube_deployment", "env")+`}`)
	x := newExtractor(t, extract.Options{
		ContainerLabelsAsTags: each, KubernetesPodLabelsAsTags: each,
		KubernetesNamespaceLabelsAsTags: each, KubernetesNodeLabelsAsTags: each,
	})

	known := entities{container, pod, namespace, node}
	got := byName(x.Extract(container, known), of)
	for name, want := range map[string][]string{
		"c": nil, "p": {"p:pod"}, "n": {"n:namespace"}, "o": {"o:node"},
		"kube_deployment": {"kube_deployment:owner"}, "env": {"env:container"},
	} {
		if !slices.Equal(got[name], want) {
			t.Errorf("the container has %q of its pod, want %q", got[name], want)
		}
	}
	got = byName(x.Extract(pod, known), of)
	for name, want := range map[string]string{"c": "c:namespace", "p": "p:pod", "n": "n:namespace",
		"o": "o:node", "kube_deployment": "kube_deployment:owner", "env": "env:namespace"} {
		if !slices.Equal(got[name], []string{want}) {
			t.Errorf("the pod has %q, want %q", got[name], want)
		}
	}
}

func TestWaysNameWhatIsNearer(t *testing.T) {
	team := map[string]string{"team": "team"}
	x := newExtractor(t, extract.Options{KubernetesPodLabelsAsTags: team,
		KubernetesNamespaceLabelsAsTags: team})
	pod := entity(t, `{"kind": "kubernetes_pod", "id": "p1", "namespace": "shop",
		"labels": {"team": "cart"}}`)
	namespace := entity(t, `{"kind": "kubernetes_metadata", "id": "/namespaces//shop",
		"labels": {"team": "core"}}`)
	const want = `it is "core", and something nearer gives this name`
	ways := x.Ways("team", pod, entities{pod, namespace}).List
	if !slices.ContainsFunc(ways, func(w tagger.TagWay) bool {
		return w.Entity == "kubernetes_metadata//namespaces//shop" && w.Found == want
	}) {
		t.Errorf("ways %+v, want one of the namespace: %s", ways, want)
	}
}

func TestNamespaceAndNodeOfAPod(t *testing.T) {
	pod := `{"kind": "kubernetes_pod", "id": "p1", "namespace": "shop", "node_name": "node-1",
		"namespace_labels": {"team": "old", "gone": "x"}, "namespace_annotations": {"cost": "old"}}`
	namespace := `{"kind": "kubernetes_metadata", "id": "/namespaces//shop",
		"labels": {"team": "core"}, "annotations": {"cost": "7"}}`
	node := `{"kind": "kubernetes_metadata", "id": "/nodes//node-1",
		"labels": {"zone": "a"}, "annotations": {"cluster.k8s.io/machine": "m1"}}`
	options := extract.DefaultOptions()
	options.KubernetesNamespaceLabelsAsTags = map[string]string{"*": "ns_%%label%%"}
	options.KubernetesNamespaceAnnotationsAsTags = map[string]string{"cost": "+cost"}
	options.KubernetesNodeLabelsAsTags = map[string]string{"zone": "zone"}
	general := extract.Options{Rules: []rules.Rule{{Action: rules.Tag, Names: []string{"team"},
		From: rules.From{Field: rules.Label, Key: "team"},
		When: []rules.Condition{{Field: rules.Kind, Patterns: []string{"pod"}},
			{Field: rules.Namespace, Patterns: []string{"shop"}}}}}}
	for name, c := range map[string]struct {
		options extract.Options
		known   []string
		want    []string
	}{
		"nothing known": {options, nil, []string{"ns_team:old", "ns_gone:x", "cost:old"}},
		"both": {options, []string{namespace, node},
			[]string{"ns_team:core", "cost:7", "zone:a", "kube_machine:m1"}},
		"by a rule":  {general, []string{namespace}, []string{"team:core"}},
		"by no rule": {extract.Options{}, []string{namespace, node}, nil},
		"other resources": {options,
			[]string{
				`{"kind": "kubernetes_metadata", "id": "/pods/shop/shop", "labels": {"a": "b"}}`},
			[]string{"ns_team:old", "ns_gone:x", "cost:old"}},
		"bare, of no labels": {options,
			[]string{`{"kind": "kubernetes_metadata", "id": "/namespaces//shop"}`}, nil},
	} {
		var known entities
		for _, text := range c.known {
			known = append(known, entity(t, text))
		}
		p := entity(t, pod)
		tags := byName(newExtractor(t, c.options).Extract(p, known), workloadmeta.KindKubernetesPod)
		delete(tags, "kube_namespace")
		got := slices.Sorted(func(yield func(string) bool) {
			for _, list := range tags {
				for _, tag := range list {
					if !yield(tag) {
						return
					}
				}
			}
		})
		if slices.Sort(c.want); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	// Who wants no tags of them asks for neither.
	asked := map[workloadmeta.EntityID]int{}
	newExtractor(t, extract.Options{}).Extract(entity(t, pod), counting{asked: asked})
	if len(asked) > 0 {
		t.Errorf("asked for %v", slices.Collect(maps.Keys(asked)))
	}
}

func TestOwnersOfAPod(t *testing.T) {
	owner := func(kind, name, controller string) string {
		text := `{"kind": "` + kind + `", "name": "` + name + `"`
		if controller != "" {
			text += `, "controller": ` + controller
		}
		return text + "}"
	}
	hash := `"labels": {"pod-template-hash": "5d8f"}, `
	rollout := `"labels": {"rollouts-pod-template-hash": "5d8f"}, `
	for name, c := range map[string]struct{ labels, owners, want string }{
		"the controller alone": {hash, owner("Backup", "b", "false") + ", " +
			owner("ReplicaSet", "cart-5d8f", "true"),
			"kube_deployment:cart kube_ownerref_kind:replicaset kube_ownerref_name:cart-5d8f " +
				"kube_replica_set:cart-5d8f"},
		"nobody says controller": {"", owner("StatefulSet", "db", "") + ", " +
			owner("Backup", "b", "false"),
			"kube_ownerref_kind:backup kube_ownerref_kind:statefulset kube_ownerref_name:b " +
				"kube_ownerref_name:db kube_stateful_set:db"},
		"the hash is cut off exactly": {hash, owner("ReplicaSet", "cart-v2-5d8f", "true"),
			"kube_deployment:cart-v2 kube_ownerref_kind:replicaset " +
				"kube_ownerref_name:cart-v2-5d8f kube_replica_set:cart-v2-5d8f"},
		"the hash is another": {hash, owner("ReplicaSet", "cart-7c9b8", "true"),
			"kube_ownerref_kind:replicaset kube_ownerref_name:cart-7c9b8 kube_replica_set:cart-7c9b8"},
		"no labels": {"", owner("ReplicaSet", "cart-7c9b8", "true"),
			"kube_deployment:cart kube_ownerref_kind:replicaset kube_ownerref_name:cart-7c9b8 " +
				"kube_replica_set:cart-7c9b8"},
		"Argo rollout": {rollout, owner("ReplicaSet", "cart-5d8f", "true"),
			"kube_argo_rollout:cart kube_deployment:cart kube_ownerref_kind:replicaset " +
				"kube_ownerref_name:cart-5d8f kube_replica_set:cart-5d8f"},
		"cron job": {"", owner("Job", "nightly-29390400", "true"),
			"kube_cronjob:nightly kube_job:nightly-29390400 kube_ownerref_kind:job " +
				"kube_ownerref_name:nightly-29390400"},
		"any other": {"", owner("KafkaCluster", "orders", "true"),
			"kube_ownerref_kind:kafkacluster kube_ownerref_name:orders"},
	} {
		got := tagsOf(t, extract.Options{}, `{"kind": "kubernetes_pod", "id": "p", `+c.labels+
			`"owners": [`+c.owners+`]}`)
		if slices.Sort(got); strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %s", name, got, c.want)
		}
	}
}

func TestVolumeClaimsAreTagsWhenAsked(t *testing.T) {
	pod := `{"kind": "kubernetes_pod", "id": "p", "persistent_volume_claim_names": ["data", "log"],
		"owners": [{"kind": "StatefulSet", "name": "db"}]}`
	for asked, want := range map[bool][]string{
		true: {"persistentvolumeclaim:data", "persistentvolumeclaim:log"}, false: nil} {
		tags := byName(newExtractor(t, extract.Options{
			KubernetesPersistentVolumeClaimsAsTags: asked}).Extract(entity(t, pod), nil),
			workloadmeta.KindKubernetesPod)
		if got := tags["persistentvolumeclaim"]; !slices.Equal(got, want) {
			t.Errorf("asked %t: %q, want %q", asked, got, want)
		}
	}
}

// counting counts what is asked for.
type counting struct {
	entities
	asked map[workloadmeta.EntityID]int
}

func (c counting) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	c.asked[id]++
	return c.entities.Get(id)
}
