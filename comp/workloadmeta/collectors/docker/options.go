package docker

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/rollcall-dev/rollcall/pkg/env"
)

// Options change how the collector works. The zero value is useful.
type Options struct {
	// Host is the daemon's address: unix:///run/docker.sock, tcp://host:2376, npipe://… Empty means
	// DOCKER_HOST from the environment, and without that the first of [DefaultSockets] that is there.
	// DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and DOCKER_API_VERSION work as they do for Docker's own client.
	Host string
	// Env chooses the environment variables that are kept. nil means the built-in list of package env.
	Env *env.Filter
	// NoImages leaves images out. They are still asked for what containers need to know of them.
	NoImages bool
	// KeepPause reports the pause containers of pods as well.
	KeepPause bool
	// KeepStopped keeps containers that do not run until they are removed.
	KeepStopped bool
	// ProcRoot is where the machine's /proc is, to find cgroups. Default /proc.
	ProcRoot string

	Workers      int           // inspections at the same time; default 4
	InspectRate  float64       // inspections a second, once synced; default 50
	InspectBurst int           // how many of them may come together; default 100
	CallTimeout  time.Duration // of every request but the event stream; default 5s
	Coalesce     time.Duration // least time between two inspections of one object; default 100ms
	InitialWait  time.Duration // how long the first inspections may hold back Synced; default 2s
	ResyncEvery  time.Duration // between comparisons with the daemon's lists; default 5min
	// SettleResync is when the first comparison happens after connecting, because a daemon may begin to
	// send events a little after it has accepted the subscription; default 10s.
	SettleResync time.Duration
	RingSize     int // events that wait to be handled; default and least 4096

	// Log receives what a person might want to know. Default slog.Default().
	Log *slog.Logger
	// Dial replaces the way to the daemon; tests use it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DefaultSockets are the paths that are tried when nothing else names the daemon.
func DefaultSockets() []string {
	return []string{"/var/run/docker.sock", "/run/docker.sock", "/host/var/run/docker.sock"}
}

const minRing = 4096

// withDefaults fills in what is not set and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"CallTimeout", &o.CallTimeout, 5 * time.Second},
		{"Coalesce", &o.Coalesce, 100 * time.Millisecond},
		{"InitialWait", &o.InitialWait, 2 * time.Second},
		{"ResyncEvery", &o.ResyncEvery, 5 * time.Minute},
		{"SettleResync", &o.SettleResync, 10 * time.Second},
	} {
		if *d.value < 0 {
			return o, fmt.Errorf("docker collector: option %s is negative: %v", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if o.Workers < 0 || o.InspectRate < 0 || o.InspectBurst < 0 || o.RingSize < 0 {
		return o, fmt.Errorf("docker collector: Workers, InspectRate, InspectBurst and RingSize must not be negative")
	}
	if o.Workers == 0 {
		o.Workers = 4
	}
	if o.InspectRate == 0 {
		o.InspectRate = 50
	}
	if o.InspectBurst == 0 {
		o.InspectBurst = 100
	}
	o.RingSize = max(o.RingSize, minRing)
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
