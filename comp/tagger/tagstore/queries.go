package tagstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// Queries implements [tagger.Queries] on a store. Taggers embed it, whatever fills theirs.
// Create one with [NewQueries].
type Queries struct {
	store *Store
	miss  func(context.Context, tagger.EntityID) error
}

// NewQueries returns queries of a store. miss, if it is not nil, asks those who can look an
// entity up that TagWait misses; what they find comes into the store.
func NewQueries(s *Store, miss func(context.Context, tagger.EntityID) error) Queries {
	return Queries{s, miss}
}

// Tag implements [tagger.Queries].
func (q *Queries) Tag(id tagger.EntityID, c tagger.TagCardinality) ([]string, error) {
	tags, err := q.store.Tags(id, c)
	return tags.Slice(), err
}

// Tags implements [tagger.Queries].
func (q *Queries) Tags(id tagger.EntityID, c tagger.TagCardinality) (tagset.Tags, error) {
	return q.store.Tags(id, c)
}

// TagsOf implements [tagger.Queries].
func (q *Queries) TagsOf(prefix, id string, c tagger.TagCardinality) (tagset.Tags, error) {
	return q.store.TagsOf(prefix, id, c)
}

// TagWithCompleteness implements [tagger.Queries].
func (q *Queries) TagWithCompleteness(id tagger.EntityID, c tagger.TagCardinality) ([]string,
	tagger.Completeness, error) {
	tags, known, err := q.store.Lookup(id, c)
	if errors.Is(err, tagger.ErrUnknown) || errors.Is(err, tagger.ErrExpired) {
		err = nil
	}
	return tags.Slice(), known, err
}

// TagWait implements [tagger.Queries].
func (q *Queries) TagWait(ctx context.Context, id tagger.EntityID, c tagger.TagCardinality,
	want tagger.Completeness) (tagset.Tags, tagger.Completeness, error) {
	want = max(want, tagger.Partial)
	for {
		tags, known, err := q.store.Lookup(id, c)
		if known >= want || errors.Is(err, tagger.ErrEmptyEntityID) ||
			errors.Is(err, tagger.ErrCardinality) {
			return tags, known, err
		}
		waited := q.await(ctx, id, want)
		if waited == nil {
			continue // it was known well enough a moment ago, and nearly always still is
		}
		tags, known, _ = q.store.Lookup(id, c)
		if known >= tagger.Partial {
			waited = nil
		}
		return tags, known, waited
	}
}

// await has the entity looked up and waits for what comes of it, or from anywhere else.
func (q *Queries) await(ctx context.Context, id tagger.EntityID, want tagger.Completeness) error {
	if q.miss == nil {
		return q.store.Wait(ctx, id, want)
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	var ask sync.WaitGroup
	defer ask.Wait()
	var failed error
	ask.Go(func() { failed = q.ask(asking, id) })
	err := q.store.Wait(ctx, id, want)
	cancel()
	ask.Wait()
	if err != nil && failed != nil {
		return fmt.Errorf("%w (%w)", err, failed)
	}
	return err
}

// How long ask waits between two questions: twice as long each time.
const (
	firstPause = 25 * time.Millisecond
	lastPause  = time.Second
)

// ask has the entity looked up again and again until ctx ends: whoever can look it up may not
// be ready yet, and what is not there now may be there later. Those who are asked bound how
// often they really look. It returns what the last look-up failed with.
func (q *Queries) ask(ctx context.Context, id tagger.EntityID) error {
	var failed error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if err := q.miss(ctx, id); ctx.Err() == nil {
			failed = err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return failed
		}
	}
}

// Handle implements [tagger.Queries].
func (q *Queries) Handle(id tagger.EntityID) tagger.Handle { return q.store.Handle(id) }

// Standard implements [tagger.Queries].
func (q *Queries) Standard(id tagger.EntityID) ([]string, error) {
	standard, err := q.store.Standard(id)
	return append([]string(nil), standard...), err
}

// GetEntity implements [tagger.Queries].
func (q *Queries) GetEntity(id tagger.EntityID) (tagger.Entity, error) {
	return q.store.GetEntity(id)
}

// GetEntityHash implements [tagger.Queries].
func (q *Queries) GetEntityHash(id tagger.EntityID, c tagger.TagCardinality) string {
	tags, _ := q.store.Find(id, c)
	return tags.Hash()
}

// List implements [tagger.Queries].
func (q *Queries) List() []tagger.Entity { return q.store.List() }

// Subscribe implements [tagger.Queries].
func (q *Queries) Subscribe(name string, filter *tagger.Filter) tagger.Subscription {
	return q.store.Subscribe(name, filter)
}

// GlobalTags implements [tagger.Queries].
func (q *Queries) GlobalTags(c tagger.TagCardinality) ([]string, error) {
	if err := checkCardinality(c); err != nil {
		return nil, err
	}
	tags, _ := q.store.Find(tagger.GlobalEntityID, c)
	return tags.Slice(), nil
}
