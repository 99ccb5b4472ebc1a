// Package replay reports what a recording says, as if it happened here and now: to show
// on one machine what was seen on another, and to test without a cluster.
//
// # Promises
//
//   - Events keep the sources they were recorded with, and their order.
//   - At once (Speed 0) or with the pauses of the recording, stretched or shortened.
//   - After the last line what is there stays: a recording that ends is not an end of
//     what was recorded.
//   - A recording that is missing or cannot be read is named with the reason. Fields this
//     version does not know are skipped and logged once.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
)

// Source is the source of the collector itself; its events carry those of the recording.
const Source workloadmeta.Source = "replay"

// batch is how many events are handed over as one change when there is no pace to keep.
const batch = 512

// Options say what to replay. The zero value replays nothing.
type Options struct {
	// Path of the recording. Empty: the collector is off.
	Path string
	// Speed is 0 for as fast as possible, 1 for real time, 10 for ten times as fast.
	Speed float64
	// SkipBad passes over lines that cannot be read instead of failing at the first.
	SkipBad bool
	// Log is told what was skipped. Default: nothing is logged.
	Log *slog.Logger
}

// Collector replays one recording. It implements [workloadmeta.Streamer].
type Collector struct{ opts Options }

var _ workloadmeta.Streamer = (*Collector)(nil)

// New returns a collector. A negative speed is an error.
func New(opts Options) (*Collector, error) {
	if !(opts.Speed >= 0) { // NaN as well
		return nil, fmt.Errorf("replay: speed is %v; it must not be negative", opts.Speed)
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Collector{opts}, nil
}

// Describe implements [workloadmeta.Collector]: a recording may hold anything, of all sources.
func (c *Collector) Describe() workloadmeta.Description {
	return workloadmeta.Description{ID: "replay", Source: Source, Kinds: workloadmeta.Kinds(),
		MultiSource: true}
}

// Detect implements [workloadmeta.Collector].
func (c *Collector) Detect(context.Context) workloadmeta.Detection {
	if c.opts.Path == "" {
		return workloadmeta.Detection{State: workloadmeta.Disabled,
			Reason: "no recording to replay; set replay.path"}
	}
	f, err := open(c.opts.Path)
	if err != nil {
		return workloadmeta.Detection{State: workloadmeta.Absent,
			Reason: err.Error() + "; check replay.path"}
	}
	f.Close()
	return workloadmeta.Detection{State: workloadmeta.Detected, Reason: "recording " + c.opts.Path}
}

// Stream implements [workloadmeta.Streamer]. It calls Synced after the last line and then
// waits for the end of ctx, so that the recording is not replayed again and again.
func (c *Collector) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	f, err := open(c.opts.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := recording.NewReader(f, c.opts.Path)
	r.SkipBad = c.opts.SkipBad
	if c.opts.Speed > 0 {
		err = c.paced(ctx, r, sink)
	} else {
		err = atOnce(ctx, r, sink)
	}
	if err != nil {
		return err
	}
	var report Report
	report.take(r)
	if report.Skipped > 0 || len(report.Unknown) > 0 {
		c.opts.Log.Warn("the recording was not understood completely", "path", c.opts.Path,
			"skipped_lines", report.Skipped, "first", errors.Join(report.Errors...),
			"unknown_fields", report.unknownFields())
	}
	sink.Synced()
	<-ctx.Done()
	return ctx.Err()
}

// atOnce reports everything as fast as it can be read.
func atOnce(ctx context.Context, r *recording.Reader, sink workloadmeta.Sink) error {
	events := make([]workloadmeta.CollectorEvent, 0, batch)
	for {
		l, err := r.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err == nil {
			events = append(events, l.Event)
		}
		if err != nil || len(events) == batch {
			sink.Apply(events)
			events = events[:0] // Apply does not keep the slice
		}
		if err != nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// paced reports each event when its time has come. The first event with a time comes at
// once; one without a time, or from before the one before, comes with the one before.
func (c *Collector) paced(ctx context.Context, r *recording.Reader, sink workloadmeta.Sink) error {
	began := time.Now()
	var first time.Time // of the recording
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if first.IsZero() {
			first = l.Time
		}
		if !l.Time.IsZero() {
			// From the beginning rather than from line to line, so that delays do not add up.
			due := began.Add(time.Duration(float64(l.Time.Sub(first)) / c.opts.Speed))
			timer.Reset(time.Until(due))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		sink.Apply([]workloadmeta.CollectorEvent{l.Event})
	}
}

// open opens a recording, with errors for people.
func open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the recording: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("open the recording: %s is a directory", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Report says how reading a recording went.
type Report struct {
	Events      int
	Skipped     int            // bad lines passed over
	Errors      []error        // of the first few of them
	Unknown     map[string]int // fields that were skipped, and how often
	First, Last time.Time      // of the lines that have a time
}

func (r *Report) take(from *recording.Reader) {
	r.Skipped, r.Errors = from.Skipped()
	r.Unknown = from.Unknown()
}

func (r *Report) unknownFields() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(r.Unknown)) {
		list = append(list, fmt.Sprintf("%s (%d)", name, r.Unknown[name]))
	}
	return strings.Join(list, ", ")
}

// Load reads a whole recording. Of the options only SkipBad matters. When it fails at a
// line, the events before it are returned with the error.
func Load(path string, opts Options) ([]workloadmeta.CollectorEvent, Report, error) {
	var report Report
	f, err := open(path)
	if err != nil {
		return nil, report, err
	}
	defer f.Close()
	r := recording.NewReader(f, path)
	r.SkipBad = opts.SkipBad
	var events []workloadmeta.CollectorEvent
	for {
		l, err := r.Next()
		if err != nil {
			report.take(r)
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return events, report, err
		}
		events = append(events, l.Event)
		report.Events++
		if !l.Time.IsZero() {
			if report.First.IsZero() || l.Time.Before(report.First) {
				report.First = l.Time
			}
			if l.Time.After(report.Last) {
				report.Last = l.Time
			}
		}
	}
}
