// Package tagstore keeps what each source says about each entity, resolves it into one
// immutable set of tags, and serves that set without locks.
//
// # Promises
//
//   - An info replaces everything its source said about the entity before. An info that
//     says nothing new is no event; one without any tags makes the entity known without.
//   - An entity is as complete as the least complete of its sources that have not
//     withdrawn. Where rollcall's own sources speak, those of embedders do not count.
//   - Between sources of different priority, the tags of one name come from the higher
//     only, at whatever cardinality. Sources of equal priority keep all their tags.
//   - A source that withdraws keeps its tags for a grace time; [Store.Prune] takes them
//     out after it. A new report cancels the withdrawal. Nothing but Prune forgets.
//   - An entity whose sources have all withdrawn is a tombstone: it keeps its whole set,
//     so that late telemetry is still tagged, until the grace time of the last source is
//     over. Tombstones are bounded in number, too. Without any tags there is nothing to
//     keep, and the entity is unknown at once.
//   - Grace times run by the monotonic clock, so that a step of the wall clock neither
//     shortens nor prolongs them. Expiry dates are dates and follow the wall clock.
//   - Queries take no lock, do no work and allocate nothing.
package tagstore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unique"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/pkg/singlewriter"
	"github.com/rollcall-dev/rollcall/pkg/statebus"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// DefaultGrace is how long the tags of a source stay after it has withdrawn.
const DefaultGrace = 5 * time.Minute

// Options tune a store. The zero value is useful.
type Options struct {
	// Grace is how long tags stay after their source has withdrawn. Default
	// [DefaultGrace]; negative: they go at the next Prune.
	Grace time.Duration
	// MaxTombstones bounds the entities that are only remembered. Beyond it the oldest go
	// at once. Default 65536; negative: none are kept.
	MaxTombstones int
	// MaxForgotten bounds the IDs of which only is known that they have expired. Default 16384.
	MaxForgotten int
	// Now is the clock that expiry dates go by. Default [time.Now].
	Now func() time.Time
	// Elapsed measures grace times: how much time has passed since some moment. It must not
	// go back, and what becomes of Now is nothing to it. Default: the monotonic clock.
	Elapsed func() time.Duration
	// Bus tunes the subscriptions.
	Bus statebus.Options
}

func (o Options) withDefaults() Options {
	switch {
	case o.Grace == 0:
		o.Grace = DefaultGrace
	case o.Grace < 0:
		o.Grace = -1 // already over, even for a Prune at the same moment
	}
	switch {
	case o.MaxTombstones == 0:
		o.MaxTombstones = 65536
	case o.MaxTombstones < 0:
		o.MaxTombstones = 0
	}
	if o.MaxForgotten <= 0 {
		o.MaxForgotten = 16384
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Elapsed == nil {
		begin := time.Now()
		o.Elapsed = func() time.Duration { return time.Since(begin) }
	}
	return o
}

// Store holds the tags of all entities. Create one with [New]. All methods may be
// called from any goroutine.
type Store struct {
	opts    Options
	table   *statebus.Table[tagger.EntityID, *entry]
	entries *singlewriter.Map[tagger.EntityID, *entry] // what the table holds, for queries
	hash    idHash

	// What follows is used under the table's commit lock only.
	in         *tagset.Interner
	shared     *singlewriter.Map[uint64, *sources] // by sum
	resolver   resolver
	graces     expiryHeap // ends of grace times, as Elapsed counts
	dates      expiryHeap // expiry dates, in Unix nanoseconds
	tombstones tombstones
	handles    handles

	forgotten forgotten
	waiters   waiters
	counts    counts
}

// entry is what the table holds per entity. It is immutable. There is one per
// container, so it is kept small: it is one cache line.
type entry struct {
	set       tagset.Set
	standard  *tagset.List // counted, if at all, by the source it comes from
	sources   *sources
	tombstone uint32 // not 0 if all sources have withdrawn: the tombstone's number
	complete  bool
}

// counts are for metrics. A query that finds its entity counts nothing.
type counts struct {
	updated, unchanged, pruned          atomic.Uint64
	missEmpty, missUnknown, missExpired atomic.Uint64
}

// New returns an empty store.
func New(opts Options) *Store {
	s := &Store{opts: opts.withDefaults(), in: tagset.NewInterner(), hash: newIDHash()}
	s.shared = singlewriter.New[uint64, *sources]()
	s.entries = singlewriter.NewHashed[tagger.EntityID, *entry](s.hash.of)
	s.table = statebus.Over(s.entries, opts.Bus)
	s.handles = handles{}
	s.forgotten = newForgotten(s.opts.MaxForgotten)
	return s
}

// Close ends all subscriptions. Queries go on to work.
func (s *Store) Close() { s.table.Close() }

type tx = statebus.Tx[tagger.EntityID, *entry]

// Process applies the infos in order, as one change. Infos without an entity or a
// source are left out and named in the error; the others are applied.
func (s *Store) Process(infos []tagger.TagInfo) error {
	var bad []error
	s.table.Update(func(t *tx) {
		for i := 0; i < len(infos); {
			id := infos[i].Entity
			n := i + 1
			for n < len(infos) && infos[n].Entity == id {
				n++
			}
			bad = append(bad, s.update(t, id, infos[i:n])...)
			i = n
		}
		s.limitTombstones(t)
	})
	if s.waiters.any() {
		for i := range infos {
			s.waiters.wake(infos[i].Entity)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("tag infos: %w", errors.Join(bad...))
	}
	return nil
}

// update applies infos about one entity.
func (s *Store) update(t *tx, id tagger.EntityID, infos []tagger.TagInfo) (bad []error) {
	old, _ := t.Get(id)
	drafts := s.resolver.begin(old)
	changed := false
	for i := range infos {
		info := &infos[i]
		if info.Entity == "" || info.Source == "" {
			bad = append(bad,
				fmt.Errorf("tag info of source %q for entity %q: a name is missing", info.Source,
					info.Entity))
			continue
		}
		at := find(drafts, info.Source)
		switch {
		case info.DeleteEntity:
			if at < 0 || drafts[at].withdrawn {
				continue
			}
			if len(drafts) > 1 && tagless(drafts[at:at+1]) { // nothing has to outlive it
				s.release(&drafts[at])
				drafts = slices.Delete(drafts, at, at+1)
				changed = true
				continue
			}
			drafts[at].withdrawn = true
			drafts[at].expiry = s.graceEnd()
			s.graces.push(drafts[at].expiry, id)
			changed = true
			continue
		case at < 0:
			drafts = append(drafts, draft{source: source{name: unique.Make(info.Source)}})
			at = len(drafts) - 1
			changed = true
		}
		if s.replace(&drafts[at], info, id) {
			changed = true
		}
	}
	s.resolver.drafts = drafts // keep the buffer
	switch {
	case changed:
		s.counts.updated.Add(1)
		s.commit(t, id, old, drafts)
	case len(bad) < len(infos):
		s.counts.unchanged.Add(1)
	}
	return bad
}

// replace makes the draft say what info says and reports whether that is anything new.
func (s *Store) replace(src *draft, info *tagger.TagInfo, id tagger.EntityID) (changed bool) {
	low, c1 := s.list(src.low, info.LowCardTags)
	src.low = low
	standard, c2 := s.list(src.standard, info.StandardTags)
	src.standard = standard
	changed = c1 || c2
	orchestrator, high := src.rest[:src.nOrch], src.rest[src.nOrch:]
	if !s.same(orchestrator, info.OrchestratorCardTags) || !s.same(high, info.HighCardTags) {
		s.resolver.change(src, info.OrchestratorCardTags, info.HighCardTags)
		for i, tag := range src.rest[:src.nOrch] {
			src.rest[i] = s.in.String(tag) // the containers of a replica set share most of them
		}
		s.releaseStrings(orchestrator)
		changed = true
	}
	if src.complete != info.IsComplete {
		src.complete, changed = info.IsComplete, true
	}
	expiry := nanoseconds(info.ExpiryDate)
	if expiry != src.expiry || src.withdrawn {
		src.expiry, src.withdrawn = expiry, false
		changed = true
		if expiry != 0 {
			s.dates.push(expiry, id)
		}
	}
	return changed
}

// same reports whether two lists have the same tags in any order.
func (s *Store) same(a, b []string) bool {
	return len(a) == len(b) && s.in.Sum(a) == s.in.Sum(b)
}

// list returns the interned list of these tags in any order, and gives back the
// reference to have.
func (s *Store) list(have *tagset.List, tags []string) (list *tagset.List, changed bool) {
	if have.Len() == len(tags) && have.Sum() == s.in.Sum(tags) {
		return have, false
	}
	sorted := append(s.resolver.scratch[:0], tags...)
	s.resolver.scratch = sorted
	tagset.Sort(sorted)
	list = s.in.List(sorted)
	s.in.Release(have)
	return list, true
}

func (s *Store) release(src *draft) {
	s.in.Release(src.low)
	s.in.Release(src.standard)
	s.releaseStrings(src.rest[:src.nOrch])
}

func (s *Store) releaseStrings(tags []string) {
	for _, tag := range tags {
		s.in.ReleaseString(tag)
	}
}

// graceEnd returns when the grace time of a source that withdraws now is over.
func (s *Store) graceEnd() int64 {
	now, grace := int64(s.opts.Elapsed()), int64(s.opts.Grace)
	if now > 0 && grace > math.MaxInt64-now {
		return math.MaxInt64 // as late as can be
	}
	return now + grace
}

// commit stores the entity as these drafts make it, or forgets it.
func (s *Store) commit(t *tx, id tagger.EntityID, old *entry, drafts []draft) (kept bool) {
	gone := allWithdrawn(drafts)
	if gone && tagless(drafts) {
		s.forget(t, id, old)
		return false
	}
	if gone && (old == nil || old.tombstone == 0) {
		s.keepTogether(id, drafts)
	}
	e := &entry{complete: allComplete(drafts)}
	e.set, e.standard = s.resolver.resolve(s.in, drafts, old)
	e.sources = s.share(drafts, old)
	if old != nil {
		s.in.Release(old.set.LowList())
		s.unshare(old.sources)
		e.tombstone = old.tombstone
	}
	switch {
	case gone && e.tombstone == 0:
		e.tombstone = s.tombstones.add(id)
	case !gone && e.tombstone != 0:
		e.tombstone = 0
		s.tombstones.count--
	}
	t.Set(id, e)
	if old == nil {
		s.forgotten.remove(id)
	}
	s.handles.show(id, e)
	return true
}

// forget takes an entity out. Its sources have been released, or have no tags.
func (s *Store) forget(t *tx, id tagger.EntityID, old *entry) {
	if old == nil {
		return
	}
	s.in.Release(old.set.LowList())
	s.unshare(old.sources)
	if old.tombstone != 0 {
		s.tombstones.count--
	}
	if old.set.High().Len() > 0 {
		last := *old
		last.tombstone = max(old.tombstone, 1)
		s.handles.show(id, &last)
		s.forgotten.add(id, s.opts.Now()) // first, so that nobody finds it unknown in between
	} else {
		s.handles.show(id, nil)
	}
	t.Delete(id, old)
}

// keepTogether makes all sources of an entity that becomes a tombstone go at once, with
// the last: the tags of a pod that went a minute before its container belong to what is
// kept.
func (s *Store) keepTogether(id tagger.EntityID, drafts []draft) {
	first, last := drafts[0].expiry, drafts[0].expiry
	for i := range drafts {
		first, last = min(first, drafts[i].expiry), max(last, drafts[i].expiry)
	}
	if first == last {
		return
	}
	for i := range drafts {
		drafts[i].expiry = last
	}
	s.graces.push(last, id)
}

// tagless reports whether the sources have no tags.
func tagless(drafts []draft) bool {
	for i := range drafts {
		if drafts[i].low.Len()+len(drafts[i].rest)+drafts[i].standard.Len() > 0 {
			return false
		}
	}
	return true
}

// allComplete reports whether all sources that count say that the entity is complete.
// Those of embedders count where no other is.
func allComplete(drafts []draft) bool {
	own, others := true, true
	decided := false
	for i := range drafts {
		switch src := &drafts[i]; {
		case src.withdrawn:
		case strings.HasPrefix(src.name.Value(), tagger.SourcePrefix):
			decided = true
			own = own && src.complete
		default:
			others = others && src.complete
		}
	}
	if decided {
		return own
	}
	return others
}

func allWithdrawn(drafts []draft) bool {
	for i := range drafts {
		if !drafts[i].withdrawn {
			return false
		}
	}
	return true
}

// Prune takes out what has expired and returns how many entities were forgotten.
func (s *Store) Prune() (forgotten int) {
	var touched []tagger.EntityID
	s.table.Update(func(t *tx) {
		elapsed, now := int64(s.opts.Elapsed()), s.opts.Now().UnixNano()
		over := func(src *source) bool {
			if src.withdrawn {
				return src.expiry < elapsed
			}
			return src.expiry != 0 && src.expiry < now
		}
		take := func(h *expiryHeap, until int64) {
			for len(*h) > 0 && (*h)[0].at < until {
				id := h.pop().id
				if s.expire(t, id, over) {
					forgotten++
				}
				touched = append(touched, id)
			}
		}
		take(&s.graces, elapsed)
		take(&s.dates, now)
		s.limitTombstones(t)
		if len(s.graces)+len(s.dates) > 1024+4*s.table.Len() {
			s.rebuildExpiries()
		}
		s.tombstones.trim(func(old tombstone) bool {
			e, ok := t.Get(old.id)
			return ok && e.tombstone == old.number
		})
	})
	if s.waiters.any() {
		for _, id := range touched {
			s.waiters.wake(id)
		}
	}
	return forgotten
}

// expire takes out the sources that match and reports whether the entity went.
func (s *Store) expire(t *tx, id tagger.EntityID, match func(*source) bool) bool {
	old, ok := t.Get(id)
	if !ok {
		return false
	}
	drafts := s.resolver.begin(old)
	kept := drafts[:0]
	dropped := false
	for _, d := range drafts {
		if match(&d.source) {
			s.release(&d)
			dropped = true
			continue
		}
		kept = append(kept, d)
	}
	if !dropped {
		return false
	}
	s.counts.pruned.Add(1)
	return !s.commit(t, id, old, kept)
}

// limitTombstones lets the oldest tombstones go while there are too many.
func (s *Store) limitTombstones(t *tx) {
	for s.tombstones.count > s.opts.MaxTombstones {
		oldest := s.tombstones.pop()
		if e, ok := t.Get(oldest.id); ok && e.tombstone == oldest.number {
			s.expire(t, oldest.id, func(*source) bool { return true })
		}
	}
}

// Stats are figures about a store.
type Stats struct {
	Bus                        statebus.Stats
	Lists, Strings             int
	Sources                    int // that entities share: what their sources say alike
	Updated, Unchanged, Pruned uint64
	Tombstones                 int // entities whose sources have all withdrawn
	Handles                    int // that somebody holds, or held until the last garbage collection
	// Queries that found nothing, by reason. Those that found something are not counted.
	MissEmpty, MissUnknown, MissExpired uint64
}

// Stats returns figures for status and metrics.
func (s *Store) Stats() Stats {
	st := Stats{
		Bus:     s.table.Stats(),
		Updated: s.counts.updated.Load(), Unchanged: s.counts.unchanged.Load(),
		Pruned:    s.counts.pruned.Load(),
		MissEmpty: s.counts.missEmpty.Load(), MissUnknown: s.counts.missUnknown.Load(),
		MissExpired: s.counts.missExpired.Load(),
	}
	s.table.Update(func(*tx) {
		st.Lists, st.Strings = s.in.Len()
		st.Sources = s.shared.Len()
		st.Tombstones = s.tombstones.count
		st.Handles = len(s.handles)
	})
	return st
}
