package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (a *app) watchCommand() *cobra.Command {
	var all bool
	var duration time.Duration
	var n narrowing
	cmd := &cobra.Command{
		Use:   "watch [kind…] [name…]",
		Short: "Print what is there, then every change",
		Long: `Print what is there, then every change as it happens, until Ctrl-C or for
--duration. With -o json each line is a JSON object. With --from it prints what happened in the
recording, change by change, and ends. Names, --namespace and --selector narrow it as they do for
"rollcall ls"; what is not meant any more is shown as gone. Containers that rules leave out are not
shown. When a source goes away, and when it is back, a line on the standard error says so.`,
		Example: `  rollcall watch containers
  rollcall watch container web --duration 1m
  rollcall watch po -n shop -l app=cart
  rollcall watch -o json | jq -c 'select(.type == "unset") | .entity.id'`,
		ValidArgsFunction: a.completeKindsAndNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			asked, err := parseKinds(args)
			if err != nil {
				return err
			}
			if err := checkDuration(cmd, duration); err != nil {
				return err
			}
			return a.watch(cmd.Context(), duration,
				inspect.WatchRequest{Kinds: asked.kinds, Names: asked.names, All: all,
					Narrowing: n.of(asked)})
		},
	}
	n.flags(cmd)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "what rules leave out, too")
	cmd.Flags().DurationVar(&duration, "duration", 0,
		"end this long after the first answers (default: at Ctrl-C)")
	return cmd
}

// checkDuration refuses a --duration that is no time at all.
func checkDuration(cmd *cobra.Command, d time.Duration) error {
	if cmd.Flags().Changed("duration") && d <= 0 {
		return usagef("--duration is %s; want more than 0", d)
	}
	return nil
}

// withDuration returns a context that ends after d, if that is not 0. It is called once there is
// something to tell: a collector that is slow to answer takes nothing off the time.
func withDuration(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// watch prints changes until ctx ends, or for a while if that is not 0.
func (a *app) watch(ctx context.Context, duration time.Duration, r inspect.WatchRequest) error {
	var err error
	if r.Cardinality, err = a.cardinality(tagger.LowCardinality); err != nil {
		return err
	}
	a.stays = duration == 0
	// A recording is played while it is watched.
	open := a.open
	if a.from != "" {
		open = a.openUnplayed
	}
	e, err := open(ctx, true)
	if errors.Is(err, errInterrupted) {
		return nil
	}
	if err != nil {
		return err
	}
	defer e.close()
	ctx, cancel := withDuration(ctx, duration)
	defer cancel()
	defer e.sayOutages(ctx)()
	color := a.color()
	var out []byte
	for change, err := range e.ask.Watch(ctx, r) {
		if err != nil {
			return err
		}
		if out, err = a.appendChange(out, change, color); err != nil {
			return err
		}
		if !change.Last {
			continue
		}
		if _, err := a.out.Write(out); err != nil { // whole lines, as soon as they are known
			return err
		}
		out = out[:0]
	}
	if ctx.Err() == nil && a.from != "" {
		return e.notes(ctx)
	}
	return nil // somebody has had enough
}

func (a *app) appendChange(out []byte, c inspect.Change, color bool) ([]byte, error) {
	if !a.structured() {
		return append(out, a.changeLine(c, color)...), nil
	}
	line, err := encode(c, false)
	if err != nil {
		return nil, err
	}
	if a.output == "yaml" {
		if line, err = toYAML(line); err != nil {
			return nil, err
		}
		out = append(out, "---\n"...)
	}
	return append(out, line...), nil
}

// changeLine is a change for people.
func (a *app) changeLine(c inspect.Change, color bool) string {
	sign, escape := "+", green
	switch {
	case c.Snapshot:
		sign, escape = "=", ""
	case c.Type == workloadmeta.EventTypeUnset:
		sign, escape = "-", red
	}
	id := c.Entity.Workload.GetID()
	text := fmt.Sprintf("%s %s %-9s %s", clock(c.Time), sign, inspect.ShortKind(id.Kind),
		clean(inspect.ShortID(id.ID)))
	if details := clean(details(c.Entity.Workload)); details != "" {
		text += "  " + details
	}
	if len(c.Entity.Tags) > 0 {
		text += "  " + clean(tagLine(c.Entity.Tags))
	}
	if width := a.cutAt(); width > 0 {
		if runes := []rune(text); len(runes) > width {
			text = string(runes[:width-1]) + "…"
		}
	}
	if color && escape != "" {
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

// details is what a line says of an entity beside its ID.
func details(entity workloadmeta.Entity) string {
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
		return strings.Join(slices.DeleteFunc([]string{inspect.NameOf(t), t.Phase},
			empty), "  ")
	case *workloadmeta.Process:
		return strings.Join(
			slices.DeleteFunc([]string{inspect.NameOf(t), inspect.ShortID(t.ContainerID)},
				empty), "  ")
	case *workloadmeta.ECSTask:
		return t.Name
	}
	return inspect.NameOf(entity)
}

func empty(s string) bool { return s == "" }
