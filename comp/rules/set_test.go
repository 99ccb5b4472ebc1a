package rules_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// What a set says of its rules, by which others spare themselves work.
func TestWhatASetSaysOfItself(t *testing.T) {
	on := func(r rules.Rule, c ...rules.Condition) rules.Rule { r.When = c; return r }
	drop := rules.Rule{Name: "drop", Action: rules.Drop, Names: []string{"x"}}
	builtin := exclude()
	builtin.Origin = rules.Builtin
	for name, c := range map[string]struct {
		list      []rules.Rule
		want      string // which of its answers are yes
		resources string
	}{
		"none":                  {},
		"an exclude":            {list: []rules.Rule{exclude()}, want: "excludes selects"},
		"an include":            {list: []rules.Rule{include()}, want: "selects"},
		"one that nobody wrote": {list: []rules.Rule{builtin}, want: "excludes"},
		"a tag":                 {list: []rules.Rule{tag("label", "a", "a")}},
		"a drop":                {list: []rules.Rule{drop}, want: "effects"},
		"a drop with a condition": {list: []rules.Rule{on(drop, when("kind", "pod"))},
			want: "effects conditional"},
		"a tag of a kind": {
			list: []rules.Rule{on(tag("label", "a", "a"), when("kind", "pod"))}},
		"a tag of names": {
			list: []rules.Rule{on(tag("label", "a", "a"), when("name", "x"))}, want: "conditional"},
		"a tag of a resource": {
			list:      []rules.Rule{on(tag("label", "a", "a"), when("resource", "pods", "nodes"))},
			resources: "nodes pods"},
		"a tag of some resources": {
			list: []rules.Rule{on(tag("label", "a", "a"), when("resource", "n*"))},
			want: "conditional", resources: "n*"},
		"a kind, and not resource": {
			list: []rules.Rule{on(tag("label", "a", "a"), when("kind", "p*"))}},
	} {
		s := compile(t, c.list...)
		var got []string
		for _, answer := range []struct {
			yes  bool
			word string
		}{{s.Excludes(), "excludes"}, {s.Selects(), "selects"}, {s.HasEffects(), "effects"},
			{s.Conditional(), "conditional"}} {
			if answer.yes {
				got = append(got, answer.word)
			}
		}
		if strings.Join(got, " ") != c.want || strings.Join(s.Resources(), " ") != c.resources {
			t.Errorf("%s: %q, resources %q; want %s, %s", name, got, s.Resources(), c.want,
				c.resources)
		}
		if list := s.Rules(); len(list) != len(c.list) {
			t.Errorf("%s: Rules() has %d rules", name, len(list))
		}
	}
	var none *rules.Set
	if none.Rules() != nil || none.Conditional() || none.Selects() || none.HasEffects() ||
		none.Resources() != nil {
		t.Error("a nil set has rules")
	}
}

// The table of the resources that nobody names has the rules that may be about one of them.
func TestTheTableOfOtherResources(t *testing.T) {
	for pattern, want := range map[string]bool{"nodes": false, "n*": true, "/odes/": true} {
		r := tag("label", "a", "a")
		r.When = []rules.Condition{when("resource", pattern)}
		s := compile(t, r)
		table := s.Table(rules.Label, wm.KindKubernetesMetadata, rules.AnyResource)
		var subject rules.Subject
		subject.Reset(&wm.KubernetesMetadata{EntityID: wm.EntityID{
			Kind: wm.KindKubernetesMetadata, ID: "x"}}, "nodes", nil)
		if got := len(table.Match(nil, "a", &subject)) == 1; got != want {
			t.Errorf("resource %s: %t, want %t", pattern, got, want)
		}
		// What is known of another resource is another question.
		subject.Of("pods")
		if len(table.Match(nil, "a", &subject)) > 0 {
			t.Errorf("resource %s: it applies to pods", pattern)
		}
	}
}

// Where the conditions look.
func TestWhereConditionsLook(t *testing.T) {
	owned := func(runtime wm.ContainerRuntime) wm.Entity {
		return container(func(c *wm.Container) {
			c.Labels, c.Namespace, c.Runtime = nil, "shop", runtime
		})
	}
	image := &wm.ContainerImageMetadata{EntityID: wm.EntityID{Kind: wm.KindContainerImage,
		ID: "i"}, RepoTags: []string{"acme/web:1.2", "acme/db"}}
	spelt := container(func(c *wm.Container) {
		c.Labels = map[string]string{"tEAM": "c", "TEAM": "a", "Team": "b"}
	})
	hub := container(func(c *wm.Container) { c.Image = wm.ContainerImage{Name: "redis"} })
	for _, c := range []struct {
		entity wm.Entity
		when   rules.Condition
		want   bool
	}{
		{owned(wm.RuntimeDocker), when("namespace", "shop"), true},
		{owned(wm.RuntimeContainerd), when("namespace", "shop"), false}, // it may be containerd's
		{container(func(c *wm.Container) {
			c.Labels, c.Namespace, c.Runtime, c.Owner = nil, "shop", wm.RuntimeDocker, nil
		}), when("namespace", "shop"), false},
		{image, when("image", "acme/web:1.2"), true},
		{image, when("image", "acme/web"), true},
		{image, when("image", "acme/db:"), false},
		{image, when("image", "acme/web:1"), false},
		{spelt, when("label.team", "a"), true}, // the first in byte order
		{spelt, when("label.team", "b"), false},
		{spelt, when("label.Team", "b"), true},
		{hub, when("image", "/library.r/"), true},
		{hub, when("image", "/[/b]r/"), true},               // "br" of library, and "/r" of redis
		{hub, when("image", "/docker.io.library./"), false}, // all images of the hub have that
	} {
		drop := rules.Rule{Name: "drop", Action: rules.Drop, Names: []string{"x"},
			When: []rules.Condition{c.when}}
		var subject rules.Subject
		subject.Reset(c.entity, "", nil)
		if got := compile(t, drop).Effect("x", 0, &subject).Dropped; got != c.want {
			t.Errorf("%v of %s: %t, want %t", c.when, c.entity.GetID(), got, c.want)
		}
	}
}

// An include or a keep is idle if nothing before it has to do with it.
func TestWhatAnIncludeUndoes(t *testing.T) {
	purposes := []rules.Purpose{rules.Everything, rules.Metrics, rules.Logs}
	entities := slices.Values([]wm.Entity{container()})
	made := func(wm.Entity) []rules.MadeBy { return nil }
	for _, excluded := range purposes {
		for _, included := range purposes {
			for _, first := range []rules.Action{rules.Exclude, rules.Include} {
				list := []rules.Rule{
					{Name: "first", Action: first, Purpose: excluded},
					{Name: "then", Action: rules.Include, Purpose: included},
				}
				idle := slices.ContainsFunc(compile(t, list...).Idle(entities, nil, made),
					func(i rules.Idle) bool { return i.Rule.Name == "then" })
				undoes := first == rules.Exclude && (excluded == included ||
					excluded == rules.Everything || included == rules.Everything)
				if idle == undoes {
					t.Errorf("include:%s after %s:%s is idle: %t", included, first, excluded, idle)
				}
			}
		}
	}
}

func TestNamesOfWhatThereIsNot(t *testing.T) {
	last := rules.Cardinality
	for got, want := range map[string]string{
		rules.Action(0).String(): "action(0)", (last + 1).String(): "action(8)",
		(rules.Logs + 1).String(): "purpose(3)", (rules.Env + 1).String(): "field(10)",
		last.String(): "cardinality", rules.Logs.String(): "logs", rules.Env.String(): "env",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Whatever a rule says is text in JSON again.
func TestRulesAreJSON(t *testing.T) {
	name := "a\x07<&>\u00e9"
	data, err := json.Marshal(rules.Rule{Action: rules.Drop, Names: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Drop any }
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if list, ok := back.Drop.([]any); back.Drop != name &&
		(!ok || len(list) != 1 || list[0] != name) {
		t.Errorf("%s is %q", data, back.Drop)
	}
}

// A rule of an item with several filters is called after its own.
func TestNamesOfFilters(t *testing.T) {
	list, warnings, err := rules.Translate([]rules.Filter{{Option: "container_exclude",
		Items: []string{"image: web", "name:a, image:b", "other:x", " "}}}, nil)
	var names []string
	for _, r := range list {
		names = append(names, r.Name)
	}
	if want := []string{`container_exclude "image: web"`, `container_exclude "name:a"`,
		`container_exclude "image:b"`}; !slices.Equal(names, want) || err != nil {
		t.Errorf("rules %q, %v; want %q", names, err, want)
	}
	if len(warnings) != 2 || !strings.HasPrefix(warnings[0], `container_exclude "other:x": `) ||
		!strings.HasPrefix(warnings[1], `container_exclude " ": `) {
		t.Errorf("warnings %q", warnings)
	}
}

// The highest cardinality is one, too.
func TestLevelsOfTags(t *testing.T) {
	for level, want := range map[tagger.TagCardinality]string{tagger.LowCardinality: "low",
		tagger.OrchestratorCardinality: "orchestrator", tagger.HighCardinality: "high"} {
		r := tag("label", "team", "a")
		r.Level = &level
		got := compile(t, r).Table(rules.Label, wm.KindContainer, "").Match(nil, "team",
			&rules.Subject{})
		if len(got) != 1 || got[0].Level.String() != want {
			t.Errorf("%s: %+v", want, got)
		}
	}
}
