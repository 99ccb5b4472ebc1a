package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"syscall"
)

// stat is what is needed of /proc/<pid>/stat (proc_pid_stat(5)).
type stat struct {
	comm    []byte // aliases the buffer that was parsed
	state   byte
	ppid    int32
	flags   uint64
	threads uint64
	start   uint64 // clock ticks since boot
	stack   uint64 // where the main thread's stack begins; 0 if that may not be known
}

const flagKernelThread = 0x00200000 // PF_KTHREAD of the kernel's sched.h

// isProcess reports whether this is a process to report: neither a kernel thread nor
// a zombie. A process whose main thread has ended before the others has a zombie's
// state but lives.
func (s *stat) isProcess() bool {
	switch s.state {
	case 'Z', 'X', 'x':
		return s.threads > 1 && s.flags&flagKernelThread == 0
	}
	return s.flags&flagKernelThread == 0
}

// Positions in the stat file, as the manual counts them. The name is the second.
const (
	fieldState   = 3
	fieldPPID    = 4
	fieldFlags   = 9
	fieldThreads = 20
	fieldStart   = 22
	fieldStack   = 28
)

// parseStat reads the content of a stat file. It exists beside the parser of procfs
// because stat is read for every process in every pull: see BenchmarkParseStat (10 µs
// and one allocation, reading included, against 23 µs and 33), and because that one
// panics on a file that ends after the name.
func parseStat(content []byte, s *stat) error {
	open, end := bytes.IndexByte(content, '('), bytes.LastIndexByte(content, ')')
	if open < 0 || end < open {
		return fmt.Errorf("parse stat: no name in parentheses in %q", content)
	}
	*s = stat{comm: content[open+1 : end]}
	rest := content[end+1:]
	for field := fieldState; field <= fieldStack; field++ {
		rest = bytes.TrimLeft(rest, " \n")
		if len(rest) == 0 {
			if field > fieldStart {
				return nil
			}
			return fmt.Errorf("parse stat: %q ends before field %d", content, field)
		}
		text := rest
		if i := bytes.IndexAny(rest, " \n"); i >= 0 {
			text = rest[:i]
		}
		rest = rest[len(text):]
		var value uint64
		ok := true
		switch field {
		case fieldState:
			s.state = text[0]
		case fieldPPID:
			value, ok = parseUint(text, math.MaxInt32)
			s.ppid = int32(value)
		case fieldFlags:
			s.flags, ok = parseUint(text, math.MaxUint64)
		case fieldThreads:
			s.threads, ok = parseUint(text, math.MaxUint64)
		case fieldStart:
			s.start, ok = parseUint(text, math.MaxUint64)
		case fieldStack:
			s.stack, ok = parseUint(text, math.MaxUint64)
		}
		if !ok {
			return fmt.Errorf("parse stat: field %d is %q, not a number in range", field, text)
		}
	}
	return nil
}

// parseUint is strconv.ParseUint for bytes, without its allocation for an error.
func parseUint(digits []byte, limit uint64) (uint64, bool) {
	if len(digits) == 0 {
		return 0, false
	}
	var n uint64
	for _, d := range digits {
		d -= '0'
		if d > 9 || n > (limit-uint64(d))/10 {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	return n, true
}

// isGone reports whether an error means that the process has ended.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// isDenied reports whether an error means that the process is somebody else's.
func isDenied(err error) bool { return errors.Is(err, fs.ErrPermission) }
