// Package runtimetest has what the tests of several runtimes' collectors need.
package runtimetest

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/cgroup"
)

// Machine makes folders that look like /proc and /sys/fs/cgroup of a machine where this process is
// in this cgroup. It returns the path of the former and the inode of the cgroup.
func Machine(t testing.TB, pid int, path string) (procRoot string, inode uint64) {
	t.Helper()
	host := t.TempDir()
	procRoot = filepath.Join(host, "proc")
	process := filepath.Join(procRoot, strconv.Itoa(pid))
	for _, folder := range []string{process, filepath.Join(host, "sys/fs/cgroup", path)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	err := os.WriteFile(filepath.Join(process, "cgroup"), []byte("0::"+path+"\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if inode = cgroup.Inode(procRoot, path); inode == 0 {
		t.Skip("no inodes here")
	}
	return procRoot, inode
}
