package docker

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func mapNetworks(c *workloadmeta.Container, networks map[string]*network.EndpointSettings) {
	for name, endpoint := range networks {
		if endpoint == nil {
			continue
		}
		put(&c.NetworkIPs, name, endpoint.IPAddress)
		put(&c.NetworkIPv6s, name, endpoint.GlobalIPv6Address)
	}
}

// put sets a key of a map that may be nil, if there is a value.
func put(m *map[string]string, key, value string) {
	if value == "" {
		return
	}
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}

// maxPorts bounds the ports of one container: ranges make it easy to expose them all.
const maxPorts = 4096

// mapPorts returns a container's ports with those of the host they are published on, in order. A container that
// does not run has only what its image exposes.
func mapPorts(in *container.InspectResponse) []workloadmeta.ContainerPort {
	var ports []workloadmeta.ContainerPort
	add := func(key nat.Port, bindings []nat.PortBinding) {
		first, last, protocol := portRange(string(key))
		for port := first; port <= last && first > 0 && len(ports) < maxPorts; port++ {
			p := workloadmeta.ContainerPort{Port: port, Protocol: protocol}
			before := len(ports)
			// One binding for each address family names the same port twice; sortPorts removes the double.
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
	return sortPorts(ports)
}

func comparePorts(a, b workloadmeta.ContainerPort) int {
	return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.HostPort, b.HostPort))
}

// portRange reads "80/tcp", "80" or "8000-8005/udp". What is no port gives 0.
func portRange(key string) (first, last int, protocol string) {
	numbers, protocol, ok := strings.Cut(key, "/")
	if !ok {
		protocol = "tcp"
	}
	low, high, isRange := strings.Cut(numbers, "-")
	if !isRange {
		high = low
	}
	a, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return 0, 0, ""
	}
	b, err := strconv.ParseUint(high, 10, 16)
	if err != nil || b < a {
		return 0, 0, ""
	}
	return int(a), int(b), protocol
}

// noMemoryLimit is from where on a limit means none: cgroup v1 stores "unlimited" as the largest multiple of a page.
const noMemoryLimit = math.MaxInt64 - 4095

// mapResources returns requests and limits. Of several CPU limits the tightest holds.
func mapResources(r *container.Resources) workloadmeta.ContainerResources {
	var out workloadmeta.ContainerResources
	limit := func(percent float64) {
		if percent > 0 && (out.CPULimit == nil || percent < *out.CPULimit) {
			out.CPULimit = &percent
		}
	}
	limit(float64(r.NanoCPUs) / 1e9 * 100)
	period := r.CPUPeriod
	if period <= 0 {
		period = 100_000 // microseconds, the kernel's default
	}
	limit(float64(r.CPUQuota) / float64(period) * 100)
	limit(float64(cpusetSize(r.CpusetCpus)) * 100)
	// 2 is the least weight the kernel takes, and what "no request" becomes in Kubernetes.
	if r.CPUShares > 2 {
		request := float64(r.CPUShares) / 1024 * 100
		out.CPURequest = &request
	}
	if r.Memory > 0 && r.Memory < noMemoryLimit {
		bytes := uint64(r.Memory)
		out.MemoryLimit = &bytes
	}
	if r.MemoryReservation > 0 && r.MemoryReservation < noMemoryLimit {
		bytes := uint64(r.MemoryReservation)
		out.MemoryRequest = &bytes
	}
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

// cpusetSize counts the CPUs in a list such as "0-3,7"; a list that cannot be read counts as none.
func cpusetSize(list string) int {
	if list == "" {
		return 0
	}
	n := 0
	for item := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(item), "-")
		if !isRange {
			high = low
		}
		a, errA := strconv.ParseUint(low, 10, 16)
		b, errB := strconv.ParseUint(high, 10, 16)
		if errA != nil || errB != nil || b < a {
			return 0
		}
		n += int(b-a) + 1
	}
	return n
}

func mapSecurity(h *container.HostConfig) *workloadmeta.ContainerSecurityContext {
	s := &workloadmeta.ContainerSecurityContext{
		Privileged:     h.Privileged,
		SeccompProfile: &workloadmeta.SeccompProfile{Type: "RuntimeDefault"},
	}
	if len(h.CapAdd)+len(h.CapDrop) > 0 {
		s.Capabilities = &workloadmeta.Capabilities{Add: capabilities(h.CapAdd), Drop: capabilities(h.CapDrop)}
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

// capabilities returns names as Kubernetes spells them: NET_ADMIN, without the prefix that some clients send.
func capabilities(names []string) []string {
	var out []string
	for _, name := range names {
		out = append(out, strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
