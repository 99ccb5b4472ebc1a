// Package proc reads what Linux's proc file system tells of single processes: when they were
// started, who their parents are, which control group and namespaces they are in, and which
// addresses their network has. Its parsers take bytes and open nothing.
package proc

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// FS is a proc file system. Create one with [New].
type FS struct{ root string }

// New returns the proc file system that is mounted at root.
func New(root string) FS { return FS{root} }

// maxFile bounds what is read of one file. A machine with very many routes has a long table.
const maxFile = 4 << 20

// Read returns a file of a process, such as "cgroup", no more than its first 4 MiB. An error that
// [IsGone] or [IsDenied] accepts is normal.
func (f FS) Read(pid int, name string) ([]byte, error) {
	file, err := os.Open(f.path(pid, name))
	if err != nil {
		return nil, err // names the path already
	}
	defer file.Close() // only read from
	return io.ReadAll(io.LimitReader(file, maxFile))
}

func (f FS) path(pid int, name string) string {
	return filepath.Join(f.root, strconv.Itoa(pid), name)
}

// Comm returns the name of a process's program, of which the kernel keeps 15 bytes.
func (f FS) Comm(pid int) (string, error) {
	text, err := f.Read(pid, "comm")
	return string(bytes.TrimSpace(text)), err
}

// Stat returns a process's stat file.
func (f FS) Stat(pid int) (Stat, error) {
	var s Stat
	content, err := f.Read(pid, "stat")
	if err != nil {
		return s, err
	}
	return s, ParseStat(content, &s)
}

// Namespace returns the inode of a namespace that a process is in: "net", "pid", "cgroup". Two
// processes are in the same one if it is the same.
func (f FS) Namespace(pid int, kind string) (inode uint64, err error) {
	link, err := os.Readlink(f.path(pid, "ns/"+kind))
	if err != nil {
		return 0, err // names the path already
	}
	return ParseNamespace(link, kind)
}

// ParseNamespace reads what a link to a namespace says, "net:[4026531840]".
func ParseNamespace(link, kind string) (inode uint64, err error) {
	number, ok := strings.CutPrefix(link, kind+":[")
	number, closed := strings.CutSuffix(number, "]")
	if inode, err = strconv.ParseUint(number, 10, 64); err != nil || !ok || !closed {
		return 0, fmt.Errorf("%q is no namespace of kind %s", link, kind)
	}
	return inode, nil
}

const (
	// ticksPerSecond is the unit of the kernel's interfaces (USER_HZ), which is 100 on every
	// architecture Go knows, whatever the kernel's own HZ.
	ticksPerSecond = 100
	maxUptime      = 100 * 365 * 24 * 3600 // seconds; more is nonsense
)

// FromTicks returns how long clock ticks take.
func FromTicks(ticks uint64) time.Duration {
	return time.Duration(ticks) * (time.Second / ticksPerSecond)
}

// Started returns when a process was started, to a hundredth of a second, by the clock that says
// that it is now.
func (f FS) Started(pid int, now time.Time) (time.Time, error) {
	s, err := f.Stat(pid)
	if err != nil {
		return time.Time{}, err
	}
	text, err := os.ReadFile(filepath.Join(f.root, "uptime"))
	if err != nil {
		return time.Time{}, err
	}
	uptime, err := ParseUptime(text)
	if err != nil {
		return time.Time{}, err
	}
	if s.Start >= maxUptime*ticksPerSecond {
		return time.Time{}, fmt.Errorf("process %d was started %d ticks after the boot", pid,
			s.Start)
	}
	return now.Add(FromTicks(s.Start) - uptime).UTC().Truncate(time.Second / ticksPerSecond), nil
}

// ParseUptime returns how long the machine has been up, from the content of the file uptime.
func ParseUptime(content []byte) (time.Duration, error) {
	text, _, _ := strings.Cut(string(content), " ")
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 0 && seconds <= maxUptime) {
		return 0, fmt.Errorf("%q is no time since the boot", content)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
