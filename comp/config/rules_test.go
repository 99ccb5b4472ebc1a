package config_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
)

func TestParseRules(t *testing.T) {
	text := `# rules
- exclude: containers
  when: {image: "*/sidecar*"}
- {include: metrics, when: {namespace: [prod, ""], label.team: blue, label.ready: true}}
- tag: team
  from: {label: team}
- tag: [squad, "+%%env%%"]
  from: {env: APP_*}
- {tag: cell, cardinality: orch, from: {annotation: acme.io/cell}}
- rename: {kube_app_name: app, kube_app_version: version}
  when: {kind: kubernetes_pod}
- drop: [image_id, "kueue_*"]
- keep: image_id
- cardinality: {pod_name: low}
`
	orchestrator := tagger.OrchestratorCardinality
	want := []rules.Rule{
		{Where: "r.yaml:2", Action: rules.Exclude, When: []rules.Condition{{Field: rules.Image, Patterns: []string{"*/sidecar*"}}}},
		{Where: "r.yaml:4", Action: rules.Include, Purpose: rules.Metrics, When: []rules.Condition{{Field: rules.Namespace, Patterns: []string{"prod", ""}},
			{Field: rules.Label, Key: "team", Patterns: []string{"blue"}}, {Field: rules.Label, Key: "ready", Patterns: []string{"true"}}}},
		{Where: "r.yaml:5", Action: rules.Tag, Names: []string{"team"}, From: rules.From{Field: rules.Label, Key: "team"}},
		{Where: "r.yaml:7", Action: rules.Tag, Names: []string{"squad", "+%%env%%"}, From: rules.From{Field: rules.Env, Key: "APP_*"}},
		{Where: "r.yaml:9", Action: rules.Tag, Names: []string{"cell"}, From: rules.From{Field: rules.Annotation, Key: "acme.io/cell"}, Level: &orchestrator},
		{Where: "r.yaml:10", Action: rules.Rename, Renames: []rules.Renaming{{Name: "kube_app_name", To: "app"}, {Name: "kube_app_version", To: "version"}},
			When: []rules.Condition{{Field: rules.Kind, Patterns: []string{"kubernetes_pod"}}}},
		{Where: "r.yaml:12", Action: rules.Drop, Names: []string{"image_id", "kueue_*"}},
		{Where: "r.yaml:13", Action: rules.Keep, Names: []string{"image_id"}},
		{Where: "r.yaml:14", Action: rules.Cardinality, Levels: []rules.Leveling{{Name: "pod_name"}}},
	}
	unnamed := cmpopts.IgnoreFields(rules.Rule{}, "Name")
	for name, text := range map[string]string{"alone": text,
		"under its option": "rules:\n" + text[strings.Index(text, "- "):]} {
		got, err := config.ParseRules("r.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, unnamed); diff != "" {
			t.Errorf("%s: ParseRules() (-want +got):\n%s", name, diff)
		}
	}

	// What rules are written as reads as the same rules.
	asJSON, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	place := cmpopts.IgnoreFields(rules.Rule{}, "Name", "Where")
	got, err := config.ParseRules("again", asJSON)
	if err != nil {
		t.Fatalf("%v in %s", err, asJSON)
	}
	if diff := cmp.Diff(want, got, place); diff != "" {
		t.Errorf("ParseRules(%s) (-want +got):\n%s", asJSON, diff)
	}
	for _, text := range []string{"", "# nothing\n", "rules:\n", "[]"} {
		if got, err := config.ParseRules("x", []byte(text)); err != nil || len(got) > 0 {
			t.Errorf("ParseRules(%q) = %v, %v", text, got, err)
		}
	}
}

func TestBadRulesNameFileAndLine(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"- exclude: containers\n- drop: x\n  wen: {}\n", `r.yaml:3: rules[2]: unknown key "wen" (want exclude, include, tag, rename, drop, keep or cardinality; when; from and cardinality of a tag)`},
		{"- drop: x\n  keep: y\n", `r.yaml:2: rules[1]: two actions, drop and keep; write two rules`},
		{"- drop: x\n  cardinality: {y: low}\n", `r.yaml:2: rules[1]: two actions, drop and cardinality`},
		{"- when: {image: x}\n", `r.yaml:1: rules[1]: no action (want exclude, `},
		{"- drop: x\n  drop: y\n", `r.yaml:2: rules[1]: drop is there twice`},
		{"- drop\n", `r.yaml:1: rules[1]: want a map with one action (exclude, include, tag, rename, drop, keep or cardinality), have the text "drop"`},
		{"- exclude: pods\n", `r.yaml:1: rules[1]: exclude: want containers, metrics or logs, have the text "pods"`},
		{"- exclude: [containers]\n", `rules[1]: exclude: want containers, metrics or logs, have a list`},
		{"- tag: x\n", `r.yaml:1: rules[1]: tag: from is missing, such as from: {label: team}`},
		{"- tag: x\n  from: label\n", `r.yaml:2: rules[1]: from: want one of {label: key}, {annotation: key} and {env: name}`},
		{"- tag: x\n  from: {name: y}\n", `r.yaml:2: rules[1]: from: want one of {label: key}`},
		{"- tag: x\n  from: {label: [y]}\n", `r.yaml:2: rules[1]: from: label: want text, have a list`},
		{"- tag: x\n  from: {label: y}\n  cardinality: {x: low}\n", `r.yaml:3: rules[1]: cardinality: want low, orchestrator or high, have a map`},
		{"- tag: +x\n  from: {label: y}\n  cardinality: low\n", `r.yaml:1: rules[1]: tag "+x": the "+" is a cardinality already`},
		{"- drop: x\n  from: {label: y}\n", `r.yaml:2: rules[1]: from: only a tag is made from something`},
		{"- drop: []\n", `r.yaml:1: rules[1]: drop: the list is empty`},
		{"- drop: [[x]]\n", `r.yaml:1: rules[1]: drop: want text, have a list`},
		{"- drop:\n", `r.yaml:1: rules[1]: drop: want text, have nothing`},
		{"- rename: x\n", `r.yaml:1: rules[1]: rename: want a map, such as {kube_app_name: app}, have the text "x"`},
		{"- rename: {x: 1}\n", `r.yaml:1: rules[1]: rename: x: want text, have the number 1`},
		{"- cardinality: {x: medium}\n", `r.yaml:1: rules[1]: x: cardinality: want low, orchestrator or high, have the text "medium"`},
		{"- exclude: containers\n  when: [x]\n", `r.yaml:2: rules[1]: when: want a map, such as {image: "*/sidecar*"}, have a list`},
		{"- exclude: containers\n  when:\n    pod: x\n", `r.yaml:3: rules[1]: when: unknown field "pod" (want kind, runtime, image, name, namespace, resource, label.<key>, annotation.<key>, env.<key>)`},
		{"- exclude: containers\n  when:\n    image: x\n    image: y\n", `r.yaml:4: rules[1]: when: image is there twice; for "any of these" give it a list`},
		{"- exclude: containers\n  when:\n    label.a: {b: c}\n", `r.yaml:3: rules[1]: when: label.a: want text, have a map`},
		{"- exclude: containers\n  when: {image: '/(/'}\n", `r.yaml:1: rules[1]: when: image: pattern "/(/": error parsing regexp`},
		{"- drop: x\n- keep: ''\n- drop: 'a:b'\n", `r.yaml:2: rules[2]: keep: the name is empty; r.yaml:3: rules[3]: drop: "a:b"`},
		{"drop: x\n", `r.yaml:1: want a list of rules, or the option rules and nothing else`},
		{"rules: x\n", `r.yaml:1: want a list of rules, have the text "x"`},
		{"- a: b: c\n", `r.yaml:1: not valid YAML: mapping values are not allowed in this context`},
	} {
		_, err := config.ParseRules("r.yaml", []byte(tc.text))
		if err == nil || !strings.Contains(err.Error(), tc.want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("ParseRules(%q) error = %v\nwant one line with %s", tc.text, err, tc.want)
		}
	}
	if _, err := config.ReadRules("/nonexistent/r.yaml"); err == nil ||
		err.Error() != "read the rules /nonexistent/r.yaml: no such file or directory" {
		t.Errorf("ReadRules() of a missing file: %v", err)
	}
}

// FuzzParseRules checks that whatever is accepted can be compiled, and that what it is
// written as is accepted as the same.
func FuzzParseRules(f *testing.F) {
	f.Add(
		"- exclude: containers\n  when: {image: '*/x*', label.a: /b/}\n- {tag: [a, +b], from: {env: 'A*'}}\n")
	f.Add("rules: [{rename: {a: b}}, {drop: a, when: {namespace: ''}}, {cardinality: {a: high}}]")
	f.Add("- &x {keep: a}\n- *x\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := config.ParseRules("f", []byte(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("ParseRules(%q) error = %q has several lines", text, err)
			}
			return
		}
		if _, err := rules.Compile(list); err != nil {
			t.Fatalf("ParseRules(%q) accepts what does not compile: %v", text, err)
		}
		if !utf8.ValidString(text) {
			return
		}
		place := cmpopts.IgnoreFields(rules.Rule{}, "Name", "Where")
		for i := range list {
			data, err := list[i].MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			again, err := config.ParseRules("again", []byte("["+string(data)+"]"))
			if err != nil || len(again) != 1 || !cmp.Equal(again[0], list[i], place) {
				t.Fatalf("%s reads as %+v, %v; want %+v", data, again, err, list[i])
			}
		}
	})
}

func TestRulesFromEveryLayer(t *testing.T) {
	path := file(t, "cluster_name: c\nrules:\n- drop: a\n- keep: b\n")
	for _, tc := range []struct {
		name      string
		src       config.Source
		drop      string
		where     string
		from, say string
	}{
		{name: "file", src: config.Source{File: path}, drop: "a", where: path + ":3", from: path + ":2"},
		{name: "environment, YAML", src: config.Source{File: path, Env: []string{"ROLLCALL_RULES=\n- drop: c"}}, drop: "c", where: "ROLLCALL_RULES:2", from: "ROLLCALL_RULES"},
		{name: "environment, JSON", src: config.Source{Env: []string{`ROLLCALL_RULES=[{"drop": "c"}]`}}, drop: "c", where: "ROLLCALL_RULES:1", from: "ROLLCALL_RULES"},
		{name: "flag", src: config.Source{File: path, Flags: []config.Flag{{Flag: "--set", Option: "rules", Value: "[{drop: d}]"}}}, drop: "d", where: "--set:1", from: "--set"},
	} {
		l := load(t, tc.src)
		if len(l.Rules) == 0 || l.Rules[0].Names[0] != tc.drop || l.Rules[0].Where != tc.where ||
			l.From["rules"] != tc.from {
			t.Errorf("%s: rules %+v from %s; want drop %s at %s from %s", tc.name, l.Rules,
				l.From["rules"], tc.drop, tc.where, tc.from)
		}
		again := load(t, config.Source{File: file(t, l.Render(true))})
		if diff := cmp.Diff(l.Rules, again.Rules,
			cmpopts.IgnoreFields(rules.Rule{}, "Where")); diff != "" {
			t.Errorf("%s: what Render wrote loads as others (-was +is):\n%s", tc.name, diff)
		}
	}
	for _, tc := range []struct {
		src  config.Source
		want string
	}{
		{config.Source{File: file(t, "rules:\n- drop: a\n- dorp: b\n")}, `rollcall.yaml:3: option rules: rules[2]: unknown key "dorp"`},
		{config.Source{File: file(t, "rules: {drop: a}\n")}, `rollcall.yaml:1: option rules: want a list of rules, have a map`},
		{config.Source{Env: []string{"ROLLCALL_RULES=[{drop: ''}]"}}, `environment variable ROLLCALL_RULES: option rules: ROLLCALL_RULES:1: rules[1]: drop: the name is empty`},
		{config.Source{Flags: []config.Flag{{Flag: "--set", Option: "rules", Value: "drop"}}}, `--set: option rules: --set:1: want a list of rules, have the text "drop"`},
	} {
		if _, err := schema().Load(tc.src); err == nil || !strings.Contains(err.Error(), tc.want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("Load(%+v) error = %v\nwant %s", tc.src, err, tc.want)
		}
	}
}

// One bad expression is an error at the load that names the option and the item.
func TestBadFilterIsAnErrorThatNamesIt(t *testing.T) {
	for _, tc := range []struct {
		src  config.Source
		want string
	}{
		{config.Source{File: file(t, "container_exclude:\n- image:ok\n- name:(x\n")}, `rollcall.yaml:3: option container_exclude: item "name:(x": error parsing regexp`},
		{config.Source{File: file(t, "ac_include: ['image:[']\n")}, `rollcall.yaml:1: option ac_include: item "image:[": error parsing regexp`},
		{config.Source{Env: []string{"DD_CONTAINER_EXCLUDE_LOGS=image:a name:a{1,2} name:*"}}, `DD_CONTAINER_EXCLUDE_LOGS: option container_exclude_logs: item "name:*": error parsing regexp`},
	} {
		if _, err := schema().Load(tc.src); err == nil || !strings.Contains(err.Error(), tc.want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("Load(%+v) error = %v\nwant %s", tc.src, err, tc.want)
		}
	}
	l := load(t,
		config.Source{Env: []string{`DD_CONTAINER_EXCLUDE=image:a{1,2} pod:x`,
			`ROLLCALL_CONTAINER_INCLUDE=["name:a b"]`}})
	if diff := cmp.Diff([]config.Filters{{"image:a{1,2}", "pod:x"}, {"name:a b"}},
		[]config.Filters{l.ContainerExclude, l.ContainerInclude}); diff != "" {
		t.Errorf("filters (-want +got):\n%s", diff)
	}
	if want := `container_exclude "pod:x" (DD_CONTAINER_EXCLUDE): not understood and ignored`; len(
		l.Warnings) != 1 || !strings.HasPrefix(l.Warnings[0], want) {
		t.Errorf("Warnings = %q, want %s", l.Warnings, want)
	}
}

// The effective list: options, what pods say of themselves, the user's rules, and last what
// nobody undoes.
func TestOrderOfTheEffectiveList(t *testing.T) {
	text := "container_labels_as_tags:\n  team: team\ncontainer_exclude: ['name:x']\ncontainer_include:\n- name:y\n- name:z\nrules:\n- include: containers\n"
	path := file(t, text)
	folder := regexp.MustCompile(`\(/.*/rollcall\.yaml:`)
	list := func(l *config.Loaded) (labels []string) {
		all, errs := l.TagOptions(nil).TagRules()
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		for i := range all {
			labels = append(labels, folder.ReplaceAllString(all[i].Label(), "(f:"))
		}
		return labels
	}
	want := []string{
		`container_labels_as_tags["team"] (f:2)`,
		`kubernetes_node_annotations_as_tags["cluster.k8s.io/machine"] (default)`,
		`container_exclude "name:x" (f:3)`, `container_include "name:y" (f:5)`,
		`container_include "name:z" (f:6)`,
		`pod annotation (built in)`, `pod annotation (built in)`, `pod annotation (built in)`,
		`pod annotation (built in)`, `pod annotation (built in)`, `pod annotation (built in)`,
		`rules[1] (f:8)`,
	}
	pause := slices.Repeat([]string{`pause containers (built in, exclude_pause_container)`}, 7)
	if diff := cmp.Diff(append(slices.Clone(want), pause...),
		list(load(t, config.Source{File: path}))); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want,
		list(load(t,
			config.Source{File: file(t, text+"exclude_pause_container: false\n")}))); diff != "" {
		t.Errorf("without the rule about pause containers (-want +got):\n%s", diff)
	}
}
