package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/containerd"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/cri"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/podman"
	"github.com/rollcall-dev/rollcall/test/realnode"
	"go.uber.org/fx"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestEveryRuntimeGivesTheSameTags starts one image under Docker, containerd, containerd's CRI and
// Podman, side by side. The containers' tags are the same but for those that name the container,
// its pod or the runtime.
func TestEveryRuntimeGivesTheSameTags(t *testing.T) {
	realnode.Require(t)
	const name = "reg.example.test:5000/shop/web:1.4"
	const secret = "hunter2-of-all-runtimes"
	config := map[string]any{
		"Cmd": []string{"sleep", "1000"},
		"Env": []string{"PATH=/bin", "DD_SERVICE=web", "DD_VERSION=1.4",
			"IMAGE_PASSWORD=" + secret},
		"Labels": map[string]string{
			"org.opencontainers.image.revision": "4f1c2d", "team": "blue",
			"kubectl.kubernetes.io/last-applied-configuration": secret,
		},
	}
	d := realnode.StartDockerd(t)
	c := realnode.StartContainerd(t)
	p := realnode.StartPodman(t)
	k := realnode.StartContainerd(t) // another one, so that only the CRI reports its containers
	d.LoadImage(name, config)
	c.LoadImage("default", name, config)
	k.LoadImage("k8s.io", name, config)
	p.LoadImage(name, config)
	kube := k.CRI(t)

	a := newApp(t)
	log := a.logger()
	a.start(docker.Module, containerd.Module, cri.Module, podman.Module, fx.Supply(
		docker.Options{Host: d.Host, Log: log},
		containerd.Options{Address: c.Socket, Log: log},
		cri.Options{Socket: k.Socket, Log: log},
		podman.Options{Sockets: []string{p.Socket}, Log: log},
	))
	start := map[string]func() string{
		"docker": func() string {
			return d.Run("--name", "web", "-e", "DD_ENV=prod", "-e", "TOKEN="+secret, "--label",
				"com.datadoghq.ad.tags=[\"tier:front\"]", name)
		},
		"containerd": func() string {
			c.Run("default", "--env", "DD_ENV=prod", "--env", "TOKEN="+secret, "--label",
				"com.datadoghq.ad.tags=[\"tier:front\"]", name, "web")
			return "web"
		},
		"podman": func() string {
			return p.Run("--name", "web", "-e", "DD_ENV=prod", "-e", "TOKEN="+secret, "--label",
				"com.datadoghq.ad.tags=[\"tier:front\"]", name)
		},
		"cri": func() string {
			return kube.RunPod("shop", nil).Run("web", name, func(c *runtimeapi.ContainerConfig) {
				c.Envs = []*runtimeapi.KeyValue{{Key: "DD_ENV", Value: []byte("prod")},
					{Key: "TOKEN", Value: []byte(secret)}}
				c.Labels["com.datadoghq.ad.tags"] = `["tier:front"]`
				c.Annotations["kubectl.kubernetes.io/last-applied-configuration"] = secret
			})
		},
	}
	want := []string{
		"container_name:web", "env:prod", "git.commit.sha:4f1c2d",
		"image_name:reg.example.test:5000/shop/web", "image_tag:1.4",
		"service:web", "short_image:web", "tier:front", "version:1.4",
	}
	// A container of the CRI says itself which pod it is in.
	ofPod := []string{"kube_container_name:web", "kube_namespace:default", "pod_name:shop"}
	images := map[string]bool{}
	for _, runtime := range slices.Sorted(maps.Keys(start)) {
		id := start[runtime]()
		want := want
		if runtime == "cri" {
			want = slices.Sorted(slices.Values(slices.Concat(want, ofPod)))
		}
		eventually(t, func() string {
			tags, known, err := a.tagger.TagWithCompleteness(tagger.Container(id),
				tagger.HighCardinality)
			if err != nil || known < tagger.Partial {
				return fmt.Sprintf("%s: %s, %v", runtime, known, err)
			}
			var same []string
			for _, tag := range tags {
				switch key, value, _ := strings.Cut(tag, ":"); key {
				case "container_id", "docker_image": // they name the container and the runtime
				case "image_id":
					if runtime != "docker" || !d.ImagesInContainerd() {
						images[value] = true // else the ID is that of the image's index
					}
				default:
					same = append(same, tag)
				}
			}
			slices.Sort(same)
			return cmp.Diff(want, same)
		})
		container, err := a.store.GetContainer(id)
		if err != nil {
			t.Fatal(err)
		}
		name := map[string]workloadmeta.ContainerRuntime{"cri": "containerd"}[runtime]
		if name == "" {
			name = workloadmeta.ContainerRuntime(runtime)
		}
		if container.Runtime != name || container.PID == 0 ||
			container.State.Status != workloadmeta.StatusRunning || container.CgroupPath == "" ||
			container.Labels["team"] != "blue" {
			t.Errorf("%s: %+v", runtime, container)
		}
	}
	if len(images) != 1 {
		t.Errorf("one image has the IDs %v", slices.Sorted(maps.Keys(images)))
	}
	for id := range images {
		if i, err := a.store.GetContainerImage(id); err != nil ||
			!slices.Equal(i.RepoTags, []string{name}) || len(i.Layers) != 1 {
			t.Errorf("image = %+v, %v", i, err)
		}
	}
	a.expectNoSecret("hunter2")
}

// fromWho says who reports a container, the one whose word counts most first.
func fromWho(a *app, id string) string {
	var by []string
	reports, _ := a.store.Reports(containerID(id))
	for _, r := range reports {
		by = append(by, r.Name)
	}
	return strings.Join(by, " ")
}

// TestDockerAndItsContainerdReportOneContainer lets containerd report what Docker runs in it.
func TestDockerAndItsContainerdReportOneContainer(t *testing.T) {
	realnode.Require(t)
	d := realnode.StartDockerd(t)
	d.ImportImage("web:1")
	a := newApp(t)
	a.start(docker.Module, containerd.Module, fx.Supply(
		docker.Options{Host: d.Host, Log: a.logger()},
		containerd.Options{Address: d.Containerd.Socket, Namespaces: []string{"moby"},
			Log: a.logger()},
	))
	id := d.Run("--name", "web", "-e", "DD_ENV=prod", "web:1", "sleep", "1000")
	eventually(t, func() string {
		if by := fromWho(a, id); by != "docker containerd" {
			return "reported by " + by
		}
		return ""
	})
	c := a.expect(id, "start",
		func(c *workloadmeta.Container) bool { return c.PID != 0 && c.EnvVars["DD_ENV"] == "prod" })
	if c.Name != "web" || c.Runtime != workloadmeta.RuntimeDocker || c.Image.Name != "web" ||
		c.State.Status != workloadmeta.StatusRunning {
		t.Errorf("container = %+v", c)
	}
	a.expectTags(id, "container_name:web", "docker_image:web:1", "env:prod")
	a.heard(id)
	told := a.history(id)
	d.Docker("pause", "web")
	a.expect(id, "pause",
		func(c *workloadmeta.Container) bool { return c.State.Status == workloadmeta.StatusPaused })
	d.Docker("unpause", "web")
	a.expect(id, "unpause",
		func(c *workloadmeta.Container) bool {
			return c.State.Status == workloadmeta.StatusRunning
		})
	d.Docker("kill", "web")
	a.expectEnd(id, 137)
	for i, e := range a.toldOf(id) {
		if c := e.Entity.(*workloadmeta.Container); c.Name != "web" ||
			c.Runtime != workloadmeta.RuntimeDocker || strings.HasPrefix(c.Image.Name, "sha256") {
			// containerd may have been first to tell
			if i > 0 || c.Runtime != workloadmeta.RuntimeContainerd {
				t.Errorf("told %d times before and %s in all; event %d: %+v",
					strings.Count(told, "set"), a.history(id), i, c)
			}
		}
	}
	if h := a.history(id); strings.Count(h, "unset") != 1 {
		t.Errorf("one end was told as %s", h)
	}
}

// TestDockerAppearsBesideItsContainerd has containerd stand in for Docker until that can be asked:
// nobody is told that a container has ended because another collector reports it.
func TestDockerAppearsBesideItsContainerd(t *testing.T) {
	realnode.Require(t)
	d := realnode.StartDockerd(t)
	d.ImportImage("web:1")
	id := d.Run("--name", "web", "web:1", "sleep", "1000")
	later := filepath.Join(t.TempDir(), "docker.sock")
	a := newApp(t)
	a.start(docker.Module, containerd.Module, fx.Supply(
		docker.Options{Host: "unix://" + later, Log: a.logger()},
		collection.Options{RedetectEvery: time.Second},
		containerd.Options{Address: d.Containerd.Socket, Log: a.logger()},
	))
	reported := func(want string) {
		t.Helper()
		eventually(t, func() string {
			if by := fromWho(a, id); by != want {
				return "reported by " + by
			}
			return ""
		})
	}
	reported("containerd@moby")
	if err := os.Symlink(d.Socket, later); err != nil {
		t.Fatal(err)
	}
	reported("docker")
	a.heard(id)
	if h := a.history(id); strings.Contains(h, "unset") {
		t.Errorf("a container that runs was told: %s", h)
	}
}

// TestContainerdAndItsCRIReportOneContainer lets the CRI, which is polled, report what containerd
// tells by events.
func TestContainerdAndItsCRIReportOneContainer(t *testing.T) {
	realnode.Require(t)
	c := realnode.StartContainerd(t)
	kube := c.CRI(t)
	kube.ImportImage("reg.example.test/web:1", nil)
	a := newApp(t)
	a.start(containerd.Module, cri.Module, fx.Supply(
		containerd.Options{Address: c.Socket, Log: a.logger()},
		cri.Options{Socket: c.Socket, Log: a.logger()},
		collection.Options{PullPeriod: 200 * time.Millisecond},
	))
	pod := kube.RunPod("shop", nil)
	id := pod.Run("web", "reg.example.test/web:1", func(c *runtimeapi.ContainerConfig) {
		c.Annotations["io.kubernetes.container.ports"] = `[{"name":"http","containerPort":8080,"protocol":"TCP"}]`
	})
	eventually(t, func() string {
		if by := fromWho(a, id); by != "containerd cri" {
			return "reported by " + by
		}
		return ""
	})
	a.expect(id, "start", func(c *workloadmeta.Container) bool {
		return c.PID != 0 && c.Name == "web" && c.Namespace == "default" && len(c.Ports) == 1 &&
			c.Ports[0].Protocol == "tcp"
	})
	settled := ""
	eventually(t, func() string { // both have said all they know
		before := a.history(id)
		time.Sleep(time.Second) // five pulls
		if settled = a.history(id); settled != before {
			return "still changing: " + settled
		}
		return ""
	})
	before, err := a.store.GetContainer(id)
	if err != nil {
		t.Fatal(err)
	}
	kube.Kill(id)
	a.expect(id, "kill", func(c *workloadmeta.Container) bool {
		return c.State.Status == workloadmeta.StatusStopped && c.State.ExitCode != nil &&
			*c.State.ExitCode == 137
	})
	kube.Remove(id)
	a.expectEnd(id, 137)
	ended := false
	for _, e := range a.toldOf(id)[strings.Count(settled, "set"):] {
		c := e.Entity.(*workloadmeta.Container)
		if ended && c.State.Running {
			t.Errorf("a container that has ended runs again: %+v", c.State)
		}
		ended = ended || !c.State.Running
		if c.Name != before.Name || c.Namespace != before.Namespace || c.Image != before.Image ||
			len(c.Ports) != 1 {
			t.Errorf("its end (%s) has made it another:\n%s", e.Type, cmp.Diff(before, c))
		}
	}
}
