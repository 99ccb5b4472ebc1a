package process

import (
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// What the tests need of the inside.
type (
	Machine = machine
	Scan    = scan
	Stat    = stat
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
	ParseStat  = parseStat
	Limit      = limit
)

func MakeClock(boot time.Time, uptime time.Duration) Clock { return clock{boot, uptime} }

func (s *stat) Comm() string                   { return string(s.comm) }
func (s *stat) Start() uint64                  { return s.start }
func (s *stat) Numbers() (int32, byte, uint64) { return s.ppid, s.state, s.stack }
func (s *stat) IsProcess() bool                { return s.isProcess() }

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
