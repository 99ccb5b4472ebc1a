package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/inspect"
)

// vector is one of test/conformance, as far as the command line can play it.
type vector struct {
	ID       string
	Features []string
	Config   map[string]json.RawMessage
	Events   []struct {
		Op, Source string
		Entity     json.RawMessage
	}
	Expect struct {
		Entities map[string]struct {
			Low, Orchestrator, High, Standard []string
			Complete                          *bool
		}
		Absent   []string
		BySource map[string]map[string][]string `json:"by_source"`
	}
}

// Users and other programs see the tags that the recorded vectors ask for: those with nothing but
// events, as recordings with a configuration file.
func TestVectorsAsRecordings(t *testing.T) {
	files, err := filepath.Glob("../../test/conformance/testdata/tags/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var group struct{ Vectors []vector }
		if err := json.Unmarshal(text, &group); err != nil {
			continue // the tables of helper functions
		}
		for _, v := range group.Vectors {
			if len(v.Events) == 0 {
				continue
			}
			n++
			t.Run(v.ID, func(t *testing.T) {
				t.Parallel()
				v.check(t)
			})
		}
	}
	if n < 50 {
		t.Errorf("%d vectors, want at least 50", n)
	}
}

func (v vector) check(t *testing.T) {
	dir := t.TempDir()
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, ev := range v.Events {
		if err := enc.Encode(map[string]any{"op": ev.Op, "source": ev.Source,
			"entity": ev.Entity}); err != nil {
			t.Fatal(err)
		}
	}
	options, err := json.Marshal(v.Config) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"r.jsonl": lines.Bytes(), "c.yaml": options} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var env []string
	if slices.Contains(v.Features, "ecs_fargate") {
		env = append(env, "AWS_EXECUTION_ENV=AWS_ECS_FARGATE")
	}
	if slices.Contains(v.Features, "eks_fargate") {
		env = append(env, "DD_EKS_FARGATE=true")
	}
	r := rollcallEnv(t, env, "tags", "-o", "json", "--from", filepath.Join(dir, "r.jsonl"),
		"--config", filepath.Join(dir, "c.yaml"))
	var printed struct{ Entities []inspect.Tagged }
	if err := json.Unmarshal([]byte(r.out), &printed); err != nil || r.code != 0 ||
		r.err != "" && !strings.Contains(r.err, "it is no tag, name:value, and ignored\n") {
		t.Fatalf("%v, %+v", err, r)
	}
	if !slices.IsSortedFunc(printed.Entities,
		func(a, b inspect.Tagged) int { return cmp.Compare(a.ID, b.ID) }) {
		t.Error("the entities are not sorted")
	}
	got := map[string]inspect.Tagged{}
	for _, e := range printed.Entities {
		got[string(e.ID)] = e
	}
	sorted := func(list []string) []string {
		list = append([]string{}, list...)
		slices.Sort(list)
		return list
	}
	for id, want := range v.Expect.Entities {
		have := got[id]
		for _, level := range []struct {
			name       string
			want, have []string
		}{{"low", want.Low, have.Low}, {"orchestrator", want.Orchestrator, have.Orchestrator},
			{"high", want.High, have.High}, {"standard", slices.Compact(sorted(want.Standard)),
				have.Standard}} {
			if level.name == "standard" && want.Standard == nil {
				continue
			}
			if diff := gocmp.Diff(sorted(level.want),
				append([]string{}, level.have...)); diff != "" {
				t.Errorf("%s: %s tags (-want +got):\n%s", id, level.name, diff)
			}
		}
		if want.Complete != nil && *want.Complete != have.Complete {
			t.Errorf("%s: complete is %t, want %t", id, have.Complete, *want.Complete)
		}
	}
	for _, id := range v.Expect.Absent {
		if e := got[id]; len(e.Low)+len(e.Orchestrator)+len(e.High) > 0 {
			t.Errorf("%s: has tags %+v, want none", id, e)
		}
	}
	for id, want := range v.Expect.BySource {
		for source := range want {
			want[source] = sorted(want[source])
		}
		if diff := gocmp.Diff(want, got[id].Sources); diff != "" {
			t.Errorf("%s: by source (-want +got):\n%s", id, diff)
		}
	}
}
