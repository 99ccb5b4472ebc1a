package inspect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// Options say what a [Local] answers from.
type Options struct {
	Store  *store.Store
	Tagger *local.Tagger
	// Collectors that fill the store. nil: nobody does, or a recording.
	Collectors *collection.Supervisor
	// Recording, if the store is filled by one. It is played before the first answer.
	Recording *Recording
	// Asked says by a collector's ID how somebody has asked for it by name, and Named which
	// collectors' sources the environment names: package config knows both.
	Asked map[string]string
	// Enabled are the collectors' switches.
	Enabled map[string]collection.Switch
	Named   map[string]bool
	// Config is what recordings that are made say of their configuration.
	Config map[string]json.RawMessage
	// Version of the program, for [Status].
	Version string
}

// Local answers from a store and a tagger in this process. Create one with [New]; Start it before
// anything is in the store, and Stop it.
type Local struct {
	opts  Options
	ended *ended
}

var _ Inspector = (*Local)(nil)

// New returns an inspector.
func New(opts Options) *Local {
	return &Local{opts: opts, ended: newEnded(opts.Store, opts.Tagger)}
}

// Start begins to remember what has ended, for as long as its tags stay: without, [Local.Tags] does
// not know of it whether rules leave it out.
func (l *Local) Start() { l.ended.start() }

// Stop ends what Start has begun, and waits for it.
func (l *Local) Stop() { l.ended.stop() }

// ready plays the recording, if there is one that has not been played.
func (l *Local) ready(ctx context.Context) error {
	if l.opts.Recording == nil {
		return nil
	}
	_, err := l.opts.Recording.play(ctx, l.opts, 0, nil)
	return err
}

// now is when an answer is from: of a recording, when it ended.
func (l *Local) now() time.Time {
	if r := l.opts.Recording; r != nil {
		if last := r.played().Last; !last.IsZero() {
			return last
		}
	}
	return time.Now()
}

// excludedBy names the rule that leaves a container out, "" if none does.
func (l *Local) excludedBy(entity workloadmeta.Entity) string {
	v := l.opts.Tagger.Rules().Why(entity, l.opts.Store, rules.Everything)
	if v.Excluded {
		return v.Rule.Label()
	}
	return ""
}

// List implements [Inspector].
func (l *Local) List(ctx context.Context, r ListRequest) (List, error) {
	if err := l.ready(ctx); err != nil {
		return List{}, err
	}
	wanted, err := newSelection(r.Names, r.Where, r.Narrowing)
	if err != nil {
		return List{}, err
	}
	out := List{Entities: []Entity{}, Names: map[string]string{}, At: l.now()}
	var empty []workloadmeta.Kind
	for _, kind := range r.Kinds {
		from := len(out.Entities)
		for entity := range l.opts.Store.List(kind) {
			reports, _ := l.opts.Store.Reports(entity.GetID()) // none if it has just gone
			e := l.shown(entity, reports, r.Cardinality)
			if ok, err := wanted.has(l, e); err != nil {
				return List{}, err
			} else if !ok {
				continue
			}
			if e.ExcludedBy != "" && !r.All {
				out.LeftOut++
				continue
			}
			out.Entities = append(out.Entities, e)
			l.nameReferences(entity, out.Names)
		}
		slices.SortFunc(out.Entities[from:], func(a, b Entity) int {
			return compareIDs(a.Workload.GetID().ID, b.Workload.GetID().ID)
		})
		if len(out.Entities) == from {
			empty = append(empty, kind)
		}
	}
	out.Notes = append(l.unaskedRuntimes(out.Entities), l.brokenParts(r.Kinds, r.Resources)...)
	out.Gaps = l.gaps(empty...)
	return out, nil
}

// nameReferences notes the names of what an entity refers to.
func (l *Local) nameReferences(entity workloadmeta.Entity, names map[string]string) {
	note := func(id workloadmeta.EntityID) {
		if other, err := l.opts.Store.Get(id); err == nil {
			if name := NameOf(other); name != "" {
				names[id.String()] = name
			}
		}
	}
	switch e := entity.(type) {
	case *workloadmeta.Process:
		if e.ContainerID != "" {
			note(workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: e.ContainerID})
		}
	case *workloadmeta.Container:
		if e.Owner != nil {
			note(*e.Owner)
		}
	}
}

// brokenParts says which parts of collectors that work otherwise do not tell of some kinds, or of
// some resources, and why: a line each. A resource that the cluster does not have lacks nothing.
func (l *Local) brokenParts(kinds []workloadmeta.Kind, resources []string) (notes []string) {
	if l.opts.Collectors == nil {
		return nil
	}
	for _, s := range l.opts.Collectors.Status() {
		for _, p := range s.Parts {
			switch {
			case s.State != collection.StateLive || p.State == collection.StateLive,
				p.Cause == workloadmeta.CauseAbsent || !slices.Contains(kinds, p.Kind),
				p.Kind == workloadmeta.KindKubernetesMetadata && len(resources) > 0 &&
					!slices.Contains(resources, p.Name):
				continue
			}
			note := fmt.Sprintf("something may be missing: %s of collector %s: %s", p.Name, s.ID,
				p.State)
			if p.Reason != "" {
				note += ": " + p.Problem.String()
			}
			notes = append(notes, note)
		}
	}
	return notes
}

// gaps says why there may be nothing of some kinds.
func (l *Local) gaps(kinds ...workloadmeta.Kind) (list []Gap) {
	if r := l.opts.Recording; r != nil {
		if len(kinds) == 0 {
			return nil
		}
		return []Gap{{Problem: workloadmeta.Problem{Reason: r.Missing(kinds[0], "")}}}
	}
	if l.opts.Collectors == nil {
		return nil
	}
	statuses := l.opts.Collectors.Status()
	for _, kind := range kinds {
		reported := false
		none := workloadmeta.Problem{
			Reason: "no collector in this program reports the kind " + kind.String()}
		for _, s := range statuses {
			if why, ok := s.Omits[kind]; ok {
				none = why
			}
			if !slices.Contains(s.Kinds, kind) {
				continue
			}
			reported = true
			if s.State != collection.StateLive && !slices.ContainsFunc(list,
				func(g Gap) bool { return g.Collector == s.ID }) {
				list = append(list, Gap{Kind: kind, Collector: s.ID, State: string(s.State),
					Problem: s.Problem, Silent: silent(s)})
			}
		}
		if !reported {
			list = append(list, Gap{Kind: kind, Problem: none})
		}
	}
	return list
}

// silent reports whether a collector has something to tell and does not: what is known may lack
// its word.
func silent(s collection.Status) bool {
	switch s.State {
	case collection.StateDegraded, collection.StateFailed, collection.StateConnecting:
		return true
	case collection.StateWaiting:
		return s.Cause == workloadmeta.CauseDenied
	}
	return false
}

// compareEntities compares by kind, then by ID.
func compareEntities(a, b workloadmeta.Entity) int {
	x, y := a.GetID(), b.GetID()
	return cmp.Or(cmp.Compare(x.Kind, y.Kind), compareIDs(x.ID, y.ID))
}

// compareIDs compares numbers as numbers.
func compareIDs(a, b string) int {
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

// following returns a subscription as a function that waits for the next bundle.
func following(ctx context.Context,
	sub workloadmeta.Subscription) (next func() (workloadmeta.Bundle,
	bool), stop func()) {
	next, end := iter.Pull(sub.Bundles(ctx))
	return next, func() {
		end()
		sub.Close()
	}
}

// answered reports whether some collector of a kind works.
func (l *Local) answered(kind workloadmeta.Kind) bool {
	return slices.ContainsFunc(l.opts.Collectors.Status(), func(s collection.Status) bool {
		return s.State == collection.StateLive && slices.Contains(s.Kinds, kind)
	})
}
