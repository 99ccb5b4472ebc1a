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
// [Writer.Flush]; only whole lines are handed over.
func NewWriter(w io.Writer) *Writer { return &Writer{out: w} }

// Write adds a line. An event that is not valid is an error, and nothing is added.
func (w *Writer) Write(l Line) error {
	before := w.buf.Len()
	if err := l.encode(&w.buf); err != nil {
		w.buf.Truncate(before)
		return fmt.Errorf("write a recording: %w", err)
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
	_, err := w.out.Write(w.buf.Bytes())
	w.buf.Reset()
	if err != nil {
		return fmt.Errorf("write a recording: %w", err)
	}
	return nil
}
