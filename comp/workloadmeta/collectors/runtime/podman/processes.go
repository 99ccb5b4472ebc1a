package podman

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
	"github.com/rollcall-dev/rollcall/pkg/proc"
)

// processes looks at the processes that a service tells of. The zero value sees nothing, and then
// nothing is gone.
type processes struct {
	root string // where /proc is, if the service's process IDs are the ones in it
	// groups says that containers have cgroups of their own, by which a process of the same number
	// is told from theirs. Rootless ones may not.
	groups bool
}

// findProcesses finds out whether a service's process IDs mean the same here: whoever listens at
// the socket must be Podman itself or systemd, which listens in its place, in our namespace of
// process IDs. Behind anything else, as a tunnel, may be another machine.
func (s *service) findProcesses(ctx context.Context) processes {
	ctx, cancel := context.WithTimeout(ctx, mapping.ProbeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", s.address.target)
	if err != nil {
		return processes{}
	}
	pid := peerOf(conn)
	conn.Close() // nothing was sent
	if pid <= 0 {
		return processes{}
	}
	files := proc.New(s.opts.ProcRoot)
	comm, err := files.Comm(pid)
	if err != nil || comm != "podman" && comm != "systemd" {
		return processes{}
	}
	theirs, errTheirs := files.Namespace(pid, "pid")
	ours, errOurs := proc.New("/proc").Namespace(os.Getpid(), "pid")
	if errTheirs != nil || errOurs != nil || theirs != ours {
		return processes{}
	}
	return processes{root: s.opts.ProcRoot, groups: s.uid == 0}
}

// inode returns the inode of the cgroup of a container whose first process has this number.
func (p processes) inode(pid int, path string) uint64 {
	if p.root == "" || pid <= 0 {
		return 0
	}
	return cgroup.Inode(p.root, path)
}

// gone reports whether a container's first process is certainly not there any more: there is no
// process of that number, or it belongs to another container.
func (p processes) gone(pid int, id string) bool {
	if p.root == "" || pid <= 0 {
		return false
	}
	content, err := proc.New(p.root).Read(pid, "cgroup")
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	if !p.groups {
		return false
	}
	lines, err := cgroup.Parse(bytes.NewReader(content))
	if err != nil {
		return false // it may be ending right now; the next look will tell
	}
	found, ok := cgroup.ContainerID(lines, func(other string) bool { return other == id })
	return ok && found != id && cgroup.IsContainerID(found) && len(found) == len(id)
}
