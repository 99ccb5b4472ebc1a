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
	left = workloadmeta.Confirm(left, reports(running, running)[1])
	if len(left) != 1 || workloadmeta.Merge(left) != workloadmeta.Entity(running) {
		t.Errorf("after the other has looked again: %v", left)
	}
	left, alive = workloadmeta.Withdraw(reports(running, running), 0, running)
	if !alive || len(left) != 1 || left[0].Outdated {
		t.Errorf("a withdrawal that tells of no end makes one: %v", left)
	}
}
