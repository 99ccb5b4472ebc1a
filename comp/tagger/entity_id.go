package tagger

import (
	"fmt"
	"slices"
	"strings"
)

// EntityID names what tags are about: "<prefix>://<id>". The empty EntityID names
// nothing. Compare and store it as the string it is.
type EntityID string

// The prefixes of entity IDs.
const (
	// any container: runtime ID, Garden handle
	PrefixContainer      = "container_id"
	PrefixKubernetesPod  = "kubernetes_pod_uid"       // pod UID
	PrefixECSTask        = "ecs_task"                 // task ARN
	PrefixContainerImage = "container_image_metadata" // "sha256:…"
	PrefixDeployment     = "deployment"               // "<namespace>/<name>"
	// "<group>/<resource>/<namespace>/<name>"
	PrefixKubernetesMetadata  = "kubernetes_metadata"
	PrefixKubeService         = "kube_service" // "<namespace>/<name>"
	PrefixProcess             = "process"      // process ID
	PrefixHost                = "host"
	PrefixGPU                 = "gpu"     // device UUID
	PrefixKubelet             = "kubelet" // "kubelet-id"
	PrefixKubeletMetrics      = "kubelet_metrics"
	PrefixKubeCapabilities    = "kubernetes_capabilities"
	PrefixCRD                 = "crd"
	PrefixKueueQueue          = "kubernetes_kueue_queue"
	PrefixKueueResourceFlavor = "kueue_resource_flavor"
	PrefixKueueWorkload       = "kueue_workload"
	PrefixInternal            = "internal" // rollcall's own
)

var prefixes = []string{
	PrefixContainer, PrefixKubernetesPod, PrefixECSTask, PrefixContainerImage, PrefixDeployment,
	PrefixKubernetesMetadata, PrefixKubeService,
	PrefixProcess, PrefixHost, PrefixGPU, PrefixKubelet, PrefixKubeletMetrics,
	PrefixKubeCapabilities, PrefixCRD,
	PrefixKueueQueue, PrefixKueueResourceFlavor, PrefixKueueWorkload, PrefixInternal,
}

// GlobalEntityID holds the tags that everything on this machine carries.
const GlobalEntityID EntityID = PrefixInternal + "://global-entity-id"

const separator = "://"

// NewEntityID joins a prefix and an ID. An empty ID gives the empty EntityID, on which
// queries fail with [ErrEmptyEntityID]. A prefix that is not among the constants is a
// mistake of the caller and panics; use [ParseEntityID] for what comes from outside.
func NewEntityID(prefix, id string) EntityID {
	if !slices.Contains(prefixes, prefix) {
		panic("tagger: unknown entity ID prefix " + prefix)
	}
	if id == "" {
		return ""
	}
	return EntityID(prefix + separator + id)
}

// Container returns the ID of a container.
func Container(id string) EntityID { return NewEntityID(PrefixContainer, id) }

// KubernetesPod returns the ID of a pod.
func KubernetesPod(uid string) EntityID { return NewEntityID(PrefixKubernetesPod, uid) }

// ParseEntityID checks the form and the prefix of an ID that comes from outside. Its
// error names the offending part.
func ParseEntityID(s string) (EntityID, error) {
	prefix, id, ok := strings.Cut(s, separator)
	switch {
	case s == "":
		return "", ErrEmptyEntityID
	case !ok:
		return "", fmt.Errorf(
			"entity ID %q: no %q (want <prefix>://<id>, such as container_id://3f0c…)", s,
			separator)
	case !slices.Contains(prefixes, prefix):
		return "", fmt.Errorf("entity ID %q: unknown prefix %q (known prefixes: %s)", s, prefix,
			strings.Join(prefixes, ", "))
	case id == "":
		return "", fmt.Errorf("entity ID %q: nothing after %q", s, separator)
	}
	return EntityID(s), nil
}

// Prefix returns the part before the first "://", or "" if there is none.
func (id EntityID) Prefix() string {
	prefix, _, ok := strings.Cut(string(id), separator)
	if !ok {
		return ""
	}
	return prefix
}

// ID returns the part after the first "://", or "" if there is none.
func (id EntityID) ID() string {
	_, rest, _ := strings.Cut(string(id), separator)
	return rest
}
