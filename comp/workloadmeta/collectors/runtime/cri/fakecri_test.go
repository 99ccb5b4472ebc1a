package cri

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fakeCRI stands in for a runtime: it answers what it was given, and fails as it was told.
type fakeCRI struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer

	mu              sync.Mutex // guards the fields below
	version         *runtimeapi.VersionResponse
	containers      []*runtimeapi.Container
	status          map[string]*runtimeapi.ContainerStatusResponse
	sandboxes       []*runtimeapi.PodSandbox
	sandboxStatuses map[string]*runtimeapi.PodSandboxStatusResponse
	images          []*runtimeapi.Image
	imageStatuses   map[string]*runtimeapi.ImageStatusResponse
	calls           map[string]int    // by method
	statuses        map[string]string // "v" or "s" for each status, by object
	underWay, most  int               // status calls at the same time
	streams         bool              // it has streaming lists
	limit           int               // of a message; 0 = gRPC's own

	// before is called before a call is answered, without the lock; an error is the answer. nil =
	// no faults. about is the ID of an object, or what a list of containers is limited to.
	before func(ctx context.Context, method, about string) error
	// betweenMessages is called between two messages of a stream, in the same way.
	betweenMessages func(method string) error
}

func (f *fakeCRI) between(method string) error {
	var between func(string) error
	f.with(func() { between = f.betweenMessages })
	if between == nil {
		return nil
	}
	return between(method)
}

func newFake() *fakeCRI {
	return &fakeCRI{
		version: &runtimeapi.VersionResponse{Version: "0.1.0", RuntimeName: "cri-o",
			RuntimeVersion: "1.30.4", RuntimeApiVersion: "v1"},
		status:          map[string]*runtimeapi.ContainerStatusResponse{},
		sandboxStatuses: map[string]*runtimeapi.PodSandboxStatusResponse{},
		imageStatuses:   map[string]*runtimeapi.ImageStatusResponse{},
		calls:           map[string]int{}, statuses: map[string]string{},
	}
}

// loadFake returns a fake that answers what a folder of testdata has.
func loadFake(t testing.TB, folder string) *fakeCRI {
	t.Helper()
	f := newFake()
	read := func(file string, m proto.Message) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err == nil {
			err = protojson.Unmarshal(text, m)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	each := func(name string, use func(file string)) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(folder, name, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("nothing in %s/%s: %v", folder, name, err)
		}
		for _, file := range files {
			use(file)
		}
	}
	read(filepath.Join(folder, "version.json"), f.version)
	var containers runtimeapi.ListContainersResponse
	read(filepath.Join(folder, "containers.json"), &containers)
	var sandboxes runtimeapi.ListPodSandboxResponse
	read(filepath.Join(folder, "sandboxes.json"), &sandboxes)
	var images runtimeapi.ListImagesResponse
	read(filepath.Join(folder, "images.json"), &images)
	f.containers, f.sandboxes, f.images = containers.Containers, sandboxes.Items, images.Images
	each("container-status", func(file string) {
		var m runtimeapi.ContainerStatusResponse
		read(file, &m)
		f.status[m.Status.Id] = &m
	})
	each("sandbox-status", func(file string) {
		var m runtimeapi.PodSandboxStatusResponse
		read(file, &m)
		f.sandboxStatuses[m.Status.Id] = &m
	})
	each("image-status", func(file string) {
		var m runtimeapi.ImageStatusResponse
		read(file, &m)
		f.imageStatuses[m.Image.Id] = &m
	})
	return f
}

// serve answers at a socket until stop is called, at the latest at the test's end.
func (f *fakeCRI) serve(t testing.TB, socket string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	return f.serveOn(t, l)
}

func (f *fakeCRI) serveOn(t testing.TB, l net.Listener) (stop func()) {
	t.Helper()
	options := []grpc.ServerOption{grpc.UnaryInterceptor(f.intercept),
		grpc.StreamInterceptor(f.interceptStream)}
	if f.limit > 0 {
		options = append(options, grpc.MaxSendMsgSize(f.limit))
	}
	server := grpc.NewServer(options...)
	runtimeapi.RegisterRuntimeServiceServer(server, f)
	runtimeapi.RegisterImageServiceServer(server, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends with Stop
	}()
	stop = sync.OnceFunc(func() {
		server.Stop()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// socket serves at a new socket.
func (f *fakeCRI) socket(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cri.sock")
	f.serve(t, path)
	return path
}

func (f *fakeCRI) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeCRI) intercept(ctx context.Context, q any, info *grpc.UnaryServerInfo,
	answer grpc.UnaryHandler) (any, error) {
	method, id, verbose := path.Base(info.FullMethod), "", false
	switch q := q.(type) {
	case *runtimeapi.ContainerStatusRequest:
		id, verbose = q.ContainerId, q.Verbose
	case *runtimeapi.PodSandboxStatusRequest:
		id, verbose = q.PodSandboxId, q.Verbose
	case *runtimeapi.ImageStatusRequest:
		id, verbose = q.Image.Image, q.Verbose
	}
	about := id // what a list is limited to, or the object
	if q, ok := q.(*runtimeapi.ListContainersRequest); ok && q.Filter != nil {
		about = q.Filter.PodSandboxId
		if about == "" {
			about = q.Filter.State.State.String()
		}
	}
	var before func(context.Context, string, string) error
	f.with(func() {
		f.calls[method]++
		before = f.before
		switch {
		case verbose:
			f.statuses[id] += "v"
		case id != "":
			f.statuses[id] += "s"
		}
		if id != "" {
			f.underWay++
			f.most = max(f.most, f.underWay)
		}
	})
	defer f.with(func() {
		if id != "" {
			f.underWay--
		}
	})
	if before != nil {
		if err := before(ctx, method, about); err != nil {
			return nil, err
		}
	}
	return answer(ctx, q)
}

func (f *fakeCRI) interceptStream(server any, stream grpc.ServerStream,
	info *grpc.StreamServerInfo, answer grpc.StreamHandler) error {
	method := path.Base(info.FullMethod)
	var streams bool
	var before func(context.Context, string, string) error
	f.with(func() {
		f.calls[method]++
		streams, before = f.streams, f.before
	})
	if !streams {
		return status.Error(codes.Unimplemented, "unknown method "+method)
	}
	if before != nil {
		if err := before(stream.Context(), method, ""); err != nil {
			return err
		}
	}
	return answer(server, stream)
}

// count returns how often a method was called since the last count; "" means all.
func (f *fakeCRI) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for m, calls := range f.calls {
		if method == "" || m == method {
			n += calls
			delete(f.calls, m)
		}
	}
	return n
}

// asked returns which statuses of an object were asked for: "s" for a short one, "v" for a verbose
// one.
func (f *fakeCRI) asked(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.statuses[id]
}

// crowd returns how many statuses were asked for at the same time, at most.
func (f *fakeCRI) crowd() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

func (f *fakeCRI) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse,
	error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.version, nil
}

func (f *fakeCRI) ListContainers(_ context.Context,
	q *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*runtimeapi.Container
	for _, k := range f.containers {
		if (q.GetFilter().GetState() == nil || q.Filter.State.State == k.State) &&
			(q.GetFilter().GetPodSandboxId() == "" || q.Filter.PodSandboxId == k.PodSandboxId) {
			out = append(out, k)
		}
	}
	return &runtimeapi.ListContainersResponse{Containers: out}, nil
}

func (f *fakeCRI) ListPodSandbox(_ context.Context,
	q *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*runtimeapi.PodSandbox
	for _, s := range f.sandboxes {
		if q.GetFilter().GetState() == nil || q.Filter.State.State == s.State {
			out = append(out, s)
		}
	}
	return &runtimeapi.ListPodSandboxResponse{Items: out}, nil
}

// chunk is how many entries a message of a stream has.
const chunk = 1000

func (f *fakeCRI) StreamContainers(_ *runtimeapi.StreamContainersRequest,
	to grpc.ServerStreamingServer[runtimeapi.StreamContainersResponse]) error {
	var all []*runtimeapi.Container
	f.with(func() { all = slices.Clone(f.containers) })
	for some := range slices.Chunk(all, chunk) {
		if err := to.Send(&runtimeapi.StreamContainersResponse{Containers: some}); err != nil {
			return err
		}
		if err := f.between("StreamContainers"); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeCRI) StreamPodSandboxes(_ *runtimeapi.StreamPodSandboxesRequest,
	to grpc.ServerStreamingServer[runtimeapi.StreamPodSandboxesResponse]) error {
	var all []*runtimeapi.PodSandbox
	f.with(func() { all = slices.Clone(f.sandboxes) })
	for some := range slices.Chunk(all, chunk) {
		err := to.Send(&runtimeapi.StreamPodSandboxesResponse{PodSandboxes: some})
		if err != nil {
			return err
		}
		if err := f.between("StreamPodSandboxes"); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeCRI) ListImages(context.Context,
	*runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &runtimeapi.ListImagesResponse{Images: slices.Clone(f.images)}, nil
}

func (f *fakeCRI) ContainerStatus(_ context.Context,
	q *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := f.status[q.ContainerId]
	if answer == nil {
		return nil, status.Errorf(codes.NotFound, "could not find container %q", q.ContainerId)
	}
	if !q.Verbose {
		return &runtimeapi.ContainerStatusResponse{Status: answer.Status}, nil
	}
	return answer, nil
}

func (f *fakeCRI) PodSandboxStatus(_ context.Context,
	q *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := f.sandboxStatuses[q.PodSandboxId]
	if answer == nil {
		return nil, status.Errorf(codes.NotFound, "could not find pod %q", q.PodSandboxId)
	}
	return answer, nil
}

func (f *fakeCRI) ImageStatus(_ context.Context,
	q *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if answer := f.imageStatuses[q.Image.Image]; answer != nil {
		return answer, nil
	}
	for id, answer := range f.imageStatuses { // CRI-O takes IDs with and without their algorithm
		if "sha256:"+id == q.Image.Image {
			return answer, nil
		}
	}
	return &runtimeapi.ImageStatusResponse{}, nil
}

// add adds a container in a pod of its own, with an image that all share.
func (f *fakeCRI) add(n int, state runtimeapi.ContainerState) string {
	id := fmt.Sprintf("%064x", n+1)
	sandbox := fmt.Sprintf("%064x", 1<<32+n)
	name := fmt.Sprint("c", n)
	labels := map[string]string{
		"io.kubernetes.pod.name": "pod-" +
			name, "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": "uid-" + name,
		"io.kubernetes.container.name": name,
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	created := int64(1795309695562220057 + n)
	f.containers = append(f.containers, &runtimeapi.Container{
		Id: id, PodSandboxId: sandbox, Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: sharedImage},
		ImageRef: sharedImage, State: state, CreatedAt: created, Labels: labels,
		Annotations: map[string]string{"io.kubernetes.container.restartCount": "0"},
	})
	f.sandboxes = append(f.sandboxes, &runtimeapi.PodSandbox{
		Id: sandbox, Metadata: &runtimeapi.PodSandboxMetadata{Name: "pod-" + name,
			Namespace: "default", Uid: "uid-" + name}, CreatedAt: created,
	})
	f.sandboxStatuses[sandbox] = &runtimeapi.PodSandboxStatusResponse{
		Status: &runtimeapi.PodSandboxStatus{Id: sandbox,
			Network: &runtimeapi.PodSandboxNetworkStatus{
				Ip: fmt.Sprintf("10.0.%d.%d", n/250, n%250+1)}},
		Info: map[string]string{"info": fmt.Sprintf(`{"config":{"hostname":"pod-%s"}}`, name)},
	}
	f.status[id] = &runtimeapi.ContainerStatusResponse{
		Status: &runtimeapi.ContainerStatus{
			Id: id, State: state, CreatedAt: created, StartedAt: created +
				1, Image: &runtimeapi.ImageSpec{Image: "example.test/app:v1"},
			ImageRef: sharedImage,
		},
		Info: map[string]string{"info": fmt.Sprintf(
			`{"pid":%d,"runtimeSpec":{"process":{"env":["DD_ENV=prod","SECRET=hunter2"]},"linux":{"cgroupsPath":"/kubepods/%s"}}}`, 1000+n, id)},
	}
	if len(f.images) == 0 {
		f.images = []*runtimeapi.Image{{Id: sharedImage, RepoTags: []string{"example.test/app:v1"},
			Size: 7}}
		f.imageStatuses[sharedImage] = &runtimeapi.ImageStatusResponse{
			Image: f.images[0],
			Info:  map[string]string{"info": `{"imageSpec":{"os":"linux","architecture":"amd64"}}`},
		}
	}
	return id
}

const sharedImage = "sha256:914f000000000000000000000000000000000000000000000000000000000000"

// change replaces a container's entry in the list, and its status unless it is nil.
func (f *fakeCRI) change(id string, entry func(*runtimeapi.Container),
	in func(*runtimeapi.ContainerStatus)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, k := range f.containers {
		if k.Id == id {
			k = proto.CloneOf(k)
			entry(k)
			f.containers[i] = k
		}
	}
	if in != nil {
		s := proto.CloneOf(f.status[id])
		in(s.Status)
		f.status[id] = s
	}
}

// remove makes the runtime forget a container.
func (f *fakeCRI) remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.containers = slices.DeleteFunc(f.containers,
		func(k *runtimeapi.Container) bool { return k.Id == id })
	delete(f.status, id)
}

// collector is a collector whose clock a test sets.
type collector struct {
	*Collector
	t     testing.TB
	clock time.Time
}

func newCollector(t testing.TB, socket string, change func(*Options)) *collector {
	t.Helper()
	o := Options{Socket: socket, Log: slog.New(slog.DiscardHandler),
		CallTimeout: time.Minute, StatusWait: time.Minute} // however busy this machine is
	if change != nil {
		change(&o)
	}
	inner, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{Collector: inner, t: t, clock: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	c.Collector.now = func() time.Time { return c.clock }
	return c
}

// newInMemory returns a collector of a fake in a bubble, where one that waits for a socket would
// stop the clock.
func newInMemory(t testing.TB, f *fakeCRI, change func(*Options)) *collector {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cri.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := bufconn.Listen(1 << 20)
	f.serveOn(t, l)
	c := newCollector(t, path, change)
	c.dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return l.DialContext(ctx) }
	return c
}

// answer is what one pull has reported.
type answer struct {
	containers map[string]*workloadmeta.Container
	images     map[string]*workloadmeta.ContainerImageMetadata
	gone       map[string]*workloadmeta.Container
}

func (a *answer) Unset(entities ...workloadmeta.Entity) {
	if len(a.containers) > 0 {
		panic("an end comes after the others")
	}
	for _, e := range entities {
		a.gone[e.GetID().ID] = e.(*workloadmeta.Container)
	}
}

func (a *answer) Set(entities ...workloadmeta.Entity) {
	for _, e := range entities {
		if err := (workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet,
			Source: workloadmeta.SourceRuntime, Entity: e}).Validate(); err != nil {
			panic(err)
		}
		switch e := e.(type) {
		case *workloadmeta.Container:
			a.containers[e.ID] = e
		case *workloadmeta.ContainerImageMetadata:
			a.images[e.ID] = e
		default:
			panic(fmt.Sprintf("a %T was reported", e))
		}
	}
}

func (a *answer) Apply([]workloadmeta.CollectorEvent) { panic("a pull only sets and unsets") }
func (a *answer) Synced()                             {}
func (a *answer) Known(workloadmeta.EntityID) bool    { return false }

// tryPull is the pull of 5 s later.
func (c *collector) tryPull() (*answer, error) {
	a := &answer{map[string]*workloadmeta.Container{},
		map[string]*workloadmeta.ContainerImageMetadata{}, map[string]*workloadmeta.Container{}}
	c.clock = c.clock.Add(5 * time.Second)
	err := c.Pull(context.Background(), a)
	return a, err
}

func (c *collector) pull() *answer {
	c.t.Helper()
	a, err := c.tryPull()
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}
