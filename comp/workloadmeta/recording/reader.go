package recording

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
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
	events  int

	header    Header
	hasHeader bool
	begun     bool   // whether Header has read ahead
	ahead     *ahead // what it has read
	// whether the line that was read last has no end
	unterminated bool
	cut          *LineError
}

// ahead is what Next returns.
type ahead struct {
	line Line
	err  error
}

// NewReader returns a reader of r. The name appears in errors.
func NewReader(r io.Reader, name string) *Reader {
	return &Reader{name: name, in: bufio.NewReaderSize(r, 64<<10), unknown: map[string]int{}}
}

// Header returns the header of the recording, before any line is read; false if it has none.
// A header that cannot be read is a [*LineError].
func (r *Reader) Header() (Header, bool, error) {
	if r.line > 0 || r.begun {
		return r.header, r.hasHeader, nil
	}
	l, err := r.next(true)
	r.begun = true
	if r.hasHeader {
		return r.header, true, nil
	}
	if bad, ok := errors.AsType[*LineError](err); ok && strings.HasPrefix(bad.Field, "recording") {
		return Header{}, false, err
	}
	r.ahead = &ahead{l, err} // for Next
	return Header{}, false, nil
}

// Next returns the next line. At the end the error is [io.EOF]; for a line that cannot
// be read it is a [*LineError], after which the next call goes on with the line after;
// anything else is a failure to read the file, which is final.
//
// A last line that is cut off, as a recorder leaves it that was killed, is the end of the
// recording: see [Reader.CutOff].
func (r *Reader) Next() (Line, error) {
	if a := r.ahead; a != nil {
		r.ahead = nil
		return a.line, a.err
	}
	return r.next(false)
}

// next returns the next line; with untilHeader it stops at a header.
func (r *Reader) next(untilHeader bool) (Line, error) {
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
			var isHeader bool
			if l, isHeader, bad = r.decode(data); bad == nil {
				if !isHeader || untilHeader {
					return l, nil
				}
				continue
			}
		}
		lineErr := &LineError{File: r.name, Line: r.line, Field: bad.field, Err: bad.err}
		if r.unterminated && errors.Is(bad.err, io.ErrUnexpectedEOF) {
			r.cut = lineErr
			return Line{}, io.EOF
		}
		if !r.SkipBad {
			return Line{}, lineErr
		}
		r.skipped++
		if len(r.errs) < keptErrors {
			r.errs = append(r.errs, lineErr)
		}
	}
}

// decode reads a line, which may be a header.
func (r *Reader) decode(data []byte) (l Line, isHeader bool, bad *fieldError) {
	fields, err := object(data)
	if err != nil {
		return Line{}, false, &fieldError{"", err}
	}
	h, unknown, isHeader, bad := decodeHeader(fields)
	switch {
	case bad != nil:
		return Line{}, true, bad
	case isHeader && r.events > 0 && !sameConfig(h, r.header):
		return Line{}, true, &fieldError{"recording.config", errors.New(
			"another recording begins here, made under another configuration; play them one by one")}
	case isHeader && r.events == 0:
		r.header, r.hasHeader = h, true
	case !isHeader:
		if l, unknown, bad = decode(fields); bad != nil {
			return Line{}, false, bad
		}
		r.events++
	}
	for _, field := range unknown {
		r.unknown[field]++
	}
	return l, isHeader, nil
}

// sameConfig reports whether two recordings were made under one configuration.
func sameConfig(a, b Header) bool {
	return maps.EqualFunc(a.Config, b.Config,
		func(x, y json.RawMessage) bool { return bytes.Equal(x, y) })
}

// CutOff returns which last line is cut off and was not returned, after Next has returned
// [io.EOF]; nil if none is.
func (r *Reader) CutOff() *LineError { return r.cut }

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
			r.failed, r.unterminated = io.EOF, true
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
