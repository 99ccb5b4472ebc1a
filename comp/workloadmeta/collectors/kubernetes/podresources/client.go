package podresources

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// maxAnswer bounds one answer of the kubelet.
const maxAnswer = 64 << 20

// client asks the kubelet over its socket. Nothing keeps the connection open by pings: the
// kubelet's servers take more than one in five minutes for an attack.
type client struct {
	path    string
	conn    *grpc.ClientConn
	api     podresourcesv1.PodResourcesListerClient
	timeout time.Duration

	mu      sync.Mutex
	dialErr error // of the last connection that failed
}

func (c *Collector) connect() (*client, error) {
	a := &client{path: c.opts.Socket, timeout: c.opts.CallTimeout}
	conn, err := grpc.NewClient("passthrough:///kubelet", // the address is path, whatever is in it
		grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := c.dial(ctx, "unix", a.path)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.dialErr = err
			return conn, err
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithDisableHealthCheck(),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to the kubelet's PodResources API at %s: %w", a.path, err)
	}
	a.conn, a.api = conn, podresourcesv1.NewPodResourcesListerClient(conn)
	return a, nil
}

func (a *client) close() {
	a.conn.Close() //nolint:errcheck // it fails only if it is closed already
}

func (a *client) list(ctx context.Context) ([]*podresourcesv1.PodResources, error) {
	limited, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	answer, err := a.api.List(limited, &podresourcesv1.ListPodResourcesRequest{})
	if err != nil {
		return nil, a.explain(ctx, err)
	}
	return answer.GetPodResources(), nil
}

// rejected is the answer to a question that is one too many in this second, for all clients of the
// node together.
func rejected(err error) bool { return status.Code(err) == codes.ResourceExhausted }

// explain says what went wrong, with a cause. The library's status stays below it.
func (a *client) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	a.mu.Lock()
	dialErr := a.dialErr
	a.mu.Unlock()
	e := &workloadmeta.Error{Err: fmt.Errorf("list devices at %s: %w", a.path, err)}
	switch code := status.Code(err); {
	case errors.Is(dialErr, fs.ErrPermission):
		e.Cause, e.Hint = workloadmeta.CauseDenied, permission
		e.Err = fmt.Errorf("list devices: %w", dialErr)
	case dialErr != nil && code == codes.Unavailable:
		e.Cause = workloadmeta.CauseOf(dialErr)
		e.Err = fmt.Errorf("list devices: %w", dialErr)
	case code == codes.Unavailable:
		e.Cause = workloadmeta.CauseRefused
	case code == codes.Unimplemented:
		e.Cause = workloadmeta.CauseUnsupported
		e.Hint = "the kubelet has version v1 of the PodResources API since Kubernetes 1.20"
	case code == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded):
		e.Cause = workloadmeta.CauseTimeout
	}
	return e
}
