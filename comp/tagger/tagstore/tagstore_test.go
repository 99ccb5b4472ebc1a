package tagstore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
)

var c1, c2, c3 = tagger.Container("c1"), tagger.Container("c2"), tagger.Container("c3")

func wantTags(t *testing.T, s *tagstore.Store, id tagger.EntityID, want ...string) {
	t.Helper()
	got, err := s.Tags(id, tagger.HighCardinality)
	if err != nil || !slices.Equal(got.Slice(), want) {
		t.Errorf("Tags(%s) = %q, %v; want %q", id, got.Slice(), err, want)
	}
}

func wantMiss(t *testing.T, s *tagstore.Store, id tagger.EntityID, c tagger.TagCardinality,
	want error) {
	t.Helper()
	if _, err := s.Tags(id, c); !errors.Is(err, want) {
		t.Errorf("Tags(%q, %d) error = %v, want %v", id, c, err, want)
	}
	if _, _, err := s.Lookup(id, c); !errors.Is(err, want) {
		t.Errorf("Lookup(%q, %d) error = %v, want %v", id, c, err, want)
	}
}

func TestHigherPriorityHidesANameAtAnyCardinality(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{})
	process(t, s,
		tagger.TagInfo{Source: low, Entity: c1, LowCardTags: []string{"env:runtime", "image:a"},
			HighCardTags: []string{"id:1", "team:x"}, StandardTags: []string{"env:runtime"}},
		tagger.TagInfo{Source: plain, Entity: c1, LowCardTags: []string{"image:a", "image:b"}},
		tagger.TagInfo{Source: high, Entity: c1, LowCardTags: []string{"env:pod", "env:pod"},
			OrchestratorCardTags: []string{"team:y"}, StandardTags: []string{"env:pod", "env:pod"}})
	// Sources of equal priority keep all they say, doubles included.
	wantTags(t, s, c1, "env:pod", "env:pod", "image:a", "image:a", "image:b", "team:y", "id:1")
	if got, err := s.Standard(c1); err != nil || !slices.Equal(got, []string{"env:pod"}) {
		t.Errorf("Standard = %q, %v; want env:pod once", got, err)
	}
	for c, want := range map[tagger.TagCardinality]int{
		tagger.LowCardinality: 5, tagger.OrchestratorCardinality: 6, tagger.HighCardinality: 7,
		tagger.NoneCardinality: 0,
	} {
		if tags, err := s.Tags(c1, c); tags.Len() != want || err != nil {
			t.Errorf("Tags(%s) = %d tags, %v; want %d", c, tags.Len(), err, want)
		}
	}
	e, err := s.GetEntity(c1)
	if err != nil || len(e.Sources) != 3 || e.Sources[0].Source != plain ||
		len(e.Sources[1].All()) != 4 {
		t.Errorf("GetEntity = %+v, %v", e, err)
	}
}

func TestWithdrawnTagsStayForTheGraceTime(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{})
	process(t, s, lowTags(c1, low, "a:1"), lowTags(c1, high, "b:1"))
	process(t, s, gone(c1, high), gone(c1, "nobody"), gone(c2, low))
	clock.advance(tagstore.DefaultGrace)
	if n := s.Prune(); n != 0 {
		t.Errorf("Prune at the very end of the grace time = %d", n)
	}
	wantTags(t, s, c1, "a:1", "b:1")
	clock.advance(1)
	if n := s.Prune(); n != 0 {
		t.Errorf("Prune = %d entities, want only a source to go", n)
	}
	wantTags(t, s, c1, "a:1")
	if c := s.Completeness(c1); c != tagger.Complete {
		t.Errorf("completeness = %s while a source remains", c)
	}
	process(t, s, gone(c1, low))
	if c := s.Completeness(c1); c != tagger.Expired {
		t.Errorf("completeness of a tombstone = %s", c)
	}
	until, ok := s.Withdrawn(c1)
	if !ok || !until.Equal(clock.now.Add(tagstore.DefaultGrace)) {
		t.Errorf("Withdrawn = %s, %v", until, ok)
	}
	wantTags(t, s, c1, "a:1")
	clock.advance(tagstore.DefaultGrace + 1)
	if n := s.Prune(); n != 1 || s.Len() != 0 {
		t.Errorf("Prune = %d, %d entities left", n, s.Len())
	}
	wantMiss(t, s, c1, tagger.LowCardinality, tagger.ErrExpired)
}

func TestNewReportCancelsTheWithdrawal(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{})
	process(t, s, lowTags(c1, low, "a:1"))
	process(t, s, gone(c1, low))
	process(t, s, lowTags(c1, low, "a:1"))
	if st := s.Stats(); st.Tombstones != 0 || s.Completeness(c1) != tagger.Complete {
		t.Errorf("%d tombstones, %s", st.Tombstones, s.Completeness(c1))
	}
	clock.advance(time.Hour)
	s.Prune()
	wantTags(t, s, c1, "a:1")
}

func TestExpiryDates(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{})
	at := func(id tagger.EntityID, when time.Time) tagger.TagInfo {
		info := lowTags(id, low, "a:1")
		info.ExpiryDate = when
		return info
	}
	// Dates that nanoseconds can hardly count, or no longer.
	const most = math.MaxInt64 / int64(time.Second)
	past := []time.Time{time.Date(1815, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(-1, 0),
		time.Unix(0, 0), time.Unix(0, 1), time.Unix(1, 0)}
	never := []time.Time{time.Unix(most-1, 0), time.Unix(most, 0), time.Unix(most, 999_999_999),
		time.Unix(most+1, 0)}
	for i, when := range slices.Concat(past, never) {
		process(t, s, at(tagger.KubernetesPod(fmt.Sprint(i)), when))
	}
	if n := s.Prune(); n != len(past) || s.Len() != len(never) {
		t.Errorf("Prune = %d and leaves %d, want those to go that have a date in the past", n,
			s.Len())
	}
	process(t, s, at(c1, clock.now.Add(time.Second)),
		at(c2, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	process(t, s, at(c1, clock.now.Add(3*time.Second))) // renewed
	clock.advance(2 * time.Second)
	s.Prune()
	wantTags(t, s, c1, "a:1")
	clock.advance(2 * time.Second)
	s.Prune()
	wantMiss(t, s, c1, tagger.LowCardinality, tagger.ErrExpired)
	wantTags(t, s, c2, "a:1") // "never" is a date, too
}

// wantNoGrowth fails if doing something 20 times leaves more than a megabyte behind.
func wantNoGrowth(t *testing.T, what func()) {
	t.Helper()
	what()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 20 {
		what()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

func TestRenewedExpiryDatesDoNotGather(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{})
	info := lowTags(c1, low, "a:1")
	info.ExpiryDate = clock.now.Add(time.Hour)
	wantNoGrowth(t, func() {
		for range 5000 {
			info.ExpiryDate = info.ExpiryDate.Add(1)
			process(t, s, info)
		}
		s.Prune()
	})
	clock.advance(2 * time.Hour)
	if n := s.Prune(); n != 1 {
		t.Errorf("Prune = %d, want 1", n)
	}
}

func TestTombstonesThatComeBackDoNotGather(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{})
	wantNoGrowth(t, func() {
		for range 5000 {
			process(t, s, lowTags(c1, low, "a:1"))
			process(t, s, gone(c1, low))
		}
		s.Prune()
	})
	wantTags(t, s, c1, "a:1")
}

func TestKnownWithoutTags(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{})
	process(t, s, tagger.TagInfo{Source: low, Entity: c2, IsComplete: true})
	wantTags(t, s, c2)
	if c := s.Completeness(c2); c != tagger.Complete {
		t.Errorf("an entity without tags is %s", c)
	}
	process(t, s, lowTags(c1, low, "a:1"), lowTags(c1, high, "b:1"))
	process(t, s, tagger.TagInfo{Source: low, Entity: c1, IsComplete: true})
	wantTags(t, s, c1, "b:1")
	process(t, s, tagger.TagInfo{Source: high, Entity: c1})
	wantTags(t, s, c1)

	// There is nothing to keep of it for late telemetry, whatever was known once.
	process(t, s, lowTags(c3, low, "a:1"))
	process(t, s, gone(c3, low))
	clock.advance(time.Hour)
	s.Prune()
	process(t, s, lowTags(c3, low))
	process(t, s, gone(c2, low), gone(c1, low), gone(c1, high), gone(c3, low))
	wantMiss(t, s, c2, tagger.LowCardinality, tagger.ErrUnknown)
	wantMiss(t, s, c3, tagger.LowCardinality, tagger.ErrUnknown)
	wantMiss(t, s, c1, tagger.LowCardinality, tagger.ErrUnknown)
	clock.advance(time.Hour)
	if n := s.Prune(); n != 0 || s.Len() != 0 || s.Stats().Tombstones != 0 {
		t.Errorf("%d pruned, %d entities left, %+v", n, s.Len(), s.Stats())
	}
}

func TestEntityIsAsCompleteAsItsLeastCompleteSource(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{})
	want := func(step string, want tagger.Completeness) {
		t.Helper()
		if got := s.Completeness(c1); got != want {
			t.Errorf("%s: %s, want %s", step, got, want)
		}
	}
	info := func(source string, complete bool) tagger.TagInfo {
		return tagger.TagInfo{Source: source, Entity: c1, LowCardTags: []string{source + ":1"},
			IsComplete: complete}
	}
	process(t, s, info(plain, false))
	want("nobody else speaks of it", tagger.Partial)
	process(t, s, info(low, true))
	want("an embedder's source says nothing", tagger.Complete)
	process(t, s, info(high, false))
	want("the pod is partial", tagger.Partial)
	process(t, s, info(low, true), info(plain, true))
	want("whoever speaks last", tagger.Partial)
	process(t, s, gone(c1, high))
	want("a source that has withdrawn says nothing", tagger.Complete)
	process(t, s, gone(c1, low))
	want("the embedder's alone", tagger.Complete)
}

func TestTombstoneKeepsTheWholeSet(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{})
	process(t, s, lowTags(c1, low, "a:1"), lowTags(c1, high, "b:1"))
	process(t, s, gone(c1, high))
	clock.advance(tagstore.DefaultGrace - time.Minute)
	process(t, s, gone(c1, low))
	clock.advance(tagstore.DefaultGrace)
	s.Prune()
	wantTags(t, s, c1, "a:1", "b:1")
	clock.advance(1)
	if n := s.Prune(); n != 1 {
		t.Errorf("Prune = %d after the grace time", n)
	}
	wantMiss(t, s, c1, tagger.LowCardinality, tagger.ErrExpired)
}

func TestGraceIsAsLongAsItIs(t *testing.T) {
	for _, grace := range []time.Duration{200 * 365 * 24 * time.Hour, math.MaxInt64} {
		s, clock := newStore(t, tagstore.Options{Grace: grace})
		clock.advance(time.Hour)
		process(t, s, lowTags(c1, low, "a:1"))
		process(t, s, gone(c1, low))
		clock.advance(100 * 365 * 24 * time.Hour)
		if n := s.Prune(); n != 0 {
			t.Errorf("grace %s: forgotten at the first Prune", grace)
		}
		if until, ok := s.Withdrawn(c1); !ok || until.Before(clock.now) {
			t.Errorf("grace %s: withdrawn until %s, %t", grace, until, ok)
		}
	}
}

func TestStepsOfTheWallClockDoNotMatter(t *testing.T) {
	var step time.Duration
	now := func() time.Time { return time.Now().Round(0).Add(step) } // without monotonic reading
	s := tagstore.New(tagstore.Options{Now: now})
	defer s.Close()
	for i, from := range []time.Duration{0, 56 * 365 * 24 * time.Hour, -24 * time.Hour} {
		id := tagger.EntityID(fmt.Sprintf("container_id://c%d", i))
		step = from
		process(t, s, lowTags(id, low, "a:1"), gone(id, low))
		for _, step = range []time.Duration{56 * 365 * 24 * time.Hour, -24 * time.Hour} {
			if n := s.Prune(); n != 0 {
				t.Errorf("a step from %s to %s: forgotten", from, step)
			}
			if until, ok := s.Withdrawn(id); !ok || until.Sub(now()) > tagstore.DefaultGrace {
				t.Errorf("a step from %s to %s: withdrawn until %s, %t", from, step, until, ok)
			}
		}
	}
}

func TestManyTagsCostWhatTheyAre(t *testing.T) {
	tags := func(name string, n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("%s_%06d:v", name, i)
		}
		return list
	}
	cost := func(n int) time.Duration {
		s, _ := newStore(t, tagstore.Options{})
		container, pod := tags("label", n), tags("annotation", n)
		began := time.Now()
		process(t, s, tagger.TagInfo{Source: low, Entity: c1, LowCardTags: container,
			StandardTags: container},
			tagger.TagInfo{Source: plain, Entity: c1, StandardTags: container[:n/2]},
			tagger.TagInfo{Source: high, Entity: c1, HighCardTags: pod, StandardTags: pod})
		return time.Since(began)
	}
	cost(100)
	small, large := time.Hour, time.Hour
	for range 20 { // others use the machine, too
		small, large = min(small, cost(1000)), min(large, cost(32_000))
		if large <= 32*10*small {
			return
		}
	}
	t.Errorf("%s for 1000 tags of two sources, %s for 32000", small, large)
}

func TestInvalidInfosAreNamedAndTheRestApplied(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{})
	err := s.Process([]tagger.TagInfo{lowTags("", low, "a:1"), lowTags(c1, low, "a:1"),
		lowTags(c2, "", "a:1")})
	if err == nil || !strings.Contains(err.Error(), low) ||
		!strings.Contains(err.Error(), string(c2)) {
		t.Errorf("error = %v, want both named", err)
	}
	if s.Len() != 1 || s.Stats().Unchanged != 0 {
		t.Errorf("%d entities, %d unchanged", s.Len(), s.Stats().Unchanged)
	}
}

func TestMissesSayWhy(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{Grace: -1})
	process(t, s, lowTags(c1, low, "a:1"), lowTags(c2, low, "a:1"))
	process(t, s, gone(c1, low))
	if n := s.Prune(); n != 1 {
		t.Errorf("without a grace time, Prune at once = %d", n)
	}
	clock.advance(1)
	wantMiss(t, s, c1, tagger.LowCardinality, tagger.ErrExpired)
	wantMiss(t, s, c3, tagger.LowCardinality, tagger.ErrUnknown)
	wantMiss(t, s, "", tagger.LowCardinality, tagger.ErrEmptyEntityID)
	wantMiss(t, s, c2, 200, tagger.ErrCardinality)
	wantMiss(t, s, c3, 200, tagger.ErrCardinality)
	if _, err := s.Standard(c3); !errors.Is(err, tagger.ErrUnknown) {
		t.Errorf("Standard of the unknown: %v", err)
	}
	if _, err := s.GetEntity(c1); !errors.Is(err, tagger.ErrExpired) {
		t.Errorf("GetEntity of the expired: %v", err)
	}
	if st := s.Stats(); st.MissExpired != 3 || st.MissUnknown != 3 || st.MissEmpty != 2 {
		t.Errorf("counted misses = %+v", st)
	}
	if _, ok := s.Find(c3, tagger.LowCardinality); ok || s.Stats().MissUnknown != 3 {
		t.Error("Find counts, or finds what is not there")
	}
}

func TestOnlySoManyAreRememberedAsForgotten(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{Grace: -1, MaxForgotten: 2})
	comeAndGo := func(ids ...tagger.EntityID) {
		for _, id := range ids {
			process(t, s, lowTags(id, low, "a:1"))
			process(t, s, gone(id, low))
			s.Prune()
		}
	}
	comeAndGo(c1, c2, c3)
	wantMiss(t, s, c1, tagger.LowCardinality, tagger.ErrUnknown)
	wantMiss(t, s, c2, tagger.LowCardinality, tagger.ErrExpired)
	comeAndGo(c3, c3) // again and again: its older entries do not make it unknown
	wantMiss(t, s, c3, tagger.LowCardinality, tagger.ErrExpired)
	process(t, s, lowTags(c3, low, "a:1"))
	wantTags(t, s, c3, "a:1")
}

func TestTombstonesAreBounded(t *testing.T) {
	c4 := tagger.Container("c4")
	all := []tagger.EntityID{c1, c2, c3, c4}
	for _, c := range []struct {
		limit int
		three []tagger.EntityID // that are kept of the first three that die, in this order
		four  []tagger.EntityID // and when the last dies
	}{
		{0, []tagger.EntityID{c2, c1, c3}, all},
		{2, []tagger.EntityID{c1, c3}, []tagger.EntityID{c3, c4}},
		{-1, nil, nil},
	} {
		s, _ := newStore(t, tagstore.Options{MaxTombstones: c.limit})
		want := func(step string, kept []tagger.EntityID) {
			t.Helper()
			if n := s.Prune(); n != 0 {
				t.Errorf("limit %d, %s: Prune = %d without any time", c.limit, step, n)
			}
			if st := s.Stats(); st.Tombstones != len(kept) {
				t.Errorf("limit %d, %s: %d tombstones, want %d", c.limit, step, st.Tombstones,
					len(kept))
			}
			for _, id := range kept {
				wantTags(t, s, id, "a:1")
			}
		}
		die := func(ids ...tagger.EntityID) {
			for _, id := range ids {
				process(t, s, lowTags(id, low, "a:1"))
				process(t, s, gone(id, low))
			}
		}
		// The first one comes back, so that it is younger than the second when it dies again.
		die(c1)
		process(t, s, lowTags(c1, low, "a:1"))
		die(c2, c1)
		if c.limit >= 0 {
			want("two have died", []tagger.EntityID{c2, c1})
		}
		die(c3)
		want("three have died", c.three)
		die(c4)
		want("four have died", c.four)
		for _, id := range all {
			if !slices.Contains(c.four, id) {
				wantMiss(t, s, id, tagger.LowCardinality, tagger.ErrExpired)
			}
		}
	}
}

func TestPruneHoldsToTheBoundToo(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{MaxTombstones: -1})
	expiring := lowTags(c1, plain, "b:1")
	expiring.ExpiryDate = clock.now.Add(time.Second)
	process(t, s, lowTags(c1, low, "a:1"), expiring)
	process(t, s, gone(c1, low)) // the other one is still there
	clock.advance(2 * time.Second)
	if n := s.Prune(); s.Len() != 0 {
		t.Errorf("Prune = %d and left %d entities, of which none is alive", n, s.Len())
	}
}

func TestHandle(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{})
	h := s.Handle(c1)
	expect := func(step string, want tagger.Completeness, tags ...string) {
		t.Helper()
		if got := h.Tags(tagger.HighCardinality).Slice(); h.Completeness() != want ||
			!slices.Equal(got, tags) {
			t.Errorf("%s: %s %q, want %s %q", step, h.Completeness(), got, want, tags)
		}
	}
	expect("before", tagger.Unknown)
	process(t, s, tagger.TagInfo{Source: low, Entity: c1, LowCardTags: []string{"a:1"}})
	expect("it appears", tagger.Partial, "a:1")
	process(t, s, lowTags(c1, low, "a:2"))
	expect("it changes", tagger.Complete, "a:2")
	process(t, s, gone(c1, low))
	expect("it goes", tagger.Expired, "a:2")
	clock.advance(time.Hour)
	s.Prune()
	expect("it is forgotten", tagger.Expired, "a:2")
	if other := s.Handle(c1); other != h {
		t.Error("two handles on one entity")
	}
	process(t, s, lowTags(c1, low, "a:3"))
	expect("it is created again", tagger.Complete, "a:3")
	if h.ID() != c1 || h.Tags(200).Len() != 0 {
		t.Errorf("ID = %s, tags at an invalid cardinality: %v", h.ID(), h.Tags(200))
	}

	process(t, s, lowTags(c2, low, "a:1"))
	process(t, s, gone(c2, low))
	clock.advance(time.Hour)
	s.Prune()
	if late := s.Handle(c2); late.Completeness() != tagger.Expired ||
		late.Tags(tagger.LowCardinality).Len() != 0 {
		t.Errorf("a handle on what is forgotten: %s", late.Completeness())
	}
}

func TestDroppedHandlesAreCollected(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{})
	kept := s.Handle(c1)
	for i := range 1000 {
		s.Handle(tagger.Container(fmt.Sprint(i)))
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		runtime.GC()
		// clean-ups run on a goroutine of the runtime, which no bubble holds
		time.Sleep(time.Millisecond)
		if s.Stats().Handles == 1 {
			break
		}
	}
	if n := s.Stats().Handles; n != 1 {
		t.Errorf("%d handles, want the one that is held", n)
	}
	runtime.KeepAlive(kept)
}

func TestSubscribersHearOnlyWhatTheySee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tagstore.New(tagstore.Options{Grace: -1})
		defer s.Close()
		pod := tagger.KubernetesPod("p")
		process(t, s, lowTags(c1, low, "a:1"), lowTags(pod, high, "p:1"))
		only := func(c tagger.TagCardinality) *tagger.Filter {
			return &tagger.Filter{Prefixes: []string{tagger.PrefixContainer}, Cardinality: c}
		}
		none, lows := record(t, s, only(tagger.NoneCardinality)), record(t, s,
			only(tagger.LowCardinality))
		orchs, highs := record(t, s, only(tagger.OrchestratorCardinality)), record(t,
			s, only(tagger.HighCardinality))
		expect := func(step string, n, l, o, h string) {
			t.Helper()
			for r, want := range map[*recorder]string{none: n, lows: l, orchs: o, highs: h} {
				if want == "" {
					r.want(t, step)
				} else {
					r.want(t, step, "|", want)
				}
			}
		}
		expect("snapshot", "added c1 [] [] complete", "added c1 [a:1] [] complete",
			"added c1 [a:1] [] complete", "added c1 [a:1] [] complete")
		info := tagger.TagInfo{Source: low, Entity: c1, LowCardTags: []string{"a:1"},
			HighCardTags: []string{"h:1"}, IsComplete: true}
		process(t, s, info)
		expect("a high tag", "", "", "", "modified c1 [a:1 h:1] [] complete")
		info.OrchestratorCardTags = []string{"o:1"}
		process(t, s, info)
		expect("an orchestrator tag", "", "", "modified c1 [a:1 o:1] [] complete",
			"modified c1 [a:1 o:1 h:1] [] complete")
		process(t, s, info, lowTags(pod, high, "p:2"))
		expect("nothing new, and another prefix", "", "", "", "")
		info.LowCardTags = []string{"a:2"}
		process(t, s, info)
		expect("a low tag", "", "modified c1 [a:2] [] complete",
			"modified c1 [a:2 o:1] [] complete", "modified c1 [a:2 o:1 h:1] [] complete")
		process(t, s, gone(c1, low))
		expect("withdrawn", "modified c1 [] [] expired", "modified c1 [a:2] [] expired",
			"modified c1 [a:2 o:1] [] expired", "modified c1 [a:2 o:1 h:1] [] expired")
		s.Prune()
		expect("forgotten", "deleted c1 [] [] expired", "deleted c1 [a:2] [] expired",
			"deleted c1 [a:2 o:1] [] expired", "deleted c1 [a:2 o:1 h:1] [] expired")
		process(t, s, lowTags(c1, low, "a:3"))
		expect("again", "added c1 [] [] complete", "added c1 [a:3] [] complete",
			"added c1 [a:3] [] complete", "added c1 [a:3] [] complete")
		record(t, s, &tagger.Filter{Prefixes: []string{"gpu"}}).want(t, "an empty snapshot", "|")
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tagstore.New(tagstore.Options{})
		defer s.Close()
		wait := func(want tagger.Completeness) chan error {
			done := make(chan error, 1)
			go func() { done <- s.Wait(t.Context(), c1, want) }()
			return done
		}
		running := func(done chan error) bool {
			synctest.Wait()
			return len(done) == 0
		}
		partial, complete := wait(tagger.Partial), wait(tagger.Complete)
		process(t, s, lowTags(c2, low, "a:1"))
		if !running(partial) {
			t.Error("woken by another entity")
		}
		process(t, s, tagger.TagInfo{Source: low, Entity: c1, LowCardTags: []string{"a:1"}})
		if running(partial) || !running(complete) {
			t.Error("partial tags: want one to return and one to wait")
		}
		process(t, s, gone(c1, low))
		again := wait(tagger.Partial)
		if !running(again) {
			t.Error("a tombstone is taken for alive")
		}
		process(t, s, lowTags(c1, low, "a:1"))
		for _, done := range []chan error{partial, complete, again} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Wait(ctx, c3, tagger.Partial); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v, want the end of the context", err)
		}
	})
}

func TestWaitsInVainDoNotGather(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	wantNoGrowth(t, func() {
		for range 5000 {
			n++
			id := tagger.Container(fmt.Sprint(n))
			if err := s.Wait(ctx, id, tagger.Partial); !errors.Is(err, context.Canceled) {
				t.Fatalf("Wait = %v, want the end of the context", err)
			}
		}
	})
}

func TestQueriesDoNotAllocate(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{})
	process(t, s, standardInfos(1, 1)...)
	id := standardInfos(1, 1)[0].Entity
	h := s.Handle(id)
	for name, query := range map[string]func(){
		"Tags":        func() { _, _ = s.Tags(id, tagger.HighCardinality) },
		"TagsOf":      func() { _, _ = s.TagsOf(id.Prefix(), id.ID(), tagger.HighCardinality) },
		"TagsOf none": func() { _, _ = s.TagsOf(id.Prefix(), id.ID(), tagger.NoneCardinality) },
		"Find":        func() { _, _ = s.Find(id, tagger.OrchestratorCardinality) },
		"Find a miss": func() { _, _ = s.Find(c3, tagger.LowCardinality) },
		"Lookup":      func() { _, _, _ = s.Lookup(id, tagger.HighCardinality) },
		"Standard":    func() { _, _ = s.Standard(id) },
		"Handle.Tags": func() { h.Tags(tagger.HighCardinality) },
	} {
		if n := testing.AllocsPerRun(100, query); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestReadersSeeWholeStatesWhileAWriterRuns(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{MaxTombstones: 1})
	both := func(n int) []tagger.TagInfo {
		tag := fmt.Sprint(":", n)
		return []tagger.TagInfo{{Source: low, Entity: c1, LowCardTags: []string{"a" + tag},
			HighCardTags: []string{"b" + tag}, IsComplete: true}}
	}
	process(t, s, both(0)...)
	h := s.Handle(c1)
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				tags, _, err := s.Lookup(c1, tagger.HighCardinality)
				if err != nil && !errors.Is(err, tagger.ErrExpired) &&
					!errors.Is(err, tagger.ErrUnknown) {
					t.Error(err)
				}
				for _, tags := range [][]string{tags.Slice(),
					h.Tags(tagger.HighCardinality).Slice()} {
					if len(tags) == 2 && tags[0][1:] != tags[1][1:] || len(tags) == 1 {
						t.Errorf("half of one state and half of another: %q", tags)
					}
				}
				_ = s.List()
				_ = s.Handle(c2)
			}
		})
	}
	for i := range 3000 {
		process(t, s, both(i)...)
		if i%7 == 0 {
			process(t, s, gone(c1, low))
			clock.advance(time.Hour)
			s.Prune()
		}
	}
	close(stop)
	readers.Wait()
}

func TestTagsOfABareID(t *testing.T) {
	s := tagstore.New(tagstore.Options{})
	id := strings.Repeat("0123456789abcdef", 4)
	for _, id := range []string{id, strings.Repeat(id, 5)} {
		if err := s.Process([]tagger.TagInfo{{Source: "s", Entity: tagger.Container(id),
			HighCardTags: []string{"a:" + id}}}); err != nil {
			t.Fatal(err)
		}
		tags, err := s.TagsOf(tagger.PrefixContainer, id, tagger.HighCardinality)
		if err != nil || !slices.Equal(tags.Slice(), []string{"a:" + id}) {
			t.Errorf("TagsOf(%s) = %q, %v", id, tags.Slice(), err)
		}
	}
	for _, id := range []tagger.EntityID{"crd://a", "a:b://c", "a://b://c", "://", "a://a", "b://b",
		"container_id://://", "container_id:/x", "plain", ":"} {
		process(t, s, lowTags(id, low, "is:"+string(id)))
	}
	for _, c := range [][2]string{{"crd", "a"}, {"a:b", "c"}, {"a", "b://c"}, {"a://b", "c"},
		{"a", "a"}, {"b", "b"}, {"", ""}, {"container_id", "://"}} {
		tags, err := s.TagsOf(c[0], c[1], tagger.LowCardinality)
		want := "is:" + c[0] + "://" + c[1]
		if err != nil || !slices.Equal(tags.Slice(), []string{want}) {
			t.Errorf("TagsOf(%q) = %q, %v; want %s", c, tags.Slice(), err, want)
		}
		wantTags(t, s, tagger.EntityID(c[0]+"://"+c[1]), want)
	}
	wantTags(t, s, "plain", "is:plain")
	wantTags(t, s, ":", "is::")
	wantTags(t, s, "container_id:/x", "is:container_id:/x")
	for _, c := range []struct {
		prefix, id string
		card       tagger.TagCardinality
		want       error
	}{
		{tagger.PrefixContainer, "", tagger.HighCardinality, tagger.ErrEmptyEntityID},
		{tagger.PrefixContainer, "x", tagger.HighCardinality, tagger.ErrUnknown},
		{"no such", id, tagger.HighCardinality, tagger.ErrUnknown},
		{"container_ix", id, tagger.HighCardinality, tagger.ErrUnknown},
		{tagger.PrefixContainer, id[1:], tagger.HighCardinality, tagger.ErrUnknown},
		{tagger.PrefixContainer, id, 99, tagger.ErrCardinality},
	} {
		if _, err := s.TagsOf(c.prefix, c.id, c.card); !errors.Is(err, c.want) {
			t.Errorf("TagsOf(%q, %q, %d): %v, want %v", c.prefix, c.id, c.card, err, c.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		_, _ = s.TagsOf(tagger.PrefixContainer, id, tagger.HighCardinality)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The containers of a deployment say the same but for a few strings of their own: what is the
// same is stored once, what goes leaves nothing behind.
func TestContainersOfADeploymentShareTheirSources(t *testing.T) {
	s, clock := newStore(t, tagstore.Options{})
	for i := range 20 { // two deployments
		process(t, s, standardInfos(i, 0)...)
	}
	if n := s.Stats().Sources; n != 2 {
		t.Errorf("%d sources for two deployments, want 2", n)
	}
	for i := range 20 { // a string of its own changes, and changes back
		process(t, s, standardInfos(i, 1)...)
	}
	id := standardInfos(3, 0)[0].Entity
	process(t, s, tagger.TagInfo{Source: low, Entity: id, HighCardTags: []string{"pod_name:x"}})
	if n := s.Stats().Sources; n != 2 {
		t.Errorf("%d sources, want 2: what another source hides is the entity's own", n)
	}
	// As many tags as a mask can tell apart, half of them of the embedder.
	most := func(i int) []tagger.TagInfo {
		infos := []tagger.TagInfo{{Source: low}, {Source: plain}}
		for n := range 64 {
			infos[n%2].HighCardTags = append(infos[n%2].HighCardTags, fmt.Sprintf("%d:%d", n, i))
		}
		for n := range infos {
			infos[n].Entity = tagger.KubernetesPod(fmt.Sprint(i))
		}
		return infos
	}
	process(t, s, append(most(0), most(1)...)...)
	if n := s.Stats().Sources; n != 3 {
		t.Errorf("%d sources, want 3: two entities with 64 tags share theirs", n)
	}
	for i := range 2 {
		id := most(i)[0].Entity
		process(t, s, gone(id, low), gone(id, plain))
	}
	infos := standardInfos(4, 0)
	infos[0].IsComplete = false
	process(t, s, infos...)
	if n := s.Stats().Sources; n != 3 {
		t.Errorf("%d sources, want 3: one container is not complete", n)
	}
	for i := range 20 {
		got, err := s.GetEntity(standardInfos(i, 0)[0].Entity)
		want := standardInfos(i, 1)
		if i == 4 {
			want = infos
		}
		pod := got.Sources[1]
		if err != nil || pod.Source != high ||
			!slices.Equal(pod.High, want[1].HighCardTags) ||
			!slices.Equal(pod.Orchestrator, slices.Sorted(slices.Values(
				want[1].OrchestratorCardTags))) {
			t.Errorf("container %d: %+v, %v", i, got, err)
		}
		if i != 3 && !slices.Equal(got.Sources[0].High, want[0].HighCardTags) {
			t.Errorf("container %d: high tags %q, want %q", i, got.Sources[0].High,
				want[0].HighCardTags)
		}
		process(t, s, gone(got.ID, low), gone(got.ID, high))
	}
	if n := s.Stats().Sources; n != 0 {
		t.Errorf("%d sources, want 0: each container is a tombstone, with a time of its own", n)
	}
	clock.advance(time.Hour)
	s.Prune()
	if st := s.Stats(); s.Len() != 0 || st.Sources != 0 || st.Lists != 0 || st.Strings != 0 {
		t.Errorf("in the end: %d entities, %+v", s.Len(), st)
	}
}

// How many tags a source has, and how many of them others hide, does not change what it said.
func TestSourcesKeepWhatTheySaid(t *testing.T) {
	names := func(prefix string, n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("%s%03d:v", prefix, i)
		}
		return list
	}
	for _, n := range []int{1, 31, 32, 33, 63, 64, 65, 200} {
		s, _ := newStore(t, tagstore.Options{})
		infos := []tagger.TagInfo{
			{Source: low, Entity: c1, OrchestratorCardTags: names("a", n),
				HighCardTags: append(names("c", n), "e:hidden")},
			{Source: plain, Entity: c1, OrchestratorCardTags: names("a", 1),
				HighCardTags: names("b", n)},
		}
		check := func(step string) {
			t.Helper()
			e, err := s.GetEntity(c1)
			if err != nil || len(e.Sources) < len(infos) {
				t.Fatalf("%d tags, %s: %+v, %v", n, step, e, err)
			}
			for _, info := range infos {
				at := slices.IndexFunc(e.Sources,
					func(src tagger.SourceTags) bool { return src.Source == info.Source })
				if src := e.Sources[at]; !slices.Equal(src.High, info.HighCardTags) ||
					!slices.Equal(src.Orchestrator, info.OrchestratorCardTags) {
					t.Errorf("%d tags, %s: %s said %q %q", n, step, info.Source,
						src.Orchestrator, src.High)
				}
			}
		}
		process(t, s, infos[:1]...)
		process(t, s, infos[1:]...)
		check("two sources")
		process(t, s, tagger.TagInfo{Source: high, Entity: c1, OrchestratorCardTags: []string{"e:x"}})
		check("one hides a tag")
		if tags, _ := s.Tags(c1, tagger.HighCardinality); tags.Len() != 3*n+2 {
			t.Errorf("%d tags are shown, want %d", tags.Len(), 3*n+2)
		}
		process(t, s, tagger.TagInfo{Source: high, Entity: c1})
		check("it hides none any more")
		if tags, _ := s.Tags(c1, tagger.HighCardinality); tags.Len() != 3*n+2 {
			t.Errorf("%d tags are shown, want %d", tags.Len(), 3*n+2)
		}
	}
}

// Callers may write to what is theirs, and append to what is shared, without changing what others
// see.
func TestCallersCannotChangeWhatIsShared(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{})
	// Standard tags that are united from two sources, or have lost their doubles, are a list of
	// their own.
	process(t, s, append(standardInfos(1, 1), tagger.TagInfo{Source: "other", Entity: c1},
		tagger.TagInfo{Source: low, Entity: c2, StandardTags: []string{"env:a", "env:b", "env:c"}},
		tagger.TagInfo{Source: plain, Entity: c2, StandardTags: []string{"env:d", "env:e"}},
		tagger.TagInfo{Source: low, Entity: c3, StandardTags: []string{"env:a", "env:a"}})...)
	id := standardInfos(1, 1)[0].Entity
	show := func() string { return fmt.Sprintf("%+v", s.List()) }
	want := show()
	q := tagstore.NewQueries(s, nil)
	spoil := func(tags []string) {
		for i := range tags {
			tags[i] = "spoilt"
		}
		_ = append(tags[:0], "spoilt")
	}
	for _, id := range []tagger.EntityID{id, c2, c3} {
		e, err := q.GetEntity(id)
		if err != nil {
			t.Fatal(err)
		}
		lists := [][]string{e.LowCardTags, e.OrchestratorCardTags, e.HighCardTags, e.StandardTags}
		for _, src := range e.Sources {
			_ = append(src.Orchestrator, "spoilt") // High is what lies behind it
			lists = append(lists, src.Low, src.Orchestrator, src.High, src.Standard)
		}
		tags, _ := q.Tag(id, tagger.HighCardinality)
		standard, _ := q.Standard(id)
		for _, list := range append(lists, tags, standard) {
			spoil(list)
		}
		if shared, _ := s.Standard(id); cap(shared) != len(shared) {
			t.Errorf("%d standard tags have room for %d: two readers could append to one memory",
				len(shared), cap(shared))
		}
	}
	sub := s.Subscribe("spoil", nil)
	defer sub.Close()
	for b := range sub.Bundles(t.Context()) {
		for _, ev := range b.Events {
			spoil(ev.Tags.Slice())
			first := append(ev.Standard, "first")
			_ = append(ev.Standard, "second")
			if got := first[len(first)-1]; got != "first" {
				t.Errorf("%s: one reader's %q is %q after another has appended", ev.ID, "first", got)
			}
		}
		break
	}
	if got := show(); got != want {
		t.Errorf("a caller changed what is stored:\n%s\nwant\n%s", got, want)
	}
}
