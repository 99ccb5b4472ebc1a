package podman

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// world is what a store would have, and everything it was told.
type world struct {
	mu    sync.Mutex
	live  map[workloadmeta.EntityID]workloadmeta.Entity
	ended map[workloadmeta.EntityID]workloadmeta.Entity // last unset
	told  map[workloadmeta.EntityID][]string            // "set", "unset", "swept"
	syncs int
}

func newWorld() *world {
	return &world{
		live: map[workloadmeta.EntityID]workloadmeta.Entity{}, ended: map[workloadmeta.EntityID]workloadmeta.Entity{},
		told: map[workloadmeta.EntityID][]string{},
	}
}

// worldSink is one run's view of a world. Like package collection, it unsets at Synced what this run has not reported, and drops
// what says nothing new.
type worldSink struct {
	w        *world
	reported map[workloadmeta.EntityID]bool
}

func (w *world) sink() *worldSink { return &worldSink{w, map[workloadmeta.EntityID]bool{}} }

func (s *worldSink) Set(entities ...workloadmeta.Entity) {
	s.all(workloadmeta.EventTypeSet, entities)
}

func (s *worldSink) Unset(entities ...workloadmeta.Entity) {
	s.all(workloadmeta.EventTypeUnset, entities)
}

func (s *worldSink) all(t workloadmeta.EventType, entities []workloadmeta.Entity) {
	var events []workloadmeta.CollectorEvent
	for _, e := range entities {
		events = append(events, workloadmeta.CollectorEvent{Type: t, Source: workloadmeta.SourceRuntime, Entity: e})
	}
	s.Apply(events)
}

func (s *worldSink) Apply(events []workloadmeta.CollectorEvent) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, e := range events {
		if err := e.Validate(); err != nil {
			panic(err)
		}
		id := e.Entity.GetID()
		switch {
		case e.Type == workloadmeta.EventTypeSet:
			s.reported[id] = true
			if old := s.w.live[id]; old != nil && old.Equal(e.Entity) {
				continue
			}
			s.w.live[id] = e.Entity
		case s.w.live[id] == nil:
			continue // as a store does
		default:
			delete(s.w.live, id)
			delete(s.reported, id)
			s.w.ended[id] = e.Entity
		}
		s.w.told[id] = append(s.w.told[id], e.Type.String())
	}
}

func (s *worldSink) Synced() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.syncs++
	for id, e := range s.w.live {
		if !s.reported[id] {
			delete(s.w.live, id)
			s.w.ended[id] = e
			s.w.told[id] = append(s.w.told[id], "swept")
		}
	}
}

func containerID(id string) workloadmeta.EntityID {
	return workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id}
}

// container returns a container that is there, or nil.
func (w *world) container(id string) *workloadmeta.Container {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, _ := w.live[containerID(id)].(*workloadmeta.Container)
	return c
}

// dead returns the last view of a container that has ended, or nil.
func (w *world) dead(id string) *workloadmeta.Container {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, _ := w.ended[containerID(id)].(*workloadmeta.Container)
	return c
}

// tags returns the tags of an image, "gone" if it is not there.
func (w *world) tags(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ok := w.live[workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: id}].(*workloadmeta.ContainerImageMetadata)
	if !ok {
		return "gone"
	}
	return fmt.Sprint(i.RepoTags)
}

// history returns what was told of a container: "[set set unset]".
func (w *world) history(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.told[containerID(id)])
}

// containers returns the IDs of the containers that are there.
func (w *world) containers() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for id := range w.live {
		if id.Kind == workloadmeta.KindContainer {
			ids = append(ids, id.ID)
		}
	}
	slices.Sort(ids)
	return fmt.Sprint(ids)
}

func (w *world) synced() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.syncs
}

func exitOf(c *workloadmeta.Container) string {
	switch {
	case c == nil:
		return "not ended"
	case c.State.ExitCode == nil:
		return "unknown"
	}
	return fmt.Sprint(*c.State.ExitCode)
}

// running is a running Stream.
type running struct {
	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func startStream(t testing.TB, c *Collector, w *world) *running { return startStreamTo(t, c, w.sink()) }

func startStreamTo(t testing.TB, c *Collector, sink workloadmeta.Sink) *running {
	ctx, cancel := context.WithCancel(context.Background())
	s := &running{t: t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = c.Stream(ctx, sink)
	}()
	return s
}

// over reports whether Stream has returned.
func (s *running) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stop ends the stream and waits for it.
func (s *running) stop() {
	s.t.Helper()
	begin := time.Now()
	s.cancel()
	<-s.done
	if took := time.Since(begin); took > time.Second {
		s.t.Errorf("Stream took %v to end", took)
	}
}

// newTestCollector returns a collector for fakes by their addresses. Addresses without a fake are sockets at which nobody answers.
func newTestCollector(t testing.TB, fakes map[string]*fakePodman, change func(*Options)) *Collector {
	t.Helper()
	o := Options{Dial: dialer(fakes), Log: slog.New(slog.DiscardHandler)}
	for address := range fakes {
		o.Sockets = append(o.Sockets, address)
	}
	slices.Sort(o.Sockets)
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
