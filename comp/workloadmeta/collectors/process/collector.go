// Package process reports the processes of this machine, and the containers they
// run in, from what the kernel says in /proc. It needs no daemon and no
// configuration, and is therefore what sees containers where no runtime can be
// asked. It collects on Linux; elsewhere it says that it does not.
//
// # What is reported
//
// Every process with a program: kernel threads and zombies are left out. A process is
// its ID and its start in clock ticks ([workloadmeta.SameIncarnation]); setting the
// clock changes neither, nor anything else of a process that is known already.
// What may not be read (other users' executables, working directories) is empty. A
// process that ends while it is read is not reported, and is no error.
//
// Command lines are scrubbed before anything else sees them; see [Options.StripArgs]
// and [Options.Scrubber].
//
// A container is reported with what its processes tell: its ID, runtime and pod from
// the cgroup's path, its first process, since when it runs. Sandboxes of pods that hold
// nothing but a pause program are left out. Containers are a by-product: Kinds does not
// name them, so that no container is incomplete because this package does not see it.
//
// # Containers that a runtime reports too
//
// All containers with processes are reported, whoever else reports them: what a runtime says
// counts more, and the end that it has seen counts at once, whatever /proc still shows
// ([workloadmeta.Source.Infers]). Where a runtime has lost its daemon, what is said here
// confirms its containers, and their last process's end ends them.
//
// # Cost
//
// A process that is known costs one read of its stat file per pull. The rest is read when
// the process is new, when it has executed another program, and during its first minute:
// once more in any case, because a process is often seen between its birth and its
// program, and each time while it has no container. What did not change is reported as
// the same entity, so that comparing is comparing pointers. A pull of 2,000 known processes
// takes about 20 ms of one core, nearly all of it in system calls (BenchmarkPull).
//
// What changes without another program starting is not noticed after that: a title
// written over the command line, another user ID, another working directory.
package process

import (
	"context"
	"log/slog"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/proclang"
	"github.com/rollcall-dev/rollcall/pkg/scrub"
)

// ID is the collector's name in status and configuration.
const ID = "process"

// rank is the collector's among those that describe containers: whoever runs one knows more of
// it than its processes show.
const rank = 10

const (
	defaultMaxReads = 2000
	pullPeriod      = 10 * time.Second
)

// Options configure a [Collector]. The zero value is useful.
type Options struct {
	// ProcRoot is where the proc file system is mounted. Default: /host/proc if that
	// exists and this process runs in a container, else /proc.
	ProcRoot string `config:"/proc_root"`

	// NoContainers leaves containers out; processes still carry their container's ID. Of the
	// IDs in the cgroup path of a container inside a container, the innermost one that
	// another collector reports is taken; a sandbox's ID is taken only if somebody does.
	NoContainers bool

	// Period is the time between two scans. Default 10s.
	Period time.Duration `config:"period" default:"10s" doc:"Time between two scans of /proc."`
	// StripArgs drops all arguments but the program from command lines.
	StripArgs bool `config:"strip_args" doc:"Leaves out all arguments of command lines. Without it, only what looks like a secret is masked."`
	// Scrubber masks secrets in command lines. Default: one that knows the usual words.
	Scrubber *scrub.Scrubber

	// NoExecutables says not to open executables to find out whether they are Go
	// programs. Opening one can take for ever if it lies on a network file system that
	// does not answer.
	NoExecutables bool

	// MaxReads bounds how many processes are read in full during one pull. The others
	// are reported with what their stat file says (IDs, name, start) and read later,
	// those that have waited first. Default: 2000.
	MaxReads int

	// Log gets what a person should know, each thing once. Default: nothing is logged.
	Log *slog.Logger
}

// Collector reports processes and containers. Create one with [New]. It implements
// [workloadmeta.Puller].
//
// Detect may be called at any time; calls of Pull must not overlap, as whoever pulls
// promises anyway.
type Collector struct {
	opts     Options
	machine  machine
	scrubber interface{ Args([]string) []string }
	golang   *proclang.GoDetector

	// What follows belongs to Pull.
	pulls      uint64
	processes  map[int32]*record
	groups     map[string]*group // by the content of a cgroup file
	containers map[string]*containerRecord
	logged     map[string]bool
}

var _ workloadmeta.Puller = (*Collector)(nil)

// New returns a collector. It opens nothing.
func New(opts Options) *Collector { return newWith(opts, newMachine(opts.ProcRoot)) }

func newWith(opts Options, m machine) *Collector {
	if opts.MaxReads <= 0 {
		opts.MaxReads = defaultMaxReads
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	c := &Collector{
		opts:       opts,
		machine:    m,
		scrubber:   defaultScrubber{},
		golang:     proclang.NewGoDetector(0),
		processes:  map[int32]*record{},
		groups:     map[string]*group{},
		containers: map[string]*containerRecord{},
		logged:     map[string]bool{},
	}
	if opts.Scrubber != nil {
		c.scrubber = opts.Scrubber
	}
	return c
}

type defaultScrubber struct{}

func (defaultScrubber) Args(args []string) []string { return scrub.Args(args) }

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description {
	d := description
	if c.opts.Period > 0 {
		d.Period = c.opts.Period
	}
	return d
}

// Detect implements [workloadmeta.Collector]. The reason says where processes are read
// and whether the mount hides those of other users.
func (c *Collector) Detect(context.Context) workloadmeta.Detection { return c.machine.Detect() }

// once logs a warning the first time it is called for a key.
func (c *Collector) once(key, message string, args ...any) {
	if !c.logged[key] {
		c.logged[key] = true
		c.opts.Log.Warn(message, args...)
	}
}
