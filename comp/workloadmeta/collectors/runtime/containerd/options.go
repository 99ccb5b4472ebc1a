package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/pkg/env"
	"google.golang.org/grpc"
)

// Tuning changes how events are followed and how often containerd is asked. The zero value is
// useful.
type Tuning = runtimesync.Tuning

// Stats counts what the collector has done since it was made, over all connections.
type Stats = runtimesync.Stats

// Options change how the collector works. The zero value is useful.
type Options struct {
	Tuning `field:"CallTimeout" config:"/cri_query_timeout,datadog" default:"5s" doc:"Time limit of a request to containerd or over the container runtime interface (CRI)."`

	// ID is the collector's, for a program that has one for each of several containerds:
	// "containerd@" and a name. Such a one has no instances. Default "containerd".
	ID string
	// Sockets are the paths that are tried when neither Address nor CONTAINERD_ADDRESS names one.
	// Default [SystemSockets], beside which those of Kubernetes distributions have instances of
	// their own.
	Sockets []string
	// Address is the path of containerd's socket, or unix:///path. Empty means CONTAINERD_ADDRESS
	// from the environment, and without that the first of Sockets at which somebody listens.
	Address string `config:"address,address" doc:"Path of containerd's socket. Setting it makes its absence an error. Empty: the usual sockets, those of k3s, RKE2, MicroK8s and k0s among them."`
	// CRISocket is taken for Address if that is empty and "containerd" is in it, unless OverCRI
	// says that containerd is asked over the CRI.
	CRISocket string `config:"/cri_socket_path,address"`
	OverCRI   bool   `config:"/collectors.cri,is=on"`
	// One looks for one containerd only, the first of [DefaultSockets], and not beside the
	// machine's own for that of a Kubernetes distribution.
	One bool `config:"/collectors.containerd,is=on"`
	// Namespaces are those that are collected, moby among them if it is named; empty means all of
	// them but plugins.moby, where Docker has its managed plugins. moby, where it has its
	// containers, then has an instance of its own, which collects as long as Docker's collector
	// has nothing to collect.
	Namespaces []string `config:"/containerd_namespaces,datadog" doc:"containerd namespaces that are collected. Empty: all but those of containerd_exclude_namespaces."`
	// ExcludeNamespaces are left out where Namespaces is empty.
	ExcludeNamespaces []string `config:"/containerd_exclude_namespaces,datadog" doc:"containerd namespaces that are left out, unless containerd_namespaces is set. moby, which is Docker's, is left to the Docker collector while that one has something to collect."`
	// Env chooses the environment variables that are kept. nil means the built-in list of package
	// env.
	Env *env.Filter
	// NoImages leaves images out. They are still asked for what containers need to know of them.
	NoImages bool `config:"/container_image.enabled,is=false"`
	// KeepPause reports the pause containers of pods as well.
	KeepPause bool `config:"/exclude_pause_container,is=false"`
	// KeepStopped keeps all containers that do not run until they are removed, not only those of
	// pods.
	KeepStopped bool `config:"keep_stopped" doc:"Keeps stopped containers until they are removed. Those of pods are always kept."`
	// ProcRoot is where the machine's /proc is, to find start times and addresses. Default /proc.
	ProcRoot string `config:"/proc_root"`

	// Log receives what a person might want to know. Default slog.Default().
	Log *slog.Logger
	// Dial replaces the way to containerd; tests use it.
	Dial func(ctx context.Context, socket string) (net.Conn, error)

	dialOptions []grpc.DialOption // tests count requests with it
	standsInFor string            // of the instance for Docker's namespace
}

// SystemSockets are the paths of the machine's own containerd: the usual one, also where a
// container has the machine's files.
func SystemSockets() []string {
	return alsoInContainer("/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock")
}

// KubernetesSockets are the paths of the containerds that Kubernetes distributions bring with them:
// k3s and RKE2, MicroK8s, k0s.
func KubernetesSockets() []string {
	return alsoInContainer("/run/k3s/containerd/containerd.sock",
		"/var/snap/microk8s/common/run/containerd.sock", "/run/k0s/containerd.sock")
}

// DefaultSockets are all paths at which a containerd may be: [SystemSockets], then
// [KubernetesSockets].
func DefaultSockets() []string { return append(SystemSockets(), KubernetesSockets()...) }

func alsoInContainer(paths ...string) []string {
	for _, path := range paths {
		paths = append(paths, "/host"+path)
	}
	return paths
}

// withDefaults fills in what is not set and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	tuning, err := o.Tuning.WithDefaults("containerd collector")
	if err != nil {
		return o, err
	}
	o.Tuning = tuning
	for field, names := range map[string][]string{"Namespaces": o.Namespaces,
		"ExcludeNamespaces": o.ExcludeNamespaces} {
		if slices.Contains(names, "") {
			return o, &collection.OptionError{Collector: "containerd", Field: field,
				Err: errors.New("there must be no empty names in it")}
		}
	}
	if o.ID == "" {
		o.ID = id
	}
	if o.ProcRoot == "" {
		o.ProcRoot = "/proc"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Env == nil {
		filter, err := env.NewFilter()
		if err != nil {
			return o, fmt.Errorf("containerd collector: %w", err)
		}
		o.Env = filter
	}
	return o, nil
}
