package extract

import (
	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/kubenames"
)

// objectTags adds what the map options make of an object's labels and annotations.
// resource is "<plural>" in the core group, else "<plural>.<group>".
func (x *Extractor) objectTags(b *builder, resource string, m *workloadmeta.EntityMeta) {
	b.of(resource)
	tables := x.objects[b.entity.GetID().Kind]
	mapped, ok := tables[resource]
	if !ok {
		mapped = tables[rules.AnyResource]
	}
	b.addMapped(mapped.labels, ruleMappedObjectLabel, m.Labels)
	b.addMapped(mapped.annotations, ruleMappedObjectAnnotation, m.Annotations)
}

func (x *Extractor) kubernetesMetadata(b *builder, m *workloadmeta.KubernetesMetadata) {
	group, resource := m.GVR.Group, m.GVR.Resource
	if resource == "" {
		id, err := kubenames.ParseMetadataEntityID(m.ID)
		if err != nil {
			b.problem("id", err)
			return
		}
		group, resource = id.Group, id.Resource
	}
	if group != "" {
		resource += "." + group
	}
	x.objectTags(b, resource, &m.EntityMeta)
}

func (x *Extractor) kubernetesDeployment(b *builder, d *workloadmeta.KubernetesDeployment) {
	x.objectTags(b, "deployments.apps", &d.EntityMeta)
	b.addAll(ruleDeploymentAutoscaler, d.AutoscalerKinds)
}

func crdTags(b *builder, c *workloadmeta.CRD) {
	b.add(ruleCRDGroup, c.Group)
	b.add(ruleCRDKind, c.ResourceKind)
	b.add(ruleCRDVersion, c.Version)
	b.add(ruleCRDName, c.Name)
	b.add(ruleCRDNamespace, c.Namespace)
}
