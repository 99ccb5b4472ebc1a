package tagger

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// Nop is a tagger to which every entity is unknown. Embed it in a tagger for a test
// and override what the test needs.
type Nop struct{}

var _ Component = Nop{}

func unknown(id EntityID) error {
	if id == "" {
		return ErrEmptyEntityID
	}
	return fmt.Errorf("%s: %w", id, ErrUnknown)
}

// Tag implements [Component].
func (Nop) Tag(id EntityID, _ TagCardinality) ([]string, error) { return nil, unknown(id) }

// Tags implements [Component].
func (Nop) Tags(id EntityID, _ TagCardinality) (tagset.Tags, error) {
	return tagset.Tags{}, unknown(id)
}

// TagsOf implements [Component].
func (Nop) TagsOf(prefix, id string, _ TagCardinality) (tagset.Tags, error) {
	if id == "" {
		return tagset.Tags{}, ErrEmptyEntityID
	}
	return tagset.Tags{}, unknown(EntityID(prefix + separator + id))
}

// TagWithCompleteness implements [Component].
func (Nop) TagWithCompleteness(id EntityID, _ TagCardinality) ([]string, Completeness, error) {
	if id == "" {
		return nil, Unknown, ErrEmptyEntityID
	}
	return nil, Unknown, nil
}

// TagWait implements [Component]. It waits for the end of ctx.
func (Nop) TagWait(ctx context.Context, id EntityID, _ TagCardinality, _ Completeness) (tagset.Tags,
	Completeness, error) {
	if id == "" {
		return tagset.Tags{}, Unknown, ErrEmptyEntityID
	}
	<-ctx.Done()
	return tagset.Tags{}, Unknown, ctx.Err()
}

// Handle implements [Component].
func (Nop) Handle(id EntityID) Handle { return nopHandle(id) }

// Standard implements [Component].
func (Nop) Standard(id EntityID) ([]string, error) { return nil, unknown(id) }

// GetEntity implements [Component].
func (Nop) GetEntity(id EntityID) (Entity, error) { return Entity{}, unknown(id) }

// GetEntityHash implements [Component].
func (Nop) GetEntityHash(EntityID, TagCardinality) string { return "" }

// List implements [Component].
func (Nop) List() []Entity { return nil }

// Subscribe implements [Component]. The subscription has an empty snapshot and nothing else.
func (Nop) Subscribe(string, *Filter) Subscription {
	return &nopSubscription{closed: make(chan struct{})}
}

// AgentTags implements [Component].
func (Nop) AgentTags(TagCardinality) ([]string, error) { return nil, nil }

// GlobalTags implements [Component].
func (Nop) GlobalTags(TagCardinality) ([]string, error) { return nil, nil }

// EnrichTags implements [Component].
func (Nop) EnrichTags(TagsAccumulator, OriginInfo) {}

// GenerateContainerIDFromOriginInfo implements [Component].
func (Nop) GenerateContainerIDFromOriginInfo(OriginInfo) (string, error) { return "", ErrUnknown }

// Explain implements [Component].
func (Nop) Explain(id EntityID) Explanation {
	return Explanation{ID: id, Completeness: Unknown.String(), Reason: "no tagger is running"}
}

// ExplainTag implements [Component].
func (Nop) ExplainTag(id EntityID, tag string) TagReason {
	return TagReason{ID: id, Tag: tag, Reason: "no tagger is running"}
}

type nopHandle EntityID

func (nopHandle) Tags(TagCardinality) tagset.Tags { return tagset.Tags{} }
func (nopHandle) Completeness() Completeness      { return Unknown }
func (h nopHandle) ID() EntityID                  { return EntityID(h) }

type nopSubscription struct {
	closed chan struct{}
	once   sync.Once
}

func (s *nopSubscription) Bundles(ctx context.Context) iter.Seq[Bundle] {
	return func(yield func(Bundle) bool) {
		if !yield(Bundle{Snapshot: true}) {
			return
		}
		select {
		case <-ctx.Done():
		case <-s.closed:
		}
	}
}

func (s *nopSubscription) Close() { s.once.Do(func() { close(s.closed) }) }
