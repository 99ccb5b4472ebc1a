package kubelet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// Limits of one answer.
const (
	maxBody = 64 << 20
	maxPods = 2000
)

// endpoint asks a kubelet's /pods over HTTP.
type endpoint struct {
	url    string // without the path
	client *http.Client
	token  *tokenFile // nil: none is sent; nor is it to a plain http:// address
	seed   maphash.Seed
	// timeout bounds a list
	timeout time.Duration
}

// newEndpoint prepares to ask at an address. Who answers has to show a certificate that one of the
// roots has signed for the name, unless the address is a plain http:// one.
func newEndpoint(address, serverName string, o *Options, token *tokenFile,
	seed maphash.Seed) *endpoint {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName,
		RootCAs: o.roots(), InsecureSkipVerify: o.SkipVerify} //nolint:gosec // as asked for
	if o.ClientCert != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(o.ClientCert, o.ClientKey) // it may have been renewed
			return &pair, err
		}
	}
	return &endpoint{url: strings.TrimSuffix(address, "/"), token: token, seed: seed,
		timeout: o.CallTimeout, client: &http.Client{
			Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 1,
				DisableCompression: true, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // a kubelet does not redirect, and the token stays
			},
		}}
}

func (e *endpoint) close() { e.client.CloseIdleConnections() }

// list asks for all pods. Those with a hash that is known are not decoded.
func (e *endpoint) list(ctx context.Context, known map[uint64]bool) (listing, error) {
	l, err := e.try(ctx, known)
	if workloadmeta.CauseOf(err) == workloadmeta.CauseUnauthenticated && e.token.reread() {
		return e.try(ctx, known) // the token has been rotated
	}
	return l, err
}

func (e *endpoint) try(ctx context.Context, known map[uint64]bool) (listing, error) {
	l := listing{began: time.Now()}
	limited, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodGet, e.url+"/pods", nil)
	if err != nil {
		return l, fmt.Errorf("list pods: %w", err)
	}
	request.Header.Set("Accept", "application/json") // it serves nothing else
	secure := request.URL.Scheme == "https"
	if token := e.token.get(); token != "" && secure { // else all on the way could read it
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := e.client.Do(request)
	if err != nil {
		return l, e.failed(ctx, err)
	}
	defer response.Body.Close()
	body := io.LimitReader(response.Body, maxBody)
	if response.StatusCode != http.StatusOK {
		return l, e.refused(response, body, secure)
	}
	if l.items, err = readItems(body, e.seed, known); err != nil {
		return l, fmt.Errorf("list pods at %s: %w", e.url, err)
	}
	return l, nil
}

// readItems reads a list of pods, item by item: the whole of it may have megabytes. "null" is an
// empty list.
func readItems(body io.Reader, seed maphash.Seed, known map[uint64]bool) ([]item, error) {
	dec := json.NewDecoder(body)
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("the answer is no list of pods"), err)
	}
	var items []item
	found := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("read the list of pods: %w", err)
		}
		if key != "items" {
			var skipped json.RawMessage
			if err := dec.Decode(&skipped); err != nil {
				return nil, fmt.Errorf("read the list of pods: %w", err)
			}
			continue
		}
		found = true
		if items, err = readArray(dec, seed, known); err != nil {
			return nil, fmt.Errorf("read the list of pods: %w", err)
		}
	}
	if _, err := dec.Token(); err != nil { // the end, or the answer has been cut off
		return nil, fmt.Errorf("read the list of pods: %w", err)
	}
	if !found {
		return nil, errors.New("the answer is no list of pods: it has no items")
	}
	return items, nil
}

func readArray(dec *json.Decoder, seed maphash.Seed, known map[uint64]bool) ([]item, error) {
	t, err := dec.Token()
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, nil
	case t != json.Delim('['):
		return nil, fmt.Errorf("items are %v, want a list", t)
	}
	var items []item
	var raw json.RawMessage
	identities := object.NewDecoder[object.Identity](object.Shape{})
	for dec.More() {
		raw = raw[:0]
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		if len(items) == maxPods {
			return nil, fmt.Errorf("more than %d pods", maxPods)
		}
		i := item{hash: maphash.Bytes(seed, raw)}
		if !known[i.hash] {
			pod := new(object.Pod)
			if i.err = json.Unmarshal(raw, pod); i.err == nil {
				i.pod = pod
			} else if is, err := identities.JSON(raw); err == nil {
				i.uid = is.Meta.UID
			}
		}
		items = append(items, i)
	}
	_, err = dec.Token() // the end of the list
	return items, err
}

// failed says why nobody has answered.
func (e *endpoint) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the address is named once
	}
	out := &workloadmeta.Error{Cause: workloadmeta.CauseOf(err),
		Err: fmt.Errorf("list pods at %s: %w", e.url, err)}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	if errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid) {
		out.Cause = workloadmeta.CauseUnverified
		out.Hint = "its certificate cannot be verified: set kubelet_client_ca to a CA that has " +
			"signed it, or mount the kubelet's own certificate (" + defaultServingCert +
			"); kubelet.tls_skip_verify verifies nothing"
	}
	return out
}

// refused says what the kubelet has against the question, which was secure if it came with a token.
func (e *endpoint) refused(response *http.Response, body io.Reader, secure bool) error {
	said, err := io.ReadAll(io.LimitReader(body, 512))
	if err != nil {
		said = []byte("(its answer is cut off)")
	}
	text := strings.TrimSpace(string(bytes.ToValidUTF8(said, []byte("?"))))
	out := &workloadmeta.Error{
		Err: fmt.Errorf("list pods at %s: %s: %s", e.url, response.Status, text)}
	switch response.StatusCode {
	case http.StatusUnauthorized:
		out.Cause = workloadmeta.CauseUnauthenticated
		if !secure {
			out.Hint = "no token is sent over plain http://: give kubelet.url an https:// address"
		}
	case http.StatusForbidden:
		out.Cause = workloadmeta.CauseForbidden
		out.Hint = "grant get nodes/pods (before Kubernetes 1.33: get nodes/proxy) to the account; " +
			"a kubelet remembers a refusal for 30 s"
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable:
		out.Cause = workloadmeta.CauseWrongPeer
	}
	return out
}

// tokenFile is a bearer token in a file that is renewed from time to time. A nil one is empty.
type tokenFile struct {
	path string

	mu    sync.Mutex
	token string
	mtime time.Time
	read  time.Time
}

// tokenAge is after what time a token is read again although its file seems to be the same.
const tokenAge = time.Minute

// get returns the token, as it is in the file now. If that cannot be read it is the one before.
func (t *tokenFile) get() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	if err == nil && (!info.ModTime().Equal(t.mtime) || time.Since(t.read) > tokenAge) {
		t.load(info.ModTime())
	}
	return t.token
}

// reread reads the token anew, and reports whether it is another one now.
func (t *tokenFile) reread() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.token
	t.load(time.Time{})
	return t.token != before
}

func (t *tokenFile) load(mtime time.Time) {
	data, err := os.ReadFile(t.path)
	if err != nil {
		return
	}
	t.token, t.mtime, t.read = strings.TrimSpace(string(data)), mtime, time.Now()
}

// hostPort returns an https:// address.
func hostPort(host, port string) string {
	return "https://" + net.JoinHostPort(strings.Trim(host, "[]"), port)
}
