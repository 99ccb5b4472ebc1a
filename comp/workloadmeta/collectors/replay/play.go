package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
)

// Report says how playing a recording went.
type Report struct {
	Events      int
	Skipped     int            // bad lines passed over
	Errors      []error        // of the first few of them
	Unknown     map[string]int // fields that were skipped, and how often
	First, Last time.Time      // of the lines that have a time
	// CutOff, if set, says that the last line is not whole. It is left out: who records while
	// the disk fills up or the machine goes down leaves such a line.
	CutOff error
}

// Play reads a recording and hands over its events. It is the only player there is: whoever plays
// a recording gets the same. speed is 0 for as fast as possible, 1 for real time, 10 for ten times
// as fast.
//
// apply gets events that became true at one moment, each about another entity or from another
// source, and the time, which is zero if the recording does not know it. It owns the slice until
// it returns. An error ends the playing. Store and tags in the end are the same without that
// grouping; it is for those who watch, who see together what became true together: a container
// once, with the tags of its pod, where otherwise it came without them and changed at once. What
// ran when a recording began has one time, and is most of it.
func Play(ctx context.Context, r *recording.Reader, speed float64,
	apply func(at time.Time, events []workloadmeta.CollectorEvent) error) (Report, error) {
	p := player{apply: apply, pace: pace{speed: speed}, in: map[part]bool{}}
	err := p.run(ctx, r)
	p.report.Skipped, p.report.Errors = r.Skipped()
	p.report.Unknown = r.Unknown()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("play the recording: %w", ctx.Err())
	}
	return p.report, err
}

// part is what one source says of one entity.
type part struct {
	id     workloadmeta.EntityID
	source workloadmeta.Source
}

// player collects what became true at one moment.
type player struct {
	apply  func(time.Time, []workloadmeta.CollectorEvent) error
	pace   pace
	report Report

	at     time.Time
	moment []workloadmeta.CollectorEvent
	in     map[part]bool // what moment says something of
}

func (p *player) run(ctx context.Context, r *recording.Reader) error {
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			if cut := r.CutOff(); cut != nil {
				p.report.CutOff = cut
			}
			return p.flush(ctx)
		}
		if err != nil {
			return errors.Join(p.flush(ctx), err)
		}
		ev := part{line.Event.Entity.GetID(), line.Event.Source}
		if line.Time.IsZero() || !line.Time.Equal(p.at) || p.in[ev] {
			if err := p.flush(ctx); err != nil {
				return err
			}
		}
		p.at = line.Time
		p.moment, p.in[ev] = append(p.moment, line.Event), true
		p.report.Events++
		if !p.at.IsZero() {
			if p.report.First.IsZero() || p.at.Before(p.report.First) {
				p.report.First = p.at
			}
			if p.at.After(p.report.Last) {
				p.report.Last = p.at
			}
		}
	}
}

// flush hands the moment over when its time has come.
func (p *player) flush(ctx context.Context) error {
	if len(p.moment) == 0 {
		return ctx.Err()
	}
	if err := p.pace.wait(ctx, p.at); err != nil {
		return err
	}
	err := p.apply(p.at, p.moment)
	p.moment = p.moment[:0]
	clear(p.in)
	return err
}

// pace knows when the time of a moment has come. The first with a time comes at once; one without
// a time, or from before the one before, comes with the one before.
type pace struct {
	speed        float64
	began, first time.Time // here, and in the recording
}

func (p *pace) wait(ctx context.Context, at time.Time) error {
	if p.speed <= 0 || at.IsZero() {
		return ctx.Err()
	}
	if p.first.IsZero() {
		p.first, p.began = at, time.Now()
	}
	// From the beginning rather than from line to line, so that delays do not add up.
	due := p.began.Add(time.Duration(float64(at.Sub(p.first)) / p.speed))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Open opens a recording, "-" for the standard input. Its errors are for people. Reading ends with
// ctx, also where it waits for a pipe that nobody writes to.
func Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if path == "-" {
		return interruptible(ctx, func() (io.ReadCloser, error) { return os.Stdin, nil }), nil
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		err = errors.New(`it is a folder; want a file made by "rollcall record"`)
	}
	if err == nil && !info.Mode().IsRegular() {
		return interruptible(ctx, func() (io.ReadCloser, error) { return os.Open(path) }), nil
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	if err != nil {
		if of, ok := errors.AsType[*fs.PathError](err); ok {
			err = of.Err
		}
		return nil, fmt.Errorf("read the recording %s: %w", path, err)
	}
	return &file{ctx, f}, nil
}

// file is a file whose reading ends with a context.
type file struct {
	ctx context.Context
	*os.File
}

// Read implements [io.Reader].
func (f *file) Read(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

// interruptible reads what open opens in a goroutine of its own, which ends with the file. Where
// the system does not let go of it, in a pipe that nobody writes to, it ends with the process.
func interruptible(ctx context.Context, open func() (io.ReadCloser, error)) io.ReadCloser {
	reader, writer := io.Pipe()
	stop := context.AfterFunc(ctx, func() { reader.CloseWithError(ctx.Err()) })
	go func() {
		defer stop()
		in, err := open()
		if err == nil {
			_, err = io.Copy(writer, in)
			in.Close()
		}
		writer.CloseWithError(err) // nil: the end of the file
	}()
	return reader
}

// Load reads a whole recording. Of the options only SkipBad matters. When it fails at a
// line, the events before it are returned with the error.
func Load(path string, opts Options) ([]workloadmeta.CollectorEvent, Report, error) {
	ctx := context.Background()
	in, err := Open(ctx, path)
	if err != nil {
		return nil, Report{}, err
	}
	defer in.Close()
	var events []workloadmeta.CollectorEvent
	r := recording.NewReader(in, path)
	r.SkipBad = opts.SkipBad
	report, err := Play(ctx, r, 0, func(_ time.Time, moment []workloadmeta.CollectorEvent) error {
		events = append(events, slices.Clone(moment)...)
		return nil
	})
	return events, report, err
}
