package workloadmeta

import "fmt"

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
