// Package kubeletsocket connects to the gRPC services that a kubelet has on Unix sockets, and says
// what went wrong there.
package kubeletsocket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// maxAnswer bounds one answer of the kubelet.
const maxAnswer = 64 << 20

// Dialer is the type of [net.Dialer.DialContext].
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// API is one of the kubelet's services, for error messages.
type API struct {
	Name  string // "Pods API"
	Since string // what a kubelet without it should be told: "the kubelet has the Pods API since …"
}

// RootOnly says what to do where the socket is not ours to open.
func (a API) RootOnly() string { return "the " + a.Name + " is for root only: run as root" }

// Conn is a connection to one of the sockets. It connects when something is asked, and nothing
// keeps it open by pings: the kubelet's servers take more than one in five minutes for an attack,
// and hang up.
type Conn struct {
	*grpc.ClientConn
	api  API
	path string

	mu      sync.Mutex
	dialErr error // of the last connection that failed
}

// New returns a connection to the service at a path.
func New(api API, path string, dial Dialer) (*Conn, error) {
	c := &Conn{api: api, path: path}
	conn, err := grpc.NewClient("passthrough:///kubelet", // the address is path, whatever is in it
		grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := dial(ctx, "unix", path)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.dialErr = err
			return conn, err
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithDisableHealthCheck(),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to the kubelet's %s at %s: %w", api.Name, path, err)
	}
	c.ClientConn = conn
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() {
	c.ClientConn.Close() //nolint:errcheck // it fails only if it is closed already
}

// Rejected reports whether an error is the answer to a question that is one too many in this
// second, for all clients of the node together.
func Rejected(err error) bool { return status.Code(err) == codes.ResourceExhausted }

// Explain says what went wrong with a question, with a cause. The library's status stays below it.
func (c *Conn) Explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.mu.Lock()
	dialErr := c.dialErr
	c.mu.Unlock()
	e := &workloadmeta.Error{Err: fmt.Errorf("%s at %s: %w", what, c.path, err)}
	switch code := status.Code(err); {
	case errors.Is(dialErr, fs.ErrPermission):
		e.Cause, e.Hint = workloadmeta.CauseDenied, c.api.RootOnly()
		e.Err = fmt.Errorf("%s: %w", what, dialErr)
	case dialErr != nil && code == codes.Unavailable:
		e.Cause = workloadmeta.CauseOf(dialErr)
		e.Err = fmt.Errorf("%s: %w", what, dialErr)
	case code == codes.Unavailable:
		e.Cause = workloadmeta.CauseRefused
	case code == codes.Unimplemented:
		e.Cause, e.Hint = workloadmeta.CauseUnsupported, c.api.Since
	case code == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded):
		e.Cause = workloadmeta.CauseTimeout
	}
	return e
}
