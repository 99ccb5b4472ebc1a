package local_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Why one tag is missing: each row is a mistake that people make.
func TestExplainTag(t *testing.T) {
	type world struct {
		container func(*wm.Container)
		pod       func(*wm.KubernetesPod) // nil: there is none
		rules     []rules.Rule
		expect    []wm.Source // of pods
		mine      []string    // tags of a source that is not rollcall's
	}
	label := func(key, value string) func(*wm.Container) {
		return func(c *wm.Container) { c.Labels = map[string]string{key: value} }
	}
	env := func(key, value string) func(*wm.Container) {
		return func(c *wm.Container) { c.EnvVars = map[string]string{key: value} }
	}
	inPod := func(change func(*wm.KubernetesPod)) world {
		return world{container: func(c *wm.Container) { c.Owner = &ofP1 }, pod: change}
	}
	rule := func(r rules.Rule) []rules.Rule {
		r.Name, r.Where = "rules[1]", "x.yaml:1"
		return []rules.Rule{r}
	}
	for name, c := range map[string]struct {
		world
		tag    string
		reason string   // that it begins with; all of it, if there is a full stop
		found  []string // "<rule>: <found>"
		near   []string // "<field>: <want>"
		no     string   // what must not be among the ways
	}{
		"it is there": {world: world{container: env("DD_SERVICE", "shop")}, tag: "service:other",
			reason: "it has service:shop, made by container variable DD_SERVICE",
			found:  []string{"container variable DD_SERVICE: it has made the tag"}},
		"a label with a slip": {world: world{container: label("com.datadoghq.tag.service", "shop")},
			tag:    "service",
			reason: `nothing that makes it is set; there is container labels["com.datadoghq.tag.service"]`,
			found: []string{"container label com.datadoghq.tags.service: not set",
				"container variable DD_SERVICE: not set"},
			near: []string{
				`labels["com.datadoghq.tag.service"]: container labels["com.datadoghq.tags.service"]`},
			no: "pod"},
		"a variable without its prefix": {world: world{container: env("SERVICE", "shop")},
			tag: "service", reason: "nothing that makes it is set; there is container env",
			near: []string{`env["SERVICE"]: container env["DD_SERVICE"]`}},
		"a slip in the name of the tag": {world: world{container: env("DD_ENV", "x")},
			tag: "servcie", reason: "nothing that makes it is set; did you mean service?"},
		"no name that is near": {world: world{container: env("DD_ENV", "x")}, tag: "colour",
			reason: "nothing that makes it is set."},
		"an empty variable": {world: world{container: env("DD_ENV", "")}, tag: "env",
			reason: "nothing that makes it is set",
			found:  []string{"container variable DD_ENV: empty"}},
		"an annotation instead of a label": {world: inPod(func(p *wm.KubernetesPod) {
			p.Annotations = map[string]string{"tags.datadoghq.com/env": "prod"}
		}), tag: "env", reason: "nothing that makes it is set; there is kubernetes_pod annotations",
			found: []string{"pod label tags.datadoghq.com/env: not set",
				"pod label tags.datadoghq.com/app.env: not set"},
			near: []string{
				`annotations["tags.datadoghq.com/env"]: pod labels["tags.datadoghq.com/env"]`}},
		"a label that nothing makes a tag of": {world: inPod(func(p *wm.KubernetesPod) {
			p.Labels = map[string]string{"team": "blue"}
		}), tag: "team",
			reason: `nothing that makes it is set; there is kubernetes_pod labels["team"], want a rule`,
			near:   []string{`labels["team"]: a rule that makes a tag of it`}},
		"a rule whose label is not there": {world: world{
			container: label("teams", "blue"), rules: rule(rules.Rule{Action: rules.Tag,
				Names: []string{"team"}, From: rules.From{Field: rules.Label, Key: "team"}})},
			tag: "team", reason: "nothing that makes it is set; there is",
			found: []string{"rules[1] (x.yaml:1): not set"},
			near:  []string{`labels["teams"]: container labels["team"]`}},
		"dropped": {world: world{container: env("DD_SERVICE", "shop"),
			rules: rule(rules.Rule{Action: rules.Drop, Names: []string{"service"}})},
			tag:    "service",
			reason: "service:shop is dropped by rules[1] (x.yaml:1)"},
		"renamed": {world: world{container: env("DD_SERVICE", "shop"),
			rules: rule(rules.Rule{Action: rules.Rename,
				Renames: []rules.Renaming{{Name: "service", To: "svc"}}})}, tag: "service",
			reason: "service:shop is renamed to svc:shop by rules[1] (x.yaml:1)"},
		"cannot be understood": {world: inPod(func(p *wm.KubernetesPod) {
			p.Annotations = map[string]string{"ad.datadoghq.com/tags": "team: blue"}
		}), tag: "team",
			reason: `annotations["ad.datadoghq.com/tags"] of kubernetes_pod/p1 cannot be understood`},
		"its pod is not known": {world: world{container: func(c *wm.Container) { c.Owner = &ofP1 },
			expect: []wm.Source{kubelet}}, tag: "kube_namespace",
			reason: "it is the tag of a pod, and kubernetes_pod/p1, which it belongs to, is not",
			found:  []string{"pod namespace: pod p1 is not known"}},
		"its pod is not known, and nobody will tell of it": {world: world{
			container: func(c *wm.Container) { c.Owner = &ofP1 }}, tag: "kube_namespace",
			reason: "it is the tag of a pod, and kubernetes_pod/p1, which it belongs to, is not",
			found:  []string{"pod namespace: pod p1 is not known"}},
		"it is in no pod": {world: world{container: label("kube_namespace", "shop")},
			tag: "kube_namespace",
			reason: "it is the tag of a pod, and no pod that is known has this container; " +
				`there is container labels["kube_namespace"]`,
			found: []string{"pod namespace: no pod that is known has this container"}},
		"it is in no task": {tag: "task_name",
			reason: "it is the tag of an ECS task, and no ECS task that is known has",
			found:  []string{"ECS task family: no ECS task that is known has this container"}},
		"its pod is half known": {world: world{container: func(c *wm.Container) { c.Owner = &ofP1 },
			pod: func(*wm.KubernetesPod) {}, expect: []wm.Source{kubelet, cluster}},
			tag: "kube_qos", reason: "nothing that makes it is set.",
			found: []string{"pod qos_class: not set"}},
		"nothing makes it": {world: world{}, tag: "colour",
			reason: "nothing that makes it is set.", no: "pod"},
		"of another source": {world: world{mine: []string{"team:a"}}, tag: "team:b",
			reason: "it has team:a, from mine."},
		"hidden": {world: world{container: label("com.datadoghq.tags.env", "dev"),
			pod: func(p *wm.KubernetesPod) {
				p.Labels = map[string]string{"tags.datadoghq.com/env": "prod"}
			}}, tag: "env", reason: "it has env:prod, made by pod label tags.datadoghq.com/env."},
	} {
		t.Run(name, func(t *testing.T) {
			opts := local.DefaultOptions()
			opts.Extract.Rules = c.rules
			w := newWorld(t, opts, true)
			w.store.Expect(wm.KindKubernetesPod, c.expect)
			it := container("c1", noOne)
			if c.container != nil {
				c.container(it)
			}
			w.notify(sets(runtime, it))
			if c.pod != nil {
				p := pod("p1", "c1")
				c.pod(p)
				w.notify(sets(kubelet, p))
			}
			if err := w.tagger.Process([]tagger.TagInfo{{Source: "mine", Entity: c1,
				LowCardTags: c.mine}}); err != nil {
				t.Fatal(err)
			}
			got := w.tagger.ExplainTag(c1, c.tag)
			var found, near strings.Builder
			for _, way := range got.Ways {
				found.WriteString("|" + way.Rule + ": " + way.Found + "|")
			}
			for _, n := range got.Near {
				near.WriteString("|" + n.Field + ": " + n.Want + "|")
			}
			if !strings.HasPrefix(got.Reason+".", c.reason) {
				t.Errorf("reason %q, want %q", got.Reason, c.reason)
			}
			for _, want := range c.found {
				if !strings.Contains(found.String(), "|"+want+"|") {
					t.Errorf("ways %s, want %q", &found, want)
				}
			}
			for _, want := range c.near {
				if !strings.Contains(near.String(), "|"+want+"|") {
					t.Errorf("near misses %s, want %q", &near, want)
				}
			}
			if c.no != "" && strings.Contains(found.String(), "|"+c.no) {
				t.Errorf("ways %s, want none of a %s", &found, c.no)
			}
		})
	}
	w := newWorld(t, local.Options{}, true)
	w.notify(sets(wm.SourceProcess,
		&wm.Process{EntityID: wm.EntityID{Kind: wm.KindProcess, ID: "7"},
			PID: 7}))
	if got := w.tagger.ExplainTag("process://7", "kube_namespace"); got.Reason !=
		"nothing makes a tag kube_namespace of a process, and it is in no container, whose tags "+
			"it would have" {
		t.Errorf("a process in no container: %q", got.Reason)
	}
	if got := w.tagger.ExplainTag("container_id://none", "env"); !strings.HasPrefix(got.Reason,
		tagger.Unknown.String()) || len(got.Ways) != 0 {
		t.Errorf("an unknown entity: %+v", got)
	}
}
