package replay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"
	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/replay"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const small = `{"time":"2026-01-02T15:00:00Z","type":"set","source":"runtime","entity":{"kind":"container","id":"a"}}
{"time":"2026-01-02T15:00:00Z","type":"set","source":"node_orchestrator","entity":{"kind":"container","id":"a","name":"web"}}
{"time":"2026-01-02T15:00:10Z","type":"set","source":"runtime","entity":{"kind":"container","id":"b"}}
{"type":"set","source":"runtime","entity":{"kind":"container","id":"c"}}
{"time":"2026-01-02T15:00:30Z","type":"unset","source":"runtime","entity":{"kind":"container","id":"b"}}
`

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "small.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run replays into a real store through a real supervisor.
func run(t *testing.T, opts replay.Options) (*store.Store, *collection.Supervisor) {
	t.Helper()
	c, err := replay.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(store.Options{})
	super, err := collection.New(
		collection.Options{Store: s, Collectors: []workloadmeta.Collector{c}, SyncGrace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := super.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := super.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return s, super
}

func dump(s *store.Store) string {
	var list []string
	for _, e := range s.Dump() {
		for _, v := range e.Reports {
			list = append(list, fmt.Sprintf("%s:%s", v.Source, e.Entity.GetID().ID))
		}
	}
	return strings.Join(list, " ")
}

func TestReplayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, super := run(t, replay.Options{Path: file(t, small)})
		began := time.Now()
		if err := s.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got, want := dump(s), "node_orchestrator:a runtime:a runtime:c"; got != want ||
			!time.Now().Equal(began) {
			t.Errorf("the store has %q after %s, want %q at once", got, time.Since(began), want)
		}
		time.Sleep(time.Hour)
		st := super.Status()[0]
		if st.State != collection.StateLive || st.Events != 5 || st.Restarts != 0 {
			t.Errorf("an hour after the end of the recording: %+v", st)
		}
		if got, want := dump(s), "node_orchestrator:a runtime:a runtime:c"; got != want {
			t.Errorf("the store has %q, want %q", got, want)
		}
	})
}

func TestReplayAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := run(t, replay.Options{Path: file(t, small), Speed: 2})
		for at, want := range []string{
			0:  "node_orchestrator:a runtime:a",
			4:  "node_orchestrator:a runtime:a",
			5:  "node_orchestrator:a runtime:a runtime:b runtime:c",
			14: "node_orchestrator:a runtime:a runtime:b runtime:c",
			15: "node_orchestrator:a runtime:a runtime:c",
		} {
			synctest.Wait()
			if got := dump(s); want != "" && got != want {
				t.Errorf("after %d s: %q, want %q", at, got, want)
			}
			if s.Synced() != (at >= 15) {
				t.Errorf("after %d s: synced %t", at, s.Synced())
			}
			time.Sleep(time.Second)
		}
	})
}

func TestReplayCanBeStoppedInAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, super := run(t, replay.Options{Path: file(t, small), Speed: 0.001})
		time.Sleep(time.Second)
		began := time.Now()
		if err := super.Stop(t.Context()); err != nil || !time.Now().Equal(began) {
			t.Errorf("Stop() = %v after %s", err, time.Since(began))
		}
	})
}

func TestManyEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		for i := range 1500 {
			fmt.Fprintf(&text, `{"op":"set","source":"s","entity":{"kind":"container","id":"%d"}}`+
				"\n", i)
		}
		s, _ := run(t, replay.Options{Path: file(t, text.String())})
		if err := s.WaitSynced(t.Context()); err != nil || s.Len() != 1500 {
			t.Errorf("%d entities (%v), want 1500", s.Len(), err)
		}
	})
}

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]workloadmeta.Detection{
		"": {State: workloadmeta.Disabled,
			Reason: "no recording to replay; set replay.path"},
		"/nowhere/x.jsonl": {State: workloadmeta.Absent,
			Reason: "read the recording /nowhere/x.jsonl: no such file or directory; check replay.path"},
		dir: {State: workloadmeta.Absent,
			Reason: "read the recording " + dir +
				`: it is a folder; want a file made by "rollcall record"; check replay.path`},
		file(t, "whatever"): {State: workloadmeta.Detected},
	} {
		c, err := replay.New(replay.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		got := c.Detect(t.Context())
		if want.Reason == "" {
			want.Reason = "recording " + path
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Detect() with %q = %+v, want %+v", path, got, want)
		}
	}
	if _, err := replay.New(replay.Options{Speed: -1}); err == nil ||
		!strings.Contains(err.Error(), "-1") {
		t.Errorf("a negative speed: %v", err)
	}
}

func TestBadRecording(t *testing.T) {
	text := small + "{]\n" +
		`{"type":"set","source":"runtime","entity":{"kind":"container","id":"z","colour":"blue"}}`
	path := file(t, text)
	synctest.Test(t, func(t *testing.T) {
		_, super := run(t, replay.Options{Path: path})
		synctest.Wait()
		st := super.Status()[0]
		if st.State != collection.StateDegraded ||
			!strings.Contains(st.LastError, "small.jsonl:6: ") {
			t.Errorf("%s: %s", st.State, st.LastError)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s, _ := run(t,
			replay.Options{Path: path, SkipBad: true,
				Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err := s.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.GetContainer("z"); err != nil {
			t.Error(err)
		}
		for _, part := range []string{"skipped_lines=1", "small.jsonl:6", "entity.colour (1)"} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("the log does not say %q: %s", part, log.String())
			}
		}
	})
}

func TestLoad(t *testing.T) {
	events, report, err := replay.Load(file(t, small), replay.Options{})
	if err != nil || len(events) != 5 || report.Events != 5 ||
		report.Last.Sub(report.First) != 30*time.Second {
		t.Errorf("%d events, report %+v, error %v", len(events), report, err)
	}
	events, _, err = replay.Load(file(t, small+"{]\n"+small), replay.Options{})
	if _, ok := errors.AsType[*recording.LineError](err); !ok || len(events) != 5 {
		t.Errorf("%d events before a bad line, error %v", len(events), err)
	}
	events, report, err = replay.Load(file(t, small+"{]\n"+small), replay.Options{SkipBad: true})
	if err != nil || len(events) != 10 || report.Skipped != 1 || len(report.Errors) != 1 {
		t.Errorf("%d events, report %+v, error %v", len(events), report, err)
	}
	if _, _, err := replay.Load("/nowhere", replay.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c workloadmeta.Component
		app := fx.New(fx.NopLogger, store.Module, collection.Module, replay.Module,
			fx.Supply(replay.Options{Path: file(t, small)}), fx.Populate(&c))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.GetContainerByName("web"); err != nil {
			t.Error(err)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
