package collection_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore is the real store, and what it was told.
type fakeStore struct {
	*store.Store
	mu       sync.Mutex
	batches  [][]string // events as "set runtime container/a", one list per Notify
	expected map[workloadmeta.Kind][]workloadmeta.Source
	expects  int
	synced   int
	misuse   []string
}

func newStore() *fakeStore {
	return &fakeStore{Store: store.New(store.Options{}),
		expected: map[workloadmeta.Kind][]workloadmeta.Source{}}
}

func (s *fakeStore) Notify(events []workloadmeta.CollectorEvent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(events) == 0 {
		s.misuse = append(s.misuse, "empty change")
	}
	var batch []string
	for _, ev := range events {
		if err := ev.Validate(); err != nil {
			s.misuse = append(s.misuse, err.Error())
			continue
		}
		batch = append(batch, fmt.Sprintf("%s %s %s", ev.Type, ev.Source, ev.Entity.GetID()))
	}
	s.batches = append(s.batches, batch)
	return s.Store.Notify(events)
}

func (s *fakeStore) Expect(kind workloadmeta.Kind, sources []workloadmeta.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected[kind] = slices.Clone(sources)
	s.expects++
}

func (s *fakeStore) MarkSynced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced++
}

func (s *fakeStore) isSynced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced > 0
}

func (s *fakeStore) expectedOf(kind workloadmeta.Kind) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.expected[kind])
}

// has returns the IDs of the entities of a source, sorted and joined: "a b c".
func (s *fakeStore) has(source workloadmeta.Source) string {
	var ids []string
	for _, d := range s.Dump() {
		if id := d.Entity.GetID(); s.view(source, id) != nil {
			ids = append(ids, id.ID)
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// view returns what the strongest reporter of a source says, or nil.
func (s *fakeStore) view(source workloadmeta.Source, id workloadmeta.EntityID) workloadmeta.Entity {
	reports, _ := s.Reports(id)
	for _, r := range reports {
		if r.Source == source && r.State != workloadmeta.Done {
			return r.Entity
		}
	}
	return nil
}

// changes returns and forgets what has been notified so far.
func (s *fakeStore) changes() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches
	s.batches = nil
	return b
}

// fake is what all fake collectors have in common.
type fake struct {
	id     string
	source workloadmeta.Source // "": runtime
	kinds  []workloadmeta.Kind // nil: containers
	detect func() workloadmeta.Detection

	byProducts []workloadmeta.Kind
	many       bool // passes on several sources
	period     time.Duration
	omits      map[workloadmeta.Kind]workloadmeta.Problem
}

// ranks are those of the collectors of the same names.
var ranks = map[string]int{"docker": 50, "podman": 40, "containerd": 30, "cri": 20}

func (f *fake) Describe() workloadmeta.Description {
	d := workloadmeta.Description{ID: f.id, Source: f.source, Kinds: f.kinds,
		Rank: ranks[f.id], ByProducts: f.byProducts, MultiSource: f.many, Period: f.period,
		Omits: f.omits}
	if d.Source == "" {
		d.Source = workloadmeta.SourceRuntime
	}
	if d.Kinds == nil {
		d.Kinds = []workloadmeta.Kind{workloadmeta.KindContainer}
	}
	return d
}

func (f *fake) Detect(context.Context) workloadmeta.Detection {
	if f.detect == nil {
		return workloadmeta.Detection{State: workloadmeta.Detected, Reason: "always there"}
	}
	return f.detect()
}

type (
	streamFunc func(ctx context.Context, sink workloadmeta.Sink) error
	fetchFunc  func(ctx context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error

	fakeStreamer struct {
		fake
		stream streamFunc
	}
	fakePuller struct {
		fake
		pull streamFunc
	}
	fakeFetcher struct {
		fake
		fetch fetchFunc
	}
	fakeBoth struct {
		fake
		stream, pull streamFunc
	}
)

func (f *fakeStreamer) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	return f.stream(ctx, sink)
}
func (f *fakePuller) Pull(ctx context.Context, sink workloadmeta.Sink) error {
	return f.pull(ctx, sink)
}
func (f *fakeFetcher) Fetch(ctx context.Context, id workloadmeta.EntityID,
	sink workloadmeta.Sink) error {
	return f.fetch(ctx, id, sink)
}
func (f *fakeBoth) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	return f.stream(ctx, sink)
}
func (f *fakeBoth) Pull(ctx context.Context, sink workloadmeta.Sink) error {
	return f.pull(ctx, sink)
}

// list returns a stream or pull that reports these containers and, as a stream, stays.
func listing(ids ...string) streamFunc {
	return func(ctx context.Context, sink workloadmeta.Sink) error {
		sink.Set(containers(ids...)...)
		sink.Synced()
		return nil
	}
}

// staying returns a stream that reports these containers and goes on until it is ended.
func staying(ids ...string) streamFunc {
	return func(ctx context.Context, sink workloadmeta.Sink) error {
		sink.Set(containers(ids...)...)
		sink.Synced()
		<-ctx.Done()
		return ctx.Err()
	}
}

func containerID(id string) workloadmeta.EntityID {
	return workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id}
}

func container(id string) *workloadmeta.Container {
	return &workloadmeta.Container{EntityID: containerID(id)}
}

func containers(ids ...string) []workloadmeta.Entity {
	var list []workloadmeta.Entity
	for _, id := range ids {
		list = append(list, container(id))
	}
	return list
}

func process(pid int32, start uint64) *workloadmeta.Process {
	return &workloadmeta.Process{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindProcess, ID: fmt.Sprint(pid)},
		PID:      pid, StartTicks: start,
	}
}

// journal is a log that tests can read.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

// lines returns the lines with all of the parts in them.
func (j *journal) lines(parts ...string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []string
	for line := range strings.Lines(j.buf.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			found = append(found, line)
		}
	}
	return found
}

// rig is a supervisor with its fakes.
type rig struct {
	*collection.Supervisor
	t     *testing.T
	store *fakeStore
	log   *journal
}

// start starts a supervisor that is stopped at the end of the test, inside its bubble.
func start(t *testing.T, opts collection.Options, collectors ...workloadmeta.Collector) *rig {
	t.Helper()
	r := &rig{t: t, store: newStore(), log: &journal{}}
	opts.Store = r.store
	opts.Collectors = collectors
	opts.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := collection.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Supervisor = s
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		for _, m := range r.store.misuse {
			t.Errorf("the store was given something wrong: %s", m)
		}
	})
	return r
}

// status returns the status of one collector.
func (r *rig) status(id string) collection.Status {
	r.t.Helper()
	for _, st := range r.Status() {
		if st.ID == id {
			return st
		}
	}
	r.t.Fatalf("no status of %q", id)
	return collection.Status{}
}

func (r *rig) wantState(id string, want collection.State) collection.Status {
	r.t.Helper()
	st := r.status(id)
	if st.State != want {
		r.t.Fatalf("%s is %s (%s), want %s", id, st.State, st.Reason, want)
	}
	return st
}

func (r *rig) wantHas(source workloadmeta.Source, want string) {
	r.t.Helper()
	if got := r.store.has(source); got != want {
		r.t.Fatalf("the store has %q of %s, want %q", got, source, want)
	}
}

// script gives each call the next function; the last one is used for all further calls.
func script(calls ...streamFunc) streamFunc {
	var mu sync.Mutex
	n := 0
	return func(ctx context.Context, sink workloadmeta.Sink) error {
		mu.Lock()
		f := calls[min(n, len(calls)-1)]
		n++
		mu.Unlock()
		return f(ctx, sink)
	}
}

// failing returns a stream or pull that reports these containers and fails.
func failing(err error, ids ...string) streamFunc {
	return func(ctx context.Context, sink workloadmeta.Sink) error {
		sink.Set(containers(ids...)...)
		return err
	}
}

const second = time.Second
