package containerd

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/internal/runtimes"
)

// Keys under which the CRI plugin keeps its records with the containers that it makes.
const (
	extensionContainer = "io.cri-containerd.container.metadata"
	extensionSandbox   = "io.cri-containerd.sandbox.metadata"
)

// Labels and annotations of the CRI plugin and of the kubelet.
const (
	labelCRIKind           = "io.cri-containerd.kind" // container, sandbox
	annotationPorts        = "io.kubernetes.container.ports"
	annotationRestartCount = "io.kubernetes.container.restartCount"
	annotationCRIName      = "io.kubernetes.cri.container-name"
)

// criContainer is what is read of the CRI plugin's record of a container. The record also has all variables of the
// environment in it: there must be no field here that takes them.
type criContainer struct {
	Metadata struct {
		SandboxID string
		ImageRef  string // the ID of the image that the container was made of
		Config    struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Image struct {
				Image         string `json:"image"`
				UserSpecified string `json:"user_specified_image"`
			} `json:"image"`
			Annotations map[string]string `json:"annotations"`
			Linux       *struct {
				Resources *criResources `json:"resources"`
				Security  *criSecurity  `json:"security_context"`
			} `json:"linux"`
		}
	}
}

type criResources struct {
	Period int64  `json:"cpu_period"`
	Quota  int64  `json:"cpu_quota"`
	Shares int64  `json:"cpu_shares"`
	Memory int64  `json:"memory_limit_in_bytes"`
	Cpuset string `json:"cpuset_cpus"`
}

type criSecurity struct {
	Privileged   bool `json:"privileged"`
	Capabilities *struct {
		Add  []string `json:"add_capabilities"`
		Drop []string `json:"drop_capabilities"`
	} `json:"capabilities"`
	Seccomp *struct {
		Type      int    `json:"profile_type"`
		Localhost string `json:"localhost_ref"`
	} `json:"seccomp"`
}

// criSandbox is what is read of the CRI plugin's record of a pod's sandbox. It has all the pod's labels and annotations in it.
type criSandbox struct {
	Metadata struct {
		Config struct {
			Hostname string `json:"hostname"`
			Linux    struct {
				Security struct {
					Namespaces struct {
						Network int `json:"network"`
					} `json:"namespace_options"`
				} `json:"security_context"`
			} `json:"linux"`
		}
		IP            string
		AdditionalIPs []string
	}
}

// sandbox is what a pod's containers take from it.
type sandbox struct {
	hostname    string
	ips         []string
	hostNetwork bool
}

// networkNode is the CRI's word for the machine's own network.
const networkNode = 2

func decodeCRIContainer(text []byte) (*criContainer, error) {
	c := new(criContainer)
	if err := runtimes.LenientJSON(json.Unmarshal(text, c)); err != nil {
		return nil, fmt.Errorf("decode the CRI plugin's record: %w", err)
	}
	return c, nil
}

func decodeCRISandbox(text []byte) (*sandbox, error) {
	var in criSandbox
	if err := runtimes.LenientJSON(json.Unmarshal(text, &in)); err != nil {
		return nil, fmt.Errorf("decode the CRI plugin's record of a sandbox: %w", err)
	}
	m := &in.Metadata
	out := &sandbox{hostname: m.Config.Hostname, hostNetwork: m.Config.Linux.Security.Namespaces.Network == networkNode}
	for _, ip := range append([]string{m.IP}, m.AdditionalIPs...) {
		if a, err := netip.ParseAddr(ip); err == nil {
			out.ips = append(out.ips, a.String())
		}
	}
	return out, nil
}

func (r *criResources) limits() *runtimes.Limits {
	return &runtimes.Limits{Period: r.Period, Quota: r.Quota, Shares: uint64(max(r.Shares, 0)), Memory: r.Memory, Cpuset: r.Cpuset}
}

func (s *criSecurity) context() *workloadmeta.ContainerSecurityContext {
	out := &workloadmeta.ContainerSecurityContext{Privileged: s.Privileged}
	if c := s.Capabilities; c != nil && len(c.Add)+len(c.Drop) > 0 {
		out.Capabilities = &workloadmeta.Capabilities{Add: runtimes.Capabilities(c.Add), Drop: runtimes.Capabilities(c.Drop)}
	}
	switch {
	case s.Privileged:
		out.SeccompProfile = &workloadmeta.SeccompProfile{Type: "Unconfined"}
	case s.Seccomp == nil: // an older kubelet, or no word about it
	case s.Seccomp.Type == 0:
		out.SeccompProfile = &workloadmeta.SeccompProfile{Type: "RuntimeDefault"}
	case s.Seccomp.Type == 1:
		out.SeccompProfile = &workloadmeta.SeccompProfile{Type: "Unconfined"}
	case s.Seccomp.Type == 2:
		out.SeccompProfile = &workloadmeta.SeccompProfile{Type: "Localhost", LocalhostProfile: s.Seccomp.Localhost}
	}
	return out
}

// hostPort returns a port, or 0 for what is none.
func hostPort(n int) uint16 {
	if n <= 0 || n > 65535 {
		return 0
	}
	return uint16(n)
}
