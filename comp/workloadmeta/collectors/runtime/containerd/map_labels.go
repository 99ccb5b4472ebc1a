package containerd

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// Labels that nerdctl puts on its containers.
const (
	labelNerdctlName     = "nerdctl/name"
	labelNerdctlHostname = "nerdctl/hostname"
	labelNerdctlNetworks = "nerdctl/networks" // names, as JSON
	labelNerdctlPorts    = "nerdctl/ports"    // as JSON; until nerdctl 2.1
	labelNerdctlStateDir = "nerdctl/state-dir"
	labelNerdctlIP       = "nerdctl/ip" // if one was asked for
	labelNerdctlIPv6     = "nerdctl/ip6"
)

// Labels by which containerd's restart monitor knows what to start again.
const (
	labelRestartStatus  = "containerd.io/restart.status"
	labelRestartPolicy  = "containerd.io/restart.policy"
	labelRestartCount   = "containerd.io/restart.count"
	labelRestartStopped = "containerd.io/restart.explicitly-stopped"
)

// nerdctlNetworks returns the networks that a container was attached to.
func nerdctlNetworks(labels map[string]string) []string {
	text := labels[labelNerdctlNetworks]
	if text == "" {
		return nil
	}
	var names []string
	if json.Unmarshal([]byte(text), &names) != nil {
		return nil
	}
	return names
}

// nerdctlPort is a port that a container has published.
type nerdctlPort struct {
	HostPort      int
	ContainerPort int
	Protocol      string
}

// nerdctlPorts returns the ports that a container has published: from its label, or, since a label
// holds no more than 4096 bytes, from the file that newer versions keep.
func nerdctlPorts(m machine, id string, labels map[string]string) []workloadmeta.ContainerPort {
	var in []nerdctlPort
	if text := labels[labelNerdctlPorts]; text != "" {
		if mapping.LenientJSON(json.Unmarshal([]byte(text), &in)) != nil {
			return nil
		}
	} else if dir := labels[labelNerdctlStateDir]; dir != "" {
		var config struct{ PortMappings []nerdctlPort }
		text := m.stateFile(dir, id, "network-config.json")
		if len(text) == 0 || mapping.LenientJSON(json.Unmarshal(text, &config)) != nil {
			return nil
		}
		in = config.PortMappings
	}
	var out []workloadmeta.ContainerPort
	for _, p := range in {
		if len(out) < mapping.MaxPorts {
			out = append(out,
				workloadmeta.ContainerPort{Port: p.ContainerPort, Protocol: p.Protocol,
					HostPort: hostPort(p.HostPort)})
		}
	}
	return mapping.SortPorts(out)
}

// restartCount returns how often the restart monitor has started the container again.
func restartCount(text string) int {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

// restartPolicy says when the restart monitor starts the container again: "no", "always",
// "unless-stopped" or "on-failure".
func restartPolicy(labels map[string]string) string {
	// Only what is to run is started; a client that stops a container says so.
	if labels[labelRestartStatus] != "running" || labels[labelRestartStopped] == "true" {
		return "no"
	}
	policy, most, _ := strings.Cut(labels[labelRestartPolicy], ":")
	switch policy {
	case "":
		return "always"
	case "on-failure":
		if n := restartCount(most); n > 0 && restartCount(labels[labelRestartCount]) >= n {
			return "no" // as often as it was to be tried
		}
		return policy
	case "always", "unless-stopped":
		return policy
	}
	return "no"
}
