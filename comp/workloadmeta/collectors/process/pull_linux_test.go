package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
	"github.com/rollcall-dev/rollcall/pkg/proclang"
)

func TestUnchangedIsTheSameEntityAndOneRead(t *testing.T) {
	tr := newTree(t)
	id := strings.Repeat("a1", 32)
	for pid := 10; pid < 20; pid++ {
		tr.put(proc{pid: pid, comm: "web", args: []string{"web", "-p"},
			cgroup: "0::/docker/" + id + "\n"})
	}
	m := tr.machine()
	c := process.NewWith(process.Options{}, m)
	first := pull(t, c)
	m.stats, m.details = 0, 0
	second := pull(t, c)
	if m.stats != 11 || m.details != 0 {
		t.Errorf("%d stats and %d full reads, want 11 and none", m.stats, m.details)
	}
	if !slices.Equal(first.all, second.all) { // compares pointers
		t.Error("something unchanged was reported as something new")
	}
	if len(first.processes) != 11 || len(first.containers) != 1 {
		t.Errorf("%d processes and %d containers", len(first.processes), len(first.containers))
	}
}

func TestClockStepChangesNothing(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "web", args: []string{"web"},
		cgroup: "0::/docker/" + strings.Repeat("a1", 32) + "\n"})
	m := tr.machine()
	c := process.NewWith(process.Options{}, m)
	before := pull(t, c)
	m.clock = process.MakeClock(boot.Add(time.Hour), uptime+10*time.Second)
	if after := pull(t, c); !slices.Equal(before.all, after.all) {
		t.Error("a clock that was set changed entities")
	}
}

func TestReusedPID(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "web", args: []string{"web"},
		cgroup: "0::/docker/" + strings.Repeat("a1", 32) + "\n"})
	c := process.NewWith(process.Options{}, tr.machine())
	before := pull(t, c).processes[10]
	tr.put(proc{pid: 10, comm: "web", args: []string{"web", "2"}, start: oldTicks + 1,
		cgroup: "0::/system.slice/x.service\n"})
	after := pull(t, c).processes[10]
	if workloadmeta.SameIncarnation(before, after) {
		t.Error("the second process passes for the first")
	}
	if after.ContainerID != "" || !slices.Equal(after.Cmdline, []string{"web", "2"}) ||
		after.CreationTime.Equal(before.CreationTime) {
		t.Errorf("something of the first process is left: %+v", after)
	}
}

func TestReusedPIDWhileItIsRead(t *testing.T) {
	tr := newTree(t)
	m := tr.machine()
	tr.put(proc{pid: 10, comm: "old", args: []string{"old"}})
	m.before = func(file string, pid int32) {
		if file == "details" && pid == 10 {
			tr.put(proc{pid: 10, comm: "new", args: []string{"new"}, start: oldTicks + 5})
		}
	}
	c := process.NewWith(process.Options{}, m)
	if p := pull(t, c).processes[10]; p != nil {
		t.Errorf("a mixture of two processes was reported: %+v", p)
	}
	m.before = nil
	if p := pull(t, c).processes[10]; p == nil || p.Comm != "new" || p.StartTicks != oldTicks+5 {
		t.Errorf("the second process is %+v", p)
	}
}

func TestAnotherProgram(t *testing.T) {
	sh := proc{pid: 10, comm: "sh", stack: 7000, args: []string{"sh", "-c", "exec java"},
		exe: "/bin/dash"}
	tests := []struct {
		name  string
		after proc
	}{
		{"with another name", proc{pid: 10, comm: "java", stack: 8000, args: []string{"java", "Main"}, exe: "/usr/bin/java"}},
		{"where the stack may not be seen", proc{pid: 10, comm: "java", args: []string{"java", "Main"}, exe: "/usr/bin/java"}},
		{"with the same name", proc{pid: 10, comm: "sh", stack: 9000, args: []string{"sh", "-c", "other"}, exe: "/bin/dash"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTree(t)
			tr.put(sh)
			c := process.NewWith(process.Options{}, tr.machine())
			before := pull(t, c).processes[10]
			tr.put(tt.after)
			after := pull(t, c).processes[10]
			if !slices.Equal(after.Cmdline, tt.after.args) || after.Exe != tt.after.exe ||
				after.Comm != tt.after.comm {
				t.Errorf("got %+v", after)
			}
			if !workloadmeta.SameIncarnation(before, after) ||
				!before.CreationTime.Equal(after.CreationTime) {
				t.Error("it is another process now")
			}
			if tt.after.comm == "java" &&
				(after.Language == nil || after.Language.Name != proclang.Java) {
				t.Errorf("language %+v", after.Language)
			}
		})
	}
}

func TestAnotherProgramWhileItIsRead(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "sh", stack: 7000, args: []string{"sh"}})
	m := tr.machine()
	read := false
	m.before = func(file string, pid int32) {
		if file == "stat" && pid == 10 && read {
			tr.put(proc{pid: 10, comm: "sh", stack: 9000, args: []string{"sh", "2"}})
		}
		read = read || file == "details" && pid == 10
	}
	c := process.NewWith(process.Options{}, m)
	pull(t, c)
	if p := pull(t, c).processes[10]; !slices.Equal(p.Cmdline, []string{"sh", "2"}) {
		t.Errorf("still %q", p.Cmdline)
	}
	m.details = 0
	if pull(t, c); m.details != 0 {
		t.Error("read again for nothing")
	}
}

func TestParentDies(t *testing.T) {
	tr := newTree(t)
	p := proc{pid: 10, ppid: 5, comm: "web", args: []string{"web"}}
	tr.put(p)
	c := process.NewWith(process.Options{}, tr.machine())
	before := pull(t, c).processes[10]
	p.ppid = 1
	tr.put(p)
	after := pull(t, c).processes[10]
	if before.PPID != 5 || after.PPID != 1 || len(after.Cmdline) != 1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestNotProcesses(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 2, comm: "kthreadd", flags: 0x00200000})
	tr.put(proc{pid: 10, comm: "zombie", state: "Z", args: []string{"x"}})
	tr.put(proc{pid: 11, comm: "dead", state: "X", args: []string{"x"}})
	tr.put(proc{pid: 12, comm: "lost its main", state: "Z", threads: 3})
	tr.put(proc{pid: 13, comm: "silent"}) // no command line, but no thread of the kernel either
	tr.put(proc{pid: 14, comm: "a) (b", args: []string{"x"}})
	c := process.NewWith(process.Options{}, tr.machine())
	v := pull(t, c)
	if got, want := slices.Sorted(maps.Keys(v.processes)), []int32{1, 12, 13,
		14}; !slices.Equal(got, want) {
		t.Errorf("processes %v, want %v", got, want)
	}
	if p := v.processes[14]; p != nil && (p.Comm != "a) (b" || p.Name != "a) (b") {
		t.Errorf("named %q and %q", p.Comm, p.Name)
	}
	// One that becomes a zombie is gone, whatever is known of it.
	tr.put(proc{pid: 14, comm: "a) (b", state: "Z"})
	if p := pull(t, c).processes[14]; p != nil {
		t.Errorf("a zombie is reported: %+v", p)
	}
}

// Each file of a process may vanish, or be forbidden, at each point.
func TestDisappearing(t *testing.T) {
	whole := proc{pid: 10, comm: "web", args: []string{"web"}, exe: "/bin/web", cwd: "/srv",
		cgroup: "0::/docker/" + strings.Repeat("a1", 32) + "\n"}
	for _, name := range []string{"status", "cmdline", "cgroup", "exe", "cwd"} {
		t.Run("without "+name, func(t *testing.T) {
			tr := newTree(t)
			tr.put(whole)
			tr.remove(10, name)
			p := pull(t, process.NewWith(process.Options{}, tr.machine())).processes[10]
			if p == nil {
				t.Fatal("not reported")
			}
			empty := map[string]bool{
				"status": p.NsPID == 0 && p.UIDs == nil &&
					p.GIDs == nil, "cmdline": p.Cmdline == nil,
				"cgroup": p.ContainerID == "" &&
					p.Owner == nil, "exe": p.Exe == "", "cwd": p.Cwd == "",
			}
			for field, is := range empty {
				if is != (field == name) {
					t.Errorf("%s empty: %v in %+v", field, is, p)
				}
			}
		})
	}
	for n := range 3 { // stat, details, stat again
		t.Run(fmt.Sprintf("before read %d", n+1), func(t *testing.T) {
			tr := newTree(t)
			tr.put(whole)
			m := tr.machine()
			reads := 0
			m.before = func(_ string, pid int32) {
				if pid != 10 {
					return
				}
				if reads == n {
					tr.remove(10)
				}
				reads++
			}
			c := process.NewWith(process.Options{}, m)
			if v := pull(t, c); v.processes[10] != nil || len(v.containers) != 0 ||
				v.processes[1] == nil {
				t.Errorf("reported %v", v.all)
			}
			if v := pull(t, c); len(v.all) != 1 {
				t.Errorf("then reported %v", v.all)
			}
		})
	}
	t.Run("of a known one, too", func(t *testing.T) {
		tr := newTree(t)
		tr.put(whole)
		c := process.NewWith(process.Options{}, tr.machine())
		pull(t, c)
		tr.remove(10)
		if v := pull(t, c); len(v.all) != 1 {
			t.Errorf("reported %v", v.all)
		}
	})
}

func TestUnreadableStatIsLoggedOnce(t *testing.T) {
	tr := newTree(t)
	tr.put(proc{pid: 10, comm: "web"})
	tr.write(10, "stat", "10 (web) S what")
	var log bytes.Buffer
	c := process.NewWith(process.Options{Log: slog.New(slog.NewTextHandler(&log, nil))},
		tr.machine())
	for range 3 {
		if v := pull(t, c); v.processes[10] != nil || v.processes[1] == nil {
			t.Errorf("reported %v", v.all)
		}
	}
	if got := log.String(); strings.Count(got, "level=WARN") != 1 ||
		!strings.Contains(got, "what") {
		t.Errorf("log:\n%s", got)
	}
}

func TestMemoryGoneBeforeTheProcess(t *testing.T) {
	tr := newTree(t)
	young := proc{pid: 10, comm: "web", start: youngTicks, args: []string{"web", "x"},
		exe: "/bin/web"}
	tr.put(young)
	c := process.NewWith(process.Options{}, tr.machine())
	before := pull(t, c).processes[10]
	tr.write(10, "cmdline", "")
	tr.remove(10, "exe")
	if after := pull(t, c).processes[10]; after != before {
		t.Errorf("forgot what was known: %+v", after)
	}
}

func TestContainerLater(t *testing.T) {
	tr := newTree(t)
	id := strings.Repeat("a1", 32)
	p := proc{pid: 10, comm: "web", start: youngTicks, args: []string{"web"},
		cgroup: "0::/system.slice/docker.service\n"}
	tr.put(p)
	m := tr.machine()
	c := process.NewWith(process.Options{}, m)
	if v := pull(t, c); v.processes[10].ContainerID != "" || len(v.containers) != 0 {
		t.Fatalf("in a container already: %+v", v.processes[10])
	}
	for range 3 {
		m.details = 0
		if pull(t, c); m.details != 1 {
			t.Fatalf("%d full reads of a young process without a container", m.details)
		}
	}
	tr.write(10, "cgroup", "0::/docker/"+id+"\n")
	v := pull(t, c)
	if got := v.processes[10]; got.ContainerID != id || got.Owner == nil || got.Owner.ID != id ||
		v.containers[id] == nil {
		t.Errorf("not in its container: %+v", got)
	}
	m.details = 0
	if pull(t, c); m.details != 0 {
		t.Error("read again although it has its container")
	}

	// Whoever has none after a minute will not get one.
	tr.write(10, "cgroup", "0::/\n")
	p.start++
	tr.put(p)
	pull(t, c)
	m.clock = process.MakeClock(boot, uptime+2*time.Minute)
	m.details = 0
	if pull(t, c); m.details != 0 {
		t.Error("a process two minutes old is read again")
	}
}

func TestSettles(t *testing.T) {
	tr := newTree(t)
	id := strings.Repeat("a1", 32)
	p := proc{pid: 10, comm: "nginx", start: youngTicks, args: []string{"nginx"},
		cgroup: "0::/docker/" + id + "\n"}
	tr.put(p)
	m := tr.machine()
	c := process.NewWith(process.Options{}, m)
	pull(t, c)
	p.uid = 33 // seen before it gave root away
	tr.put(p)
	if got := pull(t, c).processes[10]; got.UIDs[0] != 33 {
		t.Errorf("users %v", got.UIDs)
	}
	m.details = 0
	if pull(t, c); m.details != 0 {
		t.Error("read a third time")
	}
}

func TestMaxReads(t *testing.T) {
	tr := newTree(t)
	for pid := 10; pid < 20; pid++ {
		tr.put(proc{pid: pid, ppid: 1, comm: "web", args: []string{"web", fmt.Sprint(pid)}})
	}
	m := tr.machine()
	c := process.NewWith(process.Options{MaxReads: 4}, m)
	for pass, want := range []int{4, 8, 11, 11} {
		if pass == 1 { // those who have waited come first
			tr.put(proc{pid: 5, comm: "late", args: []string{"late"}})
		}
		m.details = 0
		v := pull(t, c)
		if m.details > 4 {
			t.Errorf("pull %d: %d full reads", pass, m.details)
		}
		full := 0
		for pid, p := range v.processes {
			if pid == 5 {
				continue
			}
			if p.StartTicks != oldTicks || p.Comm == "" || p.Name == "" || p.CreationTime.IsZero() {
				t.Errorf("pull %d: less than the stat file says: %+v", pass, p)
			}
			if len(p.Cmdline) > 0 {
				full++
			}
		}
		if full != want {
			t.Errorf("pull %d: %d processes in full, want %d", pass, full, want)
		}
	}
	if p := pull(t, c).processes[5]; len(p.Cmdline) == 0 {
		t.Error("the late one never had its turn")
	}
}

func TestErrors(t *testing.T) {
	m := newTree(t).machine()
	c := process.NewWith(process.Options{}, m)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &sink{t: t}
	if err := c.Pull(ctx, s); !errors.Is(err, context.Canceled) || len(s.entities) > 0 {
		t.Errorf("Pull after the end: %v, %d entities", err, len(s.entities))
	}
	missing := t.TempDir() + "/nothing"
	if err := process.New(process.Options{ProcRoot: missing}).Pull(t.Context(), s); err == nil ||
		!strings.Contains(err.Error(), missing) {
		t.Errorf("Pull without a proc file system: %v", err)
	}
}

func TestDetect(t *testing.T) {
	tr := newTree(t)
	check := func(name, root string, state workloadmeta.DetectionState, reason ...string) {
		t.Helper()
		d := process.New(process.Options{ProcRoot: root}).Detect(t.Context())
		if d.State != state {
			t.Errorf("%s: %v", name, d)
		}
		for _, part := range reason {
			if !strings.Contains(d.String(), part) {
				t.Errorf("%s: the reason %q does not tell %q", name, d, part)
			}
		}
	}
	check("a tree", tr.root, workloadmeta.Detected, tr.root)
	tr.put(proc{pid: 10, comm: "mine"})
	tr.remove(1)
	check("hidepid", tr.root, workloadmeta.Detected, tr.root, "hidepid", "user")
	check("nothing", tr.root+"/none", workloadmeta.Absent, tr.root+"/none")
	empty := t.TempDir()
	check("no processes", empty, workloadmeta.Absent, empty)
	check("the real one", "/proc", workloadmeta.Detected, "/proc")
	check("the default", "", workloadmeta.Detected, "/proc")
}

func TestCollector(t *testing.T) {
	c := process.New(process.Options{})
	if c.Describe().ID != "process" || c.Describe().Source != workloadmeta.SourceProcess ||
		c.Describe().Period != 10*time.Second {
		t.Errorf("%s, %s, %v", c.Describe().ID, c.Describe().Source, c.Describe().Period)
	}
	// Containers must not be named: they would be incomplete until seen here.
	if kinds := c.Describe().Kinds; !slices.Equal(kinds,
		[]workloadmeta.Kind{workloadmeta.KindProcess}) {
		t.Errorf("kinds %v", kinds)
	}
}
