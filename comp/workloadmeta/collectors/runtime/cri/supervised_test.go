package cri

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// log is a writer that a test may read meanwhile.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// supervise runs a collector with a store, and returns both when the first pass is over.
func supervise(t *testing.T, c *Collector, l *log) (*store.Store, []collection.Outcome) {
	t.Helper()
	entities := store.New(store.Options{})
	runs, err := collection.New(collection.Options{
		Store: entities, Collectors: []workloadmeta.Collector{c},
		Log:        slog.New(slog.NewTextHandler(l, nil)),
		PullPeriod: 20 * time.Millisecond, RedetectEvery: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := runs.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runs.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	outcomes, err := runs.WaitFirstPass(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return entities, outcomes
}

func within(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !check(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("in vain: " + what)
		}
	}
}

// Issue 37: that there is no runtime is no failure, and one that is installed later is found.
func TestBug37NothingHereIsNoFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cri.sock")
	c := newCollector(t, path, nil)
	var l log
	entities, outcomes := supervise(t, c.Collector, &l)
	if len(outcomes) != 1 || outcomes[0].Result != collection.NotDetected ||
		!strings.Contains(outcomes[0].Hint, "set cri_socket_path") {
		t.Errorf("%+v", outcomes)
	}
	if l.count("level=WARN")+l.count("level=ERROR") != 0 {
		t.Errorf("logged:\n%s", l.text.String())
	}
	f := newFake()
	id := f.add(0, running)
	f.serve(t, path)
	within(t, "it is found later", func() bool {
		_, err := entities.GetContainer(id)
		return err == nil
	})
}

// A list that fails unsets nothing, and the next one that does not repairs everything.
func TestFailedPullsUnsetNothing(t *testing.T) {
	f := newFake()
	stays, goes := f.add(0, running), f.add(1, running)
	c := newCollector(t, f.socket(t), nil)
	var l log
	entities, _ := supervise(t, c.Collector, &l)
	f.with(func() {
		f.before = func(context.Context, string,
			string) error {
			return status.Error(codes.Unavailable, "starting up")
		}
	})
	f.remove(goes)
	failed := func() int { return c.Stats().FailedCalls["ListContainers"] }
	within(t, "several pulls fail", func() bool { return failed() > 5 })
	for _, id := range []string{stays, goes} {
		if _, err := entities.GetContainer(id); err != nil {
			t.Errorf("%s is lost: %v", id, err)
		}
	}
	if n := l.count("starting up"); n != 1 {
		t.Errorf("the failure was logged %d times", n)
	}
	f.with(func() { f.before = nil })
	within(t, "what has gone meanwhile is unset", func() bool {
		_, err := entities.GetContainer(goes)
		return err != nil
	})
	if k, err := entities.GetContainer(stays); err != nil || k.PID == 0 {
		t.Errorf("%+v, %v", k, err)
	}
}
