package collectortest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Daemon is what fakes of daemons with an HTTP interface have in common: an event stream that can
// break or lose events, requests that can hang or fail, and numbers of what was asked for. Embed
// the zero value. Its lock guards the fake's own fields as well.
type Daemon struct {
	sync.Mutex // guards the fields below

	// Log has all events, for streams that begin with some of the past.
	Log []Event
	// Deaf loses events on their way; the log has them.
	Deaf bool

	fault    Fault          // nil = none
	requests map[string]int // by kind
	streams  map[chan []byte]context.CancelFunc
}

// Fault decides what happens to a request instead of an answer, or before it; if it returns nil,
// the request is answered.
type Fault func(r *http.Request) func(w http.ResponseWriter)

// Event is what the daemon tells, and when it has happened.
type Event struct {
	At   time.Time
	Line []byte // with its newline
}

// Tally counts a request of some kind.
func (d *Daemon) Tally(kind string) {
	d.Lock()
	defer d.Unlock()
	if d.requests == nil {
		d.requests = map[string]int{}
	}
	d.requests[kind]++
}

// Count returns how many requests of a kind were counted.
func (d *Daemon) Count(kind string) int {
	d.Lock()
	defer d.Unlock()
	return d.requests[kind]
}

// Fail sets what happens to requests; nil ends it.
func (d *Daemon) Fail(fault Fault) {
	d.Lock()
	defer d.Unlock()
	d.fault = fault
}

// Hang makes requests whose path contains part wait until the client gives up, or release is
// called: then they are answered.
func (d *Daemon) Hang(part string) (release func()) {
	released := make(chan struct{})
	d.Fail(func(r *http.Request) func(http.ResponseWriter) {
		if !strings.Contains(r.URL.Path, part) {
			return nil
		}
		return func(http.ResponseWriter) {
			select {
			case <-r.Context().Done():
			case <-released:
			}
		}
	})
	return func() {
		d.Fail(nil)
		close(released)
	}
}

// Faulty lets happen to a request what the test has set. It reports whether that was all: a fault
// that has not written an answer only took its time, and the request is still to be answered,
// unless its client has given up.
func (d *Daemon) Faulty(w http.ResponseWriter, r *http.Request) bool {
	d.Lock()
	fault := d.fault
	d.Unlock()
	if fault == nil {
		return false
	}
	happens := fault(r)
	if happens == nil {
		return false
	}
	answer := &answer{ResponseWriter: w}
	happens(answer)
	return answer.given || r.Context().Err() != nil
}

// answer notes whether there is one.
type answer struct {
	http.ResponseWriter
	given bool
}

func (a *answer) WriteHeader(status int) {
	a.given = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.given = true
	return a.ResponseWriter.Write(p)
}

// Reply answers with a value as JSON.
func Reply(w http.ResponseWriter, v any) { ReplyStatus(w, http.StatusOK, v) }

// ReplyStatus answers with a status and a value as JSON.
func ReplyStatus(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// Send sends a line to all streams and puts it into the log. The caller holds the lock.
func (d *Daemon) Send(at time.Time, line []byte) {
	d.Log = append(d.Log, Event{at, line})
	if d.Deaf {
		return
	}
	for stream := range d.streams {
		stream <- line
	}
}

// Stream answers with events, until the client has gone or the streams are killed: with those of
// the log that past returns, then with all that come. The answer's head is sent at once, or, if
// late, only with the first event.
func (d *Daemon) Stream(w http.ResponseWriter, r *http.Request, past func(log []Event) []Event,
	late bool) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	lines := make(chan []byte, 100_000) // more than any test sends while nobody reads
	d.Lock()
	for _, e := range past(d.Log) {
		lines <- e.Line
	}
	if d.streams == nil {
		d.streams = map[chan []byte]context.CancelFunc{}
	}
	d.streams[lines] = cancel
	d.Unlock()
	defer func() {
		d.Lock()
		defer d.Unlock()
		delete(d.streams, lines)
	}()
	flush := w.(http.Flusher)
	if !late {
		flush.Flush()
	}
	for {
		select {
		case <-ctx.Done():
			if late {
				panic(http.ErrAbortHandler) // otherwise the head is sent now
			}
			return
		case line := <-lines:
			if _, err := w.Write(line); err != nil {
				return
			}
			if len(lines) == 0 {
				flush.Flush()
			}
		}
	}
}

// KillStreams ends all event streams, as a daemon does that ends. Lines that were sent just before
// may be lost with them.
func (d *Daemon) KillStreams() {
	d.Lock()
	defer d.Unlock()
	for _, cancel := range d.streams {
		cancel()
	}
}

// Since returns the events that have not happened before a time.
func Since(log []Event, at time.Time) []Event {
	var out []Event
	for _, e := range log {
		if !e.At.Before(at) {
			out = append(out, e)
		}
	}
	return out
}
