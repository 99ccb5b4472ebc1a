package podresources

import (
	"cmp"
	"log/slog"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// ID is the collector's name in status and configuration.
const ID = "podresources"

var description = workloadmeta.Description{
	ID: ID, Source: workloadmeta.SourceNodeDevices,
	ByProducts: []workloadmeta.Kind{workloadmeta.KindContainer},
}

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "the devices that the kubelet has given to containers",
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log = cmp.Or(o.Log, d.Log)
		if o.Store == nil {
			o.Store = d.Store
		}
		if o.Store == nil {
			return []workloadmeta.Collector{collection.Idle(description, workloadmeta.Problem{
				Cause: workloadmeta.CauseOff, Reason: "there is no store to take pods from"})}, nil
		}
		return collection.One(New(o))
	},
}

// Module adds the collector to an fx application that has a store of its own. An application of
// agent.Module has the collector already.
var Module = fx.Module("workloadmeta/collectors/"+ID,
	fx.Provide(collection.AsCollector(provide)))

type params struct {
	fx.In

	Options Options      `optional:"true"`
	Log     *slog.Logger `optional:"true"`
	Store   workloadmeta.Component
}

func provide(p params) (*Collector, error) {
	o := p.Options
	o.Log = cmp.Or(o.Log, p.Log)
	if o.Store == nil {
		o.Store = p.Store
	}
	return New(o)
}
