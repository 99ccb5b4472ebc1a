package podman

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
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
	of := func(name string) string {
		return filepath.Join(s.opts.ProcRoot, strconv.Itoa(pid),
			name)
	}
	comm, err := os.ReadFile(of("comm"))
	if err != nil ||
		!slices.Contains([]string{"podman", "systemd"}, strings.TrimSpace(string(comm))) {
		return processes{}
	}
	theirs, errTheirs := os.Readlink(of("ns/pid"))
	ours, errOurs := os.Readlink("/proc/self/ns/pid")
	if errTheirs != nil || errOurs != nil || theirs != ours {
		return processes{}
	}
	return processes{root: s.opts.ProcRoot, groups: s.uid == 0}
}

// gone reports whether a container's first process is certainly not there any more: there is no
// process of that number, or it belongs to another container.
func (p processes) gone(pid int, id string) bool {
	if p.root == "" || pid <= 0 {
		return false
	}
	f, err := os.Open(filepath.Join(p.root, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close() // only read from
	if !p.groups {
		return false
	}
	lines, err := cgroup.Parse(f)
	if err != nil {
		return false // it may be ending right now; the next look will tell
	}
	found, ok := cgroup.ContainerID(lines, func(other string) bool { return other == id })
	return ok && found != id && cgroup.IsContainerID(found) && len(found) == len(id)
}
