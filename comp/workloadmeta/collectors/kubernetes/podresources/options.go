package podresources

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

const (
	defaultSocket = "/var/lib/kubelet/pod-resources/kubelet.sock"
	defaultPeriod = 30 * time.Second
	callTimeout   = 5 * time.Second
)

// Options change how the collector works. Store is required.
type Options struct {
	// Socket of the API. Default: /var/lib/kubelet/pod-resources/kubelet.sock.
	Socket string `config:"socket,address" default:"/var/lib/kubelet/pod-resources/kubelet.sock" doc:"Socket of the kubelet's PodResources API (root only). In a container mount its folder, not the socket, which is made anew at each start of the kubelet."`
	// Period is from one list to the next while nothing is missing. Default 30s.
	Period time.Duration `config:"poll_interval" default:"30s" doc:"From one list of devices to the next. When a container shows up that asks for devices it is asked for at once."`

	// Store has the pods.
	Store workloadmeta.Component
	// CallTimeout bounds one question. Default 5s.
	CallTimeout time.Duration
	// Log receives what a person might want to know. Default: nothing is logged.
	Log *slog.Logger
}

// withDefaults fills in what is not set and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	if o.Store == nil {
		return o, errors.New("podresources collector: option Store is required")
	}
	if o.Socket == "" {
		o.Socket = defaultSocket
	}
	switch {
	case o.Period == 0:
		o.Period = defaultPeriod
	case o.Period < time.Second:
		return o, &collection.OptionError{Collector: ID, Field: "Period",
			Err: fmt.Errorf("it is %s; want a second at least", o.Period)}
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = callTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
