package containerd

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
)

// rank is the collector's among those that describe containers: after that of who manages its
// containers.
const rank = 30

// Collector reports the containers and images of one containerd. Create one with [New].
type Collector struct {
	opts     Options
	others   others
	socket   string   // configured path; "" = look at the default ones
	sockets  []string // default paths
	unusable error    // what is wrong with the address in the environment
	syncer   *runtimesync.Syncer
	shared   *shared
}

var (
	_ workloadmeta.Streamer   = (*Collector)(nil)
	_ workloadmeta.Discoverer = (*Collector)(nil)
)

// New returns a collector. It does not connect. An address in the options that makes no sense is an
// error that names it. One in CONTAINERD_ADDRESS is not, because it may serve other programs well:
// the collector then has nothing to collect.
func New(o Options) (*Collector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Collector{opts: o}
	address, field := o.Address, "Address"
	if address == "" {
		normalize(&o)
		address, field = o.CRISocket, "CRISocket"
	}
	if address != "" {
		if c.socket, err = socketPath(address); err != nil {
			return nil, &collection.OptionError{Collector: "containerd", Field: field, Err: err}
		}
	} else if address = strings.TrimSpace(os.Getenv("CONTAINERD_ADDRESS")); address != "" {
		if c.socket, err = socketPath(address); err != nil {
			c.unusable = fmt.Errorf("CONTAINERD_ADDRESS: %w", err)
		}
	}
	sockets := o.Sockets
	if sockets == nil {
		sockets = SystemSockets()
		switch {
		case o.One || o.ID != id:
			sockets = DefaultSockets()
		case c.socket == "" && c.unusable == nil:
			c.others.sockets = mapping.Candidates(KubernetesSockets())
		}
	}
	c.sockets = mapping.Candidates(sockets)
	m := newMemory()
	c.shared = &shared{
		scope: newScope(&o), memory: m, index: newIndex(), sandboxes: newSandboxes(),
		contents: newContents(),
		reader:   reader{platform: platforms.Default(), allowed: o.Env.Allowed},
		mapper: mapper{env: o.Env, machine: machine{root: o.ProcRoot, now: time.Now}, memory: m,
			now: time.Now},
	}
	c.syncer = runtimesync.New(runtimesync.Options{
		Tuning: o.Tuning, Name: o.ID, Source: workloadmeta.SourceRuntime, NoImages: o.NoImages,
		KeepPause: o.KeepPause, KeepStopped: o.KeepStopped,
		SameAsListed: sameAsListed, Overlay: overlay, Log: o.Log,
	})
	return c, nil
}

// Stats returns the collector's counters. The caller owns the result.
func (c *Collector) Stats() Stats { return c.syncer.Stats() }

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description {
	d := description
	d.ID, d.StandsInFor = c.opts.ID, c.opts.standsInFor
	if c.opts.NoImages {
		d.Kinds = []workloadmeta.Kind{workloadmeta.KindContainer}
		d.Omits = mapping.NoImages()
	}
	return d
}

// Stream implements [workloadmeta.Streamer]. It returns when ctx ends or the connection does, and
// everything it has started has then ended. One Stream runs at a time.
func (c *Collector) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	socket := c.socket
	if socket == "" {
		var found workloadmeta.Detection
		if socket, found = c.find(ctx); socket == "" {
			return found.Err()
		}
	}
	d, err := newDaemon(socket, &c.opts)
	if err != nil {
		return err
	}
	defer d.close()
	if _, err := d.version(ctx); err != nil {
		return err
	}
	if err := c.syncer.Stream(ctx, &backend{daemon: d, shared: c.shared, opts: &c.opts},
		sink); err != nil {
		return fmt.Errorf("containerd at %s: %w", socket, d.peer.Explain(err))
	}
	return nil
}
