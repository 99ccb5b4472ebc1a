package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/inspect"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// containerLine is a line of a recording.
func containerLine(id, name, more string) string {
	return `{"type":"set","source":"runtime","entity":{"kind":"container","id":"` + id +
		`","name":"` + name + `"` + more + `}}` + "\n"
}

// A pause container that has got into a recording is left out whatever the user includes.
func TestIncludeDoesNotResurrectPause(t *testing.T) {
	path := writeFile(t, "r.jsonl", containerLine("aaaa1111", "web", `,"image":{"name":"nginx"}`)+
		containerLine("bbbb2222", "pause", `,"image":{"name":"registry.k8s.io/pause","tag":"3.9"}`))
	include := []string{"--from", path, "--set", "container_include=image:.*", "--set",
		`rules=[{"include": "containers"}]`}
	for _, args := range [][]string{{"ls", "container"}, {"tags"}, {"watch"}} {
		if r := rollcall(t, append(args, include...)...); r.code != 0 ||
			strings.Contains(r.out, "bbbb2222") || !strings.Contains(r.out, "aaaa1111") {
			t.Errorf("%s: %+v", args[0], r)
		}
		if r := rollcall(t,
			append(append(args, include...), "--set",
				"exclude_pause_container=false")...); r.code != 0 ||
			!strings.Contains(r.out, "bbbb2222") {
			t.Errorf("%s without exclude_pause_container: %+v", args[0], r)
		}
	}
	if r := rollcall(t, append([]string{"explain", "pause"}, include...)...); r.code != 0 ||
		!strings.Contains(r.out,
			"\nexcluded by pause containers (built in, exclude_pause_container)\n") {
		t.Errorf("explain: %+v", r)
	}
}

// The tags of a container outlive it, and so does its being left out.
func TestEndedContainersStayLeftOut(t *testing.T) {
	pod := `{"type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"p1","name":"p","namespace":"dev","annotations":{"ad.datadoghq.com/exclude":"true"},"containers":[{"id":"bbbb2222","name":"b"}]}}` + "\n"
	owner := `,"owner":{"kind":"kubernetes_pod","id":"p1"}`
	unset := func(kind, id, source string) string {
		return `{"type":"unset","source":"` + source + `","entity":{"kind":"` + kind + `","id":"` +
			id + `"}}` + "\n"
	}
	path := writeFile(t, "r.jsonl",
		pod+containerLine("aaaa1111", "by-name", "")+containerLine("bbbb2222", "by-pod", owner)+
			containerLine("cccc3333", "seen", "")+
			unset("container", "aaaa1111", "runtime")+unset("container", "bbbb2222", "runtime")+
			unset("container", "cccc3333", "runtime")+
			unset("kubernetes_pod", "p1", "node_orchestrator"))
	rule := []string{"--from", path, "--set", "container_exclude=name:^by-name$"}
	r := rollcall(t, append([]string{"tags"}, rule...)...)
	if r.code != 0 || !strings.Contains(r.out, "cccc3333") || strings.Contains(r.out, "aaaa1111") ||
		strings.Contains(r.out, "bbbb2222") {
		t.Errorf("tags: %+v", r)
	}
	if r := rollcall(t, append([]string{"tags", "--all"}, rule...)...); !strings.Contains(r.out,
		"aaaa1111") || !strings.Contains(r.out, "bbbb2222") {
		t.Errorf("tags --all: %+v", r)
	}
	if r := rollcall(t,
		append([]string{"tags", "container_id://aaaa1111"}, rule...)...); r.code != 0 ||
		!strings.Contains(r.out, "container_name:by-name") {
		t.Errorf("tags of one: %+v", r)
	}
	r = rollcall(t, append([]string{"watch", "container"}, rule...)...)
	if r.code != 0 || strings.Count(r.out, "cccc3333") != 2 || strings.Contains(r.out, "aaaa1111") {
		t.Errorf("watch: %+v", r)
	}
}

// A pod can leave its containers out later, and take that back.
func TestWatchFollowsThePodsOfContainers(t *testing.T) {
	pod := func(annotations string) string {
		return `{"type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"p1","name":"p","namespace":"dev","annotations":{` + annotations + `},"containers":[{"id":"aaaa1111","name":"a"}]}}` + "\n"
	}
	path := writeFile(t, "r.jsonl",
		pod("")+containerLine("aaaa1111", "a", `,"owner":{"kind":"kubernetes_pod","id":"p1"}`)+
			pod(`"ad.datadoghq.com/exclude":"true"`)+pod(`"ad.datadoghq.com/a.exclude":"true"`)+
			pod(""))
	r := rollcall(t, "watch", "container", "--from", path)
	var signs []string
	for line := range strings.SplitSeq(strings.TrimSpace(r.out), "\n") {
		signs = append(signs, strings.Fields(line + " ?")[1])
	}
	if got := strings.Join(signs, ""); r.code != 0 || got != "+-+" {
		t.Errorf("watch shows %q, want +-+: %+v", got, r)
	}
}

func TestWarningsAboutDroppedTags(t *testing.T) {
	labels := func(team, tier string) string {
		return `,"labels":{"team":"` + team + `","tier":"` +
			tier + `"}`
	}
	path := writeFile(t, "r.jsonl", containerLine("aaaa1111", "a", labels("x", "1"))+
		containerLine("bbbb2222", "b", labels("y", "1"))+
		containerLine("cccc3333", "c", labels("x", "1"))+
		containerLine("dddd4444", "d", labels("x", "2")))
	// The configuration makes the tags; the file with rules is what is tried.
	conf := writeFile(t, "c.yaml", `container_labels_as_tags: {team: team, tier: tier}`)
	for _, tc := range []struct {
		name, rules string
		want        []string // names of the pairs, cardinalities and rule
	}{
		{"nothing", "[]", nil},
		{"a tag that all have alike", "- drop: nope", nil},
		{"of several differences one remains", "- drop: container_name", nil},
		{"low", "- keep: x\n- drop: team", []string{"a b low,orchestrator rules[2]"}},
		{"two rules", "- drop: team\n- drop: tier", []string{"a b low,orchestrator rules[1]", "a d low,orchestrator rules[2]"}},
		{"up to high", "- drop: 'container_*'\n- drop: [team, tier]", []string{
			"a b low,orchestrator,high rules[1],rules[2]",
			"a d low,orchestrator,high rules[1],rules[2]", "a c high rules[1]"}},
		{"what is left out does not count", "- drop: team\n- {exclude: containers, when: {name: b}}", nil},
		{"a level is no drop", "- cardinality: {team: high}", nil},
	} {
		r := rollcall(t, "rules", "test", "--from", path, "--config", conf, "--rules",
			writeFile(t, "r.yaml", tc.rules), "-o", "json")
		var out inspect.RulesDiff
		if err := json.Unmarshal([]byte(r.out), &out); err != nil || r.code != 0 || r.err != "" {
			t.Fatalf("%s: %v, %+v", tc.name, err, r)
		}
		got := map[string]bool{}
		for _, w := range out.Warnings {
			var by []string
			for _, label := range w.Rules {
				name, _, _ := strings.Cut(label, " ")
				by = append(by, name)
			}
			got[strings.Join([]string{w.Names[0], w.Names[1], strings.Join(w.Cardinalities, ","),
				strings.Join(by, ",")}, " ")] = true
		}
		for _, want := range tc.want {
			if !got[want] {
				t.Errorf("%s: warnings %v, want %s", tc.name, got, want)
			}
		}
		if len(got) != len(tc.want) {
			t.Errorf("%s: warnings %v, want %q", tc.name, got, tc.want)
		}
	}
}

func TestRulesFromTheEnvironment(t *testing.T) {
	path := writeFile(t, "r.jsonl", containerLine("aaaa1111", "web", `,"labels":{"team":"x"}`))
	env := []string{"ROLLCALL_RULES=\n- tag: squad\n  from: {label: team}\n"}
	if r := rollcallEnv(t, env, "explain", "web", "--from", path); r.code != 0 ||
		!strings.Contains(r.out, "rules[1] (ROLLCALL_RULES:2)") {
		t.Errorf("explain: %+v", r)
	}
	if r := rollcallEnv(t, []string{"ROLLCALL_RULES=[{}]"}, "ls"); r.code != 1 ||
		!strings.Contains(r.err,
			"environment variable ROLLCALL_RULES: option rules: ROLLCALL_RULES:1: rules[1]: no action") {
		t.Errorf("ls: %+v", r)
	}
}
