package recording_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record runs a recorder on the store while f runs, and returns what it has written.
func record(t *testing.T, s *store.Store, f func()) string {
	t.Helper()
	var out bytes.Buffer
	r := recording.NewRecorder(s, nil, recording.NewWriter(&out))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	synctest.Wait()
	f()
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != r.Lines() {
		t.Errorf("Lines() = %d, there are %d", r.Lines(), got)
	}
	return out.String()
}

// play applies a recording to a store.
func play(t *testing.T, text string, s *store.Store) {
	t.Helper()
	r := recording.NewReader(strings.NewReader(text), "x")
	for {
		l, err := r.Next()
		if err == io.EOF {
			return
		}
		if err == nil {
			err = s.Notify([]workloadmeta.CollectorEvent{l.Event})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// contents returns every entity. Which reporter stands by what need not be the same: that one
// of several agrees, or has gone, without a difference to the entity, is no event.
func contents(s *store.Store) []string {
	var list []string
	for _, e := range s.Dump() {
		list = append(list, string(workloadmeta.AppendEntity(nil, e.Entity)))
	}
	return list
}

func TestReplayGivesTheSameViews(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			live := store.New(store.Options{})
			defer live.Close()
			change := func(n int) {
				for range n {
					var events []workloadmeta.CollectorEvent
					for range rapid.IntRange(1, 4).Draw(rt, "events") {
						events = append(events, workloadmeta.CollectorEvent{
							Type: rapid.SampledFrom(
								[]workloadmeta.EventType{workloadmeta.EventTypeSet,
									workloadmeta.EventTypeSet, workloadmeta.EventTypeUnset}).Draw(
								rt, "type"),
							Source: rapid.SampledFrom([]workloadmeta.Source{"runtime",
								"node_orchestrator", "z"}).Draw(rt, "source"),
							Entity: &workloadmeta.Container{
								EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer,
									ID: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "id")},
								EntityMeta: workloadmeta.EntityMeta{
									Name: rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt,
										"name")},
								State: workloadmeta.ContainerState{
									Status: rapid.SampledFrom([]workloadmeta.ContainerStatus{
										workloadmeta.StatusRunning,
										workloadmeta.StatusStopped}).Draw(rt, "status")},
							},
						})
					}
					if err := live.Notify(events); err != nil {
						rt.Fatal(err)
					}
					if rapid.Bool().Draw(rt, "let the recorder catch up") {
						synctest.Wait()
					}
				}
			}
			change(rapid.IntRange(0, 5).Draw(rt, "before"))
			text := record(t, live, func() { change(rapid.IntRange(0, 20).Draw(rt, "during")) })
			replayed := store.New(store.Options{})
			defer replayed.Close()
			play(t, text, replayed)
			if d := cmp.Diff(contents(live), contents(replayed)); d != "" {
				rt.Fatalf("live against replayed (-/+):\n%s\nrecording:\n%s", d, text)
			}
		})
	})
}

func TestRecorderKeepsWhatTheEndRevealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(store.Options{})
		defer s.Close()
		id := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "a"}
		code := int64(3)
		set := workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Source: "runtime",
			Entity: &workloadmeta.Container{EntityID: id,
				EntityMeta: workloadmeta.EntityMeta{Name: "web"}}}
		unset := workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset, Source: "runtime",
			Entity: &workloadmeta.Container{EntityID: id,
				State: workloadmeta.ContainerState{ExitCode: &code}}}
		for _, together := range []bool{false, true} {
			text := record(t, s, func() {
				if together {
					s.Notify([]workloadmeta.CollectorEvent{set, unset})
					return
				}
				s.Notify([]workloadmeta.CollectorEvent{set})
				synctest.Wait()
				s.Notify([]workloadmeta.CollectorEvent{unset})
			})
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if len(lines) != 2 || !strings.Contains(lines[0], `"type":"set"`) ||
				!strings.Contains(lines[1], `"exit_code":3`) ||
				!strings.Contains(lines[1], `"name":"web"`) ||
				!strings.Contains(lines[1], `"type":"unset"`) {
				t.Errorf("set and unset at once: %t; recording:\n%s", together, text)
			}
		}
	})
}

// slow lets a recorder write only when the test says so.
type slow struct {
	bytes.Buffer
	open chan struct{}
}

func (s *slow) Write(p []byte) (int, error) {
	<-s.open
	return s.Buffer.Write(p)
}

// A recorder that lags sees one event where there were many, and process IDs that were used
// again meanwhile. The replay ends where the store has ended all the same.
// TestARecorderWithoutTimeWritesWhatIsThere: however early its context ends, a recording of a full
// store is not empty.
func TestARecorderWithoutTimeWritesWhatIsThere(t *testing.T) {
	s := store.New(store.Options{})
	defer s.Close()
	s.Notify([]workloadmeta.CollectorEvent{{Type: workloadmeta.EventTypeSet, Source: "runtime",
		Entity: &workloadmeta.Container{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindContainer, ID: "a"}}}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	r := recording.NewRecorder(s, nil, recording.NewWriter(&out))
	if err := r.Run(ctx); err != nil || r.Lines() != 1 {
		t.Errorf("Run: %v, %d lines; want the container's:\n%s", err, r.Lines(), out.String())
	}
}

func TestARecorderThatLagsReplaysToTheSameStore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			live := store.New(store.Options{Bus: statebus.Options{
				CoalesceAt: rapid.IntRange(1, 8).Draw(rt, "coalesce at")}})
			defer live.Close()
			out := &slow{open: make(chan struct{})}
			rec := recording.NewRecorder(live, nil, recording.NewWriter(out))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- rec.Run(ctx) }()
			for range rapid.IntRange(1, 60).Draw(rt, "changes") {
				e := &workloadmeta.Process{EntityID: workloadmeta.EntityID{
					Kind: workloadmeta.KindProcess,
					ID:   rapid.SampledFrom([]string{"7", "8"}).Draw(rt, "process")},
					StartTicks: rapid.Uint64Range(1, 4).Draw(rt, "start"),
					Name:       rapid.SampledFrom([]string{"", "x"}).Draw(rt, "name")}
				ev := workloadmeta.CollectorEvent{Entity: e,
					Type: rapid.SampledFrom([]workloadmeta.EventType{workloadmeta.EventTypeSet,
						workloadmeta.EventTypeUnset}).Draw(rt, "type"),
					Source: rapid.SampledFrom([]workloadmeta.Source{"runtime", "process"}).Draw(rt,
						"source")}
				if err := live.Notify([]workloadmeta.CollectorEvent{ev}); err != nil {
					rt.Fatal(err)
				}
				if rapid.IntRange(0, 9).Draw(rt, "write") == 0 {
					synctest.Wait()
					select {
					case out.open <- struct{}{}:
					default: // the recorder has nothing to write
					}
				}
			}
			close(out.open)
			synctest.Wait()
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			replayed := store.New(store.Options{})
			defer replayed.Close()
			play(t, out.String(), replayed)
			if d := cmp.Diff(contents(live), contents(replayed)); d != "" {
				rt.Fatalf("live against replayed (-/+):\n%s\nrecording:\n%s", d, out.String())
			}
		})
	})
}
