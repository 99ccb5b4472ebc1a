package runtimesync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

const (
	maxRing  = 32 << 20 // bytes of events that may wait
	maxBatch = 256      // events that are handled together, so that answers need not wait long
	// pingWait is for the ping that tells a slow container from a slow runtime.
	pingWait = time.Second
)

// Syncer keeps sinks up to date with one runtime over any number of connections, one at a time. It
// remembers from one to the next what it has reported. Create one with [New].
type Syncer struct {
	opts    Options
	log     *slog.Logger
	running atomic.Bool

	// guards machine, while it steps and while its numbers are read, and noEvents
	mu       sync.Mutex
	machine  *machine
	noEvents error
}

// New returns a syncer. The options must be complete: see [Tuning.WithDefaults].
func New(o Options) *Syncer {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Source == "" {
		o.Source = workloadmeta.SourceRuntime
	}
	s := &Syncer{opts: o, log: o.Log.With("collector", o.Name)}
	s.machine = newMachine(&s.opts)
	return s
}

// Stats returns what the syncer has counted. The caller owns the result.
func (s *Syncer) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machine.stats.clone()
}

func (s *Syncer) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.machine.stats)
}

func (s *Syncer) step(in input) (out []output, wake time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	out = s.machine.step(in, now)
	return out, s.machine.wake.Sub(now)
}

// Stream follows the runtime over one connection. It returns when ctx ends or the connection does,
// and everything it has started has then ended. The client stays the caller's to close.
func (s *Syncer) Stream(ctx context.Context, client Client, sink workloadmeta.Sink) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("Stream is running already")
	}
	defer s.running.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	stream, err := s.open(ctx, client)
	if err != nil {
		cancel()
		return err
	}
	d := &driver{
		Syncer: s, client: client, sink: sink,
		ring:  make(chan *Event, s.opts.RingSize),
		loss:  make(chan struct{}, 1),
		ended: make(chan error, 1),
		// The workers, a list that does not count as one, and a ping: no send ever waits.
		requests: make(chan request, s.opts.Workers+2),
		answers:  make(chan answer, s.opts.Workers+2),
	}
	defer d.workers.Wait()
	defer cancel()
	d.workers.Go(func() {
		defer stream.Close() //nolint:errcheck // only read from
		d.ended <- d.read(ctx, stream)
	})
	for range s.opts.Workers + 1 { // one more than inspect, for pings
		d.workers.Go(func() { d.work(ctx) })
	}
	return d.loop(ctx)
}

// driver connects the machine with one connection to the runtime and with a sink. It owns the
// goroutines: the caller's own steps the machine, one reads events, and the rest make requests.
type driver struct {
	*Syncer
	client  Client
	sink    workloadmeta.Sink
	workers sync.WaitGroup

	ring      chan *Event
	ringBytes atomic.Int64
	loss      chan struct{} // holds one token when events were lost
	ended     chan error    // gets why the event stream has ended

	requests chan request
	answers  chan answer
}

// loop steps the machine until the connection or ctx ends.
func (d *driver) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for in := input(connected{}); ; {
		out, wake := d.step(in)
		if err := d.carryOut(out); err != nil {
			d.disconnect()
			return err
		}
		ring, loss, ended := d.ring, d.loss, d.ended
		if d.machine.conn.phase == listing {
			ring, loss, ended = nil, nil, nil // they wait for the list that they may change
		}
		timer.Reset(wake)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ev := <-ring:
			in = d.batch(ev)
		case a := <-d.answers:
			in = a
		case <-loss:
			in = lost{}
		case err := <-ended:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			for len(d.ring) > 0 {
				out, _ := d.step(d.batch(<-d.ring))
				if d.carryOut(out) != nil {
					break
				}
			}
			d.disconnect()
			return err
		case <-timer.C:
			in = tick{}
		}
	}
}

// disconnect ends the connection for the machine.
func (d *driver) disconnect() {
	out, _ := d.step(disconnected{})
	d.carryOut(out) //nolint:errcheck // the connection has failed already
}

// batch returns an event with those that have come since.
func (d *driver) batch(ev *Event) received {
	events := []*Event{ev}
	for len(events) < maxBatch && len(d.ring) > 0 {
		events = append(events, <-d.ring)
	}
	for _, ev := range events {
		d.ringBytes.Add(-ev.size())
	}
	return received{events}
}

// carryOut does what the machine says. Its error ends the connection.
func (d *driver) carryOut(out []output) error {
	for _, o := range out {
		switch o := o.(type) {
		case report:
			d.sink.Apply(o.events)
		case synced:
			d.sink.Synced()
		case request:
			d.requests <- o
		case note:
			d.log.Log(context.Background(), o.level, o.text, o.args...)
		case fail:
			return o.err
		}
	}
	return nil
}

// read takes events off the wire as fast as they come, because some daemons drop what a slow reader
// does not take. It returns why the stream ended, never nil.
func (d *driver) read(ctx context.Context, stream Events) error {
	for {
		events, err := d.next(stream)
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the event stream has ended")
		case IsLost(err):
			d.log.Debug("an event cannot be read", "error", err)
			d.lose(func(st *Stats) { st.DecodeErrors++ })
		case err != nil:
			return fmt.Errorf("read the event stream: %w", err)
		}
		for i := range events {
			ev := &events[i]
			if d.ringBytes.Load() > maxRing {
				d.lose(func(st *Stats) { st.RingOverflow++ })
				continue
			}
			// Counted before it is sent: the receiver subtracts.
			d.ringBytes.Add(ev.size())
			select {
			case d.ring <- ev:
			case <-ctx.Done():
				return ctx.Err()
			default:
				d.ringBytes.Add(-ev.size())
				d.lose(func(st *Stats) { st.RingOverflow++ })
			}
		}
	}
}

func (ev *Event) size() int64 { return int64(ev.Size) + 256 }

// next reads events; a panic over them makes no event.
func (d *driver) next(stream Events) (events []Event, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("panic while reading an event", "panic", p)
			d.lose(func(st *Stats) { st.DecodePanics++ })
			events, err = nil, nil
		}
	}()
	return stream.Next()
}

// lose counts an event that was not handled and has the lists compared to make up for it.
func (d *driver) lose(count func(*Stats)) {
	d.count(count)
	select {
	case d.loss <- struct{}{}:
	default:
	}
}

// work makes requests until ctx ends.
func (d *driver) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-d.requests:
			d.answers <- d.request(ctx, r) // there is room for all
		}
	}
}

// request makes one request. A panic is its error.
func (d *driver) request(ctx context.Context, r request) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			d.count(func(st *Stats) { st.DecodePanics++ })
			a = answer{request: r, err: fmt.Errorf("panic: %v", p), slow: true}
		}
	}()
	a.request = r
	switch {
	case r.kind == ping:
		ctx, cancel := context.WithTimeout(ctx, d.opts.CallTimeout)
		defer cancel()
		a.err = d.client.Ping(ctx)
		return a
	case r.kind == list:
		a.listing, a.err = d.client.List(ctx)
		return a
	case r.key.image:
		a.image, a.err = d.client.InspectImage(ctx, r.key.id, r.full)
	default:
		a.container, a.err = d.client.Inspect(ctx, r.key.id)
	}
	if errors.Is(a.err, context.DeadlineExceeded) {
		// If the runtime answers a ping, it is this object that hangs.
		ctx, cancel := context.WithTimeout(ctx, pingWait)
		defer cancel()
		a.slow = d.client.Ping(ctx) == nil
	}
	return a
}
