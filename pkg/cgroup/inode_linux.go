package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Inode returns the inode of a container's cgroup, 0 if it cannot be told. A process that a
// namespace of cgroups keeps from seeing its own path knows it all the same: it is that of its
// /sys/fs/cgroup (of /sys/fs/cgroup/memory with the first version of cgroups, where each hierarchy
// has inodes of its own).
//
// The path is that below the hierarchy's root. The cgroup file system is looked for beside proc's:
// with /host/proc, in /host/sys/fs/cgroup.
func Inode(procRoot, path string) uint64 {
	path = strings.TrimPrefix(path, "/")
	if !filepath.IsLocal(path) {
		return 0 // nothing, the root, or from a namespace that hides the path's beginning
	}
	root := filepath.Join(filepath.Dir(procRoot), "sys/fs/cgroup")
	if inode := inodeOf(root, "memory", path); inode != 0 {
		return inode
	}
	// crun, which Podman and CRI-O use, puts what it runs into a group below that of the
	// container, and makes that one the root of the namespace.
	if inode := inodeOf(root, path, "container"); inode != 0 {
		return inode
	}
	return inodeOf(root, path)
}

func inodeOf(elements ...string) uint64 {
	info, err := os.Stat(filepath.Join(elements...))
	if err != nil || !info.IsDir() {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Ino
}
