package docker

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
)

// rank is the collector's among those that describe containers: its word counts before that of the
// containerd below it.
const rank = 50

// Collector reports the containers and images of one Docker daemon. Create one with [New].
type Collector struct {
	opts    Options
	host    string   // configured address; "" = look at sockets
	sockets []string // default paths
	before  []string // names of the daemons that other collectors have
	syncer  *runtimesync.Syncer

	// decode is decodeEvent; a test makes it panic.
	decode func(line []byte) (*message, error)
}

var _ workloadmeta.Streamer = (*Collector)(nil)

// New returns a collector. It does not connect. An address in the options that makes no sense is an
// error that names it. One in DOCKER_HOST is not, because it may serve other programs well, as
// ssh://host does: the collector then has nothing to collect.
func New(o Options) (*Collector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Host != "" {
		if _, err := checkHost(o.Host); err != nil {
			return nil, &collection.OptionError{Collector: id, Field: "Host", Err: err}
		}
	}
	host := cmp.Or(o.Host, strings.TrimSpace(os.Getenv("DOCKER_HOST")))
	return &Collector{
		opts: o, host: host, sockets: mapping.Candidates(DefaultSockets()), decode: decodeEvent,
		syncer: runtimesync.New(runtimesync.Options{
			Tuning: o.Tuning, Name: o.ID, NoImages: o.NoImages, KeepPause: o.KeepPause,
			KeepStopped:  o.KeepStopped,
			SameAsListed: sameAsListed, Overlay: overlay, Log: o.Log,
		}),
	}, nil
}

// Stats returns the collector's counters. The caller owns the result.
func (c *Collector) Stats() Stats { return c.syncer.Stats() }

var _ collection.PartReporter = (*Collector)(nil)

// Parts implements [collection.PartReporter]: where the daemon, or a proxy before it, refuses to
// tell of events, they are a part that is degraded.
func (c *Collector) Parts() []collection.Part {
	err := c.syncer.NoEvents()
	if err == nil {
		return nil
	}
	p := collection.Part{Name: "events", State: collection.StateDegraded,
		Problem: workloadmeta.ProblemOf(err)}
	p.Hint = "let GET /events pass; until then the lists are compared, and what lives for less than " +
		"10 s may not be seen"
	return []collection.Part{p}
}

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description {
	d := description
	d.ID = c.opts.ID
	if c.opts.NoImages {
		d.Kinds = []workloadmeta.Kind{workloadmeta.KindContainer}
		d.Omits = mapping.NoImages()
	}
	return d
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
	if err := c.syncer.Stream(ctx, &backend{daemon: d, opts: &c.opts, decode: c.decode},
		sink); err != nil {
		return fmt.Errorf("docker at %s: %w", d.host, d.peer.Explain(err))
	}
	return nil
}
