// Package inspect answers what people and programs ask of rollcall: what is here, what tags it
// has, why, who said so, how the collectors are, what rules change.
//
// # Promises
//
//   - There is one implementation of each answer. The command line, and whatever else shows
//     rollcall's answers, parses and prints, and knows nothing.
//   - Requests and answers are plain data, with the names in JSON that recordings have, and
//     streams are iterators: [Inspector] can be implemented over a socket.
//   - Whoever asks does not notice whether the answer is about this machine or a recording, but
//     for [Status.Mode].
//   - What was asked for and is not there, is there twice, or cannot be understood is a
//     [NotFoundError], an [AmbiguousError] or an [InvalidError]; anything else is a failure.
package inspect

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Inspector answers questions. All methods may be called from any goroutine. [Local] answers
// from a store and a tagger in this process.
type Inspector interface {
	// List returns the entities of some kinds, with their tags.
	List(ctx context.Context, r ListRequest) (List, error)
	// Get returns one entity, with its tags.
	Get(ctx context.Context, r GetRequest) (Entity, error)
	// Tags returns the tags of all entities, also of those that are gone and remembered.
	Tags(ctx context.Context, r TagsRequest) ([]Tagged, error)
	// TagsOf returns the tags of one entity.
	TagsOf(ctx context.Context, r GetRequest) (Tagged, error)
	// Explain says where the tags of an entity come from, or why there are none, and who
	// said what of it. An entity without tags is no error, nor is one that is unknown.
	Explain(ctx context.Context, r ExplainRequest) (Explanation, error)
	// Status says how the collectors, the store and the tagger are.
	Status(ctx context.Context) (Status, error)
	// FirstAnswers says how the first attempts of the collectors went, once everything that they
	// have reported has its tags. A recording has none, and is played.
	FirstAnswers(ctx context.Context, r FirstAnswersRequest) ([]FirstAnswer, error)
	// RulesDiff says what the rules change against other options.
	RulesDiff(ctx context.Context, r RulesDiffRequest) (RulesDiff, error)
	// Watch yields what is there, then every change. It ends with ctx, which is no error, or
	// with the recording.
	Watch(ctx context.Context, r WatchRequest) iter.Seq2[Change, error]
	// Outages yields the collectors that lose their sources, and have them back, until ctx ends.
	// With a recording nothing does.
	Outages(ctx context.Context) iter.Seq[collection.Outage]
	// Record writes a recording to w until ctx ends, which is no error, and returns how many
	// events it has. Only whole lines are handed to w.
	Record(ctx context.Context, r RecordRequest, w io.Writer) (events int, err error)
}

// Name is what somebody calls an entity.
type Name struct {
	// Kind, if it is known. 0: any.
	Kind workloadmeta.Kind `json:"kind,omitempty"`
	// Resource narrows objects of Kubernetes that are known by their metadata: see [Class].
	Resource string `json:"resource,omitempty"`
	// Text is an ID, the first characters of one, a name, a namespace and name, an ID with its
	// kind ("process/4242"), an ID of the tagger ("container_id://…") or of a service
	// ("docker://…").
	Text string `json:"text"`
}

// ListRequest says what to list.
type ListRequest struct {
	// Kinds, in the order in which they are wanted.
	Kinds       []workloadmeta.Kind   `json:"kinds"`
	Cardinality tagger.TagCardinality `json:"cardinality"`
	// All lists what rules leave out, too.
	All bool `json:"all,omitempty"`
	// Names, if any, are patterns one of which an ID or a name has to match; * stands for any
	// text, and an ID may be cut short.
	Names []string `json:"names,omitempty"`
	// Where, if any, are conditions that all have to hold.
	Where []Condition `json:"where,omitempty"`
	Narrowing
}

// Narrowing leaves out what is somewhere else, or is not meant.
type Narrowing struct {
	// Resources, if any, are those of which objects that are known by their metadata are wanted:
	// see [Class].
	Resources []string `json:"resources,omitempty"`
	// Namespace of Kubernetes; empty = any. A container and its processes are in that of their
	// pod. What is in no namespace by its nature, such as a node, is not left out.
	Namespace string `json:"namespace,omitempty"`
	// Selector is a label selector as kubectl has them. A container has its pod's labels, too,
	// and a process those of its container.
	Selector string `json:"selector,omitempty"`
}

// Condition asks for a value of a field.
type Condition struct {
	// Field as [Entity] has it in JSON, with dots between levels: "image.name", "labels.team",
	// "tags". "image" alone is any of an image's names. A list holds if one of its items does.
	Field string `json:"field"`
	// Pattern that the value has to match; * stands for any text.
	Pattern string `json:"pattern"`
}

// List is the answer to a [ListRequest].
type List struct {
	// Entities by kind, in the order of the request, then by ID.
	Entities []Entity `json:"entities"`
	// LeftOut is how many there are that rules leave out.
	LeftOut int `json:"left_out,omitempty"`
	// Names are those of what the entities refer to: of the containers of processes, of the
	// owners of containers.
	Names map[string]string `json:"names,omitempty"` // by EntityID.String
	// At is when the answer is from.
	At time.Time `json:"at"`
	// Notes are what a reader of the list should know, a line each.
	Notes []string `json:"notes,omitempty"`
	// Gaps are what keeps kinds that have no entities from having some.
	Gaps []Gap `json:"gaps,omitempty"`
}

// GetRequest asks for one entity.
type GetRequest struct {
	Name        Name                  `json:"name"`
	Cardinality tagger.TagCardinality `json:"cardinality"`
}

// TagsRequest asks for the tags of all entities.
type TagsRequest struct {
	Cardinality tagger.TagCardinality `json:"cardinality"`
	// All includes containers that rules leave out.
	All bool `json:"all,omitempty"`
}

// ExplainRequest asks about the tags of one entity.
type ExplainRequest struct {
	// Tag, if set, is the one tag that is asked about; its name is enough.
	Tag  string `json:"tag,omitempty"`
	Name Name   `json:"name"`
}

// RulesDiffRequest asks what the rules in effect change.
type RulesDiffRequest struct {
	// Before are the options to compare with.
	Before extract.Options `json:"before"`
}

// WatchRequest says what to watch.
type WatchRequest struct {
	Kinds       []workloadmeta.Kind   `json:"kinds,omitempty"` // none = all
	Cardinality tagger.TagCardinality `json:"cardinality"`
	// All shows what rules leave out, too.
	All bool `json:"all,omitempty"`
	// Names narrows to what matches one of the patterns, as in [ListRequest].
	Names []string `json:"names,omitempty"`
	Narrowing
	// Speed is how many times as fast as it happened a recording is played; 0: at once.
	Speed float64 `json:"speed,omitempty"`
}

// RecordRequest says what to record.
type RecordRequest struct {
	// Once records what is there, without what happens then.
	Once bool `json:"once,omitempty"`
}
