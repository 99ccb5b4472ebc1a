package collectortest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// stopLimit is how long collectors may take to return, on a machine that is busy with other things.
const stopLimit = 30 * time.Second

// Engine runs collectors as a program does: under the supervisor, with a store that has what they
// report. What is promised of collectors, such as that they are tried again after an error and
// that what they do not list any more goes, happens here for real. Create one with [NewEngine]; its
// fields are for reading.
//
// Inside a synctest bubble nothing takes time, and [testing/synctest.Wait] waits until everything
// that needs no time has happened.
type Engine struct {
	Store      *store.Store
	Supervisor *collection.Supervisor

	t testing.TB

	mu   sync.Mutex // guards news
	news []string
}

// NewEngine starts collectors. They are stopped when the test ends, which fails if one of them does
// not return, or has written to an entity after it was handed over.
func NewEngine(t testing.TB, collectors ...workloadmeta.Collector) *Engine {
	t.Helper()
	e := &Engine{t: t, Store: store.New(store.Options{
		OnMutation: func(id workloadmeta.EntityID, source workloadmeta.Source) {
			t.Errorf("%s of %s was written to after it was handed over", id, source)
		}})}
	var err error
	e.Supervisor, err = collection.New(collection.Options{Store: e.Store, Collectors: collectors,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	following, cancel := context.WithCancel(context.Background())
	var followed sync.WaitGroup
	followed.Go(func() { e.follow(following) })
	if err := e.Supervisor.Start(following); err != nil {
		t.Error(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), stopLimit)
		defer stop()
		if err := e.Supervisor.Stop(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		followed.Wait()
		e.Store.Close()
	})
	return e
}

// follow notes what a subscriber is told.
func (e *Engine) follow(ctx context.Context) {
	sub := e.Store.Subscribe("collectortest", nil)
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		e.mu.Lock()
		for _, ev := range bundle.Events {
			e.news = append(e.news, fmt.Sprintf("%s %v", ev.Type, ev.Entity))
		}
		e.mu.Unlock()
	}
}

// News returns what subscribers were told since the last call, in order, such as
// `set container/web {"name":"web"}`.
func (e *Engine) News() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	news := e.news
	e.news = nil
	return news
}

// Status returns how a collector is doing.
func (e *Engine) Status(id string) collection.Status {
	e.t.Helper()
	for _, s := range e.Supervisor.Status() {
		if s.ID == id {
			return s
		}
	}
	e.t.Fatalf("there is no collector %q", id)
	return collection.Status{}
}

// WaitSynced waits until every collector has listed or is known to fail.
func (e *Engine) WaitSynced() {
	e.t.Helper()
	if err := e.Store.WaitSynced(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
}
