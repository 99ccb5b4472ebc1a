package containerd

import (
	"cmp"
	"os"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// description is what the collector says of itself, with all that it can report.
var description = workloadmeta.Description{
	ID: "containerd", Source: workloadmeta.SourceRuntime,
	Kinds: []workloadmeta.Kind{workloadmeta.KindContainer, workloadmeta.KindContainerImage},
	Rank:  rank,
}

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "containerd's containers and images",
	Settling:    settle,
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log, o.Env = cmp.Or(o.Log, d.Log), cmp.Or(o.Env, d.Env)
		settle(&o)
		if o.DockerRuns == nil && d.Collecting != nil {
			o.DockerRuns = func() bool { return d.Collecting("docker") }
		}
		if o.One || o.ID != "" || o.Sockets != nil || cmp.Or(o.Address, o.CRISocket,
			os.Getenv("CONTAINERD_ADDRESS")) != "" {
			return collection.One(New(o))
		}
		// A Kubernetes distribution may have a containerd of its own beside Docker's.
		ofKubernetes := o
		o.Sockets = SystemSockets()
		ofKubernetes.ID, ofKubernetes.Sockets = "containerd-k8s", KubernetesSockets()
		system, err := New(o)
		if err != nil {
			return nil, err
		}
		kubernetes, err := New(ofKubernetes)
		if err != nil {
			return nil, err
		}
		return []workloadmeta.Collector{system, kubernetes}, nil
	},
}

// settle forgets a socket that is not to be taken for containerd's.
func settle(o *Options) {
	if o.OverCRI || !strings.Contains(o.CRISocket, "containerd") {
		o.CRISocket = ""
	}
}

// Module adds the collector to an fx application: see [collection.Spec.Module].
var Module = Spec.Module()
