package tagger

import (
	"context"
	"iter"
	"slices"

	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// Component answers questions about tags, in three roles. All methods may be called from any
// goroutine; none but TagWait waits for anything.
type Component interface {
	Queries
	Origins
	Explainer
}

// Queries are about the tags of entities.
//
// Those about one entity fail with [ErrEmptyEntityID], [ErrUnknown], [ErrExpired] or
// [ErrCardinality]. An entity that is gone but within its grace time still has its tags.
type Queries interface {
	// Tag returns the tags up to a cardinality as a copy, which the caller owns. Where copies
	// are made often, append those of Tags to a buffer ([tagset.Tags.AppendTo]) instead,
	// which does not allocate.
	Tag(id EntityID, c TagCardinality) ([]string, error)
	// Tags is Tag without the copy: an immutable view. It does not allocate.
	Tags(id EntityID, c TagCardinality) (tagset.Tags, error)
	// TagsOf is Tags of the entity "<prefix>://<id>", for callers who hold the bare ID, such
	// as a container's: it does not allocate either. A prefix that there is not is unknown.
	TagsOf(prefix, id string, c TagCardinality) (tagset.Tags, error)
	// TagWithCompleteness also says how much is known. An unknown entity is no error
	// here: it has no tags and is [Unknown].
	TagWithCompleteness(id EntityID, c TagCardinality) ([]string, Completeness, error)
	// TagWait waits until the entity is known at least as well as want ([Partial] or
	// [Complete]) or ctx ends, and asks the collectors that can look it up. When ctx ends
	// it returns what is known, with the error of ctx only if that is less than Partial.
	TagWait(ctx context.Context, id EntityID, c TagCardinality, want Completeness) (tagset.Tags,
		Completeness, error)
	// Handle returns a handle on the entity, known or not. Keep it where the same entity
	// is asked for again and again.
	Handle(id EntityID) Handle
	// Standard returns the standard tags (env, service, version).
	Standard(id EntityID) ([]string, error)
	// GetEntity returns everything known about an entity.
	GetEntity(id EntityID) (Entity, error)
	// GetEntityHash returns [tagset.Tags.Hash] of the tags, "" for an unknown entity.
	GetEntityHash(id EntityID, c TagCardinality) string
	// List returns everything known about every entity, sorted by ID.
	List() []Entity
	// Subscribe starts a subscription; name shows up in status and metrics. A nil filter
	// matches everything.
	Subscribe(name string, filter *Filter) Subscription
	// GlobalTags returns the tags that everything on this machine carries.
	GlobalTags(c TagCardinality) ([]string, error)
}

// Origins are about whoever sends telemetry.
type Origins interface {
	// AgentTags returns the tags of the container this process runs in; none if it runs
	// in none.
	AgentTags(c TagCardinality) ([]string, error)
	// EnrichTags adds the tags of whoever sent a piece of telemetry to acc.
	EnrichTags(acc TagsAccumulator, origin OriginInfo)
	// GenerateContainerIDFromOriginInfo returns the ID of the container that sent a piece
	// of telemetry.
	GenerateContainerIDFromOriginInfo(origin OriginInfo) (string, error)
}

// Explainer says why an entity has the tags it has.
type Explainer interface {
	// Explain says where each tag of an entity comes from, or why there are none.
	Explain(id EntityID) Explanation
	// ExplainTag says why an entity has or has not a tag of this name; of a whole tag only
	// the name counts.
	ExplainTag(id EntityID, tag string) TagReason
}

// Handle is a held question. It pins what it shows: after the entity is gone and
// forgotten, it still answers with the last tags, as [Expired].
type Handle interface {
	// Tags returns the tags up to a cardinality; none while the entity is unknown.
	Tags(c TagCardinality) tagset.Tags
	// Completeness says how much is known.
	Completeness() Completeness
	// ID returns the entity asked for.
	ID() EntityID
}

// Entity is everything known about one entity. The three lists are disjoint; all
// lists are sorted and belong to the caller.
type Entity struct {
	ID                   EntityID
	LowCardTags          []string
	OrchestratorCardTags []string
	HighCardTags         []string
	StandardTags         []string
	Completeness         Completeness
	// Sources are the tags of each source before priorities are applied.
	Sources []SourceTags
}

// SourceTags is what one source says about an entity.
type SourceTags struct {
	Source       string
	Low          []string
	Orchestrator []string
	High         []string
	Standard     []string
}

// All returns the tags of all levels.
func (s SourceTags) All() []string {
	return slices.Concat(s.Low, s.Orchestrator, s.High)
}

// Filter says which entities a subscriber wants.
type Filter struct {
	// Prefixes of entity IDs; none = all.
	Prefixes []string
	// Cardinality of the tags in the events.
	Cardinality TagCardinality
}

// EventType says what happened to an entity's tags.
type EventType uint8

// Event types.
const (
	EventAdded    EventType = 1 // the entity has tags now; also each entity of the first bundle
	EventModified EventType = 2 // its tags are others now
	EventDeleted  EventType = 3 // it is forgotten
)

// String returns "added", "modified" or "deleted".
func (t EventType) String() string {
	switch t {
	case EventAdded:
		return "added"
	case EventModified:
		return "modified"
	case EventDeleted:
		return "deleted"
	}
	return "invalid"
}

// Event is a change of one entity's tags.
type Event struct {
	Type         EventType
	ID           EntityID
	Tags         tagset.Tags // up to the filter's cardinality; of a deleted entity its last ones
	Standard     []string    // shared, must not be written to
	Completeness Completeness
}

// Bundle is a set of events that became true together.
type Bundle struct {
	Revision uint64
	Snapshot bool // the first bundle: one EventAdded per matching entity, possibly none
	Events   []Event
}

// Subscription delivers a snapshot and then every later change, as the store's
// subscriptions do.
type Subscription interface {
	Bundles(ctx context.Context) iter.Seq[Bundle]
	Close()
}

// TagsAccumulator takes tags. Doubles are the accumulator's business.
type TagsAccumulator interface {
	Append(tags ...string)
}

// Explanation says where the tags of an entity come from.
type Explanation struct {
	ID           EntityID         `json:"id"`
	Completeness string           `json:"completeness"`
	Reason       string           `json:"reason"` // one line for people: why it is in this state
	Tags         []TagExplanation `json:"tags,omitempty"`
	// Dropped are the tags that are not there because a rule drops them.
	Dropped []TagExplanation `json:"dropped,omitempty"`
	// Selection says whether rules leave the entity out of what consumers see. nil if no
	// rule has to do with it.
	Selection *Selection `json:"selection,omitempty"`
	// Waiting names the sources that are expected to report the entity and have not.
	Waiting []string `json:"waiting_for,omitempty"`
	// Lacks says what tags are made of that cannot be told, a line each with the reason: such as
	// the namespace of a pod, where the collector may not list namespaces. Nobody waits for it.
	Lacks []string `json:"lacks,omitempty"`
	// Problems are fields that should make tags and cannot be understood, and standard
	// tags that have several values.
	Problems []Problem `json:"problems,omitempty"`
}

// TagReason says why an entity has or has not a tag of a name.
type TagReason struct {
	ID     EntityID `json:"id"`
	Tag    string   `json:"tag"`    // the name
	Reason string   `json:"reason"` // one line for people
	// Has are the tags of the name, those that others hide included, and those that had it
	// until a rule renamed them.
	Has []TagExplanation `json:"has,omitempty"`
	// Dropped are those that a rule drops.
	Dropped []TagExplanation `json:"dropped,omitempty"`
	// Ways are how the entity could have the tag, and what was found instead.
	Ways []TagWay `json:"ways,omitempty"`
	// Near are keys that are nearly those which are looked for.
	Near []NearMiss `json:"near_misses,omitempty"`
	// Waiting names the sources that are expected to report the entity and have not.
	Waiting []string `json:"waiting_for,omitempty"`
}

// TagWay is one way in which an entity could have a tag.
type TagWay struct {
	Rule string `json:"rule"`
	// Entity has the field: the entity itself, or what it has tags from, such as its pod or GPU.
	// Empty if that is not known, and for static tags.
	Entity    string `json:"entity,omitempty"`
	Field     string `json:"field"`
	Condition string `json:"condition,omitempty"`
	Found     string `json:"found"` // what there is, in words
}

// NearMiss is a key that looks like one that makes tags.
type NearMiss struct {
	Entity string `json:"entity"`
	Field  string `json:"field"` // that is there
	Want   string `json:"want"`  // that is looked for
}

// Problem is something that is wrong with what an entity's tags are made of.
type Problem struct {
	// Entity is what has the field, such as a container's pod; empty for a tag.
	Entity string `json:"entity,omitempty"`
	// Field that cannot be understood, or the name of the tag.
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// Selection says whether an entity is left out, and why.
type Selection struct {
	Excluded bool `json:"excluded"`
	// Rule is the one that decided and where it is written; empty if none applies.
	Rule string `json:"rule,omitempty"`
	// ExcludedFrom says for which purposes alone it is left out, "metrics" or "logs", and by
	// which rule.
	ExcludedFrom map[string]string `json:"excluded_from,omitempty"`
}

// TagExplanation is the life story of one tag.
type TagExplanation struct {
	Tag         string `json:"tag"`
	Cardinality string `json:"cardinality"`
	Standard    bool   `json:"standard,omitempty"`
	Source      string `json:"source"`
	Rule        string `json:"rule,omitempty"`  // which rule made it
	Field       string `json:"field,omitempty"` // what it was made from
	// HiddenBy names the source whose tags of this name hide this one.
	HiddenBy string `json:"hidden_by,omitempty"`
	// Before is the tag as it was made, before RenamedBy gave it another name.
	Before string `json:"before,omitempty"`
	// The rules that changed or dropped it, and where they are written.
	RenamedBy     string `json:"renamed_by,omitempty"`
	CardinalityBy string `json:"cardinality_by,omitempty"`
	DroppedBy     string `json:"dropped_by,omitempty"`
}
