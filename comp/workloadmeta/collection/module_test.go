package collection_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

func TestModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		var log, own journal
		var s *collection.Supervisor
		var onMiss workloadmeta.OnMiss
		app := fx.New(fx.NopLogger, collection.Module,
			fx.Provide(
				func() workloadmeta.Writer { return store },
				collection.AsCollector(
					func() *fakeStreamer {
						return &fakeStreamer{fake{id: "docker"}, staying("a")}
					}),
				collection.AsCollector(func() (*fakePuller, error) {
					return &fakePuller{fake{id: "kubelet"}, listing("b")}, nil
				}),
				func() *slog.Logger { return slog.New(slog.NewTextHandler(&log, nil)) },
			),
			fx.Supply(collection.Options{
				Enabled: map[string]collection.Switch{"kubelet": collection.Off}}),
			fx.Populate(&s, &onMiss))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := store.has(runtime); got != "a" {
			t.Errorf("the store has %q, want a", got)
		}
		if len(s.Status()) != 2 || onMiss != workloadmeta.OnMiss(s) {
			t.Errorf("%d collectors, on-miss %v", len(s.Status()), onMiss)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(log.lines("collector starts")) != 1 {
			t.Error("the application's log is told nothing")
		}

		// The log of the options comes first.
		app = fx.New(fx.NopLogger, collection.Module,
			fx.Provide(
				func() workloadmeta.Writer { return newStore() },
				collection.AsCollector(func() *fakeStreamer {
					return &fakeStreamer{fake{id: "docker"}, staying()}
				}),
				func() *slog.Logger { return slog.New(slog.DiscardHandler) },
			),
			fx.Supply(collection.Options{Log: slog.New(slog.NewTextHandler(&own, nil))}),
			fx.Invoke(func(*collection.Supervisor) {}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(own.lines("collector starts")) != 1 {
			t.Error("the log of the options is told nothing")
		}
	})
}

type halfStore struct{ workloadmeta.Writer }

func TestModuleNeedsAStore(t *testing.T) {
	app := fx.New(fx.NopLogger, collection.Module,
		fx.Provide(func() workloadmeta.Writer { return halfStore{} }))
	if err := app.Err(); err == nil ||
		!strings.Contains(err.Error(), "(collection_test.halfStore) is no collection.Store") {
		t.Errorf("error %v does not say what is wrong with the writer", err)
	}
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "docker"}, staying("a", "b")},
			&fakePuller{fake{id: "kubelet", source: "k"}, failing(errDown)},
			&fakeFetcher{fake{id: "pods", kinds: []workloadmeta.Kind{
				workloadmeta.KindKubernetesPod}},
				func(_ context.Context, id workloadmeta.EntityID, sink workloadmeta.Sink) error {
					switch id.ID {
					case "there":
						sink.Set(&workloadmeta.KubernetesPod{EntityID: id})
					case "panic":
						panic(id)
					}
					return nil
				}})
		synctest.Wait()
		r.Fetch(t.Context(), containerID("x")) //nolint:errcheck // counted below
		for _, id := range []string{"there", "there", "nowhere", "nowhere", "panic"} {
			//nolint:errcheck // counted below
			r.Fetch(t.Context(),
				workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: id})
		}
		reg := prometheus.NewPedanticRegistry()
		reg.MustRegister(r.Metrics())
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				key := strings.TrimPrefix(f.GetName(), "rollcall_")
				for _, l := range m.GetLabel() {
					key += " " + l.GetValue()
				}
				values[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		now := float64(time.Now().UnixMilli()) / 1000
		for key, want := range map[string]float64{
			"collector_state docker live":                  1,
			"collector_state docker waiting":               0,
			"collector_state kubelet degraded":             1,
			"collector_entities docker":                    2,
			"collector_events_total docker":                2,
			"collector_failures_total kubelet":             1,
			"collector_failures_total pods":                1,
			"collector_panics_total pods":                  1,
			"collector_fetches_total pods":                 4,
			"collector_pulls_total kubelet":                1,
			"collector_last_pull_seconds kubelet":          0,
			"collector_last_sync_timestamp_seconds docker": now,
			"collector_last_error_timestamp_seconds pods":  now,
			"fetches_total nobody to ask":                  1,
			"fetches_total found":                          2,
			"fetches_total unknown":                        1,
			"fetches_total remembered":                     1,
			"fetches_total failed":                         1,
			"fetches_in_flight":                            0,
		} {
			if got, ok := values[key]; !ok || got != want {
				t.Errorf("%s = %v (there: %t), want %v", key, got, ok, want)
			}
		}
		for _, key := range []string{"collector_last_pull_seconds docker",
			"collector_last_sync_timestamp_seconds kubelet",
			"collector_last_error_timestamp_seconds docker"} {
			if got, ok := values[key]; ok {
				t.Errorf("%s = %v, and there was none", key, got)
			}
		}
	})
}
