package podmap

import (
	"fmt"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// ThinShape is what of a pod [Mapper.Thin] looks at.
func ThinShape() object.Shape {
	return object.Shape{Annotation: ThinAnnotation, Pool: object.NewPool(), Omit: []string{
		"Spec.Containers", "Spec.InitContainers", "Spec.EphemeralContainers",
		"Spec.SecurityContext", "Spec.Resources", "Status.Message", "Status.ContainerStatuses",
		"Status.InitContainerStatuses", "Status.EphemeralContainerStatuses", "Status.HostIPs",
		"Status.ObservedGeneration"}}
}

// ThinAnnotation reports whether an annotation is kept where whole clusters are: large ones are
// left out that are for others. A configuration that was applied may have secrets in it.
func ThinAnnotation(name string) bool {
	switch name {
	case annotationSeen, annotationLastApplied:
		return false
	}
	rest, ok := strings.CutPrefix(name, "ad.datadoghq.com/")
	if !ok {
		return true
	}
	switch rest[strings.LastIndexByte(rest, '.')+1:] {
	case "checks", "check_names", "init_configs", "instances", "logs":
		return false
	}
	return true
}

// Thin returns the entity of a pod without its containers and what only they need, for whoever
// keeps a whole cluster. It takes the object's maps: the object is used no more.
func (m *Mapper) Thin(p *object.Pod) (*workloadmeta.KubernetesPod, error) {
	if p.UID == "" {
		return nil, fmt.Errorf("pod %s/%s: %w", p.Namespace, p.Name, errNoUID)
	}
	pod := podOf(p)
	pod.Conditions, pod.QOSClass = nil, p.Status.QOSClass // without containers it is not to be had
	if len(pod.IPs) == 1 && pod.IPs[0] == pod.IP {
		pod.IPs = nil
	}
	m.siblings.share(Mapped{Pod: pod})
	return pod, nil
}
