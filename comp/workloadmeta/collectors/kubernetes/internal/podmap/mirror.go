package podmap

import (
	"cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// annotationMirror is, on the mirror of a static pod, the pod's UID at the kubelet.
const annotationMirror = "kubernetes.io/config.mirror"

// ID returns the ID of a pod's entity: its UID, and that of the static pod which it mirrors.
//
// Whoever makes a pod may write the annotation of a mirror. It is believed if the pod belongs to
// its node, as the mirrors do that kubelets make, and never with a UID as API servers make them:
// that would be another pod's.
func ID(p *object.Pod) string {
	mirrored := p.Meta.Annotations[annotationMirror]
	if mirrored == "" || isAPIUID(mirrored) || !ofNode(p) {
		return p.Meta.UID
	}
	return mirrored
}

// ofNode reports whether the node that a pod is on controls it.
func ofNode(p *object.Pod) bool {
	for _, o := range p.Meta.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			return o.Kind == "Node" && o.APIVersion == "v1" && o.Name == p.Spec.NodeName
		}
	}
	return false
}

// isAPIUID reports whether a UID looks like those that API servers make. A kubelet's is a hash.
func isAPIUID(uid string) bool {
	return len(uid) == 36 && uid[8] == '-' && uid[13] == '-' && uid[18] == '-' && uid[23] == '-'
}

// Mirrors knows mirrors by the static pod that each stands for, and by their own name.
type Mirrors map[string]map[string]Mapped

// Put takes a pod as it is now. One that is no mirror is none of them.
func (m Mirrors) Put(p Mapped) {
	if p.Pod.APIUID == "" {
		return
	}
	if m[p.Pod.ID] == nil {
		m[p.Pod.ID] = map[string]Mapped{}
	}
	m[p.Pod.ID][nameOf(p.Pod)] = p
}

// Drop takes the end of a pod. Another of its name may be there already.
func (m Mirrors) Drop(p *workloadmeta.KubernetesPod) {
	same := m[p.ID]
	if is, ok := same[nameOf(p)]; !ok || is.Pod.APIUID != p.APIUID {
		return
	}
	if delete(same, nameOf(p)); len(same) == 0 {
		delete(m, p.ID)
	}
}

// Of returns the mirror of a static pod. Of several the first one made counts: others come to take
// its place.
func (m Mirrors) Of(id string) (mirror Mapped, ok bool) {
	for _, p := range m[id] {
		if !ok || cmp.Or(p.Pod.CreationTimestamp.Compare(mirror.Pod.CreationTimestamp),
			cmp.Compare(p.Pod.APIUID, mirror.Pod.APIUID)) < 0 {
			mirror, ok = p, true
		}
	}
	return mirror, ok
}

func nameOf(p *workloadmeta.KubernetesPod) string { return p.Namespace + "/" + p.Name }
