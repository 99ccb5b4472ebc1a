package tagger

import "errors"

// Errors of queries. They are wrapped with the entity they are about.
var (
	// ErrEmptyEntityID: the question names nothing.
	ErrEmptyEntityID = errors.New("empty entity ID")
	// ErrUnknown: nothing has ever been said about the entity. It may still come: wait
	// with TagWait, or route aside.
	ErrUnknown = errors.New("unknown entity")
	// ErrExpired: the entity was known, is gone, and its tags have been forgotten.
	ErrExpired = errors.New("expired entity")
	// ErrAmbiguous: several entities answer to what was asked for.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrCardinality: the cardinality is not one of the constants.
	ErrCardinality = errors.New("invalid cardinality")
)

// Completeness says how much is known about an entity.
type Completeness uint8

// Degrees of completeness, in rising order of knowledge. Expired stands apart: the
// tags are the last ones the entity had.
const (
	Unknown  Completeness = iota // never seen
	Expired                      // seen and gone; tags, if any, are its last ones
	Partial                      // seen by some of the sources that are expected to know it
	Complete                     // seen by all of them
)

// String returns "unknown", "expired", "partial" or "complete".
func (c Completeness) String() string {
	switch c {
	case Unknown:
		return "unknown"
	case Expired:
		return "expired"
	case Partial:
		return "partial"
	case Complete:
		return "complete"
	}
	return "invalid"
}
