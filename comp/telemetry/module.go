package telemetry

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// Module provides a registry, as [*prometheus.Registry], [prometheus.Registerer] and
// [prometheus.Gatherer], and puts into it what [Metrics] does.
var Module = fx.Module("telemetry",
	fx.Provide(fx.Annotate(NewRegistry, fx.As(fx.Self()), fx.As(new(prometheus.Registerer)),
		fx.As(new(prometheus.Gatherer)))),
	Metrics,
)

// Metrics registers the metrics of whatever of rollcall is in the application, and of
// the collectors given by [AsMetrics], with the application's [prometheus.Registerer] for
// as long as the application runs. It is for programs with a registry of their own.
var Metrics = fx.Module("telemetry/metrics", fx.Invoke(register))

// group is the fx group that metrics are put into.
const group = `group:"metrics"`

// AsMetrics annotates the constructor of a [prometheus.Collector] so that [Metrics] finds
// what it returns.
func AsMetrics(constructor any) any {
	return fx.Annotate(constructor, fx.As(new(prometheus.Collector)), fx.ResultTags(group))
}

// NewRegistry returns a registry with the metrics of the Go runtime and of this process.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

type params struct {
	fx.In

	Lifecycle  fx.Lifecycle
	Registerer prometheus.Registerer
	Store      *store.Store           `optional:"true"`
	Tagger     *local.Tagger          `optional:"true"`
	Supervisor *collection.Supervisor `optional:"true"`
	More       []prometheus.Collector `group:"metrics"`
}

func register(p params) error {
	all := p.More
	if p.Store != nil {
		all = append(all, Store(p.Store))
	}
	if p.Tagger != nil {
		all = append(all, Tagger(p.Tagger))
	}
	if p.Supervisor != nil {
		all = append(all, p.Supervisor.Metrics())
	}
	for i, c := range all {
		if err := p.Registerer.Register(c); err != nil {
			for _, done := range all[:i] {
				p.Registerer.Unregister(done)
			}
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	p.Lifecycle.Append(fx.Hook{OnStop: func(context.Context) error {
		for _, c := range all { // so that the registry can serve another application
			p.Registerer.Unregister(c)
		}
		return nil
	}})
	return nil
}
