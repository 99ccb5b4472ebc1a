package docker_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/docker"
)

// world is what a store would have, and everything it was told.
type world struct {
	mu     sync.Mutex
	live   map[workloadmeta.EntityID]workloadmeta.Entity
	ended  map[workloadmeta.EntityID]workloadmeta.Entity // last unset
	told   map[workloadmeta.EntityID][]string            // "set", "unset", "swept"
	when   map[workloadmeta.EntityID][]time.Time
	events []workloadmeta.CollectorEvent
	syncs  int
	gate   func() // called before a change is taken
}

func newWorld() *world {
	return &world{
		live: map[workloadmeta.EntityID]workloadmeta.Entity{}, ended: map[workloadmeta.EntityID]workloadmeta.Entity{},
		told: map[workloadmeta.EntityID][]string{}, when: map[workloadmeta.EntityID][]time.Time{},
	}
}

// sink is one run's view of a world. Like package collection, it unsets at Synced what this run has not reported.
type sink struct {
	w        *world
	reported map[workloadmeta.EntityID]bool
}

func (w *world) sink() *sink { return &sink{w, map[workloadmeta.EntityID]bool{}} }

func (s *sink) Set(entities ...workloadmeta.Entity) { s.all(workloadmeta.EventTypeSet, entities) }

func (s *sink) Unset(entities ...workloadmeta.Entity) { s.all(workloadmeta.EventTypeUnset, entities) }

func (s *sink) all(t workloadmeta.EventType, entities []workloadmeta.Entity) {
	var events []workloadmeta.CollectorEvent
	for _, e := range entities {
		events = append(events, workloadmeta.CollectorEvent{Type: t, Source: workloadmeta.SourceRuntime, Entity: e})
	}
	s.Apply(events)
}

func (s *sink) Apply(events []workloadmeta.CollectorEvent) {
	s.w.mu.Lock()
	gate := s.w.gate
	s.w.mu.Unlock()
	if gate != nil {
		gate()
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, e := range events {
		if err := e.Validate(); err != nil {
			panic(err)
		}
		id := e.Entity.GetID()
		if e.Type == workloadmeta.EventTypeSet {
			s.w.live[id] = e.Entity
			s.reported[id] = true
		} else {
			if s.w.live[id] == nil {
				continue // as a store does
			}
			delete(s.w.live, id)
			delete(s.reported, id)
			s.w.ended[id] = e.Entity
		}
		s.w.told[id] = append(s.w.told[id], e.Type.String())
		s.w.when[id] = append(s.w.when[id], time.Now())
		s.w.events = append(s.w.events, e)
	}
}

func (s *sink) Synced() {
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

func imageEntityID(id string) workloadmeta.EntityID {
	return workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: id}
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

func (w *world) image(id string) *workloadmeta.ContainerImageMetadata {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, _ := w.live[imageEntityID(id)].(*workloadmeta.ContainerImageMetadata)
	return i
}

// history returns what was told of a container: "set set unset".
func (w *world) history(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.told[containerID(id)])
}

func (w *world) containers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for id := range w.live {
		if id.Kind == workloadmeta.KindContainer {
			n++
		}
	}
	return n
}

func (w *world) synced() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.syncs
}

func exitOf(c *workloadmeta.Container) string {
	if c == nil {
		return "not ended"
	}
	if c.State.ExitCode == nil {
		return "unknown"
	}
	return fmt.Sprint(*c.State.ExitCode)
}

// stream is a running Stream.
type stream struct {
	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func start(t testing.TB, c *docker.Collector, w *world) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{t: t, cancel: cancel, done: make(chan struct{})}
	sink := w.sink()
	go func() {
		defer close(s.done)
		s.err = c.Stream(ctx, sink)
	}()
	return s
}

// stop ends the stream and waits for it.
func (s *stream) stop() {
	s.t.Helper()
	begin := time.Now()
	s.cancel()
	<-s.done
	if took := time.Since(begin); took > time.Second {
		s.t.Errorf("Stream took %v to end", took)
	}
}

// newCollector returns a collector for a fake daemon in memory.
func newCollector(t testing.TB, f *fakeDocker, change func(*docker.Options)) *docker.Collector {
	t.Helper()
	o := docker.Options{Host: "unix:///fake.sock", Log: slog.New(slog.DiscardHandler)}
	if f != nil {
		o.Dial = f.dial
	}
	if change != nil {
		change(&o)
	}
	c, err := docker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
