package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	contentapi "github.com/containerd/containerd/api/services/content/v1"
	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/task"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	criapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/containerd"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/cri"
)

// The fakes of runtimes with a gRPC interface.

// serveGRPC serves a daemon's interface on the fake's socket and counts its calls.
func (f *fakeRuntime) serveGRPC(register func(*grpc.Server)) {
	count := func(method string) {
		if !strings.HasSuffix(method, "/Version") {
			f.calls.Add(1)
		}
	}
	server := grpc.NewServer(grpc.MaxSendMsgSize(64<<20),
		grpc.UnaryInterceptor(func(ctx context.Context, in any, info *grpc.UnaryServerInfo,
			next grpc.UnaryHandler) (any, error) {
			count(info.FullMethod)
			return next(ctx, in)
		}),
		grpc.StreamInterceptor(func(in any, stream grpc.ServerStream, info *grpc.StreamServerInfo,
			next grpc.StreamHandler) error {
			count(info.FullMethod)
			return next(in, stream)
		}))
	register(server)
	l, err := net.Listen("unix", f.address)
	must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		must(server.Serve(l))
	}()
	f.stop = func() {
		server.Stop()
		<-done
	}
}

// decode reads a recorded protobuf message.
func decode[M proto.Message](data []byte, m M) M {
	must(protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m))
	return m
}

// fakeContainerd has one namespace, in which a container of one of the recorded pods is there again
// and again.
type fakeContainerd struct {
	versionapi.UnimplementedVersionServer
	namespacesapi.UnimplementedNamespacesServer
	containersapi.UnimplementedContainersServer
	tasksapi.UnimplementedTasksServer
	imagesapi.UnimplementedImagesServer
	contentapi.UnimplementedContentServer
	eventsapi.UnimplementedEventsServer

	container *containersapi.Container
	sandboxes []*containersapi.Container
	images    []*imagesapi.Image
	blobs     map[string]json.RawMessage
}

func newFakeContainerd() *fakeContainerd {
	type anyJSON struct {
		Type  string
		Value json.RawMessage
	}
	var state struct {
		Namespaces map[string]struct {
			Containers []struct {
				ID                 string
				Labels             map[string]string
				Image, Snapshotter string
				Runtime            string
				CreatedAt          time.Time `json:"created_at"`
				Spec               anyJSON
				Extensions         map[string]anyJSON
			}
			Images []struct {
				Name   string
				Labels map[string]string
				Target struct {
					MediaType, Digest string
					Size              int64
				}
			}
		}
		Blobs map[string]json.RawMessage
	}
	must(json.Unmarshal(recorded("containerd", "testdata", "containerd-1.6", "state.json"), &state))
	f := &fakeContainerd{blobs: state.Blobs}
	ns := state.Namespaces["k8s.io"]
	for _, c := range ns.Containers {
		r := &containersapi.Container{
			ID: c.ID, Labels: c.Labels, Image: c.Image, Snapshotter: c.Snapshotter,
			Runtime:   &containersapi.Container_Runtime{Name: c.Runtime},
			CreatedAt: timestamppb.New(c.CreatedAt), UpdatedAt: timestamppb.New(c.CreatedAt),
			Spec:       &anypb.Any{TypeUrl: c.Spec.Type, Value: c.Spec.Value},
			Extensions: map[string]*anypb.Any{},
		}
		for key, ext := range c.Extensions {
			r.Extensions[key] = &anypb.Any{TypeUrl: ext.Type, Value: ext.Value}
		}
		if c.Labels["io.cri-containerd.kind"] == "container" {
			f.container = r
		} else {
			f.sandboxes = append(f.sandboxes, r)
		}
	}
	for _, i := range ns.Images {
		f.images = append(f.images, &imagesapi.Image{
			Name: i.Name, Labels: i.Labels,
			Target: &types.Descriptor{MediaType: i.Target.MediaType, Digest: i.Target.Digest,
				Size: i.Target.Size},
		})
	}
	return f
}

func (f *fakeContainerd) register(s *grpc.Server) {
	versionapi.RegisterVersionServer(s, f)
	namespacesapi.RegisterNamespacesServer(s, fakeNamespaces{})
	containersapi.RegisterContainersServer(s, fakeContainers{f: f})
	tasksapi.RegisterTasksServer(s, fakeTasks{})
	imagesapi.RegisterImagesServer(s, fakeImages{f: f})
	contentapi.RegisterContentServer(s, fakeContent{f: f})
	eventsapi.RegisterEventsServer(s, fakeEvents{})
}

func (f *fakeContainerd) Version(context.Context, *emptypb.Empty) (*versionapi.VersionResponse,
	error) {
	return &versionapi.VersionResponse{Version: "1.6.20-fake"}, nil
}

type fakeNamespaces struct {
	namespacesapi.UnimplementedNamespacesServer
}

func (fakeNamespaces) List(context.Context,
	*namespacesapi.ListNamespacesRequest) (*namespacesapi.ListNamespacesResponse, error) {
	return &namespacesapi.ListNamespacesResponse{
		Namespaces: []*namespacesapi.Namespace{{Name: "k8s.io"}}}, nil
}

type fakeContainers struct {
	containersapi.UnimplementedContainersServer
	f *fakeContainerd
}

// nth returns the i-th container.
func (s fakeContainers) nth(i int) *containersapi.Container {
	c := proto.Clone(s.f.container).(*containersapi.Container)
	c.ID = runtimeID(i)
	return c
}

func (s fakeContainers) ListStream(_ *containersapi.ListContainersRequest,
	out containersapi.Containers_ListStreamServer) error {
	for _, c := range s.f.sandboxes {
		if err := out.Send(&containersapi.ListContainerMessage{Container: c}); err != nil {
			return err
		}
	}
	for i := range runtimeContainers {
		if err := out.Send(&containersapi.ListContainerMessage{Container: s.nth(i)}); err != nil {
			return err
		}
	}
	return nil
}

type fakeTasks struct {
	tasksapi.UnimplementedTasksServer
}

func (fakeTasks) List(context.Context, *tasksapi.ListTasksRequest) (*tasksapi.ListTasksResponse,
	error) {
	out := &tasksapi.ListTasksResponse{}
	for i := range runtimeContainers {
		out.Tasks = append(out.Tasks,
			&task.Process{ID: runtimeID(i), Pid: uint32(100_000 + i), Status: task.Status_RUNNING})
	}
	return out, nil
}

type fakeImages struct {
	imagesapi.UnimplementedImagesServer
	f *fakeContainerd
}

func (s fakeImages) List(context.Context,
	*imagesapi.ListImagesRequest) (*imagesapi.ListImagesResponse, error) {
	return &imagesapi.ListImagesResponse{Images: s.f.images}, nil
}

type fakeContent struct {
	contentapi.UnimplementedContentServer
	f *fakeContainerd
}

func (s fakeContent) Read(in *contentapi.ReadContentRequest,
	out contentapi.Content_ReadServer) error {
	return out.Send(&contentapi.ReadContentResponse{Data: s.f.blobs[in.Digest]})
}

type fakeEvents struct {
	eventsapi.UnimplementedEventsServer
}

func (fakeEvents) Subscribe(_ *eventsapi.SubscribeRequest,
	out eventsapi.Events_SubscribeServer) error {
	<-out.Context().Done()
	return nil
}

func containerdStart() []row {
	fake := newFakeContainerd()
	return runtimeStart("containerd", func(f *fakeRuntime) { f.serveGRPC(fake.register) },
		func(address string) (workloadmeta.Collector, error) {
			return containerd.New(containerd.Options{Address: address, ProcRoot: "/nowhere",
				Log: slog.New(slog.DiscardHandler)})
		})
}

// fakeCRI has one pod, in which one recorded container is there again and again.
type fakeCRI struct {
	criapi.UnimplementedRuntimeServiceServer
	criapi.UnimplementedImageServiceServer
	version    *criapi.VersionResponse
	containers *criapi.ListContainersResponse
	sandboxes  *criapi.ListPodSandboxResponse
	status     *criapi.ContainerStatusResponse
	sandbox    *criapi.PodSandboxStatusResponse
	images     *criapi.ListImagesResponse
	image      *criapi.ImageStatusResponse
}

func newFakeCRI() *fakeCRI {
	in := func(path ...string) []byte {
		return recorded(append([]string{"cri", "testdata", "containerd-1.6-cri"}, path...)...)
	}
	f := &fakeCRI{
		version:    decode(in("version.json"), &criapi.VersionResponse{}),
		containers: &criapi.ListContainersResponse{},
		sandboxes:  decode(in("sandboxes.json"), &criapi.ListPodSandboxResponse{}),
		status:     decode(in("container-status", "web.json"), &criapi.ContainerStatusResponse{}),
		sandbox: decode(in("sandbox-status", "shop-7d4b9c6f5-x2x4z.json"),
			&criapi.PodSandboxStatusResponse{}),
		images: decode(in("images.json"), &criapi.ListImagesResponse{}),
		image: decode(in("image-status", "reg.example.test-5000-shop-web-2.json"),
			&criapi.ImageStatusResponse{}),
	}
	for _, c := range decode(in("containers.json"), &criapi.ListContainersResponse{}).Containers {
		if c.Id != f.status.Status.Id {
			continue
		}
		for i := range runtimeContainers {
			again := proto.Clone(c).(*criapi.Container)
			again.Id = runtimeID(i)
			f.containers.Containers = append(f.containers.Containers, again)
		}
	}
	if len(f.containers.Containers) == 0 {
		must(fmt.Errorf("cri: the list has no container %s", f.status.Status.Id))
	}
	return f
}

func (f *fakeCRI) Version(context.Context, *criapi.VersionRequest) (*criapi.VersionResponse,
	error) {
	return f.version, nil
}

func (f *fakeCRI) ListContainers(context.Context,
	*criapi.ListContainersRequest) (*criapi.ListContainersResponse, error) {
	return f.containers, nil
}

func (f *fakeCRI) ListPodSandbox(context.Context,
	*criapi.ListPodSandboxRequest) (*criapi.ListPodSandboxResponse, error) {
	return f.sandboxes, nil
}

func (f *fakeCRI) ContainerStatus(_ context.Context,
	in *criapi.ContainerStatusRequest) (*criapi.ContainerStatusResponse, error) {
	out := proto.Clone(f.status).(*criapi.ContainerStatusResponse)
	out.Status.Id = in.ContainerId
	return out, nil
}

func (f *fakeCRI) PodSandboxStatus(context.Context,
	*criapi.PodSandboxStatusRequest) (*criapi.PodSandboxStatusResponse, error) {
	return f.sandbox, nil
}

func (f *fakeCRI) ListImages(context.Context,
	*criapi.ListImagesRequest) (*criapi.ListImagesResponse, error) {
	return f.images, nil
}

func (f *fakeCRI) ImageStatus(context.Context,
	*criapi.ImageStatusRequest) (*criapi.ImageStatusResponse, error) {
	return f.image, nil
}

func criStart() []row {
	fake := newFakeCRI()
	return runtimeStart("cri", func(f *fakeRuntime) {
		f.serveGRPC(func(s *grpc.Server) {
			criapi.RegisterRuntimeServiceServer(s, fake)
			criapi.RegisterImageServiceServer(s, fake)
		})
	}, func(address string) (workloadmeta.Collector, error) {
		return cri.New(cri.Options{Socket: address, ProcRoot: "/nowhere"})
	})
}
