package mapping

import (
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/cdi"
	"github.com/rollcall-dev/rollcall/pkg/gpu"
)

// visibleDevices is the variable by which NVIDIA's runtime knows which GPUs to give to a container.
// Images of CUDA have it.
const visibleDevices = "NVIDIA_VISIBLE_DEVICES"

// SetDevices fills in the devices that a container has: those that its annotations name, and those
// that it was asked for with, by names of the Container Device Interface or as NVIDIA's runtime
// names GPUs. Its variables name GPUs only if nothing else does, as for that runtime.
func SetDevices(c *workloadmeta.Container, asked ...string) {
	names := cdi.FromAnnotations(c.Annotations)
	for _, name := range cdi.ParseAll(asked) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		full := name.String()
		c.AllocatedResources = append(c.AllocatedResources, workloadmeta.ContainerAllocatedResource{
			Name: name.Kind(), ID: name.Device, CDIDevices: []string{full}})
		asked = append(asked, full)
		if vendor, ok := gpu.VendorFromCDI(name); ok &&
			!slices.Contains(c.Resources.GPUVendorList, vendor) {
			c.Resources.GPUVendorList = append(c.Resources.GPUVendorList, vendor)
		}
	}
	c.GPUDeviceIDs = gpu.VisibleDevices(strings.Join(asked, ","))
	if len(c.GPUDeviceIDs) == 0 {
		c.GPUDeviceIDs = gpu.VisibleDevices(c.EnvVars[visibleDevices])
	}
}
