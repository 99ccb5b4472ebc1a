package mapping

import (
	"maps"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Labels that the kubelet and the runtimes below it put on containers and sandboxes.
const (
	LabelPodUID        = "io.kubernetes.pod.uid"
	LabelPodName       = "io.kubernetes.pod.name"
	LabelPodNamespace  = "io.kubernetes.pod.namespace"
	LabelContainerName = "io.kubernetes.container.name"

	labelDockerType = "io.kubernetes.docker.type" // of the Docker shims: container, podsandbox
	// of containerd's CRI plugin: container, sandbox
	LabelContainerdKind = "io.cri-containerd.kind"
)

// Owner returns the pod that Kubernetes' labels name, or nil. For a static pod it is the hash that
// the kubelet uses as well.
func Owner(labels map[string]string) *workloadmeta.EntityID {
	if uid := labels[LabelPodUID]; uid != "" {
		return &workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: uid}
	}
	return nil
}

// IsSandbox reports whether the labels are those of a pod's sandbox: some runtimes say so, others
// give a sandbox the pod's labels but not the container's.
func IsSandbox(labels map[string]string) bool {
	if labels[labelDockerType] == "podsandbox" || labels[LabelContainerdKind] == "sandbox" ||
		labels[LabelContainerName] == "POD" {
		return true
	}
	_, pod := labels[LabelPodName]
	_, name := labels[LabelContainerName]
	return pod && !name
}

// lastApplied is the annotation in which kubectl keeps the whole manifest of a pod, with the plain
// values of its environment. Kubernetes' Docker shims make it a label of the pod's sandbox, with
// "annotation." before it.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Metadata copies labels or annotations without what may hold secrets; nil if nothing is left.
func Metadata(in map[string]string) map[string]string {
	out := maps.Clone(in)
	maps.DeleteFunc(out, func(key, _ string) bool { return strings.HasSuffix(key, lastApplied) })
	return NilIfEmpty(out)
}

// NilIfEmpty returns m, or nil if there is nothing in it.
func NilIfEmpty(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// Put sets a key of a map that may be nil, if there is a value.
func Put(m *map[string]string, key, value string) {
	if value == "" {
		return
	}
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}
