package workloadmeta

import (
	"fmt"
	"strings"
)

// Kind says what sort of thing an entity is. The zero Kind is invalid.
type Kind uint8

// The kinds. Each has one Go type and one text form; the text form is what
// JSON, the command line and recordings use.
const (
	KindContainer            Kind = iota + 1 // container: *Container
	KindKubernetesPod                        // kubernetes_pod: *KubernetesPod
	KindKubernetesMetadata                   // kubernetes_metadata: *KubernetesMetadata
	KindKubernetesDeployment                 // kubernetes_deployment: *KubernetesDeployment
	KindKubernetesService                    // kubernetes_service: *KubernetesService
	KindECSTask                              // ecs_task: *ECSTask
	KindContainerImage                       // container_image_metadata: *ContainerImageMetadata
	KindProcess                              // process: *Process
	KindHost                                 // host: *Host
	KindGPU                                  // gpu: *GPU
	KindKubelet                              // kubelet: *Kubelet
	KindKubeletMetrics                       // kubelet_metrics: *KubeletMetrics
	KindKubeCapabilities                     // kubernetes_capabilities: *KubeCapabilities
	KindCRD                                  // crd: *CRD
	KindKueueQueue                           // kubernetes_kueue_queue: *KueueQueue
	// kubernetes_kueue_resource_flavor: *KueueResourceFlavor
	KindKueueResourceFlavor
	KindKueueWorkload // kubernetes_kueue_workload: *KueueWorkload

	kindEnd
)

// NumKinds is one more than the largest valid Kind; it sizes arrays indexed by Kind.
const NumKinds = int(kindEnd)

var kindNames = [NumKinds]string{
	KindContainer:            "container",
	KindKubernetesPod:        "kubernetes_pod",
	KindKubernetesMetadata:   "kubernetes_metadata",
	KindKubernetesDeployment: "kubernetes_deployment",
	KindKubernetesService:    "kubernetes_service",
	KindECSTask:              "ecs_task",
	KindContainerImage:       "container_image_metadata",
	KindProcess:              "process",
	KindHost:                 "host",
	KindGPU:                  "gpu",
	KindKubelet:              "kubelet",
	KindKubeletMetrics:       "kubelet_metrics",
	KindKubeCapabilities:     "kubernetes_capabilities",
	KindCRD:                  "crd",
	KindKueueQueue:           "kubernetes_kueue_queue",
	KindKueueResourceFlavor:  "kubernetes_kueue_resource_flavor",
	KindKueueWorkload:        "kubernetes_kueue_workload",
}

// Kinds lists every valid kind in declaration order. The caller owns the slice.
func Kinds() []Kind {
	kinds := make([]Kind, 0, NumKinds-1)
	for k := Kind(1); k < kindEnd; k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// Valid reports whether k is one of the declared kinds.
func (k Kind) Valid() bool { return k > 0 && k < kindEnd }

// String returns the text form, or "kind(N)" for an invalid kind.
func (k Kind) String() string {
	if !k.Valid() {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// ParseKind is the inverse of [Kind.String]. Its error names the unknown text
// and lists what is known.
func ParseKind(s string) (Kind, error) {
	for k := Kind(1); k < kindEnd; k++ {
		if kindNames[k] == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("unknown kind %q (known kinds: %s)", s, strings.Join(kindNames[1:], ", "))
}

// MarshalText implements [encoding.TextMarshaler].
func (k Kind) MarshalText() ([]byte, error) {
	if !k.Valid() {
		return nil, fmt.Errorf("invalid %s", k)
	}
	return []byte(kindNames[k]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (k *Kind) UnmarshalText(text []byte) error {
	parsed, err := ParseKind(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}
