package podman

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// Tuning changes how events are followed and how often the service is asked. The zero value is
// useful. It applies to each socket. ResyncEvery is 30s by default, because events can get lost in
// the journal.
type Tuning = runtimesync.Tuning

// Options change how the collector works. The zero value is useful.
type Options struct {
	Tuning `field:"CallTimeout" config:"/docker_query_timeout,datadog" default:"5s" doc:"Time limit of a request to Docker or Podman."`

	// Sockets are the addresses of Podman services: /run/podman/podman.sock,
	// unix:///run/podman/podman.sock, tcp://host:8080. A "*" in a path is any text, as in
	// /run/user/*/podman/podman.sock. Empty means [DefaultSockets] and those that CONTAINER_HOST
	// and, if a Podman answers there, DOCKER_HOST name. A Docker daemon behind an address is left
	// to the Docker collector.
	Sockets []string `config:"sockets,address" doc:"Where Podman's services are: paths, in which * is any text, unix:///path or tcp://host:port. Setting it makes their absence an error. Empty: the system's, every user's, and those that CONTAINER_HOST and, if a Podman answers there, DOCKER_HOST name."`
	// Env chooses the environment variables that are kept. nil means the built-in list of package
	// env.
	Env *env.Filter
	// NoImages leaves images out. They are still asked for what containers need to know of them.
	NoImages bool `config:"/container_image.enabled,is=false"`
	// KeepPause reports infra containers of pods as well.
	KeepPause bool `config:"/exclude_pause_container,is=false"`
	// KeepStopped keeps containers that do not run until they are removed.
	KeepStopped bool `config:"keep_stopped" doc:"Keeps stopped containers until they are removed."`
	// ProcRoot is where the machine's /proc is, to see whether processes are there. Default /proc.
	ProcRoot string `config:"/proc_root"`

	// between searches for sockets; default 10s
	RescanEvery time.Duration
	PollEvery   time.Duration // between comparisons where Podman keeps no events; default 10s

	// Log receives what a person might want to know. Default slog.Default().
	Log *slog.Logger
	// Dial replaces the way to the services; tests use it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DefaultSockets are the paths at which sockets are looked for when the options name none: root's
// and those of all users, also where a container has the machine's files. A "*" is any text.
func DefaultSockets() []string {
	return []string{
		"/run/podman/podman.sock", "/run/user/*/podman/podman.sock",
		"/host/run/podman/podman.sock", "/host/run/user/*/podman/podman.sock",
	}
}

// withDefaults fills in what is not set and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	if o.ResyncEvery == 0 {
		o.ResyncEvery = 30 * time.Second
	}
	tuning, err := o.Tuning.WithDefaults("podman collector")
	if err != nil {
		return o, err
	}
	o.Tuning = tuning
	for _, d := range []struct {
		name  string
		value *time.Duration
	}{{"RescanEvery", &o.RescanEvery}, {"PollEvery", &o.PollEvery}} {
		if *d.value < 0 {
			return o, fmt.Errorf("podman collector: option %s is negative: %v", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = 10 * time.Second
		}
	}
	for _, s := range o.Sockets {
		if _, err := parseAddress(s); err != nil {
			return o, &collection.OptionError{Collector: "podman", Field: "Sockets", Err: err}
		}
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
			return o, fmt.Errorf("podman collector: %w", err)
		}
		o.Env = filter
	}
	return o, nil
}
