package containerd

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// world is what a store would have, and what it was told. It is the sink of any number of runs, one at a time.
type world struct {
	mu       sync.Mutex // guards the fields below
	live     map[workloadmeta.EntityID]workloadmeta.Entity
	ended    map[workloadmeta.EntityID]workloadmeta.Entity // last unset
	told     map[workloadmeta.EntityID][]string            // "set", "unset", "swept"
	reported map[workloadmeta.EntityID]bool                // in this run
	syncs    int
}

func newWorld() *world {
	return &world{
		live: map[workloadmeta.EntityID]workloadmeta.Entity{}, ended: map[workloadmeta.EntityID]workloadmeta.Entity{},
		told: map[workloadmeta.EntityID][]string{}, reported: map[workloadmeta.EntityID]bool{},
	}
}

func (w *world) Set(...workloadmeta.Entity)   { panic("not used by the follower") }
func (w *world) Unset(...workloadmeta.Entity) { panic("not used by the follower") }

func (w *world) Apply(events []workloadmeta.CollectorEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		if err := e.Validate(); err != nil {
			panic(err)
		}
		id := e.Entity.GetID()
		if e.Type == workloadmeta.EventTypeSet {
			w.live[id], w.reported[id] = e.Entity, true
		} else {
			if w.live[id] == nil {
				continue // as a store does
			}
			delete(w.live, id)
			w.ended[id] = e.Entity
		}
		w.told[id] = append(w.told[id], e.Type.String())
	}
}

// Synced unsets what this run has not reported, as package collection does.
func (w *world) Synced() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.syncs++
	for id, e := range w.live {
		if !w.reported[id] {
			delete(w.live, id)
			w.ended[id] = e
			w.told[id] = append(w.told[id], "swept")
		}
	}
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
	i, _ := w.live[workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: id}].(*workloadmeta.ContainerImageMetadata)
	return i
}

// history returns what was told of a container: "set set unset".
func (w *world) history(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.told[containerID(id)], " ")
}

// count returns how many entities of a kind are there.
func (w *world) count(kind workloadmeta.Kind) int {
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

func (w *world) synced() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.syncs
}

func containerID(id string) workloadmeta.EntityID {
	return workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id}
}

// run is a running Stream.
type run struct {
	cancel context.CancelFunc
	done   chan error
}

// start runs the collector until the test ends, and waits until it is synced.
func start(t testing.TB, c *Collector, w *world) *run {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{cancel: cancel, done: make(chan error, 1)}
	w.mu.Lock()
	clear(w.reported)
	before := w.syncs
	w.mu.Unlock()
	go func() {
		defer close(r.done)
		r.done <- c.Stream(ctx, w)
	}()
	t.Cleanup(func() {
		began := time.Now()
		cancel()
		for range r.done { // until it has ended
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("Stream took %v to end", took)
		}
	})
	eventually(t, func() string {
		if w.synced() == before {
			return "not synced"
		}
		return ""
	})
	return r
}

// eventually waits until check returns "".
func eventually(t testing.TB, check func() string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		problem := check()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", problem)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// expect waits until a container is there and check is content with it.
func (w *world) expect(t testing.TB, id, what string, check func(c *workloadmeta.Container) bool) {
	t.Helper()
	eventually(t, func() string {
		if c := w.container(id); c == nil || !check(c) {
			return fmt.Sprintf("%s: %#v", what, c)
		}
		return ""
	})
}

// expectEnd waits for a container's end with an exit code; -1 means it is not known.
func (w *world) expectEnd(t testing.TB, id string, code int64) {
	t.Helper()
	eventually(t, func() string {
		c := w.dead(id)
		if c == nil || w.container(id) != nil {
			return id + " was told: " + w.history(id)
		}
		if got := c.State.ExitCode; code < 0 && got != nil || code >= 0 && (got == nil || *got != code) {
			return fmt.Sprintf("%s: %#v, want exit code %d", id, c.State, code)
		}
		return ""
	})
}

// newCollector returns a collector for a fake containerd, which is nil if it will not be asked.
func newCollector(t testing.TB, f *fakeContainerd, change func(*Options)) *Collector {
	t.Helper()
	o := Options{Address: "/fake/containerd.sock", Log: slog.New(slog.DiscardHandler), ProcRoot: t.TempDir()}
	if f != nil {
		o.Dial = f.dial
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newBackend returns a connection of the collector to its fake.
func newBackend(t testing.TB, c *Collector) *backend {
	t.Helper()
	d, err := newDaemon(c.socket, &c.opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return &backend{daemon: d, shared: c.shared, opts: &c.opts}
}
