// Package taggertest is for tests of code that asks a tagger: a [tagger.Component] that knows what
// the test has told it, and answers as the real one does, and checks of tags ([WantTags] and
// others) for any tagger.
//
//	tags := taggertest.New(t, taggertest.Map{"container_id://c1": {"service:web"}})
//	tailer := NewLogTailer(tags)
//	tags.Set("container_id://c2", "service:mail") // wakes who waits for c2
//
// It is the tagger of package local with no store to follow. It has no goroutines, and works inside
// a synctest bubble.
package taggertest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// Source is the source of the tags that a test sets.
const Source = "taggertest"

// Map holds tags of low cardinality by entity.
type Map map[tagger.EntityID][]string

// TB is what of a [testing.TB] is needed.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Tagger is a tagger that a test fills. All methods may be called from any goroutine.
type Tagger struct {
	tagger.Component

	real *local.Tagger
	tb   TB
}

// Option changes a tagger of [New].
type Option func(*local.Options)

// Self makes the tagger run in a container: the one of [tagger.Component.AgentTags].
func Self(containerID string) Option {
	return func(o *local.Options) { o.SelfContainerID = containerID }
}

// Cardinality is what senders of telemetry get that do not ask for one; without it, low.
func Cardinality(c tagger.TagCardinality) Option {
	return func(o *local.Options) { o.Cardinality = c }
}

// New returns a tagger that knows the entities of m completely. It is closed when the test ends.
// Tags of [tagger.GlobalEntityID] are those that everything carries. An ID that is none fails the
// test.
func New(tb TB, m Map, options ...Option) *Tagger {
	tb.Helper()
	opts := local.DefaultOptions()
	opts.SelfContainerID = "none"
	opts.Log = slog.New(slog.DiscardHandler)
	opts.TagStore.Grace = -1 // until Forget
	for _, option := range options {
		option(&opts)
	}
	s := store.New(store.Options{}) // it stays empty
	real, err := local.New(s, opts)
	if err != nil {
		tb.Fatalf("taggertest: %v", err)
	}
	tb.Cleanup(func() {
		if err := real.Stop(context.Background()); err != nil {
			tb.Errorf("taggertest: %v", err)
		}
		s.Close()
	})
	t := &Tagger{real, real, tb}
	for id, tags := range m {
		t.Set(id, tags...)
	}
	return t
}

// Set makes the entity known completely, with exactly these tags of low cardinality, of which env,
// service and version are standard tags.
func (t *Tagger) Set(id tagger.EntityID, tags ...string) {
	t.tb.Helper()
	info := tagger.TagInfo{Entity: id, LowCardTags: slices.Clone(tags), IsComplete: true}
	for _, tag := range tags {
		if extract.IsStandard(tagset.Name(tag)) {
			info.StandardTags = append(info.StandardTags, tag)
		}
	}
	t.Process(info)
}

// Unset ends the entity. It keeps its tags, as what has ended does for a while, until
// [Tagger.Forget].
func (t *Tagger) Unset(id tagger.EntityID) {
	t.tb.Helper()
	t.Process(tagger.TagInfo{Entity: id, DeleteEntity: true})
}

// Forget ends the time for which entities that have ended keep their tags: queries for them fail
// with [tagger.ErrExpired].
func (t *Tagger) Forget() { t.real.Prune() }

// Process says something about entities in full: tags of each cardinality, standard tags, and
// whether that is all. Without a source it is [Source]. What makes no sense fails the test.
func (t *Tagger) Process(infos ...tagger.TagInfo) {
	t.tb.Helper()
	infos = slices.Clone(infos)
	for i := range infos {
		if infos[i].Source == "" {
			infos[i].Source = Source
		}
		if _, err := tagger.ParseEntityID(string(infos[i].Entity)); err != nil {
			t.tb.Fatalf("taggertest: %v", err)
		}
	}
	if err := t.real.Process(infos); err != nil {
		t.tb.Fatalf("taggertest: %v", err)
	}
}

// WantTags fails the test if an entity does not have exactly these tags, in any order, up to a
// cardinality.
func WantTags(t TB, c tagger.Component, id tagger.EntityID, level tagger.TagCardinality,
	tags ...string) {
	t.Helper()
	got, err := c.Tag(id, level)
	if err != nil {
		t.Errorf("tags of %s: %v", id, err)
		return
	}
	got, tags = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(tags))
	if !slices.Equal(got, tags) {
		t.Errorf("tags of %s (%s) are %q, want %q%s", id, level, got, tags, why(c, id))
	}
}

// WantSome fails the test if an entity does not have all of these tags; it may have others.
func WantSome(t TB, c tagger.Component, id tagger.EntityID, tags ...string) {
	t.Helper()
	got, err := c.Tag(id, tagger.HighCardinality)
	if err != nil {
		t.Errorf("tags of %s: %v", id, err)
		return
	}
	for _, tag := range tags {
		if !slices.Contains(got, tag) {
			t.Errorf("tags of %s are %q, want %q among them%s", id, got, tag, why(c, id))
		}
	}
}

// WantNone fails the test if an entity has a tag with one of these names; without names, if it has
// any tag. An entity that is not known has none.
func WantNone(t TB, c tagger.Component, id tagger.EntityID, names ...string) {
	t.Helper()
	got, _, err := c.TagWithCompleteness(id, tagger.HighCardinality)
	if err != nil {
		t.Errorf("tags of %s: %v", id, err)
	}
	for _, tag := range got {
		if len(names) == 0 || slices.Contains(names, tagset.Name(tag)) {
			t.Errorf("tags of %s are %q, want no %s", id, got, tag)
		}
	}
}

// WantKnown fails the test if an entity is not known this well.
func WantKnown(t TB, c tagger.Component, id tagger.EntityID, want tagger.Completeness) {
	t.Helper()
	if _, got, err := c.TagWithCompleteness(id, tagger.HighCardinality); got != want || err != nil {
		t.Errorf("%s is %s (%v), want %s%s", id, got, err, want, why(c, id))
	}
}

// AwaitTags waits until an entity is known completely, or fails the test when the limit is over.
// It returns the tags of all cardinalities.
func AwaitTags(t TB, c tagger.Component, id tagger.EntityID, limit time.Duration) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tags, known, err := c.TagWait(ctx, id, tagger.HighCardinality, tagger.Complete)
	if known != tagger.Complete || err != nil {
		t.Errorf("%s is %s (%v) after %s%s", id, known, err, limit, why(c, id))
	}
	return tags.Slice()
}

// why returns what the tagger has to say about an entity, for messages.
func why(c tagger.Component, id tagger.EntityID) string {
	x := c.Explain(id)
	var out strings.Builder
	fmt.Fprintf(&out, "; it is %s: %s", x.Completeness, x.Reason)
	for _, tag := range x.Dropped {
		fmt.Fprintf(&out, "; %s is dropped by %s", tag.Tag, tag.DroppedBy)
	}
	return out.String()
}
