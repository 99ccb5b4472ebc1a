package collection_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

func TestModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
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
				func() *slog.Logger { return slog.New(slog.DiscardHandler) },
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
			&fakePuller{fake{id: "kubelet", source: "k"}, failing(errDown)})
		synctest.Wait()
		r.Fetch(t.Context(), containerID("x"))
		reg := prometheus.NewPedanticRegistry()
		reg.MustRegister(r.Metrics())
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				key := f.GetName()
				for _, l := range m.GetLabel() {
					key += " " + l.GetValue()
				}
				values[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		for key, want := range map[string]float64{
			"rollcall_collector_state docker live":      1,
			"rollcall_collector_state docker waiting":   0,
			"rollcall_collector_state kubelet degraded": 1,
			"rollcall_collector_entities docker":        2,
			"rollcall_collector_events_total docker":    2,
			"rollcall_collector_failures_total kubelet": 1,
			"rollcall_fetches_total nobody to ask":      1,
			"rollcall_fetches_in_flight":                0,
		} {
			if got, ok := values[key]; !ok || got != want {
				t.Errorf("%s = %v (there: %t), want %v", key, got, ok, want)
			}
		}
	})
}
