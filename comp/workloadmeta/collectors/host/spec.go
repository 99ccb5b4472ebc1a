package host

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

var description = workloadmeta.Description{ID: "host", Source: workloadmeta.SourceHost,
	Kinds: []workloadmeta.Kind{workloadmeta.KindHost}}

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "the tags of the machine (see expected_tags_duration)",
	Agents:      []collection.Agent{collection.Node},
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log = cmp.Or(o.Log, d.Log)
		return collection.One(New(o))
	},
}

// Module adds the collector to the application. Supply [Options] with a duration;
// without, it is off. Providers are also taken from the fx group "host_tag_providers",
// sorted by name, after those of the options.
var Module = fx.Module("workloadmeta/collectors/host", fx.Provide(collection.AsCollector(provide)))

type params struct {
	fx.In

	Options   Options      `optional:"true"`
	Providers []Provider   `group:"host_tag_providers"`
	Log       *slog.Logger `optional:"true"`
}

func provide(p params) (*Collector, error) {
	opts := p.Options
	// A group has no order, and the order of the tags must be the same after each start.
	slices.SortStableFunc(p.Providers,
		func(a, b Provider) int { return strings.Compare(a.Name(), b.Name()) })
	opts.Providers = slices.Concat(opts.Providers, p.Providers)
	opts.Log = cmp.Or(opts.Log, p.Log)
	return New(opts)
}
