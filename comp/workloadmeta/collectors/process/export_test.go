package process

import (
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/proc"
)

// What the tests need of the inside.
type (
	Machine = machine
	Scan    = scan
	Stat    = proc.Stat
	Clock   = clock
	Details = details
)

const (
	MaxCmdline = maxCmdline
	GoLooks    = goLooksPerPull
	ArgSize    = argSize
)

var (
	NewWith    = newWith
	NewMachine = newMachine
	ParseStat  = proc.ParseStat
	Limit      = limit
)

func MakeClock(boot time.Time, uptime time.Duration) Clock { return clock{boot, uptime} }

// nobody is a sink whose collector is the only one.
type nobody struct{ workloadmeta.Sink }

func (nobody) Known(workloadmeta.EntityID) bool { return false }

// GroupOf returns the container that a cgroup file leads to and its path.
func GroupOf(content string) (id, path string) {
	p := &pass{Collector: New(Options{}), sink: nobody{}}
	g := p.groupOf(content)
	if g.id() == "" {
		return "", ""
	}
	return g.id(), g.path()
}
