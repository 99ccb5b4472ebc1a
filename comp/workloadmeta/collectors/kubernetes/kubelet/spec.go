package kubelet

import (
	"cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "the node's pods and their containers, as the kubelet knows them,",
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log, o.Env = cmp.Or(o.Log, d.Log), cmp.Or(o.Env, d.Env)
		return collection.One(New(o))
	},
}

// Module adds the collector to an fx application: see [collection.Spec.Module].
var Module = Spec.Module()
