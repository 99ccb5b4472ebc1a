package process

import (
	"context"
	"strconv"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/proc"
)

const (
	// settleTime is how long after its start a process may still be on its way to its
	// program, its user and its container.
	settleTime = time.Minute
	// goLooksPerPull bounds how many executables are opened during one pull. That reads
	// parts of files, from a disk that may be slow.
	goLooksPerPull = 500
	// checkEvery is after how many processes the end of the context is noticed.
	checkEvery = 128
)

// record is what is remembered of one incarnation of a process.
type record struct {
	pull   uint64 // the last pull that saw it
	entity *workloadmeta.Process
	start  uint64
	comm   string // as the last stat had it
	stack  uint64
	group  *group // nil until it was read in full

	unread   bool // must be read in full: new, or has executed another program
	settled  bool // was read in full a second time, or was old enough at the first
	goUnread bool // its executable is still to be opened, for want of budget
}

// urgency orders what has to be read in full.
type urgency int

const (
	waited    urgency = iota // from an earlier pull
	changed                  // new, or another program
	unsettled                // may have changed without a sign
	urgencyEnd
)

// pass is the state of one pull.
type pass struct {
	*Collector
	scan
	at clock
	// of the process at hand; here because a local one would be allocated each time
	s       proc.Stat
	todo    [urgencyEnd][]*record
	goLooks int
	running []*containerRecord // the containers of the processes, in their order
	sink    workloadmeta.Sink
}

// Pull implements [workloadmeta.Puller].
func (c *Collector) Pull(ctx context.Context, sink workloadmeta.Sink) error {
	s, err := c.machine.Open()
	if err != nil {
		return err
	}
	defer s.Close()
	pids, err := s.PIDs()
	if err != nil {
		return err
	}
	c.pulls++
	p := &pass{Collector: c, scan: s, at: s.Clock(), goLooks: goLooksPerPull,
		sink: sink}
	p.resolveGroups()
	for i, pid := range pids {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		p.look(pid)
	}
	reads := 0
	for _, list := range p.todo {
		for _, r := range list {
			if reads >= c.opts.MaxReads {
				break
			}
			if reads%checkEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			reads++
			if !p.read(r) {
				delete(c.processes, r.entity.PID)
			}
		}
	}
	entities := make([]workloadmeta.Entity, 0, len(pids)+len(c.containers))
	for _, pid := range pids {
		r := c.processes[pid]
		if r == nil || r.pull != c.pulls {
			continue
		}
		p.askShim(r)
		if id := r.group.id(); id != r.entity.ContainerID { // the runtime has confirmed another one
			e := *r.entity
			attach(&e, id)
			r.entity = &e
		}
		entities = append(entities, r.entity)
		p.countIn(r)
	}
	entities = p.appendContainers(entities)
	c.forget()
	if len(entities) > 0 {
		sink.Set(entities...)
	}
	return nil
}

// known reports whether a runtime, or whoever else, reports a container of this ID. What this
// collector reports itself does not count, or a wrong guess would confirm itself.
func (p *pass) known(containerID string) bool {
	return p.sink.Known(workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: containerID})
}

// forget drops what this pull has not seen.
func (c *Collector) forget() {
	for pid, r := range c.processes {
		if r.pull != c.pulls {
			delete(c.processes, pid)
		} else if r.group != nil {
			r.group.pull = c.pulls
		}
	}
	for content, g := range c.groups {
		if g.pull != c.pulls {
			delete(c.groups, content)
		}
	}
	for id, k := range c.containers {
		if k.pull != c.pulls {
			delete(c.containers, id)
		}
	}
}

// look reads a process's stat, brings its record up to date as far as that goes, and
// notes what else has to be read.
func (p *pass) look(pid int32) {
	s := &p.s
	if err := p.Stat(pid, s); err != nil {
		if !proc.IsGone(err) && !proc.IsDenied(err) {
			p.once("stat", "cannot read a process; others like it are left out silently", "error",
				err)
		}
		return
	}
	if !s.IsProcess() {
		return
	}
	r := p.processes[pid]
	if r == nil || r.start != s.Start {
		r = &record{start: s.Start, comm: string(s.Comm), stack: s.Stack, unread: true}
		r.entity = p.stub(pid, s)
		r.pull = p.pulls
		p.processes[pid] = r
		p.todo[changed] = append(p.todo[changed], r)
		return
	}
	r.pull = p.pulls
	if r.entity.PPID != s.PPID { // its parent has died
		e := *r.entity
		e.PPID = s.PPID
		r.entity = &e
	}
	waits := r.unread
	if string(s.Comm) != r.comm || executed(r.stack, s.Stack) {
		r.comm, r.unread = string(s.Comm), true
	}
	r.stack = s.Stack
	switch {
	case waits:
		p.todo[waited] = append(p.todo[waited], r)
	case r.unread:
		p.todo[changed] = append(p.todo[changed], r)
	case r.goUnread, p.unsettled(r):
		p.todo[unsettled] = append(p.todo[unsettled], r)
	}
}

// executed reports whether a process runs another program than before, by where its
// stack begins: that is drawn anew for each program, which gives away programs that
// have the same name ("sh -c 'exec sh …'"). Zero says nothing: it may not be known.
func executed(before, now uint64) bool { return before != now && before != 0 && now != 0 }

func (p *pass) young(r *record) bool { return p.at.uptime < proc.FromTicks(r.start)+settleTime }

func (p *pass) unsettled(r *record) bool {
	if !p.young(r) {
		return false
	}
	return !r.settled || r.entity.ContainerID == ""
}

// stub is a process of which only the stat file is known.
func (p *pass) stub(pid int32, s *proc.Stat) *workloadmeta.Process {
	comm := valid(string(s.Comm))
	return &workloadmeta.Process{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindProcess,
			ID: strconv.Itoa(int(pid))},
		PID:          pid,
		PPID:         s.PPID,
		StartTicks:   s.Start,
		Name:         comm,
		Comm:         comm,
		CreationTime: p.at.boot.Add(proc.FromTicks(s.Start)),
	}
}

// read reads a process in full. It returns false if the process has ended meanwhile.
func (p *pass) read(r *record) bool {
	old := r.entity
	d := p.Details(old.PID)
	e := p.describe(r, d)
	// Only now is it certain that all of this was about one process, and that what is
	// missing is missing because it may not be read.
	after := &p.s
	if err := p.Stat(old.PID, after); err != nil || after.Start != r.start || !after.IsProcess() {
		return false
	}
	wasRead := r.group != nil
	if wasRead && !r.unread && len(d.args) == 0 && len(old.Cmdline) > 0 {
		return true // about to end: its memory is gone already
	}
	r.settled = wasRead || !p.young(r)
	// Another program since stat was read makes a mixture of two: read again next time.
	r.unread = string(after.Comm) != r.comm || executed(r.stack, after.Stack)
	r.group = p.groupOf(d.cgroup)
	attach(e, r.group.id())
	if !e.Equal(old) {
		r.entity = e
	}
	return true
}

// describe makes an entity of what was read, without its container.
func (p *pass) describe(r *record, d details) *workloadmeta.Process {
	old := r.entity
	e := &workloadmeta.Process{
		EntityID:     old.EntityID,
		PID:          old.PID,
		NsPID:        d.nsPID,
		PPID:         old.PPID,
		StartTicks:   old.StartTicks,
		CreationTime: old.CreationTime, // stays when the clock is set
		Comm:         valid(r.comm),
		Exe:          executable(d.exe),
		Cwd:          valid(d.cwd),
		Cmdline:      p.cmdline(d),
		UIDs:         d.uids,
		GIDs:         d.gids,
	}
	e.Name = programName(e)
	e.Language = p.language(r, e, d)
	return e
}

// attach says which container a process runs in; "" is none.
func attach(e *workloadmeta.Process, containerID string) {
	e.ContainerID, e.Owner = containerID, nil
	if containerID != "" {
		e.Owner = &workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: containerID}
	}
}
