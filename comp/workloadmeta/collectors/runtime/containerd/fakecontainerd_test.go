package containerd

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
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
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"
)

// fakeContainerd answers like a containerd of which the test decides what it has and what goes
// wrong, over a connection in memory.
type fakeContainerd struct {
	listener *bufconn.Listener
	server   *grpc.Server

	mu          sync.Mutex // guards the fields below
	version     string
	namespaces  map[string]*fakeNamespace
	blobs       map[string][]byte
	calls       map[string]int // by method: "Containers/Get"
	subscribers map[chan *types.Envelope]struct{}
	filters     []string
	// nil, or what goes wrong
	fault func(ctx context.Context, method, namespace, id string) error
}

type fakeNamespace struct {
	containers map[string]*containersapi.Container
	tasks      map[string]*task.Process
	images     map[string]*imagesapi.Image
}

func newFake(t testing.TB) *fakeContainerd {
	t.Helper()
	f := &fakeContainerd{
		listener: bufconn.Listen(1 << 20), version: "1.6.20-fake",
		namespaces: map[string]*fakeNamespace{}, blobs: map[string][]byte{},
		calls: map[string]int{}, subscribers: map[chan *types.Envelope]struct{}{},
	}
	f.server = grpc.NewServer()
	versionapi.RegisterVersionServer(f.server, fakeVersion{f: f})
	namespacesapi.RegisterNamespacesServer(f.server, fakeNamespaces{f: f})
	containersapi.RegisterContainersServer(f.server, fakeContainers{f: f})
	tasksapi.RegisterTasksServer(f.server, fakeTasks{f: f})
	imagesapi.RegisterImagesServer(f.server, fakeImages{f: f})
	contentapi.RegisterContentServer(f.server, fakeContent{f: f})
	eventsapi.RegisterEventsServer(f.server, fakeEvents{f: f})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.server.Serve(f.listener)
	}()
	t.Cleanup(func() {
		f.server.Stop()
		<-done
	})
	return f
}

func (f *fakeContainerd) dial(ctx context.Context, _ string) (net.Conn, error) {
	return f.listener.DialContext(ctx)
}

// namespace returns a namespace, which is made if there is none. The caller has the fake for
// itself.
func (f *fakeContainerd) namespace(name string) *fakeNamespace {
	ns := f.namespaces[name]
	if ns == nil {
		ns = &fakeNamespace{containers: map[string]*containersapi.Container{},
			tasks: map[string]*task.Process{}, images: map[string]*imagesapi.Image{}}
		f.namespaces[name] = ns
	}
	return ns
}

// with changes what the fake has.
func (f *fakeContainerd) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// asked returns how often each method was called, and begins again.
func (f *fakeContainerd) asked() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.calls
	f.calls = map[string]int{}
	return out
}

// send sends events to all subscribers, of which it waits for one: nothing tells when a
// subscription counts.
func (f *fakeContainerd) send(envelopes ...*types.Envelope) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		if len(f.subscribers) > 0 || time.Now().After(deadline) {
			break
		}
		f.mu.Unlock()
	}
	defer f.mu.Unlock()
	for _, e := range envelopes {
		for s := range f.subscribers {
			s <- e
		}
	}
}

// begin counts a call and lets go wrong what is to.
func (f *fakeContainerd) begin(ctx context.Context, method, id string) (*fakeNamespace, error) {
	name, _ := namespaces.Namespace(ctx)
	f.mu.Lock()
	f.calls[method]++
	fault := f.fault
	f.mu.Unlock()
	if fault != nil {
		if err := fault(ctx, method, name, id); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ns := f.namespaces[name]; ns != nil {
		return ns, nil
	}
	return &fakeNamespace{}, nil
}

type fakeVersion struct {
	versionapi.UnimplementedVersionServer
	f *fakeContainerd
}

func (s fakeVersion) Version(ctx context.Context, _ *emptypb.Empty) (*versionapi.VersionResponse,
	error) {
	if _, err := s.f.begin(ctx, "Version", ""); err != nil {
		return nil, err
	}
	return &versionapi.VersionResponse{Version: s.f.version}, nil
}

type fakeNamespaces struct {
	namespacesapi.UnimplementedNamespacesServer
	f *fakeContainerd
}

func (s fakeNamespaces) List(ctx context.Context,
	_ *namespacesapi.ListNamespacesRequest) (*namespacesapi.ListNamespacesResponse, error) {
	if _, err := s.f.begin(ctx, "Namespaces/List", ""); err != nil {
		return nil, err
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	out := new(namespacesapi.ListNamespacesResponse)
	for name := range s.f.namespaces {
		out.Namespaces = append(out.Namespaces, &namespacesapi.Namespace{Name: name})
	}
	return out, nil
}

type fakeContainers struct {
	containersapi.UnimplementedContainersServer
	f *fakeContainerd
}

func (s fakeContainers) Get(ctx context.Context,
	in *containersapi.GetContainerRequest) (*containersapi.GetContainerResponse, error) {
	ns, err := s.f.begin(ctx, "Containers/Get", in.ID)
	if err != nil {
		return nil, err
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c := ns.containers[in.ID]
	if c == nil {
		return nil, status.Errorf(codes.NotFound, "container %q: not found", in.ID)
	}
	return &containersapi.GetContainerResponse{Container: c}, nil
}

func (s fakeContainers) ListStream(_ *containersapi.ListContainersRequest,
	stream containersapi.Containers_ListStreamServer) error {
	ns, err := s.f.begin(stream.Context(), "Containers/ListStream", "")
	if err != nil {
		return err
	}
	s.f.mu.Lock()
	var all []*containersapi.Container
	for _, c := range ns.containers {
		all = append(all, c)
	}
	s.f.mu.Unlock()
	for _, c := range all {
		if err := stream.Send(&containersapi.ListContainerMessage{Container: c}); err != nil {
			return err
		}
	}
	return nil
}

type fakeTasks struct {
	tasksapi.UnimplementedTasksServer
	f *fakeContainerd
}

func (s fakeTasks) Get(ctx context.Context, in *tasksapi.GetRequest) (*tasksapi.GetResponse,
	error) {
	ns, err := s.f.begin(ctx, "Tasks/Get", in.ContainerID)
	if err != nil {
		return nil, err
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	p := ns.tasks[in.ContainerID]
	if p == nil {
		return nil, status.Errorf(codes.NotFound, "no running task found: task %s not found",
			in.ContainerID)
	}
	return &tasksapi.GetResponse{Process: p}, nil
}

func (s fakeTasks) List(ctx context.Context,
	_ *tasksapi.ListTasksRequest) (*tasksapi.ListTasksResponse, error) {
	ns, err := s.f.begin(ctx, "Tasks/List", "")
	if err != nil {
		return nil, err
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	out := new(tasksapi.ListTasksResponse)
	for _, p := range ns.tasks {
		out.Tasks = append(out.Tasks, p)
	}
	return out, nil
}

type fakeImages struct {
	imagesapi.UnimplementedImagesServer
	f *fakeContainerd
}

func (s fakeImages) Get(ctx context.Context,
	in *imagesapi.GetImageRequest) (*imagesapi.GetImageResponse, error) {
	ns, err := s.f.begin(ctx, "Images/Get", in.Name)
	if err != nil {
		return nil, err
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	i := ns.images[in.Name]
	if i == nil {
		return nil, status.Errorf(codes.NotFound, "image %q: not found", in.Name)
	}
	return &imagesapi.GetImageResponse{Image: i}, nil
}

func (s fakeImages) List(ctx context.Context,
	in *imagesapi.ListImagesRequest) (*imagesapi.ListImagesResponse, error) {
	ns, err := s.f.begin(ctx, "Images/List", "")
	if err != nil {
		return nil, err
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	out := new(imagesapi.ListImagesResponse)
	for _, i := range ns.images {
		if len(in.Filters) == 0 || slices.Contains(in.Filters, "target.digest=="+i.Target.Digest) {
			out.Images = append(out.Images, i)
		}
	}
	return out, nil
}

type fakeContent struct {
	contentapi.UnimplementedContentServer
	f *fakeContainerd
}

func (s fakeContent) Read(in *contentapi.ReadContentRequest,
	stream contentapi.Content_ReadServer) error {
	if _, err := s.f.begin(stream.Context(), "Content/Read", in.Digest); err != nil {
		return err
	}
	s.f.mu.Lock()
	blob, ok := s.f.blobs[in.Digest]
	s.f.mu.Unlock()
	if !ok {
		return status.Errorf(codes.NotFound, "content %s: not found", in.Digest)
	}
	for part := range slices.Chunk(blob, 1000) {
		if err := stream.Send(&contentapi.ReadContentResponse{Data: part}); err != nil {
			return err
		}
	}
	return nil
}

type fakeEvents struct {
	eventsapi.UnimplementedEventsServer
	f *fakeContainerd
}

func (s fakeEvents) Subscribe(in *eventsapi.SubscribeRequest,
	stream eventsapi.Events_SubscribeServer) error {
	if _, err := s.f.begin(stream.Context(), "Events/Subscribe",
		strings.Join(in.Filters, " ")); err != nil {
		return err
	}
	events := make(chan *types.Envelope, 10000)
	s.f.with(func() {
		s.f.filters = in.Filters
		s.f.subscribers[events] = struct{}{}
	})
	defer s.f.with(func() { delete(s.f.subscribers, events) })
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case e, ok := <-events:
			if !ok {
				return status.Error(codes.Unavailable, "the fake is closing")
			}
			if err := stream.Send(e); err != nil {
				return err
			}
		}
	}
}
