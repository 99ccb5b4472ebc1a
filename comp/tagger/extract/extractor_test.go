package extract_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// entities is a lookup over a list.
type entities []workloadmeta.Entity

func (l entities) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	for _, e := range l {
		if e.GetID() == id {
			return e, nil
		}
	}
	return nil, errors.New("not found")
}

func (l entities) Find(q extract.Query) []workloadmeta.Entity {
	found := slices.DeleteFunc(slices.Clone(l), func(e workloadmeta.Entity) bool {
		for answered := range extract.Answers(e) {
			if answered == q {
				return false
			}
		}
		return true
	})
	slices.SortFunc(found, func(a, b workloadmeta.Entity) int {
		return extract.Query{ID: a.GetID()}.Compare(extract.Query{ID: b.GetID()})
	})
	return found
}

func (entities) Complete(workloadmeta.EntityID) bool { return true }
func (entities) Expected(workloadmeta.Kind) bool     { return false }
func (entities) Listed() bool                        { return true }

// saidBy returns the infos in which an entity speaks: of itself, of those of the known
// containers that it lists, and of everything.
func saidBy(x *extract.Extractor, e workloadmeta.Entity, known entities) []tagger.TagInfo {
	known = append(slices.Clone(known), e)
	infos := x.Extract(e, known)
	for _, other := range known {
		if other.GetID() != e.GetID() {
			infos = append(infos, x.Extract(other, known)...)
		}
	}
	infos = append(infos, x.Global(known)...)
	return slices.DeleteFunc(infos, func(info tagger.TagInfo) bool {
		return info.Source != extract.Source(e.GetID().Kind)
	})
}

func newExtractor(t testing.TB, o extract.Options) *extract.Extractor {
	t.Helper()
	x, err := extract.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// entity decodes an entity from its JSON form.
func entity(t testing.TB, text string) workloadmeta.Entity {
	t.Helper()
	e, unknown, err := workloadmeta.UnmarshalEntity([]byte(text))
	if err != nil || len(unknown) > 0 {
		t.Fatalf("entity %s: unknown fields %q, %v", text, unknown, err)
	}
	return e
}

// shop is a pod with two containers.
func shop(t testing.TB) (pod workloadmeta.Entity, known entities) {
	pod = entity(t, `{"kind": "kubernetes_pod", "id": "u1", "name": "cart-0", "namespace": "shop", "phase": "Running",
		"qos_class": "Burstable", "ip": "10.1.0.7",
		"labels": {"tags.datadoghq.com/env": "prod", "tags.datadoghq.com/service": "cart", "tags.datadoghq.com/web.version": "9", "app.kubernetes.io/name": "cart"},
		"annotations": {"ad.datadoghq.com/tags": "{\"team\": \"core\"}", "ad.datadoghq.com/proxy.tags": "{\"role\": \"edge\"}"},
		"owners": [{"kind": "ReplicaSet", "name": "cart-6d4b75cb9", "id": "o1"}], "kube_services": ["cart"],
		"containers": [
			{"id": "c1", "name": "web", "image": {"id": "sha256:e1", "name": "acme/cart", "short_name": "cart", "tag": "9"}},
			{"id": "c2", "name": "proxy", "image": {"id": "sha256:e2", "name": "acme/proxy", "short_name": "proxy", "tag": "2"}}]}`)
	return pod, entities{
		entity(t,
			`{"kind": "container", "id": "c1", "name": "web", "runtime": "containerd", "env": {"DD_ENV": "prod", "DD_VERSION": "9"}}`),
		entity(t, `{"kind": "container", "id": "c2", "name": "proxy", "runtime": "containerd"}`),
	}
}

func TestEveryKindGivesInfosAboutItself(t *testing.T) {
	x := newExtractor(t, extract.DefaultOptions())
	for _, kind := range workloadmeta.Kinds() {
		id := workloadmeta.EntityID{Kind: kind, ID: "x"}
		e, err := workloadmeta.NewEntity(id)
		if err != nil {
			t.Fatal(err)
		}
		infos := x.Extract(e, nil)
		want := extract.TaggerID(id)
		if len(infos) != 1 || infos[0].Entity != want ||
			infos[0].Source != "workloadmeta-"+kind.String() {
			t.Errorf("%s: %+v, want one info about %s", kind, infos, want)
		}
		if _, err := tagger.ParseEntityID(string(want)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if back, ok := extract.WorkloadID(want); back != id || !ok {
			t.Errorf("%s is %v of the store, %t", want, back, ok)
		}
	}
	if got := extract.TaggerID(workloadmeta.EntityID{Kind: workloadmeta.KindContainer}); got != "" {
		t.Errorf("TaggerID of an empty ID = %q, want none", got)
	}
	if got := extract.TaggerID(workloadmeta.EntityID{Kind: 99, ID: "x"}) +
		tagger.EntityID(extract.Source(99)); got != "" {
		t.Errorf("TaggerID and Source of an invalid kind = %q, want none", got)
	}
}

func TestIDsThatStandForNoWorkload(t *testing.T) {
	for _, id := range []tagger.EntityID{"", "c1", "://c1", "container_id://", "internal://x",
		"CONTAINER_ID://c1"} {
		if got, ok := extract.WorkloadID(id); ok || got != (workloadmeta.EntityID{}) {
			t.Errorf("%q is %v of the store", id, got)
		}
	}
}

// told is a lookup to which some entities are completely known, and some kinds may still come.
type told struct {
	entities
	complete string // their IDs
	expected workloadmeta.Kind
	listed   bool
}

func (l told) Complete(id workloadmeta.EntityID) bool { return strings.Contains(l.complete, id.ID) }
func (l told) Expected(kind workloadmeta.Kind) bool   { return kind == l.expected }
func (l told) Listed() bool                           { return l.listed }

// A container is as completely known as what it belongs to, or may yet turn out to belong to.
func TestCompleteness(t *testing.T) {
	const (
		noOne, ofPod  = `{"kind": "container", "id": "c1"}`, `{"kind": "container", "id": "c1", "owner": {"kind": "kubernetes_pod", "id": "p1"}}`
		ofTask        = `{"kind": "container", "id": "c1", "owner": {"kind": "ecs_task", "id": "t1"}}`
		ofOther       = `{"kind": "container", "id": "c1", "owner": {"kind": "process", "id": "7"}}`
		pod, emptyPod = `{"kind": "kubernetes_pod", "id": "p1", "containers": [{"id": "c1"}]}`, `{"kind": "kubernetes_pod", "id": "p1"}`
		task          = `{"kind": "ecs_task", "id": "t1", "cluster_name": "prod", "containers": [{"id": "c1"}]}`
		earlyTask     = `{"kind": "ecs_task", "id": "t1", "containers": [{"id": "c1"}]}`
		pods, tasks   = workloadmeta.KindKubernetesPod, workloadmeta.KindECSTask
	)
	for i, c := range []struct {
		entity   string
		known    []string
		complete string
		expected workloadmeta.Kind
		listed   bool
		want     bool
	}{
		{entity: noOne, complete: "", want: false},
		{entity: noOne, complete: "c1", want: true},
		{entity: noOne, complete: "c1", expected: pods, want: false},
		{entity: noOne, complete: "c1", expected: tasks, want: false},
		{entity: noOne, complete: "c1", expected: pods, listed: true, want: true},
		{entity: ofOther, complete: "c1", want: true},
		{entity: ofOther, complete: "c1", expected: pods, want: false},
		{entity: ofOther, complete: "c1", expected: tasks, listed: true, want: true},
		{entity: ofPod, complete: "c1", listed: true, want: true}, // nobody can tell of its pod
		{entity: ofPod, complete: "c1", want: false},
		{entity: ofPod, complete: "c1", expected: pods, listed: true, want: false},
		{entity: ofPod, complete: "c1", expected: tasks, listed: true, want: true},
		{entity: ofTask, complete: "c1", expected: pods, listed: true, want: true},
		{entity: ofTask, complete: "c1", expected: tasks, listed: true, want: false},
		{entity: ofPod, known: []string{pod}, complete: "c1 p1", want: true},
		{entity: ofPod, known: []string{pod}, complete: "c1", want: false},
		{entity: ofPod, known: []string{pod}, complete: "c1", listed: true, want: false},
		{entity: noOne, known: []string{pod}, complete: "c1 p1", expected: pods, want: true},
		{entity: noOne, known: []string{pod}, complete: "c1", listed: true, want: false},
		{entity: ofPod, known: []string{emptyPod}, complete: "c1 p1", want: true},
		{entity: ofPod, known: []string{emptyPod}, complete: "c1", listed: true, want: false},
		{entity: noOne, known: []string{task}, complete: "c1 t1", want: true},
		{entity: noOne, known: []string{task}, complete: "c1", listed: true, want: false},
		{entity: noOne, known: []string{earlyTask}, complete: "c1 t1", listed: true, want: false},
		{entity: noOne, known: []string{pod, task}, complete: "c1 p1", listed: true, want: false},
		{entity: noOne, known: []string{pod, task}, complete: "c1 t1", listed: true, want: false},
		{entity: noOne, known: []string{pod, task}, complete: "c1 p1 t1", want: true},
		{entity: earlyTask, complete: "t1", listed: true, want: false},
		{entity: task, complete: "t1", want: true},
		{entity: pod, complete: "", listed: true, want: false},
		{entity: pod, complete: "p1", want: true},
	} {
		lookup := told{complete: c.complete, expected: c.expected, listed: c.listed}
		for _, text := range c.known {
			lookup.entities = append(lookup.entities, entity(t, text))
		}
		infos := newExtractor(t, extract.Options{}).Extract(entity(t, c.entity), lookup)
		for _, info := range infos {
			if info.IsComplete != c.want {
				t.Errorf("row %d: %s of %s says complete: %t, want %t", i, info.Source, info.Entity,
					info.IsComplete, c.want)
			}
		}
	}
}

func TestExtractIsPure(t *testing.T) {
	pod, known := shop(t)
	o := extract.DefaultOptions()
	o.KubernetesPodLabelsAsTags = map[string]string{"*": "%%label%%,+l_%%label%%"}
	x := newExtractor(t, o)
	want := x.Extract(pod, known)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				got := x.Extract(pod, known)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("another Extract gave another result (-first +later):\n%s", diff)
					return
				}
				for _, info := range got { // the lists are the caller's
					for _, list := range [][]string{info.LowCardTags, info.OrchestratorCardTags,
						info.HighCardTags, info.StandardTags} {
						for i := range list {
							list[i] = "overwritten"
						}
						_ = append(list, "appended")
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestWhoSpeaksOfAnEntity(t *testing.T) {
	pod, known := shop(t)
	mirror := entity(t,
		`{"kind": "kubernetes_pod", "id": "u0", "name": "mirror", "containers": [{"id": "c1"}]}`)
	host := entity(t, `{"kind": "host", "id": "host", "host_tags": ["rack:1"]}`)
	task := entity(t,
		`{"kind": "ecs_task", "id": "arn:t", "cluster_name": "shop", "containers": [{"id": "c2", "name": "b"}, {"id": "gone", "name": "a"}, {"id": "c1", "name": "c"}]}`)
	x := newExtractor(t, extract.DefaultOptions())
	const container, podSays, taskSays = tagger.SourceContainer, tagger.SourceKubernetesPod,
		tagger.SourceECSTask
	owned := func(owner string) workloadmeta.Entity {
		return entity(t, `{"kind": "container", "id": "c1", "owner": `+owner+`}`)
	}
	for name, c := range map[string]struct {
		entity workloadmeta.Entity
		others entities
		want   []string // sources
		pod    string   // whose tags a container has
	}{
		"a pod":       {pod, known, []string{podSays}, "pod_name:cart-0"},
		"a container": {known[0], nil, []string{container}, ""},
		"in a pod": {known[0], entities{pod}, []string{container, podSays},
			"pod_name:cart-0"},
		"in a task": {known[0], entities{task}, []string{container, taskSays}, ""},
		"in both": {known[0], entities{task, pod},
			[]string{container, podSays, taskSays}, "pod_name:cart-0"},
		"two pods": {known[0], entities{pod, mirror}, []string{container, podSays},
			"pod_name:mirror"},
		"two pods, one named": {owned(`{"kind": "kubernetes_pod", "id": "u1"}`),
			entities{pod, mirror}, []string{container, podSays}, "pod_name:cart-0"},
		"everything": {nil, entities{task, pod, host},
			[]string{tagger.SourceHost, taskSays}, ""},
		"everything, no task":  {nil, entities{host}, []string{tagger.SourceHost}, ""},
		"everything, and none": {nil, entities{pod}, nil, ""},
	} {
		infos := x.Global(c.others)
		want := tagger.GlobalEntityID
		if c.entity != nil {
			infos, want = x.Extract(c.entity, c.others), extract.TaggerID(c.entity.GetID())
		}
		var got []string
		named := ""
		for _, info := range infos {
			got = append(got, info.Source)
			if info.Entity != want || !info.IsComplete || info.DeleteEntity ||
				!info.ExpiryDate.IsZero() {
				t.Errorf("%s: %+v", name, info)
			}
			for _, tag := range info.OrchestratorCardTags {
				if tagset.Name(tag) == "pod_name" {
					named += tag
				}
			}
		}
		if !slices.Equal(got, c.want) || named != c.pod {
			t.Errorf("%s: infos of %q, pod %q, want %q, %q", name, got, named, c.want, c.pod)
		}
	}
}

func TestOptionsAreCheckedTogether(t *testing.T) {
	_, err := extract.New(extract.Options{
		ContainerLabelsAsTags:                map[string]string{"{a,*": "x", "fine*": "y"},
		KubernetesResourcesAnnotationsAsTags: map[string]map[string]string{"nodes": {"[*": "x"}},
		TagValueSplitSeparator:               map[string]string{"team": ""},
		Rules:                                []rules.Rule{{Name: "rules[1]", Action: rules.Drop}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{`option container_labels_as_tags: key "{a,*"`,
		`option kubernetes_resources_annotations_as_tags["nodes"]: key "[*"`,
		`option tag_value_split_separator: key "team": empty separator`,
		"rules[1]: drop: no name"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not have %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "fine") {
		t.Errorf("error %q complains about a good glob", err)
	}
}

func TestEnvNames(t *testing.T) {
	got := extract.Options{
		DockerEnvAsTags:    map[string]string{"TEAM": "team"},
		ContainerEnvAsTags: map[string]string{"team": "x", "APP_*": "y"},
	}.EnvNames()
	if want := []string{"app_*", "team"}; !slices.Equal(got, want) {
		t.Errorf("EnvNames() = %q, want %q", got, want)
	}
}

// TestOptionsHaveNames: a configuration can fill every option but those that are not
// the user's.
func TestOptionsHaveNames(t *testing.T) {
	for f := range reflect.TypeFor[extract.Options]().Fields() {
		name := f.Tag.Get("config")
		if name == "-" &&
			slices.Contains([]string{"StaticTags", "ECSSidecar", "LookupEnv", "Where"}, f.Name) {
			continue
		}
		if name == "" || name == "-" ||
			strings.ReplaceAll(name, "_", "") != strings.ToLower(f.Name) {
			t.Errorf("option %s has the name %q", f.Name, name)
		}
	}
}

func TestStaticTags(t *testing.T) {
	for _, c := range []struct {
		name   string
		config extract.StaticConfig
		want   []string
	}{
		{"a machine with a host name", extract.StaticConfig{Tags: []string{"team:a"}, EKSFargate: true, NodeName: "n"}, nil},
		{"ECS Fargate", extract.StaticConfig{Hostless: true, Tags: []string{"team:b", "nocolon", ":v", "k:", "url:http://x"}, ExtraTags: []string{"team:a", "team:b"}, NodeName: "n"},
			[]string{"team:a", "team:b", "url:http://x"}},
		{"EKS Fargate", extract.StaticConfig{Hostless: true, EKSFargate: true, NodeName: "n1", ClusterName: "c1", OrchClusterID: "01234567-89ab-cdef-0123-456789abcdef"},
			[]string{"eks_fargate_node:n1", "kube_cluster_name:c1",
				"orch_cluster_id:01234567-89ab-cdef-0123-456789abcdef"}},
		{"EKS Fargate with a name of its own", extract.StaticConfig{Hostless: true, EKSFargate: true, Tags: []string{"kube_cluster_name:mine"}, ClusterName: "c1", OrchClusterID: "short"},
			[]string{"kube_cluster_name:mine"}},
	} {
		if got := extract.StaticTags(c.config); !slices.Equal(got, c.want) {
			t.Errorf("%s: StaticTags = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestStaticInfoIsSplit(t *testing.T) {
	x := newExtractor(t,
		extract.Options{StaticTags: []string{"team:a;b", "team:a"},
			TagValueSplitSeparator: map[string]string{"team": ";"}})
	info, ok := x.StaticInfo()
	if want := []string{"team:a", "team:b"}; !ok || !slices.Equal(info.LowCardTags, want) ||
		info.Entity != tagger.GlobalEntityID || !info.IsComplete {
		t.Errorf("StaticInfo() = %+v, %v; want %q", info, ok, want)
	}
	if _, ok := newExtractor(t, extract.Options{}).StaticInfo(); ok {
		t.Error("StaticInfo() without static tags is not false")
	}
}

// find returns the explanations of a tag of an entity.
func find(traced []extract.Traced, id tagger.EntityID, tag string) (rules, fields []string) {
	for _, tr := range traced {
		if tr.Entity == id && tr.Tag == tag {
			rules, fields = append(rules, tr.Rule), append(fields, tr.Field)
		}
	}
	return rules, fields
}

func TestExplainNamesRuleAndField(t *testing.T) {
	pod, known := shop(t)
	o := extract.DefaultOptions()
	o.KubernetesPodLabelsAsTags = map[string]string{"app.*": "lbl_%%label%%"}
	o.StaticTags = []string{"site:lyon"}
	x := newExtractor(t, o)
	known = append(known, pod)
	var traced []extract.Traced
	for _, e := range known {
		tags, problems := x.Explain(e, known)
		if len(problems) > 0 {
			t.Errorf("problems: %v", problems)
		}
		for _, tr := range tags {
			if tr.Source == tagger.SourceKubernetesPod {
				traced = append(traced, tr)
			}
		}
	}
	for _, c := range []struct {
		entity        tagger.EntityID
		tag           string
		rules, fields []string
	}{
		{"kubernetes_pod_uid://u1", "pod_phase:running", []string{"pod phase"}, []string{"phase"}},
		{"container_id://c1", "env:prod", []string{"pod label tags.datadoghq.com/env", "container variable DD_ENV"},
			[]string{`labels["tags.datadoghq.com/env"]`, `env["DD_ENV"]`}},
		{"container_id://c2", "env:prod", []string{"pod label tags.datadoghq.com/env"}, []string{`labels["tags.datadoghq.com/env"]`}},
		{"container_id://c1", "version:9", []string{"pod label tags.datadoghq.com/web.version", "container variable DD_VERSION"},
			[]string{`labels["tags.datadoghq.com/web.version"]`, `env["DD_VERSION"]`}},
		{"container_id://c2", "role:edge", []string{"pod annotation ad.datadoghq.com/proxy.tags"}, []string{`annotations["ad.datadoghq.com/proxy.tags"]`}},
		{"container_id://c1", "lbl_app.kubernetes.io/name:cart", []string{`kubernetes_pod_labels_as_tags["app.*"]`}, []string{`labels["app.kubernetes.io/name"]`}},
		{"container_id://c1", "site:lyon", []string{"static tag"}, []string{"tags, extra_tags"}},
	} {
		if rules, fields := find(traced, c.entity, c.tag); !slices.Equal(rules, c.rules) ||
			!slices.Equal(fields, c.fields) {
			t.Errorf("%s %s: rules %q, fields %q; want %q, %q", c.entity, c.tag, rules, fields,
				c.rules, c.fields)
		}
	}
}

func TestProblemsNameTheField(t *testing.T) {
	x := newExtractor(t, extract.DefaultOptions())
	known := entities{entity(t, `{"kind": "container", "id": "c1"}`)}
	for _, c := range []struct {
		entity string
		want   []string // field and part of the error, in any order
	}{
		{`{"kind": "container", "id": "c", "labels": {"com.datadoghq.ad.tags": "team:core"}}`,
			[]string{`labels["com.datadoghq.ad.tags"] want a JSON array of strings`}},
		{
			`{"kind": "container", "id": "c", "labels": {"com.datadoghq.ad.tags": "[\"a:b\", 5, \"a:b:c\"]"}}`,
			[]string{`labels["com.datadoghq.ad.tags"] item 2 is not a string`,
				`labels["com.datadoghq.ad.tags"] item 3: "a:b:c"`}},
		{`{"kind": "kubernetes_pod", "id": "p", "annotations": {"ad.datadoghq.com/tags": ""}}`,
			[]string{`annotations["ad.datadoghq.com/tags"] empty`}},
		{
			`{"kind": "kubernetes_pod", "id": "p", "annotations": {"ad.datadoghq.com/tags": "{\"a\": \"b\"} x"}}`,
			[]string{
				`annotations["ad.datadoghq.com/tags"] want a JSON object of tag names and values: text after it`}},
		{
			`{"kind": "kubernetes_pod", "id": "p", "annotations": {"ad.datadoghq.com/tags": "{\"a\": null}"}}`,
			[]string{`annotations["ad.datadoghq.com/tags"] member "a"`}},
		{
			`{"kind": "kubernetes_pod", "id": "p", "annotations": {"ad.datadoghq.com/tags": "{\"a\": [1, null]}"}}`,
			[]string{`annotations["ad.datadoghq.com/tags"] member "a": item 2 is`}},
		{
			`{"kind": "kubernetes_pod", "id": "p", "annotations": {"ad.datadoghq.com/web.tags": "[]"}, "containers": [{"id": "c1", "name": "web"}]}`,
			[]string{`annotations["ad.datadoghq.com/web.tags"] want a JSON object`}},
		{
			`{"kind": "kubernetes_pod", "id": "p", "annotations": {"ad.datadoghq.com/tags": "{\"a\": \"%%pid%%\"}"}}`,
			[]string{`annotations["ad.datadoghq.com/tags"] template variable %%pid%%`}},
		{`{"kind": "kubernetes_metadata", "id": "nodes//n1"}`, []string{"id parse Kubernetes metadata ID"}},
		{`{"kind": "container", "id": "c", "labels": {"com.datadoghq.ad.tags": "[\"a:b\"]"}}`, nil},
	} {
		e := entity(t, c.entity)
		var got []string
		all := append(slices.Clone(known), e)
		for _, p := range append(x.Check(e, all), x.Check(known[0], entities{e})...) {
			if slices.Contains(got, p.Field+" "+p.Err.Error()) {
				continue // what a pod says of its containers is made for the pod and for each
			}
			got = append(got, p.Field+" "+p.Err.Error())
			if p.Entity != e.GetID() {
				t.Errorf("%s: problem of %s", c.entity, p.Entity)
			}
		}
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s: problems %q, want %q", c.entity, got, c.want)
		}
	}
}

// One entity with a great many tags does not make all later extractions slow.
func TestAGiantIsPaidForOnce(t *testing.T) {
	o := extract.DefaultOptions()
	o.ContainerLabelsAsTags = map[string]string{"*": "%%label%%"}
	x := newExtractor(t, o)
	small := entity(t, `{"kind": "container", "id": "c", "name": "web"}`)
	cost := func() time.Duration {
		began := time.Now()
		for range 2000 {
			x.Extract(small, nil)
		}
		return time.Since(began)
	}
	before := min(cost(), cost(), cost())
	giant := &workloadmeta.Container{
		EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "g"},
		EntityMeta: workloadmeta.EntityMeta{Labels: map[string]string{}}}
	for i := range 100_000 {
		giant.Labels[fmt.Sprint("l", i)] = "v"
	}
	for range 4 { // as many builders as there may be
		x.Extract(giant, nil)
	}
	after := cost()
	for range 20 { // others use the machine, too
		after = min(after, cost())
		if after <= 20*before {
			return
		}
	}
	t.Errorf("2000 small ones took %s before a giant, and %s after it", before, after)
}

func TestServicesOfAPodAreBounded(t *testing.T) {
	var lookup entities
	for i := range 60 {
		lookup = append(lookup, &workloadmeta.KubernetesService{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindKubernetesService, ID: fmt.Sprintf("shop/s%02d", i)},
			Pods: []string{"p"}})
	}
	x := newExtractor(t, extract.Options{})
	p := &workloadmeta.KubernetesPod{EntityID: workloadmeta.EntityID{
		Kind: workloadmeta.KindKubernetesPod, ID: "p"}}
	var problems []extract.Problem
	infos := x.ExtractAndCheck(p, lookup, func(p extract.Problem) {
		problems = append(problems, p)
	})
	if n := len(infos[0].LowCardTags); n != 50 || len(problems) != 1 ||
		!strings.Contains(problems[0].Err.Error(), "60 services") {
		t.Errorf("%d tags and %v, want 50 tags and the number of services", n, problems)
	}
}
