//go:build unix

package proclang

import (
	"io/fs"
	"syscall"
)

func identify(info fs.FileInfo) (fileID, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, false
	}
	return fileID{
		dev: uint64(st.Dev), inode: uint64(st.Ino), // types differ between systems
		size: info.Size(), modified: info.ModTime().UnixNano(),
	}, true
}
