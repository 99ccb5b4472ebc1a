package e2e

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/kubelet"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/podresources"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/containerd"
	"go.uber.org/fx"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	pluginv1 "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	registrationv1 "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// gpuResource is what the plugin says that it has.
const gpuResource = "nvidia.com/gpu"

// plugin is a device plugin with GPUs that nobody has built in.
type plugin struct {
	pluginv1.UnimplementedDevicePluginServer
	registrationv1.UnimplementedRegistrationServer
	socket string
	gpus   []string
}

func (p *plugin) GetInfo(context.Context,
	*registrationv1.InfoRequest) (*registrationv1.PluginInfo, error) {
	return &registrationv1.PluginInfo{Type: registrationv1.DevicePlugin, Name: gpuResource,
		Endpoint: p.socket, SupportedVersions: []string{pluginv1.Version}}, nil
}

func (p *plugin) NotifyRegistrationStatus(context.Context, *registrationv1.RegistrationStatus) (
	*registrationv1.RegistrationStatusResponse, error) {
	return &registrationv1.RegistrationStatusResponse{}, nil
}

func (p *plugin) GetDevicePluginOptions(context.Context,
	*pluginv1.Empty) (*pluginv1.DevicePluginOptions, error) {
	return &pluginv1.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *pluginv1.Empty,
	to grpc.ServerStreamingServer[pluginv1.ListAndWatchResponse]) error {
	answer := &pluginv1.ListAndWatchResponse{}
	for _, id := range p.gpus {
		answer.Devices = append(answer.Devices, &pluginv1.Device{ID: id, Health: pluginv1.Healthy})
	}
	if err := to.Send(answer); err != nil {
		return err
	}
	<-to.Context().Done()
	return nil
}

// Allocate tells the runtime nothing: who wants to know which GPU it is has to ask the kubelet.
func (p *plugin) Allocate(_ context.Context,
	q *pluginv1.AllocateRequest) (*pluginv1.AllocateResponse, error) {
	answer := &pluginv1.AllocateResponse{}
	for range q.ContainerRequests {
		answer.ContainerResponses = append(answer.ContainerResponses,
			&pluginv1.ContainerAllocateResponse{
				Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": "void"}})
	}
	return answer, nil
}

// plugIn has the kubelet find the plugin, until the test ends.
func (k *kubeWorld) plugIn(gpus ...string) {
	k.t.Helper()
	p := &plugin{socket: filepath.Join(k.node.Root, "k/plugins_registry/gpu.sock"), gpus: gpus}
	l, err := net.Listen("unix", p.socket)
	if err != nil {
		k.t.Fatal(err)
	}
	s := grpc.NewServer()
	registrationv1.RegisterRegistrationServer(s, p)
	pluginv1.RegisterDevicePluginServer(s, p)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // it ends with Stop
	k.t.Cleanup(func() { s.Stop(); serving.Wait() })
	eventually(k.t, func() string {
		n, err := k.api.CoreV1().Nodes().Get(k.t.Context(), k.node.Node, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if have := n.Status.Allocatable[gpuResource]; have.Value() != int64(len(gpus)) {
			return "the node has no GPUs yet"
		}
		return ""
	})
}

// A real kubelet gives a container a GPU, and nobody but the kubelet knows which one.
func TestKubeDevices(t *testing.T) {
	k := newKube(t)
	k.plugIn("GPU-0a1b", "GPU-2c3d")
	a := newApp(t)
	pods, err := kubelet.New(kubelet.Options{Socket: k.node.PodsSocket, Log: a.logger()})
	if err != nil {
		t.Fatal(err)
	}
	events, err := containerd.New(containerd.Options{Address: k.node.Containerd.Socket,
		Log: a.logger()})
	if err != nil {
		t.Fatal(err)
	}
	a.start(podresources.Module, fx.Supply(podresources.Options{
		Socket: filepath.Join(k.node.Root, "k/pod-resources/kubelet.sock")},
		collection.Options{RedetectEvery: time.Second, BackoffMax: time.Second}),
		fx.Provide(collection.AsCollector(func() *kubelet.Collector { return pods }),
			collection.AsCollector(func() *containerd.Collector { return events })))
	train := shell("train", forever)
	train.Resources.Limits = corev1.ResourceList{gpuResource: resource.MustParse("1")}
	k.pod("train", nil, train, shell("log", forever))
	running := k.await("train", "ready", isReady)
	ids := map[string]string{}
	for _, c := range running.Status.ContainerStatuses {
		ids[c.Name] = c.ContainerID[len("containerd://"):]
	}
	began := time.Now()
	c := a.expect(ids["train"], "its GPU",
		func(c *workloadmeta.Container) bool { return len(c.GPUDeviceIDs) == 1 })
	t.Logf("the GPU is known %v after the API server says that the pod is ready",
		time.Since(began))
	if len(c.AllocatedResources) != 1 || c.AllocatedResources[0].Name != gpuResource ||
		c.AllocatedResources[0].ID != c.GPUDeviceIDs[0] || c.Name != "train" || !c.State.Running {
		t.Errorf("train = %+v", c)
	}
	if other, err := a.store.GetContainer(ids["log"]); err != nil ||
		len(other.AllocatedResources)+len(other.GPUDeviceIDs) > 0 {
		t.Errorf("log = %+v, %v", other, err)
	}
	tags, err := a.tagger.Tag(tagger.Container(ids["train"]), tagger.LowCardinality)
	if err != nil || !slices.Contains(tags, "gpu_vendor:nvidia") {
		t.Errorf("tags of train: %q, %v", tags, err)
	}

	// A kubelet that is started anew takes nothing away.
	k.node.Kubelet.Restart()
	k.nodeReady()
	for range 20 {
		now, err := a.store.GetContainer(ids["train"])
		if err != nil || !slices.Equal(now.GPUDeviceIDs, c.GPUDeviceIDs) {
			t.Fatalf("after a restart: %+v, %v", now, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	k.empty()
	eventually(t, func() string {
		if c, err := a.store.GetContainer(ids["train"]); err == nil {
			return c.String()
		}
		return ""
	})
}
