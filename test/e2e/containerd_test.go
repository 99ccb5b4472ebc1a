package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/containerd"
	"github.com/rollcall-dev/rollcall/test/realnode"
	"go.uber.org/fx"
)

// web is the image of most containers here.
const web = "reg.example.test:5000/shop/web:1"

// containerdApp is an application with the containerd collector.
type containerdApp struct {
	*app
	collector *containerd.Collector
}

// startContainerd starts the application on a daemon and waits until it is synced. It stops at the
// test's end.
func startContainerd(t *testing.T, n *realnode.Containerd,
	options containerd.Options) *containerdApp {
	t.Helper()
	if options.Address == "" {
		options.Address = n.Socket
	}
	a := newApp(t)
	options.Log = a.logger()
	collector, err := containerd.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return &containerdApp{
		a.start(fx.Provide(
			collection.AsCollector(func() *containerd.Collector { return collector }))), collector}
}

func (a *containerdApp) expectIDs(want ...string) {
	a.t.Helper()
	slices.Sort(want)
	eventually(a.t, func() string {
		if got := a.ids(); !slices.Equal(got, want) {
			return fmt.Sprintf("containers %v, want %v", got, want)
		}
		return ""
	})
}

// whenTold is the script of a container that does something when tell is called, not when some time
// is over: whoever looks may be late.
func whenTold(do string) string { return "while [ ! -e /told ]; do sleep 0.05; done; " + do }

func tell(n *realnode.Containerd, namespace, id string) {
	n.Ctr(namespace, "task", "exec", "--exec-id", "tell", id, "sh", "-c", "echo > /told")
}

// kill ends a container's process and waits until containerd knows.
func kill(t *testing.T, n *realnode.Containerd, namespace, id string) {
	t.Helper()
	n.Ctr(namespace, "task", "kill", "--signal", "SIGKILL", id)
	waitStopped(t, n, namespace, id)
}

func waitStopped(t *testing.T, n *realnode.Containerd, namespace, id string) {
	t.Helper()
	eventually(t, func() string {
		for line := range strings.Lines(n.Ctr(namespace, "task", "ls")) {
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id &&
				fields[2] != "STOPPED" {
				return line
			}
		}
		return ""
	})
}

func TestContainerdContainersAreListedAndTaggedAtStart(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	n.ImportImage("default", web, "sleep", "1000")
	n.ImportImage("other", web, "sleep", "1000")
	begin := time.Now()
	n.Run("default", "--env", "DD_ENV=prod", "--label", "team=blue", "--memory-limit", "67108864",
		web, "one", "sleep", "1000")
	n.Run("other", web, "two", "sleep", "1000")
	n.Ctr("other", "task", "pause", "two")
	defer n.Ctr("other", "task", "resume", "two") // what is frozen cannot be ended
	n.Run("default", web, "stopped", "true")
	waitStopped(t, n, "default", "stopped")
	n.Ctr("default", "container", "create", web, "created", "sleep", "1000")

	a := startContainerd(t, n, containerd.Options{})
	// Synced means that everything is there, so nothing needs to be waited for.
	c, err := a.store.GetContainer("one")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "one" || c.Namespace != "default" || c.Labels["team"] != "blue" ||
		c.EnvVars["DD_ENV"] != "prod" || c.PID == 0 ||
		c.Image.Name != "reg.example.test:5000/shop/web" || c.Image.Tag != "1" ||
		!strings.HasPrefix(c.Image.RepoDigest, "sha256:") ||
		c.State.Status != workloadmeta.StatusRunning || c.CgroupPath != "/default/one" ||
		*c.Resources.MemoryLimit != 64<<20 ||
		c.State.StartedAt.Before(c.State.CreatedAt.Add(-time.Second)) ||
		c.State.StartedAt.Before(begin.Add(-time.Minute)) {
		t.Errorf("one = %+v", c)
	}
	if by, err := a.store.ContainerForPID(c.PID); err != nil || by.ID != "one" {
		t.Errorf("container of PID %d = %v, %v", c.PID, by, err)
	}
	if by, err := a.store.ContainerForInode(c.CgroupInode); err != nil || by.ID != "one" {
		t.Errorf("container of inode %d = %v, %v", c.CgroupInode, by, err)
	}
	if c, err := a.store.GetContainer("two"); err != nil ||
		c.State.Status != workloadmeta.StatusPaused || !c.State.Running {
		t.Errorf("two = %+v, %v", c, err)
	}
	if got := a.ids(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("containers = %v", got)
	}
	if i, err := a.store.GetContainerImage(c.Image.ID); err != nil || i.OS != "linux" ||
		len(i.Layers) != 1 || i.Layers[0].Digest == "" ||
		!slices.Equal(i.RepoTags, []string{web}) || i.SizeBytes == 0 {
		t.Errorf("image = %+v, %v", i, err)
	}
	a.expectTags("one", "container_name:one", "container_id:one",
		"image_name:reg.example.test:5000/shop/web", "short_image:web",
		"image_tag:1", "env:prod")
	if inspects := a.collector.Stats().Inspects; len(inspects) != 0 {
		t.Errorf("what the lists tell was asked for again: %v", inspects)
	}
}

func TestContainerdChangesAreSeen(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	n.ImportImage("default", web, "sleep", "1000")
	a := startContainerd(t, n, containerd.Options{})

	n.Run("default", web, "web", "sleep", "1000")
	a.expect("web", "start", func(c *workloadmeta.Container) bool {
		return c.Name == "web" && c.PID != 0 && c.Image.Tag == "1" && !c.State.CreatedAt.IsZero()
	})
	a.expectTags("web", "container_name:web")
	a.heard("web")
	before := a.history("web")
	asked := a.collector.Stats().Inspects["ok"]
	for i := range 5 { // as a kubelet's probes do
		n.Ctr("default", "task", "exec", "--exec-id", fmt.Sprint("probe", i), "web", "true")
	}
	n.Ctr("default", "container", "label", "web", "team=blue")
	a.expect("web", "label",
		func(c *workloadmeta.Container) bool { return c.Labels["team"] == "blue" })
	a.heard("web")
	if got := a.collector.Stats(); got.Inspects["ok"] != asked+1 || got.Events["/tasks/exit"] != 5 {
		t.Errorf("after five probes and a label: %+v", got)
	}
	if got := a.history("web"); got != before+" set" {
		t.Errorf("probes were published: %s, before %s", got, before)
	}

	n.Ctr("default", "task", "pause", "web")
	a.expect("web", "pause", func(c *workloadmeta.Container) bool {
		return c.State.Status == workloadmeta.StatusPaused && c.State.Running
	})
	n.Ctr("default", "task", "resume", "web")
	a.expect("web", "resume",
		func(c *workloadmeta.Container) bool {
			return c.State.Status == workloadmeta.StatusRunning
		})
	kill(t, n, "default", "web")
	a.expectEnd("web", 137)
	if _, c := a.last("web"); c.Name != "web" || c.State.Running || c.State.FinishedAt.IsZero() ||
		c.Labels["team"] != "blue" {
		t.Errorf("last state = %+v", c)
	}
	a.expectTags("web", "container_name:web") // for the grace time
	n.Ctr("default", "task", "delete", "web")
	n.Ctr("default", "container", "delete", "web")

	// The same ID once more is another container.
	n.Run("default", web, "web", "sh", "-c", whenTold("exit 7"))
	a.expect("web", "start again", func(c *workloadmeta.Container) bool {
		return c.PID != 0 && c.State.ExitCode == nil && c.Labels["team"] == ""
	})
	tell(n, "default", "web")
	a.expectEnd("web", 7)

	n.Run("default", web, "quick", "true")
	a.expectEnd("quick", 0)
	if h := a.history("quick"); !strings.HasPrefix(h, "set") || strings.Count(h, "unset") != 1 {
		t.Errorf("a container that did little was told: %s", h)
	}
	a.expectIDs()
}

func TestContainerdOutOfMemory(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	n.ImportImage("default", web, "sleep", "1000")
	a := startContainerd(t, n, containerd.Options{})
	n.Run("default", "--memory-limit", "16777216", web, "greedy", "sh", "-c",
		whenTold("x=a; while true; do x=$x$x; done"))
	a.expect("greedy", "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	tell(n, "default", "greedy")
	eventually(t, func() string {
		if event, c := a.last("greedy"); event != workloadmeta.EventTypeUnset {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	if a.collector.Stats().Events["/tasks/oom"] == 0 {
		t.Skip(
			"this machine's kernel or containerd does not tell of processes that were killed for want of memory")
	}
	if _, c := a.last("greedy"); !c.State.OOMKilled || c.State.ExitCode == nil ||
		*c.State.ExitCode != 137 {
		t.Errorf("last state = %+v", c.State)
	}
}

func TestContainerdImagesAreSeen(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	a := startContainerd(t, n, containerd.Options{})
	find := func(tag string) (found *workloadmeta.ContainerImageMetadata) {
		for e := range a.store.List(workloadmeta.KindContainerImage) {
			if i := e.(*workloadmeta.ContainerImageMetadata); slices.Contains(i.RepoTags, tag) {
				found = i
			}
		}
		return found
	}
	appears := func(tag string) string {
		t.Helper()
		eventually(t, func() string {
			if find(tag) == nil {
				return "no image " + tag
			}
			return ""
		})
		return find(tag).ID
	}
	tags := func(id string, want ...string) {
		t.Helper()
		eventually(t, func() string {
			i, err := a.store.GetContainerImage(id)
			if want == nil && err != nil || err == nil && want != nil &&
				slices.Equal(i.RepoTags, want) {
				return ""
			}
			return fmt.Sprintf("image %s: %+v, %v; want tags %v", id, i, err, want)
		})
	}
	n.ImportImage("default", "reg.test/moving:1", "sleep", "1")
	first := appears("reg.test/moving:1")
	n.Ctr("default", "image", "tag", "reg.test/moving:1", "reg.test/moving:2")
	tags(first, "reg.test/moving:1", "reg.test/moving:2")
	n.ImportImage("other", "reg.test/moving:1", "sleep", "1") // the same image in another namespace
	time.Sleep(200 * time.Millisecond)                        // nothing is to happen
	tags(first, "reg.test/moving:1", "reg.test/moving:2")
	n.Ctr("default", "image", "rm", "reg.test/moving:2")
	tags(first, "reg.test/moving:1")
	// takes the tag away, in this namespace
	n.ImportImage("default", "reg.test/moving:1", "sleep", "2")
	eventually(t, func() string {
		count := 0
		for range a.store.List(workloadmeta.KindContainerImage) {
			count++
		}
		if count != 2 {
			return fmt.Sprint(count, " images")
		}
		return ""
	})
	tags(first, "reg.test/moving:1") // in the other
	n.Ctr("other", "image", "rm", "reg.test/moving:1")
	tags(first)
	second := appears("reg.test/moving:1")
	if second == first {
		t.Error("another image has the same ID")
	}
	n.Ctr("default", "image", "rm", "reg.test/moving:1")
	tags(second)
}

// TestContainerdTagMovesWhileAContainerRuns: a container stays one of the image that it was made
// of.
func TestContainerdTagMovesWhileAContainerRuns(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	n.ImportImage("default", web, "sleep", "1")
	n.Run("default", web, "old", "sleep", "1000")
	a := startContainerd(t, n,
		containerd.Options{Tuning: containerd.Tuning{SettleResync: 500 * time.Millisecond,
			ResyncEvery: 500 * time.Millisecond}})
	old, err := a.store.GetContainer("old")
	if err != nil || old.Image.ID == "" {
		t.Fatal(old, err)
	}
	n.ImportImage("default", web, "sleep", "2")
	n.Run("default", web, "new", "sleep", "1000")
	a.expect("new", "start",
		func(c *workloadmeta.Container) bool {
			return c.Image.ID != "" &&
				c.Image.ID != old.Image.ID
		})
	n.Ctr("default", "container", "label", "old", "looked=at")
	a.expect("old", "label",
		func(c *workloadmeta.Container) bool {
			return c.Labels["looked"] == "at" &&
				c.Image.ID == old.Image.ID
		})
	lists := a.collector.Stats().Lists
	eventually(t, func() string {
		if got := a.collector.Stats().Lists; got < lists+2 {
			return fmt.Sprint(got, " lists")
		}
		return ""
	})
	a.expect("old", "lists", func(c *workloadmeta.Container) bool {
		return c.Image.ID == old.Image.ID && c.Image.Name == old.Image.Name
	})
}

// TestContainerdChurn starts and ends 200 containers as fast as the daemon can.
func TestContainerdChurn(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	n.ImportImage("default", web, "sleep", "1000")
	a := startContainerd(t, n, containerd.Options{})
	const count = 200
	var work sync.WaitGroup
	begin, stop := time.Now(), n.Events()
	for worker := range 4 {
		work.Go(func() {
			for i := worker; i < count; i += 4 {
				args := []string{"run", "--null-io", "--runc-root", n.Root + "/runc", "--label",
					fmt.Sprint("number=", i)}
				if i%3 != 0 {
					args = append(args, "--rm")
				} else {
					args = append(args, "--detach")
				}
				// ctr ends with the container's code.
				if _, stderr, err := n.TryCtr("default",
					append(args, web, fmt.Sprint("churn", i), "sh", "-c",
						fmt.Sprint("exit ", i%100))...); err != nil && stderr != "" {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	t.Logf("%d containers in %v", count, time.Since(begin))
	events, untold := stop(), 0
	for i := range count {
		id, code := fmt.Sprint("churn", i), int64(i%100)
		// A shim of containerd 2 that is told to end drops the events that it has not sent yet. Who
		// has not seen the end otherwise must not make a code up.
		if told := regexp.MustCompile(`/tasks/(exit|delete) .*"container_id":"` + id +
			`"`); !told.MatchString(events) && !strings.HasPrefix(n.Version, "1.") {
			untold++
			eventually(t, func() string { return a.notEnded(id) })
			if _, c := a.last(id); c.State.ExitCode == nil {
				code = -1
			}
		}
		a.expectEnd(id, code)
		if h := a.history(id); !strings.HasPrefix(h, "set") || strings.Count(h, "unset") != 1 {
			t.Errorf("%s was told: %s", id, h)
		}
		if _, c := a.last(id); c.Name != id || c.Image.Name != "reg.example.test:5000/shop/web" ||
			c.State.StartedAt.IsZero() ||
			code >= 0 && c.State.FinishedAt.Before(c.State.StartedAt) {
			t.Errorf("last state of %s: %+v", id, c)
		}
	}
	if untold > count/4 {
		t.Errorf("of %d containers no end was told", untold)
	}
	a.expectIDs()
}

// TestContainerdKilledAndRestarted has containers end, come and go while nobody watches.
func TestContainerdKilledAndRestarted(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	n.ImportImage("default", web, "sleep", "1000")
	for _, id := range []string{"stays", "dies", "vanishes"} {
		n.Run("default", web, id, "sleep", "1000")
	}
	a := startContainerd(t, n, containerd.Options{})
	before, err := a.store.GetContainer("stays")
	if err != nil {
		t.Fatal(err)
	}
	a.heard("stays")
	told := a.history("stays")
	dies, err := a.store.GetContainer("dies")
	if err != nil {
		t.Fatal(err)
	}

	n.Kill()
	if err := syscall.Kill(dies.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a.trouble("containerd", "")
	if got := a.ids(); len(got) != 3 {
		t.Errorf("a lost connection has unset containers: %v", got)
	}
	n.Restart()
	kill(t, n, "default", "vanishes")
	n.Ctr("default", "task", "delete", "vanishes")
	n.Ctr("default", "container", "delete", "vanishes")
	n.Run("default", web, "created", "sleep", "1000")

	a.expectIDs("stays", "created")
	code := int64(137)
	if !strings.HasPrefix(n.Version, "1.") {
		// since version 2 containerd forgets, when it starts, the tasks that ended while it was
		// away
		code = -1
	}
	a.expectEnd("dies", code)
	eventually(t, func() string { return a.notEnded("vanishes") })
	if after, err := a.store.GetContainer("stays"); err != nil || !after.Equal(before) ||
		a.history("stays") != told {
		t.Errorf("what has not changed was told: %s; %+v, %v", a.history("stays"), after, err)
	}
	for _, id := range []string{"dies", "vanishes"} {
		if h := a.history(id); strings.Count(h, "unset") != 1 {
			t.Errorf("%s was told: %s", id, h)
		}
	}
}

func TestContainerdFrozenIsDetectedAndRepaired(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	n.ImportImage("default", web, "sleep", "1000")
	n.Run("default", web, "web", "sleep", "1000")
	a := startContainerd(t, n,
		containerd.Options{Tuning: containerd.Tuning{PingEvery: 500 * time.Millisecond,
			CallTimeout: time.Second}})
	c, err := a.store.GetContainer("web")
	if err != nil {
		t.Fatal(err)
	}
	n.Freeze()
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil { // it ends while the daemon sleeps
		t.Fatal(err)
	}
	a.trouble("containerd", "")
	if _, err := a.store.GetContainer("web"); err != nil {
		t.Errorf("a silent daemon has cost us a container: %v", err)
	}
	n.Thaw()
	eventually(t, func() string {
		if event, c := a.last("web"); event != workloadmeta.EventTypeUnset ||
			c.State.ExitCode == nil || *c.State.ExitCode != 137 {
			return fmt.Sprintf("%v %+v", event, c)
		}
		return ""
	})
	n.Run("default", web, "after", "sleep", "1000")
	eventually(t, func() string {
		if _, err := a.store.GetContainer("after"); err != nil {
			return err.Error()
		}
		return ""
	})
	a.close()
	later := startContainerd(t, n,
		containerd.Options{Tuning: containerd.Tuning{CallTimeout: time.Hour}})
	n.Freeze()
	later.close() // waits for no call
	n.Thaw()
}

// TestContainerdHungShim: containerd leaves a container out of its list of tasks when the
// container's helper process, the shim, does not answer.
func TestContainerdHungShim(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	n.ImportImage("default", web, "sleep", "1000")
	n.Run("default", web, "well", "sleep", "1000")
	n.Run("default", web, "hung", "sleep", "1000")
	var pid int
	for line := range strings.Lines(n.Ctr("default", "task", "ls")) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "hung" {
			fmt.Sscan(fields[1], &pid)
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var shim int
	if _, err := fmt.Sscanf(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " S %d",
		&shim); err != nil || shim < 2 {
		t.Fatalf("shim of process %d: %d, %v", pid, shim, err)
	}
	if err := syscall.Kill(shim, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(shim, syscall.SIGCONT) //nolint:errcheck // it is there
	a := startContainerd(t, n, containerd.Options{})
	for _, id := range []string{"well", "hung"} {
		if c, err := a.store.GetContainer(id); err != nil || !c.State.Running ||
			c.Image.Tag != "1" {
			t.Errorf("%s = %+v, %v", id, c, err)
		}
	}
	n.Run("default", web, "after", "sleep", "1000")
	a.expect("after", "start", func(c *workloadmeta.Container) bool { return c.PID != 0 })
	if err := syscall.Kill(shim, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	kill(t, n, "default", "hung")
	a.expectEnd("hung", 137)
	a.expectIDs("after", "well")
}

// TestContainerdSocketReplaced has another daemon take over a path while the first goes on at a
// socket that nobody can find.
func TestContainerdSocketReplaced(t *testing.T) {
	realnode.Require(t)
	first, second := realnode.StartContainerd(t), realnode.StartContainerd(t)
	for i, n := range []*realnode.Containerd{first, second} {
		n.ImportImage("default", web, "sleep", "1000")
		n.Run("default", web, fmt.Sprint("of", i+1), "sleep", "1000")
	}
	socket := t.TempDir() + "/c.sock"
	link := func(n *realnode.Containerd) {
		t.Helper()
		if err := os.Link(n.Socket, socket+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(socket+".new", socket); err != nil {
			t.Fatal(err)
		}
	}
	link(first)
	a := startContainerd(t, first,
		containerd.Options{Address: socket,
			Tuning: containerd.Tuning{PingEvery: 300 * time.Millisecond}})
	a.expectIDs("of1")
	link(second)
	a.expectIDs("of2")
}

func TestContainerdNamespaces(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	run := func(ns, id string) {
		n.ImportImage(ns, web, "sleep", "1000")
		n.Run(ns, web, id, "sleep", "1000")
	}
	run("default", "first")
	run("moby", "docker1")
	run("noise1", "noise-a")
	run("noise2", "noise-b")
	all := startContainerd(t,
		n, containerd.Options{ExcludeNamespaces: []string{"noise1", "noise2"}})
	one := startContainerd(t, n, containerd.Options{Namespaces: []string{"later", "moby"}})
	all.expectIDs("first")
	one.expectIDs("docker1") // who names moby gets it

	run("later", "second") // in a namespace that was not there
	n.Run("noise1", web, "noise-c", "sleep", "1000")
	n.Run("noise2", web, "noise-d", "sleep", "1000")
	n.Run("moby", web, "docker2", "sleep", "1000")
	all.expectIDs("first", "second")
	one.expectIDs("docker1", "docker2", "second")
	if events := all.collector.Stats().Events; events["/tasks/start"] != 1 ||
		events["/containers/create"] != 1 {
		t.Errorf("events of excluded namespaces have come: %v", events)
	}
}

// TestContainerdSameIDInTwoNamespaces: they are two containers, of which one is reported at a time.
func TestContainerdSameIDInTwoNamespaces(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	n.ImportImage("a", web, "sleep", "1000")
	n.ImportImage("b", web, "sleep", "1000")
	n.Run("a", web, "twin", "sleep", "1000")
	a := startContainerd(t, n, containerd.Options{})
	n.Run("b", "--runc-root", n.Root+"/runc-b", web, "twin", "sleep", "1000")
	kill(t, n, "a", "twin")
	a.expect("twin", "the other",
		func(c *workloadmeta.Container) bool { return c.Namespace == "b" && c.State.Running })
	kill(t, n, "b", "twin")
	a.expectEnd("twin", 137)
}

// TestContainerdSecretsStayOut plants secrets in environments and looks for them in everything that
// can be asked for.
func TestContainerdSecretsStayOut(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	const secret = "hunter2-of-the-environment"
	n.ImportImage("default", web, "sleep", "1000")
	a := startContainerd(t, n, containerd.Options{})
	n.Run("default", "--env", "DB_PASSWORD="+secret, "--env", "dd_env=prod", "--env",
		"DD_API_KEY="+secret,
		"--label", "kubectl.kubernetes.io/last-applied-configuration="+
			secret, web, "safe", "sleep", "1000")
	a.expect("safe", "start",
		func(c *workloadmeta.Container) bool { return c.PID != 0 && c.EnvVars["dd_env"] == "prod" })
	a.expectTags("safe", "container_id:safe")
	kill(t, n, "default", "safe")
	a.expectEnd("safe", 137)
	a.expectNoSecret("hunter2")
}
