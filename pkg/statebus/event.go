package statebus

import "fmt"

// EventType says what happened to a key.
type EventType uint8

const (
	// Set means that the key now has the event's value, be it new or changed.
	Set EventType = 1
	// Unset means that the key is gone from the subscriber's view; the event
	// carries its last full value.
	Unset EventType = 2
)

// Notes the package keeps in the high bits of a pending event's type. They are
// removed before a consumer sees the event.
const (
	// unseen: the subscriber's view did not hold the key before this event.
	unseen EventType = 0x80
	// merged: a later event of the same key stands for this one.
	merged EventType = 0x40
	// recreated: this unset is followed by a set of the same key.
	recreated EventType = 0x20
	// surplus: counts against MaxTombstones.
	surplus EventType = 0x10
	// left: the key still lives but left the view; deliver the old value.
	left EventType = 0x08

	typeMask EventType = 0x03
)

func (t EventType) String() string {
	switch t {
	case Set:
		return "set"
	case Unset:
		return "unset"
	}
	return fmt.Sprintf("EventType(%d)", uint8(t))
}

// Types is a set of event types.
type Types uint8

const (
	// Sets selects [Set] events, and with them the content of the snapshot.
	Sets Types = 1 << iota
	// Unsets selects [Unset] events.
	Unsets
)

// Event is one change of one key as one subscriber sees it.
type Event[K comparable, V any] struct {
	Type EventType
	// New marks a Set of a key that the subscriber's view did not hold before. It
	// means nothing to a subscriber that takes no unsets.
	New bool
	Key K
	// Value is the new value of a Set and the last full value of an Unset.
	Value V
	// Revision is that of the commit that made the change.
	Revision uint64
}

// Bundle is what a subscriber is handed at a time.
type Bundle[K comparable, V any] struct {
	// Revision is the one the subscriber's view has reached with this bundle:
	// for the snapshot the revision at which Subscribe ran, later that of the
	// last event. In the second tier, a change which was merged into one that the
	// first tier still holds back comes with that one.
	Revision uint64
	// Snapshot marks the first bundle, which holds the whole matching state.
	Snapshot bool
	// Events belong to the consumer until the loop's body ends. After the first
	// bundle they are in the order of their revisions.
	Events []Event[K, V]
}

// Change is one wish of a committer.
type Change[K comparable, V any] struct {
	Key K
	// Value is the new value or, with Delete, the final value that the Unset
	// event carries.
	Value  V
	Delete bool
}
