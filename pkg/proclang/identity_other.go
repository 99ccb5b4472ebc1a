//go:build !unix

package proclang

import "io/fs"

// identify has nothing to go by where a file has no inode.
func identify(fs.FileInfo) (fileID, bool) { return fileID{}, false }
