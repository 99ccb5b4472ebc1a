package cri

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// Options change how the collector works. The zero value is useful.
type Options struct {
	// Socket is the runtime's socket: /run/crio/crio.sock or unix:///run/crio/crio.sock. Empty
	// means the first of [DefaultSockets] that is there.
	Socket string `config:"/cri_socket_path,datadog,address" doc:"Socket of a runtime that is asked over the CRI, such as CRI-O. Where \"containerd\" is in the path it is taken for containerd's, which has a collector of its own, unless collectors.cri is on. Setting it makes its absence an error."`
	// ContainerdAddress is taken for an empty Socket with UseContainerd, by [Spec].
	ContainerdAddress string `config:"/containerd.address"`
	// UseContainerd also looks for containerd's sockets. By default they are left to the containerd
	// collector, which is told of changes instead of asking for them.
	UseContainerd bool `config:"/collectors.cri,is=on"`
	// Env chooses the environment variables that are kept. nil means the built-in list of package
	// env.
	Env *env.Filter
	// NoImages leaves images out. They are still listed when a container of an unknown image shows
	// up.
	NoImages bool `config:"/container_image.enabled,is=false"`
	// KeepPause reports containers that are made of a pause image. Sandboxes are never reported.
	KeepPause bool `config:"/exclude_pause_container,is=false"`
	// ProcRoot is where the machine's /proc is, to find cgroups that the runtime does not tell.
	// Default /proc.
	ProcRoot string `config:"/proc_root"`

	Workers int // statuses that are asked for at the same time; default 4
	// CallTimeout is that of a list. Default 5s.
	CallTimeout time.Duration `config:"/cri_query_timeout,datadog" default:"5s" doc:"Time limit of a request to containerd or over the container runtime interface (CRI)."`
	// StatusWait is how long statuses may hold a pull back. Default 2s. A status that has failed
	// before may take twice as long each time, up to CallTimeout.
	StatusWait  time.Duration
	ImagePeriod time.Duration // between lists of images; default 1min

	// Log receives what a person might want to know. Default: nothing is logged.
	Log *slog.Logger
}

// withDefaults fills in what is not set and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"CallTimeout", &o.CallTimeout, 5 * time.Second},
		{"StatusWait", &o.StatusWait, 2 * time.Second},
		{"ImagePeriod", &o.ImagePeriod, time.Minute},
	} {
		if *d.value < 0 {
			return o, fmt.Errorf("cri collector: option %s is negative: %v", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if o.Workers < 0 {
		return o, fmt.Errorf("cri collector: option Workers is negative: %d", o.Workers)
	}
	if o.Workers == 0 {
		o.Workers = 4
	}
	o.StatusWait = min(o.StatusWait, o.CallTimeout)
	if o.Socket != "" {
		path := strings.TrimPrefix(o.Socket, "unix://")
		if !filepath.IsAbs(path) {
			return o, &collection.OptionError{Collector: "cri", Field: "Socket", Err: fmt.Errorf(
				"it is %q; want the path of a Unix socket, /run/crio/crio.sock or "+
					"unix:///run/crio/crio.sock", o.Socket)}
		}
		o.Socket = path
	}
	if o.ProcRoot == "" {
		o.ProcRoot = "/proc"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Env == nil {
		filter, err := env.NewFilter()
		if err != nil {
			return o, fmt.Errorf("cri collector: %w", err)
		}
		o.Env = filter
	}
	return o, nil
}
