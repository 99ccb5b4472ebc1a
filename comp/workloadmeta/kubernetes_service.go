package workloadmeta

import "slices"

// KubernetesService is a service. Its ID is "<namespace>/<name>".
type KubernetesService struct {
	EntityID
	EntityMeta
	Type       string   `json:"type,omitempty"` // ClusterIP, NodePort, LoadBalancer, ExternalName
	ClusterIPs []string `json:"cluster_ips,omitempty"`
	// the labels of the pods that it is for; empty where its members are listed by somebody
	Selector map[string]string `json:"selector,omitempty"`
	// Pods are the UIDs of the pods that are its members now, as the API server has them. They
	// are sorted.
	Pods []string `json:"pods,omitempty"`
}

// Equal implements [Entity].
func (s *KubernetesService) Equal(other Entity) bool {
	o, ok := other.(*KubernetesService)
	return ok && (s == o || s.EntityID == o.EntityID && s.EntityMeta.equal(&o.EntityMeta) &&
		s.Type == o.Type && slices.Equal(s.ClusterIPs, o.ClusterIPs) &&
		equalMaps(s.Selector, o.Selector) && slices.Equal(s.Pods, o.Pods))
}

func (s *KubernetesService) merged(views *views) Entity {
	out := &KubernetesService{EntityID: s.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KubernetesService)
		out.EntityMeta.fill(&v.EntityMeta)
		fill(&out.Type, v.Type)
		fillList(&out.ClusterIPs, v.ClusterIPs)
		if len(out.Selector) == 0 { // of two selectors together neither is true
			out.Selector = v.Selector
		}
	}
	// One that knows the service and no members says that there are none.
	best, _ := observer(views,
		func(s *KubernetesService) bool { return s.Type != "" || len(s.Pods) > 0 })
	out.Pods = best.Pods
	return out
}
