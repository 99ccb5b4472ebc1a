package docker

import (
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/gpu"
)

func mapNetworks(c *workloadmeta.Container, networks map[string]*network.EndpointSettings) {
	for name, endpoint := range networks {
		if endpoint == nil {
			continue
		}
		mapping.Put(&c.NetworkIPs, name, endpoint.IPAddress)
		mapping.Put(&c.NetworkIPv6s, name, endpoint.GlobalIPv6Address)
	}
}

func mapPorts(in *container.InspectResponse) []workloadmeta.ContainerPort {
	var published nat.PortMap
	if in.NetworkSettings != nil {
		published = in.NetworkSettings.Ports
	}
	var exposed nat.PortSet
	if in.Config != nil {
		exposed = in.Config.ExposedPorts
	}
	return mapping.Ports(published, exposed, func(b nat.PortBinding) string { return b.HostPort })
}

// mapResources returns requests and limits.
func mapResources(r *container.Resources) workloadmeta.ContainerResources {
	out := mapping.Limits{
		NanoCPUs: r.NanoCPUs, Quota: r.CPUQuota, Period: r.CPUPeriod,
		Shares: uint64(max(0, r.CPUShares)), Cpuset: r.CpusetCpus,
		Memory: r.Memory, MemoryReservation: r.MemoryReservation,
	}.Resources()
	for _, device := range r.DeviceRequests {
		mapGPU(&out, &device)
	}
	return out
}

// allGPUs is the number of all GPUs there are.
const allGPUs = -1

// mapGPU reads what docker run --gpus asks for. A count of -1 means all there are.
func mapGPU(out *workloadmeta.ContainerResources, device *container.DeviceRequest) {
	if !asksGPU(device) || device.Driver == driverCDI {
		return
	}
	vendor := device.Driver
	if vendor == "" {
		vendor = "nvidia" // the only vendor Docker picks by itself
	}
	if !slices.Contains(out.GPUVendorList, vendor) {
		out.GPUVendorList = append(out.GPUVendorList, vendor)
	}
	count := int64(max(device.Count, len(device.DeviceIDs)))
	switch {
	case device.Count < 0 && len(device.DeviceIDs) == 0:
		count = allGPUs
	case count == 0:
		return
	case out.GPULimit != nil && *out.GPULimit == allGPUs:
		return
	case out.GPULimit != nil:
		count += *out.GPULimit
	}
	out.GPULimit = &count
}

// askedDevices returns which devices docker run --gpus and --device ask for, as
// [mapping.SetDevices] takes them. A number of GPUs are the first ones.
func askedDevices(requests []container.DeviceRequest) (asked []string) {
	for _, device := range requests {
		if device.Driver != "" && device.Driver != gpu.VendorNVIDIA && device.Driver != driverCDI {
			continue
		}
		asked = append(asked, device.DeviceIDs...)
		if len(device.DeviceIDs) > 0 || !asksGPU(&device) {
			continue
		}
		if device.Count < 0 {
			asked = append(asked, gpu.All)
		}
		for i := range min(max(device.Count, 0), maxGPUs) {
			asked = append(asked, strconv.Itoa(i))
		}
	}
	return asked
}

// driverCDI is that of devices which are named as the Container Device Interface does.
const driverCDI = "cdi"

// maxGPUs bounds the GPUs of one container.
const maxGPUs = 256

func asksGPU(device *container.DeviceRequest) bool {
	return slices.ContainsFunc(device.Capabilities,
		func(all []string) bool { return slices.Contains(all, "gpu") })
}

func mapSecurity(h *container.HostConfig) *workloadmeta.ContainerSecurityContext {
	profile := workloadmeta.SeccompProfile{Type: mapping.SeccompDefault}
	for _, option := range h.SecurityOpt {
		name, value, ok := cutAny(option, "=:") // a colon until Docker 1.10
		if !ok || name != "seccomp" || value == "" {
			continue
		}
		switch {
		case value == "unconfined":
			profile = workloadmeta.SeccompProfile{Type: mapping.SeccompUnconfined}
		case value == "builtin":
			profile = workloadmeta.SeccompProfile{Type: mapping.SeccompDefault}
		case strings.HasPrefix(value, "{"): // the client sends the profile itself, not its path
			profile = workloadmeta.SeccompProfile{Type: mapping.SeccompLocalhost}
		default:
			profile = workloadmeta.SeccompProfile{Type: mapping.SeccompLocalhost,
				LocalhostProfile: value}
		}
	}
	return mapping.Security(h.Privileged, h.CapAdd, h.CapDrop, &profile)
}

func cutAny(s, separators string) (before, after string, ok bool) {
	if i := strings.IndexAny(s, separators); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
