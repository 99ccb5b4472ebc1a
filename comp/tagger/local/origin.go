package local

import (
	"fmt"

	"github.com/rollcall-dev/rollcall/comp/origin"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// EnrichTags implements [tagger.Component].
//
// The first of these that has tags counts: the container of the socket's peer, the
// container the client names, the process it names, the container of the pod it names,
// the pod itself. Adding up several would mix the tags of different workloads as soon as
// one claim is wrong. Global tags come last, always, unless the client asks for none.
func (t *Tagger) EnrichTags(acc tagger.TagsAccumulator, o tagger.OriginInfo) {
	c := t.opts.Cardinality
	if o.Cardinality != "" {
		if asked, err := tagger.ParseCardinality(o.Cardinality); err == nil {
			c = asked
		}
	}
	if c == tagger.NoneCardinality {
		return
	}
	if o.PodUID != tagger.EntityNone {
		t.addFirst(acc, o, c)
	}
	if tags, ok := t.tags.Find(tagger.GlobalEntityID, c); ok {
		add(acc, tags)
	}
}

// addFirst adds the tags of the first candidate that has any.
func (t *Tagger) addFirst(acc tagger.TagsAccumulator, o tagger.OriginInfo,
	c tagger.TagCardinality) {
	for id := range origin.Candidates(t.store, o) {
		if tags, ok := t.tags.Find(id, c); ok && tags.Len() > 0 {
			add(acc, tags)
			return
		}
	}
	o.Cardinality = ""
	if o != (tagger.OriginInfo{}) {
		t.unresolved.Add(1)
	}
}

func add(acc tagger.TagsAccumulator, tags tagset.Tags) {
	for tag := range tags.All() {
		acc.Append(tag)
	}
}

// GenerateContainerIDFromOriginInfo implements [tagger.Component].
func (t *Tagger) GenerateContainerIDFromOriginInfo(o tagger.OriginInfo) (string, error) {
	return origin.Container(t.store, o)
}

// AgentTags implements [tagger.Component].
func (t *Tagger) AgentTags(c tagger.TagCardinality) ([]string, error) {
	if c > tagger.NoneCardinality {
		return nil, fmt.Errorf("cardinality %d: %w", uint8(c), tagger.ErrCardinality)
	}
	for id := range origin.Candidates(t.store, t.self) {
		if tags, ok := t.tags.Find(id, c); ok {
			return tags.Slice(), nil
		}
	}
	return nil, nil
}
