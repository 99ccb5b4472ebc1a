package mapping

import "github.com/rollcall-dev/rollcall/comp/workloadmeta"

// What a kubelet asks for with a container, in the JSON that containerd keeps and tells.

// CRIResources are a container's resources.
type CRIResources struct {
	Period int64  `json:"cpu_period"`
	Quota  int64  `json:"cpu_quota"`
	Shares int64  `json:"cpu_shares"`
	Memory int64  `json:"memory_limit_in_bytes"`
	Cpuset string `json:"cpuset_cpus"`
}

// Limits returns the resources as limits.
func (r *CRIResources) Limits() Limits {
	return Limits{Period: r.Period, Quota: r.Quota, Shares: uint64(max(r.Shares, 0)),
		Memory: r.Memory, Cpuset: r.Cpuset}
}

// CRIDevice is a device of the Container Device Interface.
type CRIDevice struct {
	Name string `json:"name"`
}

// CRIDevices returns the names of devices.
func CRIDevices(devices []CRIDevice) (names []string) {
	for _, d := range devices {
		names = append(names, d.Name)
	}
	return names
}

// CRISecurity is a container's security context.
type CRISecurity struct {
	Privileged   bool `json:"privileged"`
	Capabilities struct {
		Add  []string `json:"add_capabilities"`
		Drop []string `json:"drop_capabilities"`
	} `json:"capabilities"`
	Seccomp *struct { // nil for an older kubelet, or if there is no word about it
		Type profileType `json:"profile_type"`
		Ref  string      `json:"localhost_ref"`
	} `json:"seccomp"`
}

// profileType is a number in what Go's JSON library writes, and a name elsewhere. Left out it is
// that of the default; what is not known is "?".
type profileType string

func (p *profileType) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "0", `"RuntimeDefault"`:
		*p = SeccompDefault
	case "1", `"Unconfined"`:
		*p = SeccompUnconfined
	case "2", `"Localhost"`:
		*p = SeccompLocalhost
	default:
		*p = "?"
	}
	return nil
}

// Context returns the security context that was asked for.
func (s *CRISecurity) Context() *workloadmeta.ContainerSecurityContext {
	var profile *workloadmeta.SeccompProfile
	if in := s.Seccomp; in != nil {
		switch in.Type {
		case "", SeccompDefault:
			profile = &workloadmeta.SeccompProfile{Type: SeccompDefault}
		case SeccompUnconfined:
			profile = &workloadmeta.SeccompProfile{Type: SeccompUnconfined}
		case SeccompLocalhost:
			profile = &workloadmeta.SeccompProfile{Type: SeccompLocalhost, LocalhostProfile: in.Ref}
		}
	}
	return Security(s.Privileged, s.Capabilities.Add, s.Capabilities.Drop, profile)
}
