package cri

import (
	"cmp"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// description is what the collector says of itself, with all that it can report.
var description = workloadmeta.Description{
	ID: "cri", Source: workloadmeta.SourceRuntime,
	Kinds: []workloadmeta.Kind{workloadmeta.KindContainer, workloadmeta.KindContainerImage},
	Rank:  rank,
}

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "the containers and images of runtimes that are asked over the CRI, such as CRI-O and cri-dockerd,",
	On:          "containerd is asked over the CRI, too",
	Normalizing: normalize,
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log, o.Env = cmp.Or(o.Log, d.Log), cmp.Or(o.Env, d.Env)
		return collection.One(New(o))
	},
}

// normalize leaves containerd's socket to the collector for it, unless this one is to ask there;
// who asks for that and names containerd's address means the same daemon.
func normalize(o *Options) {
	switch {
	case o.UseContainerd:
		o.Socket = cmp.Or(o.Socket, o.ContainerdAddress)
	case strings.Contains(o.Socket, "containerd"):
		o.Socket = ""
	}
}

// Module adds the collector to an fx application: see [collection.Spec.Module].
var Module = Spec.Module()
