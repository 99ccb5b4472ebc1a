package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dev/rollcall/comp/tagger/local"
)

var (
	taggerEntities = ofTagger("entities",
		"Entities with tags, those that are gone and remembered included.")
	taggerTombstones = ofTagger("tombstones",
		"Entities that are gone and whose last tags are kept for late telemetry.")
	taggerLists   = ofTagger("tag_lists", "Lists of low-cardinality tags, each stored once.")
	taggerStrings = ofTagger("tag_strings", "Different tags in these lists.")
	taggerHandles = ofTagger("handles",
		"Handles that somebody holds, or held until the last garbage collection.")
	taggerUpdates   = ofTagger("updates_total", "Reports about an entity that changed something.")
	taggerUnchanged = ofTagger("unchanged_updates_total",
		"Reports about an entity that said nothing new.")
	taggerPruned = ofTagger("pruned_total",
		"Times that expired tags were taken from an entity.")
	taggerMisses = ofTagger("misses_total",
		"Queries about an entity that is not there: unknown, expired, or no ID at all (empty).",
		"reason")
	taggerOrigins = ofTagger("unresolved_origins_total",
		"Telemetry that named its sender in some way, and no tags were found for it.")

	taggerBus = newBus("tagger")
)

func ofTagger(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rollcall_tagger_"+name, help, labels, nil)
}

// Tagger returns the metrics of a tagger and its subscriptions. Register it once.
func Tagger(t *local.Tagger) prometheus.Collector { return taggerMetrics{t} }

type taggerMetrics struct{ t *local.Tagger }

// Describe implements [prometheus.Collector].
func (m taggerMetrics) Describe(out chan<- *prometheus.Desc) {
	describe(out, taggerEntities, taggerTombstones, taggerLists, taggerStrings, taggerHandles,
		taggerUpdates, taggerUnchanged, taggerPruned, taggerMisses, taggerOrigins)
	taggerBus.describe(out)
}

// Collect implements [prometheus.Collector].
func (m taggerMetrics) Collect(out chan<- prometheus.Metric) {
	st := m.t.Stats()
	gauge(out, taggerEntities, st.Bus.Entries)
	gauge(out, taggerTombstones, st.Tombstones)
	gauge(out, taggerLists, st.Lists)
	gauge(out, taggerStrings, st.Strings)
	gauge(out, taggerHandles, st.Handles)
	counter(out, taggerUpdates, st.Updated)
	counter(out, taggerUnchanged, st.Unchanged)
	counter(out, taggerPruned, st.Pruned)
	counter(out, taggerMisses, st.MissUnknown, "unknown")
	counter(out, taggerMisses, st.MissExpired, "expired")
	counter(out, taggerMisses, st.MissEmpty, "empty")
	counter(out, taggerOrigins, m.t.UnresolvedOrigins())
	taggerBus.collect(out, st.Bus)
}
