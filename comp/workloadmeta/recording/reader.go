package recording

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
)

// MaxLine is the longest line that is read, in bytes: far above any entity there is, and
// low enough that a file that is no recording cannot take all memory.
const MaxLine = 16 << 20

// keptErrors is how many errors of bad lines are remembered.
const keptErrors = 10

var errTooLong = fmt.Errorf("longer than %d bytes", MaxLine)

// Reader reads a recording. It is for one goroutine.
type Reader struct {
	// SkipBad makes Next pass over lines that cannot be read. They are counted.
	SkipBad bool

	name    string
	in      *bufio.Reader
	buf     []byte
	line    int
	unknown map[string]int
	skipped int
	errs    []error
	failed  error // what reading from in failed with; there is nothing more
}

// NewReader returns a reader of r. The name appears in errors.
func NewReader(r io.Reader, name string) *Reader {
	return &Reader{name: name, in: bufio.NewReaderSize(r, 64<<10), unknown: map[string]int{}}
}

// Next returns the next line. At the end the error is [io.EOF]; for a line that cannot
// be read it is a [*LineError], after which the next call goes on with the line after;
// anything else is a failure to read the file, which is final.
func (r *Reader) Next() (Line, error) {
	for {
		data, err := r.readLine()
		if err != nil && !errors.Is(err, errTooLong) {
			return Line{}, err
		}
		bad := &fieldError{"", err}
		if err == nil {
			if len(bytes.TrimSpace(data)) == 0 {
				continue
			}
			var l Line
			var unknown []string
			if l, unknown, bad = decode(data); bad == nil {
				for _, field := range unknown {
					r.unknown[field]++
				}
				return l, nil
			}
		}
		lineErr := &LineError{File: r.name, Line: r.line, Field: bad.field, Err: bad.err}
		if !r.SkipBad {
			return Line{}, lineErr
		}
		r.skipped++
		if len(r.errs) < keptErrors {
			r.errs = append(r.errs, lineErr)
		}
	}
}

// Line returns the number of the line that was read last, from 1.
func (r *Reader) Line() int { return r.line }

// Unknown returns how often which unknown field was skipped. The caller owns the map.
func (r *Reader) Unknown() map[string]int { return maps.Clone(r.unknown) }

// Skipped returns how many bad lines were passed over under SkipBad, and the first few errors.
func (r *Reader) Skipped() (int, []error) { return r.skipped, r.errs }

// readLine returns the next line without its end; the slice is good until the next call.
// A line that is too long is passed over and reported as errTooLong.
func (r *Reader) readLine() ([]byte, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	r.buf = r.buf[:0]
	r.line++
	long := false
	for {
		part, err := r.in.ReadSlice('\n')
		if long = long || len(r.buf)+len(part) > MaxLine+1; !long {
			r.buf = append(r.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			r.failed = io.EOF
			if len(r.buf) == 0 && !long {
				return nil, io.EOF
			}
		case err != nil:
			r.failed = fmt.Errorf("read %s after line %d: %w", r.name, r.line-1, err)
			return nil, r.failed
		}
		if long {
			return nil, errTooLong
		}
		line := bytes.TrimSuffix(r.buf, []byte("\n"))
		if r.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		return line, nil
	}
}
