package apiserver

import (
	"cmp"
	"errors"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
	"github.com/rollcall-dev/rollcall/pkg/kubenames"
)

// errNoName reports an object without a name, which nobody could ask about.
var errNoName = errors.New("an object without a name")

func thin() object.Shape {
	return object.Shape{Annotation: podmap.ThinAnnotation, Pool: object.NewPool()}
}

// followMetadata follows namespaces, nodes, and whatever else is asked for.
func (c *Collector) followMetadata(core *core, t target) follow {
	r := kubeapi.Resource{GroupVersionResource: t.resources()[0], Metadata: true}
	if t.name == nodes && c.opts.node() {
		r.Fields = "metadata.name=" + c.opts.NodeName
	}
	group, resource := r.Group, r.Resource
	table := newTable(sameEntity[*workloadmeta.KubernetesMetadata],
		func(key string, was, is **workloadmeta.KubernetesMetadata) {
			if core.share != nil && t.name == nodes {
				core.share.node((*cmp.Or(is, was)).Name, is != nil)
			}
			if is == nil {
				core.unset(workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesMetadata,
					ID: key})
				return
			}
			core.set(*is)
		})
	if t.name == nodes {
		core.nodes = table
	}
	key := func(m *object.Meta) string {
		return kubenames.MetadataEntityID(group, resource, m.Namespace, m.Name)
	}
	return newFollow(c, core, r, thin(), table,
		mapping[object.Metadata, *workloadmeta.KubernetesMetadata]{key,
			func(o *object.Metadata) (*workloadmeta.KubernetesMetadata, error) {
				if o.Name == "" {
					return nil, errNoName
				}
				return &workloadmeta.KubernetesMetadata{
					EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesMetadata,
						ID: key(&o.Meta)},
					EntityMeta: workloadmeta.EntityMeta{Name: o.Name, Namespace: o.Namespace,
						Labels: o.Labels, Annotations: o.Annotations},
					GVR: r.GroupVersionResource}, nil
			}})
}
