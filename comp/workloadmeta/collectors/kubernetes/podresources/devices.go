package podresources

import (
	"cmp"
	"slices"
	"strings"

	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/cdi"
	"github.com/rollcall-dev/rollcall/pkg/gpu"
)

// devices are what the kubelet has given to a container.
type devices struct {
	list          []workloadmeta.ContainerAllocatedResource // sorted, without doubles
	gpus, vendors []string
	plugin        bool // there is one of a device plugin
	dynamic       bool // there is one of dynamic resource allocation
	cores         bool // it has CPUs for itself
}

// devicesOf maps what the kubelet tells of a container; nil if that has no devices.
func devicesOf(c *podresourcesv1.ContainerResources) *devices {
	d := &devices{cores: len(c.GetCpuIds()) > 0}
	for _, of := range c.GetDevices() {
		name := of.GetResourceName()
		// NVIDIA's plugin may say in the name that containers share the device.
		vendor, isGPU := gpu.VendorFromResourceName(strings.TrimSuffix(name, ".shared"))
		if isGPU {
			d.vendors = append(d.vendors, vendor)
		}
		for _, id := range of.GetDeviceIds() {
			if id == "" || name == "" {
				continue
			}
			d.plugin = true
			d.list = append(d.list, workloadmeta.ContainerAllocatedResource{Name: name, ID: id,
				NUMANodes: nodesOf(of.GetTopology())})
			if vendor == gpu.VendorNVIDIA {
				d.gpus = append(d.gpus, gpu.PluginDevice(id))
			}
		}
	}
	for _, claim := range c.GetDynamicResources() {
		for _, of := range claim.GetClaimResources() {
			if of.GetDriverName() == "" || of.GetDeviceName() == "" {
				continue
			}
			d.dynamic = true
			if vendor, ok := gpu.VendorFromDriver(of.GetDriverName()); ok {
				d.vendors = append(d.vendors, vendor)
			}
			device := workloadmeta.ContainerAllocatedResource{Name: of.GetDriverName(),
				ID: of.GetDeviceName(), Pool: of.GetPoolName()}
			for _, named := range of.GetCdiDevices() {
				device.CDIDevices = append(device.CDIDevices, named.GetName())
				if name, ok := cdi.Parse(named.GetName()); ok {
					if id, ok := gpu.NVIDIADevice(name); ok {
						d.gpus = append(d.gpus, id)
					}
				}
			}
			d.list = append(d.list, device)
		}
	}
	if len(d.list) == 0 && !d.cores {
		return nil
	}
	slices.SortStableFunc(d.list, func(a, b workloadmeta.ContainerAllocatedResource) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Pool, b.Pool),
			cmp.Compare(a.ID, b.ID))
	})
	d.list = slices.CompactFunc(d.list, same)
	d.gpus, d.vendors = distinct(d.gpus), distinct(d.vendors)
	return d
}

func same(a, b workloadmeta.ContainerAllocatedResource) bool {
	return a.Name == b.Name && a.ID == b.ID && a.Pool == b.Pool
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func nodesOf(t *podresourcesv1.TopologyInfo) (nodes []int) {
	for _, n := range t.GetNodes() {
		nodes = append(nodes, int(n.GetID()))
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// has reports whether all devices of another are among them.
func (d *devices) has(other *devices) bool {
	return !slices.ContainsFunc(other.list, func(a workloadmeta.ContainerAllocatedResource) bool {
		return !slices.ContainsFunc(d.list,
			func(b workloadmeta.ContainerAllocatedResource) bool { return same(a, b) })
	})
}

// replaces reports whether there are other devices of each kind that another has, and as many in
// all: that one was about another pod, or this one is.
func (d *devices) replaces(other *devices) bool {
	return len(d.list) >= len(other.list) && !slices.ContainsFunc(other.list,
		func(a workloadmeta.ContainerAllocatedResource) bool {
			return !slices.ContainsFunc(d.list,
				func(b workloadmeta.ContainerAllocatedResource) bool { return a.Name == b.Name })
		})
}

// container returns what is reported of the container with an ID.
func (d *devices) container(id string) *workloadmeta.Container {
	c := &workloadmeta.Container{EntityID: idOf(id), AllocatedResources: d.list,
		GPUDeviceIDs: d.gpus}
	c.Resources.GPUVendorList = d.vendors
	if d.cores {
		c.Resources.GuaranteedWholeCore = &d.cores
	}
	return c
}

func idOf(id string) workloadmeta.EntityID {
	return workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id}
}
