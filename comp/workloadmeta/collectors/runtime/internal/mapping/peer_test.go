package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// serve answers each connection to a socket with do, and returns the socket's path.
func serve(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			do(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return path
}

// says reads something, answers with a text and hangs up.
func says(text string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, text)
		hangUp(conn)
	}
}

func hangUp(conn net.Conn) {
	_ = conn.(*net.UnixConn).CloseWrite()
	_, _ = io.Copy(io.Discard, conn) // or what is unread would take the answer with it
}

// settings is what every HTTP/2 server says first.
const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// begins says it, reads the beginning of a request, and hangs up.
func begins(conn net.Conn) {
	_, _ = io.WriteString(conn, settings)
	_, _ = io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	const headers = 1
	for {
		var frame [9]byte // its length, its type, and more
		if _, err := io.ReadFull(conn, frame[:]); err != nil || frame[3] == headers {
			hangUp(conn)
			return
		}
		_, _ = io.CopyN(io.Discard, conn, int64(frame[0])<<16|int64(frame[1])<<8|int64(frame[2]))
	}
}

func TestPeerTellsWhoAnswers(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "quiet"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	quiet := l.Addr().String()
	l.Close() // the file stays, nobody listens
	for _, tc := range []struct {
		name     string
		path     string
		ask      func(t *testing.T, path string) error
		want     workloadmeta.Cause
		succeeds bool
	}{
		{name: "HTTP, nothing there", path: gone, ask: askHTTP, want: workloadmeta.CauseAbsent},
		{name: "HTTP, refused", path: quiet, ask: askHTTP, want: workloadmeta.CauseRefused},
		{name: "HTTP, right", path: serve(t, says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
			ask: askHTTP, succeeds: true},
		{name: "HTTP, another protocol", path: serve(t, says("220 mail\r\n")), ask: askHTTP,
			want: workloadmeta.CauseWrongPeer},
		{name: "HTTP, gRPC answers", path: serve(t, says(settings)), ask: askHTTP,
			want: workloadmeta.CauseWrongPeer},
		{name: "HTTP, hangs up", path: serve(t, says("")), ask: askHTTP,
			want: workloadmeta.CauseWrongPeer},
		{name: "gRPC, nothing there", path: gone, ask: askGRPC, want: workloadmeta.CauseAbsent},
		{name: "gRPC, refused", path: quiet, ask: askGRPC, want: workloadmeta.CauseRefused},
		{name: "gRPC, HTTP/1 answers", ask: askGRPC, want: workloadmeta.CauseWrongPeer,
			path: serve(t, says("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))},
		{name: "gRPC, hangs up", path: serve(t, says("")), ask: askGRPC,
			want: workloadmeta.CauseWrongPeer},
		{name: "gRPC, ends after its settings", path: serve(t, begins), ask: askGRPC,
			want: ""},
		{name: "gRPC, another service", ask: askGRPC, want: workloadmeta.CauseUnsupported,
			path: grpcServer(t)},
	} {
		err := tc.ask(t, tc.path)
		if got := workloadmeta.CauseOf(err); got != tc.want || (err == nil) != tc.succeeds {
			t.Errorf("%s: cause %q of %v; want %q", tc.name, got, err, tc.want)
		}
	}
}

func askHTTP(_ *testing.T, path string) error {
	p := mapping.NewHTTPPeer()
	dial := p.Watch(new(net.Dialer).DialContext)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn,
		error) {
		return dial(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://d/_ping")
	if err == nil {
		resp.Body.Close()
	}
	return p.Explain(err)
}

func askGRPC(t *testing.T, path string) error {
	p := mapping.NewGRPCPeer()
	dial := p.Watch(new(net.Dialer).DialContext)
	conn, err := grpc.NewClient("passthrough:///x",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return dial(ctx, "unix", path)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	return p.Explain(err)
}

func grpcServer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "g")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	go s.Serve(l) //nolint:errcheck // it ends with Stop
	t.Cleanup(s.Stop)
	return path
}

func TestPeerKnowsWhatDaemonsAnswer(t *testing.T) {
	p := mapping.NewHTTPPeer()
	for _, tc := range []struct {
		err  error
		want workloadmeta.Cause
	}{
		{nil, ""},
		{errors.New("what"), ""},
		{status.Error(codes.PermissionDenied, "no"), workloadmeta.CauseForbidden},
		{fmt.Errorf("list: %w", status.Error(codes.Unauthenticated, "no")),
			workloadmeta.CauseUnauthenticated},
		{fmt.Errorf("list: %w", context.DeadlineExceeded), workloadmeta.CauseTimeout},
		{&workloadmeta.Error{Cause: mapping.CauseOfHTTP(http.StatusForbidden),
			Err: errors.New("403")}, workloadmeta.CauseForbidden},
		{&workloadmeta.Error{Cause: mapping.CauseOfHTTP(http.StatusUnauthorized),
			Err: errors.New("401")}, workloadmeta.CauseUnauthenticated},
	} {
		if got := workloadmeta.CauseOf(p.Explain(tc.err)); got != tc.want {
			t.Errorf("cause of %v = %q, want %q", tc.err, got, tc.want)
		}
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	_, err := http.Get("https://" + plain.Listener.Addr().String())
	if got := workloadmeta.CauseOf(p.Explain(err)); got != workloadmeta.CauseWrongPeer {
		t.Errorf("cause of %v = %q, want that it does not speak TLS", err, got)
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	_, err = http.Get(secure.URL)
	if got := workloadmeta.CauseOf(p.Explain(err)); got != workloadmeta.CauseUnauthenticated {
		t.Errorf("cause of %v = %q, want that its certificate is not known", err, got)
	}
}
