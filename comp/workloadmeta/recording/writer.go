package recording

import (
	"bytes"
	"fmt"
	"io"
)

// flushAt is how much a writer collects before it writes, in bytes.
const flushAt = 64 << 10

// Writer writes a recording. It is for one goroutine.
type Writer struct {
	out io.Writer
	buf bytes.Buffer
}

// NewWriter returns a writer to w. What it writes is complete only after
// [Writer.Flush]; only whole lines are handed over. Where w is a file, what is left of a
// line after a write that failed is cut off again.
func NewWriter(w io.Writer) *Writer { return &Writer{out: w} }

// FormError reports an event that has no form in a recording. Nothing of it is written, and
// writing may go on.
type FormError struct{ Err error }

// Error returns the reason.
func (e *FormError) Error() string { return "no form in a recording: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *FormError) Unwrap() error { return e.Err }

// WriteHeader adds a header, which belongs before all lines.
func (w *Writer) WriteHeader(h Header) error {
	line, err := h.encode()
	if err != nil {
		return fmt.Errorf("write the header of a recording: %w", err)
	}
	w.buf.Write(line)
	return nil
}

// Write adds a line. An event that has no form is a [*FormError], and nothing is added.
func (w *Writer) Write(l Line) error {
	before := w.buf.Len()
	err := l.encode(&w.buf)
	if length := w.buf.Len() - before; err == nil && length > MaxLine {
		err = fmt.Errorf("%s has %d bytes, more than the %d that are read", l.Event.Entity.GetID(),
			length, MaxLine)
	}
	if err != nil {
		w.buf.Truncate(before)
		return &FormError{err}
	}
	if w.buf.Len() >= flushAt {
		return w.Flush()
	}
	return nil
}

// Flush hands everything over to the underlying writer.
func (w *Writer) Flush() error {
	if w.buf.Len() == 0 {
		return nil
	}
	n, err := w.out.Write(w.buf.Bytes())
	if err != nil {
		err = fmt.Errorf("write a recording: %w", err)
		w.cutBack(w.buf.Bytes()[:max(n, 0)])
	}
	w.buf.Reset()
	return err
}

// cutBack takes the part of a line away that a failed write left at the end of a file. Where
// that is not possible, the reader sees by itself that the line is cut off.
func (w *Writer) cutBack(written []byte) {
	part := int64(len(written) - bytes.LastIndexByte(written, '\n') - 1)
	file, ok := w.out.(interface {
		io.Seeker
		Truncate(size int64) error
	})
	if !ok || part == 0 {
		return
	}
	end, err := file.Seek(-part, io.SeekCurrent)
	if err == nil {
		_ = file.Truncate(end)
	}
}
