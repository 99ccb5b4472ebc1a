package recording

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// sourceUnknown is the source of an end that the store tells of without saying whose
// view it was, of an entity that was never seen before.
const sourceUnknown workloadmeta.Source = "unknown"

// Recorder writes down what happens in a store.
type Recorder struct {
	store  workloadmeta.Component
	filter *workloadmeta.Filter
	out    *Writer
	views  map[workloadmeta.EntityID][]workloadmeta.View // as last written
	lines  int
}

// NewRecorder returns a recorder of what the filter lets through; nil is everything.
// Filters on a source or an event type have no place here: they hide the views.
func NewRecorder(store workloadmeta.Component, filter *workloadmeta.Filter, out *Writer) *Recorder {
	return &Recorder{store: store, filter: filter, out: out,
		views: map[workloadmeta.EntityID][]workloadmeta.View{}}
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

// write writes the lines that make the entity's views what the event says.
func (r *Recorder) write(now time.Time, ev workloadmeta.Event) error {
	id := ev.Entity.GetID()
	before := r.views[id]
	line := func(t workloadmeta.EventType, source workloadmeta.Source,
		e workloadmeta.Entity) error {
		r.lines++
		return r.out.Write(
			Line{Time: now, Event: workloadmeta.CollectorEvent{Type: t, Source: source, Entity: e}})
	}

	if ev.Type == workloadmeta.EventTypeUnset {
		delete(r.views, id)
		if len(before) == 0 {
			// It came and went between two bundles: both belong into the recording.
			before = ev.Views
			if len(before) == 0 {
				before = []workloadmeta.View{{Source: sourceUnknown, Entity: ev.Entity}}
			}
			for _, v := range before {
				if err := line(workloadmeta.EventTypeSet, v.Source, v.Entity); err != nil {
					return err
				}
			}
		}
		for _, v := range before {
			last := viewOf(ev.Views, v.Source) // filled up with what the end revealed
			if last == nil {
				last = v.Entity // gone some time before the end
			}
			if err := line(workloadmeta.EventTypeUnset, v.Source, last); err != nil {
				return err
			}
		}
		return nil
	}

	for _, v := range before {
		if viewOf(ev.Views, v.Source) == nil {
			if err := line(workloadmeta.EventTypeUnset, v.Source, v.Entity); err != nil {
				return err
			}
		}
	}
	for _, v := range ev.Views {
		have := viewOf(before, v.Source)
		if have != nil && (have == v.Entity || have.Equal(v.Entity)) {
			continue
		}
		if err := line(workloadmeta.EventTypeSet, v.Source, v.Entity); err != nil {
			return err
		}
	}
	r.views[id] = slices.Clone(ev.Views) // the event's slice is the store's
	return nil
}

// viewOf returns the source's view, or nil.
func viewOf(views []workloadmeta.View, source workloadmeta.Source) workloadmeta.Entity {
	for _, v := range views {
		if v.Source == source {
			return v.Entity
		}
	}
	return nil
}
