package mapping

import (
	"path"
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
// names GPUs. Its variable names GPUs only if nothing else asks for some. Images of CUDA set it to
// "all", which counts only if the OCI runtime, a name or a program's path, is NVIDIA's, and never
// in a pod, whose GPUs are those that the kubelet gives it by name. It uses the container's owner.
func SetDevices(c *workloadmeta.Container, runtime string, asked ...string) {
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
	if len(c.GPUDeviceIDs) > 0 || len(c.Resources.GPUVendorList) > 0 {
		return
	}
	visible := gpu.VisibleDevices(c.EnvVars[visibleDevices])
	if !slices.Contains(visible, gpu.All) ||
		c.Owner == nil && strings.HasPrefix(path.Base(runtime), gpu.VendorNVIDIA) {
		c.GPUDeviceIDs = visible
	}
}
