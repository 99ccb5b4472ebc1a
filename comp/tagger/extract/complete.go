package extract

import (
	"iter"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// complete reports whether all that can be known of an entity is known: every expected
// source has reported it, and what its tags are made of beside it is completely known, too.
func (x *Extractor) complete(e workloadmeta.Entity, lookup Lookup) bool {
	if !lookup.Complete(e.GetID()) {
		return false
	}
	switch e := e.(type) {
	case *workloadmeta.ECSTask:
		return e.ClusterName != "" // without, it comes from before the metadata service was ready
	case *workloadmeta.KubernetesPod:
		return x.relationsComplete(e, lookup)
	case *workloadmeta.Container:
		return x.parentsComplete(e, parentsOf(e, lookup), lookup)
	}
	return true
}

func (x *Extractor) parentsComplete(c *workloadmeta.Container, p parents, lookup Lookup) bool {
	if p.pod != nil || p.task != nil {
		return (p.pod == nil || x.complete(p.pod, lookup)) &&
			(p.task == nil || x.complete(p.task, lookup))
	}
	if c.Owner == nil || c.Owner.Kind != workloadmeta.KindKubernetesPod &&
		c.Owner.Kind != workloadmeta.KindECSTask {
		// It may yet turn out to belong to something.
		return lookup.Listed() || !lookup.Expected(workloadmeta.KindKubernetesPod) &&
			!lookup.Expected(workloadmeta.KindECSTask)
	}
	return lookup.Listed() && !lookup.Expected(c.Owner.Kind)
}

// relationsComplete reports whether nobody is expected to tell more of what a pod's tags are made
// of.
func (x *Extractor) relationsComplete(p *workloadmeta.KubernetesPod, lookup Lookup) bool {
	for range x.awaited(p, lookup) {
		return false
	}
	return true
}

// Awaited yields what an entity's tags are still to be made of, beside its own reports and those
// of what it belongs to: the namespace of a pod, or its node. A service has no ID: it is not
// known which one it will be.
func (x *Extractor) Awaited(e workloadmeta.Entity,
	lookup Lookup) iter.Seq[workloadmeta.EntityID] {
	switch e := e.(type) {
	case *workloadmeta.KubernetesPod:
		return x.awaited(e, lookup)
	case *workloadmeta.Container:
		if pod := parentsOf(e, lookup).pod; pod != nil {
			return x.awaited(pod, lookup)
		}
	}
	return func(func(workloadmeta.EntityID) bool) {}
}

// awaited is Awaited for pods: what they wait for until everybody has listed what there is. Every
// pod has a namespace, so that it is waited for also then if others of them have been told of, and
// only where a rule names namespaces.
func (x *Extractor) awaited(p *workloadmeta.KubernetesPod,
	lookup Lookup) iter.Seq[workloadmeta.EntityID] {
	return func(yield func(workloadmeta.EntityID) bool) {
		const metadata = workloadmeta.KindKubernetesMetadata
		if x.namesNamespaces && p.Namespace != "" && x.namespaceOf(p, lookup) == nil &&
			len(p.NamespaceLabels) == 0 && len(p.NamespaceAnnotations) == 0 &&
			lookup.Expected(metadata) &&
			(!lookup.Listed() || len(lookup.Find(Query{Relation: Namespaces})) > 0) &&
			!yield(namespaceID(p)) {
			return
		}
		if !x.nodes.empty() && p.NodeName != "" && x.nodeOf(p, lookup) == nil &&
			lookup.Expected(metadata) && !lookup.Listed() && !yield(nodeID(p)) {
			return
		}
		if x.wantsServices(p) && lookup.Expected(workloadmeta.KindKubernetesService) &&
			!lookup.Listed() {
			yield(workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesService})
		}
	}
}
