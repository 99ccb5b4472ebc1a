package collectortest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
)

// Serve answers at a listener until stop is called, at the latest when the test ends. It takes care
// of the listener's end.
func Serve(t testing.TB, l net.Listener, h http.Handler) (stop func()) {
	t.Helper()
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends with Close
	}()
	stop = func() {
		_ = server.Close() // which ends all requests
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// ServeSocket is [Serve] at a new Unix socket with this path.
func ServeSocket(t testing.TB, path string, h http.Handler) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return Serve(t, l, h)
}

// Pipe is a listener on connections in memory, which work inside a synctest bubble. Create one with
// [NewPipe].
type Pipe struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// NewPipe returns a listener to which nobody has connected yet.
func NewPipe() *Pipe { return &Pipe{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Dial connects to the listener. It waits until the connection is accepted; one that is closed
// refuses it.
func (p *Pipe) Dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for the next connection.
func (p *Pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener. It may be called more than once.
func (p *Pipe) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

// Addr returns an address that looks like that of a Unix socket.
func (p *Pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
