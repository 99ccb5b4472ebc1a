package workloadmeta_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func at(s int) time.Time { return time.Unix(1_800_000_000+int64(s), 0).UTC() }

func reported(edit func(*workloadmeta.Container)) *workloadmeta.Container {
	c := &workloadmeta.Container{EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer,
		ID: "a"}}
	edit(c)
	return c
}

// reports are live reports of reporters of one source, the strongest first.
func reports(entities ...workloadmeta.Entity) []workloadmeta.Report {
	var out []workloadmeta.Report
	for i, e := range entities {
		out = append(out, workloadmeta.NewReport(&workloadmeta.Reporter{Name: "r",
			Source: workloadmeta.SourceRuntime, Rank: 9 - i}, e, at(0)))
	}
	return out
}

// combine merges reports of reporters of one source who are all live.
func combine(entities ...workloadmeta.Entity) workloadmeta.Entity {
	return workloadmeta.Merge(reports(entities...))
}

func TestMergeTakesWhatBelongsTogetherFromOneReporter(t *testing.T) {
	code := int64(3)
	docker := reported(func(c *workloadmeta.Container) {
		c.Name, c.Runtime = "web", "docker"
		c.Labels = map[string]string{"team": "blue"}
		c.Image = workloadmeta.ContainerImage{ID: "sha256:1", Name: "app", RawName: "app"}
		c.NetworkIPs = map[string]string{"bridge": "172.17.0.2"}
		c.Ports = []workloadmeta.ContainerPort{{Port: 80, Protocol: "tcp", HostPort: 8080}}
		c.State = workloadmeta.ContainerState{Status: workloadmeta.StatusStopped, ExitCode: &code,
			FinishedAt: at(9)}
	})
	containerd := reported(func(c *workloadmeta.Container) {
		c.Name, c.Runtime, c.CgroupPath, c.PID = "a", "containerd", "/docker/a", 42
		c.Labels = map[string]string{"team": "red", "com.docker/engine": "1"}
		c.Image = workloadmeta.ContainerImage{ID: "sha256:2", Name: "other", Tag: "latest",
			RepoDigest: "sha256:3"}
		c.NetworkIPs = map[string]string{"": "172.17.0.2"}
		c.Ports = []workloadmeta.ContainerPort{{Port: 80, Protocol: "TCP"}}
		c.State = workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning,
			CreatedAt: at(0), StartedAt: at(1)}
	})
	want := reported(func(c *workloadmeta.Container) {
		c.Name, c.Runtime, c.CgroupPath = "web", "docker", "/docker/a"
		c.Labels = map[string]string{"team": "blue", "com.docker/engine": "1"}
		c.Image = workloadmeta.ContainerImage{ID: "sha256:1", Name: "app", RawName: "app",
			RepoDigest: "sha256:3"}
		c.NetworkIPs = docker.NetworkIPs
		c.Ports = docker.Ports
		c.State = workloadmeta.ContainerState{Status: workloadmeta.StatusStopped, ExitCode: &code,
			FinishedAt: at(9), CreatedAt: at(0), StartedAt: at(1)}
	})
	got := combine(docker, containerd)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if one := combine(docker); one != docker {
		t.Error("a single report is copied")
	}
	// Who has lost the connection knows who it is, and not how it does.
	dockerAway := reports(docker, containerd)
	dockerAway[0].State = workloadmeta.Away
	lost := workloadmeta.Merge(dockerAway).(*workloadmeta.Container)
	if lost.Name != "web" || lost.Runtime != "docker" || lost.Image.Name != "app" ||
		!lost.State.Running || lost.PID != 42 ||
		lost.NetworkIPs[""] != "172.17.0.2" || len(lost.NetworkIPs) != 1 {
		t.Errorf("with docker's connection lost: %+v", lost)
	}
	unsure := reported(func(c *workloadmeta.Container) {
		c.State.Status = workloadmeta.StatusUnknown
	})
	if c := combine(unsure, containerd).(*workloadmeta.Container); !c.State.Running || c.PID != 42 {
		t.Errorf("who knows nothing of the state wins: %+v", c.State)
	}
}

func TestMergedImagesMixNoLayers(t *testing.T) {
	image := func(size int64, tag string, digests ...string) *workloadmeta.ContainerImageMetadata {
		i := &workloadmeta.ContainerImageMetadata{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: "sha256:1"}}
		i.RepoTags, i.SizeBytes = []string{tag}, size
		for _, d := range digests {
			i.Layers = append(i.Layers, workloadmeta.ContainerImageLayer{Digest: d})
		}
		return i
	}
	got := combine(image(0, "a:1"), image(5, "b:1", "unpacked"), image(3, "c:1", "compressed"))
	want := image(5, "a:1", "unpacked")
	want.RepoTags = []string{"a:1", "b:1", "c:1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnEndBeatsWhoHasNotLookedSince(t *testing.T) {
	code := int64(0)
	running := reported(func(c *workloadmeta.Container) {
		c.Name, c.PID = "web", 42
		c.State = workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning,
			StartedAt: at(1)}
	})
	end := reported(func(c *workloadmeta.Container) {
		c.State = workloadmeta.ContainerState{Status: workloadmeta.StatusStopped, ExitCode: &code,
			FinishedAt: at(9)}
	})
	end.Image.RepoDigest = "sha256:1" // which only the stronger one knew
	want := reported(func(c *workloadmeta.Container) {
		c.Name, c.Image.RepoDigest = "web", "sha256:1"
		c.State = workloadmeta.ContainerState{Status: workloadmeta.StatusStopped, ExitCode: &code,
			FinishedAt: at(9), StartedAt: at(1)}
	})
	left, alive := workloadmeta.Withdraw(reports(running, running), 0, end)
	if !alive || len(left) != 2 || left[0].State != workloadmeta.Done || !left[1].Outdated {
		t.Fatalf("after the end: %v, alive %v", left, alive)
	}
	if diff := cmp.Diff(want, workloadmeta.Merge(left)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// Who tells of the dead process again has not looked, whatever it says besides.
	again := func(change func(*workloadmeta.Container)) *workloadmeta.Container {
		c := *running
		change(&c)
		return &c
	}
	for name, c := range map[string]*workloadmeta.Container{
		"the same":          running,
		"another name":      again(func(c *workloadmeta.Container) { c.Name = "web" }),
		"no start":          again(func(c *workloadmeta.Container) { c.State.StartedAt = time.Time{} }),
		"begun at its end":  again(func(c *workloadmeta.Container) { c.State.StartedAt = at(9) }),
		"begun before that": again(func(c *workloadmeta.Container) { c.State.StartedAt = at(8) }),
	} {
		same := workloadmeta.Confirm(left, reports(running, c)[1])
		if len(same) != 2 || !same[1].Outdated ||
			workloadmeta.Merge(same).(*workloadmeta.Container).State.Running {
			t.Errorf("%s: the dead process brings it back: %v", name, same)
		}
	}
	for name, c := range map[string]*workloadmeta.Container{
		"another process":  again(func(c *workloadmeta.Container) { c.PID = 43 }),
		"begun since":      again(func(c *workloadmeta.Container) { c.State.StartedAt = at(10) }),
		"its end, as well": end,
	} {
		if looked := workloadmeta.Confirm(left, reports(running, c)[1]); len(looked) != 1 ||
			workloadmeta.Merge(looked) != workloadmeta.Entity(c) {
			t.Errorf("%s: after the other has looked again: %v", name, looked)
		}
	}
	// Where nobody tells of processes or times, saying it again is all that there is.
	plain := reported(func(c *workloadmeta.Container) { c.State.Running = true })
	ended, _ := workloadmeta.Withdraw(reports(plain, plain), 0, end)
	if looked := workloadmeta.Confirm(ended, reports(plain, plain)[1]); len(looked) != 1 ||
		looked[0].Outdated {
		t.Errorf("without process and start: %v", looked)
	}
	left, alive = workloadmeta.Withdraw(reports(running, running), 0, running)
	if !alive || len(left) != 1 || left[0].Outdated {
		t.Errorf("a withdrawal that tells of no end makes one: %v", left)
	}
}

// Of two reporters that disagree on what is observed, it is the state of their reports that counts
// first, and then who is stronger.
func TestWhoseObservationCounts(t *testing.T) {
	type state struct {
		state    workloadmeta.ReportState
		outdated bool
		ended    bool
	}
	worth := [][]state{ // the most first
		{{workloadmeta.Live, false, false}, {workloadmeta.Live, false, true}},
		{{workloadmeta.Done, false, true}, {workloadmeta.Done, true, true}},
		{{workloadmeta.Live, true, false}, {workloadmeta.Live, true, true},
			{workloadmeta.Done, false, false}},
		{{workloadmeta.Away, false, false}, {workloadmeta.Away, true, true}},
	}
	for i, strong := range worth {
		for j, weak := range worth {
			for _, s := range strong {
				for _, w := range weak {
					var entities []workloadmeta.Entity
					for n, of := range []state{s, w} {
						entities = append(entities, reported(func(c *workloadmeta.Container) {
							c.RestartCount, c.State.Running = n, !of.ended
							if of.ended {
								c.State.Status = workloadmeta.StatusStopped
							}
						}))
					}
					all := reports(entities...)
					all[0].State, all[0].Outdated = s.state, s.outdated
					all[1].State, all[1].Outdated = w.state, w.outdated
					want := 0
					if j < i {
						want = 1
					}
					got := workloadmeta.Merge(all).(*workloadmeta.Container)
					if got.RestartCount != want {
						t.Errorf("strong %+v and weak %+v: %d counts", s, w, got.RestartCount)
					}
				}
			}
		}
	}
}

func TestHasEnded(t *testing.T) {
	code := int64(0)
	pod := func(phase string, finished time.Time) workloadmeta.Entity {
		return &workloadmeta.KubernetesPod{Phase: phase, FinishedAt: finished}
	}
	for name, test := range map[string]struct {
		e     workloadmeta.Entity
		ended bool
	}{
		"a container that runs": {reported(func(c *workloadmeta.Container) {
			c.State.Running, c.State.Status = true, workloadmeta.StatusRunning
		}), false},
		"one that has stopped": {reported(func(c *workloadmeta.Container) {
			c.State.Status = workloadmeta.StatusStopped
		}), true},
		"one with an exit code": {reported(func(c *workloadmeta.Container) {
			c.State.ExitCode = &code
		}), true},
		"one that runs again": {reported(func(c *workloadmeta.Container) {
			c.State.ExitCode, c.State.Running = &code, true
		}), false},
		"one of which no more":   {reported(func(*workloadmeta.Container) {}), false},
		"a pod that runs":        {pod("Running", time.Time{}), false},
		"one that succeeded":     {pod("Succeeded", time.Time{}), true},
		"one that failed":        {pod("Failed", time.Time{}), true},
		"one that has an end":    {pod("Running", at(0)), true},
		"what has no known ends": {&workloadmeta.Host{}, false},
	} {
		if workloadmeta.HasEnded(test.e) != test.ended {
			t.Errorf("%s has ended: %v", name, !test.ended)
		}
	}
}

func TestReportersAreOrderedByRankThenName(t *testing.T) {
	order := []*workloadmeta.Reporter{
		{Name: "kubelet", Source: workloadmeta.SourceNodeOrchestrator},
		{Name: "z", Source: workloadmeta.SourceRuntime, Rank: 2},
		{Name: "a", Source: workloadmeta.SourceRuntime, Rank: 1},
		{Name: "b", Source: workloadmeta.SourceRuntime, Rank: 1},
	}
	for i, a := range order {
		for j, b := range order {
			copied := *b // the same reporter need not be the same pointer
			if got := workloadmeta.CompareReporters(a, &copied); max(-1, min(got, 1)) !=
				max(-1, min(i-j, 1)) {
				t.Errorf("%v and %v compare as %d", a, b, got)
			}
		}
		var all []workloadmeta.Report
		for _, r := range order {
			all = append(all, workloadmeta.NewReport(r, nil, at(0)))
		}
		copied := *a
		if where, found := workloadmeta.FindReport(all, &copied); where != i || !found {
			t.Errorf("%v is found at %d, %v", a, where, found)
		}
	}
}

func TestReportStatesAsText(t *testing.T) {
	for state, want := range []string{"live", "away", "done"} {
		s := workloadmeta.ReportState(state)
		text, err := s.MarshalText()
		var again workloadmeta.ReportState
		if err != nil || string(text) != want || again.UnmarshalText(text) != nil || again != s {
			t.Errorf("state %d is %q, which is %v", state, text, again)
		}
	}
	unknown := workloadmeta.ReportState(3)
	if err := unknown.UnmarshalText([]byte(unknown.String())); err == nil {
		t.Error("a state that there is not was read")
	}
}
