package workloadmeta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// KubeletID is the ID of the only kubelet entity.
const KubeletID = "kubelet-id"

// Kubelet is this node's kubelet. Its ID is [KubeletID].
type Kubelet struct {
	EntityID
	EntityMeta
	Config json.RawMessage `json:"config,omitempty"` // the kubelet's /configz document
}

// CPUManagerPolicy returns "none", "static" or "unknown". Anything else in the
// configuration, or none at all, is "unknown" with an error.
func (k *Kubelet) CPUManagerPolicy() (string, error) {
	var config struct {
		KubeletConfig *struct {
			CPUManagerPolicy *string `json:"cpuManagerPolicy"`
		} `json:"kubeletconfig"`
	}
	if len(k.Config) == 0 {
		return "unknown", errors.New("kubelet configuration: not known")
	}
	if err := json.Unmarshal(k.Config, &config); err != nil {
		return "unknown", fmt.Errorf("kubelet configuration: %w", err)
	}
	if config.KubeletConfig == nil || config.KubeletConfig.CPUManagerPolicy == nil {
		return "unknown", errors.New("kubelet configuration: no kubeletconfig.cpuManagerPolicy")
	}
	switch p := *config.KubeletConfig.CPUManagerPolicy; p {
	case "none", "static":
		return p, nil
	default:
		return "unknown", fmt.Errorf("kubelet configuration: unknown cpuManagerPolicy %q", p)
	}
}

// Equal implements [Entity].
func (k *Kubelet) Equal(other Entity) bool {
	o, ok := other.(*Kubelet)
	return ok &&
		(k == o || k.EntityID == o.EntityID && k.EntityMeta.equal(&o.EntityMeta) &&
			equalDocuments(k.Config, o.Config))
}

// equalDocuments compares JSON documents without the blanks that mean nothing.
func equalDocuments(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, ok := compact(a)
	y, also := compact(b)
	return ok && also && bytes.Equal(x, y)
}

func (k *Kubelet) merged(views *views) Entity {
	out := &Kubelet{EntityID: k.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*Kubelet)
		out.EntityMeta.fill(&v.EntityMeta)
		if len(out.Config) == 0 {
			out.Config = v.Config
		}
	}
	return out
}

// KubeletMetrics are figures the kubelet reports about itself. It never has tags.
type KubeletMetrics struct {
	EntityID
	EntityMeta
	Metrics map[string]float64 `json:"metrics,omitempty"` // metric name → latest value
}

// Equal implements [Entity].
func (k *KubeletMetrics) Equal(other Entity) bool {
	o, ok := other.(*KubeletMetrics)
	return ok &&
		(k == o || k.EntityID == o.EntityID && k.EntityMeta.equal(&o.EntityMeta) &&
			equalMaps(k.Metrics, o.Metrics))
}

func (k *KubeletMetrics) merged(views *views) Entity {
	out := &KubeletMetrics{EntityID: k.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KubeletMetrics)
		out.EntityMeta.fill(&v.EntityMeta)
		fillMap(&out.Metrics, v.Metrics)
	}
	return out
}

// KubeCapabilities says what the cluster can do.
type KubeCapabilities struct {
	EntityID
	EntityMeta
	ServerVersion string `json:"server_version,omitempty"`
}

// Equal implements [Entity].
func (k *KubeCapabilities) Equal(other Entity) bool {
	o, ok := other.(*KubeCapabilities)
	return ok &&
		(k == o || k.EntityID == o.EntityID && k.EntityMeta.equal(&o.EntityMeta) &&
			k.ServerVersion == o.ServerVersion)
}

func (k *KubeCapabilities) merged(views *views) Entity {
	out := &KubeCapabilities{EntityID: k.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KubeCapabilities)
		out.EntityMeta.fill(&v.EntityMeta)
		fill(&out.ServerVersion, v.ServerVersion)
	}
	return out
}

// CRD is a custom resource definition.
type CRD struct {
	EntityID
	EntityMeta
	Group        string `json:"group,omitempty"`
	ResourceKind string `json:"resource_kind,omitempty"` // "kind" is taken by the entity's own
	Version      string `json:"version,omitempty"`
}

// Equal implements [Entity].
func (c *CRD) Equal(other Entity) bool {
	o, ok := other.(*CRD)
	return ok && (c == o || c.EntityID == o.EntityID && c.EntityMeta.equal(&o.EntityMeta) &&
		c.Group == o.Group && c.ResourceKind == o.ResourceKind && c.Version == o.Version)
}

func (c *CRD) merged(views *views) Entity {
	out := &CRD{EntityID: c.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*CRD)
		out.EntityMeta.fill(&v.EntityMeta)
		fill(&out.Group, v.Group)
		fill(&out.ResourceKind, v.ResourceKind)
		fill(&out.Version, v.Version)
	}
	return out
}
