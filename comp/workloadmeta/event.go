package workloadmeta

import (
	"fmt"
	"slices"
)

// EventType says whether an entity is there or gone.
type EventType uint8

// Event types.
const (
	EventTypeSet   EventType = 1 // the entity is there, in this state
	EventTypeUnset EventType = 2 // the entity is gone; the event carries its last state
)

// String returns "set" or "unset".
func (t EventType) String() string {
	switch t {
	case EventTypeSet:
		return "set"
	case EventTypeUnset:
		return "unset"
	}
	return fmt.Sprintf("event type %d", uint8(t))
}

// ParseEventType is the inverse of [EventType.String].
func ParseEventType(s string) (EventType, error) {
	switch s {
	case "set":
		return EventTypeSet, nil
	case "unset":
		return EventTypeUnset, nil
	}
	return 0, fmt.Errorf("unknown event type %q (want set or unset)", s)
}

// MarshalText implements [encoding.TextMarshaler].
func (t EventType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *EventType) UnmarshalText(text []byte) error {
	parsed, err := ParseEventType(string(text))
	if err == nil {
		*t = parsed
	}
	return err
}

// CollectorEvent is what a source tells the store: this entity is there in this
// state (set), or it is gone (unset). The entity of an unset may carry nothing but
// its ID, or what only the end reveals, such as an exit code.
type CollectorEvent struct {
	Type   EventType
	Source Source
	Entity Entity
	// Reporter is who says so. nil is code that is no collector: see [NewReporter].
	Reporter *Reporter
}

// Set returns the event that an entity is there, without a source: a collector's sink and
// [Writer.Push] fill that in, and [From] does for [Writer.Notify].
func Set(e Entity) CollectorEvent { return CollectorEvent{Type: EventTypeSet, Entity: e} }

// Unset returns the event that an entity is gone, without a source as [Set] does.
func Unset(e Entity) CollectorEvent { return CollectorEvent{Type: EventTypeUnset, Entity: e} }

// From returns the events with this source.
func From(source Source, events ...CollectorEvent) []CollectorEvent {
	events = slices.Clone(events)
	for i := range events {
		events[i].Source = source
	}
	return events
}

// Validate returns an error that names what is wrong with the event, if anything.
func (e CollectorEvent) Validate() error {
	if e.Entity == nil || kindOf(e.Entity) == 0 {
		return fmt.Errorf("event from %q: no entity", e.Source)
	}
	id := e.Entity.GetID()
	switch {
	case e.Type != EventTypeSet && e.Type != EventTypeUnset:
		return fmt.Errorf("event for %s: unknown type %d", id, uint8(e.Type))
	case e.Source == "":
		return fmt.Errorf("event for %s: no source", id)
	case e.Reporter != nil && e.Reporter.Source != e.Source:
		return fmt.Errorf("event for %s: from %s, but reported by %s of %s", id, e.Source,
			e.Reporter.Name, e.Reporter.Source)
	case id.ID == "":
		return fmt.Errorf("event from %s: %s without an ID", e.Source, id.Kind)
	case id.Kind != kindOf(e.Entity):
		return fmt.Errorf("event from %s: %s carried by a %T", e.Source, id, e.Entity)
	}
	return nil
}

// Event is what the store tells a subscriber.
type Event struct {
	Type EventType
	// Entity is the merged entity or, under a filter on one source, what the reporters of
	// that source say. For an unset it is the last state, filled up with what the end
	// revealed.
	Entity Entity
	// Complete says that every source expected to report this kind has reported the entity.
	Complete bool
	// Reports are what the reporters say of a merged entity, strongest first. They are
	// shared with the store and must not be written to.
	Reports []Report
}

// Bundle is a set of events that became true together.
type Bundle struct {
	// Revision of the store after these events.
	Revision uint64
	// Snapshot marks the first bundle: one set per matching entity, possibly none.
	Snapshot bool
	// Events belong to the subscriber until its loop body ends.
	Events []Event
}
