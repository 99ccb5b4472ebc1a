package process_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

var (
	idA    = strings.Repeat("a1", 32)
	idB    = strings.Repeat("b2", 32)
	podUID = "22fbbcfa-bbe1-4584-b620-cf92b2991773"
)

func is(ids ...string) func(string) bool {
	return func(id string) bool {
		for _, known := range ids {
			if id == known {
				return true
			}
		}
		return false
	}
}

func TestInodeOfCgroup(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "web", args: []string{"web"}, cgroup: "0::/docker/" + idA + "/x\n"})
	c := process.NewWith(process.Options{}, tr.machine())
	if k := pull(t, c).containers[idA]; k == nil || k.CgroupInode != 0 {
		t.Errorf("without a view of the cgroups: %+v", k)
	}
	for range 2 {
		want := tr.cgroup("/docker/" + idA)
		if k := pull(t, c).containers[idA]; k == nil || k.CgroupInode != want {
			t.Errorf("inode %d: %+v", want, k)
		}
	}
}

func TestContainerOfCgroup(t *testing.T) {
	kubepods := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" +
		strings.ReplaceAll(podUID, "-", "_") + ".slice"
	tests := []struct {
		name, cgroup string
		runtime      workloadmeta.ContainerRuntime
		path, pod    string
	}{
		{"docker", "0::/system.slice/docker-" + idA + ".scope\n", workloadmeta.RuntimeDocker, "/system.slice/docker-" + idA + ".scope", ""},
		{"containerd in a pod", "0::" + kubepods + "/cri-containerd-" + idA + ".scope\n", workloadmeta.RuntimeContainerd, kubepods + "/cri-containerd-" + idA + ".scope", podUID},
		{"podman's own group", "0::/machine.slice/libpod-" + idA + ".scope/container\n", workloadmeta.RuntimePodman, "/machine.slice/libpod-" + idA + ".scope", ""},
		{"first version", "12:pids:/\n4:memory:/docker/" + idA + "\n1:name=systemd:/docker/" + idA + "/init.scope\n0::/\n", workloadmeta.RuntimeDocker, "/docker/" + idA, ""},
		{"both versions", "4:memory:/docker/" + idA + "\n0::/docker/" + idA + "/x\n", workloadmeta.RuntimeDocker, "/docker/" + idA, ""},
		{"another namespace", "0::/../../docker-" + idA + ".scope\n", workloadmeta.RuntimeDocker, "", ""},
		{"a broken line", "nonsense\n0::/docker/" + idA + "\n", workloadmeta.RuntimeDocker, "/docker/" + idA, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTree(t)
			tr.put(proc{pid: 10, comm: "web", args: []string{"web"}, cgroup: tt.cgroup})
			k := pull(t, process.NewWith(process.Options{}, tr.machine())).containers[idA]
			if k == nil {
				t.Fatal("no container")
			}
			if k.Runtime != tt.runtime || k.CgroupPath != tt.path {
				t.Errorf("runtime %q, path %q", k.Runtime, k.CgroupPath)
			}
			if (k.Owner == nil) != (tt.pod == "") || k.Owner != nil && k.Owner.ID != tt.pod {
				t.Errorf("owner %v", k.Owner)
			}
			if !k.State.Running || k.State.Status != workloadmeta.StatusRunning {
				t.Errorf("state %+v", k.State)
			}
		})
	}
}

// Docker's managed plugins, and whatever else, have a group of 64 digits at the root. It is a
// container only if a runtime or what starts containers says so.
func TestGroupAtTheRoot(t *testing.T) {
	shim := func(namespace string) *proc {
		return &proc{pid: 5, comm: "containerd-shim",
			cgroup: "0::/system.slice/containerd.service\n",
			args:   []string{"containerd-shim", "-namespace", namespace, "-id", idA}}
	}
	for _, tt := range []struct {
		name   string
		parent *proc
		known  func(string) bool
		want   bool
	}{
		{name: "nobody's"},
		{name: "a runtime knows it", known: is(idA), want: true},
		{name: "of a shim", parent: shim("default"), want: true},
		{name: "of a plugin's shim", parent: shim("plugins.moby")},
		{name: "of podman's monitor", want: true,
			parent: &proc{pid: 5, comm: "conmon",
				cgroup: "0::/machine.slice/libpod-conmon-x.scope\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTree(t)
			if tt.parent != nil {
				tr.put(*tt.parent)
			}
			tr.put(proc{pid: 10, ppid: 5, comm: "web", args: []string{"web"},
				cgroup: "0::/" + idA + "\n"})
			c := process.NewWith(process.Options{}, tr.machine())
			w := &sink{known: tt.known}
			if err := c.Pull(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, e := range w.entities {
				if p, ok := e.(*workloadmeta.Process); ok && p.PID == 10 {
					got = p.ContainerID
				}
			}
			if (got == idA) != tt.want {
				t.Errorf("container = %q, want one: %v", got, tt.want)
			}
		})
	}
}

func TestFirstProcess(t *testing.T) {
	cgroup := "0::/docker/" + idA + "\n"
	tests := []struct {
		name      string
		processes []proc
		pid       int
		start     uint64
	}{
		{"number 1 of its namespace", []proc{
			{pid: 10, start: 50, nspid: "10\t7"}, {pid: 11, start: 60, nspid: "11\t1"}, {pid: 12, start: 70, nspid: "12\t5\t1"},
		}, 11, 60},
		{"the oldest", []proc{{pid: 10, start: 70}, {pid: 11, start: 60}, {pid: 12, start: 60}}, 11, 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTree(t)
			for _, p := range tt.processes {
				p.comm, p.cgroup = "web", cgroup
				tr.put(p)
			}
			k := pull(t, process.NewWith(process.Options{}, tr.machine())).containers[idA]
			if k == nil || k.PID != tt.pid || !k.State.StartedAt.Equal(boot.Add(ticks(tt.start))) {
				t.Errorf("got %+v", k)
			}
		})
	}
}

func TestContainerEndsWithItsProcesses(t *testing.T) {
	tr := newTree(t)
	for pid := 10; pid < 12; pid++ {
		tr.put(proc{pid: pid, comm: "web", cgroup: "0::/docker/" + idA + "\n"})
	}
	c := process.NewWith(process.Options{}, tr.machine())
	first := pull(t, c).containers[idA]
	tr.remove(11)
	if k := pull(t, c).containers[idA]; k != first {
		t.Errorf("changed with a process that is not its first: %+v", k)
	}
	tr.put(proc{pid: 10, comm: "web", state: "Z", cgroup: "0::/docker/" + idA + "\n"})
	if k := pull(t, c).containers[idA]; k != nil {
		t.Errorf("a container with nothing but a zombie: %+v", k)
	}
}

func TestSandboxes(t *testing.T) {
	put := func(tr tree, p proc) {
		p.cgroup = "0::/kubepods/pod" + podUID + "/" + idA + "\n"
		tr.put(p)
	}
	for _, p := range []proc{{comm: "pause", args: []string{"/pause"}},
		{comm: "catatonit", args: []string{"/catatonit", "-P"}}, {comm: "pod",
			exe: "/usr/bin/pod"}} {
		t.Run(p.comm, func(t *testing.T) {
			tr := newTree(t)
			p.pid = 10
			put(tr, p)
			c := process.NewWith(process.Options{}, tr.machine())
			v := pull(t, c)
			if len(v.containers) != 0 || v.processes[10].ContainerID != idA {
				t.Errorf("reported %+v", v.all)
			}
			put(tr, proc{pid: 11, comm: "web"})
			if v := pull(t, c); len(v.containers) != 1 {
				t.Error("a container with another process is not a sandbox")
			}
		})
	}
}

func TestNoContainers(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "web", cgroup: "0::/docker/" + idA + "\n"})
	v := pull(t, process.NewWith(process.Options{NoContainers: true}, tr.machine()))
	if len(v.containers) != 0 || v.processes[10].ContainerID != idA {
		t.Errorf("reported %+v", v.all)
	}
}

func TestContainerInAContainer(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "web", args: []string{"web"},
		cgroup: "0::/docker/" + idA + "/docker/" + idB + "\n"})
	m := tr.machine()
	c := process.NewWith(process.Options{}, m)
	if v := pull(t, c); v.processes[10].ContainerID != idB || v.containers[idB] == nil {
		t.Errorf("at first %+v", v.all)
	}
	m.details = 0
	v := pullKnowing(t, c, is(idA)) // this machine's runtime has answered by now
	if p := v.processes[10]; p.ContainerID != idA || p.Owner.ID != idA || len(p.Cmdline) != 1 {
		t.Errorf("then %+v", p)
	}
	if k := v.containers[idA]; k == nil || k.CgroupPath != "/docker/"+idA ||
		len(v.containers) != 1 {
		t.Errorf("then %+v", v.containers)
	}
	if m.details != 0 {
		t.Error("read again what was known")
	}
}

func TestSandboxOfAVirtualMachine(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "qemu", args: []string{"qemu"},
		cgroup: "0::/kata_overhead/" + idA + "\n"})
	c := process.NewWith(process.Options{}, tr.machine())
	if v := pull(t, c); v.processes[10].ContainerID != "" || len(v.containers) != 0 {
		t.Errorf("reported %+v", v.all)
	}
	if v := pullKnowing(t, c, is(idA)); v.processes[10].ContainerID != idA ||
		len(v.containers) != 0 {
		t.Errorf("reported %+v", v.all)
	}
}

// What becomes of a container that a runtime reports as well, from its processes' first pull to
// the last, with the real supervisor and store.
func TestContainerOfARuntime(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "web", cgroup: "0::/docker/" + idA + "\n"})
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		defer s.Close()
		runtime := &byHand{sinks: make(chan workloadmeta.Sink, 1)}
		runs, err := collection.New(
			collection.Options{Store: s, Collectors: []workloadmeta.Collector{
				process.NewWith(process.Options{}, tr.machine()), runtime}})
		if err != nil {
			t.Fatal(err)
		}
		if err := runs.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer runs.Stop(context.Background()) //nolint:errcheck // it ends with the test
		sink := <-runtime.sinks
		synctest.Wait()
		container := func(edit func(*workloadmeta.Container)) *workloadmeta.Container {
			c := &workloadmeta.Container{EntityID: workloadmeta.EntityID{
				Kind: workloadmeta.KindContainer, ID: idA}}
			edit(c)
			return c
		}
		running := container(func(c *workloadmeta.Container) {
			c.Name, c.State.Running, c.State.Status = "web", true, workloadmeta.StatusRunning
		})
		check := func(when, want string) {
			t.Helper()
			got := "nothing"
			if c, err := s.GetContainer(idA); err == nil {
				got = fmt.Sprint(c.Name, " ", c.PID, " ", c.State.Status)
			}
			if got != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		check("before the runtime has answered", " 10 running")
		sink.Set(running)
		check("when the runtime reports it", "web 10 running")
		time.Sleep(time.Minute)
		sink.Set(container(func(c *workloadmeta.Container) {
			c.Name, c.State.Status = "web", workloadmeta.StatusStopped
		}))
		check("after a stop", "web 0 stopped")
		time.Sleep(time.Minute)
		check("while its processes are still there", "web 0 stopped")
		sink.Set(running)
		code := int64(137)
		sink.Unset(container(func(c *workloadmeta.Container) {
			c.State.Status, c.State.ExitCode = workloadmeta.StatusStopped, &code
		}))
		check("after its removal", "nothing")
		time.Sleep(time.Minute)
		check("while its processes are about to end", "nothing")
		tr.remove(10)
		tr.put(proc{pid: 11, start: 7, comm: "web", cgroup: "0::/docker/" + idA + "\n"})
		time.Sleep(time.Minute)
		check("with another process of which the runtime has not told yet", " 11 running")
		tr.remove(11)
		time.Sleep(time.Minute)
		check("at the end", "nothing")
	})
}

// byHand is a runtime's collector that reports what the test tells it to.
type byHand struct{ sinks chan workloadmeta.Sink }

func (*byHand) Describe() workloadmeta.Description {
	return workloadmeta.Description{ID: "docker", Source: workloadmeta.SourceRuntime,
		Kinds: []workloadmeta.Kind{workloadmeta.KindContainer}, Rank: 50}
}

func (*byHand) Detect(context.Context) workloadmeta.Detection {
	return workloadmeta.Detection{State: workloadmeta.Detected}
}

func (b *byHand) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	sink.Synced()
	b.sinks <- sink
	<-ctx.Done()
	return nil
}
