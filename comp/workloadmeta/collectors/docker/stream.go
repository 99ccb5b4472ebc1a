package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"golang.org/x/time/rate"
)

// Times that are not worth an option.
const (
	backoffMin = 5 * time.Second // after an inspection that failed
	backoffMax = 5 * time.Minute
	startWait  = 250 * time.Millisecond // for the inspection of a container that has started, before what the event tells is reported
	exitWait   = time.Second            // for the inspection of one that has ended, where the restart policy decides
	goneWait   = 5 * time.Second        // for the end of a container that the daemon no longer knows
	tick       = 50 * time.Millisecond  // between looks at these waits
	listPause  = time.Second            // between lists, however often events were lost
	maxRing    = 32 << 20               // bytes of events that may wait
	pingWait   = time.Second            // for the ping that tells a slow container from a slow daemon
	listTries  = 3                      // failed lists before the connection is given up
)

// session is one connection, from its beginning to its end. Everything but the ring is touched by one
// goroutine only, that of Collector.stream.
type session struct {
	*known
	c      *Collector
	opts   *Options
	daemon *daemon
	sink   workloadmeta.Sink
	log    *slog.Logger

	queue    *queue
	limiter  *rate.Limiter
	jobs     chan job
	results  chan result
	batch    []workloadmeta.CollectorEvent
	waiting  map[*tracked]struct{} // those with a deadline
	nextTick time.Time

	initial      map[key]struct{} // what Synced waits for
	initialUntil time.Time
	synced       bool

	resume     int64     // events up to this time may be repetitions
	listDue    time.Time // when to compare with the lists
	listing    bool
	lastList   time.Time
	listErrors int

	ring      chan *message
	ringBytes atomic.Int64
	overflow  chan struct{} // holds one token when an event was dropped
}

// job is a request for a worker; the zero key asks for the lists.
type job struct {
	key        key
	generation uint64
	history    bool   // of an image
	clock      uint64 // when the job was given
}

// result is a worker's answer.
type result struct {
	job
	err       error
	slow      bool // the daemon answers, only not this
	container inspected
	image     *workloadmeta.ContainerImageMetadata
	info      imageInfo
	lists     lists
}

type lists struct {
	containers []container.Summary
	images     []dockerimage.Summary
	imagesErr  error
}

// stream is one session. All its goroutines have ended when it returns.
func (c *Collector) stream(ctx context.Context, d *daemon, sink workloadmeta.Sink) error {
	if err := d.connect(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()

	now := time.Now()
	c.known.run++
	s := &session{
		known: c.known, c: c, opts: &c.opts, daemon: d, sink: sink, log: c.opts.Log.With("collector", c.ID()),
		queue:    newQueue(c.opts.Coalesce, backoffMin, backoffMax),
		limiter:  rate.NewLimiter(rate.Limit(c.opts.InspectRate), c.opts.InspectBurst),
		jobs:     make(chan job, c.opts.Workers),
		results:  make(chan result, c.opts.Workers),
		waiting:  map[*tracked]struct{}{},
		initial:  map[key]struct{}{},
		resume:   c.known.lastNano,
		ring:     make(chan *message, c.opts.RingSize),
		overflow: make(chan struct{}, 1),
	}
	since := ""
	if s.resume != 0 {
		since = fmt.Sprintf("%d.%09d", s.resume/1e9, s.resume%1e9)
	}
	stream, err := d.events(ctx, since)
	if err != nil {
		return err
	}
	readerErr := make(chan error, 1)
	workers.Go(func() {
		defer stream.Close() // only read from
		readerErr <- s.read(ctx, stream)
	})
	for range c.opts.Workers {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case j := <-s.jobs:
					s.results <- s.work(ctx, j) // there is room for one result of each worker
				}
			}
		})
	}

	first, err := s.fetchLists(ctx)
	if err != nil {
		return fmt.Errorf("docker at %s: %w", d.host, err)
	}
	c.counters.update(func(st *Stats) { st.Connects++ })
	s.begin(first, now)
	err = s.loop(ctx, readerErr)
	if ctx.Err() == nil {
		s.settle()
		s.flush()
	}
	return fmt.Errorf("docker at %s: %w", d.host, err)
}

// loop handles events and results until the connection or ctx ends.
func (s *session) loop(ctx context.Context, readerErr <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		s.checkWaits(now)
		s.checkInitial(now)
		wake := s.dispatch(now)
		s.flush()
		s.report()
		timer.Reset(wake)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-s.ring:
			s.drain(m)
		case r := <-s.results:
			if err := s.handleResult(r); err != nil {
				return err
			}
		case <-s.overflow:
			s.requestList(time.Now())
		case err := <-readerErr:
			for len(s.ring) > 0 {
				s.drain(<-s.ring)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		case <-timer.C:
		}
	}
}

// drain handles an event and those that have come since, but not for so long that results have to wait.
func (s *session) drain(m *message) {
	for range 256 {
		s.ringBytes.Add(-m.size())
		s.handleSafely(m)
		select {
		case m = <-s.ring:
		default:
			return
		}
	}
	s.ringBytes.Add(-m.size())
	s.handleSafely(m)
}

// handleSafely keeps a panic over one event from ending the session.
func (s *session) handleSafely(m *message) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while handling an event", "type", m.Type, "action", m.Action, "panic", p)
			s.c.counters.update(func(st *Stats) { st.DecodePanics++ })
			s.requestList(time.Now())
		}
	}()
	s.handleEvent(m)
}

// read takes events off the wire as fast as they come, because the daemon drops what a slow reader does not
// take. It returns why the stream ended, never nil.
func (s *session) read(ctx context.Context, stream io.Reader) error {
	in := newLines(stream)
	for {
		line, err := in.next()
		switch {
		case errors.Is(err, errLongEvent):
			s.lost(func(st *Stats) { st.DecodeErrors++ })
			continue
		case errors.Is(err, io.EOF):
			return errors.New("the event stream has ended")
		case err != nil:
			return fmt.Errorf("read the event stream: %w", err)
		}
		m, err := s.decode(line)
		if err != nil {
			s.log.Debug("an event cannot be read", "error", err)
			s.lost(func(st *Stats) { st.DecodeErrors++ })
			continue
		}
		if m == nil {
			continue
		}
		if s.ringBytes.Load() > maxRing {
			s.lost(func(st *Stats) { st.RingOverflow++ })
			continue
		}
		// Counted before it is sent: the receiver subtracts.
		s.ringBytes.Add(m.size())
		select {
		case s.ring <- m:
		case <-ctx.Done():
			return ctx.Err()
		default:
			s.ringBytes.Add(-m.size())
			s.lost(func(st *Stats) { st.RingOverflow++ })
		}
	}
}

// decode reads an event; a panic makes no event.
func (s *session) decode(line []byte) (m *message, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while reading an event", "panic", p)
			s.lost(func(st *Stats) { st.DecodePanics++ })
			m, err = nil, nil
		}
	}()
	return s.c.decode(line)
}

// lost counts an event that was not handled and has the lists compared to make up for it.
func (s *session) lost(count func(*Stats)) {
	s.c.counters.update(count)
	select {
	case s.overflow <- struct{}{}:
	default:
	}
}

// dispatch gives work to idle workers and returns how long the loop may sleep.
func (s *session) dispatch(now time.Time) time.Duration {
	wake := time.Hour
	until := func(t time.Time) {
		if !t.IsZero() {
			wake = min(wake, max(0, t.Sub(now)))
		}
	}
	for s.busy() < s.opts.Workers {
		if !s.listing && !s.listDue.IsZero() && !s.listDue.After(now) {
			s.listing = true
			s.lastList = now
			s.jobs <- job{clock: s.clock}
			continue
		}
		if !s.listing {
			until(s.listDue)
		}
		// The first inspections are held back only by the number of workers: a healthy daemon answers
		// one in under a millisecond, and they end soon, whatever it does.
		if s.synced && s.limiter.TokensAt(now) < 1 {
			if _, ok := s.queue.wait(now); ok {
				wake = min(wake, time.Duration((1-s.limiter.TokensAt(now))/s.opts.InspectRate*float64(time.Second))+time.Millisecond)
			}
			break
		}
		k, generation, ok := s.queue.next(now)
		if !ok {
			if d, ok := s.queue.wait(now); ok {
				wake = min(wake, d)
			}
			break
		}
		if s.synced {
			s.limiter.AllowN(now, 1)
		}
		t := s.images[k.id]
		s.jobs <- job{key: k, generation: generation, clock: s.clock, history: k.image && !s.opts.NoImages && (t == nil || !t.inspected)}
	}
	if len(s.waiting) > 0 {
		until(s.nextTick)
	}
	if !s.synced {
		until(s.initialUntil)
	}
	return wake
}

// busy returns how many workers have something to do.
func (s *session) busy() int {
	if s.listing {
		return s.queue.inUse + 1
	}
	return s.queue.inUse
}

// flush hands over what has been gathered, as one change.
func (s *session) flush() {
	if len(s.batch) == 0 {
		return
	}
	batch := s.batch
	s.batch = nil
	s.sink.Apply(batch)
	s.c.counters.update(func(st *Stats) { st.Published += len(batch) })
}

func (s *session) add(t workloadmeta.EventType, e workloadmeta.Entity) {
	s.batch = append(s.batch, workloadmeta.CollectorEvent{Type: t, Source: s.c.Source(), Entity: e})
}

func (s *session) report() {
	s.c.counters.update(func(st *Stats) {
		st.QueueDepth, st.BreakerOpen = s.queue.waiting(), s.queue.open
		st.Coalesced += s.queue.coalesced
		st.Containers, st.Images = len(s.containers), len(s.images)
	})
	s.queue.coalesced = 0
}

// requestList has the daemon's lists compared soon.
func (s *session) requestList(now time.Time) {
	due := now
	if next := s.lastList.Add(listPause); next.After(due) {
		due = next
	}
	if s.listDue.IsZero() || due.Before(s.listDue) {
		s.listDue = due
	}
}
