package extract_test

import (
	"slices"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
)

// ruled returns the default options with rules.
func ruled(t testing.TB, text string) extract.Options {
	t.Helper()
	o := extract.DefaultOptions()
	var err error
	if o.Rules, err = config.ParseRules("rules.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestRulesAboutTags runs rules on a small container.
func TestRulesAboutTags(t *testing.T) {
	container := `{"kind": "container", "id": "c1", "name": "web", "runtime": "docker", "image": {"name": "acme/web", "tag": "2"},
		"labels": {"team": "core", "Squad": "s1", "com.datadoghq.tags.env": "prod"}, "env": {"DD_SERVICE": "web", "TIER": "gold"},
		"owner": {"kind": "kubernetes_pod", "id": "u9"}}`
	base := []string{"docker_image:acme/web:2", "env:prod", "image_name:acme/web", "image_tag:2",
		"service:web"}
	without := func(drop string, add ...string) []string {
		out := slices.DeleteFunc(slices.Clone(base), func(s string) bool { return s == drop })
		return append(out, add...)
	}
	standard := []string{"env:prod", "service:web"}
	high := []string{"container_id:c1", "container_name:web"}
	for _, c := range []struct {
		name, rules             string
		change                  func(*extract.Options)
		low, orchestrator, high []string
		standard                []string
	}{
		{name: "none", rules: "[]", low: base, high: high, standard: standard},
		{name: "a label", rules: "- {tag: team, from: {label: team}}", low: append(slices.Clone(base), "team:core"), high: high, standard: standard},
		{name: "a glob of labels, high", rules: "- {tag: +l_%%label%%, from: {label: s*}}", low: base, high: append(slices.Clone(high), "l_Squad:s1"), standard: standard},
		{name: "a variable, orchestrator", rules: "- {tag: tier, from: {env: tier}, cardinality: orchestrator}", low: base, orchestrator: []string{"tier:gold"}, high: high, standard: standard},
		{name: "on another entity", rules: "- {tag: team, from: {label: team}, when: {kind: pod}}", low: base, high: high, standard: standard},
		{name: "several names for one label",
			rules: "- {tag: team, from: {label: team}}\n- {tag: owner, from: {label: TEAM}}",
			low:   append(slices.Clone(base), "team:core", "owner:core"), high: high,
			standard: standard},
		{name: "rules come after options", rules: "- {tag: +team, from: {label: team}}", low: base,
			high: append(slices.Clone(high), "team:core"), standard: standard,
			change: func(o *extract.Options) {
				o.ContainerLabelsAsTags = map[string]string{"team": "team"}
			}},
		{name: "drop what an option makes", rules: "- {drop: te*}", low: base, high: high,
			standard: standard,
			change: func(o *extract.Options) {
				o.ContainerLabelsAsTags = map[string]string{"team": "team"}
			}},
		{name: "drop", rules: "- {drop: [image_tag, nope]}", low: without("image_tag:2"), high: high, standard: standard},
		{name: "drop and keep", rules: "- {drop: 'image_*'}\n- {keep: image_name}", low: without("image_tag:2"), high: high, standard: standard},
		{name: "drop a standard tag", rules: "- {drop: env}", low: without("env:prod"), high: high, standard: []string{"service:web"}},
		{name: "rename a standard tag", rules: "- {rename: {env: stage}}", low: without("env:prod", "stage:prod"), high: high, standard: []string{"service:web"}},
		{name: "rename to a standard tag makes none", rules: "- {rename: {image_tag: version}}", low: without("image_tag:2", "version:2"), high: high, standard: standard},
		{name: "raise a standard tag", rules: "- {cardinality: {env: high}}", low: without("env:prod"), high: append(slices.Clone(high), "env:prod"), standard: []string{"service:web"}},
		{name: "lower and rename", rules: "- {cardinality: {container_name: low}}\n- {rename: {container_name: name}}", low: append(slices.Clone(base), "name:web"), high: high[:1], standard: standard},
		{name: "a value with colons keeps them", rules: "- {rename: {docker_image: img}}", low: without("docker_image:acme/web:2", "img:acme/web:2"), high: high, standard: standard},
		{name: "separators belong to the name before", rules: "- {rename: {service: svc}}",
			low: without("service:web", "svc:w", "svc:b"), high: high, standard: standard[:1],
			change: func(o *extract.Options) {
				o.TagValueSplitSeparator = map[string]string{"service": "e"}
			}},
		{name: "condition", rules: "- {drop: image_tag, when: {runtime: docker, label.team: core}}\n- {drop: env, when: {runtime: podman}}", low: without("image_tag:2"), high: high, standard: standard},
		{name: "namespace of the pod", rules: "- {drop: image_tag, when: {namespace: shop}}", low: without("image_tag:2"), high: high, standard: standard},
		{name: "static tags are made from nothing",
			rules: "- {drop: a}\n- {drop: b, when: {kind: container}}\n- {rename: {c: d}}\n- {rename: {d: e}}\n- {cardinality: {c: high}}",
			low:   append(slices.Clone(base), "b:1"), high: append(slices.Clone(high),
				"d:1"), standard: standard,
			change: func(o *extract.Options) { o.StaticTags = []string{"a:1", "b:1", "c:1"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := ruled(t, c.rules)
			if c.change != nil {
				c.change(&o)
			}
			pod := entity(t, `{"kind": "kubernetes_pod", "id": "u9", "namespace": "shop"}`)
			info := newExtractor(t, o).Extract(entity(t, container), entities{pod})[0]
			for _, level := range []struct {
				name      string
				got, want []string
			}{{"low", info.LowCardTags, c.low}, {"orchestrator", info.OrchestratorCardTags,
				c.orchestrator}, {"high", info.HighCardTags, c.high}, {
				"standard", info.StandardTags, c.standard}} {
				if want := slices.Sorted(slices.Values(level.want)); !slices.Equal(
					slices.Sorted(slices.Values(level.got)), want) {
					t.Errorf("%s:\n got %q\nwant %q", level.name, level.got, want)
				}
			}
		})
	}
}

// TestWhenIsAboutWhatATagIsMadeFrom: a container's tags that its pod makes are the pod's.
func TestWhenIsAboutWhatATagIsMadeFrom(t *testing.T) {
	pod, known := shop(t)
	x := newExtractor(t, ruled(t, `
- rename: {kube_app_name: app}
  when: {kind: pod}
- drop: kube_qos
  when: {kind: container}
- drop: container_id
  when: {name: proxy}
- {tag: ns_team, from: {label: team}, when: {resource: namespaces}}
- {tag: pod_team, from: {label: app.kubernetes.io/name}, when: {resource: pods}}
- {tag: nowhere, from: {label: app.kubernetes.io/name}, when: {resource: namespaces}}
`))
	infos := saidBy(x, pod, known)
	for i, want := range []struct{ low, high []string }{
		{[]string{"app:cart", "kube_qos:Burstable", "pod_team:cart"}, nil},
		{[]string{"app:cart", "kube_qos:Burstable", "pod_team:cart"}, []string{"container_id:c1"}},
		{[]string{"app:cart", "kube_qos:Burstable", "pod_team:cart"}, nil},
	} {
		for _, tag := range want.low {
			if !slices.Contains(infos[i].LowCardTags, tag) {
				t.Errorf("%s: %q, want %s among them", infos[i].Entity, infos[i].LowCardTags, tag)
			}
		}
		if got := slices.Contains(infos[i].HighCardTags, "container_id:c1") ||
			slices.Contains(infos[i].HighCardTags, "container_id:c2"); got != (want.high != nil) {
			t.Errorf("%s: %q, want %q", infos[i].Entity, infos[i].HighCardTags, want.high)
		}
		if slices.ContainsFunc(infos[i].LowCardTags,
			func(s string) bool { return s == "kube_app_name:cart" || s == "nowhere:cart" }) {
			t.Errorf("%s: %q", infos[i].Entity, infos[i].LowCardTags)
		}
	}
	for resource, want := range map[string]string{
		"namespaces": "ns_team:x", "deployments.apps": "", "nodes": "",
	} {
		e := entity(t, `{"kind": "kubernetes_metadata", "id": "/x//y", "gvr": {"resource": "`+
			resource+`"}, "labels": {"team": "x"}}`)
		if info := x.Extract(e, nil)[0]; (len(info.LowCardTags) > 0) != (want != "") ||
			want != "" && info.LowCardTags[0] != want {
			t.Errorf("%s: %q, want %q", resource, info.LowCardTags, want)
		}
	}
	x = newExtractor(t,
		ruled(t, `[{tag: team, from: {label: team}, when: {resource: "*.acme.io", name: y}}]`))
	for resource, want := range map[string]int{"queues": 1, "nodes": 0} {
		e := entity(t,
			`{"kind": "kubernetes_metadata", "id": "/x//y", "name": "y", "gvr": {"group": "`+
				map[string]string{"queues": "acme.io"}[resource]+`", "resource": "`+resource+
				`"}, "labels": {"team": "x"}}`)
		if info := x.Extract(e, nil)[0]; len(info.LowCardTags) != want {
			t.Errorf("%s: %q, want %d tags", resource, info.LowCardTags, want)
		}
	}
}

func TestExplainNamesTheRulesThatChangeTags(t *testing.T) {
	o := ruled(t, `
- {tag: team, from: {label: team}}
- {rename: {team: squad}}
- {cardinality: {team: high}}
- {drop: container_id}
- {drop: site}
`)
	o.ContainerLabelsAsTags = map[string]string{"tier": "tier"}
	o.StaticTags = []string{"site:lyon"}
	o.Where = func(option, key string) string { return option + "/" + key }
	traced, _ := newExtractor(t,
		o).Explain(entity(t,
		`{"kind": "container", "id": "c1", "name": "web", "labels": {"team": "core", "tier": "1"}}`), nil)
	label := func(r *rules.Rule) string { return r.Label() }
	got := map[string][6]string{}
	for _, tr := range traced {
		got[tr.Tag] = [6]string{tr.Cardinality.String(), tr.Rule, tr.Before, label(tr.RenamedBy),
			label(tr.LeveledBy), label(tr.DroppedBy)}
	}
	for tag, want := range map[string][6]string{
		"squad:core": {"high", "rules[1] (rules.yaml:2)", "team:core",
			"rules[2] (rules.yaml:3)", "rules[3] (rules.yaml:4)", ""},
		"container_id:c1":    {"high", "container id", "", "", "", "rules[4] (rules.yaml:5)"},
		"container_name:web": {"high", "container name", "", "", "", ""},
		"tier:1": {"low",
			`container_labels_as_tags["tier"] (container_labels_as_tags/tier)`, "", "", "", ""},
		"site:lyon": {"low", "static tag", "", "", "", "rules[5] (rules.yaml:6)"},
	} {
		if got[tag] != want {
			t.Errorf("%s:\n got %q\nwant %q", tag, got[tag], want)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d tags explained: %v", len(got), got)
	}
}

func TestRulesWidenTheListOfVariables(t *testing.T) {
	o := ruled(t, `[{tag: a, from: {env: APP_*}}, {drop: b, when: {env.TIER: gold}}]`)
	o.ContainerEnvAsTags = map[string]string{"Team": "team"}
	if got, want := o.EnvNames(), []string{"app_*", "team", "tier"}; !slices.Equal(got, want) {
		t.Errorf("EnvNames() = %q, want %q", got, want)
	}
}

// TestStaticInfoFollowsRules: the global entity's static tags are those of the containers.
func TestStaticInfoFollowsRules(t *testing.T) {
	o := ruled(t, `[{drop: a}, {rename: {b: c}}, {cardinality: {d: high}}]`)
	o.StaticTags = []string{"a:1", "b:1", "d:1"}
	info, ok := newExtractor(t, o).StaticInfo()
	if !ok || !slices.Equal(info.LowCardTags, []string{"c:1"}) ||
		!slices.Equal(info.HighCardTags, []string{"d:1"}) || info.Source != tagger.SourceStatic {
		t.Errorf("StaticInfo() = %+v, %v", info, ok)
	}
	o.Rules = append(o.Rules, rules.Rule{Action: rules.Drop, Names: []string{"*"}})
	if info, ok := newExtractor(t, o).StaticInfo(); ok {
		t.Errorf("StaticInfo() = %+v, true; want none", info)
	}
}
