package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/cri"
	"github.com/rollcall-dev/rollcall/test/realnode"
	"github.com/rollcall-dev/rollcall/test/unprivileged"
	"go.uber.org/fx"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criApp is an application with the CRI collector. It pulls every 200 ms.
type criApp struct {
	*app
	collector *cri.Collector
}

// startCRI starts the application and waits until it is synced. It stops at the test's end.
func startCRI(t *testing.T, options cri.Options) *criApp {
	t.Helper()
	a := newApp(t)
	options.Log = a.logger()
	collector, err := cri.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return &criApp{a.start(
		fx.Provide(collection.AsCollector(func() *cri.Collector { return collector })),
		fx.Supply(collection.Options{PullPeriod: 200 * time.Millisecond,
			RedetectEvery: time.Second}),
	), collector}
}

// expectGone waits until subscribers have been told that the runtime has forgotten the container,
// and checks the exit code in the last view of it; -1 means that it may not be known.
func (a *criApp) expectGone(id string, code int64) {
	a.t.Helper()
	eventually(a.t, func() string {
		if events := a.toldOf(id); len(events) > 0 &&
			events[len(events)-1].Type == workloadmeta.EventTypeUnset {
			c := events[len(events)-1].Entity.(*workloadmeta.Container)
			if got := c.State.ExitCode; code >= 0 && (got == nil || *got != code) ||
				c.State.Running {
				return fmt.Sprintf("%s has gone with %+v", id, c.State)
			}
			return ""
		}
		return id + " has not gone"
	})
}

// pulls waits until the collector has pulled n times more, successfully or not.
func (a *criApp) pulls(n int) {
	a.t.Helper()
	first := a.collector.Stats().Pulls
	eventually(a.t, func() string {
		if now := a.collector.Stats().Pulls; now < first+n {
			return fmt.Sprintf("%d pulls of %d", now-first, n)
		}
		return ""
	})
}

func hasStopped(code int64) func(*workloadmeta.Container) bool {
	return func(c *workloadmeta.Container) bool {
		return c.State.Status == workloadmeta.StatusStopped && !c.State.Running && c.PID == 0 &&
			c.State.ExitCode != nil && *c.State.ExitCode == code &&
			!c.State.FinishedAt.IsZero()
	}
}

func runs(c *workloadmeta.Container) bool { return c.State.Running && c.PID != 0 }

func startNode(t *testing.T) (*realnode.Containerd, *realnode.CRI) {
	t.Helper()
	realnode.Require(t)
	c := realnode.StartContainerd(t)
	c.ImportImage("k8s.io", "example.test/web:1", "sleep", "1000000")
	return c, c.CRI(t)
}

func TestCRIContainersAreListedAndTaggedAtStart(t *testing.T) {
	c, kubelet := startNode(t)
	kubelet.UseNetwork()
	pod := kubelet.RunPod("shop-0", func(p *runtimeapi.PodSandboxConfig) {
		p.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_POD
	})
	web := pod.Run("web", "example.test/web:1", func(k *runtimeapi.ContainerConfig) {
		k.Envs = []*runtimeapi.KeyValue{{Key: "DD_SERVICE", Value: []byte("shop")},
			{Key: "DB_PASSWORD", Value: []byte("hunter2")}}
		k.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuPeriod: 100_000,
			CpuQuota: 50_000, MemoryLimitInBytes: 64 << 20}
	})
	waiting := pod.Create("waiting", "example.test/web:1", nil)
	failed := pod.Run("failed", "example.test/web:1", nil, "sh", "-c", "exit 3")
	kubelet.AwaitExit(failed)

	a := startCRI(t, cri.Options{Socket: c.Socket})
	// Synced means that everything has been asked for, so nothing needs to be waited for.
	k, err := a.store.GetContainer(web)
	if err != nil {
		t.Fatal(err)
	}
	if !runs(k) || k.Name != "web" || k.Namespace != "default" ||
		k.Runtime != workloadmeta.RuntimeContainerd || k.EnvVars["DD_SERVICE"] != "shop" ||
		k.Hostname != "shop-0" || !strings.HasPrefix(k.NetworkIPs["pod"], "10.231.") ||
		!strings.HasPrefix(k.NetworkIPv6s["pod"], "fd00:231:") ||
		k.Owner == nil || k.Owner.ID != "uid-of-shop-0" || k.Image.Name != "example.test/web" ||
		k.Image.Tag != "1" ||
		*k.Resources.CPULimit != 50 || *k.Resources.MemoryLimit != 64<<20 {
		t.Errorf("web = %+v", k)
	}
	if by, err := a.store.ContainerForPID(k.PID); err != nil || by.ID != web {
		t.Errorf("container of PID %d = %v, %v", k.PID, by, err)
	}
	if by, err := a.store.ContainerForInode(k.CgroupInode); err != nil || by.ID != web {
		t.Errorf("container of inode %d = %v, %v", k.CgroupInode, by, err)
	}
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", k.PID))
	if err != nil || !strings.Contains(string(cgroup), ":"+k.CgroupPath+"\n") {
		t.Errorf("cgroup %q is not in %s (%v)", k.CgroupPath, cgroup, err)
	}
	if k, err := a.store.GetContainer(waiting); err != nil ||
		k.State.Status != workloadmeta.StatusCreated {
		t.Errorf("waiting = %+v, %v", k, err)
	}
	if k, err := a.store.GetContainer(failed); err != nil || !hasStopped(3)(k) {
		t.Errorf("failed = %+v, %v", k, err)
	}
	if got := a.ids(); len(got) != 3 {
		t.Errorf("containers = %v", got)
	}
	// containerd 2.4 has streaming lists, 1.6 has not.
	a.pulls(2)
	stats := a.collector.Stats()
	streamed := stats.Calls["StreamContainers"] - stats.FailedCalls["StreamContainers"]
	if old := strings.HasPrefix(c.Version, "1."); old != (streamed == 0) ||
		old != (stats.Calls["ListContainers"] > 0) {
		t.Errorf("lists of containerd %s: %v, of which failed: %v", c.Version, stats.Calls,
			stats.FailedCalls)
	}
	if i, err := a.store.GetContainerImage(k.Image.ID); err != nil || i.OS != "linux" ||
		len(i.Layers) != 1 || i.SizeBytes == 0 {
		t.Errorf("image = %+v, %v", i, err)
	}
	a.expectTags(web, "container_id:"+web, "container_name:web", "image_name:example.test/web",
		"short_image:web", "image_tag:1", "service:shop")
}

func TestCRIChangesAreSeen(t *testing.T) {
	c, kubelet := startNode(t)
	a := startCRI(t, cri.Options{Socket: c.Socket})
	pod := kubelet.RunPod("web-0", nil)
	web := pod.Create("web", "example.test/web:1", nil)
	a.expect(web, "created", func(c *workloadmeta.Container) bool {
		return c.State.Status == workloadmeta.StatusCreated && c.PID == 0
	})
	kubelet.Start(web)
	before := a.expect(web, "started", runs)
	a.heard(web)
	told := a.history(web)
	calls := a.collector.Stats().Calls

	// Probes run all the time and change nothing.
	for range 5 {
		kubelet.Exec(web, "true")
	}
	a.pulls(3)
	if after, err := a.store.GetContainer(web); err != nil || after != before ||
		a.history(web) != told {
		t.Errorf("after exec in it: %+v, %v; told %s", after, err, a.history(web))
	}
	after := a.collector.Stats().Calls
	if after["ContainerStatus"] != calls["ContainerStatus"] ||
		after["PodSandboxStatus"] != calls["PodSandboxStatus"] {
		t.Errorf("exec has cost calls: %v, before %v", after, calls)
	}

	kubelet.Kill(web)
	a.expect(web, "killed", hasStopped(137))
	again := pod.Run("web", "example.test/web:1", func(k *runtimeapi.ContainerConfig) {
		k.Metadata.Attempt, k.Annotations["io.kubernetes.container.restartCount"] = 1, "1"
	})
	a.expect(again, "restarted",
		func(c *workloadmeta.Container) bool {
			return runs(c) && c.RestartCount == 1 &&
				c.Name == "web"
		})
	failed := pod.Run("failed", "example.test/web:1", nil, "sh", "-c", "exit 7")
	a.expect(failed, "ended by itself", hasStopped(7))
	done := pod.Run("done", "example.test/web:1", nil, "true")
	a.expect(done, "done", hasStopped(0))

	kubelet.Remove(web)
	a.expectGone(web, 137)
	pod.Remove()
	a.expectGone(again, -1) // killed and removed at once: perhaps nobody has seen how it ended
	a.expectGone(failed, 7)
	if got := a.ids(); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

func TestCRIOutOfMemory(t *testing.T) {
	c, kubelet := startNode(t)
	if err := realnode.OOM(); err != nil {
		t.Skip(err)
	}
	a := startCRI(t, cri.Options{Socket: c.Socket})
	id := kubelet.RunPod("oom", nil).Run("oom", "example.test/web:1",
		func(k *runtimeapi.ContainerConfig) {
			k.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 16 << 20}
		}, "sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done")
	a.expect(id, "out of memory",
		func(c *workloadmeta.Container) bool { return hasStopped(137)(c) && c.State.OOMKilled })
}

func TestCRIImagesAreSeen(t *testing.T) {
	c, kubelet := startNode(t)
	a := startCRI(t, cri.Options{Socket: c.Socket, ImagePeriod: 200 * time.Millisecond})
	tags := func(id string, want ...string) {
		t.Helper()
		eventually(t, func() string {
			i, err := a.store.GetContainerImage(id)
			if want == nil && err != nil || err == nil && slices.Equal(i.RepoTags, want) {
				return ""
			}
			return fmt.Sprintf("image %s: %+v, %v; want tags %v", id, i, err, want)
		})
	}
	kubelet.ImportImage("example.test/moving:1", map[string]any{"author": "first"})
	var first string
	eventually(t, func() string {
		for e := range a.store.List(workloadmeta.KindContainerImage) {
			if i := e.(*workloadmeta.ContainerImageMetadata); i.Name == "example.test/moving:1" {
				first = i.ID
				return ""
			}
		}
		return "the image is not seen"
	})
	tags(first, "example.test/moving:1")
	if i, err := a.store.GetContainerImage(first); err != nil || i.OS != "linux" ||
		!strings.HasPrefix(i.ID, "sha256:") {
		t.Errorf("%+v, %v", i, err)
	}
	c.Ctr("k8s.io", "images", "tag", "example.test/moving:1", "example.test/moving:2")
	tags(first, "example.test/moving:1", "example.test/moving:2")
	c.Ctr("k8s.io", "images", "rm", "example.test/moving:1")
	tags(first, "example.test/moving:2")
	if _, err := kubelet.Images.RemoveImage(t.Context(),
		&runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: first}}); err != nil {
		t.Fatal(err)
	}
	tags(first)

	// With the default period an image is seen with its first container.
	b := startCRI(t, cri.Options{Socket: c.Socket})
	kubelet.ImportImage("example.test/fresh:1", map[string]any{"author": "second"})
	id := kubelet.RunPod("fresh", nil).Run("fresh", "example.test/fresh:1", nil)
	k := b.expect(id, "container of a new image", runs)
	if i, err := b.store.GetContainerImage(k.Image.ID); err != nil ||
		i.Name != "example.test/fresh:1" || k.Image.Name != "example.test/fresh" {
		t.Errorf("%+v, %v; %+v", i, err, k.Image)
	}
}

// TestCRIContainerdKilledAndRestarted has containers end and go while nobody answers.
func TestCRIContainerdKilledAndRestarted(t *testing.T) {
	c, kubelet := startNode(t)
	pod := kubelet.RunPod("web-0", nil)
	stays, dies := pod.Run("stays", "example.test/web:1", nil), pod.Run("dies",
		"example.test/web:1", nil)
	a := startCRI(t, cri.Options{Socket: c.Socket})
	before, err := a.store.GetContainer(stays)
	if err != nil {
		t.Fatal(err)
	}
	dying, err := a.store.GetContainer(dies)
	if err != nil {
		t.Fatal(err)
	}
	a.heard(stays)
	told := a.history(stays)

	c.Kill()
	if err := syscall.Kill(dying.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a.pulls(3)
	if got := a.ids(); len(got) != 2 {
		t.Errorf("a runtime that is gone has cost us containers: %v", got)
	}
	eventually(t, func() string {
		for _, s := range a.runs.Status() {
			if s.ID == "cri" && strings.Contains(s.LastError, c.Socket) &&
				!strings.Contains(s.LastError, "rpc error") {
				return ""
			}
		}
		return fmt.Sprintf("status = %+v", a.runs.Status())
	})
	c.Restart()
	fresh := pod.Run("fresh", "example.test/web:1", nil)
	a.expect(fresh, "started after the restart", runs)
	code, ended := int64(137), hasStopped(137)
	// since version 2 containerd does not know the code then
	if !strings.HasPrefix(c.Version, "1.") {
		code, ended = -1, func(k *workloadmeta.Container) bool {
			return k.State.Status == workloadmeta.StatusStopped && k.State.ExitCode == nil &&
				!k.State.FinishedAt.IsZero()
		}
	}
	a.expect(dies, "ended in the gap", ended)
	if after, err := a.store.GetContainer(stays); err != nil || !after.Equal(before) ||
		a.history(stays) != told {
		t.Errorf("what has not changed was told %s: %+v, %v", a.history(stays), after, err)
	}

	// Removed in the next gap, by somebody who does not ask the CRI.
	c.Restart()
	kubelet.Remove(dies)
	a.expectGone(dies, code)
}

// TestCRISocketReplaced has another runtime take over the path.
func TestCRISocketReplaced(t *testing.T) {
	one, first := startNode(t)
	two, second := startNode(t)
	path := filepath.Join(t.TempDir(), "cri.sock")
	if err := os.Symlink(one.Socket, path); err != nil {
		t.Fatal(err)
	}
	old := first.RunPod("old", nil).Run("old", "example.test/web:1", nil)
	renewed := second.RunPod("new", nil).Run("new", "example.test/web:1", nil)
	a := startCRI(t, cri.Options{Socket: path})
	a.expect(old, "at first", runs)
	next := path + ".next"
	if err := os.Symlink(two.Socket, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	a.expect(renewed, "after the socket was replaced", runs)
	eventually(t, func() string {
		if got := a.ids(); !slices.Equal(got, []string{renewed}) {
			return fmt.Sprint(got)
		}
		return ""
	})
}

func TestCRIFrozen(t *testing.T) {
	c, kubelet := startNode(t)
	id := kubelet.RunPod("web", nil).Run("web", "example.test/web:1", nil)
	a := startCRI(t, cri.Options{Socket: c.Socket, CallTimeout: 500 * time.Millisecond})
	k := a.expect(id, "start", runs)
	c.Freeze()
	if err := syscall.Kill(k.PID, syscall.SIGKILL); err != nil { // it ends while the runtime sleeps
		t.Fatal(err)
	}
	a.trouble("cri", "no answer within 500ms")
	a.pulls(3)
	if _, err := a.store.GetContainer(id); err != nil {
		t.Errorf("a silent runtime has cost us a container: %v", err)
	}
	a.expectTags(id, "container_name:web")
	c.Thaw()
	a.expect(id, "ended meanwhile", hasStopped(137))

	a.close()
	later := startCRI(t, cri.Options{Socket: c.Socket, CallTimeout: time.Hour})
	c.Freeze()
	later.close() // waits for no call
	c.Thaw()
}

// It needs no runtime, only a socket that may not be opened.
func TestCRIPermissionDenied(t *testing.T) { unprivileged.Run(t, testCRIPermissionDenied) }

func testCRIPermissionDenied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cri.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // at the test's end
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	a := startCRI(t, cri.Options{Socket: path})
	for _, s := range a.runs.Status() {
		if s.ID == "cri" &&
			(s.LastError != "" || s.Cause != workloadmeta.CauseDenied ||
				!strings.Contains(s.Reason, path) || s.Hint == "") {
			t.Errorf("status = %+v", s)
		}
	}
}

// TestCRISecretsStayOut plants secrets where CRI has them in clear and looks for them in everything
// that can be asked for.
func TestCRISecretsStayOut(t *testing.T) {
	c, kubelet := startNode(t)
	const secret = "hunter2-of-the-environment"
	kubelet.ImportImage("example.test/secret:1", map[string]any{
		"config": map[string]any{"Cmd": []string{"sleep", "1000"},
			"Env": []string{"PATH=/bin", "IMAGE_SECRET=" + secret}},
		"history": []map[string]any{{"created_by": "RUN |1 TOKEN=" + secret + " /bin/sh -c make"}},
	})
	a := startCRI(t, cri.Options{Socket: c.Socket})
	pod := kubelet.RunPod("secret", func(p *runtimeapi.PodSandboxConfig) {
		p.Annotations = map[string]string{
			"kubectl.kubernetes.io/last-applied-configuration": secret}
	})
	id := pod.Run("secret", "example.test/secret:1", func(k *runtimeapi.ContainerConfig) {
		k.Envs = []*runtimeapi.KeyValue{{Key: "DB_PASSWORD", Value: []byte(secret)},
			{Key: "DD_ENV", Value: []byte("prod")}, {Key: "DD_API_KEY", Value: []byte(secret)}}
		k.Annotations["kubectl.kubernetes.io/last-applied-configuration"] = secret
	}, "sleep", "1000")
	a.expect(id, "start",
		func(c *workloadmeta.Container) bool { return runs(c) && c.EnvVars["DD_ENV"] == "prod" })
	a.expectTags(id, "env:prod")
	pod.Remove()
	a.expectGone(id, -1)
	a.expectNoSecret("hunter2")
	if text := fmt.Sprint(a.collector.Stats()); strings.Contains(text, "hunter2") {
		t.Errorf("the secret is in %s", text)
	}
}
