package docker

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// Tuning changes how events are followed and how often the daemon is asked. The zero value is
// useful.
type Tuning = runtimesync.Tuning

// Stats counts what the collector has done since it was made, over all connections.
type Stats = runtimesync.Stats

// Options change how the collector works. The zero value is useful.
type Options struct {
	Tuning `field:"CallTimeout" config:"/docker_query_timeout,datadog" default:"5s" doc:"Time limit of a request to Docker or Podman."`

	// ID is the collector's, for a program that has one for each of several daemons: "docker@" and
	// a name. Default "docker".
	ID string
	// Host is the daemon's address: unix:///run/docker.sock, tcp://host:2376, npipe://… Empty means
	// DOCKER_HOST from the environment, and without that the first of [DefaultSockets] that is
	// there. DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and DOCKER_API_VERSION work as they do for
	// Docker's own client.
	Host string `config:"host,address,flag,env=DOCKER_HOST" doc:"Address of the Docker daemon: unix:///path or tcp://host:port. Setting it makes an unreachable daemon an error. Empty: DOCKER_HOST, else the usual sockets."`
	// Hosts are the daemons' addresses, each as Host, where there are several. They are for
	// [NewAll]; a collector has one daemon, and [New] takes no notice of them.
	Hosts []string `config:"hosts,address" doc:"Addresses of the Docker daemons where there are several, each as docker.host. The first, or docker.host where that is set, is collected by docker, each of the others by an instance docker@<address>. DOCKER_HOST does not count then. Setting it makes an unreachable daemon an error."`
	// Env chooses the environment variables that are kept. nil means the built-in list of package
	// env.
	Env *env.Filter
	// NoImages leaves images out. They are still asked for what containers need to know of them.
	NoImages bool `config:"/container_image.enabled,is=false"`
	// KeepPause reports the pause containers of pods as well.
	KeepPause bool `config:"/exclude_pause_container,is=false"`
	// KeepStopped keeps containers that do not run until they are removed.
	KeepStopped bool `config:"keep_stopped" doc:"Keeps stopped containers until they are removed."`
	// ProcRoot is where the machine's /proc is, to find cgroups. Default /proc.
	ProcRoot string `config:"/proc_root"`

	// Log receives what a person might want to know. Default slog.Default().
	Log *slog.Logger
	// Dial replaces the way to the daemon; tests use it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	listed bool // Host is from Hosts
}

// DefaultSockets are the paths that are tried when nothing else names the daemon.
func DefaultSockets() []string {
	return []string{"/var/run/docker.sock", "/run/docker.sock", "/host/var/run/docker.sock"}
}

// withDefaults fills in what is not set and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	tuning, err := o.Tuning.WithDefaults("docker collector")
	if err != nil {
		return o, err
	}
	o.Tuning = tuning
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
			return o, fmt.Errorf("docker collector: %w", err)
		}
		o.Env = filter
	}
	return o, nil
}
