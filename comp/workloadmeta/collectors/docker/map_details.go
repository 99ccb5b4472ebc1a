package docker

import (
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/internal/runtimes"
)

func mapNetworks(c *workloadmeta.Container, networks map[string]*network.EndpointSettings) {
	for name, endpoint := range networks {
		if endpoint == nil {
			continue
		}
		runtimes.Put(&c.NetworkIPs, name, endpoint.IPAddress)
		runtimes.Put(&c.NetworkIPv6s, name, endpoint.GlobalIPv6Address)
	}
}

// mapPorts returns a container's ports with those of the host they are published on, in order. A container that
// does not run has only what its image exposes.
func mapPorts(in *container.InspectResponse) []workloadmeta.ContainerPort {
	var ports []workloadmeta.ContainerPort
	add := func(key nat.Port, bindings []nat.PortBinding) {
		first, last, protocol := runtimes.PortRange(string(key))
		for port := first; port <= last && first > 0 && len(ports) < runtimes.MaxPorts; port++ {
			p := workloadmeta.ContainerPort{Port: port, Protocol: protocol}
			before := len(ports)
			// One binding for each address family names the same port twice; runtimes.SortPorts removes the double.
			for _, binding := range bindings {
				if host, err := strconv.ParseUint(binding.HostPort, 10, 16); err == nil && host > 0 {
					p.HostPort = uint16(host)
					ports = append(ports, p)
				}
			}
			if len(ports) == before {
				ports = append(ports, p)
			}
		}
	}
	if in.NetworkSettings != nil {
		for key, bindings := range in.NetworkSettings.Ports {
			add(key, bindings)
		}
	}
	if len(ports) == 0 && in.Config != nil {
		for key := range in.Config.ExposedPorts {
			add(key, nil)
		}
	}
	return runtimes.SortPorts(ports)
}

// mapResources returns requests and limits.
func mapResources(r *container.Resources) workloadmeta.ContainerResources {
	out := runtimes.Limits{
		NanoCPUs: r.NanoCPUs, Quota: r.CPUQuota, Period: r.CPUPeriod, Shares: uint64(max(0, r.CPUShares)), Cpuset: r.CpusetCpus,
		Memory: r.Memory, MemoryReservation: r.MemoryReservation,
	}.Resources()
	for _, device := range r.DeviceRequests {
		mapGPU(&out, &device)
	}
	return out
}

// mapGPU reads what docker run --gpus asks for. A count of -1 means all there are, which is no number.
func mapGPU(out *workloadmeta.ContainerResources, device *container.DeviceRequest) {
	if !slices.ContainsFunc(device.Capabilities, func(all []string) bool { return slices.Contains(all, "gpu") }) {
		return
	}
	vendor := device.Driver
	if vendor == "" {
		vendor = "nvidia" // the only vendor Docker picks by itself
	}
	if !slices.Contains(out.GPUVendorList, vendor) {
		out.GPUVendorList = append(out.GPUVendorList, vendor)
	}
	count := max(device.Count, len(device.DeviceIDs))
	if count > 0 {
		total := uint64(count)
		if out.GPULimit != nil {
			total += *out.GPULimit
		}
		out.GPULimit = &total
	}
}

func mapSecurity(h *container.HostConfig) *workloadmeta.ContainerSecurityContext {
	s := &workloadmeta.ContainerSecurityContext{
		Privileged:     h.Privileged,
		SeccompProfile: &workloadmeta.SeccompProfile{Type: "RuntimeDefault"},
	}
	if len(h.CapAdd)+len(h.CapDrop) > 0 {
		s.Capabilities = &workloadmeta.Capabilities{Add: runtimes.Capabilities(h.CapAdd), Drop: runtimes.Capabilities(h.CapDrop)}
	}
	for _, option := range h.SecurityOpt {
		name, value, ok := cutAny(option, "=:") // a colon until Docker 1.10
		if !ok || name != "seccomp" {
			continue
		}
		switch {
		case value == "unconfined":
			*s.SeccompProfile = workloadmeta.SeccompProfile{Type: "Unconfined"}
		case value == "builtin":
			*s.SeccompProfile = workloadmeta.SeccompProfile{Type: "RuntimeDefault"}
		case strings.HasPrefix(value, "{"): // the client sends the profile itself, not its path
			*s.SeccompProfile = workloadmeta.SeccompProfile{Type: "Localhost"}
		default:
			*s.SeccompProfile = workloadmeta.SeccompProfile{Type: "Localhost", LocalhostProfile: value}
		}
	}
	if h.Privileged {
		*s.SeccompProfile = workloadmeta.SeccompProfile{Type: "Unconfined"}
	}
	return s
}

func cutAny(s, separators string) (before, after string, ok bool) {
	if i := strings.IndexAny(s, separators); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
