package tagstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// lookUp answers those who wait for an entity that is not known well enough.
type lookUp func(ctx context.Context, id tagger.EntityID) error

// answer is what TagWait returns, and when.
type answer struct {
	tags  []string
	known tagger.Completeness
	err   error
	after time.Duration
}

// waitFor calls TagWait at high cardinality for an entity, on a goroutine of its own.
func waitFor(ctx context.Context, s *tagstore.Store, miss lookUp, id tagger.EntityID,
	want tagger.Completeness) chan answer {
	q := tagstore.NewQueries(s, miss)
	done, begin := make(chan answer, 1), time.Now()
	go func() {
		tags, known, err := q.TagWait(ctx, id, tagger.HighCardinality, want)
		done <- answer{tags.Slice(), known, err, time.Since(begin)}
	}()
	return done
}

// partTags is an info of a source that expects others to tell more.
func partTags(id tagger.EntityID, source string, tags ...string) tagger.TagInfo {
	return tagger.TagInfo{Source: source, Entity: id, HighCardTags: tags}
}

func TestTagWaitWaitsForWhatIsWanted(t *testing.T) {
	for name, miss := range map[string]lookUp{
		"nobody to ask":         nil,
		"somebody knows nobody": func(context.Context, tagger.EntityID) error { return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := tagstore.New(tagstore.Options{})
			defer s.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			some := []chan answer{waitFor(ctx, s, miss, c1, tagger.Unknown),
				waitFor(ctx, s, miss, c1, tagger.Partial)}
			all := waitFor(ctx, s, miss, c1, tagger.Complete)
			time.Sleep(time.Minute)
			process(t, s, partTags(c1, low, "a:1"))
			for _, done := range some {
				if a := <-done; a.err != nil || a.known != tagger.Partial ||
					!slices.Equal(a.tags, []string{"a:1"}) || a.after != time.Minute {
					t.Errorf("%s: some tags: %+v", name, a)
				}
			}
			time.Sleep(time.Minute)
			if len(all) > 0 {
				t.Errorf("%s: some tags are taken for all", name)
			}
			process(t, s, lowTags(c1, low, "a:2"))
			if a := <-all; a.err != nil || a.known != tagger.Complete || a.after != 2*time.Minute {
				t.Errorf("%s: all tags: %+v", name, a)
			}
			// Who is known well enough needs no wait.
			if a := <-waitFor(ctx, s, miss, c1, tagger.Partial); a.err != nil || a.after != 0 {
				t.Errorf("%s: known before: %+v", name, a)
			}
		})
	}
}

func TestTagWaitReturnsWhatIsKnownInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tagstore.New(tagstore.Options{})
		defer s.Close()
		process(t, s, partTags(c1, low, "a:1"), lowTags(c2, low, "b:1"), gone(c2, low))
		for _, want := range []struct {
			id    tagger.EntityID
			tags  []string
			known tagger.Completeness
			err   error
		}{
			{c1, []string{"a:1"}, tagger.Partial, nil}, // better than nothing
			{c2, []string{"b:1"}, tagger.Expired, context.DeadlineExceeded},
			{c3, nil, tagger.Unknown, context.DeadlineExceeded},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			a := <-waitFor(ctx, s, nil, want.id, tagger.Complete)
			if !slices.Equal(a.tags, want.tags) || a.known != want.known ||
				!errors.Is(a.err, want.err) || a.after != time.Minute {
				t.Errorf("%s: %+v, want %+v", want.id, a, want)
			}
		}
	})
}

func TestTagWaitDoesNotWaitForWhatCannotBe(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{})
	process(t, s, partTags(c1, low, "a:1"))
	q := tagstore.NewQueries(s, nil)
	for _, c := range []struct {
		id          tagger.EntityID
		cardinality tagger.TagCardinality
		want        error
	}{
		{"", tagger.LowCardinality, tagger.ErrEmptyEntityID},
		{c1, 9, tagger.ErrCardinality},
		{c3, 9, tagger.ErrCardinality},
	} {
		if _, _, err := q.TagWait(t.Context(), c.id, c.cardinality,
			tagger.Complete); !errors.Is(err, c.want) {
			t.Errorf("TagWait(%q, %d): %v, want %v", c.id, c.cardinality, err, c.want)
		}
	}
}

// Whoever can look it up may not be ready yet, and it may not be there yet. The pauses are a
// promise: a look-up that comes to nothing costs a daemon a question.
func TestTagWaitAsksAgainAfterPausesThatGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tagstore.New(tagstore.Options{})
		defer s.Close()
		begin := time.Now()
		var asked []time.Duration
		there := 3 * time.Second
		miss := func(_ context.Context, id tagger.EntityID) error {
			asked = append(asked, time.Since(begin))
			if time.Since(begin) < there {
				return errors.New("no collector is ready")
			}
			return s.Process([]tagger.TagInfo{lowTags(id, low, "a:1")})
		}
		a := <-waitFor(t.Context(), s, miss, c1, tagger.Complete)
		if a.err != nil || !slices.Equal(a.tags, []string{"a:1"}) {
			t.Errorf("%+v", a)
		}
		var want []time.Duration
		for _, ms := range []int{0, 25, 75, 175, 375, 775, 1575, 2575, 3575} {
			want = append(want, time.Duration(ms)*time.Millisecond)
		}
		if !slices.Equal(asked, want) {
			t.Errorf("asked after %s, want %s", asked, want)
		}
		waitAgain := waitFor(t.Context(), s, miss, c1, tagger.Partial)
		if a := <-waitAgain; a.err != nil || len(asked) != len(want) {
			t.Errorf("asked for what is known: %+v", a)
		}
	})
}

func TestTagWaitSaysWhyTheLookUpFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tagstore.New(tagstore.Options{})
		defer s.Close()
		down, slow := errors.New("the daemon is down"), errors.New("the daemon is slow")
		for _, c := range []struct {
			name     string
			miss     lookUp
			want     error // beside the end of the context; nil = none
			unwanted error
		}{
			{"fails", func(context.Context, tagger.EntityID) error { return down }, down, nil},
			{"finds nothing", func(context.Context, tagger.EntityID) error { return nil }, nil, nil},
			// What it fails with because it is told to end is not why.
			{"is told to end", func(ctx context.Context, _ tagger.EntityID) error {
				<-ctx.Done()
				return slow
			}, nil, slow},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			a := <-waitFor(ctx, s, c.miss, c1, tagger.Partial)
			if !errors.Is(a.err, context.DeadlineExceeded) || c.want != nil &&
				!errors.Is(a.err, c.want) || c.unwanted != nil && errors.Is(a.err, c.unwanted) ||
				c.want == nil && a.err.Error() != context.DeadlineExceeded.Error() {
				t.Errorf("a look-up that %s: %v", c.name, a.err)
			}
		}
	})
}

func TestTagWaitEndsTheLookUpWhenSomebodyElseAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tagstore.New(tagstore.Options{})
		defer s.Close()
		ended := false
		done := waitFor(t.Context(), s, func(ctx context.Context, _ tagger.EntityID) error {
			<-ctx.Done()
			ended = true
			return ctx.Err()
		}, c1, tagger.Partial)
		synctest.Wait()
		process(t, s, lowTags(c1, low, "a:1"))
		if a := <-done; a.err != nil || !ended {
			t.Errorf("%+v, look-up ended: %t", a, ended)
		}
	})
}

func TestQueriesAnswerFromTheStore(t *testing.T) {
	s, _ := newStore(t, tagstore.Options{Grace: -1})
	info := lowTags(c1, low, "env:a")
	info.HighCardTags, info.StandardTags = []string{"id:1"}, []string{"env:a"}
	process(t, s, info, lowTags(tagger.GlobalEntityID, low, "host:x"), lowTags(c2, low, "env:b"))
	process(t, s, gone(c2, low))
	s.Prune()
	q := tagstore.NewQueries(s, nil)
	all := []string{"env:a", "id:1"}
	for _, c := range []struct {
		id    tagger.EntityID
		c     tagger.TagCardinality
		tags  []string
		known tagger.Completeness
		err   error
	}{
		{c1, tagger.HighCardinality, all, tagger.Complete, nil},
		{c1, tagger.LowCardinality, all[:1], tagger.Complete, nil},
		{c2, tagger.LowCardinality, nil, tagger.Expired, nil}, // that it is not there is no error
		{c3, tagger.LowCardinality, nil, tagger.Unknown, nil},
		{"", tagger.LowCardinality, nil, tagger.Unknown, tagger.ErrEmptyEntityID},
		{c1, 9, nil, tagger.Complete, tagger.ErrCardinality},
	} {
		tags, known, err := q.TagWithCompleteness(c.id, c.c)
		if !slices.Equal(tags, c.tags) || known != c.known || !errors.Is(err, c.err) {
			t.Errorf("TagWithCompleteness(%q, %d) = %q, %s, %v; want %+v", c.id, c.c, tags, known,
				err, c)
		}
	}
	view, err := q.Tags(c1, tagger.HighCardinality)
	bare, errBare := q.TagsOf(c1.Prefix(), c1.ID(), tagger.HighCardinality)
	held := q.Handle(c1).Tags(tagger.HighCardinality)
	for _, tags := range []tagset.Tags{view, bare, held} {
		if !slices.Equal(tags.Slice(), all) || err != nil || errBare != nil {
			t.Errorf("a view shows %q, want %q; %v, %v", tags.Slice(), all, err, errBare)
		}
	}
	if got, want := q.GetEntityHash(c1, tagger.HighCardinality), tagset.Hash(all); got != want {
		t.Errorf("hash %q, want %q", got, want)
	}
	if got := q.GetEntityHash(c3, tagger.HighCardinality); got != "" {
		t.Errorf("hash %q of the unknown", got)
	}
	if list := q.List(); len(list) != 2 || list[0].ID != c1 || list[1].ID != tagger.GlobalEntityID {
		t.Errorf("List = %+v", list)
	}
	global, err := q.GlobalTags(tagger.LowCardinality)
	if err != nil || !slices.Equal(global, []string{"host:x"}) {
		t.Errorf("GlobalTags = %q, %v", global, err)
	}
	if _, err := q.GlobalTags(9); !errors.Is(err, tagger.ErrCardinality) {
		t.Errorf("GlobalTags at no cardinality: %v", err)
	}
	sub := q.Subscribe("queries", nil)
	defer sub.Close()
	for b := range sub.Bundles(t.Context()) {
		if len(b.Events) != 2 {
			t.Errorf("a subscriber is told of %+v first, want two entities", b.Events)
		}
		break
	}
}
