package podman

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
)

// message is an event as it is on the wire.
type message struct {
	mapping.Message
	HealthStatus string

	// Where Podman keeps no events, an error comes in their place, with status 200.
	Text     string `json:"message"`
	Response int    `json:"response"`
}

// decodeEvent reads one line of the event stream. A field of an unexpected type is left empty.
func decodeEvent(line []byte) (*message, error) {
	m := new(message)
	if err := mapping.LenientJSON(json.Unmarshal(line, m)); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	if (m.Type == "" || m.Action == "") && m.Response == 0 {
		return nil, errors.New("decode event: no Type or no Action")
	}
	return m, nil
}

// event says what a message means. Podman's own interface and the one that is like Docker's spell
// some actions differently; both spellings are understood, because versions differ as well.
func (s *service) event(m *message) runtimesync.Event {
	action, detail := m.Split()
	ev := runtimesync.Event{Name: m.Type + " " + action, ID: m.ID(), At: m.At(),
		Size: m.Size()}
	switch m.Type {
	case "container":
		ev.Key = m.Actor.ID
		s.containerEvent(&ev, m, action, detail)
	case "image":
		ev.Action, ev.Key = imageEvent(m, action)
	case "network":
		if action == "connect" || action == "disconnect" {
			ev.Action, ev.Key = runtimesync.ActionChanged, m.Actor.Attributes["container"]
			if ev.Key == "" {
				ev.Key = m.Actor.ID // Podman 4: not the network's but the container's
			}
		}
	case "system":
		if action == "prune" || action == "refresh" || action == "renumber" {
			ev.Action = runtimesync.ActionCompare
		}
	}
	return ev
}

func (s *service) containerEvent(ev *runtimesync.Event, m *message, action, detail string) {
	switch action {
	case "create", "init":
		// The latter comes before every start; of a container that exists for long it is the first
		// that is told.
		ev.Action = runtimesync.ActionCreated
	case "start", "restore":
		ev.Action = runtimesync.ActionStarted
		ev.Container = mapEvent(m)
		// The name that Podman gives an infra container. One that was given another is found by its
		// inspection.
		pod := podOf(m)
		ev.Sandbox = len(pod) > 12 && m.Actor.Attributes["name"] == pod[:12]+"-infra"
		s.mu.Lock()
		name := s.pods[pod]
		s.mu.Unlock()
		mapping.Put(&ev.Container.Labels, labelPodName, name)
	case "die", "died":
		ev.Action = runtimesync.ActionEnded
		// Podman's own attributes win over labels of their names; "exitCode" is none of them, but
		// in what is like Docker's interface.
		ev.ExitCode = mapping.ExitCode(m.Actor.Attributes, "containerExitCode", "exitCode")
	case "destroy", "remove":
		ev.Action = runtimesync.ActionRemoved
	case "oom":
		ev.Action = runtimesync.ActionOOM
	case "pause":
		ev.Action = runtimesync.ActionPaused
	case "unpause":
		ev.Action = runtimesync.ActionResumed
	case "rename":
		ev.Action, ev.Detail = runtimesync.ActionRenamed, m.Actor.Attributes["name"]
	case "health_status":
		if s.major < 5 {
			return // it tells what was so before this probe: see stream.later
		}
		ev.Action = runtimesync.ActionHealth
		ev.Detail = cmp.Or(detail, m.HealthStatus, m.Actor.Attributes["health_status"])
	case "restart", "update", "sync", "checkpoint":
		ev.Action = runtimesync.ActionChanged
	case "commit", "prune":
		ev.Action = runtimesync.ActionCompare // which image it has become is not told
	}
}

// imageEvent says what happens to which image. An image is removed only when it has lost its last
// name, but "remove" comes for each of them: whether it is still there has to be looked up.
func imageEvent(m *message, action string) (runtimesync.Action, string) {
	id := mapping.ImageID(m.Actor.ID)
	switch action {
	case "pull", "tag", "untag", "import", "build", "load", "remove", "delete", "loadfromarchive":
		if id == "" && action == "pull" {
			id = m.Actor.Attributes["name"]
		}
		if id == "" { // the name is that of the archive
			return runtimesync.ActionCompare, ""
		}
		return runtimesync.ActionImageChanged, id
	case "prune":
		return runtimesync.ActionCompare, ""
	}
	return runtimesync.ActionNone, ""
}

const (
	// headWait is how long the beginning of the event stream is waited for. Podman 5 sends nothing,
	// not even the head of its answer, before the first event, which may take for ever. Whether the
	// head came is of no consequence: what happens meanwhile is in the stream.
	headWait = 250 * time.Millisecond
	// noEventsWait is between attempts to get events where there are none.
	noEventsWait = 5 * time.Minute
	// probeWait is between the end of a probe and the look at its result.
	probeWait = 300 * time.Millisecond
	// lineBuffer is how many events may wait between the wire and the syncer.
	lineBuffer = 64
)

// errNoEvents reports that Podman does not keep events.
var errNoEvents = errors.New("no events")

// stream is the event stream. It implements [runtimesync.Events].
type stream struct {
	s      *service
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup
	items  chan item
	health *time.Ticker
	// Of the goroutine that calls Next.
	poll    *time.Ticker // runs while there are no events
	polling bool
	looks   map[string]struct{} // containers to be looked at when lookAt fires
	lookAt  *time.Timer
}

// item is what has been read: one event, or one that is lost, or the end of events for a while or
// for good.
type item struct {
	line []byte
	err  error
}

// Events implements [runtimesync.Client]. Podman keeps a log of its events, from which those since
// a time are sent first; they are asked for in whole seconds and with a second to spare, because
// their times are not in order.
func (s *service) Events(ctx context.Context, since time.Time) (runtimesync.Events, error) {
	if since.IsZero() {
		since = s.connected
	}
	st := &stream{
		s: s, items: make(chan item, lineBuffer), poll: time.NewTicker(s.opts.PollEvery),
		health: time.NewTicker(s.opts.ResyncEvery),
		looks:  map[string]struct{}{}, lookAt: time.NewTimer(time.Hour),
	}
	st.poll.Stop()
	st.lookAt.Stop()
	st.ctx, st.cancel = context.WithCancel(ctx)
	began := make(chan error, 1)
	st.ended.Go(func() { st.runSafely(since, began) })
	limit := time.NewTimer(headWait)
	defer limit.Stop()
	select {
	case err := <-began:
		if err != nil {
			st.Close() //nolint:errcheck // it never fails
			return nil, fmt.Errorf("podman events: %w", err)
		}
	case <-limit.C:
	}
	return st, nil
}

// Close implements [runtimesync.Events]. It waits until nothing of the stream is left.
func (st *stream) Close() error {
	st.cancel()
	st.ended.Wait()
	st.poll.Stop()
	st.health.Stop()
	st.lookAt.Stop()
	return nil
}

// Next implements [runtimesync.Events].
func (st *stream) Next() ([]runtimesync.Event, error) {
	select {
	case i := <-st.items:
		return st.take(i)
	case <-st.poll.C:
		return []runtimesync.Event{{Action: runtimesync.ActionCompare, Name: "poll"}}, nil
	case <-st.health.C:
		return lookAt(st.s.withCheck()), nil
	case <-st.lookAt.C:
		ids := slices.Sorted(maps.Keys(st.looks))
		clear(st.looks)
		return lookAt(ids), nil
	case <-st.ctx.Done():
		return nil, st.ctx.Err()
	}
}

func (st *stream) take(i item) ([]runtimesync.Event, error) {
	switch {
	case errors.Is(i.err, errNoEvents):
		if !st.polling {
			st.polling = true
			st.poll.Reset(st.s.opts.PollEvery)
			st.s.log.Info("podman keeps no events; its lists are compared instead", "address",
				st.s.address.String(),
				"every", st.s.opts.PollEvery, "reason", i.err)
		}
		return []runtimesync.Event{{Action: runtimesync.ActionCompare, Name: "poll"}}, nil
	case i.err != nil:
		return nil, i.err
	}
	m, err := st.s.decode(i.line)
	if err != nil {
		return nil, runtimesync.Lost(err)
	}
	if m == nil {
		return nil, nil
	}
	if st.polling {
		st.polling = false
		st.poll.Stop()
	}
	st.later(m)
	return []runtimesync.Event{st.s.event(m)}, nil
}

// later has a container looked at when a probe of its health, or whatever else was executed in it,
// has ended. Until Podman 4 the event of a probe comes at its beginning and has the result of the
// one before; the new result is there a moment after what was executed has ended.
func (st *stream) later(m *message) {
	action, _ := m.Split()
	if st.s.major >= 5 || m.Type != "container" || action != "exec_died" &&
		action != "health_status" || !st.s.hasCheck(m.Actor.ID) {
		return
	}
	if len(st.looks) == 0 {
		st.lookAt.Reset(probeWait)
	}
	st.looks[m.Actor.ID] = struct{}{}
}

func lookAt(ids []string) []runtimesync.Event {
	var events []runtimesync.Event
	for _, id := range ids {
		events = append(events,
			runtimesync.Event{Action: runtimesync.ActionChanged, Key: id, Name: "health look"})
	}
	return events
}

func (s *service) hasCheck(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.checked[id]
	return ok
}

// withCheck returns the containers with a health check: lists do not have its result, and Podman
// need not send events of it.
func (s *service) withCheck() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.checked))
}

// runSafely is run. A panic, which nobody else would catch, ends the stream with an error.
func (st *stream) runSafely(since time.Time, began chan<- error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		st.s.log.Error("panic while reading the event stream", "address", st.s.address.String(),
			"panic", p, "stack", string(debug.Stack()))
		err := fmt.Errorf("panic: %v", p)
		select {
		case began <- err:
		default:
		}
		st.send(item{err: err})
	}()
	st.run(since, began)
}

// run reads the stream until it ends, and begins it anew from time to time while there are no
// events in it. began gets what became of the first attempt.
func (st *stream) run(since time.Time, began chan<- error) {
	for {
		begin := time.Now()
		err := st.read(since, func() {
			select {
			case began <- nil:
			default: // not the first attempt
			}
		})
		if _, answered := errors.AsType[*statusError](err); answered ||
			errors.Is(err, errNoEvents) {
			st.send(item{err: fmt.Errorf("%w: %w", errNoEvents, err)})
			select {
			case began <- nil:
			default:
			}
			since = begin // what happens until the next attempt is found by the lists
			select {
			case <-time.After(noEventsWait):
				continue
			case <-st.ctx.Done():
				return
			}
		}
		select {
		case began <- err:
		default:
		}
		st.send(item{err: err})
		return
	}
}

func (st *stream) send(i item) {
	select {
	case st.items <- i:
	case <-st.ctx.Done():
	}
}

// read makes one request and passes on what it brings. It returns why it ended, never nil.
func (st *stream) read(since time.Time, opened func()) error {
	query := url.Values{
		"stream": {"true"}, "since": {strconv.FormatInt(since.Unix()-1, 10)},
		// By action as well, versions filter differently.
		"filters": {`{"type":["container","image","network","system"]}`},
	}
	resp, err := st.s.get(st.ctx, st.s.api+"events", query)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // only read from
	opened()
	in := mapping.NewLines(resp.Body)
	for {
		line, err := in.Next()
		switch {
		case errors.Is(err, mapping.ErrLongEvent):
			st.send(item{err: runtimesync.Lost(err)})
			continue
		case err != nil:
			return err
		}
		if bytes.Contains(line, []byte(`"response":`)) {
			if m, err := decodeEvent(line); err == nil && m.Type == "" {
				return fmt.Errorf("%w: %s", errNoEvents, m.Text)
			}
		}
		select {
		case st.items <- item{line: bytes.Clone(line)}:
		case <-st.ctx.Done():
			return st.ctx.Err()
		}
	}
}
