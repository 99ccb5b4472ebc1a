package telemetry_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/telemetry"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write docs/metrics.md")

const page = "../../docs/metrics.md"

// desc is the text form of a [prometheus.Desc], which has no other way to its name.
var desc = regexp.MustCompile(
	`^Desc\{fqName: "([^"]+)", help: "([^"]*)",(?: unit: "[^"]*",)? constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}\}$`)

// described returns a line of the page for each metric of the collectors, sorted.
func described(t *testing.T, collectors ...prometheus.Collector) []string {
	t.Helper()
	out := make(chan *prometheus.Desc)
	go func() {
		defer close(out)
		for _, c := range collectors {
			c.Describe(out)
		}
	}()
	var lines []string
	for d := range out {
		parts := desc.FindStringSubmatch(d.String())
		if parts == nil {
			t.Fatalf("a metric has an unexpected form: %s", d)
		}
		typ := "gauge"
		if strings.HasSuffix(parts[1], "_total") {
			typ = "counter"
		}
		var labels []string
		for label := range strings.SplitSeq(parts[3]+","+parts[4], ",") {
			if name, _, _ := strings.Cut(label, "="); name != "" {
				labels = append(labels, "`"+name+"`")
			}
		}
		lines = append(lines,
			fmt.Sprintf("| `%s` | %s | %s | %s |", parts[1], typ, strings.Join(labels, ", "),
				parts[2]))
	}
	slices.Sort(lines)
	return slices.Compact(lines) // those of the two buses differ in the label's value only
}

// parts is a program with all there is, in which something has happened.
type parts struct {
	store      *store.Store
	tagger     *local.Tagger
	supervisor *collection.Supervisor
}

func newParts(t *testing.T) parts {
	t.Helper()
	s := store.New(store.Options{})
	t.Cleanup(s.Close)
	tags, err := local.New(s, local.Options{SelfContainerID: "none"})
	if err != nil {
		t.Fatal(err)
	}
	sup, err := collection.New(collection.Options{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	if err := tags.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tags.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	err = s.Push(wm.SourceRuntime,
		wm.CollectorEvent{Type: wm.EventTypeSet,
			Entity: &wm.Container{EntityID: wm.EntityID{Kind: wm.KindContainer, ID: "c"}}})
	if err == nil {
		err = tags.CatchUp(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return parts{s, tags, sup}
}

func TestMetricsAreDocumented(t *testing.T) {
	p := newParts(t)
	lines := described(t, telemetry.Store(p.store), telemetry.Tagger(p.tagger),
		p.supervisor.Metrics())
	text := `# Metrics

<!-- Made by go test ./comp/telemetry -run TestMetricsAreDocumented -update; edit the descriptions in comp/telemetry and
comp/workloadmeta/collection. -->

What Prometheus can scrape of rollcall. Beside these there are the usual metrics of the Go runtime (` + "`go_…`" + `) and of the process
(` + "`process_…`" + `). Counters begin at 0 when the program starts; those of a subscription or a collector when that does.
Queries that find what they ask for are not counted: counting would cost more than the query.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
` + strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != text {
		for _, line := range lines {
			if !strings.Contains(string(have), line) {
				t.Errorf("docs/metrics.md lacks %s", line)
			}
		}
		for line := range strings.Lines(string(have)) {
			if strings.HasPrefix(line, "| `") &&
				!slices.Contains(lines, strings.TrimSuffix(line, "\n")) {
				t.Errorf("docs/metrics.md has %s", line)
			}
		}
		t.Error("docs/metrics.md is not up to date; run the test with -update")
	}
}

// gather returns the values by name and labels: name{label=value,…}.
func gather(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := m.GetGauge().GetValue()
			if f.GetType() == dto.MetricType_COUNTER {
				value = m.GetCounter().GetValue()
			}
			if counts := strings.HasSuffix(f.GetName(),
				"_total"); counts != (f.GetType() == dto.MetricType_COUNTER) &&
				strings.HasPrefix(f.GetName(), "rollcall_") {
				t.Errorf("%s is a %s", f.GetName(), f.GetType())
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			values[name] = value
		}
	}
	return values
}

func TestValues(t *testing.T) {
	p := newParts(t)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(telemetry.Store(p.store), telemetry.Tagger(p.tagger), p.supervisor.Metrics())
	want := func(step string, wanted map[string]float64) {
		t.Helper()
		got := gather(t, r)
		for name, value := range wanted {
			if v, ok := got[name]; !ok || v != value {
				t.Errorf("%s: %s = %v (there: %v), want %v", step, name, v, ok, value)
			}
		}
	}
	want("one container", map[string]float64{
		"rollcall_store_entities": 1,
		"rollcall_store_reported_entities{kind=container,source=runtime}":      1,
		"rollcall_store_changes_total":                                         1,
		"rollcall_store_synced":                                                0,
		"rollcall_subscription_open{bus=store,subscriber=tagger,tier=first}":   1,
		"rollcall_bus_coalesced_events_total{bus=store}":                       0,
		"rollcall_bus_dropped_tombstones_total{bus=tagger}":                    0,
		"rollcall_tagger_entities":                                             1,
		"rollcall_tagger_tombstones":                                           0,
		"rollcall_tagger_updates_total":                                        1,
		"rollcall_tagger_misses_total{reason=unknown}":                         0,
		"rollcall_subscription_late{bus=store,subscriber=tagger,tier=first}":   0,
		"rollcall_subscription_failed{bus=store,subscriber=tagger,tier=first}": 0,
	})
	// Two subscriptions of one name are one line; a name that is no text does no harm.
	for range 2 {
		defer p.tagger.Subscribe("same", nil).Close()
		defer p.store.Subscribe("broken \xff", nil).Close()
	}
	p.store.MarkSynced()
	_, _ = p.tagger.Tag(tagger.Container("c"), tagger.LowCardinality)
	_, _ = p.tagger.Tag(tagger.Container("x"), tagger.LowCardinality)
	_, _ = p.tagger.Tag("", tagger.LowCardinality)
	if err := p.store.Reset(wm.SourceRuntime, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.tagger.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("the container is gone", map[string]float64{
		"rollcall_store_entities":      0,
		"rollcall_store_changes_total": 2,
		"rollcall_store_synced":        1,
		"rollcall_subscription_open{bus=tagger,subscriber=same,tier=second}":              2,
		"rollcall_subscription_pending_events{bus=tagger,subscriber=same,tier=second}":    2,
		"rollcall_subscription_pending_events{bus=store,subscriber=broken ?,tier=second}": 2,
		"rollcall_subscription_lag_revisions{bus=store,subscriber=broken ?,tier=second}":  2,
		"rollcall_tagger_entities":                     1,
		"rollcall_tagger_tombstones":                   1,
		"rollcall_tagger_misses_total{reason=unknown}": 1,
		"rollcall_tagger_misses_total{reason=empty}":   1,
		"rollcall_tagger_misses_total{reason=expired}": 0,
	})
}

func TestModule(t *testing.T) {
	var g prometheus.Gatherer
	app := fxtest.New(t, store.Module, collection.Module, local.Module, telemetry.Module,
		fx.Populate(&g),
		fx.Provide(telemetry.AsMetrics(func() prometheus.Collector {
			return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "my_own"},
				func() float64 { return 1 })
		})))
	app.RequireStart()
	got := gather(t, g)
	for _, name := range []string{"rollcall_store_entities", "rollcall_tagger_entities",
		"rollcall_fetches_in_flight", "go_goroutines", "my_own"} {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is not there", name)
		}
	}
	app.RequireStop()
}

func TestOwnRegistryAndNothingElse(t *testing.T) {
	own := prometheus.NewRegistry()
	for range 2 { // one application after the other
		app := fxtest.New(t, store.Module, telemetry.Metrics,
			fx.Supply(fx.Annotate(own, fx.As(new(prometheus.Registerer)))))
		app.RequireStart()
		got := gather(t, own)
		if _, ok := got["rollcall_store_entities"]; !ok || len(got) == 0 {
			t.Error("the store's metrics are not there")
		}
		for name := range got {
			if strings.HasPrefix(name, "rollcall_tagger") || strings.HasPrefix(name, "go_") {
				t.Errorf("%s is there", name)
			}
		}
		app.RequireStop()
		if got := gather(t, own); len(got) != 0 {
			t.Errorf("left behind: %v", got)
		}
	}
}
