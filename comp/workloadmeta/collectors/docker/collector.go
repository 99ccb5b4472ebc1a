package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Collector reports the containers and images of one Docker daemon. Create one with [New].
type Collector struct {
	opts     Options
	host     string   // configured address; "" = look at sockets
	sockets  []string // default paths
	counters *counters

	streaming atomic.Bool
	known     *known // what the last run of Stream knew; only the running one may touch it

	// decode is decodeEvent; a test makes it panic.
	decode func(line []byte) (*message, error)
}

var _ workloadmeta.Streamer = (*Collector)(nil)

// New returns a collector. It does not connect. An address that makes no sense, in the options or in DOCKER_HOST, is an
// error that names it.
func New(o Options) (*Collector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	host, from := o.Host, "option Host"
	if host == "" {
		host, from = os.Getenv("DOCKER_HOST"), "DOCKER_HOST"
	}
	if host != "" {
		if _, err := checkHost(host); err != nil {
			return nil, fmt.Errorf("docker collector: %s: %w", from, err)
		}
	}
	return &Collector{
		opts: o, host: host, sockets: DefaultSockets(), counters: newCounters(), known: newKnown(), decode: decodeEvent,
	}, nil
}

// ID implements [workloadmeta.Collector].
func (c *Collector) ID() string { return "docker" }

// Source implements [workloadmeta.Collector].
func (c *Collector) Source() workloadmeta.Source { return workloadmeta.SourceRuntime }

// Kinds implements [workloadmeta.Collector].
func (c *Collector) Kinds() []workloadmeta.Kind {
	kinds := []workloadmeta.Kind{workloadmeta.KindContainer}
	if !c.opts.NoImages {
		kinds = append(kinds, workloadmeta.KindContainerImage)
	}
	return kinds
}

// Stream implements [workloadmeta.Streamer]. It returns when ctx ends or the connection does, and everything it has started
// has then ended. One Stream runs at a time.
func (c *Collector) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	if !c.streaming.CompareAndSwap(false, true) {
		return errors.New("docker collector: Stream is running already")
	}
	defer c.streaming.Store(false)
	host, found := c.host, workloadmeta.Detection{}
	if host == "" {
		if host, found = c.find(ctx); host == "" {
			return errors.New(found.Reason)
		}
	}
	d, err := newDaemon(host, &c.opts)
	if err != nil {
		return err
	}
	defer d.close()
	return c.stream(ctx, d, sink)
}
