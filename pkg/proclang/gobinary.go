package proclang

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
)

// defaultGoCacheSize is in binaries; a node runs some hundred different ones.
const defaultGoCacheSize = 1000

// GoDetector recognises Go programs by the build information that the linker
// leaves in them. Answers are remembered per file, the negative ones too, so a
// binary that runs a thousand times is read once. It is safe for concurrent
// use. Create one with [NewGoDetector].
type GoDetector struct {
	seen *lru.Cache[fileID, Language]
}

// fileID is the identity of a file's content. An inode number alone is given
// again after a delete, and a binary may be rewritten in place.
type fileID struct {
	dev, inode uint64
	size       int64
	modified   int64 // ns since 1970
}

// NewGoDetector returns a detector that remembers up to size binaries, 1000 if
// size is 0 or less.
func NewGoDetector(size int) *GoDetector {
	if size <= 0 {
		size = defaultGoCacheSize
	}
	seen, err := lru.New[fileID, Language](size)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &GoDetector{seen: seen}
}

// Detect looks into an executable, usually /proc/<pid>/exe, which needs the
// process's own user or CAP_SYS_PTRACE. It returns Go with the version of the
// toolchain, or the zero Language and no error for anything that is not a Go
// program. The error is about reading the file only; it wraps
// [fs.ErrPermission] or [fs.ErrNotExist] where those apply, and is not
// remembered.
//
// The first look at a binary reads parts of its file; off Linux and other
// Unixes that is each look.
func (d *GoDetector) Detect(exe string) (Language, error) {
	f, err := os.Open(exe)
	if err != nil {
		return Language{}, fmt.Errorf("detect Go in an executable: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Language{}, fmt.Errorf("detect Go in an executable: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Language{}, fmt.Errorf("detect Go in %s: not a regular file but %v", exe,
			info.Mode().Type())
	}
	id, hasID := identify(info)
	if hasID {
		if l, ok := d.seen.Get(id); ok {
			return l, nil
		}
	}
	l, err := readGo(f)
	if err != nil {
		return Language{}, fmt.Errorf("detect Go in %s: %w", exe, err)
	}
	if hasID {
		d.seen.Add(id, l)
	}
	return l, nil
}

// readGo reads build information. Errors are those of r; a file that is
// something else, or damaged, is not one.
func readGo(r io.ReaderAt) (l Language, err error) {
	// The packages under debug are documented not to withstand malicious
	// input, and anybody who may run a container can choose this file.
	defer func() {
		if recover() != nil {
			l, err = Language{}, nil
		}
	}()
	info, err := buildinfo.Read(r)
	if err == nil {
		return Language{Name: Go, Version: strings.TrimPrefix(info.GoVersion, "go")}, nil
	}
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return Language{}, err
	}
	return Language{}, nil
}
