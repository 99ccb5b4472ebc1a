package mapping_test

import (
	"reflect"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

func TestSetDevices(t *testing.T) {
	device := func(kind, id string) workloadmeta.ContainerAllocatedResource {
		return workloadmeta.ContainerAllocatedResource{Name: kind, ID: id,
			CDIDevices: []string{kind + "=" + id}}
	}
	type devices []workloadmeta.ContainerAllocatedResource
	for _, tc := range []struct {
		name, variable string
		runtime, pod   string
		annotations    map[string]string
		asked          []string
		devices        devices
		gpus, vendors  []string
	}{
		{name: "nothing"},
		{name: "a variable", variable: "GPU-0a1b,MIG-2c3d", gpus: []string{"GPU-0a1b", "MIG-2c3d"}},
		{name: "a variable of an image", variable: "all", runtime: "io.containerd.runc.v2"},
		{name: "NVIDIA's runtime", variable: "all", runtime: "nvidia", gpus: []string{"all"}},
		{name: "its path", variable: "all", runtime: "/usr/bin/nvidia-container-runtime",
			gpus: []string{"all"}},
		{name: "in a pod", variable: "all", runtime: "nvidia", pod: "u1"},
		{name: "by name in a pod", variable: "GPU-0a1b", pod: "u1", gpus: []string{"GPU-0a1b"}},
		{name: "beside a claim", variable: "all", runtime: "nvidia", annotations: map[string]string{
			"cdi.k8s.io/claim": "k8s.gpu.nvidia.com/claim=3f2a-gpu-0"},
			devices: devices{device("k8s.gpu.nvidia.com/claim", "3f2a-gpu-0")},
			vendors: []string{"nvidia"}},
		{name: "beside another maker's", variable: "0", asked: []string{"amd.com/gpu=0"},
			devices: devices{device("amd.com/gpu", "0")}, vendors: []string{"amd"}},
		{name: "none", variable: "void"},
		{name: "annotations", variable: "all", annotations: map[string]string{
			"cdi.k8s.io/nvidia_1": "nvidia.com/gpu=0:1,example.org/nic=a", "other": "nvidia.com/gpu=7"},
			devices: devices{device("nvidia.com/gpu", "0:1"), device("example.org/nic", "a")},
			gpus:    []string{"0:1"}, vendors: []string{"nvidia"}},
		{name: "other devices leave the variable its say", variable: "1",
			annotations: map[string]string{"cdi.k8s.io/x": "example.org/nic=a"},
			devices:     devices{device("example.org/nic", "a")}, gpus: []string{"1"}},
		{name: "another maker's", asked: []string{"amd.com/gpu=0"},
			devices: devices{device("amd.com/gpu", "0")}, vendors: []string{"amd"}},
		{name: "asked for", variable: "void", asked: []string{"GPU-0a1b", "1"},
			gpus: []string{"GPU-0a1b", "1"}},
		{name: "asked for by both", asked: []string{"nvidia.com/gpu=all"},
			annotations: map[string]string{"cdi.k8s.io/x": "nvidia.com/gpu=all"},
			devices:     devices{device("nvidia.com/gpu", "all")}, gpus: []string{"all"},
			vendors: []string{"nvidia"}},
	} {
		c := mapping.NewContainer("c", workloadmeta.RuntimeContainerd)
		c.Annotations = tc.annotations
		if tc.variable != "" {
			c.EnvVars = map[string]string{"NVIDIA_VISIBLE_DEVICES": tc.variable}
		}
		c.Owner = mapping.Owner(map[string]string{mapping.LabelPodUID: tc.pod})
		mapping.SetDevices(c, tc.runtime, tc.asked...)
		if !reflect.DeepEqual(devices(c.AllocatedResources), tc.devices) ||
			!reflect.DeepEqual(c.GPUDeviceIDs, tc.gpus) ||
			!reflect.DeepEqual(c.Resources.GPUVendorList, tc.vendors) {
			t.Errorf("%s: %+v, GPUs %q, of %q", tc.name, c.AllocatedResources, c.GPUDeviceIDs,
				c.Resources.GPUVendorList)
		}
	}
}
