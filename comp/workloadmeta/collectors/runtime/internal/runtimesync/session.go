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
	"golang.org/x/time/rate"
)

// Times that are not worth an option.
const (
	backoffMin = 5 * time.Second // after an inspection that failed
	backoffMax = 5 * time.Minute
	// for the inspection of a container that has started, before what the event tells is reported
	startWait = 250 * time.Millisecond
	// for the inspection of one that has ended, where the restart policy decides
	exitWait = time.Second
	// for the end of a container that the runtime no longer knows
	goneWait = 5 * time.Second
	// between a kill for want of memory and the end that it is the reason for
	oomWait   = 5 * time.Second
	tick      = 50 * time.Millisecond // between looks at these waits
	listPause = time.Second           // between lists, however often events were lost
	maxRing   = 32 << 20              // bytes of events that may wait
	// for the ping that tells a slow container from a slow runtime
	pingWait  = time.Second
	listTries = 3 // failed lists before the connection is given up
)

// session is one connection, from its beginning to its end. Everything but the ring is touched by
// one goroutine only, that of Follower.stream.
type session struct {
	*known
	f       *Follower
	opts    *Options
	backend Backend
	sink    workloadmeta.Sink
	log     *slog.Logger

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

	resume     time.Time // events up to this time may be repetitions
	listDue    time.Time // when to compare with the lists
	listing    bool
	lastList   time.Time
	listErrors int
	heard      time.Time // when the runtime last said anything
	pinging    bool

	ring      chan *Event
	ringBytes atomic.Int64
	overflow  chan struct{} // holds one token when an event was dropped
}

// job is a request for a worker.
type job struct {
	task       task
	key        key
	generation uint64
	full       bool   // of an image
	clock      uint64 // when the job was given
}

type task uint8

const (
	taskInspect task = iota
	taskList
	taskPing
)

// result is a worker's answer.
type result struct {
	job
	err       error
	slow      bool // the runtime answers, only not this
	container Container
	image     Image
	lists     Listing
}

// stream is one session. All its goroutines have ended when it returns.
func (f *Follower) stream(ctx context.Context, b Backend, sink workloadmeta.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()

	now := time.Now()
	f.known.run++
	s := &session{
		known: f.known, f: f, opts: &f.opts, backend: b, sink: sink, log: f.log,
		queue:    newQueue(f.opts.Coalesce, backoffMin, backoffMax),
		limiter:  rate.NewLimiter(rate.Limit(f.opts.InspectRate), f.opts.InspectBurst),
		jobs:     make(chan job, f.opts.Workers+1),
		results:  make(chan result, f.opts.Workers+1),
		waiting:  map[*tracked]struct{}{},
		initial:  map[key]struct{}{},
		resume:   f.known.newest,
		ring:     make(chan *Event, f.opts.RingSize),
		overflow: make(chan struct{}, 1),
	}
	stream, err := b.Events(ctx, s.resume)
	if err != nil {
		return err
	}
	readerErr := make(chan error, 1)
	workers.Go(func() {
		defer stream.Close() //nolint:errcheck // only read from
		readerErr <- s.read(ctx, stream)
	})
	// One more than may inspect, for pings.
	for range f.opts.Workers + 1 {
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

	first, err := b.List(ctx)
	if err != nil {
		return err
	}
	f.counters.update(func(st *Stats) { st.Connects++ })
	s.begin(first, now)
	err = s.loop(ctx, readerErr)
	if ctx.Err() == nil {
		s.settle()
		s.flush()
	}
	return err
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
			s.heard = time.Now()
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

// drain handles an event and those that have come since, but not for so long that results have to
// wait.
func (s *session) drain(m *Event) {
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
func (s *session) handleSafely(m *Event) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while handling an event", "event", m.Name, "panic", p)
			s.f.counters.update(func(st *Stats) { st.DecodePanics++ })
			s.requestList(time.Now())
		}
	}()
	s.handleEvent(m)
}

// read takes events off the wire as fast as they come, because some daemons drop what a slow reader
// does not take. It returns why the stream ended, never nil.
func (s *session) read(ctx context.Context, stream Events) error {
	for {
		events, err := s.next(stream)
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the event stream has ended")
		case IsLost(err):
			s.log.Debug("an event cannot be read", "error", err)
			s.lost(func(st *Stats) { st.DecodeErrors++ })
		case err != nil:
			return fmt.Errorf("read the event stream: %w", err)
		}
		for i := range events {
			m := &events[i]
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
}

func (m *Event) size() int64 { return int64(m.Size) + 256 }

// next reads events; a panic over them makes no event.
func (s *session) next(stream Events) (events []Event, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while reading an event", "panic", p)
			s.lost(func(st *Stats) { st.DecodePanics++ })
			events, err = nil, nil
		}
	}()
	return stream.Next()
}

// lost counts an event that was not handled and has the lists compared to make up for it.
func (s *session) lost(count func(*Stats)) {
	s.f.counters.update(count)
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
	if !s.pinging {
		if due := s.heard.Add(s.opts.PingEvery); due.After(now) {
			until(due)
		} else {
			s.pinging = true
			s.jobs <- job{task: taskPing}
		}
	}
	for s.busy() < s.opts.Workers {
		if !s.listing && !s.listDue.IsZero() && !s.listDue.After(now) {
			s.listing = true
			s.lastList = now
			s.jobs <- job{task: taskList, clock: s.clock}
			continue
		}
		if !s.listing {
			until(s.listDue)
		}
		// The first inspections are held back only by the number of workers: a healthy runtime
		// answers one in under a millisecond, and they end soon, whatever it does.
		if s.synced && s.limiter.TokensAt(now) < 1 {
			if _, ok := s.queue.wait(now); ok {
				wake = min(wake,
					time.Duration(
						(1-s.limiter.TokensAt(now))/s.opts.InspectRate*float64(time.Second))+
						time.Millisecond)
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
		s.jobs <- job{key: k, generation: generation, clock: s.clock, full: k.image &&
			!s.opts.NoImages && (t == nil || !t.inspected)}
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
	s.f.counters.update(func(st *Stats) { st.Published += len(batch) })
}

func (s *session) add(t workloadmeta.EventType, e workloadmeta.Entity) {
	s.batch = append(s.batch,
		workloadmeta.CollectorEvent{Type: t, Source: s.opts.Source, Entity: e})
}

func (s *session) report() {
	s.f.counters.update(func(st *Stats) {
		st.QueueDepth, st.BreakerOpen = s.queue.waiting(), s.queue.open
		st.Coalesced += s.queue.coalesced
		st.Containers, st.Images = len(s.containers), len(s.images)
	})
	s.queue.coalesced = 0
}

// requestList has the runtime's lists compared soon.
func (s *session) requestList(now time.Time) {
	due := now
	if next := s.lastList.Add(listPause); next.After(due) {
		due = next
	}
	if s.listDue.IsZero() || due.Before(s.listDue) {
		s.listDue = due
	}
}
