package e2e

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/containerd"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/cri"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/podman"
	"github.com/rollcall-dev/rollcall/test/realnode"
	"go.uber.org/fx"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestEveryRuntimeGivesTheSameTags starts one image under Docker, containerd, containerd's CRI and Podman, side by side. The
// containers' tags are the same but for those that name the container or the runtime.
func TestEveryRuntimeGivesTheSameTags(t *testing.T) {
	realnode.Require(t)
	const name = "reg.example.test:5000/shop/web:1.4"
	const secret = "hunter2-of-all-runtimes"
	config := map[string]any{
		"Cmd": []string{"sleep", "1000"},
		"Env": []string{"PATH=/bin", "DD_SERVICE=web", "DD_VERSION=1.4", "IMAGE_PASSWORD=" + secret},
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

	quiet := slog.New(slog.DiscardHandler)
	a := startApp(t, docker.Module, containerd.Module, cri.Module, podman.Module, fx.Supply(
		docker.Options{Host: d.Host, Log: quiet},
		containerd.Options{Address: c.Socket, Log: quiet},
		cri.Options{Socket: k.Socket, Log: quiet},
		podman.Options{Sockets: []string{p.Socket}, Log: quiet},
	))
	start := map[string]func() string{
		"docker": func() string {
			return d.Run("--name", "web", "-e", "DD_ENV=prod", "-e", "TOKEN="+secret, "--label", "com.datadoghq.ad.tags=[\"tier:front\"]", name)
		},
		"containerd": func() string {
			c.Run("default", "--env", "DD_ENV=prod", "--env", "TOKEN="+secret, "--label", "com.datadoghq.ad.tags=[\"tier:front\"]", name, "web")
			return "web"
		},
		"podman": func() string {
			return p.Run("--name", "web", "-e", "DD_ENV=prod", "-e", "TOKEN="+secret, "--label", "com.datadoghq.ad.tags=[\"tier:front\"]", name)
		},
		"cri": func() string {
			return kube.RunPod("shop", nil).Run("web", name, func(c *runtimeapi.ContainerConfig) {
				c.Envs = []*runtimeapi.KeyValue{{Key: "DD_ENV", Value: []byte("prod")}, {Key: "TOKEN", Value: []byte(secret)}}
				c.Labels["com.datadoghq.ad.tags"] = `["tier:front"]`
				c.Annotations["kubectl.kubernetes.io/last-applied-configuration"] = secret
			})
		},
	}
	want := []string{
		"container_name:web", "env:prod", "git.commit.sha:4f1c2d", "image_name:reg.example.test:5000/shop/web", "image_tag:1.4",
		"service:web", "short_image:web", "tier:front", "version:1.4",
	}
	images := map[string]bool{}
	for _, runtime := range slices.Sorted(maps.Keys(start)) {
		id := start[runtime]()
		eventually(t, 20*time.Second, func() string {
			tags, known, err := a.tagger.TagWithCompleteness(tagger.Container(id), tagger.HighCardinality)
			if err != nil || known < tagger.Partial {
				return fmt.Sprintf("%s: %s, %v", runtime, known, err)
			}
			var same []string
			for _, tag := range tags {
				switch key, value, _ := strings.Cut(tag, ":"); key {
				case "container_id", "docker_image": // they name the container and the runtime
				case "image_id":
					images[value] = true
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
		if container.Runtime != name || container.PID == 0 || container.State.Status != workloadmeta.StatusRunning || container.CgroupPath == "" ||
			container.Labels["team"] != "blue" {
			t.Errorf("%s: %+v", runtime, container)
		}
	}
	if len(images) != 1 {
		t.Errorf("one image has the IDs %v", slices.Sorted(maps.Keys(images)))
	}
	for id := range images {
		if i, err := a.store.GetContainerImage(id); err != nil || !slices.Equal(i.RepoTags, []string{name}) || len(i.Layers) != 1 {
			t.Errorf("image = %+v, %v", i, err)
		}
	}
	a.expectNoSecret("hunter2")
}
