package proc

import (
	"fmt"
	"os"
	"syscall"
)

// Inode returns the inode of a file or folder, such as that of a control group below
// /sys/fs/cgroup, by which a process names its group across a namespace of cgroups.
func Inode(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err // names the path already
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s has no inode", path)
	}
	return st.Ino, nil
}
