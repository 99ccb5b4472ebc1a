package collectortest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// World is what a store would have, and everything it was told. It outlives the runs that report to
// it, each of which needs a [Sink] of its own. Create one with [NewWorld]; all methods may be
// called while a run reports.
type World struct {
	// OnlyNews drops what sets an entity to what it is already, as a store does. Otherwise it is
	// remembered like any change. Set it before the first run.
	OnlyNews bool

	mu   sync.Mutex // guards the fields below
	live map[workloadmeta.EntityID]workloadmeta.Entity
	// as the last unset told, or as a sweep found it
	ended   map[workloadmeta.EntityID]workloadmeta.Entity
	reports map[workloadmeta.EntityID][]string // "set", "unset", "swept"
	changes []Change
	news    []string // see News
	syncs   int
	gate    func()
}

// Change is one thing that a world was told.
type Change struct {
	What   string // "set", "unset", or "swept" for what a run had not reported when it was synced
	Entity workloadmeta.Entity
	At     time.Time
}

// NewWorld returns a world in which there is nothing.
func NewWorld() *World {
	return &World{
		live:    map[workloadmeta.EntityID]workloadmeta.Entity{},
		ended:   map[workloadmeta.EntityID]workloadmeta.Entity{},
		reports: map[workloadmeta.EntityID][]string{},
	}
}

// Sink is one run's view of a world. Like package collection, it unsets at Synced what this run has
// not reported. It panics over events that are not valid, and over what runtimesync does not use.
type Sink struct {
	w        *World
	reported map[workloadmeta.EntityID]bool // guarded by w.mu
}

// Sink returns the sink for another run.
func (w *World) Sink() *Sink { return &Sink{w, map[workloadmeta.EntityID]bool{}} }

// Set panics: runtimesync knows only Apply.
func (s *Sink) Set(...workloadmeta.Entity) { panic("not used by runtimesync") }

// Unset panics: runtimesync knows only Apply.
func (s *Sink) Unset(...workloadmeta.Entity) { panic("not used by runtimesync") }

// Apply takes events in their order.
func (s *Sink) Apply(events []workloadmeta.CollectorEvent) {
	w := s.w
	w.mu.Lock()
	gate := w.gate
	w.mu.Unlock()
	if gate != nil {
		gate()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		if err := e.Validate(); err != nil {
			panic(err)
		}
		id := e.Entity.GetID()
		if e.Type == workloadmeta.EventTypeSet {
			s.reported[id] = true
			if old := w.live[id]; w.OnlyNews && old != nil && old.Equal(e.Entity) {
				continue
			}
			w.live[id] = e.Entity
		} else {
			delete(w.live, id)
			delete(s.reported, id)
			w.ended[id] = e.Entity
		}
		w.note(e.Type.String(), e.Entity)
	}
}

// Next returns the sink for the run after this one.
func (s *Sink) Next() *Sink { return s.w.Sink() }

// Known is false: there is nobody else.
func (s *Sink) Known(workloadmeta.EntityID) bool { return false }

// Synced unsets what this run has not reported.
func (s *Sink) Synced() {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.syncs++
	for id, e := range w.live {
		if !s.reported[id] {
			delete(w.live, id)
			w.ended[id] = e
			w.note("swept", e)
		}
	}
}

// note remembers a change; the caller holds w.mu.
func (w *World) note(what string, e workloadmeta.Entity) {
	id := e.GetID()
	w.reports[id] = append(w.reports[id], what)
	w.changes = append(w.changes, Change{what, e, time.Now()})
	c, ok := e.(*workloadmeta.Container)
	if !ok && what != "swept" {
		return
	}
	text := what + " " + id.ID
	if what == "unset" && c.State.ExitCode != nil {
		text += fmt.Sprintf(" exit %d", *c.State.ExitCode)
	}
	w.news = append(w.news, text)
}

// Gate sets what is called, without a lock, before events are taken; nil ends it.
func (w *World) Gate(gate func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate = gate
}

// ContainerID returns the entity ID of a container.
func ContainerID(id string) workloadmeta.EntityID {
	return workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id}
}

// Container returns a container that is there, or nil.
func (w *World) Container(id string) *workloadmeta.Container {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, _ := w.live[ContainerID(id)].(*workloadmeta.Container)
	return c
}

// Ended returns the last view of a container that has ended, or nil.
func (w *World) Ended(id string) *workloadmeta.Container {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, _ := w.ended[ContainerID(id)].(*workloadmeta.Container)
	return c
}

// ExitOf returns with what a container has ended, see the function of that name.
func (w *World) ExitOf(id string) string { return ExitOf(w.Ended(id)) }

// ExitOf returns the exit code in a last view of a container, "unknown" if it has none, or "not
// ended" for nil.
func ExitOf(c *workloadmeta.Container) string {
	switch {
	case c == nil:
		return "not ended"
	case c.State.ExitCode == nil:
		return "unknown"
	}
	return fmt.Sprint(*c.State.ExitCode)
}

// Image returns an image that is there, or nil.
func (w *World) Image(id string) *workloadmeta.ContainerImageMetadata {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: id}
	i, _ := w.live[key].(*workloadmeta.ContainerImageMetadata)
	return i
}

// Live returns all that is there.
func (w *World) Live() map[workloadmeta.EntityID]workloadmeta.Entity {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.live)
}

// Count returns how many entities of a kind are there.
func (w *World) Count(kind workloadmeta.Kind) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for id := range w.live {
		if id.Kind == kind {
			n++
		}
	}
	return n
}

// Containers returns the IDs of the containers that are there, in order: "c1 c2".
func (w *World) Containers() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for id := range w.live {
		if id.Kind == workloadmeta.KindContainer {
			ids = append(ids, id.ID)
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// History returns what was told of a container: "set set unset".
func (w *World) History(id string) string { return w.HistoryOf(ContainerID(id)) }

// HistoryOf is [World.History] for entities of any kind.
func (w *World) HistoryOf(id workloadmeta.EntityID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.reports[id], " ")
}

// Changes returns all that was told, in order.
func (w *World) Changes() []Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.changes)
}

// News returns what was told of containers since the last call, and whatever was swept: "set web,
// unset web exit 3, swept db".
func (w *World) News() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.Join(w.news, ", ")
	w.news = nil
	return text
}

// Synced returns how many runs have been synced.
func (w *World) Synced() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.syncs
}
