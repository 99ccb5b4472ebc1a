package process_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
)

// start starts a command that is killed, at the latest, when the test ends.
func start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd) })
	return cmd
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // an error says that it has ended by itself
	_ = cmd.Wait()
}

func TestRealProcess(t *testing.T) {
	c := process.New(process.Options{ProcRoot: "/proc"})
	pull(t, c)
	began := time.Now()
	cmd := start(t, "sleep", "98765.4321")
	pid := int32(cmd.Process.Pid)
	p := pull(t, c).processes[pid]
	// The kernel lets the parent go on before the arguments are in place.
	for deadline := time.Now().Add(time.Minute); (p == nil || len(p.Cmdline) == 0) &&
		time.Now().Before(deadline); {
		p = pull(t, process.New(process.Options{ProcRoot: "/proc"})).processes[pid]
	}
	if p == nil {
		t.Fatal("not reported")
	}
	if p.Comm != "sleep" || !slices.Equal(p.Cmdline, []string{"sleep", "98765.4321"}) ||
		!strings.HasSuffix(p.Exe, "/"+exeBase(t)) {
		t.Errorf("got %+v", p)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if p.PID != pid || p.PPID != int32(os.Getpid()) || p.NsPID == 0 || p.Cwd != wd ||
		len(p.UIDs) != 4 || p.UIDs[1] != int32(os.Geteuid()) || len(p.GIDs) != 4 {
		t.Errorf("got %+v", p)
	}
	// Whole seconds of the boot and hundredths of the start are the figure's exactness.
	if p.CreationTime.Before(began.Add(-2*time.Second)) ||
		p.CreationTime.After(time.Now().Add(2*time.Second)) {
		t.Errorf("started %v after the beginning", p.CreationTime.Sub(began))
	}
	me := pull(t, c).processes[int32(os.Getpid())]
	if me == nil || me.Language == nil || me.Language.Name != "go" {
		t.Errorf("this test is %+v", me)
	}
	end(cmd)
	if p := pull(t, c).processes[pid]; p != nil {
		t.Errorf("still reported: %+v", p)
	}
}

// exeBase is the file behind sleep, which may be a multi-call binary.
func exeBase(t *testing.T) string {
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	if target, err := os.Readlink(path); err == nil {
		path = target
	}
	return path[strings.LastIndexByte(path, '/')+1:]
}

func TestRealZombie(t *testing.T) {
	cmd := start(t, "sleep", "98765")
	c := process.New(process.Options{ProcRoot: "/proc"})
	pid := int32(cmd.Process.Pid)
	if pull(t, c).processes[pid] == nil {
		t.Fatal("not reported")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Until it is waited for it is a zombie.
	for deadline := time.Now().Add(time.Minute); pull(t, c).processes[pid] != nil; {
		if time.Now().After(deadline) {
			t.Fatal("a zombie is reported")
		}
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/stat", pid)); err != nil {
		t.Errorf("there was no zombie: %v", err)
	}
}

// A shell that becomes another shell keeps its ID, its start and its name.
func TestRealProgramOfTheSameName(t *testing.T) {
	cmd := exec.Command("sh", "-c", `echo 1; read line; exec sh -c "echo 2; read line; echo 3"`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(cmd)
	lines := bufio.NewScanner(out)
	step := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the shell said %q, %v", lines.Text(), lines.Err())
		}
	}
	m := &machine{Machine: process.NewMachine("/proc")}
	c := process.NewWith(process.Options{}, m)
	// As if it had been running for an hour, so that it is read again for no other reason.
	m.clock = process.MakeClock(boot, 1<<62)
	step("1")
	before := pull(t, c).processes[int32(cmd.Process.Pid)]
	fmt.Fprintln(in, "go on")
	step("2")
	after := pull(t, c).processes[int32(cmd.Process.Pid)]
	if before == nil || after == nil || !workloadmeta.SameIncarnation(before, after) ||
		before.Comm != after.Comm {
		t.Fatalf("before %+v, after %+v", before, after)
	}
	if len(after.Cmdline) != 3 || !strings.HasPrefix(after.Cmdline[2], "echo 2") {
		t.Errorf("after %+v", after)
	}
}

// Processes that live for milliseconds end at every point of their being read.
func TestRealChurn(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	c := process.New(process.Options{ProcRoot: "/proc"})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = exec.Command("sh", "-c", "true & true").Run()
				}
			}
		})
	}
	me := int32(os.Getpid())
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until); {
		v := pull(t, c)
		if v.processes[me] == nil {
			t.Error("this process is missing")
		}
		for _, p := range v.processes {
			if p.Comm == "" || p.StartTicks == 0 && p.PID != 1 || p.CreationTime.IsZero() ||
				p.UIDs == nil {
				t.Errorf("half a process: %+v", p)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// A container is a cgroup with an ID and processes in it; that takes no runtime.
func TestRealContainer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may make cgroups")
	}
	id := strings.Repeat("fade", 16)
	dir := ""
	mount := ""
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/memory"} {
		if _, err := os.Stat(root + "/cgroup.procs"); err == nil {
			dir = root + "/docker-" + id + ".scope"
			if mount = "cgroup2"; root != "/sys/fs/cgroup" {
				mount = "cgroup -o memory"
			}
			break
		}
	}
	if dir == "" {
		t.Skip("no cgroups here")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("sleep", "98765")
	defer func() {
		if cmd.Process != nil {
			end(cmd)
		}
		// the kernel empties a group a little later
		for deadline := time.Now().Add(time.Minute); ; {
			err := os.Remove(dir)
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Error(err)
				return
			}
		}
	}()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := process.New(process.Options{ProcRoot: "/proc"})
	if pull(t, c).containers[id] != nil {
		t.Fatal("in a container already")
	}
	pid := cmd.Process.Pid
	if err := os.WriteFile(dir+"/cgroup.procs", fmt.Append(nil, pid), 0); err != nil {
		t.Skip(err)
	}
	v := pull(t, c)
	p, k := v.processes[int32(pid)], v.containers[id]
	if p == nil || p.ContainerID != id {
		t.Errorf("the process is %+v", p)
	}
	if k == nil || k.PID != pid || k.CgroupPath != "/docker-"+id+".scope" ||
		k.Runtime != workloadmeta.RuntimeDocker {
		t.Errorf("the container is %+v", k)
	}
	// What a process in the group sees as the root of the cgroups, in a namespace of its own.
	seen, err := exec.Command("sh", "-c",
		"echo $$ > "+dir+"/cgroup.procs && exec unshare -Cm sh -c "+
			"'mount -t "+mount+" none /mnt && stat -c %i /mnt'").CombinedOutput()
	if err != nil {
		t.Logf("cannot look from inside: %v: %s", err, seen)
	} else if want := strings.TrimSpace(string(seen)); k == nil ||
		fmt.Sprint(k.CgroupInode) != want {
		t.Errorf("the container is %+v; from inside its inode is %s", k, want)
	}
	end(cmd)
	if v := pull(t, c); v.processes[int32(pid)] != nil || v.containers[id] != nil {
		t.Error("reported after its end")
	}
}
