package kubeapi_test

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

// account is a folder with what a pod may show to the API server at an address.
type account struct {
	t    *testing.T
	root string
}

const folder = "/var/run/secrets/kubernetes.io/serviceaccount/"

func newAccount(t *testing.T, server *httptest.Server, token string) account {
	t.Helper()
	a := account{t, t.TempDir()}
	if err := os.MkdirAll(a.root+folder, 0o700); err != nil {
		t.Fatal(err)
	}
	a.write("token", token)
	a.write("ca.crt", certificate(server))
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	return a
}

func certificate(server *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: server.Certificate().Raw}))
}

func (a account) write(name, text string) {
	a.t.Helper()
	if err := os.WriteFile(a.root+folder+name, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// ask asks for something that the fake has.
func ask(t *testing.T, o kubeapi.Options) error {
	t.Helper()
	client, err := kubeapi.New(o)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Version(t.Context(), "apps", "deployments")
	return err
}

// TestConnections: a pod's account, a kubeconfig, and what may be wrong with them.
func TestConnections(t *testing.T) {
	fake := fakekube.New("/apis/apps/v1/deployments")
	var asks atomic.Value // who has asked last
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asks.Store(r.Header.Get("Authorization"))
		fake.ServeHTTP(w, r)
	}))
	defer server.Close()
	a := newAccount(t, server, "first\n")
	kubeconfig := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`{"clusters": [{"name": "c", "cluster": {"server": %q}}], "users": [{"name":
		"u", "user": {"token": "configured"}}], "contexts": [{"name": "x", "context": {"cluster":
		"c", "user": "u"}}], "current-context": "x"}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ca := a.root + folder + "ca.crt"

	for name, c := range map[string]struct {
		options kubeapi.Options
		who     string
		cause   workloadmeta.Cause
		text    string
	}{
		"the pod's account": {kubeapi.Options{Root: a.root}, "Bearer first", "", ""},
		"a kubeconfig": {kubeapi.Options{Kubeconfig: kubeconfig, CA: ca}, "Bearer configured",
			"", ""},
		"anybody": {kubeapi.Options{Kubeconfig: kubeconfig, SkipVerify: true},
			"Bearer configured", "", ""},
		"an unknown certificate": {kubeapi.Options{Kubeconfig: kubeconfig}, "",
			workloadmeta.CauseUnverified, "certificate"},
		"no account": {kubeapi.Options{Root: t.TempDir()}, "", workloadmeta.CauseAbsent,
			"not in a pod"},
		"no kubeconfig": {kubeapi.Options{Kubeconfig: kubeconfig + "?"}, "",
			workloadmeta.CauseAbsent, "config?"},
		"a broken kubeconfig": {kubeapi.Options{Kubeconfig: ca}, "",
			workloadmeta.CauseInvalid, "ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			asks.Store("")
			err := ask(t, c.options)
			if who := asks.Load(); who != c.who || (err == nil) != (c.text == "") {
				t.Errorf("asked as %q, %v; want as %q", who, err, c.who)
			}
			if cause := workloadmeta.CauseOf(err); cause != c.cause ||
				err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v is %q, want %q", err, cause, c.cause)
			}
		})
	}
	if where, err := (kubeapi.Options{Root: a.root}).Where(); err != nil || where != server.URL {
		t.Errorf("the server is at %q, %v", where, err)
	}
}

// TestTokenIsRenewed: after a refusal the token is read again, however short ago it was read.
func TestTokenIsRenewed(t *testing.T) {
	fake := fakekube.New("/apis/apps/v1/deployments")
	var valid atomic.Value
	valid.Store("Bearer first")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != valid.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	defer server.Close()
	a := newAccount(t, server, "first")
	client, err := kubeapi.New(kubeapi.Options{Root: a.root})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	try := func() error { _, err := client.Version(t.Context(), "apps", "deployments"); return err }
	if err := try(); err != nil {
		t.Errorf("the first token: %v", err)
	}
	valid.Store("Bearer second")
	a.write("token", "second")
	if err := try(); workloadmeta.CauseOf(err) != workloadmeta.CauseUnauthenticated {
		t.Errorf("an old token: %v", err)
	}
	if err := try(); err != nil {
		t.Errorf("a token that was renewed since: %v", err)
	}
}
