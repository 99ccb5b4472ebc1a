package apiserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	resourcev1 "k8s.io/api/resource/v1"
	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

const devicePath = "/apis/resource.k8s.io/v1/resourceslices"

// resourceSlice returns a slice with one GPU.
func resourceSlice(name, uuid string, generation, count int64) *resourcev1.ResourceSlice {
	text := func(s string) resourcev1.DeviceAttribute {
		return resourcev1.DeviceAttribute{StringValue: &s}
	}
	version, node := "580.1.0", "node-1"
	s := &resourcev1.ResourceSlice{ObjectMeta: meta(name),
		Spec: resourcev1.ResourceSliceSpec{Driver: "gpu.nvidia.com", NodeName: &node,
			Pool: resourcev1.ResourcePool{Name: node, Generation: generation,
				ResourceSliceCount: count},
			Devices: []resourcev1.Device{{Name: "gpu-" + name,
				Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
					"uuid": text(uuid), "productName": text("NVIDIA H100 80GB HBM3"),
					"architecture": text("Hopper"), "type": text("gpu"),
					"driverVersion": {VersionValue: &version}}}, {Name: "no-gpu"}}}}
	s.Namespace = ""
	return s
}

// TestDevices: GPUs are those of the highest generation of a pool that is complete.
func TestDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(devicePath)
		server.Put(devicePath, resourceSlice("a", "GPU-1", 1, 2))
		w := start(t, server, Options{Agent: collection.Node, NodeName: "node-1",
			Resources: []string{resourceSlices}})
		defer w.stop()
		check := func(what, want string) {
			t.Helper()
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			var got []string
			for id, e := range w.known {
				got = append(got, id.ID+"="+e.(*workloadmeta.GPU).DynamicName)
			}
			slices.Sort(got)
			if text := strings.Join(got, " "); text != want {
				t.Errorf("%s: %s, want %s", what, text, want)
			}
		}
		check("half of a pool", "")
		server.Put(devicePath, resourceSlice("b", "GPU-2", 1, 2))
		const a, b = "GPU-1=gpu.nvidia.com/node-1/gpu-a", "GPU-2=gpu.nvidia.com/node-1/gpu-b"
		check("all of it", a+" "+b)
		w.mu.Lock()
		g := w.known[workloadmeta.EntityID{Kind: workloadmeta.KindGPU, ID: "GPU-1"}]
		w.mu.Unlock()
		if g := g.(*workloadmeta.GPU); g.Vendor != "nvidia" || g.GPUType != "h100" ||
			g.Architecture != "Hopper" || g.DriverVersion != "580.1.0" ||
			g.DeviceType != workloadmeta.GPUDevicePhysical {
			t.Errorf("GPU-1 = %v", g)
		}
		server.Put(devicePath, resourceSlice("b", "GPU-3", 2, 2))
		check("half of the next generation", a+" "+b)
		server.Put(devicePath, resourceSlice("a", "GPU-1", 2, 2))
		check("all of it", a+" GPU-3=gpu.nvidia.com/node-1/gpu-b")
		server.Put(devicePath, resourceSlice("a", "GPU-1", 3, 1))
		check("of one slice", a)
		for _, name := range []string{"a", "b"} {
			server.Delete(devicePath, "", name)
		}
		check("nothing", "")
	})
}

// What counts depends on what slices there are and were complete, never on what is half there.
func TestPoolsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPools()
		known := map[string]*workloadmeta.GPU{} // as it was told
		there := map[string]*deviceSlice{}
		complete := map[poolName][]string{} // as it was last complete
		apply := func(name string, is *deviceSlice) {
			for uuid, g := range p.change(name, there[name], is) {
				if g == nil && known[uuid] == nil {
					t.Fatalf("%s ends and was not there", uuid)
				}
				if known[uuid] = g; g == nil {
					delete(known, uuid)
				}
			}
			if there[name] = is; is == nil {
				delete(there, name)
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "slice")
			var s *deviceSlice
			if rapid.IntRange(0, 4).Draw(t, "what") > 0 {
				s = &deviceSlice{pool: poolName{"gpu.nvidia.com",
					rapid.SampledFrom([]string{"p", "q"}).Draw(t, "pool")},
					generation: rapid.Int64Range(1, 3).Draw(t, "generation"),
					count:      rapid.Int64Range(1, 3).Draw(t, "count")}
				for _, uuid := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"1", "2",
					"3"}), 0, 2, rapid.ID).Draw(t, "GPUs") {
					// One UUID is in one pool.
					s.gpus = append(s.gpus, &workloadmeta.GPU{EntityID: workloadmeta.EntityID{
						Kind: workloadmeta.KindGPU, ID: s.pool.name + uuid}})
				}
			} else if there[name] == nil {
				continue
			}
			apply(name, s)
			var want []string
			for _, pool := range []string{"p", "q"} {
				key := poolName{"gpu.nvidia.com", pool}
				byGeneration, any := map[int64][]*deviceSlice{}, false
				for _, s := range there {
					if s.pool == key {
						byGeneration[s.generation], any = append(byGeneration[s.generation],
							s), true
					}
				}
				for generation := int64(3); generation > 0; generation-- {
					list := byGeneration[generation]
					if slices.ContainsFunc(list,
						func(s *deviceSlice) bool { return s.count == int64(len(list)) }) {
						complete[key] = nil
						for _, s := range list {
							for _, g := range s.gpus {
								complete[key] = append(complete[key], g.ID)
							}
						}
						break
					}
				}
				if !any {
					complete[key] = nil
				}
				want = append(want, complete[key]...)
			}
			slices.Sort(want)
			want = slices.Compact(want)
			if got := slices.Sorted(maps.Keys(known)); !slices.Equal(got, want) {
				t.Fatalf("%s, want %s; slices %v", got, want, fmt.Sprint(there))
			}
		}
	})
}
