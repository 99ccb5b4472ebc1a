package podman

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
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

// Collector reports the containers and images of all Podman services on this machine. Create one
// with [New].
type Collector struct {
	opts      Options
	places    []place // where to look
	paths     paths
	log       *slog.Logger
	streaming atomic.Bool

	// union and rank belong to the running Stream.
	union *union
	rank  int

	// guards the fields below, which only the running Stream changes, and what it says about
	// sockets
	mu       sync.Mutex
	sockets  []*socket
	unusable []collection.Part // named addresses at which there is nothing to connect to
	// where a Podman has answered that may also be Docker's place; Detect changes it, too
	answered map[address]bool

	// decode is decodeEvent; a test makes it panic.
	decode func(line []byte) (*message, error)
}

var _ workloadmeta.Streamer = (*Collector)(nil)

// socket is a service that is followed.
type socket struct {
	place    place
	address  address
	follower *runtimesync.Syncer
	view     *view

	state    SocketState // guarded by Collector.mu, as are the next two
	why      workloadmeta.Problem
	version  string
	tried    bool // in this run of Stream: has been synced or has failed
	told     string
	procs    processes // of the last connection
	finished chan struct{}
	cancel   context.CancelFunc
}

// New returns a collector. It does not connect. An address in the options that makes no sense is an
// error that names it.
func New(o Options) (*Collector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Collector{opts: o, places: placesFor(o.Sockets), paths: defaultPaths(),
		union: newUnion(workloadmeta.SourceRuntime), decode: decodeEvent,
		answered: map[address]bool{}}
	c.log = o.Log.With("collector", "podman")
	return c, nil
}

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description {
	d := description
	if c.opts.NoImages {
		d.Kinds = []workloadmeta.Kind{workloadmeta.KindContainer}
		d.Omits = mapping.NoImages()
	}
	return d
}

// report is what a socket's goroutine tells.
type report struct {
	socket  *socket
	version string // connected
	procs   processes
	err     error // why the connection has ended, or has not come about
	docker  bool  // it is none of ours
}

// run is one run of Stream.
type run struct {
	c        *Collector
	ctx      context.Context
	sink     workloadmeta.Sink
	requests chan request
	reports  chan report
	synced   bool
	hurried  bool      // those that have not answered yet are not waited for any more
	docker   []address // those at which Docker answers
}

// Stream implements [workloadmeta.Streamer]. It follows every socket there is, over any number of
// connections, and returns when ctx ends or no service answers any more; everything it has started
// has then ended. One Stream runs at a time.
func (c *Collector) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	if !c.streaming.CompareAndSwap(false, true) {
		return errors.New("podman collector: Stream is running already")
	}
	defer c.streaming.Store(false)
	inner, cancel := context.WithCancel(ctx)
	r := &run{c: c, ctx: inner, sink: sink, requests: make(chan request),
		reports: make(chan report)}
	defer r.end(cancel)
	r.rescan()
	if len(c.sockets) == 0 {
		return c.Detect(ctx).Err()
	}
	tick := time.NewTicker(c.opts.RescanEvery)
	defer tick.Stop()
	patience := time.NewTimer(c.opts.InitialWait)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			r.hurried = true
		case q := <-r.requests:
			r.handle(q)
		case rep := <-r.reports:
			r.note(rep)
		case <-tick.C:
			r.rescan()
			r.bury()
		}
		if err := r.settle(); err != nil {
			return err
		}
	}
}

// end stops the sockets' goroutines and waits for them.
func (r *run) end(cancel context.CancelFunc) {
	cancel()
	for _, s := range r.c.sockets {
		if s.finished != nil {
			<-s.finished
		}
		s.finished, s.cancel = nil, nil
		s.tried, s.view.stale = false, true
		s.set(r.c, SocketWaiting, s.why, s.version)
	}
}

// settle tells that everything has been reported when each socket has been synced or has failed, or
// has not answered for so long that the others need not wait for it, and returns an error when none
// is left that might tell more.
func (r *run) settle() error {
	var errs []error
	live, silent := 0, 0
	for _, s := range r.c.sockets {
		switch {
		case !s.tried && s.state == SocketWaiting && r.hurried:
			silent++
		case !s.tried:
			return nil
		case s.state == SocketWaiting && !r.c.ours(s.place, s.address): // whatever is wrong there
		case s.state == SocketWaiting:
			errs = append(errs, s.why.Err())
		default:
			live++
		}
	}
	if live == 0 {
		if silent > 0 {
			return nil
		}
		if len(errs) == 0 {
			errs = append(errs, r.c.missing().Err())
		}
		return errors.Join(errs...)
	}
	if !r.synced {
		r.synced = true
		r.tell(r.c.union.again())
		r.sink.Synced()
	}
	return nil
}

// handle does what a socket's follower asks for.
func (r *run) handle(q request) {
	defer close(q.done)
	switch {
	case q.begin:
		r.c.union.begin(q.view)
	case q.synced:
		r.tell(r.c.union.synced(q.view))
		for _, s := range r.c.sockets {
			if s.view == q.view {
				s.tried, s.told = true, ""
				s.set(r.c, SocketLive, workloadmeta.Problem{}, s.version)
			}
		}
	default:
		r.tell(r.c.union.apply(q.view, q.events))
	}
}

func (r *run) tell(events []workloadmeta.CollectorEvent) {
	if len(events) > 0 {
		r.sink.Apply(events)
	}
}

// note takes a socket's news into account.
func (r *run) note(rep report) {
	s := rep.socket
	switch {
	case rep.err == nil:
		r.c.setAnswered(s.place, s.address, true)
		s.procs = rep.procs
		s.set(r.c, SocketConnecting,
			workloadmeta.Problem{Reason: "it answers; what it has is being read"}, rep.version)
	case rep.docker:
		r.c.log.Debug("a socket is left out", "address", s.address.String(), "reason", rep.err)
		r.c.setAnswered(s.place, s.address, false)
		r.docker = append(r.docker, s.address)
		r.remove(s)
	case s.state == SocketLive:
		// The service ends when it has nothing to do, is restarted, or its time is over: the next
		// connection starts it again.
		r.c.log.Debug("the connection has ended; it is made again", "address", s.address.String(),
			"reason", rep.err)
		s.set(r.c, SocketConnecting, workloadmeta.ProblemOf(rep.err), s.version)
	default:
		s.tried = true
		s.set(r.c, SocketWaiting, workloadmeta.ProblemOf(rep.err), s.version)
		// otherwise Stream returns it
		if s.told != s.why.Reason && len(r.c.sockets) > 1 && r.c.ours(s.place, s.address) {
			s.told = s.why.Reason
			r.c.log.Info("a podman service does not answer; it is tried again", "address",
				s.address.String(), "reason", s.why)
		}
	}
}

// set changes what is known of a socket's state.
func (s *socket) set(c *Collector, state SocketState, why workloadmeta.Problem, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.state, s.why, s.version = state, why, version
}

// rescan looks for sockets and follows those that are new.
func (r *run) rescan() {
	c := r.c
	found, unusable := c.find(), c.findUnusable()
	c.mu.Lock()
	c.unusable = unusable
	c.mu.Unlock()
	for _, f := range found {
		if !slices.Contains(r.docker, f.address) &&
			!slices.ContainsFunc(c.sockets,
				func(s *socket) bool { return s.address == f.address }) {
			s := &socket{place: f.place, address: f.address, view: &view{rank: c.rank, stale: true},
				state: SocketWaiting,
				why:   workloadmeta.Problem{Reason: "it has not answered yet"}}
			s.follower = runtimesync.New(runtimesync.Options{
				Tuning: c.opts.Tuning, Name: "podman", Source: workloadmeta.SourceRuntime, NoImages: c.opts.NoImages,
				KeepPause:   c.opts.KeepPause,
				KeepStopped: c.opts.KeepStopped, SameAsListed: sameAsListed, Overlay: overlay,
				Log: c.opts.Log.With("address", f.address.String()),
			})
			c.rank++
			c.mu.Lock()
			c.sockets = append(c.sockets, s)
			c.mu.Unlock()
		}
	}
	for _, s := range slices.Clone(c.sockets) {
		there := slices.ContainsFunc(found,
			func(f foundSocket) bool { return f.address == s.address })
		switch {
		case s.finished == nil:
			r.start(s)
		case !there && s.state == SocketWaiting && s.view.size == 0:
			r.remove(s) // it has gone and nothing is left of it
		}
	}
}

func (r *run) start(s *socket) {
	ctx, cancel := context.WithCancel(r.ctx)
	s.cancel, s.finished = cancel, make(chan struct{})
	go func() { // ends with ctx; remove and end wait for it
		defer close(s.finished)
		r.follow(ctx, s)
	}()
}

// remove stops following a socket and forgets it.
func (r *run) remove(s *socket) {
	s.cancel()
	for done := false; !done; {
		select {
		case <-s.finished:
			done = true
		case q := <-r.requests: // perhaps its last word, for which it waits
			r.handle(q)
		}
	}
	c := r.c
	for _, e := range c.union.of(s.view) {
		r.tell(c.union.withdraw(s.view, e))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sockets = slices.DeleteFunc(slices.Clone(c.sockets), func(o *socket) bool { return o == s })
}

// bury withdraws containers of sockets that have gone, if their processes have ended: a user's
// containers end with the user's session, and so does the service that could tell.
func (r *run) bury() {
	for _, s := range r.c.sockets {
		if s.state != SocketWaiting || s.address.network != "unix" || exists(s.address.target) {
			continue
		}
		for _, e := range r.c.union.of(s.view) {
			if c, ok := e.(*workloadmeta.Container); ok && c.PID != 0 && s.procs.gone(c.PID, c.ID) {
				last := *c
				lost(&last)
				r.tell(r.c.union.withdraw(s.view, &last))
			}
		}
	}
}

const backoffMin = 250 * time.Millisecond

// follow keeps a connection to a service until ctx ends. It runs in a goroutine of its own.
func (r *run) follow(ctx context.Context, s *socket) {
	pause := backoffMin
	for ctx.Err() == nil {
		lived, err := r.connect(ctx, s)
		if ctx.Err() != nil {
			return
		}
		docker := errors.Is(err, errDocker) && s.place.any
		select {
		case r.reports <- report{socket: s, err: err, docker: docker}:
		case <-ctx.Done():
			return
		}
		if docker {
			<-ctx.Done() // whoever gets the report ends it
			return
		}
		if lived {
			pause = backoffMin
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, max(backoffMin, r.c.opts.RescanEvery))
	}
}

// connect is one connection. lived says that it came about and held for a while.
func (r *run) connect(ctx context.Context, s *socket) (lived bool, err error) {
	b := newService(s.address, &r.c.opts, r.c.log)
	b.decode = r.c.decode
	defer b.close()
	// The supervisor catches the panics of its own goroutine, not of this one.
	defer func() {
		if p := recover(); p != nil {
			r.c.log.Error("panic while following a podman service", "address", s.address.String(),
				"panic", p, "stack", string(debug.Stack()))
			lived, err = false, fmt.Errorf("podman at %s: panic: %v", s.address, p)
		}
	}()
	if err := r.connectTo(ctx, b, s); err != nil {
		return false, r.c.explain(foundSocket{s.place, s.address}, err, r.c.opts.CallTimeout)
	}
	select {
	case r.reports <- report{socket: s, version: b.version, procs: b.procs}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	sink := viewSink{ctx, s.view, r.requests}
	sink.send(request{begin: true})
	begin := time.Now()
	err = s.follower.Stream(ctx, b, sink)
	if errors.Is(err, context.DeadlineExceeded) {
		return time.Since(begin) > time.Second, fmt.Errorf("podman at %s does not answer: %w",
			s.address, err)
	}
	return time.Since(begin) > time.Second, fmt.Errorf("podman at %s: %w", s.address, err)
}

// connectTo has a connection made. Whether a Podman answers where another may be meant is not worth
// waiting for.
func (r *run) connectTo(ctx context.Context, b *service, s *socket) error {
	if !r.c.ours(s.place, s.address) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, mapping.ProbeTimeout)
		defer cancel()
	}
	return b.connect(ctx)
}
