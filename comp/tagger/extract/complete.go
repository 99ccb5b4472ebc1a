package extract

import (
	"iter"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/rules"
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

// Awaited yields what an entity's tags are still to be made of, of what [Extractor.Lacks] yields.
func (x *Extractor) Awaited(e workloadmeta.Entity,
	lookup Lookup) iter.Seq[workloadmeta.EntityID] {
	if pod := podOf(e, lookup); pod != nil {
		return x.awaited(pod, lookup)
	}
	return func(func(workloadmeta.EntityID) bool) {}
}

// awaited is Awaited for pods: what they wait for until everybody has listed what there is. Every
// pod has a namespace, so that it is waited for also then if others of them have been told of.
func (x *Extractor) awaited(p *workloadmeta.KubernetesPod,
	lookup Lookup) iter.Seq[workloadmeta.EntityID] {
	return func(yield func(workloadmeta.EntityID) bool) {
		for id := range x.lacks(p, lookup) {
			if (!lookup.Listed() || strings.HasPrefix(id.ID, namespacePrefix) &&
				len(lookup.Find(Query{Relation: Namespaces})) > 0) && !yield(id) {
				return
			}
		}
	}
}

// Lacks yields what an entity's tags of a name are made of, of any name if it is empty, beside its
// own reports and those of what it belongs to, if that is not known and somebody is expected to
// tell of it: the namespace of a pod, or its node. Its services have no ID: it is never known
// whether there are more.
func (x *Extractor) Lacks(name string, e workloadmeta.Entity,
	lookup Lookup) iter.Seq[workloadmeta.EntityID] {
	return func(yield func(workloadmeta.EntityID) bool) {
		pod := podOf(e, lookup)
		if pod == nil {
			return
		}
		for id := range x.lacks(pod, lookup) {
			if (name == "" || x.mayMake(name, id)) && !yield(id) {
				return
			}
		}
	}
}

// mayMake reports whether tags of a name are made of what a pod lacks.
func (x *Extractor) mayMake(name string, id workloadmeta.EntityID) bool {
	resource := "nodes"
	switch {
	case id.Kind == workloadmeta.KindKubernetesService:
		return name == definitions[ruleServiceName].Name
	case strings.HasPrefix(id.ID, namespacePrefix):
		resource = "namespaces"
	}
	return slices.ContainsFunc(x.rules.Rules(), func(r rules.Rule) bool {
		if may, _ := names(&r, name); !may || r.Action != rules.Tag {
			return false
		}
		set, err := rules.Compile([]rules.Rule{r})
		return err == nil &&
			set.Table(r.From.Field, workloadmeta.KindKubernetesPod, resource) != nil
	})
}

// podOf returns a pod itself, and that of a container; nil if there is none.
func podOf(e workloadmeta.Entity, lookup Lookup) *workloadmeta.KubernetesPod {
	switch e := e.(type) {
	case *workloadmeta.KubernetesPod:
		return e
	case *workloadmeta.Container:
		return parentsOf(e, lookup).pod
	}
	return nil
}

// lacks is Lacks for pods. The namespace counts only where a rule names namespaces.
func (x *Extractor) lacks(p *workloadmeta.KubernetesPod,
	lookup Lookup) iter.Seq[workloadmeta.EntityID] {
	return func(yield func(workloadmeta.EntityID) bool) {
		const metadata = workloadmeta.KindKubernetesMetadata
		if x.namesNamespaces && p.Namespace != "" && x.namespaceOf(p, lookup) == nil &&
			len(p.NamespaceLabels) == 0 && len(p.NamespaceAnnotations) == 0 &&
			lookup.Expected(metadata) && !yield(namespaceID(p)) {
			return
		}
		if !x.nodes.empty() && p.NodeName != "" && x.nodeOf(p, lookup) == nil &&
			lookup.Expected(metadata) && !yield(nodeID(p)) {
			return
		}
		if x.wantsServices(p) && lookup.Expected(workloadmeta.KindKubernetesService) {
			yield(workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesService})
		}
	}
}
