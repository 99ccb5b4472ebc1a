package containerd

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// Keys under which the CRI plugin keeps its records with the containers that it makes.
const (
	extensionContainer = "io.cri-containerd.container.metadata"
	extensionSandbox   = "io.cri-containerd.sandbox.metadata"
)

// Labels and annotations of the CRI plugin and of the kubelet.
const (
	labelCRIKind      = mapping.LabelContainerdKind // container, sandbox
	annotationCRIName = "io.kubernetes.cri.container-name"
)

// criContainer is what is read of the CRI plugin's record of a container. The record also has all
// variables of the environment in it: there must be no field here that takes them.
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
			Annotations map[string]string   `json:"annotations"`
			Devices     []mapping.CRIDevice `json:"CDI_devices"`
			Linux       *struct {
				Resources *mapping.CRIResources `json:"resources"`
				Security  *mapping.CRISecurity  `json:"security_context"`
			} `json:"linux"`
		}
	}
}

// criSandbox is what is read of the CRI plugin's record of a pod's sandbox. It has all the pod's
// labels and annotations in it.
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
	if err := mapping.LenientJSON(json.Unmarshal(text, c)); err != nil {
		return nil, fmt.Errorf("decode the CRI plugin's record: %w", err)
	}
	return c, nil
}

func decodeCRISandbox(text []byte) (*sandbox, error) {
	var in criSandbox
	if err := mapping.LenientJSON(json.Unmarshal(text, &in)); err != nil {
		return nil, fmt.Errorf("decode the CRI plugin's record of a sandbox: %w", err)
	}
	m := &in.Metadata
	out := &sandbox{hostname: m.Config.Hostname,
		hostNetwork: m.Config.Linux.Security.Namespaces.Network == networkNode}
	for _, ip := range append([]string{m.IP}, m.AdditionalIPs...) {
		if a, err := netip.ParseAddr(ip); err == nil {
			out.ips = append(out.ips, a.String())
		}
	}
	return out, nil
}

// hostPort returns a port, or 0 for what is none.
func hostPort(n int) uint16 {
	if n <= 0 || n > 65535 {
		return 0
	}
	return uint16(n)
}
