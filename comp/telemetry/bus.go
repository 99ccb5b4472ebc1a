package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// bus describes the metrics of one bus, the store's or the tagger's, which stands in the
// label "bus". Subscribers of one name and tier are shown as one, because names need not
// be unique.
type bus struct {
	bundles, events, coalesced, tombstones, deadlines *prometheus.Desc

	subOpen, subPending, subLag, subEvents, subCoalesced, subTombstones, subDeadlines, subLate,
	subFailed *prometheus.Desc
}

func newBus(name string) bus {
	label := prometheus.Labels{"bus": name}
	total := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("rollcall_bus_"+name, help, nil, label)
	}
	sub := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("rollcall_subscription_"+name, help,
			[]string{"subscriber", "tier"}, label)
	}
	return bus{
		bundles: total("bundles_total", "Bundles of events handed to subscribers."),
		events:  total("events_total", "Events handed to subscribers."),
		coalesced: total("coalesced_events_total",
			"Events merged into later ones of the same entity, because a subscriber lagged."),
		tombstones: total("dropped_tombstones_total",
			"Ends of entities the subscriber never saw, lost because it lagged too far behind."),
		deadlines: total("deadline_misses_total",
			"Times a first-tier subscriber was found to hold up the second tier for too long."),

		subOpen:    sub("open", "Open subscriptions of this name and tier."),
		subPending: sub("pending_events", "Events that wait to be handed over."),
		subLag: sub("lag_revisions",
			"Changes made since the last bundle was finished; 0 if nothing waits."),
		subEvents: sub("events_total",
			"Events handed over by the subscriptions that are open."),
		subCoalesced: sub("coalesced_events_total",
			"Events merged into later ones by the subscriptions that are open."),
		subTombstones: sub("dropped_tombstones_total",
			"Ends of entities lost by the subscriptions that are open."),
		subDeadlines: sub("deadline_misses_total",
			"First tier: times found late. Second tier: times it went on without waiting further for the first."),
		subLate: sub("late",
			"First-tier subscriptions that are so late that nobody waits for them at the moment."),
		subFailed: sub("failed", "Subscriptions ended by a panic of their filter."),
	}
}

func (b *bus) describe(out chan<- *prometheus.Desc) {
	describe(out, b.bundles, b.events, b.coalesced, b.tombstones, b.deadlines,
		b.subOpen, b.subPending, b.subLag, b.subEvents, b.subCoalesced, b.subTombstones,
		b.subDeadlines, b.subLate, b.subFailed)
}

func describe(out chan<- *prometheus.Desc, descs ...*prometheus.Desc) {
	for _, d := range descs {
		out <- d
	}
}

type subscriber struct{ name, tier string }

func (b *bus) collect(out chan<- prometheus.Metric, st statebus.Stats) {
	counter(out, b.bundles, st.Totals.Bundles)
	counter(out, b.events, st.Totals.Events)
	counter(out, b.coalesced, st.Totals.Coalesced)
	counter(out, b.tombstones, st.Totals.TombstonesDropped)
	counter(out, b.deadlines, st.Totals.DeadlineMisses)

	type sums struct {
		statebus.SubscriptionStats
		open, late, failed int
		lag                uint64
	}
	bySubscriber := map[subscriber]*sums{}
	for _, s := range st.Subscriptions {
		key := subscriber{strings.ToValidUTF8(s.Name, "?"), "second"}
		if s.Tier == statebus.First {
			key.tier = "first"
		}
		sum := bySubscriber[key]
		if sum == nil {
			sum = &sums{}
			bySubscriber[key] = sum
		}
		sum.open++
		sum.Pending += s.Pending
		sum.Events += s.Events
		sum.Coalesced += s.Coalesced
		sum.TombstonesDropped += s.TombstonesDropped
		sum.DeadlineMisses += s.DeadlineMisses
		// without any of it, it lags behind nothing
		if s.Pending > 0 || s.Acknowledged < s.Delivered {
			sum.lag = max(sum.lag, st.Revision-min(st.Revision, s.Acknowledged))
		}
		if s.Late {
			sum.late++
		}
		if s.Failure != "" {
			sum.failed++
		}
	}
	for key, sum := range bySubscriber {
		labels := []string{key.name, key.tier}
		gauge(out, b.subOpen, sum.open, labels...)
		gauge(out, b.subPending, sum.Pending, labels...)
		gauge(out, b.subLag, sum.lag, labels...)
		counter(out, b.subEvents, sum.Events, labels...)
		counter(out, b.subCoalesced, sum.Coalesced, labels...)
		counter(out, b.subTombstones, sum.TombstonesDropped, labels...)
		counter(out, b.subDeadlines, sum.DeadlineMisses, labels...)
		gauge(out, b.subLate, sum.late, labels...)
		gauge(out, b.subFailed, sum.failed, labels...)
	}
}

func counter(out chan<- prometheus.Metric, d *prometheus.Desc, v uint64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func gauge[N int | uint64](out chan<- prometheus.Metric, d *prometheus.Desc, v N,
	labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}
