package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/test/realnode"
	"go.uber.org/fx"
)

// dockerApp is an application with the Docker collector.
type dockerApp struct {
	*app
	docker *realnode.Dockerd
}

// startDocker starts the application on a daemon and waits until it is synced. It stops at the
// test's end.
func startDocker(t *testing.T, d *realnode.Dockerd, options docker.Options) *dockerApp {
	t.Helper()
	options.Host = d.Host
	a := newApp(t)
	options.Log = a.logger()
	return &dockerApp{a.start(docker.Module, fx.Supply(options)), d}
}

// expectSame waits until the store has exactly the containers that run.
func (a *dockerApp) expectSame() {
	a.t.Helper()
	eventually(a.t, func() string {
		want := strings.Fields(a.docker.Docker("ps", "-q", "--no-trunc"))
		slices.Sort(want)
		if got := a.ids(); !slices.Equal(got, want) {
			return fmt.Sprintf("the store has %d containers, the daemon %d:\n%s\n%s", len(got),
				len(want), got, want)
		}
		return ""
	})
}

func TestDockerContainersAreListedAndTaggedAtStart(t *testing.T) {
	d := node.Dockerd(t)
	d.RemoveContainers()
	image := d.ImportImage("reg.example.test:5000/shop/web:1", "LABEL team=blue")
	one := d.Run("--name", "one", "-e", "DD_ENV=prod", "reg.example.test:5000/shop/web:1", "sleep",
		"1000")
	two := d.Run("--name", "two", "--memory", "64m", "--cpus", "0.5",
		"reg.example.test:5000/shop/web:1", "sleep", "1000")
	d.Docker("pause", "two")
	stopped := d.Run("--name", "stopped", "reg.example.test:5000/shop/web:1", "true")
	eventually(t, func() string {
		if state := d.Docker("inspect", "-f", "{{.State.Status}}", stopped); state != "exited" {
			return state
		}
		return ""
	})

	a := startDocker(t, d, docker.Options{})
	// Synced means that everything has been inspected, so nothing needs to be waited for.
	c, err := a.store.GetContainer(one)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "one" || c.Labels["team"] != "blue" || c.EnvVars["DD_ENV"] != "prod" ||
		c.PID == 0 || c.Image.ID != image ||
		c.Image.Name != "reg.example.test:5000/shop/web" || c.Image.Tag != "1" ||
		c.State.Status != workloadmeta.StatusRunning ||
		c.Hostname != one[:12] || !strings.Contains(c.CgroupPath, one) {
		t.Errorf("one = %+v", c)
	}
	if by, err := a.store.ContainerForPID(c.PID); err != nil || by.ID != one {
		t.Errorf("container of PID %d = %v, %v", c.PID, by, err)
	}
	if by, err := a.store.ContainerForInode(c.CgroupInode); err != nil || by.ID != one {
		t.Errorf("container of inode %d = %v, %v", c.CgroupInode, by, err)
	}
	if c, err := a.store.GetContainer(two); err != nil ||
		c.State.Status != workloadmeta.StatusPaused || *c.Resources.MemoryLimit != 64<<20 ||
		*c.Resources.CPULimit != 50 {
		t.Errorf("two = %+v, %v", c, err)
	}
	if got := a.ids(); len(got) != 2 {
		t.Errorf("containers = %v", got)
	}
	if i, err := a.store.GetContainerImage(image); err != nil || i.OS != "linux" ||
		len(i.Layers) != 1 || i.Layers[0].Digest == "" || len(i.RepoTags) != 1 {
		t.Errorf("image = %+v, %v", i, err)
	}
	a.expectTags(one, "container_name:one", "container_id:"+one,
		"image_name:reg.example.test:5000/shop/web", "short_image:web", "image_tag:1",
		"env:prod")
	a.expectTags(two, "container_name:two")
}

func TestTwoDockersSideBySide(t *testing.T) {
	one := node.Dockerd(t)
	two := realnode.StartDockerd(t)
	one.RemoveContainers()
	one.ImportImage("web:1")
	two.ImportImage("web:1")
	a := newApp(t)
	a.start(docker.Module, fx.Supply(docker.Options{Hosts: []string{one.Host, two.Host},
		Log: a.logger()}))
	// The same name on both, and no word of one about what the other has.
	first := one.Run("--name", "web", "web:1", "sleep", "1000")
	second := two.Run("--name", "web", "web:1", "sleep", "1000")
	for id, reporter := range map[string]string{first: "docker", second: "docker@" + two.Socket} {
		a.expect(id, "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
		a.expectTags(id, "container_name:web", "container_id:"+id)
		reports, _ := a.store.Reports(containerID(id))
		if len(reports) != 1 || reports[0].Name != reporter {
			t.Errorf("%s is reported by %+v, want %s", id, reports, reporter)
		}
	}
	state := func(of, want string) {
		t.Helper()
		eventually(t, func() string {
			for _, s := range a.runs.Status() {
				if s.ID == of && string(s.State) == want {
					return ""
				}
			}
			return fmt.Sprintf("%s is not %s: %+v", of, want, a.runs.Status())
		})
	}
	state("docker", "live")
	state("docker@"+two.Socket, "live")
	// What becomes of one daemon is nothing to the other.
	two.Kill()
	state("docker@"+two.Socket, "degraded")
	state("docker", "live")
	one.Docker("kill", "web")
	a.expectEnd(first, 137)
	if got := a.ids(); !slices.Equal(got, []string{second}) {
		t.Errorf("containers = %v, want that of the daemon that is away", got)
	}
	two.Restart()
	state("docker@"+two.Socket, "live")
	two.Docker("rm", "--force", "web")
	eventually(t, func() string { return a.notEnded(second) })
}

func TestDockerChangesAreSeen(t *testing.T) {
	d := node.Dockerd(t)
	d.RemoveContainers()
	d.ImportImage("web:1")
	a := startDocker(t, d, docker.Options{})

	id := d.Run("--name", "web", "--health-cmd", "test ! -e /sick", "--health-interval", "200ms",
		"--health-retries", "1", "web:1", "sleep", "1000")
	a.expect(id, "start",
		func(c *workloadmeta.Container) bool { return c.Name == "web" && c.PID != 0 })
	a.expectTags(id, "container_name:web")
	a.expect(id, "healthy",
		func(c *workloadmeta.Container) bool {
			return c.State.Health == workloadmeta.HealthHealthy
		})
	d.Docker("exec", "web", "sh", "-c", "echo > /sick")
	a.expect(id, "unhealthy",
		func(c *workloadmeta.Container) bool {
			return c.State.Health == workloadmeta.HealthUnhealthy
		})
	d.Docker("rename", "web", "front")
	a.expect(id, "rename", func(c *workloadmeta.Container) bool { return c.Name == "front" })
	a.expectTags(id, "container_name:front")
	d.Docker("pause", "front")
	a.expect(id, "pause", func(c *workloadmeta.Container) bool {
		return c.State.Status == workloadmeta.StatusPaused && c.State.Running &&
			c.State.Health == workloadmeta.HealthUnknown
	})
	d.Docker("unpause", "front")
	a.expect(id, "unpause",
		func(c *workloadmeta.Container) bool {
			return c.State.Status == workloadmeta.StatusRunning
		})
	d.Docker("update", "--memory", "48m", "--memory-swap", "96m", "front")
	a.expect(id, "update", func(c *workloadmeta.Container) bool {
		return c.Resources.MemoryLimit != nil && *c.Resources.MemoryLimit == 48<<20
	})
	d.Docker("kill", "front")
	a.expectEnd(id, 137)
	if _, err := a.store.GetContainer(id); err == nil {
		t.Error("the container is in the store after its end")
	}
	if _, c := a.last(id); c.Name != "front" || c.State.Running || c.State.FinishedAt.IsZero() {
		t.Errorf("last state = %+v", c)
	}
	a.expectTags(id, "container_name:front") // for the grace time

	d.Docker("start", "front")
	a.expect(id, "start again",
		func(c *workloadmeta.Container) bool { return c.PID != 0 && c.State.ExitCode == nil })
	d.Docker("rm", "-f", "front") // kill, die and destroy in one
	a.expectEnd(id, 137)

	die := d.Run("web:1", "sh", "-c", "sleep 0.2; exit 7")
	a.expectEnd(die, 7)

	crash := d.Run("--restart", "on-failure:2", "web:1", "sh", "-c", "sleep 0.1; exit 3")
	a.expectEnd(crash, 3) // after the last try
	if h := a.history(crash); strings.Count(h, "unset") != 1 {
		t.Errorf("a container that was restarted twice was told: %s", h)
	}
	if _, c := a.last(crash); c.RestartCount != 2 {
		t.Errorf("restart count = %d", c.RestartCount)
	}
	a.expectSame()
}

func TestDockerOutOfMemory(t *testing.T) {
	d := node.Dockerd(t)
	if err := realnode.OOM(); err != nil {
		t.Skip(err)
	}
	d.RemoveContainers()
	d.ImportImage("web:1")
	a := startDocker(t, d, docker.Options{})
	id := d.Run("--memory", "16m", "web:1", "sh", "-c",
		"sleep 0.3; x=a; while true; do x=$x$x; done")
	a.expectEnd(id, 137)
	if d.Docker("inspect", "-f", "{{.State.OOMKilled}}", id) != "true" {
		t.Skip(
			"this Docker does not notice that a container was killed for want of memory; its exit code is right")
	}
	if _, c := a.last(id); !c.State.OOMKilled {
		t.Errorf("last state = %+v", c.State)
	}
}

// What is run with exec is nobody's business, and its exit is not the container's.
func TestDockerExecChangesNothing(t *testing.T) {
	d := node.Dockerd(t)
	d.RemoveContainers()
	d.ImportImage("web:1")
	a := startDocker(t, d, docker.Options{})
	id := d.Run("web:1", "sleep", "1000")
	a.expect(id, "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	a.heard(id)
	told := a.history(id)
	for range 5 {
		_, _, _ = d.TryDocker("exec", id, "sh", "-c", "exit 3")
	}
	d.Docker("rename", id, "renamed") // an event after those of exec
	a.expect(id, "rename", func(c *workloadmeta.Container) bool { return c.Name == "renamed" })
	a.heard(id)
	if got := a.history(id); strings.Count(got, "set") != strings.Count(told, "set")+1 ||
		strings.Contains(got, "unset") {
		t.Errorf("told %s, before exec %s", got, told)
	}
}

func TestDockerImagesAreSeen(t *testing.T) {
	d := node.Dockerd(t)
	a := startDocker(t, d, docker.Options{})
	first := d.ImportImage("moving:1", "LABEL v=1")
	a.expectImage(first, "moving:1")
	d.Docker("tag", "moving:1", "moving:2")
	a.expectImage(first, "moving:1", "moving:2")
	second := d.ImportImage("moving:1", "LABEL v=2") // takes the tag away, which no event says
	a.expectImage(second, "moving:1")
	a.expectImage(first, "moving:2")
	d.Docker("rmi", "moving:2")
	a.expectImage(first)
	d.Docker("rmi", "moving:1")
	a.expectImage(second)
}

// TestDockerChurn starts and ends 200 containers as fast as the daemon can.
func TestDockerChurn(t *testing.T) {
	d := node.Dockerd(t)
	d.RemoveContainers()
	d.ImportImage("web:1")
	a := startDocker(t, d, docker.Options{})
	a.churn("web", func(i int, code int64) (string, error) {
		args := []string{"run", "-d", "--network", "none", "--label", fmt.Sprint("number=", i)}
		if i%3 != 0 {
			args = append(args, "--rm")
		}
		id, _, err := d.TryDocker(append(args, "web:1", "sh", "-c", fmt.Sprint("exit ", code))...)
		return strings.TrimSpace(id), err
	})
}

// TestDockerdKilledAndRestarted has containers end, come and go while nobody watches.
func TestDockerdKilledAndRestarted(t *testing.T) {
	realnode.Require(t)
	d := realnode.StartDockerd(t, realnode.LiveRestore())
	d.ImportImage("web:1")
	stays := d.Run("web:1", "sleep", "1000")
	dies := d.Run("web:1", "sleep", "1000")
	vanishes := d.Run("--rm", "web:1", "sleep", "1000")
	a := startDocker(t, d, docker.Options{})
	before, err := a.store.GetContainer(stays)
	if err != nil {
		t.Fatal(err)
	}
	a.heard(stays)
	told := a.history(stays)
	pids := map[string]int{}
	for _, id := range []string{dies, vanishes} {
		c, err := a.store.GetContainer(id)
		if err != nil {
			t.Fatal(err)
		}
		pids[id] = c.PID
	}

	d.Kill()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	a.trouble("docker", "")
	if got := a.ids(); len(got) != 3 {
		t.Errorf("a lost connection has unset containers: %v", got)
	}
	d.Restart()
	created := d.Run("web:1", "sleep", "1000")
	gone := d.Run("web:1", "true")
	d.Docker("rm", "-f", gone)

	a.expectSame()
	if got, want := a.ids(), slices.Sorted(slices.Values([]string{stays, created})); !slices.Equal(
		got, want) {
		t.Errorf("containers = %v, want %v", got, want)
	}
	a.expectEnd(dies, 137)
	eventually(t, func() string {
		if event, _ := a.last(vanishes); event != workloadmeta.EventTypeUnset {
			return a.history(vanishes)
		}
		return ""
	})
	if after, err := a.store.GetContainer(stays); err != nil || !after.Equal(before) ||
		a.history(stays) != told {
		t.Errorf("what has not changed was told: %s; %+v, %v", a.history(stays), after, err)
	}

	// Without live restore the containers end with the daemon.
	d.Docker("rm", "-f", created)
	a.expectSame()
}

func TestDockerdFrozenFor30Seconds(t *testing.T) {
	realnode.Require(t)
	if testing.Short() {
		t.Skip("takes half a minute; run without -short")
	}
	d := realnode.StartDockerd(t)
	d.ImportImage("web:1")
	id := d.Run("--name", "web", "web:1", "sleep", "1000")
	// so that a list is asked for meanwhile
	a := startDocker(t, d, docker.Options{Tuning: docker.Tuning{SettleResync: time.Second}})
	d.Freeze()
	c, err := a.store.GetContainer(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil { // it ends while the daemon sleeps
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(
		500 * time.Millisecond) {
		if _, err := a.store.GetContainer(id); err != nil {
			t.Fatalf("a silent daemon has cost us a container: %v", err)
		}
		a.expectTags(id, "container_name:web")
	}
	d.Thaw()
	a.expectEnd(id, 137)
	after := d.Run("web:1", "sleep", "1000")
	a.expect(after, "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	a.expectSame()

	a.close()
	later := startDocker(t, d, docker.Options{Tuning: docker.Tuning{CallTimeout: time.Hour}})
	d.Freeze()
	later.close() // waits for no call
	d.Thaw()
}

func TestDockerOddContainers(t *testing.T) {
	d := node.Dockerd(t)
	d.RemoveContainers()
	d.ImportImage("web:1")
	lost := d.ImportImage("lost:1", "LABEL lost=yes")
	big := strings.Repeat("x", 64<<10)
	run := map[string]func(name string) string{
		"64 kB label": func(name string) string {
			return d.Run("--name", name, "--label", "big="+big, "web:1", "sleep", "1000")
		},
		"image without a name": func(name string) string {
			id := d.Run("--name", name, "lost:1", "sleep", "1000")
			d.Docker("rmi", "-f", "lost:1")
			return id
		},
		"image by ID": func(name string) string {
			return d.Run("--name", name, lost, "sleep", "1000")
		},
		"no network": func(name string) string {
			return d.Run("--name", name, "web:1", "sleep", "1000")
		},
		"host network": func(name string) string {
			return d.Docker("run", "-d", "--name", name, "--network", "host", "web:1", "sleep",
				"1000")
		},
	}
	check := map[string]func(c *workloadmeta.Container) bool{
		"64 kB label": func(c *workloadmeta.Container) bool {
			return c.Labels["big"] == big
		},
		"image without a name": func(c *workloadmeta.Container) bool {
			return c.Image.ID == lost &&
				c.Image.RawName == "lost:1"
		},
		"image by ID": func(c *workloadmeta.Container) bool {
			return c.Image.ID == lost &&
				c.Image.Name == lost
		},
		"no network": func(c *workloadmeta.Container) bool {
			return len(c.NetworkIPs) == 0
		},
		"host network": func(c *workloadmeta.Container) bool {
			return len(c.NetworkIPs) == 0 && c.Hostname != ""
		},
	}
	// Seen once by their events and once in the list.
	a := startDocker(t, d, docker.Options{})
	ids := map[string]string{}
	for i, what := range []string{"64 kB label", "image without a name", "image by ID",
		"no network", "host network"} {
		ids[what] = run[what](fmt.Sprint("odd", i))
	}
	for _, a := range []*dockerApp{a, startDocker(t, d, docker.Options{})} {
		for what, id := range ids {
			a.expect(id, what,
				func(c *workloadmeta.Container) bool {
					return c.PID != 0 && c.Name != "" &&
						check[what](c)
				})
			a.expectTags(id, "container_id:"+id)
		}
	}
	d.RemoveContainers()
	a.expectSame()
}

func TestDockerNetworksAreSeen(t *testing.T) {
	d := node.Dockerd(t)
	d.RemoveContainers()
	d.ImportImage("web:1")
	d.Docker("network", "create", "--subnet", "172.31.252.0/24", "e2e-front")
	t.Cleanup(func() {
		d.RemoveContainers()
		d.Docker("network", "rm", "e2e-front")
	})
	a := startDocker(t, d, docker.Options{})
	id := d.Docker("run", "-d", "--network", "e2e-front", "-p", "127.0.0.1:18099:80", "web:1",
		"sleep", "1000")
	a.expect(id, "published port", func(c *workloadmeta.Container) bool {
		return c.NetworkIPs["e2e-front"] == "172.31.252.2" && len(c.Ports) == 1 &&
			c.Ports[0].Port == 80 && c.Ports[0].HostPort == 18099
	})
	d.Docker("network", "disconnect", "e2e-front", id)
	a.expect(id, "disconnect",
		func(c *workloadmeta.Container) bool { return len(c.NetworkIPs) == 0 })
	d.Docker("network", "connect", "--ip", "172.31.252.77", "e2e-front", id)
	a.expect(id, "connect",
		func(c *workloadmeta.Container) bool {
			return c.NetworkIPs["e2e-front"] == "172.31.252.77"
		})
}

// TestDockerSecretsStayOut plants secrets in environments and looks for them in everything that can
// be asked for.
func TestDockerSecretsStayOut(t *testing.T) {
	d := node.Dockerd(t)
	d.RemoveContainers()
	const secret = "hunter2-of-the-environment"
	d.ImportImage("secret:1", "ENV IMAGE_SECRET="+secret)
	a := startDocker(t, d, docker.Options{})
	id := d.Run("-e", "DB_PASSWORD="+secret, "-e", "dd_env=prod", "-e", "DD_API_KEY="+secret,
		"secret:1", "sleep", "1000")
	a.expect(id, "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	a.expectTags(id, "container_id:"+id)
	d.Docker("rm", "-f", id)
	a.expectEnd(id, 137)
	a.expectNoSecret("hunter2")
}
