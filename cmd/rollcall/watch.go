package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (a *app) watchCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "watch [kind…]",
		Short: "Print what is there, then every change",
		Long: `Print what is there, then every change as it happens, until Ctrl-C. With -o json each line is a JSON object.
With --from it prints what happened in the recording, change by change, and ends. Containers that rules leave
out are not shown.`,
		Example: `  rollcall watch containers
  rollcall watch -o json | jq -c 'select(.type == "unset") | .entity.id'`,
		ValidArgsFunction: completeKinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.watcher(args, all)
			if err != nil {
				return err
			}
			if a.from != "" {
				return w.replay(cmd.Context(), 0)
			}
			return w.live(cmd.Context())
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "what rules leave out, too")
	return cmd
}

// watcher prints changes.
type watcher struct {
	app   *app
	kinds []workloadmeta.Kind // none = all
	level tagger.TagCardinality
	// stamp, if set, is the time to print instead of the present.
	stamp time.Time
	color bool
	// shown are the containers that have been printed, so that the end of one that rules
	// leave out is not; nil = rules leave nothing out.
	shown map[workloadmeta.EntityID]bool
}

// change is one line of watch -o json.
type change struct {
	Time time.Time              `json:"time,omitzero"`
	Type workloadmeta.EventType `json:"type"`
	// Snapshot says that the entity was there already.
	Snapshot bool `json:"snapshot,omitempty"`
	Entity   view `json:"entity"`
}

func (a *app) watcher(args []string, all bool) (*watcher, error) {
	kinds, err := parseKinds(args)
	if err != nil {
		return nil, err
	}
	level, err := a.cardinality(tagger.LowCardinality)
	w := &watcher{app: a, kinds: kinds, level: level, color: a.color()}
	if !all {
		w.shown = map[workloadmeta.EntityID]bool{}
	}
	return w, err
}

// live prints what happens on this machine until ctx ends.
func (w *watcher) live(ctx context.Context) error {
	e, err := w.app.open(ctx, true)
	if errors.Is(err, errInterrupted) {
		return nil
	}
	if err != nil {
		return err
	}
	defer e.close()
	var filter *workloadmeta.Filter
	if len(w.kinds) > 0 {
		filter = workloadmeta.NewFilter()
		for _, kind := range w.kinds {
			filter.Kind(kind)
		}
		if w.shown != nil && slices.Contains(w.kinds, workloadmeta.KindContainer) {
			filter.Kind(workloadmeta.KindKubernetesPod) // by which rules may leave containers out
		}
	}
	sub := e.store.Subscribe("watch", filter)
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		if err := w.print(e, bundle); err != nil {
			return err
		}
	}
	return nil // somebody has had enough
}

// replay prints what happened in the recording. With a speed, as slowly as it happened divided by
// it.
func (w *watcher) replay(ctx context.Context, speed float64) error {
	e, err := w.app.build()
	if err != nil {
		return err
	}
	defer e.close()
	if err := e.start(ctx); err != nil {
		return err
	}
	sub := e.store.Subscribe("watch", nil)
	defer sub.Close()
	next, stop := iter.Pull(sub.Bundles(ctx))
	defer stop()
	next() // nothing is there yet
	seen := e.store.Revision()
	var last time.Time
	err = e.play(ctx, &steps{
		before: func(at time.Time) error {
			w.stamp = at
			if speed <= 0 || at.IsZero() {
				return nil
			}
			pause := at.Sub(last)
			if last.IsZero() || pause < 0 {
				pause = 0
			}
			last = at
			select {
			case <-time.After(time.Duration(float64(pause) / speed)):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		after: func() error {
			for seen < e.store.Revision() {
				bundle, ok := next()
				if !ok {
					return ctx.Err()
				}
				seen = bundle.Revision
				if err := w.print(e, bundle); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if ctx.Err() != nil {
		return nil // somebody has had enough
	}
	return err
}

// print prints the events of a bundle in an order that does not change from run to run.
func (w *watcher) print(e *engine, bundle workloadmeta.Bundle) error {
	now := w.stamp
	if w.app.from == "" {
		now = time.Now()
	}
	events := slices.DeleteFunc(slices.Concat(bundle.Events, w.reconsidered(e, bundle)),
		func(ev workloadmeta.Event) bool {
			return len(w.kinds) > 0 && !slices.Contains(w.kinds, ev.Entity.GetID().Kind)
		})
	slices.SortStableFunc(events,
		func(a, b workloadmeta.Event) int { return compareEntities(a.Entity, b.Entity) })
	var out []byte
	for _, ev := range events {
		if ev.Type = w.visible(e, ev); ev.Type == 0 {
			continue
		}
		c := change{Time: now, Type: ev.Type, Snapshot: bundle.Snapshot,
			Entity: e.view(ev.Entity, ev.Reports, w.level)}
		switch w.app.output {
		case "json", "yaml":
			line, err := encode(c, false)
			if err != nil {
				return err
			}
			if w.app.output == "yaml" {
				if line, err = toYAML(line); err != nil {
					return err
				}
				line = slices.Concat([]byte("---\n"), line)
			}
			out = append(out, line...)
		default:
			out = append(out, w.line(e, c)...)
		}
	}
	if len(out) == 0 {
		return nil
	}
	_, err := w.app.out.Write(out) // whole lines, as soon as they are known
	return err
}

// visible returns the type of event as which an event is seen by who does not see what
// rules leave out, 0 = not at all. What is left out from now on is unset.
func (w *watcher) visible(e *engine, ev workloadmeta.Event) workloadmeta.EventType {
	id := ev.Entity.GetID()
	if w.shown == nil || id.Kind != workloadmeta.KindContainer {
		return ev.Type
	}
	was := w.shown[id]
	if ev.Type == workloadmeta.EventTypeSet && e.excludedBy(ev.Entity) == "" {
		w.shown[id] = true
		return ev.Type
	}
	delete(w.shown, id)
	if was || ev.Type == workloadmeta.EventTypeUnset && e.excludedBy(ev.Entity) == "" {
		return workloadmeta.EventTypeUnset // also of what came and went unseen
	}
	return 0
}

// reconsidered returns the containers that are left out, or not any more, because of a
// change of their pod.
func (w *watcher) reconsidered(e *engine,
	bundle workloadmeta.Bundle) (events []workloadmeta.Event) {
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
				c, err := e.store.Get(id)
				if err != nil || told[id] || (e.excludedBy(c) == "") == w.shown[id] {
					continue
				}
				views, _ := e.store.Reports(id)
				events = append(events,
					workloadmeta.Event{Type: workloadmeta.EventTypeSet, Entity: c, Reports: views})
			}
		}
	}
	return events
}

// line is a change for people.
func (w *watcher) line(e *engine, c change) string {
	sign, escape := "+", green
	switch {
	case c.Snapshot:
		sign, escape = "=", ""
	case c.Type == workloadmeta.EventTypeUnset:
		sign, escape = "-", red
	}
	id := c.Entity.entity.GetID()
	text := fmt.Sprintf("%s %s %-9s %s", clock(c.Time), sign, shortKind(id.Kind),
		clean(shortID(id.ID)))
	if details := clean(e.details(c.Entity.entity)); details != "" {
		text += "  " + details
	}
	if len(c.Entity.tags) > 0 {
		text += "  " + clean(tagLine(c.Entity.tags))
	}
	if width := w.app.cutAt(); width > 0 {
		if runes := []rune(text); len(runes) > width {
			text = string(runes[:width-1]) + "…"
		}
	}
	if w.color && escape != "" {
		text = escape + text + reset
	}
	return text + "\n"
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "--:--:--"
	}
	return t.Format("15:04:05")
}

func shortKind(kind workloadmeta.Kind) string {
	switch kind {
	case workloadmeta.KindKubernetesPod:
		return "pod"
	case workloadmeta.KindContainerImage:
		return "image"
	case workloadmeta.KindECSTask:
		return "task"
	}
	return kind.String()
}

// details is what a line says of an entity beside its ID.
func (e *engine) details(entity workloadmeta.Entity) string {
	switch t := entity.(type) {
	case *workloadmeta.Container:
		state := stateOf(t.State)
		if h := t.State.Health; h == workloadmeta.HealthHealthy ||
			h == workloadmeta.HealthUnhealthy {
			// or a change of it would be a line that shows no change
			state += " (" + string(h) + ")"
		}
		return strings.Join(slices.DeleteFunc([]string{t.Name, imageOf(t.Image), state}, empty),
			"  ")
	case *workloadmeta.KubernetesPod:
		return strings.Join(slices.DeleteFunc([]string{qualified(t.Namespace, t.Name), t.Phase},
			empty), "  ")
	case *workloadmeta.Process:
		return strings.Join(
			slices.DeleteFunc([]string{firstText(t.Name, t.Comm), shortID(t.ContainerID)},
				empty), "  ")
	case *workloadmeta.ContainerImageMetadata:
		return firstText(strings.Join(t.RepoTags, ","), t.Name)
	}
	return nameOf(entity)
}

func empty(s string) bool { return s == "" }
