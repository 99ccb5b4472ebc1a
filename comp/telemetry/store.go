package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

var (
	storeEntities = prometheus.NewDesc("rollcall_store_entities",
		"Entities in the store, each once.", nil, nil)
	storeReported = prometheus.NewDesc("rollcall_store_reported_entities",
		"Entities by kind and by the source that reports them.", []string{"kind", "source"}, nil)
	storeChanges = prometheus.NewDesc("rollcall_store_changes_total",
		"Changes of the store; what becomes true together is one.", nil, nil)
	storeSynced = prometheus.NewDesc("rollcall_store_synced",
		"1 once everything that can be known at the start is known.", nil, nil)

	storeBus = newBus("store")
)

// Store returns the metrics of a store and its subscriptions. Register it once.
func Store(s *store.Store) prometheus.Collector { return storeMetrics{s} }

type storeMetrics struct{ s *store.Store }

// Describe implements [prometheus.Collector].
func (m storeMetrics) Describe(out chan<- *prometheus.Desc) {
	describe(out, storeEntities, storeReported, storeChanges, storeSynced)
	storeBus.describe(out)
}

// Collect implements [prometheus.Collector].
func (m storeMetrics) Collect(out chan<- prometheus.Metric) {
	st := m.s.Stats()
	gauge(out, storeEntities, st.Entries)
	for kind, bySource := range m.s.Count() {
		for source, n := range bySource {
			gauge(out, storeReported, n, kind.String(), strings.ToValidUTF8(string(source), "?"))
		}
	}
	counter(out, storeChanges, st.Revision)
	synced := 0
	if m.s.Synced() {
		synced = 1
	}
	gauge(out, storeSynced, synced)
	storeBus.collect(out, st)
}
