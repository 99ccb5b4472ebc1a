package extract

import (
	"strconv"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/gpu"
)

// gpuTags adds the tags of a GPU, for itself or for a container or process that uses it.
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

// containerGPUs adds the tags of a container's GPUs, as far as these are known.
func containerGPUs(b *builder, c *workloadmeta.Container) {
	add := func(list []*workloadmeta.GPU) {
		for _, g := range list {
			b.cite(g)
			gpuTags(b, g)
			b.cite(c)
		}
	}
	for _, name := range c.GPUDeviceIDs {
		add(gpusMeant(b.lookup, name))
	}
	for i := range c.AllocatedResources {
		if d := &c.AllocatedResources[i]; d.Pool != "" {
			add(gpusFound(b.lookup, workloadmeta.DynamicDeviceName(d.Name, d.Pool, d.ID)))
		}
	}
}

// gpusFound returns the GPUs that have one of the names that [namesOf] returns.
func gpusFound(lookup Lookup, name string) (list []*workloadmeta.GPU) {
	for _, e := range lookup.Find(meaning(name)) {
		if g, ok := e.(*workloadmeta.GPU); ok {
			list = append(list, g)
		}
	}
	return list
}

// gpusMeant returns the GPUs that a container means by a UUID, "all", a position on the machine, or
// the position of a slice behind that of its GPU: "0:1".
func gpusMeant(lookup Lookup, name string) (list []*workloadmeta.GPU) {
	whole, slice, ofSlice := strings.Cut(name, ":")
	if name != gpu.All && (!isPosition(whole) || ofSlice && !isPosition(slice)) {
		if g, ok := find[*workloadmeta.GPU](lookup, workloadmeta.KindGPU, name); ok {
			list = append(list, g)
		}
		return list
	}
	for _, g := range gpusFound(lookup, whole) {
		ok := true
		if i, err := strconv.Atoi(slice); ofSlice {
			if ok = err == nil && i < len(g.ChildrenGPUUUIDs); ok {
				g, ok = find[*workloadmeta.GPU](lookup, workloadmeta.KindGPU, g.ChildrenGPUUUIDs[i])
			}
		}
		if ok {
			list = append(list, g)
		}
	}
	return list
}

// namesOf returns what [gpusMeant] finds a GPU by, but for its UUID. All are those that can be
// computed on: slices, but not what is cut into slices. One that dynamic resource allocation has is
// given away by that, and its position may not be known.
func namesOf(g *workloadmeta.GPU) (names []string) {
	if g.DynamicName != "" {
		names = append(names, g.DynamicName)
	}
	if !strings.EqualFold(g.Vendor, gpu.VendorNVIDIA) {
		return names
	}
	if len(g.ChildrenGPUUUIDs) == 0 {
		names = append(names, gpu.All)
	}
	if g.DeviceType != workloadmeta.GPUDeviceMIG && g.DynamicName == "" {
		names = append(names, strconv.Itoa(g.Index))
	}
	return names
}

func meaning(name string) Query {
	return Query{Means, workloadmeta.EntityID{Kind: workloadmeta.KindGPU, ID: name}}
}

func isPosition(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
