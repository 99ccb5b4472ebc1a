package process

import (
	"cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// description is what the collector says of itself. Containers are no more than a by-product:
// nobody should wait for it to say something about one.
var description = workloadmeta.Description{
	ID: ID, Source: workloadmeta.SourceProcess,
	Kinds:      []workloadmeta.Kind{workloadmeta.KindProcess},
	ByProducts: []workloadmeta.Kind{workloadmeta.KindContainer},
	Rank:       rank, Period: pullPeriod,
}

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "the machine's processes, by a scan of /proc,",
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log = cmp.Or(o.Log, d.Log)
		return []workloadmeta.Collector{New(o)}, nil
	},
}

// Module adds the collector to an fx application: see [collection.Spec.Module].
var Module = Spec.Module()
