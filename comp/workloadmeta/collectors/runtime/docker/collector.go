package docker

import (
	"context"
	"fmt"
	"os"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
)

// rank is the collector's among those that describe containers: its word counts before that of the containerd below it.
const rank = 50

// Collector reports the containers and images of one Docker daemon. Create one with [New].
type Collector struct {
	opts     Options
	host     string   // configured address; "" = look at sockets
	sockets  []string // default paths
	follower *runtimesync.Syncer

	// decode is decodeEvent; a test makes it panic.
	decode func(line []byte) (*message, error)
}

var _ workloadmeta.Streamer = (*Collector)(nil)

// New returns a collector. It does not connect. An address that makes no sense, in the options or
// in DOCKER_HOST, is an error that names it.
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
		opts: o, host: host, sockets: mapping.Candidates(DefaultSockets()), decode: decodeEvent,
		follower: runtimesync.New(runtimesync.Options{
			Tuning: o.Tuning, Name: "docker", NoImages: o.NoImages, KeepPause: o.KeepPause,
			KeepStopped:  o.KeepStopped,
			SameAsListed: sameAsListed, Overlay: overlay, Log: o.Log,
		}),
	}, nil
}

// Stats returns the collector's counters. The caller owns the result.
func (c *Collector) Stats() Stats { return c.follower.Stats() }

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description {
	kinds := []workloadmeta.Kind{workloadmeta.KindContainer}
	if !c.opts.NoImages {
		kinds = append(kinds, workloadmeta.KindContainerImage)
	}
	return workloadmeta.Description{ID: "docker", Source: workloadmeta.SourceRuntime,
		Kinds: kinds, Rank: rank}
}

// Stream implements [workloadmeta.Streamer]. It returns when ctx ends or the connection does, and
// everything it has started has then ended. One Stream runs at a time.
func (c *Collector) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	host, found := c.host, workloadmeta.Detection{}
	if host == "" {
		if host, found = c.find(ctx); host == "" {
			return found.Err()
		}
	}
	d, err := newDaemon(host, &c.opts)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.connect(ctx); err != nil {
		return d.peer.Explain(err)
	}
	if err := c.follower.Stream(ctx, &backend{daemon: d, opts: &c.opts, decode: c.decode},
		sink); err != nil {
		return fmt.Errorf("docker at %s: %w", d.host, d.peer.Explain(err))
	}
	return nil
}
