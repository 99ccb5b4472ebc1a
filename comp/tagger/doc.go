// Package tagger is the vocabulary of "what tags must this telemetry carry?": entity
// IDs, cardinalities, tag infos, and the [Component] that answers.
//
// It imports the standard library and rollcall's own tag sets only.
//
// # Five answers
//
// A question about an entity has one of five answers, and callers act differently on
// each: it is unknown ([ErrUnknown]), partly known ([Partial]), completely known
// ([Complete]), gone but remembered ([Expired], with its last tags, or [ErrExpired] when
// they have been forgotten), or what was asked for is not one thing ([ErrAmbiguous]).
//
// # Order
//
// Tags come by level (low, orchestrator, high), within a level by name, then by value.
// The same question has the same answer, to the byte, until something changes.
package tagger
