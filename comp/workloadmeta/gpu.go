package workloadmeta

import "slices"

// GPU is a graphics processor or a slice of one. Its ID is the device's UUID, for
// a slice the slice's own.
type GPU struct {
	EntityID
	EntityMeta
	Vendor string `json:"vendor,omitempty"`
	// commercial name, as the driver gives it
	Device string `json:"device,omitempty"`
	// normalised model, such as a100
	GPUType string `json:"gpu_type,omitempty"`
	// position on the host; not stable
	Index             int               `json:"index,omitempty"`
	Architecture      string            `json:"architecture,omitempty"`
	ComputeCapability ComputeCapability `json:"compute_capability,omitzero"`
	TotalCores        int               `json:"total_cores,omitempty"`
	TotalMemory       uint64            `json:"total_memory,omitempty"` // bytes
	// MHz: processor, memory
	MaxClockRates      [2]uint32     `json:"max_clock_rates,omitzero"`
	MemoryBusWidth     uint32        `json:"memory_bus_width,omitempty"` // bits
	DriverVersion      string        `json:"driver_version,omitempty"`
	VirtualizationMode string        `json:"virtualization_mode,omitempty"`
	DeviceType         GPUDeviceType `json:"device_type,omitempty"`
	ParentGPUUUID      string        `json:"parent_gpu_uuid,omitempty"`
	ChildrenGPUUUIDs   []string      `json:"children_gpu_uuids,omitempty"`
	ActivePIDs         []int         `json:"active_pids,omitempty"`
	Healthy            bool          `json:"healthy,omitempty"`
	PCIBusID           string        `json:"pci_bus_id,omitempty"`
	// DynamicName is what dynamic resource allocation calls it: see [DynamicDeviceName].
	DynamicName string `json:"dynamic_name,omitempty"`
}

// DynamicDeviceName returns the name of a device of dynamic resource allocation:
// "<driver>/<pool>/<device>".
func DynamicDeviceName(driver, pool, device string) string {
	return driver + "/" + pool + "/" + device
}

// ComputeCapability is the generation of the instruction set.
type ComputeCapability struct {
	Major int `json:"major,omitempty"`
	Minor int `json:"minor,omitempty"`
}

// GPUDeviceType tells whole devices from slices.
type GPUDeviceType string

// Device types.
const (
	GPUDevicePhysical GPUDeviceType = "physical"
	GPUDeviceMIG      GPUDeviceType = "mig"
)

// Equal implements [Entity].
func (g *GPU) Equal(other Entity) bool {
	o, ok := other.(*GPU)
	return ok && (g == o || g.EntityID == o.EntityID && g.EntityMeta.equal(&o.EntityMeta) &&
		g.Vendor == o.Vendor && g.Device == o.Device && g.GPUType == o.GPUType &&
		g.Index == o.Index &&
		g.Architecture == o.Architecture && g.ComputeCapability == o.ComputeCapability &&
		g.TotalCores == o.TotalCores &&
		g.TotalMemory == o.TotalMemory && g.MaxClockRates == o.MaxClockRates &&
		g.MemoryBusWidth == o.MemoryBusWidth &&
		g.DriverVersion == o.DriverVersion && g.VirtualizationMode == o.VirtualizationMode &&
		g.DeviceType == o.DeviceType &&
		g.ParentGPUUUID == o.ParentGPUUUID &&
		slices.Equal(g.ChildrenGPUUUIDs, o.ChildrenGPUUUIDs) &&
		slices.Equal(g.ActivePIDs, o.ActivePIDs) && g.Healthy == o.Healthy &&
		g.PCIBusID == o.PCIBusID && g.DynamicName == o.DynamicName)
}

func (g *GPU) merged(views *views) Entity {
	out := &GPU{EntityID: g.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*GPU)
		out.EntityMeta.fill(&v.EntityMeta)
		fill(&out.Vendor, v.Vendor)
		fill(&out.Device, v.Device)
		fill(&out.GPUType, v.GPUType)
		fill(&out.Index, v.Index)
		fill(&out.Architecture, v.Architecture)
		fill(&out.ComputeCapability, v.ComputeCapability)
		fill(&out.TotalCores, v.TotalCores)
		fill(&out.TotalMemory, v.TotalMemory)
		fill(&out.MaxClockRates, v.MaxClockRates)
		fill(&out.MemoryBusWidth, v.MemoryBusWidth)
		fill(&out.DriverVersion, v.DriverVersion)
		fill(&out.VirtualizationMode, v.VirtualizationMode)
		fill(&out.DeviceType, v.DeviceType)
		fill(&out.ParentGPUUUID, v.ParentGPUUUID)
		fillList(&out.ChildrenGPUUUIDs, v.ChildrenGPUUUIDs)
		fill(&out.PCIBusID, v.PCIBusID)
		fill(&out.DynamicName, v.DynamicName)
	}
	// The list is a snapshot of one moment; two moments do not add up.
	best, _ := observer(views,
		func(g *GPU) bool { return g.Device != "" || g.Healthy || len(g.ActivePIDs) > 0 })
	out.Healthy, out.ActivePIDs = best.Healthy, best.ActivePIDs
	return out
}
