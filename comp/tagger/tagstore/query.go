package tagstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// Tags returns the tags of an entity up to a cardinality. It does not allocate unless
// it fails.
func (s *Store) Tags(id tagger.EntityID, c tagger.TagCardinality) (tagset.Tags, error) {
	e, ok := s.entries.GetHashed(s.hash.of(id), id)
	if !ok || e == nil {
		// That it is not nil must be said here: the compiler would check it by reading the
		// entry, which is a cache miss and the only one that this query can spare.
		return tagset.Tags{}, s.miss(id, c)
	}
	switch c {
	case tagger.LowCardinality:
		return e.set.Low(), nil
	case tagger.OrchestratorCardinality:
		return e.set.Orchestrator(), nil
	case tagger.HighCardinality:
		return e.set.High(), nil
	}
	return tagset.Tags{}, checkCardinality(c)
}

// TagsOf is Tags of the entity "<prefix>://<id>", for callers who hold the bare ID: the two are
// not joined, and nothing is allocated, unless it fails. A prefix that there is not is unknown.
func (s *Store) TagsOf(prefix, id string, c tagger.TagCardinality) (tagset.Tags, error) {
	e, ok := s.entries.Find(s.hash.ofParts(prefix, id), func(k tagger.EntityID) bool {
		n := len(k) - len(id)
		return n == len(prefix)+len(separator) && string(k[n:]) == id &&
			string(k[:len(prefix)]) == prefix && k[len(prefix):n] == separator
	})
	switch {
	case ok && e != nil && c <= tagger.NoneCardinality:
		return e.at(c), nil
	case id == "":
		return tagset.Tags{}, s.miss("", c)
	}
	return s.Tags(tagger.EntityID(prefix+separator+id), c)
}

// Find is Tags for callers to whom a miss is nothing special: it makes no error and
// does not count as a miss.
func (s *Store) Find(id tagger.EntityID, c tagger.TagCardinality) (tags tagset.Tags, ok bool) {
	e, ok := s.entries.Get(id)
	if !ok || e == nil {
		return tagset.Tags{}, false
	}
	return e.at(c), true
}

// Lookup is Tags together with how much is known, both of the same moment. For an
// entity that is not there, the error says why.
func (s *Store) Lookup(id tagger.EntityID, c tagger.TagCardinality) (tagset.Tags,
	tagger.Completeness, error) {
	if e, ok := s.entries.Get(id); ok {
		return e.at(c), e.completeness(), checkCardinality(c)
	}
	err := s.miss(id, c)
	if errors.Is(err, tagger.ErrExpired) {
		return tagset.Tags{}, tagger.Expired, err
	}
	return tagset.Tags{}, tagger.Unknown, err
}

func checkCardinality(c tagger.TagCardinality) error {
	if c <= tagger.NoneCardinality {
		return nil
	}
	return fmt.Errorf("cardinality %d: %w", uint8(c), tagger.ErrCardinality)
}

// miss says why there is no entry, and counts that.
func (s *Store) miss(id tagger.EntityID, c tagger.TagCardinality) error {
	if id == "" {
		s.counts.missEmpty.Add(1)
		return tagger.ErrEmptyEntityID
	}
	if err := checkCardinality(c); err != nil {
		return err
	}
	if when, ok := s.forgotten.when(id); ok {
		s.counts.missExpired.Add(1)
		return fmt.Errorf("%s: %w (forgotten at %s)", id, tagger.ErrExpired,
			when.Format(time.RFC3339))
	}
	s.counts.missUnknown.Add(1)
	return fmt.Errorf("%s: %w", id, tagger.ErrUnknown)
}

// Completeness says how much is known about an entity.
func (s *Store) Completeness(id tagger.EntityID) tagger.Completeness {
	if e, ok := s.entries.Get(id); ok {
		return e.completeness()
	}
	if _, ok := s.forgotten.when(id); ok {
		return tagger.Expired
	}
	return tagger.Unknown
}

func (e *entry) completeness() tagger.Completeness {
	switch {
	case e.tombstone != 0:
		return tagger.Expired
	case e.complete:
		return tagger.Complete
	}
	return tagger.Partial
}

// Wait waits until the entity is known at least as well as want, or ctx ends. A
// tombstone does not count: what is waited for is alive.
func (s *Store) Wait(ctx context.Context, id tagger.EntityID, want tagger.Completeness) error {
	for {
		woken, done := s.waiters.wait(id)
		if s.Completeness(id) >= want {
			done()
			return nil
		}
		select {
		case <-woken:
			done()
		case <-ctx.Done():
			done()
			return ctx.Err()
		}
	}
}

// Standard returns the standard tags of an entity. The slice is shared.
func (s *Store) Standard(id tagger.EntityID) ([]string, error) {
	if e, ok := s.entries.Get(id); ok {
		return e.standard.Tags(), nil
	}
	return nil, s.miss(id, tagger.LowCardinality)
}

// GetEntity returns everything known about an entity.
func (s *Store) GetEntity(id tagger.EntityID) (tagger.Entity, error) {
	if e, ok := s.entries.Get(id); ok {
		return e.export(id), nil
	}
	return tagger.Entity{}, s.miss(id, tagger.LowCardinality)
}

// List returns everything known about every entity, sorted by ID.
func (s *Store) List() []tagger.Entity {
	list := make([]tagger.Entity, 0, s.table.Len())
	for id, e := range s.table.All() {
		list = append(list, e.export(id))
	}
	slices.SortFunc(list, func(a, b tagger.Entity) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Len returns the number of entities.
func (s *Store) Len() int { return s.table.Len() }

// Revision counts the changes so far.
func (s *Store) Revision() uint64 { return s.table.Revision() }

func (e *entry) export(id tagger.EntityID) tagger.Entity {
	low, orchestrator, high := e.set.Levels()
	out := tagger.Entity{
		ID: id, LowCardTags: slices.Clone(low), OrchestratorCardTags: slices.Clone(orchestrator),
		HighCardTags: slices.Clone(high),
		StandardTags: slices.Clone(e.standard.Tags()), Completeness: e.completeness(),
	}
	for i, src := range e.sources.all {
		rest, nOrch := e.appendRest(nil, i)
		out.Sources = append(out.Sources, tagger.SourceTags{
			Source: src.name.Value(), Low: slices.Clone(src.low.Tags()),
			Orchestrator: rest[:nOrch:nOrch], High: rest[nOrch:],
			Standard: slices.Clone(src.standard.Tags()),
		})
	}
	slices.SortFunc(out.Sources,
		func(a, b tagger.SourceTags) int { return cmp.Compare(a.Source, b.Source) })
	return out
}

// Withdrawn returns when the last source of a tombstone expires. ok is false for
// what is alive or unknown.
func (s *Store) Withdrawn(id tagger.EntityID) (until time.Time, ok bool) {
	e, found := s.entries.Get(id)
	if !found || e.tombstone == 0 {
		return time.Time{}, false
	}
	last := int64(math.MinInt64)
	for _, src := range e.sources.all {
		last = max(last, src.expiry)
	}
	return s.opts.Now().Add(time.Duration(last) - s.opts.Elapsed()), true
}
