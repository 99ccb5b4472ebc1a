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
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
)

// Source is the source of the collector itself; its events carry those of the recording.
const Source workloadmeta.Source = "replay"

// Options say what to replay. The zero value replays nothing.
type Options struct {
	// Path of the recording. Empty: the collector is off.
	Path string `config:"path,address" doc:"Recording to replay. Empty: none."`
	// Speed is 0 for as fast as possible, 1 for real time, 10 for ten times as fast.
	Speed float64 `config:"speed" doc:"0: as fast as possible, 1: in real time, 10: ten times as fast."`
	// SkipBad passes over lines that cannot be read instead of failing at the first.
	SkipBad bool `config:"skip_bad_lines" doc:"Passes over lines that cannot be read instead of failing at the first."`
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

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description { return description }

// Detect implements [workloadmeta.Collector].
func (c *Collector) Detect(ctx context.Context) workloadmeta.Detection {
	if c.opts.Path == "" {
		return workloadmeta.Detection{State: workloadmeta.Disabled,
			Reason: "no recording to replay; set replay.path"}
	}
	f, err := Open(ctx, c.opts.Path)
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
	in, err := Open(ctx, c.opts.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	r := recording.NewReader(in, c.opts.Path)
	r.SkipBad = c.opts.SkipBad
	report, err := Play(ctx, r, c.opts.Speed,
		func(_ time.Time, events []workloadmeta.CollectorEvent) error {
			sink.Apply(events)
			return nil
		})
	if err != nil {
		return err
	}
	if report.Skipped > 0 || len(report.Unknown) > 0 || report.CutOff != nil {
		c.opts.Log.Warn("the recording was not understood completely", "path", c.opts.Path,
			"skipped_lines", report.Skipped, "first", errors.Join(report.Errors...),
			"unknown_fields", report.unknownFields(), "cut_off", report.CutOff)
	}
	sink.Synced()
	<-ctx.Done()
	return ctx.Err()
}

func (r *Report) unknownFields() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(r.Unknown)) {
		list = append(list, fmt.Sprintf("%s (%d)", name, r.Unknown[name]))
	}
	return strings.Join(list, ", ")
}
