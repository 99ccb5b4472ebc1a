package docker

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// errPodman says that Podman serves the socket.
var errPodman error = &workloadmeta.Error{Cause: workloadmeta.CauseWrongPeer,
	Hint: "it is collected by the podman collector",
	Err:  errors.New("podman answers in Docker's place")}

// daemon is a connection to one Docker daemon. Its calls may be made from several goroutines; each
// ends when its context does.
type daemon struct {
	cli     *client.Client
	http    *http.Client // the one cli uses
	peer    *mapping.Peer
	host    string
	base    url.URL       // of requests: scheme, host and, before a TCP host's API, a path
	timeout time.Duration // of every call but events
}

// newDaemon checks the address and the environment; it does not connect.
func newDaemon(host string, o *Options) (*daemon, error) {
	address, err := checkHost(host)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := tlsFromEnv(address.Scheme)
	if err != nil {
		return nil, fmt.Errorf("docker host %q: %w", mapping.Redact(host), err)
	}
	transport := &http.Transport{
		TLSClientConfig:     tlsConfig,
		MaxIdleConnsPerHost: o.Workers + 1,
		IdleConnTimeout:     30 * time.Second,
	}
	d := &daemon{
		http:    &http.Client{Transport: transport, CheckRedirect: client.CheckRedirect},
		peer:    mapping.NewHTTPPeer(),
		host:    mapping.Redact(host),
		base:    url.URL{Scheme: "http", Host: address.Host, Path: address.Path},
		timeout: o.CallTimeout,
	}
	switch {
	case address.Scheme == "unix" || address.Scheme == "npipe":
		d.base = url.URL{Scheme: "http", Host: client.DummyHost}
	case tlsConfig != nil || address.Scheme == "https":
		d.base.Scheme = "https"
	}
	opts := []client.Opt{
		client.WithHTTPClient(&http.Client{Transport: transport,
			CheckRedirect: client.CheckRedirect}),
		client.WithHost(host), client.WithVersionFromEnv(),
	}
	if o.Dial != nil {
		opts = append(opts, client.WithDialContext(o.Dial))
	}
	if d.cli, err = client.NewClientWithOpts(opts...); err != nil {
		return nil, fmt.Errorf("docker host %q: %w", mapping.Redact(host), err)
	}
	if d.base.Scheme == "http" {
		dial := transport.DialContext
		if dial == nil {
			dial = new(net.Dialer).DialContext
		}
		transport.DialContext = d.peer.Watch(dial)
	}
	return d, nil
}

// tlsFromEnv returns what DOCKER_CERT_PATH and DOCKER_TLS_VERIFY ask for, nil if nothing.
func tlsFromEnv(scheme string) (*tls.Config, error) {
	folder := os.Getenv(client.EnvOverrideCertPath)
	if folder == "" || scheme == "unix" || scheme == "npipe" {
		return nil, nil
	}
	config, err := tlsconfig.Client(tlsconfig.Options{
		CAFile:             filepath.Join(folder, "ca.pem"),
		CertFile:           filepath.Join(folder, "cert.pem"),
		KeyFile:            filepath.Join(folder, "key.pem"),
		InsecureSkipVerify: os.Getenv(client.EnvTLSVerify) == "",
	})
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", client.EnvOverrideCertPath, folder, err)
	}
	return config, nil
}

// checkHost returns the parts of the address, or an error that names it if this collector cannot
// use it.
func checkHost(host string) (*url.URL, error) {
	u, err := client.ParseHostURL(host)
	if err != nil {
		return nil, fmt.Errorf(
			"docker host %q: want unix:///path, tcp://host:port or npipe:////./pipe/name",
			mapping.Redact(host))
	}
	switch u.Scheme {
	case "unix", "tcp", "http", "https":
		return u, nil
	case "npipe":
		if runtime.GOOS == "windows" {
			return u, nil
		}
		return nil, fmt.Errorf("docker host %q: named pipes are there on Windows only",
			mapping.Redact(host))
	}
	return nil, fmt.Errorf("docker host %q: scheme %s is not supported (unix, tcp and npipe are)",
		mapping.Redact(host), u.Scheme)
}

func (d *daemon) close() {
	d.cli.Close() //nolint:errcheck // it only lets go of idle connections and never fails
}

// connect proves that a Docker daemon answers and settles on an API version. It returns errPodman
// for Podman. No other call may run meanwhile.
func (d *daemon) connect(ctx context.Context) error {
	head, err := d.ping(ctx)
	if err != nil {
		return err
	}
	if head.Get("Libpod-Api-Version") != "" || strings.HasPrefix(head.Get("Server"), "Libpod/") {
		return fmt.Errorf("ping docker at %s: %w", d.host, errPodman)
	}
	d.cli.NegotiateAPIVersionPing(types.Ping{APIVersion: head.Get("Api-Version")})
	return nil
}

// ping returns the head of the answer to the cheapest of requests.
func (d *daemon) ping(ctx context.Context) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	resp, err := d.get(ctx, "_ping", nil)
	if err != nil {
		return nil, fmt.Errorf("ping docker at %s: %w", d.host, err)
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1024)) //nolint:errcheck // the status said it all
	resp.Body.Close()                                    // only read from
	return resp.Header, nil
}

// events opens the event stream. The caller closes it; it has no time limit once it has begun.
func (d *daemon) events(ctx context.Context, since string) (io.ReadCloser, error) {
	args := filters.NewArgs()
	for _, kind := range []string{"container", "image", "network", "daemon"} {
		args.Add("type", kind)
	}
	for _, action := range requestedActions {
		args.Add("event", action)
	}
	filter, err := filters.ToJSON(args)
	if err != nil {
		return nil, fmt.Errorf("docker events: %w", err)
	}
	query := url.Values{"filters": {filter}}
	if since != "" {
		query.Set("since", since)
	}
	// The time limit is for the answer's head; the body goes on for as long as the caller wants.
	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(d.timeout, func() { cancel(context.DeadlineExceeded) })
	resp, err := d.get(ctx, "v"+d.cli.ClientVersion()+"/events", query)
	if !limit.Stop() && err == nil {
		resp.Body.Close() // given up
		err = context.DeadlineExceeded
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, fmt.Errorf("docker events at %s: %w", d.host, err)
	}
	return &body{ReadCloser: resp.Body, cancel: func() { cancel(nil) }}, nil
}

// body releases the request's context with the body.
type body struct {
	io.ReadCloser
	cancel func()
}

func (b *body) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// get sends a request that Docker's client has no method for, over that client's connections.
func (d *daemon) get(ctx context.Context, p string, query url.Values) (*http.Response, error) {
	u := d.base
	u.Path = path.Join("/", u.Path, p)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		var noise *url.Error
		if errors.As(err, &noise) {
			err = noise.Err // the URL is made up and would only puzzle
		}
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close() // only read from
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		var answer struct{ Message string }
		if json.Unmarshal(text, &answer) != nil || answer.Message == "" {
			answer.Message = strings.TrimSpace(string(text))
		}
		err := &refusal{resp.Status, answer.Message}
		return nil, &workloadmeta.Error{Cause: mapping.CauseOfHTTP(resp.StatusCode), Err: err}
	}
	return resp, nil
}

// refusal is an answer that is an error.
type refusal struct{ status, message string }

func (r *refusal) Error() string {
	return fmt.Sprintf("the daemon answers %s: %s", r.status, r.message)
}

func (d *daemon) listContainers(ctx context.Context, all bool) ([]container.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	list, err := d.cli.ContainerList(ctx, container.ListOptions{All: all})
	if err = mapping.LenientJSON(err); err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	return list, nil
}

func (d *daemon) inspectContainer(ctx context.Context, id string) (container.InspectResponse,
	error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	in, err := d.cli.ContainerInspect(ctx, id)
	if err = mapping.LenientJSON(err); err != nil {
		return in, fmt.Errorf("inspect container %s: %w", id, err)
	}
	return in, nil
}

func (d *daemon) listImages(ctx context.Context) ([]image.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	list, err := d.cli.ImageList(ctx, image.ListOptions{})
	if err = mapping.LenientJSON(err); err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	return list, nil
}

func (d *daemon) inspectImage(ctx context.Context, ref string) (image.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	in, err := d.cli.ImageInspect(ctx, ref)
	if err = mapping.LenientJSON(err); err != nil {
		return in, fmt.Errorf("inspect image %s: %w", ref, err)
	}
	return in, nil
}

func (d *daemon) imageHistory(ctx context.Context, id string) ([]image.HistoryResponseItem, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	history, err := d.cli.ImageHistory(ctx, id)
	if err = mapping.LenientJSON(err); err != nil {
		return nil, fmt.Errorf("history of image %s: %w", id, err)
	}
	return history, nil
}
