package apiserver

import (
	"cmp"
	"maps"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/pkg/gpu"
)

// deviceSlice is what is read of a ResourceSlice.
type deviceSlice struct {
	pool              poolName
	generation, count int64 // count is how many slices the generation has
	gpus              []*workloadmeta.GPU
}

type poolName struct{ driver, name string }

// pools knows the devices of dynamic resource allocation. A driver writes the slices of a pool one
// after the other, each time with a new generation: what counts is the highest generation of which
// all slices are there, and until there is one, that which was complete before.
type pools struct {
	slices   map[poolName]map[string]*deviceSlice // by the slice's name
	complete map[poolName]map[string]*workloadmeta.GPU
}

func newPools() *pools {
	return &pools{slices: map[poolName]map[string]*deviceSlice{},
		complete: map[poolName]map[string]*workloadmeta.GPU{}}
}

// change takes a change of a slice, nil where it was not, or is not any more, and returns what that
// makes of the GPUs by their UUIDs: nil is one that has gone.
func (p *pools) change(name string, was, is *deviceSlice) map[string]*workloadmeta.GPU {
	changes := map[string]*workloadmeta.GPU{}
	if was != nil {
		delete(p.slices[was.pool], name)
		if is == nil || is.pool != was.pool {
			p.settle(was.pool, changes)
		}
	}
	if is != nil {
		if p.slices[is.pool] == nil {
			p.slices[is.pool] = map[string]*deviceSlice{}
		}
		p.slices[is.pool][name] = is
		p.settle(is.pool, changes)
	}
	return changes
}

// settle finds out what of a pool counts now.
func (p *pools) settle(name poolName, changes map[string]*workloadmeta.GPU) {
	before, now := p.complete[name], highestComplete(p.slices[name])
	switch {
	case len(p.slices[name]) == 0:
		delete(p.slices, name)
		delete(p.complete, name)
	case now == nil:
		return
	default:
		p.complete[name] = now
	}
	for uuid := range before {
		if now[uuid] == nil {
			changes[uuid] = p.elsewhere(uuid)
		}
	}
	for uuid, g := range now {
		if had := before[uuid]; had == nil || !had.Equal(g) {
			changes[uuid] = g
		}
	}
}

// elsewhere returns a GPU as another pool has it: it may have moved. nil: none has.
func (p *pools) elsewhere(uuid string) *workloadmeta.GPU {
	for _, gpus := range p.complete {
		if g := gpus[uuid]; g != nil {
			return g
		}
	}
	return nil
}

// highestComplete returns the GPUs of the highest generation of which all slices are there; nil if
// there is none.
func highestComplete(all map[string]*deviceSlice) map[string]*workloadmeta.GPU {
	have := map[int64]int64{}
	for _, s := range all {
		have[s.generation]++
	}
	var best *deviceSlice
	for _, s := range all {
		if have[s.generation] == s.count && (best == nil || s.generation > best.generation) {
			best = s
		}
	}
	if best == nil {
		return nil
	}
	gpus := map[string]*workloadmeta.GPU{}
	for _, s := range all {
		if s.generation == best.generation {
			for _, g := range s.gpus {
				gpus[g.ID] = g
			}
		}
	}
	return gpus
}

// followDevices follows the slices of the cluster, or those of the node.
func (c *Collector) followDevices(core *core) follow {
	r := kubeapi.Resource{GroupVersionResource: deviceResource}
	if c.opts.node() {
		r.Fields = "spec.nodeName=" + c.opts.NodeName
	}
	all := newPools()
	table := newTable(sameDevices, func(name string, was, is **deviceSlice) {
		var before, after *deviceSlice
		if was != nil {
			before = *was
		}
		if is != nil {
			after = *is
		}
		changes := all.change(name, before, after)
		for _, uuid := range slices.Sorted(maps.Keys(changes)) {
			if g := changes[uuid]; g != nil {
				core.set(g)
			} else {
				core.unset(workloadmeta.EntityID{Kind: workloadmeta.KindGPU, ID: uuid})
			}
		}
	})
	return newFollow(c, core, r, thin(), table,
		byName(func(o *object.ResourceSlice) (*deviceSlice, error) {
			if o.Name == "" {
				return nil, errNoName
			}
			s := &deviceSlice{pool: poolName{o.Spec.Driver, o.Spec.Pool.Name},
				generation: o.Spec.Pool.Generation, count: o.Spec.Pool.ResourceSliceCount}
			if vendor, ok := gpu.VendorFromDriver(o.Spec.Driver); ok {
				for i := range o.Spec.Devices {
					if g := gpuOf(vendor, s.pool, &o.Spec.Devices[i]); g != nil {
						s.gpus = append(s.gpus, g)
					}
				}
			}
			return s, nil
		}))
}

func sameDevices(a, b *deviceSlice) bool {
	return a.pool == b.pool && a.generation == b.generation && a.count == b.count &&
		slices.EqualFunc(a.gpus, b.gpus, sameEntity)
}

// gpuOf returns a device as a GPU; nil if its driver does not tell a UUID.
func gpuOf(vendor string, pool poolName, d *object.Device) *workloadmeta.GPU {
	says := func(name string) string {
		a := d.Attributes[name]
		return cmp.Or(a.String, a.Version)
	}
	uuid := says("uuid")
	if uuid == "" || d.Name == "" {
		return nil
	}
	g := &workloadmeta.GPU{EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindGPU, ID: uuid},
		Vendor: vendor, Device: says("productName"), Architecture: says("architecture"),
		GPUType:       gpu.TypeFromDeviceName(says("productName")),
		DriverVersion: says("driverVersion"), ParentGPUUUID: says("parentUUID"),
		DeviceType:  workloadmeta.GPUDevicePhysical,
		DynamicName: workloadmeta.DynamicDeviceName(pool.driver, pool.name, d.Name)}
	if says("type") == "mig" {
		g.DeviceType = workloadmeta.GPUDeviceMIG
	}
	return g
}
