package docker

import (
	"cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

const id = "docker"

// description is what the collector says of itself, with all that it can report.
var description = workloadmeta.Description{
	ID: id, Source: workloadmeta.SourceRuntime,
	Kinds: []workloadmeta.Kind{workloadmeta.KindContainer, workloadmeta.KindContainerImage},
	Rank:  rank,
}

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "Docker's containers and images",
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log, o.Env = cmp.Or(o.Log, d.Log), cmp.Or(o.Env, d.Env)
		return NewAll(o)
	},
}

// Module adds the collector to an fx application: see [collection.Spec.Module].
var Module = Spec.Module()
