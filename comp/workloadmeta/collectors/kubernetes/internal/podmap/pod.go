package podmap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// Annotations that the kubelet and others put on pods.
const (
	// AnnotationSource is where a kubelet has a pod from: api, file or http.
	AnnotationSource = "kubernetes.io/config.source"

	annotationSeen            = "kubernetes.io/config.seen" // another at each start of the kubelet
	annotationLastApplied     = "kubectl.kubernetes.io/last-applied-configuration"
	annotationTolerateUnready = "ad.datadoghq.com/tolerate-unready"
)

// labelNamespace is the one label that the kubelet's word gives a container: rules about
// namespaces look at it.
const labelNamespace = "io.kubernetes.pod.namespace"

// MaxContainers bounds the containers of one pod. More are no pod, and refused as a whole.
const MaxContainers = 1000

// Mapper makes entities of pods. It may be used by several goroutines. What it makes of pods that
// are alike shares memory.
type Mapper struct {
	env      *env.Filter
	siblings siblings
}

// New returns a mapper that keeps the environment variables that the filter allows.
func New(filter *env.Filter) *Mapper {
	return &Mapper{env: filter, siblings: siblings{latest: map[string]remembered{}}}
}

// Mapped is what one pod gives.
type Mapped struct {
	Pod *workloadmeta.KubernetesPod
	// Containers are the pod's containers that the runtime has made, init containers first, with
	// those instances before them that the pod still tells of.
	Containers []*workloadmeta.Container
}

// Static reports whether a kubelet runs the pod from a file or a URL, without the API server.
func Static(p *workloadmeta.KubernetesPod) bool {
	source := p.Annotations[AnnotationSource]
	return source == "file" || source == "http"
}

// Map returns the entities of a pod. It takes the object's maps: the object is used no more.
func (m *Mapper) Map(p *object.Pod) (Mapped, error) {
	if p.Meta.UID == "" {
		return Mapped{}, fmt.Errorf("pod %s/%s: %w", p.Meta.Namespace, p.Meta.Name, errNoUID)
	}
	if n := len(p.Spec.Containers) + len(p.Spec.InitContainers) + len(p.Spec.EphemeralContainers) +
		len(p.Status.ContainerStatuses) + len(p.Status.InitContainerStatuses) +
		len(p.Status.EphemeralContainerStatuses); n > 2*MaxContainers {
		return Mapped{}, fmt.Errorf("pod %s/%s: more than %d containers", p.Meta.Namespace,
			p.Meta.Name, MaxContainers)
	}
	pod := podOf(p)
	out := Mapped{Pod: pod}
	p.Meta.UID = pod.ID // as the containers of a static pod see it
	join := joiner{m, p, &out, map[string]string{labelNamespace: p.Meta.Namespace}}
	pod.InitContainers = join.list(p.Spec.InitContainers, p.Status.InitContainerStatuses,
		workloadmeta.RoleInit)
	pod.Containers = join.list(p.Spec.Containers, p.Status.ContainerStatuses,
		workloadmeta.RoleRegular)
	ephemeral := make([]object.Container, 0, len(p.Spec.EphemeralContainers))
	for i := range p.Spec.EphemeralContainers {
		ephemeral = append(ephemeral, p.Spec.EphemeralContainers[i].Container)
	}
	pod.EphemeralContainers = join.list(ephemeral, p.Status.EphemeralContainerStatuses,
		workloadmeta.RoleEphemeral)
	for _, c := range out.Containers {
		for _, vendor := range c.Resources.GPUVendorList {
			if !slices.Contains(pod.GPUVendorList, vendor) {
				pod.GPUVendorList = append(pod.GPUVendorList, vendor)
			}
		}
	}
	m.siblings.share(out)
	return out, nil
}

var errNoUID = errors.New("it has no UID")

// podOf maps what is no container's.
func podOf(p *object.Pod) *workloadmeta.KubernetesPod {
	meta, spec, status := &p.Meta, &p.Spec, &p.Status
	out := &workloadmeta.KubernetesPod{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: meta.UID},
		EntityMeta: workloadmeta.EntityMeta{Name: meta.Name, Namespace: meta.Namespace,
			Labels: meta.Labels, Annotations: meta.Annotations},
		Owners:             owners(meta.OwnerReferences),
		TolerateUnready:    meta.Annotations[annotationTolerateUnready] == "true",
		Phase:              status.Phase,
		Reason:             status.Reason,
		Message:            status.Message,
		IP:                 status.PodIP,
		IPs:                addresses(status.PodIPs),
		HostIP:             status.HostIP,
		HostIPs:            addresses(status.HostIPs),
		HostNetwork:        spec.HostNetwork,
		NodeName:           spec.NodeName,
		PriorityClass:      spec.PriorityClassName,
		QOSClass:           status.QOSClass,
		RestartPolicy:      spec.RestartPolicy,
		CreationTimestamp:  meta.CreationTimestamp.Time,
		StartTime:          status.StartTime.Time,
		DeletionTimestamp:  meta.DeletionTimestamp.Time,
		Generation:         meta.Generation,
		ObservedGeneration: status.ObservedGeneration,
		ResourceVersion:    meta.ResourceVersion,
	}
	if id := ID(p); id != meta.UID {
		// It belongs to its node, as the API server sees it, and to nothing as its kubelet does.
		out.ID, out.APIUID, out.Owners = id, meta.UID, nil
	}
	delete(out.Annotations, annotationSeen)
	delete(out.Annotations, annotationLastApplied)
	if spec.RuntimeClassName != nil {
		out.RuntimeClass = *spec.RuntimeClassName
	}
	if n := len(status.Conditions); n > 0 {
		out.Conditions = make([]workloadmeta.PodCondition, 0, n)
	}
	for _, c := range status.Conditions {
		out.Conditions = append(out.Conditions, workloadmeta.PodCondition{Type: c.Type,
			Status: c.Status, Reason: c.Reason, LastTransition: c.LastTransitionTime.Time})
		if c.Type == "Ready" && c.Status == "True" {
			out.Ready, out.ReadyTimestamp = true, c.LastTransitionTime.Time
		}
	}
	for _, v := range spec.Volumes {
		switch {
		case v.PersistentVolumeClaim != nil:
			out.PersistentVolumeClaimNames = append(out.PersistentVolumeClaimNames,
				v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			out.PersistentVolumeClaimNames = append(out.PersistentVolumeClaimNames,
				meta.Name+"-"+v.Name)
		case v.Image != nil:
			out.ImageVolumes = append(out.ImageVolumes, workloadmeta.PodImageVolume{Name: v.Name,
				Image: imageOf(v.Image.Reference, "")})
		}
	}
	if spec.Resources != nil {
		out.Resources, out.RawResources = resourcesOf(*spec.Resources, nil, nil)
	}
	out.SecurityContext = podSecurity(spec)
	if out.QOSClass == "" {
		out.QOSClass = qosOf(spec)
	}
	return out
}

func owners(references []object.OwnerReference) []workloadmeta.KubernetesPodOwner {
	var out []workloadmeta.KubernetesPodOwner
	for _, o := range references {
		group, _, ok := strings.Cut(o.APIVersion, "/")
		if !ok {
			group = ""
		}
		out = append(out, workloadmeta.KubernetesPodOwner{Kind: o.Kind, Group: group, Name: o.Name,
			ID: o.UID, Controller: o.Controller})
	}
	return out
}

func addresses(list []object.IP) []string {
	var out []string
	for _, a := range list {
		if a.IP != "" {
			out = append(out, a.IP)
		}
	}
	return out
}

func podSecurity(spec *object.PodSpec) *workloadmeta.PodSecurityContext {
	in := spec.SecurityContext
	if in == nil {
		in = &object.PodSecurityContext{}
	}
	out := workloadmeta.PodSecurityContext{RunAsUser: in.RunAsUser, RunAsGroup: in.RunAsGroup,
		FsGroup: in.FSGroup, RunAsNonRoot: in.RunAsNonRoot,
		SeccompProfile: seccomp(in.SeccompProfile), HostUsers: spec.HostUsers}
	if out == (workloadmeta.PodSecurityContext{}) {
		return nil
	}
	return &out
}

func seccomp(p *object.SeccompProfile) *workloadmeta.SeccompProfile {
	if p == nil {
		return nil
	}
	out := &workloadmeta.SeccompProfile{Type: p.Type}
	if p.LocalhostProfile != nil {
		out.LocalhostProfile = *p.LocalhostProfile
	}
	return out
}

// qosOf computes the class that the API server gives a pod. A static pod that waits for the one
// before it to end has none yet.
//
// Source: kubernetes.io/docs/concepts/workloads/pods/pod-qos.
func qosOf(spec *object.PodSpec) string {
	some, all := false, true
	check := func(limits, requests map[string]object.Quantity) {
		for _, name := range []string{"cpu", "memory"} {
			limit, request := amount(limits[name]), amount(requests[name])
			some = some || limit.Sign() > 0 || request.Sign() > 0
			// A request that is not given is the limit.
			if limit.Sign() <= 0 || request.Sign() > 0 && request.Cmp(limit) != 0 {
				all = false
			}
		}
	}
	if r := spec.Resources; r != nil && len(r.Limits)+len(r.Requests) > 0 {
		check(r.Limits, r.Requests)
	} else {
		for _, list := range [][]object.Container{spec.InitContainers, spec.Containers} {
			for i := range list {
				check(list[i].Resources.Limits, list[i].Resources.Requests)
			}
		}
	}
	switch {
	case !some:
		return "BestEffort"
	case all:
		return "Guaranteed"
	}
	return "Burstable"
}
