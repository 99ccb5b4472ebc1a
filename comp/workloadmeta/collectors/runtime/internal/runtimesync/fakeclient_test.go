package runtimesync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// fakeClient is a runtime of which the test decides what it has and what goes wrong.
type fakeClient struct {
	mu         sync.Mutex // guards the fields below
	containers map[string]Container
	images     map[string]Image
	gone       map[string]Image // what is told of those that are not there
	calls      map[string]int
	refuses    error         // what the event stream's opening fails with
	someImages bool          // lists leave images out
	leaves     string        // the key of a container that is left to somebody else
	hung       bool          // no call is answered
	slow       time.Duration // how long an inspection's answer is on its way
	slowList   time.Duration // the same of a list's
	since      []time.Time
	events     chan []Event
	ended      chan struct{}
}

func newFakeClient() *fakeClient {
	return &fakeClient{
		containers: map[string]Container{}, images: map[string]Image{}, gone: map[string]Image{},
		calls:  map[string]int{},
		events: make(chan []Event, 1000), ended: make(chan struct{}),
	}
}

// run puts a running container there.
func (b *fakeClient) run(key, id, image string, edit func(*Container)) {
	c := mapping.NewContainer(id, "fake")
	c.Name = key
	c.Image.ID, c.Image.RawName = image, "app:1"
	c.State.Running, c.State.Status = true, workloadmeta.StatusRunning
	in := Container{Key: key, Entity: c, Policy: "no"}
	if edit != nil {
		edit(&in)
	}
	b.with(func() { b.containers[key] = in })
}

func (b *fakeClient) with(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func (b *fakeClient) called(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[name]
}

func (b *fakeClient) send(events ...Event) { b.events <- events }

// call counts a call and lets it hang if the runtime does.
func (b *fakeClient) call(ctx context.Context, name string) error {
	b.mu.Lock()
	b.calls[name]++
	hung := b.hung
	b.mu.Unlock()
	if hung {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		<-ctx.Done()
		return fmt.Errorf("%s: %w", name, ctx.Err())
	}
	return nil
}

func (b *fakeClient) Ping(ctx context.Context) error { return b.call(ctx, "ping") }

func (b *fakeClient) Events(ctx context.Context, since time.Time) (Events, error) {
	var refused error
	b.with(func() { b.since, refused = append(b.since, since), b.refuses })
	if refused != nil {
		return nil, refused
	}
	return &fakeEvents{b: b, over: ctx.Done(), closed: make(chan struct{})}, nil
}

type fakeEvents struct {
	b      *fakeClient
	over   <-chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (e *fakeEvents) Next() ([]Event, error) {
	select {
	case events := <-e.b.events:
		if len(events) == 1 && events[0].Name == "garbage" {
			return nil, Lost(errors.New("garbage"))
		}
		return events, nil
	case <-e.b.ended:
		return nil, io.EOF
	case <-e.over:
		return nil, errors.New("over")
	case <-e.closed:
		return nil, errors.New("closed")
	}
}

func (e *fakeEvents) Close() error { e.once.Do(func() { close(e.closed) }); return nil }

// copied returns what the syncer may own.
func copied(in Container) Container {
	c := *in.Entity
	in.Entity = &c
	return in
}

func (b *fakeClient) List(ctx context.Context) (Listing, error) {
	if err := b.call(ctx, "list"); err != nil {
		return Listing{}, err
	}
	b.mu.Lock()
	slow := b.slowList
	defer func() {
		select { // of the bubble's clock
		case <-time.After(slow):
		case <-ctx.Done():
		}
	}()
	defer b.mu.Unlock()
	l := Listing{AllImages: !b.someImages}
	for _, key := range slices.Sorted(maps.Keys(b.containers)) {
		l.Containers = append(l.Containers, copied(b.containers[key]))
	}
	for _, id := range slices.Sorted(maps.Keys(b.images)) {
		l.Images = append(l.Images, b.images[id])
	}
	return l, nil
}

func (b *fakeClient) Inspect(ctx context.Context, key string) (Container, error) {
	if err := b.call(ctx, "inspect"); err != nil {
		return Container{}, err
	}
	b.mu.Lock()
	in, ok := b.containers[key]
	slow, left := b.slow, b.leaves == key
	b.mu.Unlock()
	time.Sleep(slow) // of the bubble's clock
	if left {
		return Container{}, fmt.Errorf("container %s: %w", key, ErrNotCollected)
	}
	if !ok {
		return Container{}, fmt.Errorf("container %s: %w", key, errdefs.ErrNotFound)
	}
	return copied(in), nil
}

func (b *fakeClient) InspectImage(ctx context.Context, ref string, _ bool) (Image, error) {
	if err := b.call(ctx, "image"); err != nil {
		return Image{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, ok := b.images[ref]; ok {
		return i, nil
	}
	return b.gone[ref], fmt.Errorf("image %s: %w", ref, errdefs.ErrNotFound)
}

// fakeImage returns an image with these tags.
func fakeImage(id string, seq uint64, tags ...string) Image {
	names := mapping.NewImageNames(id, tags, nil)
	return Image{Entity: names.NewImage(), Complete: true, Seq: seq}
}

// newSyncer returns a syncer whose lists tell everything or nothing.
func newSyncer(t testing.TB, edit func(*Options)) *Syncer {
	t.Helper()
	tuning, err := Tuning{}.WithDefaults("test")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Tuning: tuning, Name: "fake", Log: slog.New(slog.DiscardHandler),
		SameAsListed: func(known,
			listed *workloadmeta.Container) bool {
			return known.Name == listed.Name
		},
		Overlay: func(known, _ *workloadmeta.Container) *workloadmeta.Container {
			c := *known
			return &c
		},
	}
	if edit != nil {
		edit(&o)
	}
	return New(o)
}

func follow(t testing.TB, f *Syncer, b Client, w *collectortest.World) *collectortest.Run {
	return collectortest.Start(t,
		func(ctx context.Context, sink workloadmeta.Sink) error { return f.Stream(ctx, b, sink) },
		w.Sink())
}
