package mapping

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Dial opens a connection.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Peer watches the connections to one daemon, to tell the cause of a failure that the clients'
// libraries have made a text of: nobody can be reached, or something else answers.
type Peer struct {
	speaks func(begin []byte) bool

	mu      sync.Mutex // guards the fields below
	dialErr error      // of the last attempt to connect
	wrong   bool       // the last connection's first answer was in another protocol, or none
}

// NewHTTPPeer watches connections on which HTTP/1 is spoken, without TLS.
func NewHTTPPeer() *Peer {
	protocol := []byte("HTTP/")
	return &Peer{speaks: func(begin []byte) bool {
		n := min(len(begin), len(protocol))
		return bytes.Equal(begin[:n], protocol[:n])
	}}
}

// NewGRPCPeer watches connections on which gRPC is spoken, without TLS. The first that an HTTP/2
// server says is a frame with its settings: a length of three bytes, of which it needs one, and
// type 4.
func NewGRPCPeer() *Peer {
	return &Peer{speaks: func(begin []byte) bool {
		return begin[0] == 0 && (len(begin) < 4 || begin[1] == 0 && begin[3] == 4)
	}}
}

// Watch returns a Dial that notes how it goes.
func (p *Peer) Watch(dial Dial) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		p.mu.Lock()
		p.dialErr, p.wrong = err, false
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: conn, peer: p}, nil
	}
}

// watchedConn looks at the first that the other side says, and passes it on.
type watchedConn struct {
	net.Conn
	peer *Peer

	mu           sync.Mutex // guards the fields below
	asked, heard bool
}

// Write implements [io.Writer].
func (c *watchedConn) Write(data []byte) (int, error) {
	c.mu.Lock()
	c.asked = true
	c.mu.Unlock()
	return c.Conn.Write(data)
}

// Read implements [io.Reader].
func (c *watchedConn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	c.mu.Lock()
	first := !c.heard
	c.heard = true
	hungUp := n == 0 && errors.Is(err, io.EOF) && c.asked
	c.mu.Unlock()
	if first && (hungUp || n > 0 && !c.peer.speaks(into[:n])) {
		c.peer.mu.Lock()
		c.peer.wrong = true
		c.peer.mu.Unlock()
	}
	return n, err
}

// DialError returns why the last attempt to connect has failed, nil if it has not.
func (p *Peer) DialError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialErr
}

// Explain returns the error of a call with its cause, if that is known.
func (p *Peer) Explain(err error) error {
	cause := workloadmeta.CauseOf(err)
	if cause == "" {
		cause = p.causeOf(err)
	}
	if cause == "" {
		return err
	}
	return &workloadmeta.Error{Cause: cause, Err: err}
}

func (p *Peer) causeOf(err error) workloadmeta.Cause {
	if cause := causeOfAnswer(err); cause != "" || err == nil {
		return cause
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wrong {
		return workloadmeta.CauseWrongPeer
	}
	return workloadmeta.CauseOf(p.dialErr)
}

// causeOfAnswer returns the cause that a daemon's own answer shows.
func causeOfAnswer(err error) workloadmeta.Cause {
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, other := errors.AsType[x509.HostnameError](err)
	code := codes.Unknown
	if s, ok := status.FromError(err); ok {
		code = s.Code()
	}
	switch {
	case noTLS, errors.Is(err, http.ErrSchemeMismatch):
		return workloadmeta.CauseWrongPeer
	case alert, unknown, invalid, other, errdefs.IsUnauthorized(err),
		code == codes.Unauthenticated:
		return workloadmeta.CauseUnauthenticated
	case errdefs.IsPermissionDenied(err), code == codes.PermissionDenied:
		return workloadmeta.CauseForbidden
	case errdefs.IsNotImplemented(err), code == codes.Unimplemented:
		return workloadmeta.CauseUnsupported
	case errdefs.IsDeadlineExceeded(err), code == codes.DeadlineExceeded:
		return workloadmeta.CauseTimeout
	}
	return ""
}

// CauseOfHTTP returns the cause that the status of an HTTP answer shows.
func CauseOfHTTP(code int) workloadmeta.Cause {
	switch code {
	case http.StatusUnauthorized:
		return workloadmeta.CauseUnauthenticated
	case http.StatusForbidden:
		return workloadmeta.CauseForbidden
	case http.StatusNotImplemented:
		return workloadmeta.CauseUnsupported
	case http.StatusGatewayTimeout:
		return workloadmeta.CauseTimeout
	}
	return ""
}

// NoImages is what a collector says that images are left out of.
func NoImages() map[workloadmeta.Kind]workloadmeta.Problem {
	return map[workloadmeta.Kind]workloadmeta.Problem{workloadmeta.KindContainerImage: {
		Cause: workloadmeta.CauseOff, Reason: "images are not collected",
		Hint: "set container_image.enabled to true"}}
}

// Undetected is the answer of a collector that has looked at several places and found nothing to
// collect. A place that is there and denied says most, and goes first.
func Undetected(problems []workloadmeta.Problem) workloadmeta.Detection {
	var denied, others []workloadmeta.Problem
	for _, p := range problems {
		if p.Cause == workloadmeta.CauseDenied {
			denied = append(denied, p)
		} else {
			others = append(others, p)
		}
	}
	all := append(denied, others...)
	d := Found(workloadmeta.Absent, all[0])
	d.More = all[1:]
	return d
}

// Found is the answer of a collector with what it has found at one place.
func Found(state workloadmeta.DetectionState, p workloadmeta.Problem) workloadmeta.Detection {
	return workloadmeta.Detection{State: state, Cause: p.Cause, Reason: p.Reason, Hint: p.Hint}
}
