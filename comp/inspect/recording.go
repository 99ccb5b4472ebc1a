package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/replay"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
)

// Recording is a recording that fills a store. It is played once, when the first question is asked.
// Open one with [OpenRecording], and Close it.
type Recording struct {
	path      string
	in        io.Closer
	reader    *recording.Reader
	header    recording.Header
	hasHeader bool

	// clock is the tagger's time, in Unix nanoseconds: what ended long before the recording did
	// is forgotten, as it was then. began is the first time that is known.
	clock, began atomic.Int64

	mu      sync.Mutex    // guards the fields below; not held while it is played
	done    chan struct{} // nil: nobody has begun to play it; closed when it has been played
	watched bool          // it is played for somebody who watches
	failed  error
	summary RecordingSummary
}

// RecordingSummary says what was read of a recording.
type RecordingSummary struct {
	File    string    `json:"file"`
	MadeBy  string    `json:"made_by,omitempty"`
	Events  int       `json:"events"`
	Skipped int       `json:"skipped_lines"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	// Notes are what was not understood, a line each.
	Notes []string `json:"notes,omitempty"`
}

// OpenRecording opens a recording, "-" for the standard input, and reads its header. skipBad passes
// over lines that cannot be read. Reading ends with ctx.
func OpenRecording(ctx context.Context, path string, skipBad bool) (*Recording, error) {
	in, err := replay.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	r := &Recording{path: path, in: in}
	r.reader = recording.NewReader(in, r.Name())
	r.reader.SkipBad = skipBad
	if r.header, r.hasHeader, err = r.reader.Header(); err != nil {
		in.Close()
		return nil, err
	}
	return r, nil
}

// Close closes the file.
func (r *Recording) Close() error { return r.in.Close() }

// Config returns the options under which the recording was made, as config.Loaded.Recorded has
// returned them; nil if it does not say.
func (r *Recording) Config() map[string]json.RawMessage { return r.header.Config }

// Now is the time that the tagger has to go by: the recording's.
func (r *Recording) Now() time.Time {
	if at := r.clock.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Now()
}

// Elapsed is how much of the recording's time has passed. It never goes back.
func (r *Recording) Elapsed() time.Duration {
	return time.Duration(r.clock.Load() - r.began.Load())
}

// Missing says why nothing may be known of something that the recording does not have.
func (r *Recording) Missing(workloadmeta.Kind, string) string {
	return "it was not there when the recording " + r.Name() + " ended"
}

// Name is what the recording is called in messages.
func (r *Recording) Name() string {
	if r.path == "-" {
		return "standard input"
	}
	return r.path
}

// errEnough ends the playing for somebody who has had enough.
var errEnough = errors.New("enough")

// pruneEvery is how often, in the recording's time, what is long gone is forgotten.
const pruneEvery = time.Minute

// play fills the store, or waits for whoever does so. After each moment the tagger has handled it,
// and then step, if given, is called. While somebody watches, others are answered from what has
// been played so far: they may be asking from the loop of the one who watches. mine says that this
// call has played it.
func (r *Recording) play(ctx context.Context, o Options, speed float64,
	step func(at time.Time) error) (mine bool, err error) {
	r.mu.Lock()
	done, watched := r.done, r.watched
	if done == nil {
		r.done, r.watched = make(chan struct{}), step != nil
	}
	r.mu.Unlock()
	if done == nil {
		defer close(r.done)
		err := r.fill(ctx, o, speed, step)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.failed = err
		return true, err
	}
	if !watched {
		select {
		case <-done:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return false, r.failed
}

// played says what was read; it is zero until all was.
func (r *Recording) played() RecordingSummary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.summary
}

func (r *Recording) fill(ctx context.Context, o Options, speed float64,
	step func(at time.Time) error) error {
	var pruned time.Time
	report, err := replay.Play(ctx, r.reader, speed,
		func(at time.Time, events []workloadmeta.CollectorEvent) error {
			r.advance(at, &pruned, o)
			if err := o.Store.Notify(events); err != nil {
				return fmt.Errorf("play %s: %w", r.Name(), err)
			}
			if err := o.Tagger.CatchUp(ctx); err != nil {
				return fmt.Errorf("play %s: %w", r.Name(), err)
			}
			if step == nil {
				return nil
			}
			return step(at)
		})
	r.mu.Lock()
	r.summary = RecordingSummary{File: r.path, MadeBy: r.header.MadeBy, Events: report.Events,
		Skipped: report.Skipped,
		First:   report.First, Last: report.Last, Notes: r.notes(report)}
	r.mu.Unlock()
	if _, ok := errors.AsType[*recording.LineError](err); ok {
		return fmt.Errorf("%w; --skip-bad-lines passes over such lines", err)
	}
	if err != nil {
		return err
	}
	o.Store.MarkSynced()
	return o.Tagger.CatchUp(ctx)
}

func (r *Recording) notes(report replay.Report) (notes []string) {
	if report.Skipped > 0 {
		notes = append(notes, fmt.Sprintf("%s: passed over %s that cannot be read; the first: %v",
			r.Name(), plural(report.Skipped, "line", "lines"), report.Errors[0]))
	}
	if report.CutOff != nil {
		notes = append(notes, fmt.Sprintf("%v: the last line is left out", report.CutOff))
	}
	for i, field := range slices.Sorted(maps.Keys(report.Unknown)) {
		if i == 0 {
			notes = append(notes, r.Name()+": left out fields that this version does not know: "+
				field)
		} else {
			notes[len(notes)-1] += ", " + field
		}
	}
	return notes
}

// advance moves the tagger's clock to a time of the recording, never back.
func (r *Recording) advance(at time.Time, pruned *time.Time, o Options) {
	switch {
	case at.IsZero():
		return
	case pruned.IsZero(): // the first time that is known
		*pruned = at
		r.began.Store(at.UnixNano())
		r.clock.Store(at.UnixNano())
	case at.UnixNano() > r.clock.Load():
		r.clock.Store(at.UnixNano())
	}
	if at.Sub(*pruned) >= pruneEvery {
		*pruned = at
		o.Tagger.Prune()
	}
}
