// Package taggertest is for tests of code that asks a tagger: a [tagger.Component] that knows what
// the test has told it, and answers as the real one does.
//
//	tags := taggertest.New(t, taggertest.Map{"container_id://c1": {"service:web"}})
//	tailer := NewLogTailer(tags)
//	tags.Set("container_id://c2", "service:mail") // wakes who waits for c2
package taggertest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
)

// Source is the source of the tags that a test sets.
const Source = "taggertest"

// Map holds tags of low cardinality by entity.
type Map map[tagger.EntityID][]string

// TB is what of a [testing.TB] is needed.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Tagger is a tagger that a test fills. All methods may be called from any goroutine.
type Tagger struct {
	tagstore.Queries

	store *tagstore.Store
	tb    TB
}

var _ tagger.Component = (*Tagger)(nil)

// New returns a tagger that knows the entities of m completely. It is closed when the test ends.
// An ID that is none fails the test.
func New(tb TB, m Map) *Tagger {
	tb.Helper()
	store := tagstore.New(tagstore.Options{})
	t := &Tagger{tagstore.NewQueries(store, nil), store, tb}
	tb.Cleanup(store.Close)
	for id, tags := range m {
		t.Set(id, tags...)
	}
	return t
}

// Set makes the entity known completely, with exactly these tags of low cardinality.
func (t *Tagger) Set(id tagger.EntityID, tags ...string) {
	t.tb.Helper()
	t.Process(tagger.TagInfo{Entity: id, LowCardTags: slices.Clone(tags), IsComplete: true})
}

// Unset ends the entity. It keeps its tags, as what has ended does for a while.
func (t *Tagger) Unset(id tagger.EntityID) {
	t.tb.Helper()
	t.Process(tagger.TagInfo{Entity: id, DeleteEntity: true})
}

// Process says something about entities in full: tags of each cardinality, standard tags, and
// whether that is all. Without a source it is [Source]. What makes no sense fails the test.
func (t *Tagger) Process(infos ...tagger.TagInfo) {
	t.tb.Helper()
	for i := range infos {
		if infos[i].Source == "" {
			infos[i].Source = Source
		}
		if _, err := tagger.ParseEntityID(string(infos[i].Entity)); err != nil {
			t.tb.Fatalf("taggertest: %v", err)
		}
	}
	if err := t.store.Process(infos); err != nil {
		t.tb.Fatalf("taggertest: %v", err)
	}
}

// AgentTags implements [tagger.Component]: there are none.
func (t *Tagger) AgentTags(tagger.TagCardinality) ([]string, error) { return nil, nil }

// EnrichTags implements [tagger.Component]: it adds the tags of the first container or pod of the
// origin that is known, and the global ones.
func (t *Tagger) EnrichTags(acc tagger.TagsAccumulator, origin tagger.OriginInfo) {
	c, err := tagger.ParseCardinality(origin.Cardinality)
	if err != nil {
		c = tagger.LowCardinality
	}
	if c == tagger.NoneCardinality {
		return
	}
	for _, id := range []tagger.EntityID{
		tagger.Container(origin.ContainerIDFromSocket), tagger.Container(origin.LocalData.ContainerID),
		tagger.KubernetesPod(origin.PodUID), tagger.KubernetesPod(origin.LocalData.PodUID),
		tagger.KubernetesPod(origin.ExternalData.PodUID)} {
		if tags, err := t.Tags(id, c); err == nil && origin.PodUID != tagger.EntityNone {
			acc.Append(tags.Slice()...)
			break
		}
	}
	global, _ := t.GlobalTags(c)
	acc.Append(global...)
}

// GenerateContainerIDFromOriginInfo implements [tagger.Component]: it is the container that the
// origin names.
func (t *Tagger) GenerateContainerIDFromOriginInfo(origin tagger.OriginInfo) (string, error) {
	if id := origin.LocalData.ContainerID; id != "" {
		return id, nil
	}
	return "", fmt.Errorf("origin without a container: %w", tagger.ErrUnknown)
}

// Explain implements [tagger.Component]: it names the sources.
func (t *Tagger) Explain(id tagger.EntityID) tagger.Explanation {
	out := tagger.Explanation{ID: id, Completeness: t.store.Completeness(id).String(),
		Reason: "the test has not set it"}
	entity, err := t.GetEntity(id)
	if err != nil {
		return out
	}
	out.Reason = "the test has set it"
	for _, s := range entity.Sources {
		for c, tags := range [][]string{s.Low, s.Orchestrator, s.High} {
			for _, tag := range tags {
				out.Tags = append(out.Tags, tagger.TagExplanation{Tag: tag, Source: s.Source,
					Cardinality: tagger.TagCardinality(c).String()})
			}
		}
	}
	return out
}

// ExplainTag implements [tagger.Component]: it says who has set the tag.
func (t *Tagger) ExplainTag(id tagger.EntityID, tag string) tagger.TagReason {
	x := t.Explain(id)
	name, _, _ := strings.Cut(tag, ":")
	out := tagger.TagReason{ID: id, Tag: name, Reason: "the test has not set it"}
	for _, line := range x.Tags {
		if have, _, _ := strings.Cut(line.Tag, ":"); have == name {
			out.Reason, out.Has = "the test has set it", append(out.Has, line)
		}
	}
	return out
}
