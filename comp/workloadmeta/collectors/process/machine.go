package process

import (
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/proc"
)

// machine is where processes are read from.
type machine interface {
	Detect() workloadmeta.Detection
	// Open begins one pass over the processes. The scan must be closed.
	Open() (scan, error)
}

// scan is one pass over the processes of a machine. It is used by one goroutine.
type scan interface {
	// Clock is what time it is; one answer for the whole scan.
	Clock() clock
	// PIDs lists the process IDs, ascending.
	PIDs() ([]int32, error)
	// Stat reads one process's stat file. An error that proc.IsGone or proc.IsDenied accepts is
	// normal. s.Comm is valid until the next call.
	Stat(pid int32, s *proc.Stat) error
	// Details reads everything else. What cannot be read is empty: of a process that has
	// ended meanwhile, everything.
	Details(pid int32) details
	// Exe is the path under which the process's executable can be opened.
	Exe(pid int32) string
	// Inode is that of the container's cgroup with this path, 0 if it cannot be told.
	Inode(cgroup string) uint64
	Close()
}

// clock relates the ticks of processes to the time of day.
type clock struct {
	// when the machine was started, by the clock as it is set now; whole seconds
	boot   time.Time
	uptime time.Duration // since then, suspensions included
}

// details is what a process's files other than stat say.
type details struct {
	nsPID      int32
	uids, gids []int32
	args       []string // with secrets
	exe, cwd   string
	cgroup     string // content of the cgroup file
}
