package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/podman"
	"github.com/rollcall-dev/rollcall/test/realnode"
	"go.uber.org/fx"
)

// podmanApp is an application with the Podman collector.
type podmanApp struct {
	*app
	collector *podman.Collector
	services  []*realnode.Podman
}

// inspected is how many inspections of containers and images were answered.
func (a *podmanApp) inspected() (n int) {
	for _, s := range a.collector.Sockets() {
		n += s.Stats.Inspects["ok"]
	}
	return n
}

// startPodman starts the application on one or more services and waits until it is synced. It stops
// at the test's end.
func startPodman(t *testing.T, options podman.Options, services ...*realnode.Podman) *podmanApp {
	t.Helper()
	if options.Sockets == nil {
		for _, p := range services {
			options.Sockets = append(options.Sockets, p.Socket)
		}
	}
	a := newApp(t)
	options.Log = a.logger()
	collector, err := podman.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return &podmanApp{
		a.start(fx.Provide(collection.AsCollector(func() *podman.Collector { return collector }))),
		collector, services}
}

// expectSame waits until the store has exactly the containers that run, infra containers left out.
func (a *podmanApp) expectSame() {
	a.t.Helper()
	eventually(a.t, func() string {
		var want []string
		for _, p := range a.services {
			for _, status := range []string{"running", "paused"} {
				for line := range strings.Lines(p.Podman("ps", "--all", "--no-trunc", "--filter",
					"status="+status, "--format", "{{.ID}} {{.IsInfra}}")) {
					if id, infra, _ := strings.Cut(strings.TrimSpace(line), " "); infra == "false" {
						want = append(want, id)
					}
				}
			}
		}
		slices.Sort(want)
		if got := a.ids(); !slices.Equal(got, want) {
			return fmt.Sprintf("the store has %d containers, podman %d:\n%s\n%s", len(got),
				len(want), got, want)
		}
		return ""
	})
}

// count is how often something was told of a container.
func (a *podmanApp) count(id string) int { return len(a.toldOf(id)) }

func TestPodmanContainersAreListedAndTaggedAtStart(t *testing.T) {
	p := node.Podman(t)
	p.RemoveContainers()
	image := p.ImportImage("reg.example.test:5000/shop/web:1", "LABEL team=blue", "EXPOSE 8080/tcp")
	one := p.Run("--name", "one", "-e", "DD_ENV=prod", "reg.example.test:5000/shop/web:1", "sleep",
		"1000")
	two := p.Run("--name", "two", "--memory", "64m", "--cpus", "0.5",
		"reg.example.test:5000/shop/web:1", "sleep", "1000")
	p.Podman("pause", "two")
	stopped := p.Run("--name", "stopped", "reg.example.test:5000/shop/web:1", "true")
	eventually(t, func() string {
		if state := p.Podman("inspect", "-f", "{{.State.Status}}", stopped); state != "exited" {
			return state
		}
		return ""
	})

	a := startPodman(t, podman.Options{}, p)
	// Synced means that everything has been inspected, so nothing needs to be waited for.
	c, err := a.store.GetContainer(one)
	if err != nil {
		t.Fatal(err)
	}
	if c.Runtime != workloadmeta.RuntimePodman || c.Name != "one" || c.Labels["team"] != "blue" ||
		c.EnvVars["DD_ENV"] != "prod" || c.PID == 0 ||
		c.Image.ID != image || c.Image.Name != "reg.example.test:5000/shop/web" ||
		c.Image.Tag != "1" ||
		c.State.Status != workloadmeta.StatusRunning || c.Hostname != one[:12] ||
		!strings.Contains(c.CgroupPath, one) ||
		len(c.Ports) != 1 || c.Ports[0].Port != 8080 {
		t.Errorf("one = %+v", c)
	}
	if by, err := a.store.ContainerForPID(c.PID); err != nil || by.ID != one {
		t.Errorf("container of PID %d = %v, %v", c.PID, by, err)
	}
	if by, err := a.store.ContainerForInode(c.CgroupInode); err != nil || by.ID != one {
		t.Errorf("container of inode %d = %v, %v", c.CgroupInode, by, err)
	}
	if c, err := a.store.GetContainer(two); err != nil ||
		c.State.Status != workloadmeta.StatusPaused || !c.State.Running ||
		*c.Resources.MemoryLimit != 64<<20 || *c.Resources.CPULimit != 50 {
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
	p.RemoveContainers() // 137 for the running one
	a.expectEnd(one, 137)
}

func TestPodmanChangesAreSeen(t *testing.T) {
	p := node.Podman(t)
	p.RemoveContainers()
	p.ImportImage("localhost/web:1")
	a := startPodman(t, podman.Options{}, p)

	// There may be no systemd to run health checks: we do it.
	id := p.Run("--name", "web", "--health-cmd", "test ! -e /sick", "--health-interval", "disable",
		"--health-retries", "1", "localhost/web:1", "sleep", "1000")
	a.expect(id, "start",
		func(c *workloadmeta.Container) bool { return c.Name == "web" && c.PID != 0 })
	a.expectTags(id, "container_name:web")
	p.Podman("healthcheck", "run", "web")
	a.expect(id, "healthy",
		func(c *workloadmeta.Container) bool {
			return c.State.Health == workloadmeta.HealthHealthy
		})
	a.heard(id)
	told := a.count(id)
	for range 5 { // of which nothing changes
		p.Podman("healthcheck", "run", "web")
		p.Podman("exec", "web", "true")
	}
	time.Sleep(300 * time.Millisecond) // that nothing is told can only be seen by waiting
	if now := a.count(id); now != told {
		t.Errorf("five healthy probes and executions were told: %s", a.history(id))
	}
	p.Podman("exec", "web", "sh", "-c", "echo > /sick")
	if _, _, err := p.TryPodman("healthcheck", "run", "web"); err == nil {
		t.Error("a sick container is healthy")
	}
	a.expect(id, "unhealthy",
		func(c *workloadmeta.Container) bool {
			return c.State.Health == workloadmeta.HealthUnhealthy
		})
	p.Podman("rename", "web", "front")
	a.expect(id, "rename", func(c *workloadmeta.Container) bool { return c.Name == "front" })
	a.expectTags(id, "container_name:front")
	p.Podman("pause", "front")
	a.expect(id, "pause", func(c *workloadmeta.Container) bool {
		return c.State.Status == workloadmeta.StatusPaused && c.State.Running &&
			c.State.Health == workloadmeta.HealthUnknown
	})
	p.Podman("unpause", "front")
	a.expect(id, "unpause",
		func(c *workloadmeta.Container) bool {
			return c.State.Status == workloadmeta.StatusRunning
		})
	p.Podman("kill", "front")
	a.expectEnd(id, 137)
	if _, err := a.store.GetContainer(id); err == nil {
		t.Error("the container is in the store after its end")
	}
	if _, c := a.last(id); c.Name != "front" || c.State.Running || c.State.FinishedAt.IsZero() {
		t.Errorf("last state = %+v", c)
	}
	a.expectTags(id, "container_name:front") // for the grace time

	eventually(t, func() string { // Podman is still clearing away what it was
		if _, stderr, err := p.TryPodman("start", "front"); err != nil {
			return stderr
		}
		return ""
	})
	a.expect(id, "start again",
		func(c *workloadmeta.Container) bool { return c.PID != 0 && c.State.ExitCode == nil })
	p.Podman("rm", "-f", "-t", "0", "front")
	a.expectEnd(id, 137)

	die := p.Run("localhost/web:1", "sh", "-c", "sleep 0.2; exit 7")
	a.expectEnd(die, 7)

	crash := p.Run("--restart", "on-failure:2", "localhost/web:1", "sh", "-c", "sleep 0.3; exit 3")
	a.expectEnd(crash, 3) // after the last try
	if h := a.history(crash); strings.Count(h, "unset") != 1 {
		t.Errorf("a container that was restarted twice was told: %s", h)
	}
	if _, c := a.last(crash); c.RestartCount != 2 {
		t.Errorf("restart count = %d", c.RestartCount)
	}

	// Its process ignores SIGTERM: for a second it is being stopped, and still there.
	stop := p.Run("--name", "stop", "localhost/web:1", "sleep", "1000")
	a.expect(stop, "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	p.Podman("stop", "stop")
	a.expectEnd(stop, 137)
	if h := a.history(stop); strings.Count(h, "unset") != 1 {
		t.Errorf("a container that was stopped was told: %s", h)
	}
	a.expectSame()
}

func TestPodmanOOM(t *testing.T) {
	p := node.Podman(t)
	p.RemoveContainers()
	p.ImportImage("localhost/web:1")
	a := startPodman(t, podman.Options{}, p)
	id := p.Run("--memory", "16m", "localhost/web:1", "sh", "-c",
		"sleep 0.3; x=a; while true; do x=$x$x; done")
	a.expectEnd(id, 137)
	if p.Podman("inspect", "-f", "{{.State.OOMKilled}}", id) != "true" {
		t.Skip(
			"this Podman does not notice that a container was killed for want of memory; its exit code is right")
	}
	if _, c := a.last(id); !c.State.OOMKilled {
		t.Errorf("last state = %+v", c.State)
	}
}

func TestPodmanImagesAreSeen(t *testing.T) {
	p := node.Podman(t)
	a := startPodman(t, podman.Options{}, p)
	first := p.ImportImage("localhost/moving:1", "LABEL v=1")
	a.expectImage(first, "localhost/moving:1")
	p.Podman("tag", "localhost/moving:1", "localhost/moving:2")
	a.expectImage(first, "localhost/moving:1", "localhost/moving:2")
	// takes the tag away, which no event says
	second := p.ImportImage("localhost/moving:1", "LABEL v=2")
	a.expectImage(second, "localhost/moving:1")
	a.expectImage(first, "localhost/moving:2")
	p.Podman("tag", "localhost/moving:2", "localhost/moving:3")
	a.expectImage(first, "localhost/moving:2", "localhost/moving:3")
	p.Podman("rmi", "localhost/moving:3") // of which Podman says that the image is removed
	a.expectImage(first, "localhost/moving:2")
	archive := filepath.Join(t.TempDir(), "image.tar")
	p.Podman("save", "-o", archive, "localhost/moving:2")
	p.Podman("rmi", "localhost/moving:2")
	a.expectImage(first)
	p.Podman("load", "-i", archive) // its event names the archive only
	a.expectImage(first, "localhost/moving:2")
	p.Podman("rmi", "localhost/moving:1", "localhost/moving:2")
	a.expectImage(second)
	a.expectImage(first)
}

func TestPodmanPods(t *testing.T) {
	p := node.Podman(t)
	p.RemoveContainers()
	p.ImportImage("localhost/web:1")
	a := startPodman(t, podman.Options{}, p)
	pod := func(args ...string) string {
		return p.Podman(
			append([]string{"pod", "create", "--network", "none", "--infra-image",
				"localhost/web:1", "--infra-command", "sleep 1000"}, args...)...)
	}
	check := func(a *podmanApp, id, pod, name string) {
		t.Helper()
		a.expect(id, "container of pod "+name, func(c *workloadmeta.Container) bool {
			return c.PID != 0 && c.Labels["io.podman.pod.id"] == pod &&
				c.Labels["io.podman.pod.name"] == name && c.Hostname == name && c.Owner == nil
		})
	}
	shop, bank := pod("--name", "shop"), pod("--name", "bank", "--infra-name", "no-usual-name")
	inShop := p.Podman("run", "-d", "--pod", "shop", "localhost/web:1", "sleep", "1000")
	inBank := p.Podman("run", "-d", "--pod", "bank", "localhost/web:1", "sleep", "1000")
	check(a, inShop, shop, "shop")
	check(a, inBank, bank, "bank")
	a.expectSame()
	later := startPodman(t, podman.Options{}, p) // to which they are listed
	check(later, inShop, shop, "shop")
	check(later, inBank, bank, "bank")
	later.expectSame()
	a.mu.Lock()
	for id, events := range a.told {
		if c, ok := events[len(events)-1].Entity.(*workloadmeta.Container); ok &&
			strings.HasSuffix(c.Name, "-infra") {
			t.Errorf("infra container %s was told: %+v", id, c)
		}
	}
	a.mu.Unlock()
	p.Podman("pod", "rm", "-f", "-t", "0", "shop")
	a.expectEnd(inShop, 137)
	with := startPodman(t, podman.Options{KeepPause: true}, p)
	if got := with.ids(); len(got) != 2 {
		t.Errorf("with infra containers there are %v", got)
	}
}

// podmanAPI sends a request that changes something.
func podmanAPI(t *testing.T, client *http.Client, method, path string, body any) []byte {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://podman/v4.0.0/libpod/"+path,
		bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close() // only read from
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Errorf("%s %s: %s %v: %s", method, path, resp.Status, err, answer)
	}
	return answer
}

// TestPodmanChurn starts and ends 200 containers as fast as the service can.
func TestPodmanChurn(t *testing.T) {
	p := node.Podman(t)
	p.RemoveContainers()
	p.ImportImage("localhost/web:1")
	a := startPodman(t, podman.Options{}, p)
	client := &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn,
			error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.Socket)
		}}}
	defer client.CloseIdleConnections()
	a.churn("localhost/web", func(i int, code int64) (string, error) {
		var created struct{ ID string }
		answer := podmanAPI(t, client, "POST", "containers/create", map[string]any{
			"image": "localhost/web:1", "command": []string{"sh", "-c", fmt.Sprint("exit ", code)},
			"netns":  map[string]string{"nsmode": "none"},
			"labels": map[string]string{"number": strconv.Itoa(i)}, "remove": i%3 != 0,
		})
		if err := json.Unmarshal(answer, &created); err != nil || created.ID == "" {
			return "", fmt.Errorf("%s: %w", answer, err)
		}
		podmanAPI(t, client, "POST", "containers/"+created.ID+"/start", nil)
		return created.ID, nil
	})
}

// TestPodmanShortLivesKeepTheirEnvironment: what Podman tells of before it is started has its
// environment, and so its service, also if it has ended before it can be inspected. A container
// that is created, started and removed within the 250 ms after which Podman reads its file of
// events again cannot have it.
func TestPodmanShortLivesKeepTheirEnvironment(t *testing.T) {
	p := node.Podman(t)
	p.RemoveContainers()
	p.ImportImage("localhost/web:1")
	a := startPodman(t, podman.Options{}, p)
	var ids []string
	for range 10 {
		before := a.inspected()
		ids = append(ids,
			p.Podman("create", "--rm", "--network", "none", "--pull", "never", "-e",
				"DD_SERVICE=job", "localhost/web:1", "true"))
		eventually(t, func() string {
			if a.inspected() == before {
				return "what was created is not inspected"
			}
			return ""
		})
	}
	if got := a.ids(); len(got) != 0 {
		t.Errorf("told before they run: %v", got)
	}
	p.Podman(append([]string{"start"}, ids...)...)
	for _, id := range ids {
		a.expectEnd(id, 0)
		if _, c := a.last(id); c.EnvVars["DD_SERVICE"] != "job" || c.State.StartedAt.IsZero() {
			t.Errorf("last state of %s: %+v", id, c)
		}
	}
}

// TestPodmanKilledAndRestarted has containers end, come and go while no service runs. They do not
// need one.
func TestPodmanKilledAndRestarted(t *testing.T) {
	realnode.Require(t)
	p := realnode.StartPodman(t)
	p.ImportImage("localhost/web:1")
	stays := p.Run("localhost/web:1", "sleep", "1000")
	dies := p.Run("localhost/web:1", "sleep", "1000")
	vanishes := p.Run("--rm", "localhost/web:1", "sleep", "1000")
	a := startPodman(t, podman.Options{}, p)
	before, err := a.store.GetContainer(stays)
	if err != nil {
		t.Fatal(err)
	}
	a.heard(stays)
	told := a.history(stays)
	p.Kill()
	p.Podman("kill", dies)
	p.Podman("kill", vanishes)
	a.trouble("podman@"+p.Socket, "")
	if got := a.ids(); len(got) != 3 {
		t.Errorf("a lost connection has unset containers: %v", got)
	}
	created := p.Run("localhost/web:1", "sleep", "1000")
	gone := p.Run("localhost/web:1", "true")
	p.Podman("rm", "-f", "-t", "0", gone)
	p.Restart() // with a new socket

	a.expectSame()
	if got, want := a.ids(), slices.Sorted(slices.Values([]string{stays, created})); !slices.Equal(
		got, want) {
		t.Errorf("containers = %v, want %v", got, want)
	}
	a.expectEnd(dies, 137)
	a.expectEnd(vanishes, 137) // its event is in the log
	if after, err := a.store.GetContainer(stays); err != nil || !after.Equal(before) ||
		a.history(stays) != told {
		t.Errorf("what has not changed was told: %s; %+v, %v", a.history(stays), after, err)
	}
}

// Nobody tells Podman of a container whose process and whose monitor were killed: it runs for ever,
// as far as Podman knows.
func TestPodmanContainerWithoutProcess(t *testing.T) {
	realnode.Require(t)
	p := realnode.StartPodman(t)
	p.ImportImage("localhost/web:1")
	a := startPodman(t, podman.Options{Tuning: podman.Tuning{ResyncEvery: time.Second}}, p)
	id := p.Run("localhost/web:1", "sleep", "1000")
	a.expect(id, "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	var pids []int
	for field := range strings.FieldsSeq(
		p.Podman("inspect", "-f", "{{.State.ConmonPid}} {{.State.Pid}}", id)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	a.expectEnd(id, -1)
	if state := p.Podman("inspect", "-f", "{{.State.Status}}", id); state != "running" {
		t.Logf("this Podman has noticed: %s", state)
	}
	told := a.count(id)
	time.Sleep(2500 * time.Millisecond) // two more lists have it
	if now := a.count(id); now != told {
		t.Errorf("it was told again: %s", a.history(id))
	}
	// Who comes later believes Podman for a while.
	later := startPodman(t,
		podman.Options{Tuning: podman.Tuning{ResyncEvery: time.Second, SettleResync: time.Second}},
		p)
	eventually(t, func() string {
		if got := later.ids(); len(got) != 0 {
			return fmt.Sprint(got)
		}
		return ""
	})
}

func TestPodmanServiceFrozen(t *testing.T) {
	realnode.Require(t)
	p := realnode.StartPodman(t)
	p.ImportImage("localhost/web:1")
	id := p.Run("--name", "web", "localhost/web:1", "sleep", "1000")
	a := startPodman(t,
		podman.Options{Tuning: podman.Tuning{PingEvery: time.Second, CallTimeout: time.Second}}, p)
	a.expect(id, "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	p.Freeze()
	p.Podman("kill", id) // which needs no service
	a.trouble("podman@"+p.Socket, "")
	if _, err := a.store.GetContainer(id); err != nil {
		t.Fatalf("a silent service has cost us a container: %v", err)
	}
	a.expectTags(id, "container_name:web")
	p.Thaw()
	a.expectEnd(id, 137)
	after := p.Run("localhost/web:1", "sleep", "1000")
	a.expect(after, "start after the thaw",
		func(c *workloadmeta.Container) bool { return c.PID != 0 })
}

// TestPodmanOfSeveralUsers has two services with an image in common, of which one fails, ends,
// comes back and is found late.
func TestPodmanOfSeveralUsers(t *testing.T) {
	realnode.Require(t)
	root, user := realnode.StartPodman(t), realnode.StartPodman(t)
	archive := filepath.Join(t.TempDir(), "image.tar")
	image := root.ImportImage("localhost/web:1", "LABEL team=blue")
	root.Podman("save", "--quiet", "--output", archive, "localhost/web:1")
	user.Podman("load", "--quiet", "--input", archive)
	user.Podman("tag", "localhost/web:1", "localhost/mine:1")
	ofRoot := root.Run("--name", "web", "localhost/web:1", "sleep", "1000")
	ofUser := user.Run("--name", "web", "localhost/mine:1", "sleep", "1000")

	// As in /run/user: a pattern, and one of the sockets is not there yet.
	folder := t.TempDir()
	link := func(name string, p *realnode.Podman) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(p.Socket, filepath.Join(folder, name, "p.sock")); err != nil {
			t.Fatal(err)
		}
	}
	link("0", root)
	a := startPodman(t,
		podman.Options{Sockets: []string{filepath.Join(folder, "*", "p.sock")},
			RescanEvery: 300 * time.Millisecond}, root, user)
	if got := a.ids(); !slices.Equal(got, []string{ofRoot}) {
		t.Fatalf("containers = %v", got)
	}
	link("1000", user)
	a.expectSame()
	names := func(want ...string) {
		t.Helper()
		eventually(t, func() string {
			i, err := a.store.GetContainerImage(image)
			if want == nil && err != nil || err == nil && slices.Equal(i.RepoTags, want) &&
				i.Labels["team"] == "blue" {
				return ""
			}
			return fmt.Sprintf("image = %+v, %v; want %v", i, err, want)
		})
	}
	names("localhost/mine:1", "localhost/web:1")

	user.Kill() // it takes nothing away, and the other goes on
	second := root.Run("localhost/web:1", "sleep", "1000")
	a.expect(second, "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	user.Podman("rm", "-f", "-t", "0", ofUser)
	if _, err := a.store.GetContainer(ofUser); err != nil {
		t.Errorf("what a service that failed has reported: %v", err)
	}
	user.Restart()
	a.expectEnd(ofUser, 137)
	user.Podman("rmi", "-f", "localhost/web:1", "localhost/mine:1")
	names("localhost/web:1")
	root.RemoveContainers()
	root.Podman("rmi", "localhost/web:1")
	names()

	// A user's session ends: first the processes, then the service and its socket. Nobody is left
	// to tell.
	user.Podman("load", "--quiet", "--input", archive)
	last := user.Run("localhost/web:1", "sleep", "1000")
	a.expect(last, "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	user.Freeze()
	user.Podman("kill", last)
	user.Kill()
	if err := os.RemoveAll(filepath.Join(folder, "1000")); err != nil {
		t.Fatal(err)
	}
	a.expectEnd(last, -1)
}

func TestPodmanWithoutEvents(t *testing.T) {
	realnode.Require(t)
	p := realnode.StartPodman(t, realnode.PodmanEvents("none"))
	p.ImportImage("localhost/web:1")
	a := startPodman(t, podman.Options{PollEvery: time.Second}, p)
	id := p.Run("--name", "web", "localhost/web:1", "sleep", "1000")
	a.expect(id, "start",
		func(c *workloadmeta.Container) bool { return c.Name == "web" && c.PID != 0 })
	p.Podman("rename", "web", "front")
	a.expect(id, "rename", func(c *workloadmeta.Container) bool { return c.Name == "front" })
	p.Podman("kill", "front")
	a.expectEnd(id, 137)
}

func TestPodmanNetworksAreSeen(t *testing.T) {
	p := node.Podman(t)
	p.RemoveContainers()
	p.ImportImage("localhost/web:1")
	// Podman chooses subnets and host ports that are free: other tests may run on this machine.
	p.Podman("network", "create", "--ipv6", "e2e-front")
	p.Podman("network", "create", "e2e-back")
	t.Cleanup(func() {
		p.RemoveContainers()
		p.Podman("network", "rm", "e2e-front", "e2e-back")
	})
	a := startPodman(t, podman.Options{}, p)
	id := p.Podman("run", "-d", "--network", "e2e-front", "-p", "127.0.0.1::80", "-p",
		"127.0.0.1::81/udp", "localhost/web:1", "sleep", "1000")
	address := func(network, field string) string {
		return p.Podman("inspect", "-f",
			fmt.Sprintf(`{{(index .NetworkSettings.Networks %q).%s}}`, network, field), id)
	}
	_, tcp, _ := strings.Cut(p.Podman("port", id, "80/tcp"), ":")
	_, udp, _ := strings.Cut(p.Podman("port", id, "81/udp"), ":")
	v4, v6 := address("e2e-front", "IPAddress"), address("e2e-front", "GlobalIPv6Address")
	a.expect(id, "published ports", func(c *workloadmeta.Container) bool {
		return v4 != "" && c.NetworkIPs["e2e-front"] == v4 && v6 != "" &&
			c.NetworkIPv6s["e2e-front"] == v6 &&
			fmt.Sprint(c.Ports) == fmt.Sprintf("[{ 80 tcp %s} { 81 udp %s}]", tcp, udp)
	})
	p.Podman("network", "connect", "e2e-back", id)
	back := address("e2e-back", "IPAddress")
	a.expect(id, "connect",
		func(c *workloadmeta.Container) bool {
			return back != "" &&
				c.NetworkIPs["e2e-back"] == back
		})
	p.Podman("network", "disconnect", "e2e-front", id)
	a.expect(id, "disconnect",
		func(c *workloadmeta.Container) bool {
			return len(c.NetworkIPs) == 1 &&
				len(c.NetworkIPv6s) == 0
		})
}

// TestPodmanSecretsStayOut plants secrets and looks for them in everything that can be asked for.
func TestPodmanSecretsStayOut(t *testing.T) {
	p := node.Podman(t)
	p.RemoveContainers()
	const secret = "hunter2-of-the-environment"
	p.ImportImage("localhost/secret:1", "ENV IMAGE_SECRET="+secret)
	a := startPodman(t, podman.Options{}, p)
	id := p.Run("-e", "DB_PASSWORD="+secret, "-e", "dd_env=prod", "-e", "DD_API_KEY="+secret,
		"--annotation", "kubectl.kubernetes.io/last-applied-configuration="+
			secret, "localhost/secret:1", "sh", "-c", "sleep 1000; echo "+secret)
	a.expect(id, "start",
		func(c *workloadmeta.Container) bool { return c.PID != 0 && c.EnvVars["dd_env"] == "prod" })
	a.expectTags(id, "container_id:"+id)
	commit := p.Podman("commit", "--change", "ENV COMMITTED="+secret, id, "localhost/committed:1")
	eventually(t, func() string {
		if i, err := a.store.GetContainerImage("sha256:" + commit); err != nil ||
			len(i.Layers) == 0 {
			return fmt.Sprintf("image %q = %+v, %v", commit, i, err)
		}
		return ""
	})
	p.Podman("rm", "-f", "-t", "0", id)
	a.expectEnd(id, 137)
	a.expectNoSecret("hunter2")
}
