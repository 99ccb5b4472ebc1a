package extract

import (
	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/kubenames"
)

// resourceOf returns what Kubernetes calls the kind of an object: "<plural>" in the core group,
// else "<plural>.<group>".
func resourceOf(e workloadmeta.Entity) (string, error) {
	switch e := e.(type) {
	case *workloadmeta.KubernetesMetadata:
		group, resource := e.GVR.Group, e.GVR.Resource
		if resource == "" {
			id, err := kubenames.ParseMetadataEntityID(e.ID)
			if err != nil {
				return "", err
			}
			group, resource = id.Group, id.Resource
		}
		if group != "" {
			resource += "." + group
		}
		return resource, nil
	case *workloadmeta.KueueQueue:
		if e.QueueType == "clusterqueue" {
			return "clusterqueues." + kueueGroup, nil
		}
		return "localqueues." + kueueGroup, nil
	}
	return kindResource(e.GetID().Kind), nil
}

// objectTags adds what the map options make of the labels and annotations of the object that is
// being read.
func (x *Extractor) objectTags(b *builder, m *workloadmeta.EntityMeta) {
	resource, err := resourceOf(b.entity)
	if err != nil {
		b.problem("id", err)
		return
	}
	tables := x.objects[b.entity.GetID().Kind]
	mapped, ok := tables[resource]
	if !ok {
		mapped = tables[rules.AnyResource]
	}
	b.addMapped(mapped.labels, ruleMappedObjectLabel, m.Labels)
	b.addMapped(mapped.annotations, ruleMappedObjectAnnotation, m.Annotations)
}

func (x *Extractor) kubernetesDeployment(b *builder, d *workloadmeta.KubernetesDeployment) {
	x.objectTags(b, &d.EntityMeta)
	b.addAll(ruleDeploymentAutoscaler, d.AutoscalerKinds)
}

func (x *Extractor) kubernetesService(b *builder, s *workloadmeta.KubernetesService) {
	b.add(ruleServiceName, s.Name)
	b.add(ruleServiceNamespace, s.Namespace)
	x.objectTags(b, &s.EntityMeta)
}

func crdTags(b *builder, c *workloadmeta.CRD) {
	b.add(ruleCRDGroup, c.Group)
	b.add(ruleCRDKind, c.ResourceKind)
	b.add(ruleCRDVersion, c.Version)
	b.add(ruleCRDName, c.Name)
	b.add(ruleCRDNamespace, c.Namespace)
}
