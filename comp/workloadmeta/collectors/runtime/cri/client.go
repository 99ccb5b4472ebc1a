package cri

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// maxAnswer bounds one message. It is more than any runtime sends by default, which is up to 80 MiB
// from CRI-O: what is refused is then refused by the runtime, whose limit nobody else can raise.
const maxAnswer = 128 << 20

// errNoCRI says that somebody answers who does not know the interface. It is not for good: the
// runtime may be upgraded or configured.
var errNoCRI error = &workloadmeta.Error{Cause: workloadmeta.CauseUnsupported,
	Hint: "containerd needs to be 1.6 or later with its CRI plugin not among disabled_plugins, " +
		"CRI-O 1.23 or later",
	Err: errors.New("the runtime does not serve version v1 of the container runtime interface")}

// client is a connection to a runtime, for one pull. Its calls may be made from several goroutines;
// each ends when its context does.
type client struct {
	path     string
	conn     *grpc.ClientConn
	runtime  runtimeapi.RuntimeServiceClient
	images   runtimeapi.ImageServiceClient
	timeout  time.Duration // of lists
	counters *counters
	peer     *mapping.Peer
}

// newClient prepares a connection, which the first call makes.
func (c *Collector) newClient(path string) (*client, error) {
	r := &client{path: path, timeout: c.opts.CallTimeout, counters: c.counters,
		peer: mapping.NewGRPCPeer()}
	dial := r.peer.Watch(c.dial)
	conn, err := grpc.NewClient(
		"passthrough:///cri", // the address is path, whatever characters are in it
		grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return dial(ctx, "unix", path)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithDisableHealthCheck(),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to the runtime at %s: %w", path, err)
	}
	r.conn, r.runtime, r.images = conn, runtimeapi.NewRuntimeServiceClient(conn),
		runtimeapi.NewImageServiceClient(conn)
	return r, nil
}

func (r *client) close() {
	r.conn.Close() //nolint:errcheck // it fails only if it is closed already
}

// callError is a runtime's refusal. Its text is the runtime's, without what the library puts around
// it.
type callError struct {
	code codes.Code
	text string
}

func (e *callError) Error() string { return e.text }

func isNotFound(err error) bool {
	e, ok := errors.AsType[*callError](err)
	return ok && e.code == codes.NotFound
}

// call makes one call and says in its error what went wrong, for people.
func call[Q, A any](ctx context.Context, r *client, method string, timeout time.Duration,
	do func(context.Context, Q, ...grpc.CallOption) (A, error), question Q) (A, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := do(limited, question)
	if err != nil {
		err = r.explain(ctx, limited, timeout, err)
	}
	r.counters.called(method, err)
	return answer, err
}

func (r *client) explain(ctx, limited context.Context, timeout time.Duration, err error) error {
	dialErr := r.peer.DialError()
	said := status.Convert(err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(dialErr, fs.ErrPermission):
		return &workloadmeta.Error{Cause: workloadmeta.CauseDenied, Hint: permission, Err: dialErr}
	case dialErr != nil && said.Code() == codes.Unavailable:
		return dialErr
	case limited.Err() != nil || gaveUp(limited, timeout, said.Code()):
		return fmt.Errorf("no answer within %v: %w", timeout, context.DeadlineExceeded)
	case said.Code() == codes.Unimplemented:
		return fmt.Errorf("%w (it says: %s)", errNoCRI, shortened(said.Message()))
	}
	return &workloadmeta.Error{Cause: workloadmeta.CauseOf(r.peer.Explain(err)),
		Err: &callError{said.Code(), shortened(said.Message())}}
}

// gaveUp reports whether an answer means that the runtime's side, which is told of the time limit,
// has noticed its end a moment before ours.
func gaveUp(limited context.Context, timeout time.Duration, code codes.Code) bool {
	end, ok := limited.Deadline()
	return ok && (code == codes.Canceled || code == codes.DeadlineExceeded) &&
		time.Until(end) < timeout/10+10*time.Millisecond
}

// shortened keeps an error that quotes something big from filling logs.
func shortened(s string) string {
	const most = 500
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (r *client) version(ctx context.Context) (*runtimeapi.VersionResponse, error) {
	answer, err := call(ctx, r, "Version", r.timeout, r.runtime.Version,
		&runtimeapi.VersionRequest{})
	if err != nil {
		return nil, fmt.Errorf("ask the runtime at %s for its version: %w", r.path, err)
	}
	return answer, nil
}

func (r *client) listImages(ctx context.Context, timeout time.Duration) ([]*runtimeapi.Image,
	error) {
	answer, err := call(ctx, r, "ListImages", timeout, r.images.ListImages,
		&runtimeapi.ListImagesRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the images of the runtime at %s: %w", r.path, err)
	}
	return answer.GetImages(), nil
}

func (r *client) containerStatus(ctx context.Context, timeout time.Duration, id string,
	verbose bool) (*runtimeapi.ContainerStatusResponse, error) {
	answer, err := call(ctx, r, "ContainerStatus", timeout, r.runtime.ContainerStatus,
		&runtimeapi.ContainerStatusRequest{ContainerId: id, Verbose: verbose})
	if err == nil && answer.GetStatus() == nil {
		err = errors.New("the answer is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("status of container %s: %w", id, err)
	}
	return answer, nil
}

func (r *client) sandboxStatus(ctx context.Context, timeout time.Duration,
	id string) (*runtimeapi.PodSandboxStatusResponse, error) {
	answer, err := call(ctx, r, "PodSandboxStatus", timeout, r.runtime.PodSandboxStatus,
		&runtimeapi.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
	if err == nil && answer.GetStatus() == nil {
		err = errors.New("the answer is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("status of pod sandbox %s: %w", id, err)
	}
	return answer, nil
}

func (r *client) imageStatus(ctx context.Context, timeout time.Duration,
	id string) (*runtimeapi.ImageStatusResponse, error) {
	answer, err := call(ctx, r, "ImageStatus", timeout, r.images.ImageStatus,
		&runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: id}, Verbose: true})
	if err == nil && answer.GetImage() == nil {
		// which it says by silence
		err = &callError{codes.NotFound, "the runtime does not have it any more"}
	}
	if err != nil {
		return nil, fmt.Errorf("status of image %s: %w", id, err)
	}
	return answer, nil
}
