package podresources

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeKubelet answers what a test says.
type fakeKubelet struct {
	podresourcesv1.UnimplementedPodResourcesListerServer

	mu     sync.Mutex
	pods   []*podresourcesv1.PodResources
	err    error
	frozen bool
	hold   chan struct{} // not nil: answers wait for its end
	lists  int
}

func (f *fakeKubelet) List(ctx context.Context,
	_ *podresourcesv1.ListPodResourcesRequest) (*podresourcesv1.ListPodResourcesResponse, error) {
	f.mu.Lock()
	f.lists++
	pods, err, frozen, hold := slices.Clone(f.pods), f.err, f.frozen, f.hold
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if frozen {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &podresourcesv1.ListPodResourcesResponse{PodResources: pods}, err
}

func (f *fakeKubelet) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// asked returns how many lists there were since the last call.
func (f *fakeKubelet) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.lists = 0 }()
	return f.lists
}

// gives says what a pod's container has: "nvidia.com/gpu=GPU-1".
func gives(pod, container string, devices ...string) *podresourcesv1.PodResources {
	c := &podresourcesv1.ContainerResources{Name: container}
	for _, d := range devices {
		name, id, _ := strings.Cut(d, "=")
		c.Devices = append(c.Devices,
			&podresourcesv1.ContainerDevices{ResourceName: name, DeviceIds: []string{id}})
	}
	return &podresourcesv1.PodResources{Namespace: "shop", Name: pod,
		Containers: []*podresourcesv1.ContainerResources{c}}
}

// node is a collector with a fake kubelet, beside one that reports the node's pods, under the real
// supervisor. It lives in a bubble.
type node struct {
	*fakeKubelet
	t     *testing.T
	pods  *collectortest.Fake
	store *store.Store
	runs  *collection.Supervisor
}

func bubble(t *testing.T, test func(n *node)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubelet.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := &node{fakeKubelet: &fakeKubelet{}, t: t,
			pods: collectortest.NewFake(workloadmeta.Description{ID: "kubelet",
				Source: workloadmeta.SourceNodeOrchestrator, Kinds: []workloadmeta.Kind{
					workloadmeta.KindKubernetesPod, workloadmeta.KindContainer}}),
			store: store.New(store.Options{OnMutation: func(id workloadmeta.EntityID,
				source workloadmeta.Source) {
				t.Errorf("%s of %s was written to", id, source)
			}})}
		l := bufconn.Listen(1 << 20)
		server := grpc.NewServer()
		podresourcesv1.RegisterPodResourcesListerServer(server, n.fakeKubelet)
		go func() { _ = server.Serve(l) }() // it ends with Stop
		defer server.Stop()
		c, err := New(Options{Socket: path, Store: n.store,
			Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		c.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return l.DialContext(ctx)
		}
		n.runs, err = collection.New(collection.Options{Store: n.store,
			Collectors: []workloadmeta.Collector{n.pods, c},
			Log:        slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer n.store.Close()
		defer func() {
			if err := n.runs.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		test(n)
	})
}

// start starts the collectors and waits until they have listed.
func (n *node) start() {
	n.t.Helper()
	if err := n.runs.Start(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	if err := n.store.WaitSynced(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	synctest.Wait()
}

// nextList waits until a list is asked for.
func (n *node) nextList() {
	for n.asked(); n.asked() == 0; {
		wait(time.Second)
	}
}

// newPod returns a pod with one container, named like its ID, that asks for devices.
func newPod(uid, name, container, id string, resources ...string) *workloadmeta.KubernetesPod {
	raw := &workloadmeta.RawResources{Requests: map[string]string{"cpu": "1"}}
	for _, r := range resources {
		raw.Requests[r] = "1"
	}
	return &workloadmeta.KubernetesPod{
		EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: uid},
		EntityMeta: workloadmeta.EntityMeta{Namespace: "shop", Name: name}, Phase: "Running",
		Containers: []workloadmeta.OrchestratorContainer{{ID: id, Name: container,
			RawResources: raw}},
	}
}

func container(id string) *workloadmeta.Container {
	return &workloadmeta.Container{EntityID: idOf(id),
		EntityMeta: workloadmeta.EntityMeta{Name: id},
		State:      workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning}}
}

func stopped(id string) *workloadmeta.Container {
	c := container(id)
	c.State = workloadmeta.ContainerState{Status: workloadmeta.StatusStopped}
	return c
}

// run reports a pod with its container.
func (n *node) run(p *workloadmeta.KubernetesPod) {
	n.pods.Set(p, container(p.Containers[0].ID))
	synctest.Wait()
}

func (n *node) end(p *workloadmeta.KubernetesPod) {
	n.pods.Unset(p, stopped(p.Containers[0].ID))
	synctest.Wait()
}

// state returns how the collector is doing.
func (n *node) state() collection.State {
	for _, s := range n.runs.Status() {
		if s.ID == ID {
			return s.State
		}
	}
	return ""
}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want checks a container's devices: its GPUs, or else "resource=ID" of all.
func (n *node) want(step, id, want string) {
	n.t.Helper()
	got := "no container"
	if c, err := n.store.GetContainer(id); err == nil {
		got = strings.Join(c.GPUDeviceIDs, " ")
		for _, d := range c.AllocatedResources {
			if c.GPUDeviceIDs == nil {
				got = strings.TrimSpace(got + " " + d.Name + "=" + d.ID)
			}
		}
	}
	if got != want {
		n.t.Errorf("%s: %s has %q, want %q", step, id, got, want)
	}
}

const gpuName = "nvidia.com/gpu"

func TestANewContainerHasItsDevicesAtOnce(t *testing.T) {
	bubble(t, func(n *node) {
		n.with(func() {
			n.fakeKubelet.pods = []*podresourcesv1.PodResources{gives("other", "main")}
		})
		n.start()
		n.asked()
		began := time.Now()
		n.with(func() {
			n.fakeKubelet.pods = append(n.fakeKubelet.pods,
				gives("train", "main", gpuName+"=GPU-1::3", gpuName+"=GPU-2"))
		})
		n.run(newPod("uid-1", "plain", "main", "c0"))
		if asks := n.asked(); asks != 0 {
			t.Errorf("asked %d times for a container that asks for nothing", asks)
		}
		n.run(newPod("uid-2", "train", "main", "c1", gpuName))
		n.want("started", "c1", "GPU-1 GPU-2")
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		c, err := n.store.GetContainer("c1")
		if err != nil || c.Name != "c1" || !c.State.Running ||
			!slices.Equal(c.Resources.GPUVendorList, []string{"nvidia"}) ||
			len(c.AllocatedResources) != 2 || c.AllocatedResources[0].ID != "GPU-1::3" {
			t.Errorf("%+v, %v", c, err)
		}
		n.asked()
		wait(10 * time.Minute)
		if asks := n.asked(); asks < 18 || asks > 23 {
			t.Errorf("asked %d times in ten minutes", asks)
		}
	})
}

// Everything that is there at the start is complete when it is synced, in whatever order the
// collectors come.
func TestTheFirstReportWaitsForPods(t *testing.T) {
	for _, late := range []bool{false, true} {
		bubble(t, func(n *node) {
			n.with(func() {
				n.fakeKubelet.pods = []*podresourcesv1.PodResources{
					gives("train", "main", gpuName+"=GPU-1")}
			})
			there := func() {
				n.pods.Set(newPod("uid-1", "train", "main", "c1", gpuName), container("c1"))
			}
			if late {
				n.pods.Silence()
				go func() {
					time.Sleep(time.Second)
					there()
					n.pods.Restore()
				}()
			} else {
				there()
			}
			began := time.Now()
			n.start()
			n.want("synced", "c1", "GPU-1")
			if took := time.Since(began); !late && took != 0 {
				t.Errorf("it took %v", took)
			}
		})
	}
	bubble(t, func(n *node) { // nobody ever knows that pod
		n.with(func() {
			n.fakeKubelet.pods = []*podresourcesv1.PodResources{
				gives("x", "main", gpuName+"=GPU-1")}
		})
		began := time.Now()
		if n.start(); time.Since(began) != settle {
			t.Errorf("synced after %v", time.Since(began))
		}
	})
}

// A claim is listed when its driver has prepared it: it is asked for again, ever more rarely.
func TestDevicesThatComeLater(t *testing.T) {
	bubble(t, func(n *node) {
		n.start()
		p := newPod("uid-1", "train", "main", "c1", "cpu")
		p.Containers[0].ResourceClaims = []string{"gpu"}
		n.with(func() {
			n.fakeKubelet.pods = []*podresourcesv1.PodResources{gives("train", "main")}
		})
		n.asked()
		n.run(p)
		wait(28 * time.Second)
		if asks := n.asked(); asks < 4 || asks > 6 { // at 0, 1, 3, 7, 15 s
			t.Errorf("asked %d times while it was missing", asks)
		}
		n.want("not prepared", "c1", "")
		n.with(func() {
			claim := &podresourcesv1.DynamicResource{ClaimName: "one", ClaimNamespace: "shop",
				ClaimResources: []*podresourcesv1.ClaimResource{{DriverName: "gpu.nvidia.com",
					PoolName: "node-1", DeviceName: "gpu-0",
					CdiDevices: []*podresourcesv1.CDIDevice{
						{Name: "k8s.gpu.nvidia.com/claim=0a-gpu-0"}}}}}
			c := n.fakeKubelet.pods[0].Containers[0]
			c.DynamicResources = append(c.DynamicResources, claim)
		})
		wait(35 * time.Second)
		n.want("prepared", "c1", "gpu.nvidia.com=gpu-0")
		c, err := n.store.GetContainer("c1")
		if err != nil || !slices.Equal(c.Resources.GPUVendorList, []string{"nvidia"}) ||
			c.AllocatedResources[0].Pool != "node-1" ||
			len(c.AllocatedResources[0].CDIDevices) != 1 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// What the kubelet does not list is no evidence: it has just started, cannot be reached, or hangs.
func TestNothingIsTakenAway(t *testing.T) {
	bubble(t, func(n *node) {
		all := []*podresourcesv1.PodResources{gives("train", "main", gpuName+"=GPU-1")}
		n.with(func() { n.fakeKubelet.pods = all })
		p := newPod("uid-1", "train", "main", "c1", gpuName)
		n.pods.Set(p, container("c1"))
		n.start()
		for name, change := range map[string]func(){
			"lists nothing": func() { n.fakeKubelet.pods = nil },
			"lists no devices": func() {
				n.fakeKubelet.pods = []*podresourcesv1.PodResources{gives("train", "main")}
			},
			"fails": func() { n.err = status.Error(codes.Unavailable, "stopped") },
			"is asked too much": func() {
				n.err = status.Error(codes.ResourceExhausted, "rejected by rate limit")
			},
			"hangs": func() { n.frozen = true },
			"lists CPUs alone": func() {
				cpus := gives("train", "main")
				cpus.Containers[0].CpuIds = []int64{1}
				n.fakeKubelet.pods = []*podresourcesv1.PodResources{cpus}
			},
			"has other kinds": func() {
				n.fakeKubelet.pods = []*podresourcesv1.PodResources{
					gives("train", "main", "amd.com/gpu=0")}
			},
			"has two of that name": func() {
				n.fakeKubelet.pods = []*podresourcesv1.PodResources{
					gives("train", "main", gpuName+"=GPU-2"),
					gives("train", "main", gpuName+"=GPU-1", gpuName+"=GPU-3")}
			},
		} {
			n.with(change)
			for range 6 {
				wait(time.Minute)
				n.want("a kubelet that "+name, "c1", "GPU-1")
			}
			if live := n.state() == collection.StateLive; live == (name == "fails" ||
				name == "hangs") {
				n.t.Errorf("a kubelet that %s: the collector is %v", name, n.state())
			}
			n.with(func() { n.fakeKubelet.pods, n.err, n.frozen = all, nil, false })
			wait(5 * time.Minute)
			n.want("after a kubelet that "+name, "c1", "GPU-1")
		}
		// And while it hangs, an end is told at once.
		n.with(func() { n.frozen = true })
		wait(31 * time.Second)
		n.end(p)
		n.want("ended", "c1", "no container")
	})
}

// What ends while the kubelet is away does not come back with it.
func TestWhatHasEndedMeanwhile(t *testing.T) {
	bubble(t, func(n *node) {
		n.with(func() {
			n.fakeKubelet.pods = []*podresourcesv1.PodResources{
				gives("train", "main", gpuName+"=GPU-1")}
		})
		p := newPod("uid-1", "train", "main", "c1", gpuName)
		n.run(p)
		n.start()
		n.want("started", "c1", "GPU-1")
		n.with(func() { n.err = status.Error(codes.Unavailable, "stopped") })
		wait(5 * time.Minute)
		n.pods.Unset(p, &workloadmeta.Container{EntityID: idOf("c1")}) // nobody has seen its end
		n.with(func() { n.err = nil })
		wait(5 * time.Minute)
		if n.state() != collection.StateLive {
			n.t.Errorf("the collector is %v", n.state())
		}
		n.want("the kubelet is back", "c1", "no container")
	})
}

func TestANewInstanceHasTheSameDevices(t *testing.T) {
	bubble(t, func(n *node) {
		n.with(func() {
			n.fakeKubelet.pods = []*podresourcesv1.PodResources{
				gives("train", "main", gpuName+"=GPU-1")}
		})
		n.run(newPod("uid-1", "train", "main", "c1", gpuName))
		n.start()
		again := newPod("uid-1", "train", "main", "c2", gpuName)
		n.pods.Set(again, container("c2"))
		synctest.Wait()
		n.want("the new one", "c2", "GPU-1")
		n.want("the old one", "c1", "GPU-1")
		n.pods.Unset(&workloadmeta.Container{EntityID: idOf("c1")}) // nobody has seen its end
		wait(time.Minute)
		n.want("the old one has gone", "c1", "no container")
		n.want("the new one", "c2", "GPU-1")
		n.end(again)
		wait(time.Minute)
		n.want("the pod has gone", "c2", "no container")
		for e := range n.store.Containers() {
			t.Errorf("still there: %v", e)
		}
	})
}

// A pod that is made anew under its name has another's devices until the old one has gone.
func TestTwoPodsOfOneName(t *testing.T) {
	bubble(t, func(n *node) {
		n.with(func() {
			n.fakeKubelet.pods = []*podresourcesv1.PodResources{
				gives("train-0", "main", gpuName+"=GPU-1")}
		})
		old := newPod("uid-1", "train-0", "main", "c1", gpuName)
		n.run(old)
		n.start()
		n.run(newPod("uid-2", "train-0", "main", "c2", gpuName))
		wait(2 * time.Minute)
		n.want("both are there", "c1", "GPU-1")
		n.want("both are there", "c2", "")
		n.with(func() {
			n.fakeKubelet.pods = []*podresourcesv1.PodResources{
				gives("train-0", "main", gpuName+"=GPU-2")}
		})
		n.end(old)
		wait(2 * time.Second)
		n.want("the old one has gone", "c2", "GPU-2")
	})
}

// A list that is on its way when a pod is made anew is about its predecessor.
func TestAListInFlightIsAboutThePodsBeforeIt(t *testing.T) {
	bubble(t, func(n *node) {
		old := []*podresourcesv1.PodResources{gives("train-0", "main", gpuName+"=GPU-1")}
		n.with(func() { n.fakeKubelet.pods = old })
		first := newPod("uid-1", "train-0", "main", "c1", gpuName)
		n.run(first)
		n.start()
		hold := make(chan struct{})
		n.with(func() { n.hold = hold })
		n.nextList() // it is on its way, with the old pod
		n.end(first)
		n.with(func() {
			n.hold = nil
			n.fakeKubelet.pods = []*podresourcesv1.PodResources{
				gives("train-0", "main", gpuName+"=GPU-2")}
		})
		n.run(newPod("uid-2", "train-0", "main", "c2", gpuName))
		close(hold)
		synctest.Wait()
		n.want("the list is there", "c2", "")
		wait(2 * time.Second)
		n.want("the next one is, too", "c2", "GPU-2")
	})
}

// A kubelet may go on listing a pod for a while after its successor is known.
func TestTwoListsCorrectWhatOneHasSaid(t *testing.T) {
	bubble(t, func(n *node) {
		list := func(gpu string) {
			n.with(func() {
				n.fakeKubelet.pods = []*podresourcesv1.PodResources{
					gives("train-0", "main", gpuName+"="+gpu)}
			})
		}
		list("GPU-1")
		n.run(newPod("uid-2", "train-0", "main", "c2", gpuName))
		n.start()
		for _, step := range []struct{ lists, want string }{
			{"GPU-2", "GPU-1"}, {"GPU-1", "GPU-1"}, {"GPU-2", "GPU-1"}, {"GPU-3", "GPU-1"},
			{"GPU-3", "GPU-3"},
		} {
			list(step.lists)
			n.nextList()
			n.want("a list of "+step.lists, "c2", step.want)
		}
	})
}

// Which of two pods of a name has ended is known before it is gone.
func TestAnEndedPodDoesNotCount(t *testing.T) {
	bubble(t, func(n *node) {
		n.start()
		old := newPod("uid-1", "train-0", "main", "c1", gpuName)
		n.run(old)
		n.run(newPod("uid-2", "train-0", "main", "c2", gpuName))
		wait(time.Minute)
		n.with(func() {
			n.fakeKubelet.pods = []*podresourcesv1.PodResources{
				gives("train-0", "main", gpuName+"=GPU-2")}
		})
		ended := *old
		ended.Phase = "Succeeded"
		n.pods.Set(&ended, stopped("c1"))
		wait(2 * time.Second)
		n.want("the old one has ended", "c2", "GPU-2")
		n.want("the old one has ended", "c1", "")
	})
}

// The kubelet's socket is not there, or not for us.
func TestDetect(t *testing.T) {
	c, err := New(Options{Socket: filepath.Join(t.TempDir(), "none.sock"),
		Store: store.New(store.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Detect(t.Context()); d.State != workloadmeta.Absent ||
		d.Cause != workloadmeta.CauseAbsent || !strings.Contains(d.Reason, "none.sock") {
		t.Errorf("%+v", d)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no store is no error")
	}
	if _, err := New(Options{Store: c.opts.Store, Period: time.Millisecond}); err == nil ||
		!strings.Contains(err.Error(), "Period") {
		t.Errorf("a period of a millisecond: %v", err)
	}
	made, err := Spec.Make(Options{}, collection.Deps{})
	if err != nil || len(made) != 1 || made[0].Detect(t.Context()).State != workloadmeta.Disabled {
		t.Errorf("without a store: %v, %v", made, err)
	}
}

// recorded reads what a kubelet of 1.37 has answered.
func recorded(t testing.TB) []*podresourcesv1.PodResources {
	t.Helper()
	text, err := os.ReadFile("../testdata/1.37/podresources.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ List json.RawMessage }
	var answer podresourcesv1.ListPodResourcesResponse
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(file.List, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.PodResources
}

func TestRecorded(t *testing.T) {
	tr := newTracker()
	for i, name := range []string{"train", "svc"} {
		p := newPod(fmt.Sprint("uid-", i), name, "main", fmt.Sprint("c", i), "example.org/nic")
		tr.set(p)
	}
	tr.list(tr.ask(), recorded(t))
	all := tr.everything()
	if len(all) != 1 {
		t.Fatalf("%d containers", len(all))
	}
	cores := true
	want := &workloadmeta.Container{EntityID: idOf("c0"),
		AllocatedResources: []workloadmeta.ContainerAllocatedResource{
			{Name: "example.org/nic", ID: "nic-a", NUMANodes: []int{0}},
			{Name: "gpu.example.org", ID: "gpu-0", Pool: "node-1",
				CDIDevices: []string{"example.org/gpu=gpu-0"}}}}
	want.Resources.GuaranteedWholeCore = &cores
	if !all[0].Equal(want) {
		t.Errorf("got  %v\nwant %v", all[0], want)
	}
	if !tr.missing() { // svc asks for one, and has none
		t.Error("nothing is missing")
	}
}

func TestDevicesOf(t *testing.T) {
	c := &podresourcesv1.ContainerResources{Devices: []*podresourcesv1.ContainerDevices{
		{ResourceName: "nvidia.com/mig-1g.5gb", DeviceIds: []string{"MIG-2", "MIG-1"},
			Topology: &podresourcesv1.TopologyInfo{Nodes: []*podresourcesv1.NUMANode{{ID: 1}, {}}}},
		{ResourceName: "nvidia.com/gpu.shared", DeviceIds: []string{"GPU-1::0", "GPU-1::1"}},
		{ResourceName: "amd.com/gpu", DeviceIds: []string{"0000:19:00.0"}},
		{ResourceName: "gpu.intel.com/xe", DeviceIds: []string{"card0-0"}},
		{ResourceName: "gpu.intel.com/xe", DeviceIds: []string{"card0-0", ""}},
		{ResourceName: "", DeviceIds: []string{"x"}},
	}, DynamicResources: []*podresourcesv1.DynamicResource{{
		ClaimResources: []*podresourcesv1.ClaimResource{
			{DriverName: "gpu.nvidia.com", DeviceName: "gpu-0",
				CdiDevices: []*podresourcesv1.CDIDevice{{Name: "nvidia.com/gpu=GPU-9"},
					{Name: "?"}}},
			{DriverName: "x"}}}}}
	d := devicesOf(c)
	if got := strings.Join(d.gpus, " "); got != "GPU-1 GPU-9 MIG-1 MIG-2" {
		t.Errorf("GPUs %s", got)
	}
	if got := strings.Join(d.vendors, " "); got != "amd intel nvidia" {
		t.Errorf("vendors %s", got)
	}
	var ids []string
	for _, a := range d.list {
		ids = append(ids, a.ID)
	}
	if got := strings.Join(ids, " "); got !=
		"0000:19:00.0 card0-0 gpu-0 GPU-1::0 GPU-1::1 MIG-1 MIG-2" {
		t.Errorf("devices %s", got)
	}
	if got := d.list[5].NUMANodes; !slices.Equal(got, []int{0, 1}) {
		t.Errorf("NUMA nodes %v", got)
	}
	if devicesOf(&podresourcesv1.ContainerResources{Name: "none"}) != nil {
		t.Error("a container without devices has some")
	}
}
