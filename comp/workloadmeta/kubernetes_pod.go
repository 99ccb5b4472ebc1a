package workloadmeta

import (
	"iter"
	"slices"
	"time"
)

// KubernetesPod is a pod on this node. Its ID is the pod's UID; for a static pod
// the UID the kubelet reports.
type KubernetesPod struct {
	EntityID
	EntityMeta
	Owners []KubernetesPodOwner `json:"owners,omitempty"`
	// in volume order
	PersistentVolumeClaimNames []string                `json:"persistent_volume_claim_names,omitempty"`
	InitContainers             []OrchestratorContainer `json:"init_containers,omitempty"`
	Containers                 []OrchestratorContainer `json:"containers,omitempty"`
	EphemeralContainers        []OrchestratorContainer `json:"ephemeral_containers,omitempty"`
	Ready                      bool                    `json:"ready,omitempty"`
	// Pending, Running, Succeeded, Failed, Unknown
	Phase string `json:"phase,omitempty"`
	// why the pod is in its phase, such as Evicted
	Reason        string `json:"reason,omitempty"`
	IP            string `json:"ip,omitempty"`
	HostIP        string `json:"host_ip,omitempty"`
	HostNetwork   bool   `json:"host_network,omitempty"`
	NodeName      string `json:"node_name,omitempty"`
	PriorityClass string `json:"priority_class,omitempty"`
	// Guaranteed, Burstable, BestEffort
	QOSClass      string   `json:"qos_class,omitempty"`
	RuntimeClass  string   `json:"runtime_class,omitempty"`
	GPUVendorList []string `json:"gpu_vendor_list,omitempty"`
	// empty while the pod is not ready
	KubeServices         []string          `json:"kube_services,omitempty"`
	NamespaceLabels      map[string]string `json:"namespace_labels,omitempty"`
	NamespaceAnnotations map[string]string `json:"namespace_annotations,omitempty"`
	CreationTimestamp    time.Time         `json:"creation_timestamp,omitzero"`
	StartTime            time.Time         `json:"start_time,omitzero"`
	// set when the pod is gone
	FinishedAt      time.Time           `json:"finished_at,omitzero"`
	SecurityContext *PodSecurityContext `json:"security_context,omitempty"`
}

// KubernetesPodOwner is one owner reference of a pod.
type KubernetesPodOwner struct {
	Kind       string `json:"kind,omitempty"`
	Name       string `json:"name,omitempty"`
	ID         string `json:"id,omitempty"` // UID
	Controller *bool  `json:"controller,omitempty"`
}

func (o KubernetesPodOwner) equal(p KubernetesPodOwner) bool {
	return o.Kind == p.Kind && o.Name == p.Name && o.ID == p.ID &&
		equalPtr(o.Controller, p.Controller)
}

// same reports whether both name the same owner.
func (o KubernetesPodOwner) same(p KubernetesPodOwner) bool {
	return o.Kind == p.Kind && o.Name == p.Name && (o.ID == p.ID || o.ID == "" || p.ID == "")
}

// OrchestratorContainer is a container as its pod or task lists it.
type OrchestratorContainer struct {
	// the container entity's ID; empty while there is none
	ID           string             `json:"id,omitempty"`
	Name         string             `json:"name,omitempty"` // within the pod or task
	Image        ContainerImage     `json:"image,omitzero"`
	Resources    ContainerResources `json:"resources,omitzero"`
	ResizePolicy *ResizePolicy      `json:"resize_policy,omitempty"`
}

func (c OrchestratorContainer) equal(o OrchestratorContainer) bool {
	return c.ID == o.ID && c.Name == o.Name && c.Image == o.Image &&
		c.Resources.equal(&o.Resources) &&
		equalPtr(c.ResizePolicy, o.ResizePolicy)
}

// PodSecurityContext is what a whole pod runs as.
type PodSecurityContext struct {
	RunAsUser  int32 `json:"run_as_user,omitempty"`
	RunAsGroup int32 `json:"run_as_group,omitempty"`
	FsGroup    int32 `json:"fs_group,omitempty"`
}

// AllContainers yields the pod's init, regular and ephemeral containers, in this order.
func (p *KubernetesPod) AllContainers() iter.Seq[OrchestratorContainer] {
	return func(yield func(OrchestratorContainer) bool) {
		for _, list := range [][]OrchestratorContainer{p.InitContainers, p.Containers,
			p.EphemeralContainers} {
			for _, c := range list {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// Equal implements [Entity].
func (p *KubernetesPod) Equal(other Entity) bool {
	o, ok := other.(*KubernetesPod)
	if !ok {
		return false
	}
	return p == o || p.EntityID == o.EntityID && p.EntityMeta.equal(&o.EntityMeta) &&
		slices.EqualFunc(p.Owners, o.Owners, KubernetesPodOwner.equal) &&
		slices.Equal(p.PersistentVolumeClaimNames, o.PersistentVolumeClaimNames) &&
		slices.EqualFunc(p.InitContainers, o.InitContainers, OrchestratorContainer.equal) &&
		slices.EqualFunc(p.Containers, o.Containers, OrchestratorContainer.equal) &&
		slices.EqualFunc(p.EphemeralContainers, o.EphemeralContainers,
			OrchestratorContainer.equal) &&
		p.Ready == o.Ready && p.Phase == o.Phase && p.Reason == o.Reason &&
		p.IP == o.IP && p.HostIP == o.HostIP && p.HostNetwork == o.HostNetwork &&
		p.NodeName == o.NodeName &&
		p.PriorityClass == o.PriorityClass && p.QOSClass == o.QOSClass &&
		p.RuntimeClass == o.RuntimeClass &&
		slices.Equal(p.GPUVendorList, o.GPUVendorList) &&
		slices.Equal(p.KubeServices, o.KubeServices) &&
		equalMaps(p.NamespaceLabels, o.NamespaceLabels) &&
		equalMaps(p.NamespaceAnnotations, o.NamespaceAnnotations) &&
		p.CreationTimestamp.Equal(o.CreationTimestamp) && p.StartTime.Equal(o.StartTime) &&
		p.FinishedAt.Equal(o.FinishedAt) && equalPtr(p.SecurityContext, o.SecurityContext)
}

func (p *KubernetesPod) merged(views *views) Entity {
	out := &KubernetesPod{EntityID: p.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KubernetesPod)
		out.EntityMeta.fill(&v.EntityMeta)
		fillListFunc(&out.Owners, v.Owners, KubernetesPodOwner.same)
		fillList(&out.PersistentVolumeClaimNames, v.PersistentVolumeClaimNames)
		out.HostNetwork = out.HostNetwork || v.HostNetwork
		fill(&out.NodeName, v.NodeName)
		fill(&out.PriorityClass, v.PriorityClass)
		fill(&out.QOSClass, v.QOSClass)
		fill(&out.RuntimeClass, v.RuntimeClass)
		fillList(&out.GPUVendorList, v.GPUVendorList)
		fillList(&out.KubeServices, v.KubeServices)
		fillMap(&out.NamespaceLabels, v.NamespaceLabels)
		fillMap(&out.NamespaceAnnotations, v.NamespaceAnnotations)
		fillTime(&out.CreationTimestamp, v.CreationTimestamp)
		fill(&out.SecurityContext, v.SecurityContext)
	}
	best, others := observer(views,
		func(p *KubernetesPod) bool { return p.Phase != "" || p.Ready || p.Reason != "" })
	out.Phase, out.Ready, out.Reason = best.Phase, best.Ready, best.Reason
	out.IP, out.HostIP = best.IP, best.HostIP
	out.StartTime, out.FinishedAt = best.StartTime, best.FinishedAt
	for _, e := range others {
		if v := e.(*KubernetesPod); v.Phase == best.Phase || best.Phase == "" {
			fill(&out.IP, v.IP)
			fill(&out.HostIP, v.HostIP)
			fillTime(&out.StartTime, v.StartTime)
		}
	}
	for _, e := range views.byObservation {
		v := e.(*KubernetesPod)
		out.InitContainers = mergeContainers(out.InitContainers, v.InitContainers)
		out.Containers = mergeContainers(out.Containers, v.Containers)
		out.EphemeralContainers = mergeContainers(out.EphemeralContainers, v.EphemeralContainers)
	}
	return out
}

// mergeContainers unites two lists of the containers of one pod or task. A container is known
// by its name in the pod: the second list fills in what the first does not know of it. So the
// ID of a container that was restarted is that of the first list.
func mergeContainers(first, second []OrchestratorContainer) []OrchestratorContainer {
	if len(second) == 0 {
		return first
	}
	if len(first) == 0 {
		return second
	}
	out := slices.Clone(first)
	for _, c := range second {
		i := slices.IndexFunc(out, func(have OrchestratorContainer) bool {
			return have.Name == c.Name && (c.Name != "" || have.ID == c.ID) ||
				c.ID != "" && have.ID == c.ID
		})
		if i < 0 {
			out = append(out, c)
			continue
		}
		have := &out[i]
		fill(&have.ID, c.ID)
		fill(&have.Name, c.Name)
		if have.Image.Name == "" {
			have.Image.fill(&c.Image)
		}
		fill(&have.Image.ID, c.Image.ID)
		fill(&have.Image.RepoDigest, c.Image.RepoDigest)
		have.Resources.fill(&c.Resources)
		fill(&have.ResizePolicy, c.ResizePolicy)
	}
	return out
}
