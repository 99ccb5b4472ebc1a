package inspect

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
)

// Change is something that came, changed or went.
type Change struct {
	Time time.Time              `json:"time,omitzero"`
	Type workloadmeta.EventType `json:"type"`
	// Snapshot says that the entity was there already.
	Snapshot bool   `json:"snapshot,omitempty"`
	Entity   Entity `json:"entity"`
	// Last marks the last change of those that became true together.
	Last bool `json:"-"`
}

// Watch implements [Inspector].
func (l *Local) Watch(ctx context.Context, r WatchRequest) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		w := &watcher{l: l, request: r}
		var err error
		if w.wanted, err = newSelection(r.Names, nil, r.Narrowing); err != nil {
			yield(Change{}, err)
			return
		}
		if !r.All {
			w.shown = map[workloadmeta.EntityID]bool{}
		}
		if r.Namespace != "" || r.Selector != "" {
			w.placed = map[workloadmeta.EntityID]bool{}
		}
		mine := false
		if rec := l.opts.Recording; rec != nil {
			mine, err = w.replay(ctx, rec, yield)
		}
		if !mine && err == nil {
			err = w.live(ctx, yield)
		}
		if err != nil && err != errEnough && ctx.Err() == nil {
			yield(Change{}, err)
		}
	}
}

// watcher turns bundles of the store into changes.
type watcher struct {
	l       *Local
	request WatchRequest
	wanted  selection
	// shown are the containers that have been shown, so that the end of one that rules leave
	// out is not; nil = rules leave nothing out.
	shown map[workloadmeta.EntityID]bool
	// placed is what has been shown where a namespace or labels are asked for, so that what loses
	// them is shown as gone; nil = none are.
	placed map[workloadmeta.EntityID]bool
}

// live yields what is there and what happens until ctx ends; of a recording that has been played,
// what was there in the end.
func (w *watcher) live(ctx context.Context, yield func(Change, error) bool) error {
	var filter *workloadmeta.Filter
	if len(w.request.Kinds) > 0 {
		filter = workloadmeta.NewFilter()
		for _, kind := range w.request.Kinds {
			filter.Kind(kind)
		}
		if slices.Contains(w.request.Kinds, workloadmeta.KindContainer) &&
			(w.shown != nil || w.placed != nil) {
			filter.Kind(workloadmeta.KindKubernetesPod) // by which rules may leave containers out
		}
		if slices.Contains(w.request.Kinds, workloadmeta.KindProcess) && w.placed != nil {
			filter.Kind(workloadmeta.KindKubernetesPod).Kind(workloadmeta.KindContainer)
		}
	}
	sub := w.l.opts.Store.Subscribe("watch", filter)
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		if err := w.tell(bundle, w.l.now(), yield); err != nil {
			return err
		}
		if w.l.opts.Recording != nil {
			return nil // it has been played: nothing will come
		}
	}
	return nil
}

// replay yields what happens while the recording is played, if nobody else has begun to play it.
func (w *watcher) replay(ctx context.Context, rec *Recording,
	yield func(Change, error) bool) (mine bool, err error) {
	next, stop := following(ctx, w.l.opts.Store.Subscribe("watch", nil))
	defer stop()
	next() // nothing is there yet
	seen := w.l.opts.Store.Revision()
	return rec.play(ctx, w.l.opts, w.request.Speed, func(at time.Time) error {
		for seen < w.l.opts.Store.Revision() {
			bundle, ok := next()
			if !ok {
				return ctx.Err()
			}
			seen = bundle.Revision
			if err := w.tell(bundle, at, yield); err != nil {
				return err
			}
		}
		return nil
	})
}

// tell yields the events of a bundle in an order that does not change from run to run.
func (w *watcher) tell(bundle workloadmeta.Bundle, now time.Time,
	yield func(Change, error) bool) error {
	events := slices.DeleteFunc(slices.Concat(bundle.Events, w.reconsidered(bundle),
		w.moved(bundle)),
		func(ev workloadmeta.Event) bool {
			kinds := w.request.Kinds
			return len(kinds) > 0 && !slices.Contains(kinds, ev.Entity.GetID().Kind)
		})
	slices.SortStableFunc(events,
		func(a, b workloadmeta.Event) int { return compareEntities(a.Entity, b.Entity) })
	var changes []Change
	for _, ev := range events {
		if ev.Type = w.visible(ev); ev.Type == 0 {
			continue
		}
		c := Change{Time: now, Type: ev.Type, Snapshot: bundle.Snapshot,
			Entity: w.l.shown(ev.Entity, ev.Reports, w.request.Cardinality)}
		if ok, err := w.wanted.has(w.l, c.Entity); err != nil {
			return err
		} else if c.Type = w.crossing(c, ok); c.Type != 0 {
			changes = append(changes, c)
		}
	}
	for i, c := range changes {
		c.Last = i == len(changes)-1
		if !yield(c, nil) {
			return errEnough
		}
	}
	return nil
}

// visible returns the type of event as which an event is seen by who does not see what rules
// leave out, 0 = not at all. What is left out from now on is unset.
func (w *watcher) visible(ev workloadmeta.Event) workloadmeta.EventType {
	id := ev.Entity.GetID()
	if w.shown == nil || id.Kind != workloadmeta.KindContainer {
		return ev.Type
	}
	was := w.shown[id]
	if ev.Type == workloadmeta.EventTypeSet && w.l.excludedBy(ev.Entity) == "" {
		w.shown[id] = true
		return ev.Type
	}
	delete(w.shown, id)
	if was || ev.Type == workloadmeta.EventTypeUnset && w.l.excludedBy(ev.Entity) == "" {
		return workloadmeta.EventTypeUnset // also of what came and went unseen
	}
	return 0
}

// crossing returns the type of change as which one is seen where only some entities are meant, as
// this one is or is not now; 0 = not at all. What is not meant any more is unset.
func (w *watcher) crossing(c Change, meant bool) workloadmeta.EventType {
	id := c.Entity.Workload.GetID()
	was := w.placed[id]
	switch {
	case c.Type == workloadmeta.EventTypeSet && meant:
		if w.placed != nil {
			w.placed[id] = true
		}
		return c.Type
	case was || meant:
		delete(w.placed, id)
		return workloadmeta.EventTypeUnset // also of what came and went unseen
	}
	return 0
}

// moved returns the containers and processes whose namespace or labels are asked for now, or not
// any more, because of a change of their pod or container.
func (w *watcher) moved(bundle workloadmeta.Bundle) (events []workloadmeta.Event) {
	told, may := map[workloadmeta.EntityID]bool{}, false
	for _, ev := range bundle.Events {
		id := ev.Entity.GetID()
		told[id] = true
		may = may || id.Kind == workloadmeta.KindKubernetesPod ||
			id.Kind == workloadmeta.KindContainer
	}
	if w.placed == nil || !may {
		return nil
	}
	for _, kind := range [...]workloadmeta.Kind{workloadmeta.KindContainer,
		workloadmeta.KindProcess} {
		for e := range w.l.opts.Store.List(kind) {
			id := e.GetID()
			if told[id] || w.wanted.hasPlace(w.l, e) == w.placed[id] {
				continue
			}
			reports, _ := w.l.opts.Store.Reports(id)
			events = append(events, workloadmeta.Event{Type: workloadmeta.EventTypeSet, Entity: e,
				Reports: reports})
		}
	}
	return events
}

// reconsidered returns the containers that are left out, or not any more, because of a change of
// their pod.
func (w *watcher) reconsidered(bundle workloadmeta.Bundle) (events []workloadmeta.Event) {
	if w.shown == nil {
		return nil
	}
	told := map[workloadmeta.EntityID]bool{}
	for _, ev := range bundle.Events {
		told[ev.Entity.GetID()] = true
	}
	for _, ev := range bundle.Events {
		pod, ok := ev.Entity.(*workloadmeta.KubernetesPod)
		if !ok || ev.Type != workloadmeta.EventTypeSet {
			continue
		}
		for _, list := range [][]workloadmeta.OrchestratorContainer{pod.InitContainers,
			pod.Containers, pod.EphemeralContainers} {
			for i := range list {
				id := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: list[i].ID}
				c, err := w.l.opts.Store.Get(id)
				if err != nil || told[id] || (w.l.excludedBy(c) == "") == w.shown[id] {
					continue
				}
				reports, _ := w.l.opts.Store.Reports(id)
				events = append(events,
					workloadmeta.Event{Type: workloadmeta.EventTypeSet, Entity: c,
						Reports: reports})
			}
		}
	}
	return events
}

// Outages implements [Inspector].
func (l *Local) Outages(ctx context.Context) iter.Seq[collection.Outage] {
	if l.opts.Collectors == nil {
		return func(func(collection.Outage) bool) {}
	}
	return l.opts.Collectors.Outages(ctx)
}

// Record implements [Inspector].
func (l *Local) Record(ctx context.Context, r RecordRequest, out io.Writer) (int, error) {
	if err := l.ready(ctx); err != nil {
		return 0, err
	}
	var source workloadmeta.Component = l.opts.Store
	if r.Once || l.opts.Recording != nil {
		source = snapshotOnly{l.opts.Store}
	}
	w := recording.NewWriter(out)
	if err := w.WriteHeader(recording.Header{MadeBy: "rollcall " + l.opts.Version, Time: time.Now(),
		Config: l.opts.Config}); err != nil {
		return 0, err
	}
	recorder := recording.NewRecorder(source, nil, w)
	err := recorder.Run(ctx)
	if n, errs := recorder.Skipped(); n > 0 && err == nil {
		err = fmt.Errorf("%s not in the recording; the first: %w", plural(n, "event is",
			"events are"), errs[0])
	}
	return recorder.Lines(), err
}

// snapshotOnly is a store whose subscriptions end after the first bundle, which is in order.
type snapshotOnly struct{ workloadmeta.Component }

// Subscribe implements [workloadmeta.Component].
func (s snapshotOnly) Subscribe(name string, filter *workloadmeta.Filter,
	options ...workloadmeta.SubscribeOption) workloadmeta.Subscription {
	return &firstBundle{Subscription: s.Component.Subscribe(name, filter, options...)}
}

type firstBundle struct {
	workloadmeta.Subscription
	had bool
}

// Bundles implements [workloadmeta.Subscription].
func (f *firstBundle) Bundles(ctx context.Context) iter.Seq[workloadmeta.Bundle] {
	return func(yield func(workloadmeta.Bundle) bool) {
		if f.had {
			return
		}
		for bundle := range f.Subscription.Bundles(ctx) {
			slices.SortFunc(bundle.Events,
				func(a, b workloadmeta.Event) int { return compareEntities(a.Entity, b.Entity) })
			f.had = true
			yield(bundle)
			return
		}
	}
}
