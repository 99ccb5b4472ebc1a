package collectortest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var record = flag.Bool("record", false,
	"record testdata from a real daemon (needs ROLLCALL_REALNODE=1)")

// OnlyToRecord skips a test that makes recordings, unless the flag -record asks for them.
func OnlyToRecord(t testing.TB) {
	t.Helper()
	if !*record {
		t.Skip("only with -record")
	}
}

// Recorder saves what a real daemon answers in a folder of testdata.
type Recorder struct {
	t       testing.TB
	folder  string
	replace *strings.Replacer
}

// NewRecorder returns a recorder that replaces what is of the machine on which it records: old and
// new by turns.
func NewRecorder(t testing.TB, folder string, oldnew ...string) *Recorder {
	return &Recorder{t, folder, strings.NewReplacer(oldnew...)}
}

// Save writes an answer to a file, indented if it is one JSON value.
func (r *Recorder) Save(name string, body []byte) {
	r.t.Helper()
	body = []byte(r.replace.Replace(string(body)))
	if strings.HasSuffix(name, ".json") {
		var out bytes.Buffer
		if err := json.Indent(&out, bytes.TrimSpace(body), "", " "); err != nil {
			r.t.Fatalf("%s: %v", name, err)
		}
		body = append(out.Bytes(), '\n')
	}
	path := filepath.Join(r.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// Hostname returns the name of this machine, which recordings must not have.
func Hostname(t testing.TB) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Ask returns the body of the answer to a GET request at a Unix socket.
func Ask(t testing.TB, socket, path string) []byte {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	resp, err := client.Get("http://daemon" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // only read from
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v: %s", path, resp.Status, err, body)
	}
	return body
}
