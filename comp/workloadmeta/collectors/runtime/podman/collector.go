package podman

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
)

// rank is the collector's among those that describe containers: after Docker's.
const rank = 40

// Collector finds the Podman services on this machine. Each of them has an instance of it, which
// reports the containers and images. Create one with [New].
type Collector struct {
	opts   Options
	places []place // where to look
	paths  paths
	log    *slog.Logger

	mu      sync.Mutex // guards the fields below
	sockets map[address]*socket
	// where a Podman has answered that may also be Docker's place
	answered map[address]bool
	docker   map[address]time.Time // when Docker has answered there

	// decode is decodeEvent; a test makes it panic.
	decode func(line []byte) (*message, error)
}

var _ workloadmeta.Discoverer = (*Collector)(nil)

// New returns a collector. It does not connect. An address in the options that makes no sense is an
// error that names it.
func New(o Options) (*Collector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Collector{opts: o, places: placesFor(o.Sockets), paths: defaultPaths(),
		decode: decodeEvent, sockets: map[address]*socket{}, answered: map[address]bool{},
		docker: map[address]time.Time{}, log: o.Log.With("collector", description.ID)}, nil
}

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description {
	d := description
	if c.opts.NoImages {
		d.Kinds = []workloadmeta.Kind{workloadmeta.KindContainer}
	}
	d.Period = c.opts.RescanEvery
	return d
}

// Instances implements [workloadmeta.Discoverer]: one for each socket that is there, and for each
// that somebody has named. One that only DOCKER_HOST names is not among them until a Podman has
// answered there.
func (c *Collector) Instances(context.Context) []workloadmeta.Collector {
	var out []workloadmeta.Collector
	for _, f := range append(c.find(), c.findMissing()...) {
		if c.ours(f.place, f.address) {
			out = append(out, c.socketAt(f))
		}
	}
	return out
}

// socketAt returns the instance for a socket, always the same.
func (c *Collector) socketAt(f foundSocket) *socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sockets[f.address]
	if s == nil {
		d := c.Describe()
		d.ID += "@" + f.address.String()
		s = &socket{c: c, found: f, description: d, syncer: runtimesync.New(runtimesync.Options{
			Tuning: c.opts.Tuning, Name: d.ID, Source: d.Source, NoImages: c.opts.NoImages,
			KeepPause: c.opts.KeepPause, KeepStopped: c.opts.KeepStopped,
			SameAsListed: sameAsListed, Overlay: overlay, Log: c.opts.Log,
		})}
		c.sockets[f.address] = s
	}
	return s
}

// SocketStatus is what is known of one socket.
type SocketStatus struct {
	Address string
	Version string // of the Podman that has answered last
	Stats   Stats
}

// Stats counts what has been done for one socket since it was found, over all connections.
type Stats = runtimesync.Stats

// Sockets returns the sockets that were found so far, by their address. The caller owns the result.
func (c *Collector) Sockets() []SocketStatus {
	c.mu.Lock()
	var sockets []*socket
	for _, s := range c.sockets {
		sockets = append(sockets, s)
	}
	c.mu.Unlock()
	var out []SocketStatus
	for _, s := range sockets {
		version, _ := s.last()
		out = append(out, SocketStatus{s.found.address.String(), version, s.syncer.Stats()})
	}
	slices.SortFunc(out,
		func(a, b SocketStatus) int { return strings.Compare(a.Address, b.Address) })
	return out
}

// socket collects from the service behind one socket.
type socket struct {
	c           *Collector
	found       foundSocket
	description workloadmeta.Description
	syncer      *runtimesync.Syncer
	connected   atomic.Bool

	mu      sync.Mutex // guards the fields below, which are of the last connection
	version string
	procs   processes
}

var (
	_ workloadmeta.Streamer = (*socket)(nil)
	_ workloadmeta.Witness  = (*socket)(nil)
)

// last returns what the last connection has found out.
func (s *socket) last() (version string, procs processes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version, s.procs
}

// Describe implements [workloadmeta.Collector].
func (s *socket) Describe() workloadmeta.Description { return s.description }

// Detect implements [workloadmeta.Collector]. A socket at which nobody listens at the moment counts
// as detected: what made it is expected back.
func (s *socket) Detect(ctx context.Context) workloadmeta.Detection {
	switch state, p := s.c.look(ctx, s.found); state {
	case mapping.SocketOpen, mapping.SocketQuiet:
		return mapping.Found(workloadmeta.Detected, p)
	case mapping.SocketUnfit:
		return mapping.Found(workloadmeta.Absent, p)
	}
	return mapping.Found(workloadmeta.Absent, noSocket(s.found.address))
}

// Stream implements [workloadmeta.Streamer] over one connection. It returns when ctx ends or the
// connection does, and everything it has started has then ended. One Stream runs at a time.
func (s *socket) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	b := newService(s.found.address, &s.c.opts, s.c.log)
	b.decode = s.c.decode
	defer b.close()
	if err := b.connect(ctx); err != nil {
		if errors.Is(err, errDocker) && s.found.place.any {
			s.c.setAnswered(s.found.place, s.found.address, false)
		}
		return s.c.explain(s.found, err, s.c.opts.CallTimeout)
	}
	s.c.setAnswered(s.found.place, s.found.address, true)
	s.mu.Lock()
	s.version, s.procs = b.version, b.procs
	s.mu.Unlock()
	s.connected.Store(true)
	defer s.connected.Store(false)
	err := s.syncer.Stream(ctx, b, sink)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("podman at %s does not answer: %w", s.found.address, err)
	}
	// The service ends when it has nothing to do, or when systemd thinks that it hangs: the next
	// connection starts it again.
	return collection.Closed(fmt.Errorf("podman at %s: %w", s.found.address, err))
}

// Gone implements [workloadmeta.Witness]: a user's containers end with the user's session, and so
// does the service that could tell.
func (s *socket) Gone(e workloadmeta.Entity) bool {
	c, ok := e.(*workloadmeta.Container)
	if !ok || c.PID == 0 || s.found.address.network != "unix" || exists(s.found.address.target) {
		return false
	}
	_, procs := s.last()
	return procs.gone(c.PID, c.ID)
}
