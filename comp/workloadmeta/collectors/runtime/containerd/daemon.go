package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// errNotContainerd says that something else serves the socket.
var errNotContainerd error = &workloadmeta.Error{Cause: workloadmeta.CauseWrongPeer,
	Err: errors.New("something else than containerd answers")}

// daemon is a connection to one containerd. Its calls may be made from several goroutines; each
// ends when its context does.
type daemon struct {
	conn   *grpc.ClientConn
	cli    *client.Client
	peer   *mapping.Peer
	socket string // path
	// of the socket when the connection was made; nil if it could not be looked at
	file    os.FileInfo
	timeout time.Duration // of every call but events
}

// socketPath returns the path in an address: a path or unix:///path.
func socketPath(address string) (string, error) {
	path := strings.TrimPrefix(address, "unix://")
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("containerd address %q: want a path or unix:///path", address)
	}
	return path, nil
}

// newDaemon prepares a connection; it is made by the first call.
func newDaemon(socket string, o *Options) (*daemon, error) {
	dial := o.Dial
	if dial == nil {
		dial = func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
	}
	peer := mapping.NewGRPCPeer()
	watched := peer.Watch(func(ctx context.Context, _, path string) (net.Conn, error) {
		return dial(ctx, path)
	})
	conn, err := grpc.NewClient("passthrough:///"+socket, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), // a Unix socket
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return watched(ctx, "unix", socket)
		}),
		grpc.WithAuthority("localhost"),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6,
				Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: o.CallTimeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(defaults.DefaultMaxRecvMsgSize)),
	}, o.dialOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("containerd at %s: %w", socket, err)
	}
	cli, err := client.NewWithConn(conn)
	if err != nil {
		conn.Close() //nolint:errcheck // it was never used
		return nil, fmt.Errorf("containerd at %s: %w", socket, err)
	}
	d := &daemon{conn: conn, cli: cli, peer: peer, socket: socket, timeout: o.CallTimeout}
	if info, err := os.Stat(socket); err == nil && o.Dial == nil {
		d.file = info
	}
	return d, nil
}

func (d *daemon) close() {
	d.conn.Close() //nolint:errcheck // it fails only if it was closed before
}

// call bounds a request, in a namespace unless that is "".
func (d *daemon) call(ctx context.Context, namespace string) (context.Context, context.CancelFunc) {
	if namespace != "" {
		ctx = namespaces.WithNamespace(ctx, namespace)
	}
	return context.WithTimeout(ctx, d.timeout)
}

// version returns containerd's version: the cheapest call there is.
func (d *daemon) version(ctx context.Context) (string, error) {
	ctx, cancel := d.call(ctx, "")
	defer cancel()
	v, err := d.cli.VersionService().Version(ctx, &emptypb.Empty{})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return "", fmt.Errorf("%w at %s", errNotContainerd, d.socket)
	case err != nil:
		return "", fmt.Errorf("ask containerd at %s for its version: %w", d.socket,
			d.peer.Explain(errgrpc.ToNative(err)))
	}
	return v.Version, nil
}

// replaced reports whether another socket is at the path by now: whoever listens at the old one is
// not the one to ask any more.
func (d *daemon) replaced() bool {
	if d.file == nil {
		return false
	}
	info, err := os.Stat(d.socket)
	return err == nil && !os.SameFile(info, d.file)
}

// subscribe opens the event stream, which ends with ctx.
func (d *daemon) subscribe(ctx context.Context, filters []string) (eventsapi.Events_SubscribeClient,
	error) {
	stream, err := eventsapi.NewEventsClient(d.conn).Subscribe(ctx,
		&eventsapi.SubscribeRequest{Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("subscribe to events: %w", errgrpc.ToNative(err))
	}
	return stream, nil
}

func (d *daemon) listNamespaces(ctx context.Context) ([]string, error) {
	ctx, cancel := d.call(ctx, "")
	defer cancel()
	names, err := d.cli.NamespaceService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	return names, nil
}

func (d *daemon) listContainers(ctx context.Context, namespace string) ([]containers.Container,
	error) {
	ctx, cancel := d.call(ctx, namespace)
	defer cancel()
	list, err := d.cli.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers in namespace %s: %w", namespace, err)
	}
	return list, nil
}

func (d *daemon) getContainer(ctx context.Context, namespace, id string) (containers.Container,
	error) {
	ctx, cancel := d.call(ctx, namespace)
	defer cancel()
	c, err := d.cli.ContainerService().Get(ctx, id)
	if err != nil {
		return c, fmt.Errorf("get container %s in namespace %s: %w", id, namespace, err)
	}
	return c, nil
}

func (d *daemon) listTasks(ctx context.Context, namespace string) ([]*task.Process, error) {
	ctx, cancel := d.call(ctx, namespace)
	defer cancel()
	list, err := d.cli.TaskService().List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return nil, fmt.Errorf("list tasks in namespace %s: %w", namespace, errgrpc.ToNative(err))
	}
	return list.Tasks, nil
}

func (d *daemon) getTask(ctx context.Context, namespace, id string) (*task.Process, error) {
	ctx, cancel := d.call(ctx, namespace)
	defer cancel()
	t, err := d.cli.TaskService().Get(ctx, &tasksapi.GetRequest{ContainerID: id})
	if err != nil {
		return nil, fmt.Errorf("get the task of container %s in namespace %s: %w", id, namespace,
			errgrpc.ToNative(err))
	}
	return t.Process, nil
}

func (d *daemon) listImages(ctx context.Context, namespace string,
	filters ...string) ([]images.Image, error) {
	ctx, cancel := d.call(ctx, namespace)
	defer cancel()
	list, err := d.cli.ImageService().List(ctx, filters...)
	if err != nil {
		return nil, fmt.Errorf("list images in namespace %s: %w", namespace, err)
	}
	return list, nil
}

func (d *daemon) getImage(ctx context.Context, namespace, name string) (images.Image, error) {
	ctx, cancel := d.call(ctx, namespace)
	defer cancel()
	i, err := d.cli.ImageService().Get(ctx, name)
	if err != nil {
		return i, fmt.Errorf("get image %s in namespace %s: %w", name, namespace, err)
	}
	return i, nil
}

// blob reads content in one request.
func (d *daemon) blob(ctx context.Context, namespace string, b descriptor) ([]byte, error) {
	if b.Size > maxBlob {
		return nil, fmt.Errorf("read blob %s: %w", b.Digest, errTooLarge)
	}
	ctx, cancel := d.call(ctx, namespace)
	defer cancel() // also ends the stream
	stream, err := contentapi.NewContentClient(d.conn).Read(ctx,
		&contentapi.ReadContentRequest{Digest: b.Digest, Size: b.Size})
	if err != nil {
		return nil, fmt.Errorf("read blob %s in namespace %s: %w", b.Digest, namespace,
			errgrpc.ToNative(err))
	}
	var out []byte
	for {
		part, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case status.Code(err) == codes.InvalidArgument: // no digest
			return nil, fmt.Errorf("read blob %s: %w: %w", b.Digest, errdefs.ErrNotFound, err)
		case err != nil:
			return nil, fmt.Errorf("read blob %s in namespace %s: %w", b.Digest, namespace,
				errgrpc.ToNative(err))
		}
		if out = append(out, part.Data...); len(out) > maxBlob {
			return nil, fmt.Errorf("read blob %s: %w", b.Digest, errTooLarge)
		}
	}
}
