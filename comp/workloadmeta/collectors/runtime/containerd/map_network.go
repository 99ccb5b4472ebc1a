package containerd

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxProcFile bounds what is read of one file in /proc. A machine with very many routes has a long
// table.
const maxProcFile = 4 << 20

// machine reads what the kernel tells of containers' processes.
type machine struct {
	root string // where the machine's /proc is
	now  func() time.Time
}

func (m machine) path(pid int, name string) string {
	return filepath.Join(m.root, strconv.Itoa(pid), name)
}

// addresses returns the addresses of a process's network, sorted; none if it is the machine's own
// network.
func (m machine) addresses(pid int) (v4, v6 []netip.Addr) {
	if pid <= 0 || m.onHostNetwork(pid) {
		return nil, nil
	}
	return parseFibTrie(m.read(pid, "net/fib_trie")), parseInet6(m.read(pid, "net/if_inet6"))
}

// started returns when a process was started.
func (m machine) started(pid int) (at time.Time, ok bool) {
	ticks, ok := parseStart(m.read(pid, "stat"))
	if !ok {
		return time.Time{}, false
	}
	uptime, err := os.ReadFile(filepath.Join(m.root, "uptime"))
	if err != nil {
		return time.Time{}, false
	}
	text, _, _ := strings.Cut(string(uptime), " ")
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds < 0 || seconds > maxUptime {
		return time.Time{}, false
	}
	boot := m.now().Add(-time.Duration(seconds * float64(time.Second)))
	return boot.Add(time.Duration(ticks) * time.Second / ticksPerSecond).UTC().Truncate(
		time.Second / ticksPerSecond), true
}

const (
	ticksPerSecond = 100 // what Linux shows to programs, whatever it counts by
	maxUptime      = 100 * 365 * 24 * 3600
)

// parseStart returns a process's start, in clock ticks since boot, from its stat file
// (proc_pid_stat(5)).
func parseStart(stat []byte) (uint64, bool) {
	// The name, in parentheses, may have anything in it. What follows begins with the third field;
	// the start is the 22nd.
	_, rest, ok := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(") "))
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0, false
	}
	ticks, err := strconv.ParseUint(string(fields[19]), 10, 64)
	return ticks, err == nil && ticks < maxUptime*ticksPerSecond
}

// onHostNetwork reports whether a process is in the network of process 1, or that cannot be told.
func (m machine) onHostNetwork(pid int) bool {
	own, err := os.Readlink(m.path(pid, "ns/net"))
	if err != nil {
		return true
	}
	host, err := os.Readlink(m.path(1, "ns/net"))
	return err != nil || own == host
}

// read returns the beginning of a file, nothing if it cannot be read.
func (m machine) read(pid int, name string) []byte {
	f, err := os.Open(m.path(pid, name))
	if err != nil {
		return nil
	}
	defer f.Close() // only read from
	content, err := io.ReadAll(io.LimitReader(f, maxProcFile))
	if err != nil {
		return nil
	}
	return content
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

// parseFibTrie returns the machine's own addresses in a table of routes (/proc/net/fib_trie),
// sorted and without doubles and loopback addresses: the table has each several times, in an order
// that changes.
func parseFibTrie(table []byte) []netip.Addr {
	var out []netip.Addr
	var address string
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if leaf, ok := strings.CutPrefix(line, "|-- "); ok {
			address = leaf
			continue
		}
		if line == "/32 host LOCAL" {
			if a, err := netip.ParseAddr(address); err == nil && a.Is4() && !a.IsLoopback() &&
				!a.IsUnspecified() {
				out = append(out, a)
			}
		}
	}
	return sortAddresses(out)
}

// parseInet6 returns the addresses of global scope in /proc/net/if_inet6, sorted.
func parseInet6(table []byte) []netip.Addr {
	var out []netip.Addr
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		// Address, interface, length of the prefix, scope, flags, name.
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[3] != "00" {
			continue
		}
		raw, err := hex.DecodeString(fields[0])
		if err != nil {
			continue
		}
		if a, ok := netip.AddrFromSlice(raw); ok && a.Is6() && !a.IsLoopback() {
			out = append(out, a)
		}
	}
	return sortAddresses(out)
}

func sortAddresses(in []netip.Addr) []netip.Addr {
	slices.SortFunc(in, netip.Addr.Compare)
	return slices.Compact(in)
}
