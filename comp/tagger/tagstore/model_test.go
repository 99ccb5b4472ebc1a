package tagstore_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// model is the store without any cleverness: what each source says about each entity,
// resolved anew for each question.
type model struct {
	entities   map[tagger.EntityID]*modelEntity
	forgotten  map[tagger.EntityID]bool
	limit      int
	tombstones int // ever made
	last       map[tagger.EntityID]shown
	// How many updates of an entity said something new, and nothing new.
	updated, unchanged uint64
}

// shown is the last state an entity was in, for handles.
type shown struct {
	tags    []string
	version int
}

type modelEntity struct {
	sources   map[string]modelSource
	tombstone int // 0 = alive; the larger, the younger
}

type modelSource struct {
	levels    [3][]string
	standard  []string
	expiry    time.Time
	withdrawn bool
	complete  bool
}

func (m *model) process(infos []tagger.TagInfo, now time.Time) {
	for len(infos) > 0 {
		id, n := infos[0].Entity, 1
		for n < len(infos) && infos[n].Entity == id {
			n++
		}
		e := m.entities[id]
		if e == nil {
			e = &modelEntity{sources: map[string]modelSource{}}
		}
		changed := false
		for _, info := range infos[:n] {
			changed = e.take(info, now) || changed
		}
		if changed {
			m.updated++
		} else {
			m.unchanged++
		}
		m.settle(id, e)
		infos = infos[n:]
	}
	for {
		var oldest tagger.EntityID
		tombstones := 0
		for id, e := range m.entities {
			if e.tombstone == 0 {
				continue
			}
			tombstones++
			if oldest == "" || e.tombstone < m.entities[oldest].tombstone {
				oldest = id
			}
		}
		if tombstones <= m.limit {
			return
		}
		clear(m.entities[oldest].sources)
		m.settle(oldest, m.entities[oldest])
	}
}

// take reports whether the info is anything new. In which order it has the tags is not.
func (e *modelEntity) take(info tagger.TagInfo, now time.Time) bool {
	src, ok := e.sources[info.Source]
	if info.DeleteEntity {
		if ok && !src.withdrawn && src.tagless() && len(e.sources) > 1 {
			delete(e.sources, info.Source) // nothing has to outlive it
			return true
		}
		if ok && !src.withdrawn {
			src.withdrawn, src.expiry = true, now.Add(tagstore.DefaultGrace)
			e.sources[info.Source] = src
			return true
		}
		return false
	}
	for _, tags := range [][]string{info.LowCardTags, info.OrchestratorCardTags,
		info.HighCardTags, info.StandardTags} {
		slices.SortFunc(tags, tagset.Compare)
	}
	said := modelSource{
		levels:   [3][]string{info.LowCardTags, info.OrchestratorCardTags, info.HighCardTags},
		standard: info.StandardTags, expiry: info.ExpiryDate, complete: info.IsComplete,
	}
	e.sources[info.Source] = said
	return !ok || fmt.Sprint(said) != fmt.Sprint(src)
}

func (s *modelSource) tagless() bool {
	return len(s.levels[0])+len(s.levels[1])+len(s.levels[2])+len(s.standard) == 0
}

// gone reports whether all sources have withdrawn.
func (e *modelEntity) gone() bool {
	for _, src := range e.sources {
		if !src.withdrawn {
			return false
		}
	}
	return true
}

// complete is the least of what rollcall's own sources say, or else the others.
func (e *modelEntity) complete() bool {
	own, others := []bool{}, []bool{}
	for name, src := range e.sources {
		switch {
		case src.withdrawn:
		case strings.HasPrefix(name, "workloadmeta-"):
			own = append(own, src.complete)
		default:
			others = append(others, src.complete)
		}
	}
	if len(own) > 0 {
		return !slices.Contains(own, false)
	}
	return !slices.Contains(others, false)
}

// settle stores the entity or forgets it.
func (m *model) settle(id tagger.EntityID, e *modelEntity) {
	levels, _ := e.resolve()
	if e.gone() && len(slices.Concat(levels[0], levels[1], levels[2])) == 0 {
		if m.entities[id] != nil && len(m.last[id].tags) > 0 {
			m.forgotten[id] = true
		}
		delete(m.entities, id)
		return
	}
	m.entities[id] = e
	delete(m.forgotten, id)
	m.last[id] = shown{m.tags(id, tagger.HighCardinality), m.last[id].version + 1}
	if !e.gone() {
		e.tombstone = 0
		return
	}
	if e.tombstone == 0 {
		m.tombstones++
		e.tombstone = m.tombstones
		// All goes together.
		var last time.Time
		for _, src := range e.sources {
			if src.expiry.After(last) {
				last = src.expiry
			}
		}
		for name, src := range e.sources {
			src.expiry = last
			e.sources[name] = src
		}
	}
}

func (m *model) prune(now time.Time) {
	for id, e := range m.entities {
		for name, src := range e.sources {
			if !src.expiry.IsZero() && src.expiry.Before(now) {
				delete(e.sources, name)
			}
		}
		m.settle(id, e)
	}
}

func (m *model) completeness(id tagger.EntityID) tagger.Completeness {
	switch e := m.entities[id]; {
	case e == nil && m.forgotten[id], e != nil && e.tombstone != 0:
		return tagger.Expired
	case e == nil:
		return tagger.Unknown
	case e.complete():
		return tagger.Complete
	}
	return tagger.Partial
}

// resolve is the rule of the documentation, to the letter.
func (e *modelEntity) resolve() (levels [3][]string, standard []string) {
	if e == nil {
		return
	}
	order := slices.SortedFunc(maps.Keys(e.sources), func(a, b string) int {
		return cmp.Or(-cmp.Compare(tagger.SourcePriority(a), tagger.SourcePriority(b)),
			cmp.Compare(a, b))
	})
	insertedBy := map[string]tagger.Priority{}
	for _, name := range order {
		priority := tagger.SourcePriority(name)
		visible := func(tag string) bool {
			by, ok := insertedBy[tagset.Name(tag)]
			return !ok || by == priority
		}
		src := e.sources[name]
		for i, level := range src.levels {
			for _, tag := range level {
				if visible(tag) {
					levels[i] = append(levels[i], tag)
				}
			}
		}
		for _, tag := range src.standard {
			if visible(tag) && !slices.Contains(standard, tag) {
				standard = append(standard, tag)
			}
		}
		for _, level := range src.levels {
			for _, tag := range level {
				if visible(tag) {
					insertedBy[tagset.Name(tag)] = priority
				}
			}
		}
	}
	for _, level := range levels {
		slices.SortStableFunc(level, tagset.Compare)
	}
	slices.SortFunc(standard, tagset.Compare)
	return levels, standard
}

func (m *model) tags(id tagger.EntityID, c tagger.TagCardinality) []string {
	levels, _ := m.entities[id].resolve()
	switch c {
	case tagger.LowCardinality:
		return levels[0]
	case tagger.OrchestratorCardinality:
		return slices.Concat(levels[0], levels[1])
	case tagger.HighCardinality:
		return slices.Concat(levels[0], levels[1], levels[2])
	}
	return nil
}

var (
	modelIDs     = []tagger.EntityID{c1, c2, c3, tagger.Container("c4")}
	modelSources = []string{low, plain, high, higher}
	cardinals    = []tagger.TagCardinality{tagger.LowCardinality, tagger.OrchestratorCardinality,
		tagger.HighCardinality, tagger.NoneCardinality}
)

func drawInfo(t *rapid.T, now time.Time, expiries bool) tagger.TagInfo {
	info := tagger.TagInfo{
		Entity: rapid.SampledFrom(modelIDs).Draw(t,
			"entity"), Source: rapid.SampledFrom(modelSources).Draw(t, "source"),
		IsComplete: rapid.Bool().Draw(t, "complete"),
	}
	tags := func(label string, from ...string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(from), 0, 3).Draw(t, label)
	}
	switch rapid.SampledFrom([]string{"set", "set", "set", "set", "delete", "delete",
		"empty"}).Draw(t, "what") {
	case "delete":
		info.DeleteEntity = true
	case "set":
		info.LowCardTags = tags("low", "env:a", "env:b", "service:a", "x:1", "y:1", "bare")
		info.OrchestratorCardTags = tags("orchestrator", "x:2", "y:2", "pod:1")
		info.HighCardTags = tags("high", "x:3", "z:3", "z:4", "bare")
		for _, tag := range info.LowCardTags {
			if name := tagset.Name(tag); (name == "env" || name == "service") &&
				rapid.IntRange(0, 4).Draw(t, "standard") > 0 {
				info.StandardTags = append(info.StandardTags, tag)
			}
		}
		if expiries && rapid.IntRange(0, 3).Draw(t, "expires") == 0 {
			info.ExpiryDate = now.Add(
				time.Duration(rapid.IntRange(-1, 8).Draw(t, "minutes")) * time.Minute)
		}
	}
	return info
}

// clone keeps the lists of the model apart from those handed to the store.
func clone(infos []tagger.TagInfo) []tagger.TagInfo {
	infos = slices.Clone(infos)
	for i := range infos {
		for _, list := range []*[]string{&infos[i].LowCardTags, &infos[i].OrchestratorCardTags,
			&infos[i].HighCardTags, &infos[i].StandardTags} {
			*list = slices.Clone(*list)
		}
	}
	return infos
}

// follower is a subscriber that keeps what it was told, and minds being told nothing new.
type follower struct {
	c    tagger.TagCardinality
	sub  tagger.Subscription
	view map[tagger.EntityID]string
	bad  []string
}

const lastID = tagger.EntityID("internal://last")

func (f *follower) run(t *testing.T) {
	defer f.sub.Close()
	for b := range f.sub.Bundles(t.Context()) {
		for _, ev := range b.Events {
			before, knew := f.view[ev.ID]
			now := fmt.Sprint(ev.Tags.Slice(), ev.Standard, ev.Completeness)
			switch {
			case ev.ID == lastID:
				return
			case (ev.Type == tagger.EventAdded) == knew, ev.Type == tagger.EventModified &&
				before == now:
				f.bad = append(f.bad,
					fmt.Sprintf("%s %s: %s, before: %s", ev.Type, ev.ID, now, before))
			}
			if ev.Type == tagger.EventDeleted {
				delete(f.view, ev.ID)
			} else {
				f.view[ev.ID] = now
			}
		}
	}
}

// pinned is a handle and what it should answer.
type pinned struct {
	tagger.Handle
	since        int // version of what it shows, at the beginning
	tags         []string
	completeness tagger.Completeness
}

func (p *pinned) follow(m *model) {
	if last := m.last[p.ID()]; m.entities[p.ID()] != nil || last.version > p.since {
		p.tags = last.tags
	}
	p.completeness = m.completeness(p.ID())
}

// Random infos, withdrawals, expiries, prunings and passing of time, against a model
// that follows the documentation to the letter.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.SampledFrom([]int{0, 0, -1, 1, 2}).Draw(rt, "max tombstones")
		m := &model{entities: map[tagger.EntityID]*modelEntity{},
			forgotten: map[tagger.EntityID]bool{}, limit: max(limit,
				0), last: map[tagger.EntityID]shown{}}
		if limit == 0 {
			m.limit = 65536
		}
		now := newClock()
		s := tagstore.New(tagstore.Options{Now: now.Now, Elapsed: now.Elapsed,
			MaxTombstones: limit})
		defer s.Close()
		var work sync.WaitGroup
		var followers []*follower
		var handles []*pinned
		step := func() {
			for _, h := range handles {
				h.follow(m)
			}
		}
		prune := func() {
			before := s.Len()
			if n := s.Prune(); n != before-s.Len() {
				rt.Fatalf("Prune = %d, %d entities went", n, before-s.Len())
			}
			m.prune(now.now)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"process": func(rt *rapid.T) {
				var infos []tagger.TagInfo
				for range rapid.IntRange(1, 4).Draw(rt, "infos") {
					// With a bound, which of two that expire at once goes first is nobody's
					// business.
					infos = append(infos, drawInfo(rt, now.now, limit == 0))
				}
				m.process(clone(infos), now.now)
				process(t, s, infos...)
				step()
			},
			"say it again": func(rt *rapid.T) {
				id := rapid.SampledFrom(modelIDs).Draw(rt, "entity")
				e := m.entities[id]
				if e == nil {
					return
				}
				revision := s.Revision()
				for name, src := range e.sources {
					info := tagger.TagInfo{Entity: id, Source: name, IsComplete: src.complete,
						LowCardTags: src.levels[0], OrchestratorCardTags: src.levels[1],
						HighCardTags: src.levels[2], StandardTags: src.standard,
						ExpiryDate: src.expiry}
					if src.withdrawn {
						info = gone(id, name)
					}
					infos := clone([]tagger.TagInfo{info})
					slices.Reverse(infos[0].LowCardTags)
					slices.Reverse(infos[0].HighCardTags)
					m.process(clone(infos), now.now)
					process(t, s, infos...)
				}
				if r := s.Revision(); r != revision {
					rt.Fatalf("%d changes of %s by what it was before", r-revision, id)
				}
				step()
			},
			"end": func(rt *rapid.T) {
				id := rapid.SampledFrom(modelIDs).Draw(rt, "entity")
				var infos []tagger.TagInfo
				for _, name := range modelSources {
					infos = append(infos, gone(id, name))
				}
				m.process(infos, now.now)
				process(t, s, infos...)
				step()
			},
			"advance": func(rt *rapid.T) {
				now.advance(time.Duration(rapid.IntRange(0, 7).Draw(rt, "minutes")) * time.Minute)
				prune()
				step()
			},
			"handle": func(rt *rapid.T) {
				h := &pinned{Handle: s.Handle(rapid.SampledFrom(modelIDs).Draw(rt, "entity"))}
				for _, other := range handles {
					if other.Handle == h.Handle {
						return // shared, and what it shows may be older
					}
				}
				h.since = m.last[h.ID()].version
				handles = append(handles, h)
				step()
			},
			"subscribe": func(rt *rapid.T) {
				if len(followers) == 4 {
					return
				}
				f := &follower{c: cardinals[len(followers)], view: map[tagger.EntityID]string{}}
				f.sub = s.Subscribe("model", &tagger.Filter{Cardinality: f.c})
				followers = append(followers, f)
				work.Go(func() { f.run(t) })
			},
			"": func(rt *rapid.T) {
				check(rt, s, m)
				for _, h := range handles {
					if got := h.Tags(tagger.HighCardinality).Slice(); !slices.Equal(got, h.tags) ||
						h.Completeness() != h.completeness {
						rt.Fatalf("handle on %s: %q, %s; want %q, %s", h.ID(), got,
							h.Completeness(), h.tags, h.completeness)
					}
				}
			},
		})
		process(t, s, lowTags(lastID, low, "last"))
		work.Wait()
		for _, f := range followers {
			want := map[tagger.EntityID]string{}
			for id, e := range m.entities {
				_, standard := e.resolve()
				want[id] = fmt.Sprint(m.tags(id, f.c), standard, m.completeness(id))
			}
			if !maps.Equal(f.view, want) || len(f.bad) > 0 {
				rt.Fatalf("a subscriber at %s ends with %v\nwant %v\nnot due: %q", f.c, f.view,
					want, f.bad)
			}
		}
		// Nothing that went leaves anything behind.
		for _, id := range append(modelIDs, lastID) {
			for _, source := range modelSources {
				process(t, s, gone(id, source))
			}
		}
		now.advance(24 * time.Hour)
		s.Prune()
		if st := s.Stats(); s.Len() != 0 || st.Lists != 0 || st.Strings != 0 ||
			st.Tombstones != 0 ||
			st.Sources != 0 {
			rt.Fatalf("in the end: %d entities, %+v; want none", s.Len(), st)
		}
	})
}

func check(t *rapid.T, s *tagstore.Store, m *model) {
	for _, id := range modelIDs {
		e := m.entities[id]
		known := m.completeness(id)
		for _, c := range cardinals {
			tags, err := s.Tags(id, c)
			_, got, lookupErr := s.Lookup(id, c)
			if want := m.tags(id, c); !slices.Equal(tags.Slice(), want) || got != known ||
				s.Completeness(id) != known {
				t.Fatalf("%s at %s: %q, %s; want %q, %s", id, c, tags.Slice(), got, want, known)
			}
			if (err == nil) != (e != nil) || !errors.Is(lookupErr, err) &&
				(lookupErr == nil) != (err == nil) ||
				err != nil && errors.Is(err, tagger.ErrExpired) != (known == tagger.Expired) {
				t.Fatalf("%s at %s: errors %v and %v, completeness %s", id, c, err, lookupErr,
					known)
			}
		}
		levels, standard := e.resolve()
		found, ok := s.Find(id, tagger.HighCardinality)
		bare, _ := s.TagsOf(id.Prefix(), id.ID(), tagger.HighCardinality)
		all := slices.Concat(levels[:]...)
		if ok != (e != nil) || !slices.Equal(found.Slice(), all) ||
			!slices.Equal(bare.Slice(), all) {
			t.Fatalf("%s: Find = %q, %t, TagsOf = %q; want %q", id, found.Slice(), ok,
				bare.Slice(), all)
		}
		entity, err := s.GetEntity(id)
		if err != nil {
			continue
		}
		if !slices.Equal(entity.LowCardTags, levels[0]) ||
			!slices.Equal(entity.OrchestratorCardTags, levels[1]) ||
			!slices.Equal(entity.HighCardTags, levels[2]) ||
			!slices.Equal(entity.StandardTags, standard) || len(entity.Sources) != len(e.sources) {
			t.Fatalf("GetEntity(%s) = %+v\nwant %q, standard %q, %d sources", id, entity, levels,
				standard, len(e.sources))
		}
		for _, got := range entity.Sources {
			want := e.sources[got.Source]
			for i, tags := range [][]string{got.Low, got.Orchestrator, got.High} {
				said := slices.SortedFunc(slices.Values(want.levels[i]), tagset.Compare)
				if !slices.Equal(tags, said) {
					t.Fatalf("GetEntity(%s): %s said %q at level %d, want %q", id, got.Source,
						tags, i, said)
				}
			}
		}
	}
	tombstones := 0
	for _, e := range m.entities {
		if e.tombstone != 0 {
			tombstones++
		}
	}
	list := s.List()
	if st := s.Stats(); st.Updated != m.updated || st.Unchanged != m.unchanged {
		t.Fatalf("%d updates and %d of nothing new; want %d, %d", st.Updated, st.Unchanged,
			m.updated, m.unchanged)
	}
	if st := s.Stats(); st.Tombstones != tombstones || s.Len() != len(m.entities) ||
		len(list) != len(m.entities) ||
		!slices.IsSortedFunc(list,
			func(a, b tagger.Entity) int { return cmp.Compare(a.ID, b.ID) }) {
		t.Fatalf("%d entities, %d listed, %d tombstones; want %d, %d", s.Len(), len(list),
			st.Tombstones, len(m.entities), tombstones)
	}
}
