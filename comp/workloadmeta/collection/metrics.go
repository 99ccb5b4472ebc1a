package collection

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics returns what Prometheus scrapes of the supervisor. Register it once.
func (s *Supervisor) Metrics() prometheus.Collector { return metrics{s} }

// metrics reads the status when it is scraped, so that nothing is counted twice.
type metrics struct{ s *Supervisor }

var (
	stateDesc = prometheus.NewDesc("rollcall_collector_state",
		"1 for the state the collector is in, 0 for the others.", []string{"collector",
			"state"}, nil)
	entitiesDesc = perCollector("entities",
		"Entities the collector has reported and not withdrawn.")
	eventsDesc  = perCollector("events_total", "Valid events taken from the collector.")
	invalidDesc = perCollector("invalid_events_total",
		"Events of the collector that were left out because they were not valid.")
	restartsDesc = perCollector("restarts_total", "Times the collector's stream was started again.")
	failuresDesc = perCollector("failures_total",
		"Calls to the collector that failed, panics included.")
	panicsDesc  = perCollector("panics_total", "Calls to the collector that panicked.")
	pullsDesc   = perCollector("pulls_total", "Pulls, successful or not.")
	fetchesDesc = perCollector("fetches_total",
		"Look-ups of single entities made at the collector.")
	lastPullDesc = perCollector("last_pull_seconds", "How long the last pull took.")
	lastSyncDesc = perCollector("last_sync_timestamp_seconds",
		"When the collector last reported everything there is.")
	lastErrDesc = perCollector("last_error_timestamp_seconds", "When the collector last failed.")

	missesDesc = prometheus.NewDesc("rollcall_fetches_total",
		"Look-ups of missed entities by result; remembered ones were answered without asking.",
		[]string{"result"}, nil)
	underWayDesc = prometheus.NewDesc("rollcall_fetches_in_flight",
		"Look-ups of missed entities that are under way.", nil, nil)
)

func perCollector(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("rollcall_collector_"+name, help, []string{"collector"}, nil)
}

// Describe implements [prometheus.Collector].
func (m metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		stateDesc, entitiesDesc, eventsDesc, invalidDesc, restartsDesc, failuresDesc, panicsDesc,
		pullsDesc,
		fetchesDesc, lastPullDesc, lastSyncDesc, lastErrDesc, missesDesc, underWayDesc,
	} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m metrics) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	for _, st := range m.s.Status() {
		for _, state := range States() {
			in := 0.0
			if st.State == state {
				in = 1
			}
			send(stateDesc, prometheus.GaugeValue, in, st.ID, string(state))
		}
		send(entitiesDesc, prometheus.GaugeValue, float64(st.Entities), st.ID)
		send(eventsDesc, prometheus.CounterValue, float64(st.Events), st.ID)
		send(invalidDesc, prometheus.CounterValue, float64(st.InvalidEvents), st.ID)
		send(restartsDesc, prometheus.CounterValue, float64(st.Restarts), st.ID)
		send(failuresDesc, prometheus.CounterValue, float64(st.Failures), st.ID)
		send(panicsDesc, prometheus.CounterValue, float64(st.Panics), st.ID)
		send(pullsDesc, prometheus.CounterValue, float64(st.Pulls), st.ID)
		send(fetchesDesc, prometheus.CounterValue, float64(st.Fetches), st.ID)
		if st.Pulls > 0 {
			send(lastPullDesc, prometheus.GaugeValue, st.LastPull.Seconds(), st.ID)
		}
		if !st.LastSync.IsZero() {
			send(lastSyncDesc, prometheus.GaugeValue, float64(st.LastSync.UnixMilli())/1000, st.ID)
		}
		if !st.LastErrorAt.IsZero() {
			send(lastErrDesc, prometheus.GaugeValue, float64(st.LastErrorAt.UnixMilli())/1000,
				st.ID)
		}
	}
	results, underWay := m.s.fetches.counts()
	for result, n := range results {
		send(missesDesc, prometheus.CounterValue, float64(n), result)
	}
	send(underWayDesc, prometheus.GaugeValue, float64(underWay))
}
