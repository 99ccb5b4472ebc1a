//go:build !linux

package proc

import "errors"

// Inode is for Linux.
func Inode(string) (uint64, error) { return 0, errors.ErrUnsupported }
