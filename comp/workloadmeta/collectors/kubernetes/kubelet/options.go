package kubelet

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeletsocket"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// Where things are on a node and in a pod.
const (
	defaultSocket      = "/var/lib/kubelet/pods-api/pods-api.sock"
	defaultServingCert = "/var/lib/kubelet/pki/kubelet.crt"
	serviceAccount     = "/var/run/secrets/kubernetes.io/serviceaccount/"
	defaultPort        = 10250
	defaultPeriod      = 5 * time.Second
	callTimeout        = 5 * time.Second
)

// Who is asked for pods: see [Options.PodSource].
const (
	fromKubelet   = "kubelet"
	fromAPIServer = "apiserver"
	fromAny       = "auto"
)

// Options change how the collector works. The zero value is useful.
type Options struct {
	// Socket of the kubelet's Pods API. Default: /var/lib/kubelet/pods-api/pods-api.sock.
	Socket string `config:"pods_socket,address" default:"/var/lib/kubelet/pods-api/pods-api.sock" doc:"Socket of the kubelet's Pods API (Kubernetes 1.37 and later, root only). In a container mount its folder, not the socket, which is made anew at each start of the kubelet."`
	// URL of the kubelet, such as https://node-1:10250. Empty: from Host, and those of the
	// variables HOST_IP, NODE_IP, NODE_NAME, KUBE_NODE_NAME and K8S_NODE_NAME that are set.
	URL string `config:"url,address" doc:"Address of the kubelet, such as https://node-1:10250; no other one is tried then. An http:// address is not verified, and no token is sent there."`
	// Host is the kubelet's name or address. In a pod it is usually status.hostIP.
	Host string `config:"/kubernetes_kubelet_host,datadog,address" doc:"Name or address of the node, for its kubelet's /pods. Empty: from the variables HOST_IP, NODE_IP, NODE_NAME, KUBE_NODE_NAME and K8S_NODE_NAME."`
	// NodeName is the node's name, which is in the kubelet's own certificate.
	NodeName string `config:"/kubernetes_kubelet_nodename"`
	Port     int    `config:"/kubernetes_https_kubelet_port,datadog" default:"10250" doc:"The kubelet's port."`
	// ClientCA is a file of certificates that may have signed the kubelet's, beside the service
	// account's and the kubelet's own where it is mounted.
	ClientCA string `config:"/kubelet_client_ca,datadog" doc:"File of certificates that may have signed the kubelet's, beside the cluster's CA (of the service account) and the kubelet's own where that is mounted."`
	// SkipVerify accepts any certificate.
	SkipVerify bool `config:"tls_skip_verify" default:"false" doc:"Accept any certificate of the kubelet. The token goes to whoever answers."`
	// TokenPath is the file of the bearer token. Default: the service account's.
	TokenPath  string `config:"/kubelet_auth_token_path,datadog" doc:"File of the bearer token for the kubelet. Empty: the service account's."`
	ClientCert string `config:"/kubelet_client_crt,datadog" doc:"File of the client certificate for the kubelet."`
	ClientKey  string `config:"/kubelet_client_key,datadog" doc:"File of the key of the client certificate."`
	// NodesProxy is for kubelets before Kubernetes 1.33. The collector does nothing else with it.
	NodesProxy bool `config:"nodes_proxy" default:"false" doc:"Ask for get nodes/proxy in the role that rollcall rbac prints, beside get nodes/pods, of which a kubelet before Kubernetes 1.33 knows nothing. It lets its holder run commands in all containers of all nodes."`
	// Period is from one list to the next. Default 5s.
	Period time.Duration `config:"poll_interval" default:"5s" doc:"From one list of pods to the next. While pods start or end it is a second."`

	// PodSource says who is asked for pods: "kubelet" (default), "apiserver", or "auto" for the API
	// server where the kubelet cannot be asked.
	PodSource string `config:"pod_source" default:"kubelet" doc:"Who is asked for the pods of the node: kubelet, apiserver, or auto: the API server for as long as the kubelet cannot be asked. Access of accounts cannot be limited to the pods of one node."`
	// Kubeconfig, APICA and APISkipVerify say how the API server is asked: see package apiserver.
	Kubeconfig    string `config:"/kubernetes_kubeconfig_path"`
	APICA         string `config:"/kubernetes_apiserver_ca_path"`
	APISkipVerify bool   `config:"/apiserver.tls_skip_verify"`

	// CallTimeout bounds one question to the kubelet. One that is frozen takes connections and says
	// nothing. Default 5s.
	CallTimeout time.Duration
	// Root is the folder in which the service account's files and the kubelet's certificate are
	// looked for. Default: /.
	Root string
	// Env chooses the environment variables that are kept. nil means the built-in list of package
	// env.
	Env *env.Filter
	// Log receives what a person might want to know. Default: nothing is logged.
	Log *slog.Logger

	dial kubeletsocket.Dialer // to the Pods API
}

// withDefaults fills in what is not set and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	bad := func(field, format string, args ...any) (Options, error) {
		return o, &collection.OptionError{Collector: "kubelet", Field: field,
			Err: fmt.Errorf(format, args...)}
	}
	if o.Socket == "" {
		o.Socket = o.Root + defaultSocket
	}
	if o.URL != "" {
		u, err := url.Parse(o.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return bad("URL", "it is %q; want an address such as https://node-1:10250", o.URL)
		}
	}
	if o.Port == 0 {
		o.Port = defaultPort
	}
	if o.Port < 0 || o.Port > 65535 {
		return bad("Port", "it is %d; want 1 to 65535", o.Port)
	}
	if (o.ClientCert == "") != (o.ClientKey == "") {
		return bad("ClientKey", "a client certificate needs both its file and that of its key")
	}
	if o.ClientCA != "" {
		if pem, err := os.ReadFile(o.ClientCA); err != nil {
			return bad("ClientCA", "%w", err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return bad("ClientCA", "no certificate in %s", o.ClientCA)
		}
	}
	switch o.PodSource {
	case "":
		o.PodSource = fromKubelet
	case fromKubelet, fromAPIServer, fromAny:
	default:
		return bad("PodSource", "it is %q; want kubelet, apiserver or auto", o.PodSource)
	}
	if _, err := kubeapi.NodeName(o.NodeName); err != nil && o.PodSource != fromKubelet {
		return bad("NodeName", "%w", err)
	}
	switch {
	case o.Period == 0:
		o.Period = defaultPeriod
	case o.Period < time.Second:
		return bad("Period", "it is %s; want a second at least", o.Period)
	}
	if o.dial == nil {
		o.dial = new(net.Dialer).DialContext
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = callTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Env == nil {
		filter, err := env.NewFilter()
		if err != nil {
			return o, fmt.Errorf("kubelet collector: %w", err)
		}
		o.Env = filter
	}
	return o, nil
}

// asks reports whether a way may be used.
func (o *Options) asks(way int) bool {
	if way == viaAPIServer {
		return o.PodSource != fromKubelet
	}
	return o.PodSource != fromAPIServer
}

func (o *Options) apiServer() kubeapi.Options {
	return kubeapi.Options{Kubeconfig: o.Kubeconfig, CA: o.APICA, SkipVerify: o.APISkipVerify,
		Root: o.Root}
}

// roots returns who may sign for the kubelet. They are read each time that it is looked for: when a
// new one signs lists fail, and it is looked for again.
func (o *Options) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, path := range []string{o.ClientCA, o.Root + serviceAccount + "ca.crt",
		o.Root + defaultServingCert} {
		if pem, err := os.ReadFile(path); path != "" && err == nil {
			pool.AppendCertsFromPEM(pem)
		}
	}
	return pool
}

// tokenPath returns the file of the token, "" if there is none.
func (o *Options) tokenPath() string {
	if o.TokenPath != "" {
		return o.TokenPath
	}
	path := o.Root + serviceAccount + "token"
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
