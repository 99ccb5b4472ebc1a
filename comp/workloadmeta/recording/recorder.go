package recording

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// sourceUnknown is the source of an end that the store tells of without saying whose
// view it was, of an entity that was never seen before.
const sourceUnknown workloadmeta.Source = "unknown"

// Recorder writes down what happens in a store.
type Recorder struct {
	store   workloadmeta.Component
	filter  *workloadmeta.Filter
	out     *Writer
	reports map[workloadmeta.EntityID][]workloadmeta.Report // as last written
	lines   int

	skipped int
	errs    []error
}

// NewRecorder returns a recorder of what the filter lets through; nil is everything.
// Filters on a source or an event type have no place here: they hide the reports.
func NewRecorder(store workloadmeta.Component, filter *workloadmeta.Filter, out *Writer) *Recorder {
	return &Recorder{store: store, filter: filter, out: out,
		reports: map[workloadmeta.EntityID][]workloadmeta.Report{}}
}

// Run writes everything there is and then every change, until ctx ends, which is no
// error, or writing fails. After each bundle what has been written is complete. Call
// it once. An event that has no form in a recording is passed over: see [Recorder.Skipped].
func (r *Recorder) Run(ctx context.Context) error {
	sub := r.store.Subscribe("recorder", r.filter)
	defer sub.Close()
	// What is there comes at once, as the first bundle. A context that ends before it is read must
	// not leave an empty recording of a full store.
	for bundle := range sub.Bundles(context.WithoutCancel(ctx)) {
		if err := r.writeBundle(bundle); err != nil {
			return err
		}
		break
	}
	for bundle := range sub.Bundles(ctx) {
		if err := r.writeBundle(bundle); err != nil {
			return err
		}
	}
	return nil
}

// writeBundle writes what the bundle says, and hands it on at once.
func (r *Recorder) writeBundle(bundle workloadmeta.Bundle) error {
	now := time.Now()
	for _, ev := range bundle.Events {
		if err := r.write(now, ev); err != nil {
			return err
		}
	}
	return r.out.Flush()
}

// Lines returns how many lines have been written, after Run.
func (r *Recorder) Lines() int { return r.lines }

// Skipped returns how many events had no form in a recording and are not in it, and the
// first few errors, after Run.
func (r *Recorder) Skipped() (int, []error) { return r.skipped, r.errs }

// write writes the lines that make the entity's reports what the event says.
func (r *Recorder) write(now time.Time, ev workloadmeta.Event) error {
	id := ev.Entity.GetID()
	written, reports := r.reports[id], ev.Reports
	ended := ev.Type == workloadmeta.EventTypeUnset
	var sets, ends, again []workloadmeta.Report
	if another(written, reports) {
		// What was written last had ended, and the recorder was not told: between two
		// bundles its ID became another thing's.
		if err := r.writeAll(now, nil, standing(written), nil); err != nil {
			return err
		}
		written = nil
	}
	if ended && len(written)+len(reports) == 0 {
		reports = []workloadmeta.Report{workloadmeta.NewReport(
			workloadmeta.NewReporter(sourceUnknown), ev.Entity, now)}
	}
	for _, v := range reports {
		var have workloadmeta.Report
		at, known := workloadmeta.FindReport(written, v.Reporter)
		if known {
			have = written[at]
		}
		stands := known && have.State != workloadmeta.Done
		changed := !known || !have.Entity.Equal(v.Entity)
		switch {
		case !ended && v.State != workloadmeta.Done:
			if !stands || changed || have.Outdated && !v.Outdated {
				sets = append(sets, v)
			}
			if !v.Outdated {
				again = append(again, v)
			}
		case stands:
			ends = append(ends, v) // filled up with what the end revealed
		case changed && !(ended && known):
			// It came and went between two bundles: both belong into the recording.
			sets, ends = append(sets, v), append(ends, v)
		}
	}
	if len(sets) > 0 && !ended {
		// Who looks again takes ends away that nobody is older than, so that they are told
		// once more, and so do those who have looked after them.
		for _, v := range reports {
			if v.State == workloadmeta.Done && !has(ends, v.Reporter) {
				sets, ends = append(sets, v), append(ends, v)
			}
		}
	}
	if len(ends) == 0 {
		again = nil
	}
	for _, have := range standing(written) {
		if _, ok := workloadmeta.FindReport(reports, have.Reporter); !ok {
			ends = append(ends, have) // gone some time before the end
		}
	}
	if ended {
		delete(r.reports, id)
	} else {
		r.reports[id] = slices.Clone(reports) // the event's slice is the store's
	}
	return r.writeAll(now, sets, ends, again)
}

func has(reports []workloadmeta.Report, r *workloadmeta.Reporter) bool {
	return slices.ContainsFunc(reports,
		func(v workloadmeta.Report) bool {
			return workloadmeta.CompareReporters(v.Reporter, r) == 0
		})
}

// standing returns the reports of those who have not said that the entity ended.
func standing(reports []workloadmeta.Report) []workloadmeta.Report {
	return slices.DeleteFunc(slices.Clone(reports),
		func(v workloadmeta.Report) bool { return v.State == workloadmeta.Done })
}

// writeAll writes reports, ends, and reports once more.
func (r *Recorder) writeAll(now time.Time, sets, ends, again []workloadmeta.Report) error {
	for _, part := range []struct {
		typ     workloadmeta.EventType
		reports []workloadmeta.Report
	}{{workloadmeta.EventTypeSet, sets}, {workloadmeta.EventTypeUnset, ends},
		{workloadmeta.EventTypeSet, again}} {
		for _, v := range part.reports {
			if err := r.line(now, part.typ, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// line writes one line. Only a failure to write is an error.
func (r *Recorder) line(now time.Time, t workloadmeta.EventType, v workloadmeta.Report) error {
	err := r.out.Write(Line{Time: now, Event: workloadmeta.CollectorEvent{Type: t,
		Source: v.Source, Entity: v.Entity, Reporter: v.Reporter}})
	if form, ok := errors.AsType[*FormError](err); ok {
		r.skipped++
		if len(r.errs) < keptErrors {
			r.errs = append(r.errs, form)
		}
		return nil
	}
	if err == nil {
		r.lines++
	}
	return err
}

// another reports whether the reports are of another thing with the same ID.
func another(before, now []workloadmeta.Report) bool {
	return slices.ContainsFunc(before, func(old workloadmeta.Report) bool {
		return slices.ContainsFunc(now, func(v workloadmeta.Report) bool {
			return !workloadmeta.SameIncarnation(old.Entity, v.Entity)
		})
	})
}
