package taggertest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/tagger/taggertest"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// subject is a tagger, and what a test does to what it knows. There is one entity, c1, whose
// tags are a service, which the test names, and container_id:c1 of high cardinality.
type subject struct {
	tagger.Component
	set    func(tag string, complete bool)
	remove func()
	forget func()
}

const c1, c2 = tagger.EntityID("container_id://c1"), tagger.EntityID("container_id://c2")

// The fake's subject.
func fake(t *testing.T) subject {
	f := taggertest.New(t, nil)
	return subject{f, func(tag string, complete bool) {
		f.Process(tagger.TagInfo{Entity: c1, LowCardTags: []string{tag},
			StandardTags: []string{tag}, HighCardTags: []string{"container_id:c1"},
			IsComplete: complete})
	}, func() { f.Unset(c1) }, f.Forget}
}

// The subject of a tagger that follows a store, as in a program.
func following(t *testing.T) subject {
	s := store.New(store.Options{})
	opts := local.DefaultOptions()
	opts.SelfContainerID = "none"
	tags, err := local.New(s, opts)
	if err == nil {
		err = tags.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tags.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	s.Expect(workloadmeta.KindContainer, []workloadmeta.Source{workloadmeta.SourceRuntime,
		workloadmeta.SourceNodeOrchestrator})
	s.MarkSynced()
	told := map[workloadmeta.Source]bool{}
	tell := func(ev workloadmeta.CollectorEvent, sources ...workloadmeta.Source) {
		var events []workloadmeta.CollectorEvent
		for _, source := range sources {
			events = append(events, workloadmeta.From(source, ev)...)
			told[source] = true
		}
		if err := s.Notify(events); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	}
	id := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c1"}
	remove := func() {
		tell(workloadmeta.Unset(&workloadmeta.Container{EntityID: id}),
			slices.Collect(maps.Keys(told))...)
	}
	return subject{tags, func(tag string, complete bool) {
		if !complete && told[workloadmeta.SourceNodeOrchestrator] {
			t.Fatal("what is complete does not become partial here")
		}
		web := &workloadmeta.Container{EntityID: id, EntityMeta: workloadmeta.EntityMeta{
			Labels: map[string]string{
				"com.datadoghq.tags.service": strings.TrimPrefix(tag, "service:")}}}
		sources := []workloadmeta.Source{workloadmeta.SourceRuntime,
			workloadmeta.SourceNodeOrchestrator}
		if !complete {
			sources = sources[:1]
		}
		tell(workloadmeta.Set(web), sources...)
	}, remove, func() { time.Sleep(7 * time.Minute) }}
}

// What users of the tagger rely on is true of both.
func TestTheFakeKeepsTheContractOfTheRealOne(t *testing.T) {
	for name, subjectOf := range map[string]func(*testing.T) subject{"fake": fake,
		"real": following} {
		for what, check := range contract {
			t.Run(name+"/"+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { check(t, subjectOf(t)) })
			})
		}
	}
}

var contract = map[string]func(t *testing.T, s subject){
	"errors": func(t *testing.T, s subject) {
		_, err := s.Tag("", tagger.LowCardinality)
		wantErr(t, "no entity", err, tagger.ErrEmptyEntityID)
		_, err = s.Tags(c1, tagger.LowCardinality)
		wantErr(t, "before it is set", err, tagger.ErrUnknown)
		taggertest.WantKnown(t, s, c1, tagger.Unknown)
		taggertest.WantNone(t, s, c1)
		if hash := s.GetEntityHash(c1, tagger.LowCardinality); hash != "" {
			t.Errorf("hash of what is unknown: %s", hash)
		}
		s.set("service:1", true)
		_, err = s.Tag(c1, tagger.NoneCardinality+1)
		wantErr(t, "cardinality", err, tagger.ErrCardinality)
		s.remove()
		taggertest.WantKnown(t, s, c1, tagger.Expired)
		taggertest.WantTags(t, s, c1, tagger.LowCardinality, "service:1")
		s.forget()
		_, err = s.Tag(c1, tagger.LowCardinality)
		wantErr(t, "forgotten", err, tagger.ErrExpired)
	},
	"tags": func(t *testing.T, s subject) {
		s.set("service:1", false)
		taggertest.WantKnown(t, s, c1, tagger.Partial)
		s.set("service:2", true)
		taggertest.WantKnown(t, s, c1, tagger.Complete)
		taggertest.WantTags(t, s, c1, tagger.LowCardinality, "service:2")
		taggertest.WantTags(t, s, c1, tagger.HighCardinality, "container_id:c1", "service:2")
		taggertest.WantSome(t, s, c1, "container_id:c1")
		taggertest.WantNone(t, s, c1, "b")
		mine, _ := s.Tag(c1, tagger.LowCardinality)
		mine[0] = "changed"
		taggertest.WantTags(t, s, c1, tagger.LowCardinality, "service:2")
		if all := s.List(); !slices.ContainsFunc(all, func(e tagger.Entity) bool {
			return e.ID == c1 && slices.Equal(e.LowCardTags, []string{"service:2"})
		}) {
			t.Errorf("List() = %v", all)
		}
		if x := s.Explain(c1); x.Completeness != "complete" || len(x.Tags) != 2 {
			t.Errorf("Explain() = %+v", x)
		}
	},
	"standard tags": func(t *testing.T, s subject) {
		s.set("service:1", true)
		if got, err := s.Standard(c1); err != nil ||
			!slices.Equal(got, []string{"service:1"}) {
			t.Errorf("Standard() = %q, %v", got, err)
		}
	},
	"waiting": func(t *testing.T, s subject) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, known, err := s.TagWait(ctx, c1, tagger.LowCardinality, tagger.Partial)
		wantErr(t, "nobody tells", err, context.DeadlineExceeded)
		if known != tagger.Unknown || time.Since(begin) != time.Second {
			t.Errorf("%s after %s", known, time.Since(begin))
		}
		var telling sync.WaitGroup
		defer telling.Wait()
		telling.Go(func() {
			time.Sleep(time.Second)
			s.set("service:1", false)
			time.Sleep(time.Second)
			s.set("service:2", true)
		})
		begin = time.Now()
		if got := taggertest.AwaitTags(t, s, c1, time.Minute); !slices.Contains(got, "service:2") ||
			time.Since(begin) != 2*time.Second {
			t.Errorf("%q after %s", got, time.Since(begin))
		}
	},
	"waiting for more": func(t *testing.T, s subject) {
		s.set("service:1", false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		tags, known, err := s.TagWait(ctx, c1, tagger.LowCardinality, tagger.Complete)
		if known != tagger.Partial || err != nil ||
			!slices.Equal(tags.Slice(), []string{"service:1"}) {
			t.Errorf("when the time is over: %s, %s, %v", tags.Slice(), known, err)
		}
	},
	"handles": func(t *testing.T, s subject) {
		h := s.Handle(c1)
		shows := func(step string, known tagger.Completeness, tags ...string) {
			t.Helper()
			if got := h.Tags(tagger.LowCardinality).Slice(); h.Completeness() != known ||
				!slices.Equal(got, tags) || h.ID() != c1 {
				t.Errorf("%s: the handle shows %q, %s", step, got, h.Completeness())
			}
		}
		shows("unknown", tagger.Unknown)
		s.set("service:1", true)
		shows("set", tagger.Complete, "service:1")
		s.remove()
		shows("removed", tagger.Expired, "service:1")
		s.forget()
		shows("forgotten", tagger.Expired, "service:1")
	},
	"subscriptions": func(t *testing.T, s subject) {
		s.set("service:1", true)
		sub := s.Subscribe("test", &tagger.Filter{Prefixes: []string{tagger.PrefixContainer}})
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b := range sub.Bundles(context.Background()) {
				if b.Snapshot {
					got = append(got, "snapshot")
				}
				for _, ev := range b.Events {
					got = append(got, fmt.Sprint(ev.Type, " ", ev.Tags.Slice()))
				}
			}
		}()
		synctest.Wait()
		s.set("service:2", true)
		synctest.Wait()
		s.set("service:2", true) // is no news
		synctest.Wait()
		s.remove()
		s.forget()
		synctest.Wait()
		sub.Close()
		<-done
		want := "snapshot, added [service:1], modified [service:2], modified [service:2], " +
			"deleted [service:2]" // the second change: it has ended
		if strings.Join(got, ", ") != want {
			t.Errorf("told %q, want %q", strings.Join(got, ", "), want)
		}
	},
	"origins": func(t *testing.T, s subject) {
		s.set("service:1", true)
		var acc accumulator
		s.EnrichTags(&acc, tagger.OriginInfo{ContainerIDFromSocket: "c1"})
		if !slices.Equal(acc, []string{"service:1"}) {
			t.Errorf("EnrichTags adds %q", acc)
		}
		if got, err := s.AgentTags(tagger.LowCardinality); len(got) > 0 || err != nil {
			t.Errorf("AgentTags() = %q, %v", got, err)
		}
		if got, err := s.GlobalTags(tagger.LowCardinality); len(got) > 0 || err != nil {
			t.Errorf("GlobalTags() = %q, %v", got, err)
		}
	},
}

type accumulator []string

func (a *accumulator) Append(tags ...string) { *a = append(*a, tags...) }

func wantErr(t *testing.T, step string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", step, err, want)
	}
}

func TestOptions(t *testing.T) {
	f := taggertest.New(t, taggertest.Map{c2: {"service:agent", "team:blue"},
		tagger.GlobalEntityID: {"region:eu"}}, taggertest.Self("c2"),
		taggertest.Cardinality(tagger.HighCardinality))
	if got, _ := f.Standard(c2); !slices.Equal(got, []string{"service:agent"}) {
		t.Errorf("Standard() = %q", got)
	}
	f.Process(tagger.TagInfo{Entity: c2, LowCardTags: []string{"team:blue"},
		HighCardTags: []string{"container_id:c2"}})
	if got, _ := f.AgentTags(tagger.LowCardinality); !slices.Equal(got, []string{"team:blue"}) {
		t.Errorf("AgentTags() = %q", got)
	}
	if got, _ := f.GlobalTags(tagger.LowCardinality); !slices.Equal(got, []string{"region:eu"}) {
		t.Errorf("GlobalTags() = %q", got)
	}
	var acc accumulator
	f.EnrichTags(&acc, tagger.OriginInfo{ContainerIDFromSocket: "c2"})
	if !slices.Equal(acc, []string{"team:blue", "container_id:c2", "region:eu"}) {
		t.Errorf("EnrichTags adds %q", acc)
	}
}

// What makes no sense fails the test at once.
func TestMistakesFailTheTest(t *testing.T) {
	r := &recorder{TB: t}
	f := taggertest.New(r, nil)
	f.Set("no ID", "a:1")
	if r.failures == 0 {
		t.Error("an ID that is none is taken")
	}
}

// The checks fail when they should, and say why.
func TestChecksFail(t *testing.T) {
	f := taggertest.New(t, taggertest.Map{c1: {"a:1"}})
	for name, check := range map[string]func(taggertest.TB){
		"another tag": func(t taggertest.TB) {
			taggertest.WantTags(t, f, c1, tagger.LowCardinality, "a:2")
		},
		"one more": func(t taggertest.TB) {
			taggertest.WantTags(t, f, c1, tagger.LowCardinality, "a:1", "b:1")
		},
		"unknown": func(t taggertest.TB) {
			taggertest.WantTags(t, f, "container_id://x", tagger.LowCardinality)
		},
		"not among": func(t taggertest.TB) { taggertest.WantSome(t, f, c1, "a:1", "b:1") },
		"some unknown": func(t taggertest.TB) {
			taggertest.WantSome(t, f, "container_id://x", "a:1")
		},
		"none":         func(t taggertest.TB) { taggertest.WantNone(t, f, c1, "a") },
		"none at all":  func(t taggertest.TB) { taggertest.WantNone(t, f, c1) },
		"completeness": func(t taggertest.TB) { taggertest.WantKnown(t, f, c1, tagger.Partial) },
		"too late": func(t taggertest.TB) {
			taggertest.AwaitTags(t, f, "container_id://x", time.Millisecond)
		},
	} {
		r := &recorder{TB: t}
		check(r)
		if r.failures != 1 {
			t.Errorf("%s: %d failures", name, r.failures)
		}
	}
}

type recorder struct {
	testing.TB
	failures int
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failures++ }
func (r *recorder) Fatalf(string, ...any) { r.failures++ }
