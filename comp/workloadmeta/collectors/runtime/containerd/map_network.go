package containerd

import (
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/rollcall-dev/rollcall/pkg/proc"
)

// machine reads what the kernel tells of containers' processes.
type machine struct {
	root string // where the machine's /proc is
	now  func() time.Time
}

// addresses returns the addresses of a process's network, sorted; none if it is the machine's own
// network, or that cannot be told.
func (m machine) addresses(pid int) (v4, v6 []netip.Addr) {
	fs := proc.New(m.root)
	own, err := fs.Namespace(pid, "net")
	if err != nil {
		return nil, nil
	}
	if host, err := fs.Namespace(1, "net"); err != nil || own == host {
		return nil, nil
	}
	return fs.Addresses(pid)
}

// started returns when a process was started.
func (m machine) started(pid int) (at time.Time, ok bool) {
	at, err := proc.New(m.root).Started(pid, m.now())
	return at, err == nil
}

// maxStateFile bounds what is read of a file in a container's state directory. One port takes some
// 80 bytes.
const maxStateFile = 1 << 20

// stateFile returns a file in the directory that a label names as the container's, nothing if there
// is none. Who sets labels must not choose any file: the directory is called as the container is.
func (m machine) stateFile(dir, id, name string) []byte {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || id == "" || filepath.Base(dir) != id {
		return nil
	}
	if m.root != "/proc" { // that of the machine, where the agent has a file system of its own
		dir = filepath.Join(m.root, "1", "root", dir)
	}
	file := filepath.Join(dir, name)
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() ||
		info.Size() > maxStateFile {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return text
}
