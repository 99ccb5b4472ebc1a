package workloadmeta

// KubernetesMetadata is the metadata of any Kubernetes object. Its ID is
// "<group>/<resource>/<namespace>/<name>", always with three slashes: the group is
// empty for the core API, the namespace for cluster-scoped objects.
type KubernetesMetadata struct {
	EntityID
	EntityMeta
	GVR GroupVersionResource `json:"gvr,omitzero"`
}

// GroupVersionResource names a Kubernetes resource; Resource is the lower-case plural.
type GroupVersionResource struct {
	Group    string `json:"group,omitempty"`
	Version  string `json:"version,omitempty"`
	Resource string `json:"resource,omitempty"`
}

// IsNode reports whether the object is a node.
func (m *KubernetesMetadata) IsNode() bool { return m.GVR.Group == "" && m.GVR.Resource == "nodes" }

// IsNamespace reports whether the object is a namespace.
func (m *KubernetesMetadata) IsNamespace() bool {
	return m.GVR.Group == "" && m.GVR.Resource == "namespaces"
}

// Equal implements [Entity].
func (m *KubernetesMetadata) Equal(other Entity) bool {
	o, ok := other.(*KubernetesMetadata)
	return ok &&
		(m == o || m.EntityID == o.EntityID && m.EntityMeta.equal(&o.EntityMeta) && m.GVR == o.GVR)
}

func (m *KubernetesMetadata) merged(views *views) Entity {
	out := &KubernetesMetadata{EntityID: m.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KubernetesMetadata)
		out.EntityMeta.fill(&v.EntityMeta)
		fill(&out.GVR, v.GVR)
	}
	return out
}
