package workloadmeta

import (
	"iter"
	"slices"
	"time"
)

// KubernetesPod is a pod on this node. Its ID is the pod's UID; for a static pod
// the UID the kubelet reports, and APIUID is that of its mirror in the API server.
type KubernetesPod struct {
	EntityID
	EntityMeta
	Owners []KubernetesPodOwner `json:"owners,omitempty"`
	// in volume order
	PersistentVolumeClaimNames []string                `json:"persistent_volume_claim_names,omitempty"`
	InitContainers             []OrchestratorContainer `json:"init_containers,omitempty"`
	Containers                 []OrchestratorContainer `json:"containers,omitempty"`
	EphemeralContainers        []OrchestratorContainer `json:"ephemeral_containers,omitempty"`
	ImageVolumes               []PodImageVolume        `json:"image_volumes,omitempty"`
	Ready                      bool                    `json:"ready,omitempty"`
	// TolerateUnready says that what wants ready pods may have this one at any time.
	TolerateUnready bool `json:"tolerate_unready,omitempty"`
	// Pending, Running, Succeeded, Failed, Unknown
	Phase string `json:"phase,omitempty"`
	// why the pod is in its phase, such as Evicted
	Reason     string         `json:"reason,omitempty"`
	Message    string         `json:"message,omitempty"` // for people, beside Reason
	Conditions []PodCondition `json:"conditions,omitempty"`
	IP         string         `json:"ip,omitempty"`
	// all addresses, IP first
	IPs           []string `json:"ips,omitempty"`
	HostIP        string   `json:"host_ip,omitempty"`
	HostIPs       []string `json:"host_ips,omitempty"`
	HostNetwork   bool     `json:"host_network,omitempty"`
	NodeName      string   `json:"node_name,omitempty"`
	PriorityClass string   `json:"priority_class,omitempty"`
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
	// Resources of the pod as a whole, where it has its own.
	Resources ContainerResources `json:"resources,omitzero"`
	// RawResources are those by their names, CPU and memory included.
	RawResources *RawResources `json:"raw_resources,omitempty"`
	// RestartPolicy of its containers, unless they have their own.
	RestartPolicy string `json:"restart_policy,omitempty"`
	// RestartCount of all containers together
	RestartCount int `json:"restart_count,omitempty"`
	// DeletionTimestamp is when it is to be gone at the latest; zero while nobody deletes it.
	DeletionTimestamp time.Time `json:"deletion_timestamp,omitzero"`
	// ReadyTimestamp is since when it is ready.
	ReadyTimestamp time.Time `json:"ready_timestamp,omitzero"`
	// Generation counts changes of its specification; ObservedGeneration is that one which its
	// status is about. 0 = unknown.
	Generation         int64 `json:"generation,omitempty"`
	ObservedGeneration int64 `json:"observed_generation,omitempty"`
	// ResourceVersion orders copies of it. The kubelet's is that of first sight.
	ResourceVersion string `json:"resource_version,omitempty"`
	// APIUID is the API server's UID of a static pod.
	APIUID string `json:"api_uid,omitempty"`
	// AutoscalerKinds are the kinds of autoscalers whose target owns it: hpa, vpa, keda.
	AutoscalerKinds []string `json:"autoscaler_kinds,omitempty"`
}

// PodCondition is one of the things that are true of a pod or not.
type PodCondition struct {
	Type   string `json:"type,omitempty"`   // Ready, Initialized, PodScheduled, …
	Status string `json:"status,omitempty"` // True, False, Unknown
	Reason string `json:"reason,omitempty"`
	// since when
	LastTransition time.Time `json:"last_transition,omitzero"`
}

func (c PodCondition) equal(o PodCondition) bool {
	return c.Type == o.Type && c.Status == o.Status && c.Reason == o.Reason &&
		c.LastTransition.Equal(o.LastTransition)
}

// PodImageVolume is an image that a pod mounts, and no container of it runs.
type PodImageVolume struct {
	Name  string         `json:"name,omitempty"` // the volume's
	Image ContainerImage `json:"image,omitzero"`
}

// KubernetesPodOwner is one owner reference of a pod.
type KubernetesPodOwner struct {
	Kind string `json:"kind,omitempty"`
	// Group of the API that has the kind: "apps"; empty for the core's
	Group      string `json:"group,omitempty"`
	Name       string `json:"name,omitempty"`
	ID         string `json:"id,omitempty"` // UID
	Controller *bool  `json:"controller,omitempty"`
}

func (o KubernetesPodOwner) equal(p KubernetesPodOwner) bool {
	return o.Kind == p.Kind && o.Group == p.Group && o.Name == p.Name && o.ID == p.ID &&
		equalPtr(o.Controller, p.Controller)
}

// OrchestratorContainer is a container as its pod or task lists it.
type OrchestratorContainer struct {
	// the container entity's ID; empty while there is none
	ID        string             `json:"id,omitempty"`
	Name      string             `json:"name,omitempty"` // within the pod or task
	Image     ContainerImage     `json:"image,omitzero"`
	Resources ContainerResources `json:"resources,omitzero"`
	// all resources by their names, CPU and memory included
	RawResources *RawResources `json:"raw_resources,omitempty"`
	// ResourceClaims are those of its pod's claims of devices that it uses, by their names there.
	ResourceClaims []string      `json:"resource_claims,omitempty"`
	ResizePolicy   *ResizePolicy `json:"resize_policy,omitempty"`
	// Role is what it is for in its pod; empty in a task.
	Role ContainerRole `json:"role,omitempty"`
	// RestartPolicy is the container's own, where it has one: Always, OnFailure, Never.
	RestartPolicy string `json:"restart_policy,omitempty"`
	// Waiting is why it has not started, or not again: ImagePullBackOff, CrashLoopBackOff.
	Waiting string `json:"waiting,omitempty"`
}

func (c OrchestratorContainer) equal(o OrchestratorContainer) bool {
	return c.ID == o.ID && c.Name == o.Name && c.Image == o.Image &&
		c.Resources.equal(&o.Resources) &&
		equalPtrFunc(c.RawResources, o.RawResources, (*RawResources).equal) &&
		equalPtr(c.ResizePolicy, o.ResizePolicy) && c.Role == o.Role && c.Waiting == o.Waiting &&
		c.RestartPolicy == o.RestartPolicy && slices.Equal(c.ResourceClaims, o.ResourceClaims)
}

// PodSecurityContext is what a whole pod runs as. nil = not said.
type PodSecurityContext struct {
	RunAsUser    *int64 `json:"run_as_user,omitempty"`
	RunAsGroup   *int64 `json:"run_as_group,omitempty"`
	FsGroup      *int64 `json:"fs_group,omitempty"`
	RunAsNonRoot *bool  `json:"run_as_non_root,omitempty"`
	// SeccompProfile is that of all containers without their own.
	SeccompProfile *SeccompProfile `json:"seccomp_profile,omitempty"`
	// HostUsers false says that the pod has a user namespace of its own.
	HostUsers *bool `json:"host_users,omitempty"`
}

func (s *PodSecurityContext) equal(o *PodSecurityContext) bool {
	return equalPtr(s.RunAsUser, o.RunAsUser) && equalPtr(s.RunAsGroup, o.RunAsGroup) &&
		equalPtr(s.FsGroup, o.FsGroup) && equalPtr(s.RunAsNonRoot, o.RunAsNonRoot) &&
		equalPtr(s.SeccompProfile, o.SeccompProfile) && equalPtr(s.HostUsers, o.HostUsers)
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
		p.FinishedAt.Equal(o.FinishedAt) &&
		equalPtrFunc(p.SecurityContext, o.SecurityContext, (*PodSecurityContext).equal) &&
		slices.Equal(p.ImageVolumes, o.ImageVolumes) && p.TolerateUnready == o.TolerateUnready &&
		p.Message == o.Message &&
		slices.EqualFunc(p.Conditions, o.Conditions, PodCondition.equal) &&
		slices.Equal(p.IPs, o.IPs) && slices.Equal(p.HostIPs, o.HostIPs) &&
		p.Resources.equal(&o.Resources) &&
		equalPtrFunc(p.RawResources, o.RawResources, (*RawResources).equal) &&
		p.RestartPolicy == o.RestartPolicy && p.RestartCount == o.RestartCount &&
		p.DeletionTimestamp.Equal(o.DeletionTimestamp) &&
		p.ReadyTimestamp.Equal(o.ReadyTimestamp) && p.Generation == o.Generation &&
		p.ObservedGeneration == o.ObservedGeneration && p.ResourceVersion == o.ResourceVersion &&
		p.APIUID == o.APIUID && slices.Equal(p.AutoscalerKinds, o.AutoscalerKinds)
}

func (p *KubernetesPod) merged(views *views) Entity {
	out := &KubernetesPod{EntityID: p.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KubernetesPod)
		out.EntityMeta.fill(&v.EntityMeta)
		if len(out.Owners) == 0 {
			// Those of one reporter: the kubelet never hears of a pod that another controller
			// has adopted, and two controllers it cannot have.
			out.Owners = v.Owners
		}
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
		fillList(&out.ImageVolumes, v.ImageVolumes)
		out.TolerateUnready = out.TolerateUnready || v.TolerateUnready
		out.Resources.fill(&v.Resources)
		fill(&out.RawResources, v.RawResources)
		fill(&out.RestartPolicy, v.RestartPolicy)
		fillTime(&out.DeletionTimestamp, v.DeletionTimestamp)
		out.Generation = max(out.Generation, v.Generation)
		fill(&out.ResourceVersion, v.ResourceVersion)
		fill(&out.APIUID, v.APIUID)
		fillSorted(&out.AutoscalerKinds, v.AutoscalerKinds)
	}
	best, others := observer(views,
		func(p *KubernetesPod) bool { return p.Phase != "" || p.Ready || p.Reason != "" })
	out.Phase, out.Ready, out.Reason = best.Phase, best.Ready, best.Reason
	out.Message, out.Conditions, out.ReadyTimestamp = best.Message, best.Conditions,
		best.ReadyTimestamp
	out.RestartCount, out.ObservedGeneration = best.RestartCount, best.ObservedGeneration
	out.IP, out.IPs, out.HostIP, out.HostIPs = best.IP, best.IPs, best.HostIP, best.HostIPs
	out.StartTime, out.FinishedAt = best.StartTime, best.FinishedAt
	for _, e := range others {
		if v := e.(*KubernetesPod); v.Phase == best.Phase || best.Phase == "" {
			if out.IP == "" {
				out.IP, out.IPs = v.IP, v.IPs
			}
			if out.HostIP == "" {
				out.HostIP, out.HostIPs = v.HostIP, v.HostIPs
			}
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
		fill(&have.RawResources, c.RawResources)
		fill(&have.ResizePolicy, c.ResizePolicy)
		fill(&have.Role, c.Role)
		fill(&have.RestartPolicy, c.RestartPolicy)
	}
	return out
}
