package podmap

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/pkg/gpu"
)

// unlimited is the least limit of memory that stands for none: what cgroups of version 1 say of a
// pod that has no limit.
const unlimited = 1 << 53

// amount reads a quantity; what is none is zero.
func amount(q object.Quantity) resource.Quantity {
	if q == "" {
		return resource.Quantity{}
	}
	out, err := resource.ParseQuantity(string(q))
	if err != nil {
		return resource.Quantity{}
	}
	return out
}

// resourcesOf maps what is asked for, with what is in force over it: that changes while a
// container runs, and lacks what it has nothing to say of.
func resourcesOf(spec object.Resources, inForce *object.Resources,
	allocated map[string]object.Quantity) (workloadmeta.ContainerResources,
	*workloadmeta.RawResources) {
	requests, limits := spec.Requests, spec.Limits
	if inForce != nil {
		requests, limits = overlaid(requests, inForce.Requests), overlaid(limits, inForce.Limits)
	}
	var out workloadmeta.ContainerResources
	out.CPURequest, out.MemoryRequest = cpu(requests), memory(requests)
	out.CPULimit, out.MemoryLimit = cpu(limits), memory(limits)
	out.GPURequest, out.GPULimit = gpus(requests, &out), gpus(limits, &out)
	raw := workloadmeta.RawResources{Requests: texts(requests), Limits: texts(limits),
		Allocated: texts(allocated)}
	if len(raw.Requests)+len(raw.Limits)+len(raw.Allocated) > 0 {
		return out, &raw
	}
	return out, nil
}

func overlaid(spec, inForce map[string]object.Quantity) map[string]object.Quantity {
	if len(inForce) == 0 {
		return spec
	}
	out := maps.Clone(inForce)
	for name, q := range spec {
		if _, ok := out[name]; !ok {
			out[name] = q
		}
	}
	return out
}

// cpu returns percents of a core.
func cpu(from map[string]object.Quantity) *float64 {
	q, ok := from["cpu"]
	if !ok {
		return nil
	}
	quantity := amount(q)
	percent := float64(quantity.MilliValue()) / 10
	return &percent
}

func memory(from map[string]object.Quantity) *uint64 {
	q, ok := from["memory"]
	if !ok {
		return nil
	}
	quantity := amount(q)
	if bytes := quantity.Value(); bytes >= 0 && bytes < unlimited {
		value := uint64(bytes)
		return &value
	}
	return nil
}

// gpus counts the GPUs, and notes whose they are.
func gpus(from map[string]object.Quantity, out *workloadmeta.ContainerResources) *int64 {
	var count *int64
	for _, name := range slices.Sorted(maps.Keys(from)) {
		vendor, ok := gpu.VendorFromResourceName(name)
		if !ok {
			continue
		}
		quantity := amount(from[name])
		if count == nil {
			count = new(int64)
		}
		*count += quantity.Value()
		if !slices.Contains(out.GPUVendorList, vendor) {
			out.GPUVendorList = append(out.GPUVendorList, vendor)
		}
	}
	return count
}

func texts(from map[string]object.Quantity) map[string]string {
	if len(from) == 0 {
		return nil
	}
	out := make(map[string]string, len(from))
	for name, q := range from {
		out[name] = string(q)
	}
	return out
}
