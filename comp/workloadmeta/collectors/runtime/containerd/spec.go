package containerd

import (
	"cmp"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

const id = "containerd"

// description is what the collector says of itself, with all that it can report.
var description = workloadmeta.Description{
	ID: id, Source: workloadmeta.SourceRuntime,
	Kinds: []workloadmeta.Kind{workloadmeta.KindContainer, workloadmeta.KindContainerImage},
	Rank:  rank,
}

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "containerd's containers and images",
	Normalizing: normalize,
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log, o.Env = cmp.Or(o.Log, d.Log), cmp.Or(o.Env, d.Env)
		normalize(&o)
		return collection.One(New(o))
	},
}

// normalize forgets a socket that is not to be taken for containerd's.
func normalize(o *Options) {
	if o.OverCRI || !strings.Contains(o.CRISocket, "containerd") {
		o.CRISocket = ""
	}
}

// Module adds the collector to an fx application: see [collection.Spec.Module].
var Module = Spec.Module()
