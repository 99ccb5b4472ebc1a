package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
	"github.com/rollcall-dev/rollcall/pkg/proc"
)

const (
	ownProc  = "/proc"
	hostProc = "/host/proc" // where agents that run in a container mount the host's
)

// procMachine reads a mounted proc file system.
type procMachine struct {
	configured string // "" = look for it
}

func newMachine(root string) machine { return procMachine{configured: root} }

func (m procMachine) root() string {
	if m.configured != "" {
		return m.configured
	}
	if _, err := os.Stat(filepath.Join(hostProc, "1")); err == nil && inContainer() {
		return hostProc
	}
	return ownProc
}

// inContainer reports whether this process seems to run in a container: by the files
// that Docker and Podman put there, by the environment that a kubelet sets, or by a
// cgroup namespace other than the machine's.
func inContainer() bool {
	for _, marker := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(marker); err == nil {
			return true
		}
	}
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return true
	}
	info, err := os.Stat("/proc/self/ns/cgroup")
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && !cgroup.InHostNamespace(st.Ino)
}

func (m procMachine) Detect() workloadmeta.Detection {
	root := m.root()
	absent := func(err error, hint string) workloadmeta.Detection {
		return workloadmeta.Detection{State: workloadmeta.Absent, Cause: workloadmeta.CauseOf(err),
			Reason: err.Error(), Hint: hint}
	}
	s, err := m.Open()
	if err != nil {
		return absent(err, "set proc_root to where the proc file system is mounted")
	}
	defer s.Close()
	pids, err := s.PIDs()
	if err != nil {
		return absent(err, "")
	}
	if len(pids) == 0 {
		return workloadmeta.Detection{Cause: workloadmeta.CauseAbsent,
			Reason: "no processes in " + root,
			Hint:   "set proc_root to where the proc file system is mounted"}
	}
	// Every PID namespace has a process 1, so one that cannot be seen is hidden
	// (the mount option hidepid of proc(5)).
	switch err := s.Stat(1, &proc.Stat{}); {
	case err == nil:
		return workloadmeta.Detection{State: workloadmeta.Detected,
			Reason: "processes in " + root}
	case proc.IsGone(err), proc.IsDenied(err):
		return workloadmeta.Detection{State: workloadmeta.Detected,
			Cause: workloadmeta.CauseDenied,
			Reason: fmt.Sprintf("only processes of user %d in %s: it is mounted with hidepid, "+
				"which hides those of others", os.Geteuid(), root),
			Hint: "run as root, or in the group named by the mount option gid"}
	default:
		return absent(err, "")
	}
}

// procScan is one pass over a proc file system.
type procScan struct {
	root string
	dir  *os.File
	fd   int // of dir
	fs   procfs.FS
	at   clock
	buf  []byte
	path []byte
}

// statSize is more than any stat file has: 52 numbers and a name of at most 64 bytes.
const statSize = 2048

func (m procMachine) Open() (scan, error) {
	root := m.root()
	fs, err := procfs.NewFS(root)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	at, err := now()
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(root)
	if err != nil {
		return nil, err // names the directory already
	}
	return &procScan{root: root, dir: dir, fd: int(dir.Fd()), fs: fs, at: at,
		buf: make([]byte, statSize)}, nil
}

func (s *procScan) Close() { s.dir.Close() }

func (s *procScan) Clock() clock { return s.at }

// now reads the clock that start times count by (CLOCK_BOOTTIME). As that clock and the
// stat files are seen through the same time namespace, they agree; uptime files, which
// some container managers replace, may not.
func now() (clock, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return clock{}, fmt.Errorf("read the time since boot: %w", err)
	}
	uptime := time.Duration(ts.Nano())
	// Whole seconds, as in the kernel's own figure (btime): without it, the boot would
	// appear to move by some microseconds from one look to the next.
	return clock{boot: time.Now().Add(-uptime).Truncate(time.Second).UTC(), uptime: uptime}, nil
}

func (s *procScan) PIDs() ([]int32, error) {
	names, err := s.dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	pids := make([]int32, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.ParseInt(name, 10, 32); err == nil && pid > 0 {
			pids = append(pids, int32(pid))
		}
	}
	slices.Sort(pids) // procfs does, other file systems do not
	return pids, nil
}

// Stat uses bare system calls: an os.File per process would be allocated, registered
// with the poller in vain, and collected.
func (s *procScan) Stat(pid int32, into *proc.Stat) error {
	s.path = strconv.AppendInt(s.path[:0], int64(pid), 10)
	s.path = append(s.path, "/stat"...)
	n, err := readAt(s.fd, string(s.path), s.buf)
	if err != nil {
		return fmt.Errorf("read %s/%s: %w", s.root, s.path, err)
	}
	if err := proc.ParseStat(s.buf[:n], into); err != nil {
		return fmt.Errorf("%s/%s: %w", s.root, s.path, err)
	}
	return nil
}

func readAt(dir int, name string, buf []byte) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }() // it was only read from
	return retry(func() (int, error) { return unix.Read(fd, buf) })
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func (s *procScan) Details(pid int32) details {
	var d details
	p, err := s.fs.Proc(int(pid))
	if err != nil {
		return d
	}
	if status, err := p.NewStatus(); err == nil {
		if n := len(status.NSpids); n > 0 {
			d.nsPID = int32(status.NSpids[n-1])
		}
		d.uids, d.gids = ids(status.UIDs), ids(status.GIDs)
	}
	if args, err := p.CmdLine(); err == nil {
		d.args = args
	}
	if exe, err := p.Executable(); err == nil {
		d.exe = exe
	}
	if cwd, err := p.Cwd(); err == nil {
		d.cwd = cwd
	}
	if content, err := os.ReadFile(filepath.Join(s.root, strconv.Itoa(int(pid)),
		"cgroup")); err == nil {
		d.cgroup = string(content)
	}
	return d
}

// ids keeps the bits of unsigned IDs: the overflow user of a user namespace that maps
// nobody, 4294967295, becomes -1.
func ids(in [4]uint64) []int32 {
	out := make([]int32, len(in))
	for i, id := range in {
		out[i] = int32(uint32(id))
	}
	return out
}

func (s *procScan) Inode(path string) uint64 { return cgroup.Inode(s.root, path) }

func (s *procScan) Exe(pid int32) string {
	return filepath.Join(s.root, strconv.Itoa(int(pid)), "exe")
}
