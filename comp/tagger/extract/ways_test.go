package extract_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// Of every tag that the vectors make, the ways to its name say that they have made it; and
// none says so that has not.
func TestWaysKnowWhatHasMadeATag(t *testing.T) {
	ways := 0
	for _, v := range eventVectors(t) {
		var last *world
		runVector(t, v, func(w *world, _ workloadmeta.Entity) { last = w })
		for _, e := range last.all() {
			ways += checkMadeWays(t, v.ID, last.x, e, last)
		}
	}
	if ways < 600 {
		t.Errorf("only %d ways", ways)
	}
}

// checkMadeWays checks of all tags of an entity that the ways to them name what has made them,
// and returns how many ways there are.
func checkMadeWays(t *testing.T, where string, x *extract.Extractor, e workloadmeta.Entity,
	lookup extract.Lookup) (ways int) {
	t.Helper()
	traced, _ := x.Explain(e, lookup)
	want := map[string][]string{} // name → what has made tags of it
	for _, tr := range traced {
		from := ""
		if tr.From.Kind != 0 {
			from = tr.From.String()
		}
		name := tagset.Name(cmp.Or(tr.Before, tr.Tag))
		if origin := tr.Rule + " " + from + " " + tr.Field; !slices.Contains(want[name], origin) {
			want[name] = append(want[name], origin)
		}
	}
	for name, made := range want {
		var told []string
		for _, way := range x.Ways(name, e, lookup).List {
			if way.Found == "it has made the tag" {
				told = append(told, way.Rule+" "+way.Entity+" "+way.Field)
			}
		}
		slices.Sort(made)
		slices.Sort(told)
		if !slices.Equal(told, made) {
			t.Errorf("%s: %s of %s: told\n%q, made by\n%q", where, name, e.GetID(), told, made)
		}
		ways += len(told)
	}
	return ways
}

// expecting is a lookup to which pods may still come.
type expecting struct{ entities }

func (expecting) Expected(kind workloadmeta.Kind) bool {
	return kind == workloadmeta.KindKubernetesPod
}

// What is looked for where, and what is there instead.
func TestWays(t *testing.T) {
	const (
		pod = `{"kind": "kubernetes_pod", "id": "p1", "name": "cart-0", "namespace": "shop",
			"labels": {"team": "blue"}, "namespace_labels": {"cost": "7"},
			"annotations": {"ad.datadoghq.com/tags": "{\"tier\": \"1\"}"},
			"containers": [{"id": "c1", "name": "web"}]}`
		task = `{"kind": "ecs_task", "id": "arn", "family": "f", "containers": [{"id": "c1"}]}`
		ours = `{"kind": "container", "id": "c1", "name": "web", "runtime": "containerd",
			"env": {"DD_ENV": "prod", "DD_VERSION": ""}}`
		owned = `{"kind": "container", "id": "c1", "owner": {"kind": "ecs_task", "id": "arn"}}`
		named = `{"kind": "ecs_task", "id": "arn", "containers": [{"id": "c1", "name": "web"}]}`
		image = `{"kind": "container_image_metadata", "id": "i1", "labels":
			{"com.datadoghq.tags.env": "prod", "SQUAD": "red"}}`
		gpu     = `{"kind": "gpu", "id": "g1", "vendor": "nvidia"}`
		process = `{"kind": "process", "id": "7", "gpus": ["g1"]}`
		squad   = `{"kind": "container", "id": "c2", "labels": {"Squad": "red"}}`
		deploy  = `{"kind": "kubernetes_deployment", "id": "shop/cart", "labels": {"squad": "red"}}`
		ns      = `{"kind": "kubernetes_metadata", "id": "/namespaces//shop",
			"labels": {"sQuad": ""}}`
		// of a container that is in no pod
		adLabel = "container label com.datadoghq.ad.tags: not set"
		adPod   = "pod annotation ad.datadoghq.com/tags: there is no such tag in it"
		adIn    = "pod annotation ad.datadoghq.com/web.tags: not set"
		noPod   = "no pod that is known has this container"
	)
	x := newExtractor(t, ruled(t, `
- {tag: team, from: {label: team}}
- {tag: "%%label%%", from: {label: cost}}
- {tag: "%%label%%", from: {label: "*"}}
- {tag: [a, +b], from: {env: DD_ENV}, when: {image: foo}}
- {tag: note, from: {annotation: note}}
- {tag: owner, from: {label: squad}}
`))
	for _, c := range []struct {
		name, of string
		known    []string
		expect   bool
		want     []string // "<rule>: <found>"
	}{
		{name: "version", of: ours, want: []string{
			"container label com.datadoghq.tags.version: not set", adLabel,
			"container variable DD_VERSION: empty",
			"container variable OTEL_RESOURCE_ATTRIBUTES service.version: not set"}},
		{name: "kube_namespace", of: ours, known: []string{pod}, want: []string{adLabel,
			"pod namespace: it has made the tag", adPod, adIn}},
		{name: "kube_namespace", of: ours, want: []string{adLabel, "pod namespace: " + noPod}},
		{name: "kueue_workload", of: ours, want: []string{adLabel,
			"Kueue workload name: no Kueue workload that is known has this container"}},
		{name: "kube_namespace", of: ours, expect: true, want: []string{adLabel,
			"pod namespace: " + noPod, "pod annotation ad.datadoghq.com/tags: " + noPod}},
		{name: "kube_qos", of: ours, known: []string{pod}, want: []string{adLabel,
			"pod qos_class: not set", adPod, adIn}},
		{name: "kube_qos", of: ours, known: []string{pod}, expect: true, want: []string{adLabel,
			"pod qos_class: not set", adPod, adIn}},
		{name: "task_name", of: ours, known: []string{task}, want: []string{adLabel,
			"ECS task family: it has made the tag"}},
		{name: "task_name", of: owned, want: []string{adLabel, "ECS task family: ECS task arn is not known"}},
		{name: "task_family", of: task, want: []string{"ECS task family: it has made the tag"}},
		{name: "gpu_vendor", of: task},
		{name: "availability-zone", of: task, want: []string{
			"ECS task availability_zone: not set, or not so: the task runs on Fargate" +
				" (the task runs on Fargate)"}},
		{name: "tier", of: pod, want: []string{
			"pod annotation ad.datadoghq.com/tags: it has made the tag"}},
		{name: "team", of: ours, known: []string{pod}, want: []string{adLabel, adPod, adIn,
			"rules[1] (rules.yaml:2): not set",
			`rules[1] (rules.yaml:2): it is "blue", and makes no such tag`, // the last rule counts
			"rules[1] (rules.yaml:2): not set", "rules[3] (rules.yaml:4): it has made the tag"}},
		{name: "cost", of: pod, want: []string{adPod,
			"rules[2] (rules.yaml:3): not set",
			`rules[2] (rules.yaml:3): it is "7", and makes no such tag`,
			"rules[3] (rules.yaml:4): it has made the tag"}},
		{name: "COST", of: ours, want: []string{adLabel, "rules[2] (rules.yaml:3): not set"}},
		{name: "a", of: ours, want: []string{adLabel,
			`rules[4] (rules.yaml:5): it is "prod", and makes no such tag (the conditions of the rule)`}},
		{name: "b", of: ours, want: []string{adLabel,
			`rules[4] (rules.yaml:5): it is "prod", and makes no such tag (the conditions of the rule)`}},
		{name: "note", of: ours, want: []string{adLabel, "rules[5] (rules.yaml:6): " + noPod,
			"rules[5] (rules.yaml:6): " + noPod}},
		// What belongs to something else, and what is spelled otherwise.
		{name: "kube_container_name", of: ours, known: []string{pod}, want: []string{adLabel,
			adPod, "pod containers[].name: it has made the tag", adIn}},
		{name: "kube_container_name", of: ours, expect: true, want: []string{adLabel,
			"pod annotation ad.datadoghq.com/tags: " + noPod,
			"pod containers[].name: " + noPod}},
		{name: "ecs_container_name", of: ours, known: []string{named}, want: []string{adLabel,
			"ECS task containers[].name: it has made the tag"}},
		{name: "ecs_container_name", of: ours, known: []string{task}, want: []string{adLabel,
			"ECS task containers[].name: not set"}},
		{name: "ecs_container_name", of: owned, want: []string{adLabel,
			"ECS task containers[].name: ECS task arn is not known"}},
		{name: "image_name", of: ours, known: []string{pod}, want: []string{
			"container image.name: not set", "pod containers[].image.name: not set", adLabel, adPod,
			adIn}},
		{name: "env", of: image, want: []string{
			"image label com.datadoghq.tags.env: it has made the tag",
			"image label com.datadoghq.ad.tags: not set"}},
		{name: "service", of: image, want: []string{
			"image label com.datadoghq.tags.service: not set",
			"image label com.datadoghq.ad.tags: not set"}},
		{name: "gpu_vendor", of: process, known: []string{gpu}, want: []string{
			"GPU vendor: it has made the tag"}},
		{name: "gpu_type", of: process, known: []string{gpu}, want: []string{
			"GPU gpu_type: not set"}},
		{name: "gpu_vendor", of: process, want: []string{"GPU vendor: GPU g1 is not known"}},
		{name: "owner", of: squad, want: []string{"container label com.datadoghq.ad.tags: not set",
			"rules[6] (rules.yaml:7): it has made the tag"}},
		{name: "owner", of: image, want: []string{"image label com.datadoghq.ad.tags: not set",
			"rules[6] (rules.yaml:7): it has made the tag"}},
		{name: "owner", of: deploy, want: []string{"rules[6] (rules.yaml:7): it has made the tag"}},
		{name: "owner", of: ns, want: []string{"rules[6] (rules.yaml:7): empty"}},
		{name: "note", of: pod, want: []string{adPod, "rules[5] (rules.yaml:6): not set",
			"rules[5] (rules.yaml:6): not set"}},
	} {
		var known entities
		for _, text := range c.known {
			known = append(known, entity(t, text))
		}
		var lookup extract.Lookup
		switch {
		case c.expect:
			lookup = expecting{known}
		case known != nil:
			lookup = known
		}
		checkMadeWays(t, c.of, x, entity(t, c.of), lookup)
		found := x.Ways(c.name, entity(t, c.of), lookup)
		ways, near := found.List, found.Near
		if c.name == "owner" && len(near) > 0 {
			t.Errorf("of %s what is looked for is a near miss: %+v", c.of, near)
		}
		var got []string
		for _, way := range ways {
			line := way.Rule + ": " + way.Found
			if strings.HasPrefix(way.Condition, "the ") {
				line += " (" + way.Condition + ")"
			}
			got = append(got, line)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("ways to %s of %.30s with %.30s:\n got %q\nwant %q", c.name, c.of, c.known,
				got,
				c.want)
		}
	}
}

// Keys that somebody may have meant, and those that only look a little like it.
func TestNearMisses(t *testing.T) {
	x := newExtractor(t, extract.Options{})
	near := func(name, field, key string) bool {
		e := &workloadmeta.Container{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindContainer, ID: "c1"}}
		if field == "env" {
			e.EnvVars = map[string]string{key: "v"}
		} else {
			e.Labels = map[string]string{key: "v"}
		}
		list := x.Ways(name, e, nil).Near
		for _, n := range list {
			if n.Entity != "container/c1" || n.Field != fmt.Sprintf("%s[%q]", field, key) {
				t.Errorf("near %s: %+v", key, n)
			}
		}
		return len(list) > 0
	}
	for _, c := range []struct {
		name, key string // the name of a tag and the key of a label
		want      bool
	}{
		{"team", "Team", true}, {"team", "te-am", true}, {"team", "my.team", true},
		{"team", "myteam", false}, {"team", "tean", false}, {"teams", "teamx", true},
		{"service", "srvice", true}, {"service", "srvce", true}, {"service", "srvc", false},
		{"service", "xservicex", true}, {"service", "xservicexx", false},
		{"service", "esrvice", true}, {"service", "zzrvice", true}, {"service", "zzzvice", false},
		{"service", "ecivres", false}, {"service", "servixe", true},
		// Every letter and digit counts, signs do not.
		{"aq", "q", false}, {"zq", "q", false}, {"0q", "q", false}, {"9q", "q", false},
		{"q", "q-", true}, {"q{", "q`", true}, {"q/", "q:", true},
		{"--", "..", false}, {"", "x", false},
		// Of very long keys nobody asks for the distance.
		{strings.Repeat("a", 128), strings.Repeat("A", 128), true},
		{strings.Repeat("a", 129), strings.Repeat("a", 128), false},
		{strings.Repeat("a", 128), strings.Repeat("a", 129), false},
	} {
		if got := near(c.name, "labels", c.key); got != c.want {
			t.Errorf("label %.20s is near the tag %.20s: %t, want %t", c.key, c.name, got, c.want)
		}
	}
	for key, want := range map[string]bool{
		"DD_ENV": false, // it has made the tag
		"DX_ENV": true, "ENV": true, "com.datadoghq.tags.env": true, "PATH": false,
	} {
		if got := near("env", "env", key); got != want {
			t.Errorf("variable %s is near those of env: %t, want %t", key, got, want)
		}
	}
	// A key counts where it is looked for: by its field, and by whose it is.
	for field, want := range map[string]bool{"env": true, "labels": false} {
		if got := near("service", field, "DD_SERVICX"); got != want {
			t.Errorf("%s DD_SERVICX is near the variables of service: %t, want %t", field, got,
				want)
		}
	}
	others := entity(t, `{"kind": "kubernetes_pod", "id": "p1", "containers": [{"id": "c1"}],
		"labels": {"com.datadoghq.tags.servicx": "shop"}}`)
	if list := x.Ways("service", entity(t, `{"kind": "container", "id": "c1"}`),
		entities{others}).Near; len(list) > 0 {
		t.Errorf("a label of the pod is near one of the container: %+v", list)
	}
	many := &workloadmeta.Container{EntityID: workloadmeta.EntityID{
		Kind: workloadmeta.KindContainer, ID: "c1"}}
	many.Labels = map[string]string{}
	for i := range 20 {
		many.Labels[fmt.Sprintf("%02d.team", i)] = "v"
	}
	if list := x.Ways("team", many, nil).Near; len(list) != 10 ||
		list[9].Field != `labels["09.team"]` || list[9].Want != "a rule that makes a tag of it" {
		t.Errorf("near misses %+v, want the first 10", list)
	}
	// The nearest come first, and what is furthest is left out of many.
	many.Labels["zz"], many.Labels["team"], many.Labels["TEAM"] = "v", "v", "v"
	if list := x.Ways("team", many, nil).Near; len(list) != 10 ||
		list[0].Field != `labels["team"]` || list[1].Field != `labels["TEAM"]` ||
		list[2].Field != `labels["00.team"]` {
		t.Errorf("near misses %+v, want the nearest first", list)
	}
	many.Labels = map[string]string{"a.service": "v", "servicee": "v", "sxrvicee": "v",
		"Service": "v", "service": "v"}
	var order []string
	for _, n := range x.Ways("service", many, nil).Near {
		_, key := n.Field, strings.Trim(strings.TrimPrefix(n.Field, "labels["), `"]`)
		order = append(order, key)
	}
	if want := []string{"service", "Service", "a.service", "servicee",
		"sxrvicee"}; !slices.Equal(order, want) {
		t.Errorf("near misses %q, want %q", order, want)
	}
	// What a pod that is not known would have is looked for on the container as well.
	wrong := entity(t, `{"kind": "container", "id": "c1",
		"labels": {"tags.datadoghq.com/env": "prod"}}`)
	if list := x.Ways("env", wrong, expecting{}).Near; len(list) != 1 ||
		list[0].Want != `pod labels["tags.datadoghq.com/env"]` {
		t.Errorf("near misses %+v", list)
	}
}
