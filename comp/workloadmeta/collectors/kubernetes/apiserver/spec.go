package apiserver

import (
	"cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// description is what the collector may report, whatever it is asked for.
var description = workloadmeta.Description{
	ID: "apiserver", Source: workloadmeta.SourceClusterOrchestrator,
	Kinds: []workloadmeta.Kind{workloadmeta.KindKubernetesPod,
		workloadmeta.KindKubernetesDeployment, workloadmeta.KindKubernetesService,
		workloadmeta.KindKubernetesMetadata, workloadmeta.KindGPU},
}

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About: "the objects of the Kubernetes API server (namespaces, nodes, deployments, pods, " +
		"services, autoscalers, and others by their metadata)",
	Agents: []collection.Agent{collection.Node, collection.Cluster},
	Access: access,
	Make: func(o Options, d collection.Deps) ([]workloadmeta.Collector, error) {
		o.Log, o.Agent = cmp.Or(o.Log, d.Log), cmp.Or(o.Agent, d.Agent)
		o.Tagged = append(o.Tagged, d.Resources...)
		o.Share = o.Share && !d.Once
		return collection.One(New(o))
	},
}

// access returns what is asked of the API server: exactly what is followed.
func access(o Options, d collection.Deps) ([]collection.Access, error) {
	o.Agent, o.Tagged = cmp.Or(d.Agent, collection.Node), d.Resources
	o.NodeName = cmp.Or(o.NodeName, "any") // who asks for the role is not on the node
	o, targets, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	var out []collection.Access
	for _, t := range targets {
		for _, r := range t.resources() {
			out = append(out, collection.Access{Group: r.Group, Resource: r.Resource,
				Verbs: []string{"list", "watch"}, Why: why(r, o)})
		}
		if t.name == pods && o.Share && !o.node() {
			out = append(out, collection.Access{Group: "coordination.k8s.io", Resource: "leases",
				Verbs:     []string{"list", "create", "update", "delete"},
				Namespace: collection.OwnNamespace,
				Why:       "which replica has which nodes, asked for by apiserver.share"})
		}
	}
	return out, nil
}

// Module adds the collector to an fx application: see [collection.Spec.Module].
var Module = Spec.Module()
