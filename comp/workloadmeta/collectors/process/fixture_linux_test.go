package process_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
)

// Time in the fixtures: the machine was started at boot and has been up for an hour.
var boot = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const uptime = time.Hour

// oldTicks is the start of a process that nobody expects to change any more.
const oldTicks = 1000

// youngTicks is the start of a process that is a second old.
const youngTicks = uint64((uptime - time.Second) / (10 * time.Millisecond))

// proc is one process of a fixture. Only PID is needed.
type proc struct {
	pid, ppid int
	comm      string
	start     uint64 // oldTicks if 0
	state     string // "S" if empty
	flags     uint64
	threads   int // 1 if 0
	stack     uint64
	uid, gid  int
	nspid     string // as in the status file; the PID if empty
	args      []string
	exe, cwd  string
	cgroup    string
}

func (p proc) statLine() string {
	if p.start == 0 {
		p.start = oldTicks
	}
	if p.state == "" {
		p.state = "S"
	}
	if p.threads == 0 {
		p.threads = 1
	}
	return fmt.Sprintf(
		"%d (%s) %s %d %d %d 0 -1 %d 1017 0 0 0 1 2 3 4 20 0 %d 0 %d 2441216 217 18446744073709551615 "+
			"94000000000000 94000000100000 %d 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
		p.pid, p.comm, p.state, p.ppid, p.pid, p.pid, p.flags, p.threads, p.start, p.stack)
}

func (p proc) status() string {
	ns := p.nspid
	if ns == "" {
		ns = strconv.Itoa(p.pid)
	}
	return fmt.Sprintf(
		"Name:\t%s\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t%d\nPid:\t%d\nPPid:\t%d\n"+
			"Uid:\t%[5]d\t%[5]d\t%[5]d\t%[5]d\nGid:\t%[6]d\t%[6]d\t%[6]d\t%[6]d\nNSpid:\t%[7]s\nThreads:\t1\n"+
			"Cpus_allowed_list:\t0-3\n", p.comm, p.pid, p.pid, p.ppid, p.uid, p.gid, ns)
}

// tree is a directory that looks like a proc file system.
type tree struct {
	t    testing.TB
	root string
}

// newTree returns a tree with a process 1.
func newTree(t testing.TB) tree {
	tr := tree{t, filepath.Join(t.TempDir(), "proc")}
	if err := os.Mkdir(tr.root, 0o755); err != nil {
		t.Fatal(err)
	}
	tr.put(proc{pid: 1, comm: "systemd", args: []string{"/sbin/init"},
		exe: "/usr/lib/systemd/systemd", cwd: "/", cgroup: "0::/init.scope\n"})
	if err := os.Mkdir(filepath.Join(tr.root, "sys"), 0o755); err != nil {
		t.Fatal(err)
	}
	return tr
}

func (tr tree) path(pid int, name string) string {
	return filepath.Join(tr.root, strconv.Itoa(pid), name)
}

func (tr tree) write(pid int, name, content string) {
	tr.t.Helper()
	if err := os.WriteFile(tr.path(pid, name), []byte(content), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

// put writes a process, in place of the one that has its PID.
func (tr tree) put(p proc) {
	tr.t.Helper()
	tr.remove(p.pid)
	if err := os.Mkdir(tr.path(p.pid, ""), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	tr.write(p.pid, "stat", p.statLine())
	tr.write(p.pid, "status", p.status())
	tr.write(p.pid, "cgroup", p.cgroup)
	cmdline := ""
	if len(p.args) > 0 {
		cmdline = strings.Join(p.args, "\x00") + "\x00"
	}
	tr.write(p.pid, "cmdline", cmdline)
	for name, target := range map[string]string{"exe": p.exe, "cwd": p.cwd} {
		if target == "" {
			continue
		}
		if err := os.Symlink(target, tr.path(p.pid, name)); err != nil {
			tr.t.Fatal(err)
		}
	}
}

// cgroup makes the folder of a cgroup anew and returns its inode.
func (tr tree) cgroup(path string) uint64 {
	tr.t.Helper()
	folder := filepath.Join(filepath.Dir(tr.root), "sys/fs/cgroup", path)
	next := folder + "-next" // made while the old one is there: it has another inode
	if err := errors.Join(os.MkdirAll(next, 0o755), os.RemoveAll(folder),
		os.Rename(next, folder)); err != nil {
		tr.t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(folder, &st); err != nil {
		tr.t.Fatal(err)
	}
	return st.Ino
}

func (tr tree) remove(pid int, names ...string) {
	tr.t.Helper()
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		if err := os.RemoveAll(tr.path(pid, name)); err != nil {
			tr.t.Fatal(err)
		}
	}
}

// machine reads a tree by a clock that the test sets, counts, and calls the test back.
type machine struct {
	process.Machine
	clock   process.Clock
	before  func(file string, pid int32) // called before "stat" and "details" are read
	stats   int
	details int
}

func (tr tree) machine() *machine {
	return &machine{Machine: process.NewMachine(tr.root), clock: process.MakeClock(boot, uptime)}
}

func (m *machine) Open() (process.Scan, error) {
	s, err := m.Machine.Open()
	if err != nil {
		return nil, err
	}
	return &scan{s, m}, nil
}

type scan struct {
	process.Scan
	m *machine
}

func (s *scan) Clock() process.Clock { return s.m.clock }

func (s *scan) Stat(pid int32, into *process.Stat) error {
	s.m.stats++
	s.call("stat", pid)
	return s.Scan.Stat(pid, into)
}

func (s *scan) Details(pid int32) process.Details {
	s.m.details++
	s.call("details", pid)
	return s.Scan.Details(pid)
}

func (s *scan) call(file string, pid int32) {
	if s.m.before != nil {
		s.m.before(file, pid)
	}
}

// sink keeps what one pull reports.
type sink struct {
	t        testing.TB
	entities []workloadmeta.Entity
	known    func(containerID string) bool // nil: nobody else reports any
}

func (s *sink) Known(id workloadmeta.EntityID) bool { return s.known != nil && s.known(id.ID) }

func (s *sink) Set(entities ...workloadmeta.Entity) { s.entities = append(s.entities, entities...) }
func (s *sink) Unset(...workloadmeta.Entity)        { s.t.Error("a pull has nothing to unset") }
func (s *sink) Synced()                             {}
func (s *sink) Apply(events []workloadmeta.CollectorEvent) {
	s.t.Error("a pull has nothing to apply")
}

// view is what one pull reports, by ID.
type view struct {
	all        []workloadmeta.Entity
	processes  map[int32]*workloadmeta.Process
	containers map[string]*workloadmeta.Container
}

func pull(t testing.TB, c *process.Collector) view {
	t.Helper()
	return pullKnowing(t, c, nil)
}

// pullKnowing is a pull while others report containers.
func pullKnowing(t testing.TB, c *process.Collector, known func(id string) bool) view {
	t.Helper()
	s := &sink{t: t, known: known}
	if err := c.Pull(t.Context(), s); err != nil {
		t.Fatalf("Pull: %v", err)
	}
	v := view{s.entities, map[int32]*workloadmeta.Process{}, map[string]*workloadmeta.Container{}}
	for _, e := range s.entities {
		if err := (workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet,
			Source: c.Describe().Source,
			Entity: e}).Validate(); err != nil {
			t.Errorf("the store will not take it: %v", err)
		}
		switch e := e.(type) {
		case *workloadmeta.Process:
			if v.processes[e.PID] != nil {
				t.Errorf("process %d reported twice", e.PID)
			}
			v.processes[e.PID] = e
		case *workloadmeta.Container:
			if v.containers[e.ID] != nil {
				t.Errorf("container %s reported twice", e.ID)
			}
			v.containers[e.ID] = e
		default:
			t.Errorf("reported a %T", e)
		}
	}
	return v
}

func ticks(n uint64) time.Duration { return time.Duration(n) * 10 * time.Millisecond }
