package runtimesync

import (
	"context"
	"errors"
	"time"
)

const (
	pollEvery   = 10 * time.Second // between comparisons with the lists where there are no events
	eventsAgain = 5 * time.Minute  // between attempts to get events there
)

// NoEvents marks an error of [Client.Events] of a runtime that answers, but refuses to tell of
// events, as a proxy before it may. Its lists are compared instead, every 10 s.
func NoEvents(err error) error { return &noEventsError{err} }

type noEventsError struct{ error }

func (e *noEventsError) Unwrap() error { return e.error }

// NoEvents returns why there are no events over the present or last connection, nil if there are.
func (s *Syncer) NoEvents() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.noEvents
}

// open opens the event stream, or stands in for it where it is refused.
func (s *Syncer) open(ctx context.Context, client Client) (Events, error) {
	stream, err := client.Events(ctx, s.machine.newestEvent)
	refused, ok := errors.AsType[*noEventsError](err)
	s.mu.Lock()
	s.noEvents = nil
	if ok {
		s.noEvents = refused.error
	}
	s.mu.Unlock()
	if !ok {
		return stream, err
	}
	s.log.Warn("there are no events; the runtime's lists are compared instead",
		"every", pollEvery, "error", refused)
	return &polling{ctx: ctx, s: s, client: client, poll: time.NewTicker(pollEvery),
		again: time.NewTicker(eventsAgain)}, nil
}

// polling asks for comparisons in place of events, and for events again from time to time.
type polling struct {
	ctx    context.Context
	s      *Syncer
	client Client
	poll   *time.Ticker
	again  *time.Ticker
	stream Events // nil while there are none
}

// Next implements [Events].
func (p *polling) Next() ([]Event, error) {
	if p.stream != nil {
		return p.stream.Next()
	}
	select {
	case <-p.poll.C:
	case <-p.again.C:
		stream, err := p.client.Events(p.ctx, time.Time{})
		if _, ok := errors.AsType[*noEventsError](err); ok {
			break
		}
		if err != nil {
			return nil, err
		}
		p.stream = stream
		p.s.mu.Lock()
		p.s.noEvents = nil
		p.s.mu.Unlock()
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
	return []Event{{Action: ActionCompare, Name: "poll"}}, nil
}

// Close implements [Events].
func (p *polling) Close() error {
	p.poll.Stop()
	p.again.Stop()
	if p.stream != nil {
		return p.stream.Close()
	}
	return nil
}
