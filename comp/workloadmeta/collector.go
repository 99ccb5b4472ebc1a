package workloadmeta

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Collector is a source of information. Beside this interface it implements one or
// more of [Streamer], [Puller] and [Fetcher], whatever suits its source. What all
// collectors have in common (retry, periods, removal of what is gone) is done by
// package collection.
type Collector interface {
	// Describe says what the collector is. The answer never changes and needs no source;
	// the caller does not write to it.
	Describe() Description
	// Detect says whether there is anything to collect here. It is called again from
	// time to time, so that a runtime that is installed later is found. It must not
	// wait for long and must not keep anything open.
	Detect(ctx context.Context) Detection
}

// Description is what a collector says of itself.
type Description struct {
	// ID is the collector's unique name, as shown in status and used in configuration:
	// "docker". One of several instances of a collector has a name of its own behind an @,
	// as in "containerd@k3s". Required.
	ID string
	// Source is under which its views are stored. Required.
	Source Source
	// Kinds are the kinds it reports: an entity of one is complete when the collector has
	// reported it.
	Kinds []Kind
	// ByProducts are kinds that it may report as well, and that nobody waits for: an entity
	// of one is complete without its word.
	ByProducts []Kind
	// Omits are kinds that it could report and does not as it is configured, and why.
	Omits map[Kind]Problem
	// Rank says whose word counts when several collectors describe one entity: that of the
	// greater rank, then that of the lesser ID. docs/collectors.md has the table.
	Rank int
	// MultiSource says that it passes on what others have collected, such as a recording:
	// its events keep the source they carry, and only those without one get Source. Nothing
	// is expected of it, because nobody knows beforehand what it will report.
	MultiSource bool
	// StandsInFor is the ID of a collector in whose place this one collects: it does nothing
	// while that one has something to collect, or where there is none. Its reports are
	// withdrawn when that one has listed, so that nothing is missing in between.
	StandsInFor string
	// Period is the time from one pull to the next that suits its source, or for a
	// [Discoverer] that does not pull, from one look for instances to the next. 0: the default
	// of whoever runs it.
	Period time.Duration
}

// CollectorOf returns the ID of the collector that an instance is of: "podman" of
// "podman@/run/podman/podman.sock". That of any other collector is its own.
func CollectorOf(id string) string {
	collector, _, _ := strings.Cut(id, "@")
	return collector
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

// Noticer is a collector that wants to hear what other collectors report, because it may be the
// first that it hears of something that its own source could tell more about by now.
type Noticer interface {
	Collector
	// Notice tells of an entity that another collector has just reported, for the first time or
	// once more. It must return at once. Nothing may be reported because of it, but what the
	// source says when it is asked.
	Notice(e Entity)
}

// Witness is a collector that can tell that something has gone although its source cannot be
// asked, such as a container of which it can see that the process has ended.
type Witness interface {
	Collector
	// Gone reports whether an entity that the collector has reported is certainly not there any
	// more. It is asked from time to time while the source cannot be.
	Gone(e Entity) bool
}

// Discoverer is a collector of which there may be several instances that come and go, such as
// one for each user's socket. It may collect by itself as well.
type Discoverer interface {
	Collector
	// Instances returns a collector for each instance that there is now. Their IDs are the
	// discoverer's, an @ and what tells them apart: "podman@/run/podman/podman.sock". It is
	// called every [Description.Period]. An instance that runs already is known by its ID. One
	// that is not returned any more is stopped when nothing is left of what it has reported;
	// until then its Detect says what has become of it.
	Instances(ctx context.Context) []Collector
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
	// Known reports whether another collector reports the entity now.
	Known(id EntityID) bool
}

// Detection is the answer of [Collector.Detect].
type Detection struct {
	State DetectionState
	// Cause says for programs why there is nothing to collect. It may be given with
	// Detected as well, for what is there and does not answer now.
	Cause Cause
	// Reason says for people, on one line, what was found or what was looked for: "docker
	// answers at /run/docker.sock", "no socket at /run/docker.sock".
	Reason string
	// Hint says what to do about it: "set docker.host". It may be empty where there is
	// nothing to do, or where what [Cause.Hint] says is enough.
	Hint string
	// More is what was found at other places, if there are several to look at.
	More []Problem
}

// Problem returns what the detection says of the first place.
func (d Detection) Problem() Problem { return Problem{d.Cause, d.Reason, d.Hint} }

// String returns what was found and what to do about it, on one line for people.
func (d Detection) String() string {
	text := d.Problem().String()
	for _, p := range d.More {
		text += "; " + p.String()
	}
	return text
}

// Err returns the detection as an error, for a collector that finds nothing to connect to.
func (d Detection) Err() error {
	errs := []error{d.Problem().Err()}
	for _, p := range d.More {
		errs = append(errs, p.Err())
	}
	return errors.Join(errs...)
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
