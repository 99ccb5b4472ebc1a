package extract

import (
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// gpuTags adds the tags of a GPU, for itself or for a process that computes on it.
func gpuTags(b *builder, g *workloadmeta.GPU) {
	b.add(ruleGPUVendorTag, strings.ToLower(g.Vendor))
	b.add(ruleGPUDevice, strings.ReplaceAll(strings.ToLower(g.Device), " ", "_"))
	b.add(ruleGPUUUID, strings.ToLower(g.ID))
	b.add(ruleGPUDriver, g.DriverVersion)
	b.add(ruleGPUVirtualization, g.VirtualizationMode)
	b.add(ruleGPUArchitecture, strings.ToLower(g.Architecture))
	b.add(ruleGPUType, strings.ToLower(g.GPUType))
	slicing := "none"
	if g.DeviceType == workloadmeta.GPUDeviceMIG || len(g.ChildrenGPUUUIDs) > 0 {
		slicing = "mig"
	}
	b.add(ruleGPUSlicing, slicing)
	parent := g.ParentGPUUUID
	if parent == "" {
		parent = g.ID
	}
	b.add(ruleGPUParent, strings.ToLower(parent))
	b.add(ruleGPUPCI, strings.ToLower(g.PCIBusID))
}
