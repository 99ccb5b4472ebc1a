package taggertest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/taggertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const c1, c2 = tagger.EntityID("container_id://c1"), tagger.EntityID("container_id://c2")

func TestItAnswersAsATaggerDoes(t *testing.T) {
	tags := taggertest.New(t, taggertest.Map{c1: {"service:web"},
		tagger.GlobalEntityID: {"dc:1"}})
	if got, err := tags.Tag(c1, tagger.LowCardinality); err != nil ||
		!slices.Equal(got, []string{"service:web"}) {
		t.Errorf("Tag() = %q, %v", got, err)
	}
	if _, err := tags.Tags(c2, tagger.LowCardinality); !errors.Is(err, tagger.ErrUnknown) {
		t.Errorf("Tags() of what is unknown: %v", err)
	}
	handle := tags.Handle(c2)
	tags.Process(tagger.TagInfo{Entity: c2, LowCardTags: []string{"env:prod"},
		HighCardTags: []string{"id:c2"}})
	if got := handle.Tags(tagger.HighCardinality).Len(); got != 2 ||
		handle.Completeness() != tagger.Partial {
		t.Errorf("the handle shows %d tags, %s", got, handle.Completeness())
	}
	var acc accumulator
	tags.EnrichTags(&acc, tagger.OriginInfo{LocalData: tagger.LocalData{ContainerID: "c1"}})
	if !slices.Equal(acc, []string{"service:web", "dc:1"}) {
		t.Errorf("EnrichTags() adds %q", acc)
	}
	tags.Unset(c1)
	if got, known, err := tags.TagWithCompleteness(c1, tagger.LowCardinality); len(got) != 1 ||
		known != tagger.Expired || err != nil {
		t.Errorf("after its end: %q, %s, %v", got, known, err)
	}
	if x := tags.Explain(c2); len(x.Tags) != 2 || x.Tags[0].Source != taggertest.Source {
		t.Errorf("Explain() = %+v", x)
	}
}

type accumulator []string

func (a *accumulator) Append(tags ...string) { *a = append(*a, tags...) }

func TestTagWaitWaitsForSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tags := taggertest.New(t, nil)
		done := make(chan string, 1)
		go func() {
			set, _, err := tags.TagWait(t.Context(), c1, tagger.LowCardinality, tagger.Complete)
			if err != nil {
				t.Error(err)
			}
			service, _ := set.Get("service")
			done <- service
		}()
		synctest.Wait() // it waits
		tags.Set(c1, "service:web")
		if got := <-done; got != "web" {
			t.Errorf("TagWait() = %q", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, known, err := tags.TagWait(ctx, c2, tagger.LowCardinality,
			tagger.Complete); !errors.Is(err, context.DeadlineExceeded) || known != tagger.Unknown {
			t.Errorf("TagWait() of what never comes = %s, %v", known, err)
		}
	})
}
