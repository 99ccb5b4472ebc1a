package inspect

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func TestWhoSaidWhat(t *testing.T) {
	report := func(collector, name, cgroup string, rank int) workloadmeta.Report {
		c := &workloadmeta.Container{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer,
				ID: "a"}, CgroupPath: cgroup}
		c.Name = name
		c.State.Status, c.State.Running = workloadmeta.StatusRunning, true
		c.Labels = map[string]string{"by": collector}
		return workloadmeta.NewReport(&workloadmeta.Reporter{Name: collector,
			Source: workloadmeta.SourceRuntime, Rank: rank}, c, time.Now())
	}
	reports := []workloadmeta.Report{report("docker", "web", "", 50),
		report("containerd", "a", "/docker/a", 30)}
	agreed, said, err := whoSaidWhat(workloadmeta.Merge(reports), reports)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"state.running", "state.status"}; !slices.Equal(agreed, want) {
		t.Errorf("agreed on %q, want %q", agreed, want)
	}
	want := []Said{
		{"name", "web", []string{"docker"}, []string{"containerd: a"}},
		{"labels.by", "docker", []string{"docker"}, []string{"containerd: containerd"}},
		{"cgroup_path", "/docker/a", []string{"containerd"}, nil},
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// Who may not ask a runtime must not be told that everybody has been heard.
func TestReasonBesideWhatCouldNotBeAsked(t *testing.T) {
	for _, tc := range []struct {
		known   tagger.Completeness
		unasked bool
		same    bool
	}{{tagger.Complete, false, true}, {tagger.Complete, true, false},
		{tagger.Partial, true, true}} {
		x := tagger.Explanation{Completeness: tc.known.String(), Reason: "every source has"}
		if got := reasonBeside(tc.unasked, x); (got == x.Reason) != tc.same || got == "" {
			t.Errorf("%s, %v: %q", tc.known, tc.unasked, got)
		}
	}
}
