package tagstore_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Sources of the three priorities that matter: none of its own, and the higher one twice.
const (
	low    = tagger.SourceContainer
	plain  = "embedder"
	high   = tagger.SourceKubernetesPod
	higher = tagger.SourceECSTask
)

// clock is a clock that stands still unless it is moved.
type clock struct{ now time.Time }

func newClock() *clock                   { return &clock{time.Unix(1_700_000_000, 0)} }
func (c *clock) Now() time.Time          { return c.now }
func (c *clock) Elapsed() time.Duration  { return c.now.Sub(newClock().now) }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

func newStore(t testing.TB, opts tagstore.Options) (*tagstore.Store, *clock) {
	c := newClock()
	opts.Now, opts.Elapsed = c.Now, c.Elapsed
	s := tagstore.New(opts)
	t.Cleanup(s.Close)
	return s, c
}

func process(t testing.TB, s *tagstore.Store, infos ...tagger.TagInfo) {
	t.Helper()
	if err := s.Process(infos); err != nil {
		t.Fatalf("Process: %v", err)
	}
}

// lowTags is a complete info with low-cardinality tags.
func lowTags(id tagger.EntityID, source string, tags ...string) tagger.TagInfo {
	return tagger.TagInfo{Source: source, Entity: id, LowCardTags: tags, IsComplete: true}
}

func gone(id tagger.EntityID, source string) tagger.TagInfo {
	return tagger.TagInfo{Source: source, Entity: id, DeleteEntity: true}
}

// recorder keeps what a subscriber is told. It is for use inside a synctest bubble.
type recorder struct {
	mu     sync.Mutex // guards events
	events []string   // "|" before each bundle
}

func record(t *testing.T, s *tagstore.Store, filter *tagger.Filter) *recorder {
	r := &recorder{}
	sub := s.Subscribe(t.Name(), filter)
	t.Cleanup(sub.Close)
	go func() {
		for b := range sub.Bundles(t.Context()) {
			r.mu.Lock()
			r.events = append(r.events, "|")
			for _, ev := range b.Events {
				r.events = append(r.events,
					fmt.Sprintf("%s %s %v %v %s", ev.Type, ev.ID.ID(), ev.Tags.Slice(), ev.Standard,
						ev.Completeness))
			}
			r.mu.Unlock()
		}
	}()
	return r
}

func (r *recorder) want(t *testing.T, step string, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.events, want) {
		t.Errorf("%s: delivered %q\nwant %q", step, r.events, want)
	}
	r.events = nil
}
