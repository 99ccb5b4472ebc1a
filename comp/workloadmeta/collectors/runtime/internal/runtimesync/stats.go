package runtimesync

import (
	"maps"
	"time"
)

// Stats counts what a syncer has done since it was made, over all connections.
type Stats struct {
	Connects int
	Events   map[string]int // by what the runtime calls them: "container start"
	// container and image inspections by result: ok, gone, timeout, error, stale
	Inspects        map[string]int
	Lists           int       // comparisons with the runtime's lists, the first included
	Differences     int       // what those found that events had not told
	Published       int       // sets and unsets handed over
	SuppressedEqual int       // sets that would have changed nothing
	Coalesced       int       // marks that were covered by an inspection already waiting
	RingOverflow    int       // events dropped because too many waited
	DecodePanics    int       // panics while decoding an event or an answer
	DecodeErrors    int       // events that could not be read
	Duplicates      int       // events that a new connection replayed
	QueueDepth      int       // objects that wait to be inspected now
	BreakerOpen     int       // objects of which the last inspection failed
	Containers      int       // containers known now
	Images          int       // images known now
	LastEvent       time.Time // by this machine's clock
	LastSync        time.Time // when the lists were last read
}

// maxActions bounds the names in Stats.Events, because the runtime chooses them.
const maxActions = 64

// event counts an event.
func (s *Stats) event(name string, now time.Time) {
	if _, ok := s.Events[name]; !ok && len(s.Events) >= maxActions {
		name = "other"
	}
	s.Events[name]++
	s.LastEvent = now
}

func (s *Stats) clone() Stats {
	out := *s
	out.Events, out.Inspects = maps.Clone(s.Events), maps.Clone(s.Inspects)
	return out
}
