package process

import (
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// machine is where processes are read from.
type machine interface {
	detect() workloadmeta.Detection
	// open begins one pass over the processes. The scan must be closed.
	open() (scan, error)
}

// scan is one pass over the processes of a machine. It is used by one goroutine.
type scan interface {
	// clock is what time it is; one answer for the whole scan.
	clock() clock
	// pids lists the process IDs, ascending.
	pids() ([]int32, error)
	// stat reads one process's stat file. An error that isGone or isDenied accepts is
	// normal. s.comm is valid until the next call.
	stat(pid int32, s *stat) error
	// details reads everything else. What cannot be read is empty: of a process that has
	// ended meanwhile, everything.
	details(pid int32) details
	// exe is the path under which the process's executable can be opened.
	exe(pid int32) string
	close()
}

// clock relates the ticks of processes to the time of day.
type clock struct {
	boot   time.Time     // when the machine was started, by the clock as it is set now; whole seconds
	uptime time.Duration // since then, suspensions included
}

// ticksPerSecond is the unit of the kernel's interfaces (USER_HZ), which is 100 on
// every architecture Go knows, whatever the kernel's own HZ.
const ticksPerSecond = 100

func fromTicks(ticks uint64) time.Duration {
	return time.Duration(ticks) * (time.Second / ticksPerSecond)
}

// details is what a process's files other than stat say.
type details struct {
	nsPID      int32
	uids, gids []int32
	args       []string // with secrets
	exe, cwd   string
	cgroup     string // content of the cgroup file
}
