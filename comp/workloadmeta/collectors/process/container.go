package process

import (
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
)

// group is one content of cgroup files. The processes of a container share theirs, so
// that it is looked at once.
type group struct {
	pull  uint64 // the last pull with a process in it
	lines []cgroup.Line
	match cgroup.Match
	found bool
	known bool // whether match was the runtime's choice
	shim  bool // whether a process in it was started by what starts containers
}

// id returns the ID of the group's container, or "".
func (g *group) id() string {
	if g == nil || !g.found {
		return ""
	}
	return g.match.ID
}

func (p *pass) groupOf(content string) *group {
	c := p.Collector
	g := c.groups[content]
	if g == nil {
		lines, err := cgroup.Parse(strings.NewReader(content))
		if err != nil {
			c.once("cgroup", "cannot make out a line of a cgroup file; the other lines are used",
				"error", err)
		}
		g = &group{lines: lines}
		g.resolve(p.known)
		c.groups[content] = g
	}
	return g
}

// resolve finds the group's container.
func (g *group) resolve(known func(string) bool) {
	g.match, g.found = cgroup.FindInLines(g.lines, known)
	g.known = g.found && known(g.match.ID)
	if g.match.Sandbox && !g.known {
		g.found = false // which of the sandbox's containers this is, nobody can tell
	}
	if g.match.AtRoot && !g.known && !g.shim {
		g.found = false // a managed plugin of Docker, or anything else
	}
}

// askShim has a group at the hierarchy's root be a container's if one of its processes says so by
// its parent.
func (p *pass) askShim(r *record) {
	if g := r.group; g != nil && g.match.AtRoot && !g.known && !g.shim && p.hasShim(r) {
		g.shim = true
		g.resolve(p.known)
	}
}

// hasShim reports whether a process was started by one of the programs that containerd and Podman
// have for each container, but not for one of Docker's plugins.
func (p *pass) hasShim(r *record) bool {
	parent := p.processes[r.entity.PPID]
	if parent == nil || parent.group == nil { // not read yet
		return false
	}
	return parent.comm == "conmon" || strings.HasPrefix(parent.comm, "containerd-shim") &&
		!slices.Contains(parent.entity.Cmdline, "plugins.moby")
}

// resolveGroups asks again about containers that nobody but this collector knew: of
// several IDs in a path, the runtime may have reported another one since.
func (p *pass) resolveGroups() {
	for _, g := range p.groups {
		if !g.known && g.match.ID != "" {
			g.resolve(p.known)
		}
	}
}

// path returns the cgroup of the group's container below the hierarchy's root: that of
// the unified hierarchy, else of the first one that has it; without groups that the
// container has made for itself. It is "" if the reader cannot see the path's beginning.
func (g *group) path() string {
	best := ""
	for _, l := range g.lines {
		i := strings.LastIndex(l.Path, g.match.ID)
		if i < 0 || strings.HasPrefix(l.Path, "/..") {
			continue
		}
		end := i + len(g.match.ID)
		if rest := strings.IndexByte(l.Path[end:], '/'); rest >= 0 {
			end += rest
		} else {
			end = len(l.Path)
		}
		if l.Hierarchy == 0 {
			return l.Path[:end]
		}
		if best == "" {
			best = l.Path[:end]
		}
	}
	return best
}

// containerRecord is what is remembered of a container while it has processes.
type containerRecord struct {
	pull   uint64 // the last pull that saw a process of it
	entity *workloadmeta.Container

	// Of the current pull:
	group  *group
	count  int
	oldest *workloadmeta.Process
	first  *workloadmeta.Process // the oldest process 1 of a PID namespace
}

// countIn adds a process of this pull to its container.
func (p *pass) countIn(r *record) {
	id := r.entity.ContainerID
	if p.opts.NoContainers || id == "" || r.group.id() != id || r.group.match.Sandbox {
		return
	}
	k := p.containers[id]
	if k == nil {
		k = &containerRecord{}
		p.containers[id] = k
	}
	if k.pull != p.pulls {
		k.pull, k.group, k.count, k.oldest, k.first = p.pulls, r.group, 0, nil, nil
		p.running = append(p.running, k)
	}
	k.count++
	k.oldest = older(k.oldest, r.entity)
	if r.entity.NsPID == 1 {
		k.first = older(k.first, r.entity)
	}
}

func older(a, b *workloadmeta.Process) *workloadmeta.Process {
	if a == nil || b.StartTicks < a.StartTicks || b.StartTicks == a.StartTicks && b.PID < a.PID {
		return b
	}
	return a
}

// appendContainers appends the containers of this pull's processes.
func (p *pass) appendContainers(entities []workloadmeta.Entity) []workloadmeta.Entity {
	for _, k := range p.running {
		if k.isSandbox() {
			continue
		}
		p.describeContainer(k, k.oldest.ContainerID)
		entities = append(entities, k.entity)
	}
	return entities
}

// isSandbox reports whether the container is what holds a pod's namespaces: its only
// process is one of the programs that do nothing (Kubernetes and ECS, Podman,
// OpenShift). Somebody's own container that runs nothing but a "pause" is lost with them.
func (k *containerRecord) isSandbox() bool {
	if k.count != 1 {
		return false
	}
	p := k.oldest
	switch p.Comm {
	case "pause", "catatonit":
		return true
	case "pod":
		return p.Exe == "" || p.Exe == "/usr/bin/pod"
	}
	return false
}

func (p *pass) describeContainer(k *containerRecord, id string) {
	first := k.first
	if first == nil {
		first = k.oldest // the container has no PID namespace of its own
	}
	m, path := k.group.match, k.group.path()
	e := &workloadmeta.Container{
		EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id},
		PID:        int(first.PID),
		Runtime:    workloadmeta.ContainerRuntime(m.Runtime),
		CgroupPath: path, CgroupInode: p.Inode(path),
		State: workloadmeta.ContainerState{
			Running:   true,
			Status:    workloadmeta.StatusRunning,
			StartedAt: first.CreationTime,
		},
	}
	if m.PodUID != "" {
		e.Owner = &workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: m.PodUID}
	}
	if k.entity == nil || !e.Equal(k.entity) {
		k.entity = e
	}
}
