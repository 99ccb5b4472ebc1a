package recording

import (
	"context"
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
}

// NewRecorder returns a recorder of what the filter lets through; nil is everything.
// Filters on a source or an event type have no place here: they hide the views.
func NewRecorder(store workloadmeta.Component, filter *workloadmeta.Filter, out *Writer) *Recorder {
	return &Recorder{store: store, filter: filter, out: out,
		reports: map[workloadmeta.EntityID][]workloadmeta.Report{}}
}

// Run writes everything there is and then every change, until ctx ends, which is no
// error, or writing fails. After each bundle what has been written is complete. Call
// it once.
func (r *Recorder) Run(ctx context.Context) error {
	sub := r.store.Subscribe("recorder", r.filter)
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		now := time.Now()
		for _, ev := range bundle.Events {
			if err := r.write(now, ev); err != nil {
				return err
			}
		}
		if err := r.out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Lines returns how many lines have been written, after Run.
func (r *Recorder) Lines() int { return r.lines }

// write writes the lines that make the entity's reports what the event says.
func (r *Recorder) write(now time.Time, ev workloadmeta.Event) error {
	id := ev.Entity.GetID()
	before := r.reports[id]
	line := func(t workloadmeta.EventType, by *workloadmeta.Reporter,
		e workloadmeta.Entity) error {
		r.lines++
		return r.out.Write(Line{Time: now, Event: workloadmeta.CollectorEvent{Type: t,
			Source: by.Source, Entity: e, Reporter: by}})
	}

	if ev.Type == workloadmeta.EventTypeUnset {
		delete(r.reports, id)
		if len(before) == 0 {
			// It came and went between two bundles: both belong into the recording.
			before = ev.Reports
			if len(before) == 0 {
				before = []workloadmeta.Report{workloadmeta.NewReport(
					workloadmeta.NewReporter(sourceUnknown), ev.Entity, now)}
			}
			for _, v := range before {
				if err := line(workloadmeta.EventTypeSet, v.Reporter, v.Entity); err != nil {
					return err
				}
			}
		}
		for _, v := range before {
			last := v.Entity // gone some time before the end
			if at, ok := workloadmeta.FindReport(ev.Reports, v.Reporter); ok {
				last = ev.Reports[at].Entity // filled up with what the end revealed
			}
			if err := line(workloadmeta.EventTypeUnset, v.Reporter, last); err != nil {
				return err
			}
		}
		return nil
	}

	var standing []workloadmeta.Report // of those who have not withdrawn
	for _, v := range ev.Reports {
		if v.State != workloadmeta.Done {
			standing = append(standing, v)
		}
	}
	for _, v := range before {
		if _, ok := workloadmeta.FindReport(standing, v.Reporter); !ok {
			last := v.Entity
			if at, ok := workloadmeta.FindReport(ev.Reports, v.Reporter); ok {
				last = ev.Reports[at].Entity
			}
			if err := line(workloadmeta.EventTypeUnset, v.Reporter, last); err != nil {
				return err
			}
		}
	}
	for _, v := range standing {
		if at, ok := workloadmeta.FindReport(before, v.Reporter); ok &&
			before[at].Entity.Equal(v.Entity) {
			continue
		}
		if err := line(workloadmeta.EventTypeSet, v.Reporter, v.Entity); err != nil {
			return err
		}
	}
	r.reports[id] = standing // the event's slice is the store's
	return nil
}
