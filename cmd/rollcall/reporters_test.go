package main

import (
	"slices"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

func TestWhoSaidWhat(t *testing.T) {
	report := func(collector, name, cgroup string) collection.Report {
		c := &workloadmeta.Container{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer,
				ID: "a"}, CgroupPath: cgroup}
		c.Name = name
		c.State.Status, c.State.Running = workloadmeta.StatusRunning, true
		c.Labels = map[string]string{"by": collector}
		return collection.Report{Collector: collector, Source: workloadmeta.SourceRuntime,
			Entity: c}
	}
	reports := []collection.Report{report("docker", "web", ""),
		report("containerd", "a", "/docker/a")}
	agreed, table,
		err := whoSaidWhat(
		workloadmeta.Combine([]workloadmeta.Entity{reports[0].Entity, reports[1].Entity},
			[]workloadmeta.Entity{reports[0].Entity, reports[1].Entity}), reports)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"state.running", "state.status"}; !slices.Equal(agreed, want) {
		t.Errorf("agreed on %q, want %q", agreed, want)
	}
	want := [][]string{
		{"name", "web", "docker", "containerd: a"},
		{"labels.by", "docker", "docker", "containerd: containerd"},
		{"cgroup_path", "/docker/a", "containerd", ""},
	}
	if !slices.EqualFunc(table.rows, want, slices.Equal) {
		t.Errorf("rows %q, want %q", table.rows, want)
	}
}

// Who may not ask a runtime must not be told that everybody has been heard.
func TestReasonBesideWhatCouldNotBeAsked(t *testing.T) {
	denied := []unanswered{{"docker", workloadmeta.Problem{Reason: "permission denied on /d.sock"}}}
	for _, tc := range []struct {
		known  tagger.Completeness
		silent []unanswered
		same   bool
	}{{tagger.Complete, nil, true}, {tagger.Complete, denied, false}, {tagger.Partial, denied,
		true}} {
		x := &tagger.Explanation{Completeness: tc.known.String(), Reason: "every source has"}
		if got := reasonBeside(tc.silent, x); (got == x.Reason) != tc.same || got == "" {
			t.Errorf("%s, %v: %q", tc.known, tc.silent, got)
		}
	}
}
