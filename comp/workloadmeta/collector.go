package workloadmeta

import (
	"context"
	"fmt"
)

// Collector is a source of information. Beside this interface it implements one or
// more of [Streamer], [Puller] and [Fetcher], whatever suits its source. What all
// collectors have in common (retry, periods, removal of what is gone) is done by
// package collection.
type Collector interface {
	// ID is the collector's unique name, as shown in status and used in configuration.
	ID() string
	// Source is under which its views are stored.
	Source() Source
	// Kinds are the kinds it can report.
	Kinds() []Kind
	// Detect says whether there is anything to collect here. It is called again from
	// time to time, so that a runtime that is installed later is found. It must not
	// wait for long and must not keep anything open.
	Detect(ctx context.Context) Detection
}

// Streamer is a collector with a source that tells of changes by itself.
type Streamer interface {
	Collector
	// Stream connects, reports everything there is, calls [Sink.Synced], and goes on
	// reporting changes until ctx ends or the connection does. It is called again after
	// an error or an end. What an earlier run reported and this one has not by the time it
	// calls Synced is unset.
	Stream(ctx context.Context, sink Sink) error
}

// Puller is a collector with a source that has to be asked.
type Puller interface {
	Collector
	// Pull reports everything there is. What an earlier Pull reported and this one does
	// not is unset. If it returns an error, nothing of what it reported is used and the
	// earlier answer stays. Sink.Synced need not be called.
	Pull(ctx context.Context, sink Sink) error
}

// Fetcher is a collector that can look up a single entity when somebody misses it.
type Fetcher interface {
	Collector
	// Fetch reports the entity if the source knows it. An entity that does not exist is
	// not an error: Fetch then reports nothing.
	Fetch(ctx context.Context, id EntityID, sink Sink) error
}

// Sink takes what one collector reports. It belongs to one run of Stream, Pull or
// Fetch and may be used by several goroutines of that run. Entities must not be
// written to after they were handed over.
type Sink interface {
	// Set reports entities that are there, as one change.
	Set(entities ...Entity)
	// Unset reports entities that are gone, as one change.
	Unset(entities ...Entity)
	// Apply reports a mixture, in order, as one change. Events may leave Source empty.
	Apply(events []CollectorEvent)
	// Synced says that everything there is has been reported.
	Synced()
}

// Detection is the answer of [Collector.Detect].
type Detection struct {
	State DetectionState
	// Reason says in one line what was found or why there is nothing, and what to do
	// about it: "no socket at /var/run/docker.sock; set docker.host".
	Reason string
}

// DetectionState says what to do with a collector.
type DetectionState uint8

// Detection states.
const (
	Absent   DetectionState = iota // nothing there now; asked again later
	Detected                       // there is something to collect
	Disabled                       // switched off for good; not asked again
)

// String returns "absent", "detected" or "disabled".
func (s DetectionState) String() string {
	switch s {
	case Absent:
		return "absent"
	case Detected:
		return "detected"
	case Disabled:
		return "disabled"
	}
	return fmt.Sprintf("detection state %d", uint8(s))
}

// OnMiss looks for an entity at the sources when the store does not have it.
type OnMiss interface {
	// Fetch asks the collectors that can look the entity up, and returns when they have
	// answered: if one knew it, the store has it now. It returns an error when no
	// collector can be asked or when ctx ends first.
	Fetch(ctx context.Context, id EntityID) error
}
