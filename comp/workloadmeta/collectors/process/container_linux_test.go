package process_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
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
	known := is()
	m := tr.machine()
	c := process.NewWith(process.Options{Known: func(id string) bool { return known(id) }}, m)
	if v := pull(t, c); v.processes[10].ContainerID != idB || v.containers[idB] == nil {
		t.Errorf("at first %+v", v.all)
	}
	known = is(idA) // this machine's runtime has answered by now
	m.details = 0
	v := pull(t, c)
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
	known := is()
	c := process.NewWith(process.Options{Known: func(id string) bool { return known(id) }},
		tr.machine())
	if v := pull(t, c); v.processes[10].ContainerID != "" || len(v.containers) != 0 {
		t.Errorf("reported %+v", v.all)
	}
	known = is(idA)
	if v := pull(t, c); v.processes[10].ContainerID != idA || len(v.containers) != 0 {
		t.Errorf("reported %+v", v.all)
	}
}

// A container of the runtime's is the runtime's until its last process has gone.
func TestCovered(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "web", cgroup: "0::/docker/" + idA + "\n"})
	covered := is()
	c := process.NewWith(process.Options{Covered: func(id string) bool { return covered(id) }},
		tr.machine())
	if v := pull(t, c); v.containers[idA] == nil {
		t.Error("no container although no runtime reports it")
	}
	covered = is(idA)
	if v := pull(t, c); len(v.containers) != 0 || v.processes[10].ContainerID != idA {
		t.Errorf("reported %+v", v.all)
	}
	covered = is() // removed there, and its processes are about to end
	if v := pull(t, c); len(v.containers) != 0 {
		t.Error("brought back a container that the runtime has removed")
	}
	tr.remove(10)
	pull(t, c)
}

// Why there is an Options.Covered: what a stop looks like in the store, with and without.
func TestCoveredByTheStore(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "web", cgroup: "0::/docker/" + idA + "\n"})
	s := store.New(store.Options{})
	defer s.Close()
	c := process.NewWith(process.Options{Known: process.KnownTo(s), Covered: process.CoveredBy(s)},
		tr.machine())
	report := func() { // as the supervisor does
		if err := s.Reset(c.Describe().Source, pull(t, c).all); err != nil {
			t.Fatal(err)
		}
	}
	report()
	runtime := func(k *workloadmeta.Container) {
		k.EntityID = workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: idA}
		if err := s.Push(workloadmeta.SourceRuntime, workloadmeta.CollectorEvent{
			Type: workloadmeta.EventTypeSet, Source: workloadmeta.SourceRuntime, Entity: k,
		}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, running bool, sources int) {
		t.Helper()
		k, err := s.GetContainer(idA)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		views, _ := s.Reports(k.EntityID)
		if k.State.Running != running || len(views) != sources {
			t.Errorf("%s: running %v, %d sources", when, k.State.Running, len(views))
		}
	}
	check("before the runtime has answered", true, 1)
	if process.KnownTo(s)(idA) || process.CoveredBy(s)(idA) {
		t.Error("what this collector reports counts as somebody else's word")
	}
	runtime(&workloadmeta.Container{
		State: workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning}})
	report()
	check("when the runtime reports it", true, 1)
	runtime(&workloadmeta.Container{
		State: workloadmeta.ContainerState{Status: workloadmeta.StatusStopped}})
	check("after a stop", false, 1)
	report() // its processes are still there
	check("after a stop and a pull", false, 1)
}
