package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// TestLastMatchWins compares a set with a model that asks every rule of the list in order,
// one by one, and lets each overrule those before it.
func TestLastMatchWins(t *testing.T) {
	values := []string{"a", "ab", "b", ""}
	names := []string{"x", "xy", "y", "*", "x*"}
	conditions := rapid.Custom(func(t *rapid.T) rules.Condition {
		field := rapid.SampledFrom([]string{"name", "namespace", "image", "label.k", "kind"}).Draw(
			t, "field")
		if field == "kind" {
			return when(field, rapid.SampledFrom([]string{"container", "pod", "*"}).Draw(t, "kind"))
		}
		return when(field,
			rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "a*", "*", "", "/b/", "/^a/"}), 1,
				2).Draw(t, "patterns")...)
	})
	rule := rapid.Custom(func(t *rapid.T) rules.Rule {
		r := rules.Rule{
			Action:  rules.Action(rapid.IntRange(1, 7).Draw(t, "action")),
			Purpose: rules.Purpose(rapid.IntRange(0, 2).Draw(t, "purpose")),
			Origin:  rules.Origin(rapid.IntRange(0, 1).Draw(t, "origin")),
			When:    rapid.SliceOfN(conditions, 0, 2).Draw(t, "when"),
		}
		name := rapid.SampledFrom(names).Draw(t, "name")
		switch r.Action {
		case rules.Tag:
			r.Names, r.From = []string{strings.ReplaceAll(name, "*", "+x")},
				rules.From{Field: rules.Label,
					Key: rapid.SampledFrom([]string{"k", "*"}).Draw(t, "key")}
			r.Names[0] = strings.TrimPrefix(r.Names[0], "x+")
		case rules.Drop, rules.Keep:
			r.Names = []string{name}
		case rules.Rename:
			r.Renames = []rules.Renaming{
				{Name: strings.ReplaceAll(name, "*", "z"),
					To: rapid.SampledFrom([]string{"x", "n"}).Draw(t, "to")}}
		case rules.Cardinality:
			r.Levels = []rules.Leveling{
				{Name: name, To: tagger.TagCardinality(rapid.IntRange(0, 2).Draw(t, "level"))}}
		}
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rule, 0, 8).Draw(t, "rules")
		for i := range list {
			list[i].Name = fmt.Sprint(i)
		}
		s, err := rules.Compile(list)
		if err != nil {
			t.Fatal(err)
		}
		c := &wm.Container{EntityID: wm.EntityID{Kind: wm.KindContainer, ID: "c"}}
		pick := rapid.SampledFrom(values)
		c.Name, c.Image.Name = pick.Draw(t, "name"), pick.Draw(t, "image")
		c.Labels = map[string]string{podNamespace: pick.Draw(t, "namespace")}
		if rapid.Bool().Draw(t, "labelled") {
			c.Labels["k"] = pick.Draw(t, "label")
		}

		for purpose := rules.Everything; purpose <= rules.Logs; purpose++ {
			excluded, by := false, ""
			for _, r := range list {
				if (r.Action == rules.Exclude || r.Action == rules.Include) &&
					(r.Purpose == rules.Everything || r.Purpose == purpose) && applies(r, c) {
					excluded, by = r.Action == rules.Exclude, r.Name
				}
			}
			if v := s.Why(c, nil, purpose); v.Excluded != excluded || v.Rule.Label() != by {
				t.Fatalf("Why(%s) = %v by %q, want %v by %q", purpose, v.Excluded, v.Rule.Label(),
					excluded, by)
			}
		}

		var subject rules.Subject
		subject.Reset(c, "", nil)
		for _, tag := range []string{"x", "xy", "y", "other"} {
			want := rules.Effect{Name: tag, Level: tagger.OrchestratorCardinality}
			for _, r := range list {
				if !applies(r, c) {
					continue
				}
				switch r.Action {
				case rules.Drop, rules.Keep:
					if glob(r.Names[0], tag) {
						want.Dropped = r.Action == rules.Drop
					}
				case rules.Rename:
					if r.Renames[0].Name == tag {
						want.Name = r.Renames[0].To
					}
				case rules.Cardinality:
					if glob(r.Levels[0].Name, tag) {
						want.Level = r.Levels[0].To
					}
				}
			}
			if got := s.Effect(tag, tagger.OrchestratorCardinality,
				&subject); got.Name != want.Name || got.Level != want.Level ||
				got.Dropped != want.Dropped {
				t.Fatalf("Effect(%s) = %+v, want %+v", tag, got, want)
			}
		}

		want := map[string]int{} // tag and level → how often
		for i, r := range list {
			if r.Action != rules.Tag || !applies(r, c) {
				continue
			}
			name, level := rules.SplitLevel(r.Names[0])
			replaced := false
			for _, later := range list[i+1:] {
				if later.Action == rules.Tag && later.Origin != rules.Option && applies(later, c) {
					other, _ := rules.SplitLevel(later.Names[0])
					replaced = replaced || other == name
				}
			}
			if !replaced {
				want[name+" "+level.String()]++
			}
		}
		got := map[string]int{}
		for _, m := range s.Table(rules.Label, wm.KindContainer, "").Match(nil, "k", &subject) {
			got[m.Name+" "+m.Level.String()]++
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("Match() = %v, want %v", got, want)
		}
	})
}

func glob(pattern, text string) bool {
	if rest, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(text, rest)
	}
	return pattern == text
}

// podNamespace is the label that tells a container's namespace.
const podNamespace = "io.kubernetes.pod.namespace"

// applies asks the conditions of a rule in the plainest way.
func applies(r rules.Rule, c *wm.Container) bool {
	for _, cond := range r.When {
		value, there := "container", true
		switch cond.Field {
		case rules.Name:
			value, there = c.Name, c.Name != ""
		case rules.Namespace:
			value, there = c.Labels[podNamespace], c.Labels[podNamespace] != ""
		case rules.Image:
			value, there = c.Image.Name, c.Image.Name != ""
		case rules.Label:
			value, there = c.Labels["k"]
		}
		holds := false
		for _, p := range cond.Patterns {
			switch {
			case p == "":
				holds = holds || value == ""
			case !there:
			case p == "/b/":
				holds = holds || strings.Contains(value, "b")
			case p == "/^a/":
				holds = holds || strings.HasPrefix(value, "a")
			default:
				holds = holds || glob(p, value)
			}
		}
		if !holds {
			return false
		}
	}
	return true
}

func FuzzParseFilter(f *testing.F) {
	f.Add("image:^nginx$", "nginx")
	f.Add("kube_namespace:(", "")
	f.Add("name:", "web")
	f.Add("name:^a$, image: b", "a")
	f.Fuzz(func(t *testing.T, item, value string) {
		conditions, known, err := rules.ParseFilter(item)
		if err != nil || !known {
			return
		}
		var list []rules.Rule
		none := false
		for _, c := range conditions {
			list = append(list, rules.Rule{Action: rules.Exclude, When: []rules.Condition{c}})
			none = none || c.Patterns[0] == "/^$/"
		}
		s, err := rules.Compile(list)
		if err != nil {
			t.Fatalf("ParseFilter(%q) is accepted and does not compile: %v", item, err)
		}
		e := &wm.Container{EntityID: wm.EntityID{Kind: wm.KindContainer, ID: "c"},
			EntityMeta: wm.EntityMeta{Name: value, Labels: map[string]string{podNamespace: value}},
			Image:      wm.ContainerImage{Name: value}}
		if value == "" && !none && s.Why(e, nil, 0).Excluded {
			t.Fatalf("%q matches what is not there", item)
		}
	})
}
