package replay

import (
	"cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// description is what the collector says of itself: a recording may hold anything, of all sources.
var description = workloadmeta.Description{ID: "replay", Source: Source,
	Kinds: workloadmeta.Kinds(), MultiSource: true}

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "the entities of a recording",
	Agents:      []collection.Agent{collection.Node, collection.Cluster, collection.Remote},
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log = cmp.Or(o.Log, d.Log)
		return collection.One(New(o))
	},
}

// Module adds the collector to an fx application; without a path in the options it is off: see
// [collection.Spec.Module].
var Module = Spec.Module()
