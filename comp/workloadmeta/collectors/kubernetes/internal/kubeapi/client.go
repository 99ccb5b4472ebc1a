package kubeapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// serviceAccount is the folder with what a pod may show to the API server.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

// Options say where the API server is, and who asks. The zero value is right in a pod.
type Options struct {
	// Kubeconfig is a file that says both. Empty: the pod's own account.
	Kubeconfig string
	// CA is a file of certificates that may have signed the server's. Empty: what the kubeconfig
	// says, or the account's.
	CA string
	// SkipVerify accepts any certificate of the server.
	SkipVerify bool
	// Root is the folder in which the account's files are looked for. Default: /.
	Root string
}

// Where returns the place of the API server, for people, and an error if there is none to ask.
func (o Options) Where() (string, error) {
	config, err := o.config()
	if err != nil {
		return "", err
	}
	return config.Host, nil
}

// config returns how to connect.
func (o Options) config() (*rest.Config, error) {
	config := &rest.Config{}
	if o.Kubeconfig != "" {
		var err error
		if config, err = clientcmd.BuildConfigFromFlags("", o.Kubeconfig); err != nil {
			return nil, &workloadmeta.Error{
				Cause: cmp.Or(workloadmeta.CauseOf(err), workloadmeta.CauseInvalid),
				Hint:  "check kubernetes_kubeconfig_path",
				Err:   fmt.Errorf("kubeconfig %s: %w", o.Kubeconfig, err)}
		}
	} else {
		host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
		folder := o.Root + serviceAccount
		if _, err := os.Stat(folder + "token"); err != nil || host == "" || port == "" {
			return nil, &workloadmeta.Error{Cause: workloadmeta.CauseAbsent,
				Hint: "outside of a pod set kubernetes_kubeconfig_path",
				Err:  errors.New("no API server: not in a pod with an account, and no kubeconfig")}
		}
		config.Host = "https://" + net.JoinHostPort(host, port)
		config.BearerTokenFile = folder + "token"
		config.CAFile = folder + "ca.crt"
	}
	if o.CA != "" {
		config.CAFile, config.CAData = o.CA, nil
	}
	if o.SkipVerify {
		config.Insecure, config.CAFile, config.CAData = true, "", nil
	}
	if path := config.BearerTokenFile; path != "" {
		// Read again each minute, and after a refusal, as the library does not by itself.
		config.BearerTokenFile, config.BearerToken = "", ""
		config.Wrap(transport.ResettableTokenSourceWrapTransport(
			transport.NewCachedFileTokenSource(path)))
	}
	config.UserAgent = "rollcall"
	return config, nil
}

// Client asks one API server. All who ask in one process share it, and with it one connection.
type Client struct {
	base *url.URL
	http *http.Client

	mu sync.Mutex
	// noStreaming is until when the server is not asked to stream lists of a resource. A server
	// stands for others, which serve some of the resources and cannot do the same.
	noStreaming map[workloadmeta.GroupVersionResource]time.Time
}

// New returns a client. It does not connect.
func New(o Options) (*Client, error) {
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", config.Host, err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", config.Host, err)
	}
	return NewFor(base, client), nil
}

// NewFor returns a client of the server at an address.
func NewFor(base *url.URL, client *http.Client) *Client {
	return &Client{base: base, http: client,
		noStreaming: map[workloadmeta.GroupVersionResource]time.Time{}}
}

// Close ends connections that are not used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Address returns that of the server, for people.
func (c *Client) Address() string { return c.base.Host }

// streams reports whether the server may be asked to stream a list of a resource.
func (c *Client) streams(r workloadmeta.GroupVersionResource) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !time.Now().Before(c.noStreaming[r])
}

// cannotStream notes that it cannot.
func (c *Client) cannotStream(r workloadmeta.GroupVersionResource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noStreaming[r] = time.Now().Add(streamingAgain)
}

// get asks for a path. Any answer but a success is an error, which says what the server has against
// it.
func (c *Client) get(ctx context.Context, path string, query url.Values,
	accept string) (*http.Response, error) {
	return c.do(ctx, http.MethodGet, path, query, accept, nil)
}

// do sends a request, with a body in JSON if there is one.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, accept string,
	body io.Reader) (*http.Response, error) {
	u := *c.base
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("ask the API server: %w", err)
	}
	request.Header.Set("Accept", accept)
	if body != nil {
		request.Header.Set("Content-Type", jsonType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // the address is named once, without the query
		}
		return nil, fmt.Errorf("API server %s: %w", c.base.Host, explained(ctx, err))
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		defer response.Body.Close()
		return nil, fmt.Errorf("API server %s: %w", c.base.Host, refusal(response))
	}
	return response, nil
}
