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
	Access:      access,
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log, o.Env = cmp.Or(o.Log, d.Log), cmp.Or(o.Env, d.Env)
		return collection.One(New(o))
	},
}

// access returns what the kubelet asks the API server about who asks for /pods. It does not ask
// about the Pods API, which is root's.
func access(o Options, _ collection.Deps) ([]collection.Access, error) {
	var out []collection.Access
	if o.PodSource == fromAPIServer || o.PodSource == fromAny {
		out = append(out, collection.Access{Resource: "pods", Verbs: []string{"list", "watch"},
			Why: "pods of the node where its kubelet is not asked, or cannot be"})
	}
	if o.PodSource == fromAPIServer {
		return out, nil
	}
	out = append(out, collection.Access{Resource: "nodes/pods", Verbs: []string{"get"},
		Why: "pods of the node from its kubelet's /pods, where there is no Pods API"})
	if o.NodesProxy {
		out = append(out, collection.Access{Resource: "nodes/proxy", Verbs: []string{"get"},
			Why: "the same before Kubernetes 1.33, asked for by kubelet.nodes_proxy; who has it can " +
				"run commands in all containers"})
	}
	return out, nil
}

// Module adds the collector to an fx application: see [collection.Spec.Module].
var Module = Spec.Module()
