package local_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

type answer struct {
	tags  tagset.Tags
	known tagger.Completeness
	err   error
}

func (w world) waitFor(ctx context.Context, id tagger.EntityID,
	want tagger.Completeness) chan answer {
	done := make(chan answer, 1)
	go func() {
		tags, known, err := w.tagger.TagWait(ctx, id, tagger.HighCardinality, want)
		done <- answer{tags, known, err}
	}()
	return done
}

func TestTagWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, local.Options{}, true)
		w.store.Expect(wm.KindContainer, []wm.Source{kubelet, runtime})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		unknown, partial, complete := w.waitFor(ctx, c1, tagger.Unknown), w.waitFor(ctx, c1,
			tagger.Partial), w.waitFor(ctx, c1, tagger.Complete)
		never := w.waitFor(ctx, c2, tagger.Partial)
		w.notify(sets(runtime, container("c1", noOne)))
		for _, done := range []chan answer{unknown, partial} {
			if a := <-done; a.known != tagger.Partial || a.err != nil || a.tags.Len() == 0 {
				t.Errorf("partial: %+v", a)
			}
		}
		synctest.Wait()
		if len(complete) != 0 {
			t.Error("half known is taken for complete")
		}
		w.notify(sets(kubelet, container("c1", noOne)))
		if a := <-complete; a.known != tagger.Complete || a.err != nil {
			t.Errorf("complete: %+v", a)
		}
		if a := <-never; a.known != tagger.Unknown || !errors.Is(a.err, context.DeadlineExceeded) {
			t.Errorf("never: %+v", a)
		}
		// Half known is better than nothing when time is up.
		w.notify(sets(runtime, container("c2", noOne)))
		if a := <-w.waitFor(ctx, c2, tagger.Complete); a.known != tagger.Partial || a.err != nil ||
			a.tags.Len() == 0 {
			t.Errorf("time is up: %+v", a)
		}
		// What is gone is not waited for as if it were there, but its tags are told.
		w.notify(unsets(runtime, container("c2", noOne)))
		if a := <-w.waitFor(ctx, c2, tagger.Partial); a.known != tagger.Expired || a.err == nil ||
			a.tags.Len() == 0 {
			t.Errorf("gone: %+v", a)
		}
		if _, _, err := w.tagger.TagWait(t.Context(), "", tagger.LowCardinality,
			tagger.Partial); !errors.Is(err, tagger.ErrEmptyEntityID) {
			t.Errorf("empty ID: %v", err)
		}
		if _, _, err := w.tagger.TagWait(t.Context(), tagger.Container("x"), 9,
			tagger.Partial); !errors.Is(err, tagger.ErrCardinality) {
			t.Errorf("invalid cardinality: %v", err)
		}
	})
}

// onMiss answers with what a function does.
type onMiss func(ctx context.Context, id wm.EntityID) error

func (f onMiss) Fetch(ctx context.Context, id wm.EntityID) error { return f(ctx, id) }

// Who is expected, and that all have listed, changes what is complete without any event.
func TestTagWaitHearsOfSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, local.Options{}, true)
		w.store.Expect(wm.KindKubernetesPod, []wm.Source{kubelet})
		w.notify(sets(runtime, container("c1", noOne)), sets(runtime, container("c2", ofP1)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, step := range []struct {
			id   tagger.EntityID
			what func()
		}{
			{c1, w.store.MarkSynced},                                   // in no pod
			{c2, func() { w.store.Expect(wm.KindKubernetesPod, nil) }}, // nobody can tell
		} {
			complete := w.waitFor(ctx, step.id, tagger.Complete)
			synctest.Wait()
			if len(complete) != 0 {
				t.Errorf("%s is complete too early", step.id)
			}
			step.what()
			if a := <-complete; a.known != tagger.Complete {
				t.Errorf("%s: %+v", step.id, a)
			}
		}
	})
}

func TestTagWaitAsksWhoCanLookItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		asked := 0
		w = newWorld(t, local.Options{OnMiss: onMiss(func(_ context.Context, id wm.EntityID) error {
			asked++
			return w.store.Notify([]wm.CollectorEvent{sets(runtime, container(id.ID, noOne))})
		})}, true)
		for range 2 { // the second time it is known
			a := <-w.waitFor(t.Context(), c1, tagger.Partial)
			if a.err != nil || a.known != tagger.Complete {
				t.Errorf("found: %+v", a)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestTagWaitSaysWhyTheLookUpFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the daemon is down")
		w := newWorld(t,
			local.Options{
				OnMiss: onMiss(func(context.Context, wm.EntityID) error { return broken })}, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if a := <-w.waitFor(ctx, c1, tagger.Partial); !errors.Is(a.err, broken) ||
			!errors.Is(a.err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want both reasons", a.err)
		}
		if a := <-w.waitFor(ctx, "internal://nothing-to-look-up", tagger.Partial); !errors.Is(a.err,
			context.DeadlineExceeded) {
			t.Errorf("error = %v", a.err)
		}
	})
}

func TestTagWaitEndsTheLookUpWhenSomebodyElseAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		w := newWorld(t,
			local.Options{OnMiss: onMiss(func(ctx context.Context, _ wm.EntityID) error {
				<-ctx.Done()
				ended = true
				return ctx.Err()
			})}, true)
		done := w.waitFor(t.Context(), c1, tagger.Partial)
		synctest.Wait()
		w.notify(sets(runtime, container("c1", noOne)))
		if a := <-done; a.err != nil || !ended {
			t.Errorf("%+v, look-up ended: %v", a, ended)
		}
	})
}

// Whoever can look it up may not be ready yet, and it may not be there yet.
func TestTagWaitAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := time.Now().Add(300 * time.Millisecond)
		there := ready.Add(300 * time.Millisecond)
		asked := 0
		var w world
		w = newWorld(t, local.Options{OnMiss: onMiss(func(_ context.Context, id wm.EntityID) error {
			asked++
			switch now := time.Now(); {
			case now.Before(ready):
				return errors.New("no collector is ready")
			case now.Before(there):
				return nil // nobody knows it
			}
			return w.store.Notify([]wm.CollectorEvent{sets(runtime, container(id.ID, noOne))})
		})}, true)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if a := <-w.waitFor(ctx, c1, tagger.Partial); a.err != nil || a.known != tagger.Complete {
			t.Errorf("%+v after %d questions", a, asked)
		}
		if asked > 10 {
			t.Errorf("asked %d times in a second", asked)
		}
	})
}

// fetcher knows every container, after a while.
type fetcher struct{ asked atomic.Int32 }

func (*fetcher) Describe() wm.Description {
	return wm.Description{ID: "fake", Source: runtime, Kinds: []wm.Kind{wm.KindContainer}}
}

func (*fetcher) Detect(context.Context) wm.Detection {
	return wm.Detection{State: wm.Detected, Reason: "always"}
}

func (f *fetcher) Fetch(_ context.Context, id wm.EntityID, sink wm.Sink) error {
	f.asked.Add(1)
	time.Sleep(time.Second) // of the bubble
	sink.Set(container(id.ID, noOne))
	return nil
}

func TestAllWhoWaitShareOneLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var miss onMiss
		w := newWorld(t,
			local.Options{
				OnMiss: onMiss(
					func(ctx context.Context, id wm.EntityID) error { return miss(ctx, id) })},
			true)
		f := &fetcher{}
		sup, err := collection.New(collection.Options{Store: w.store,
			Collectors: []wm.Collector{f}})
		if err != nil {
			t.Fatal(err)
		}
		miss = sup.Fetch
		if err := sup.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var askers sync.WaitGroup
		for range 50 {
			askers.Go(func() {
				if a := <-w.waitFor(t.Context(), c1, tagger.Complete); a.err != nil ||
					a.known != tagger.Complete {
					t.Errorf("%+v", a)
				}
			})
		}
		askers.Wait()
		if n := f.asked.Load(); n != 1 {
			t.Errorf("the source was asked %d times", n)
		}
		if err := sup.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// accumulator takes tags.
type accumulator []string

func (a *accumulator) Append(tags ...string) { *a = append(*a, tags...) }

func TestEnrichTags(t *testing.T) {
	opts := local.DefaultOptions()
	opts.Extract.StaticTags = []string{"site:home"}
	w := newWorld(t, opts, true)
	withPID := container("by-pid", noOne)
	withPID.PID = 7
	inCgroup := container("by-inode", noOne)
	inCgroup.CgroupInode = 70
	static := pod("hash")
	static.UID = "mirror"
	inits := pod("p2", "main")
	inits.InitContainers = []wm.OrchestratorContainer{{ID: "init", Name: "app"}}
	w.notify(sets(runtime, container("socket", noOne)), sets(runtime, container("claimed", noOne)),
		sets(runtime, withPID), sets(runtime, inCgroup),
		sets(runtime, container("main", noOne)), sets(runtime, container("init", noOne)),
		sets(kubelet, inits),
		sets(kubelet, pod("p1")), sets(kubelet, static))

	const none = tagger.EntityNone
	for name, c := range map[string]struct {
		origin tagger.OriginInfo
		want   string // the container or pod whose tags are added, "" = none
		id     string // the container; "" = not to be found out
	}{
		"nothing is known": {tagger.OriginInfo{}, "", ""},
		"socket": {tagger.OriginInfo{ContainerIDFromSocket: "socket"},
			"socket", "socket"},
		"socket before the claim": {
			tagger.OriginInfo{ContainerIDFromSocket: "socket",
				LocalData: tagger.LocalData{ContainerID: "claimed"}}, "socket", "socket"},
		"socket before the pod": {
			tagger.OriginInfo{ContainerIDFromSocket: "socket", PodUID: "p1"}, "socket", "socket"},
		"claim": {
			tagger.OriginInfo{LocalData: tagger.LocalData{ContainerID: "claimed"}}, "claimed",
			"claimed"},
		"claim before the pod": {
			tagger.OriginInfo{LocalData: tagger.LocalData{ContainerID: "claimed"}, PodUID: "p1"},
			"claimed", "claimed"},
		"an unknown claim counts not": {
			tagger.OriginInfo{LocalData: tagger.LocalData{ContainerID: "nobody", ProcessID: 7}},
			"by-pid", "nobody"},
		"PID": {
			tagger.OriginInfo{LocalData: tagger.LocalData{ProcessID: 7}}, "by-pid", "by-pid"},
		"unknown PID": {
			tagger.OriginInfo{LocalData: tagger.LocalData{ProcessID: 8}}, "", ""},
		"inode": {
			tagger.OriginInfo{LocalData: tagger.LocalData{Inode: 70}}, "by-inode", "by-inode"},
		"unknown inode": {
			tagger.OriginInfo{LocalData: tagger.LocalData{Inode: 7}}, "", ""},
		"PID before the inode": {
			tagger.OriginInfo{LocalData: tagger.LocalData{ProcessID: 7, Inode: 70}}, "by-pid",
			"by-pid"},
		"inode before the external container": {
			tagger.OriginInfo{LocalData: tagger.LocalData{Inode: 70},
				ExternalData: tagger.ExternalData{PodUID: "p2", ContainerName: "app"}}, "by-inode",
			"by-inode"},
		"external container": {
			tagger.OriginInfo{
				ExternalData: tagger.ExternalData{PodUID: "p2", ContainerName: "app"}}, "main",
			"main"},
		"external init container": {
			tagger.OriginInfo{ExternalData: tagger.ExternalData{PodUID: "p2", ContainerName: "app",
				Init: true}}, "init", "init"},
		"external before the pod": {
			tagger.OriginInfo{ExternalData: tagger.ExternalData{PodUID: "p2", ContainerName: "app"},
				PodUID: "p1"}, "main", "main"},
		"external pod, no container": {
			tagger.OriginInfo{
				ExternalData: tagger.ExternalData{PodUID: "p2", ContainerName: "other"}}, "pod-p2",
			""},
		"external pod alone": {
			tagger.OriginInfo{ExternalData: tagger.ExternalData{PodUID: "p2"}}, "pod-p2", ""},
		"external name alone": {
			tagger.OriginInfo{ExternalData: tagger.ExternalData{ContainerName: "app"}}, "", ""},
		"pod": {tagger.OriginInfo{PodUID: "p1"}, "pod-p1", ""},
		"pod before the external one": {
			tagger.OriginInfo{PodUID: "p1", ExternalData: tagger.ExternalData{PodUID: "p2"}},
			"pod-p1", ""},
		"local pod": {
			tagger.OriginInfo{LocalData: tagger.LocalData{PodUID: "p1"}}, "pod-p1", ""},
		"static pod by its mirror": {tagger.OriginInfo{PodUID: "mirror"}, "pod-hash", ""},
		"opted out of origin tags": {
			tagger.OriginInfo{PodUID: none, ContainerIDFromSocket: "socket",
				LocalData: tagger.LocalData{ContainerID: "claimed"}}, "", "socket"},
	} {
		for cardinality, global := range map[string]bool{"high": true, "none": false} {
			var acc accumulator
			origin := c.origin
			origin.Cardinality = cardinality
			w.tagger.EnrichTags(&acc, origin)
			got := ""
			for _, tag := range acc {
				if v, ok := strings.CutPrefix(tag, "container_id:"); ok {
					got += v
				}
				if v, ok := strings.CutPrefix(tag, "pod_name:"); ok &&
					!slices.ContainsFunc(acc,
						func(t string) bool { return tagset.Name(t) == "container_id" }) {
					got += v
				}
			}
			want := c.want
			if cardinality == "none" {
				want = "" // not even global tags
			}
			if hasGlobal := len(acc) > 0 && acc[len(acc)-1] == "site:home"; got != want ||
				hasGlobal != global {
				t.Errorf("%s at %s: tags of %q, global %v (%q); want %q, %v", name, cardinality,
					got, hasGlobal, acc, want, global)
			}
		}
		id, err := w.tagger.GenerateContainerIDFromOriginInfo(c.origin)
		if id != c.id || (err == nil) != (c.id != "") || err != nil &&
			!errors.Is(err, tagger.ErrUnknown) {
			t.Errorf("%s: container %q, %v; want %q", name, id, err, c.id)
		}
	}
	if n := w.tagger.UnresolvedOrigins(); n != 3 {
		t.Errorf("%d unresolved origins, want the unknown PID and inode and the lone name", n)
	}
}

func TestCardinalityOfOrigins(t *testing.T) {
	w := newWorld(t, local.Options{Cardinality: tagger.OrchestratorCardinality}, true)
	w.notify(sets(kubelet, pod("p1")), sets(runtime, container("c1", ofP1)))
	for asked, want := range map[string]string{
		"low": "kube_namespace", "": "kube_namespace pod_name",
		"nonsense": "kube_namespace pod_name", "Orch": "kube_namespace pod_name",
	} {
		var acc accumulator
		w.tagger.EnrichTags(&acc, tagger.OriginInfo{PodUID: "p1", Cardinality: asked})
		var names []string
		for _, tag := range acc {
			names = append(names, tagset.Name(tag))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("asked for %q: %s, want %s", asked, got, want)
		}
	}
	origin := tagger.OriginInfo{ContainerIDFromSocket: "nobody", PodUID: "p1"}
	acc := make(accumulator, 0, 10)
	if n := testing.AllocsPerRun(100, func() {
		acc = acc[:0]
		w.tagger.EnrichTags(&acc, origin)
	}); n > 8 {
		t.Errorf("%v allocations per packet", n)
	}
}

func TestAgentTags(t *testing.T) {
	w := newWorld(t, local.Options{SelfContainerID: "c1"}, true)
	if tags, err := w.tagger.AgentTags(tagger.HighCardinality); err != nil || tags != nil {
		t.Errorf("unknown yet: %q, %v", tags, err)
	}
	w.notify(sets(runtime, container("c1", noOne)))
	if tags, err := w.tagger.AgentTags(tagger.HighCardinality); err != nil ||
		!slices.Contains(tags, "container_id:c1") {
		t.Errorf("AgentTags = %q, %v", tags, err)
	}
	if tags, err := w.tagger.AgentTags(tagger.NoneCardinality); err != nil || len(tags) != 0 {
		t.Errorf("no cardinality: %q, %v", tags, err)
	}
	if _, err := w.tagger.AgentTags(9); !errors.Is(err, tagger.ErrCardinality) {
		t.Errorf("invalid cardinality: %v", err)
	}
	if tags, err := newWorld(t, local.Options{},
		true).tagger.AgentTags(tagger.HighCardinality); err != nil || tags != nil {
		t.Errorf("in no container: %q, %v", tags, err)
	}
}

// An entity that is known and has no tags up to the cardinality that counts is not the sender.
func TestTheSenderIsTheFirstThatHasTags(t *testing.T) {
	w := newWorld(t, local.Options{Cardinality: tagger.NoneCardinality}, true)
	w.notify(sets(kubelet, pod("p1")), sets(runtime, container("c1", noOne)))
	for cardinality, want := range map[string][]string{
		"high": {"container_id:c1", "container_name:name-of-c1"},
		"low":  {"kube_namespace:shop"}, // c1 has none of these
		"none": nil,
		"":     nil, // the default is none
	} {
		var acc accumulator
		w.tagger.EnrichTags(&acc, tagger.OriginInfo{ContainerIDFromSocket: "c1", PodUID: "p1",
			Cardinality: cardinality})
		if !slices.Equal(sortedStrings(acc), want) {
			t.Errorf("at %q: %q, want %q", cardinality, acc, want)
		}
	}
}

func TestPlainQueries(t *testing.T) {
	w := newWorld(t, local.Options{}, true)
	w.notify(sets(runtime, container("c1", noOne)))
	h := w.tagger.Handle(c1)
	tags, err := w.tagger.Tags(c1, tagger.HighCardinality)
	owned, err2 := w.tagger.Tag(c1, tagger.HighCardinality)
	if err != nil || err2 != nil || !slices.Equal(tags.Slice(), owned) ||
		!slices.Equal(h.Tags(tagger.HighCardinality).Slice(), owned) {
		t.Errorf("Tags %q, Tag %q, Handle %q: %v, %v", tags.Slice(), owned,
			h.Tags(tagger.HighCardinality).Slice(), err, err2)
	}
	owned[0] = "the caller's"
	if again, _ := w.tagger.Tag(c1, tagger.HighCardinality); again[0] == owned[0] {
		t.Error("Tag returns shared memory")
	}
	if hash := w.tagger.GetEntityHash(c1, tagger.HighCardinality); hash != tags.Hash() ||
		w.tagger.GetEntityHash(c2, tagger.HighCardinality) != "" {
		t.Errorf("hash = %q, want %q", hash, tags.Hash())
	}
	if _, _, err := w.tagger.TagWithCompleteness("", tagger.LowCardinality); !errors.Is(err,
		tagger.ErrEmptyEntityID) {
		t.Errorf("empty ID: %v", err)
	}
	if list := w.tagger.List(); len(list) != 1 || list[0].ID != c1 {
		t.Errorf("List = %v", list)
	}
	if e, err := w.tagger.GetEntity(c1); err != nil || e.Completeness != tagger.Complete {
		t.Errorf("GetEntity = %v, %v", e, err)
	}
}

func TestExplain(t *testing.T) {
	opts := local.DefaultOptions()
	opts.Extract.StaticTags = []string{"site:home"}
	opts.Missing = func(kind wm.Kind, _ string) string { return "docker is off" }
	w := newWorld(t, opts, true)
	w.store.Expect(wm.KindContainer, []wm.Source{kubelet, runtime})
	c := container("c1", ofP1)
	c.EnvVars = map[string]string{"DD_ENV": "from-env"}
	c.Labels = map[string]string{"com.datadoghq.tags.version": "hidden"}
	p := pod("p1", "c1")
	p.Labels = map[string]string{"tags.datadoghq.com/env": "from-label",
		"tags.datadoghq.com/version": "1"}
	w.notify(sets(runtime, c), sets(kubelet, container("c1", ofP1)), sets(kubelet, p),
		sets(runtime, container("half", noOne)), sets(kubelet,
			container("orphan", id(wm.KindKubernetesPod, "nobody"))),
		sets(runtime, container("orphan", noOne)), sets(kubelet,
			&wm.Kubelet{EntityID: id(wm.KindKubelet, "kubelet-id")}),
		sets(runtime, container("dead", noOne)), sets(kubelet, task("arn", "prod")))
	w.notify(unsets(runtime, container("dead", noOne)))

	e := w.tagger.Explain(c1)
	if e.Completeness != "complete" || len(e.Tags) == 0 || len(e.Waiting) != 0 {
		t.Errorf("Explain = %+v", e)
	}
	if len(e.Problems) != 1 || e.Problems[0].Field != "env" {
		t.Errorf("problems %+v, want env: other versions are hidden", e.Problems)
	}
	hidden := map[string]string{}
	for _, line := range e.Tags {
		if line.Source == "" || line.Rule == "" || line.Field == "" || line.Cardinality == "" ||
			line.Standard != extract.IsStandard(tagset.Name(line.Tag)) {
			t.Errorf("not explained: %+v", line)
		}
		hidden[line.Source+" "+line.Tag] = line.HiddenBy
	}
	for line, want := range map[string]string{
		tagger.SourceContainer + " env:from-env":       tagger.SourceKubernetesPod,
		tagger.SourceKubernetesPod + " env:from-label": "",
	} {
		if by, ok := hidden[line]; by != want || !ok {
			t.Errorf("%s is there: %v, hidden by %q; want %q", line, ok, by, want)
		}
	}

	for id, want := range map[tagger.EntityID]struct{ completeness, reason, waiting string }{
		tagger.Container("half"): {"partial", "not reported yet by node_orchestrator",
			"node_orchestrator"},
		tagger.Container("orphan"): {"partial",
			"kubernetes_pod/nobody, which it belongs to, is not completely known yet: docker is off", ""},
		tagger.Container("dead"):    {"expired", "kept until", "node_orchestrator runtime"},
		tagger.Container("nobody"):  {"unknown", "docker is off", "node_orchestrator runtime"},
		"kubelet://kubelet-id":      {"complete", "reported by node_orchestrator", ""},
		"":                          {"unknown", "empty", ""},
		"nonsense":                  {"unknown", `"://"`, ""},
		"pod://x":                   {"unknown", `"pod"`, ""},
		"internal://something-else": {"unknown", "nothing has given it any tags", ""},
	} {
		e := w.tagger.Explain(id)
		if e.Completeness != want.completeness || !strings.Contains(e.Reason, want.reason) ||
			strings.Join(e.Waiting, " ") != want.waiting || e.ID != id {
			t.Errorf("Explain(%q) = %+v, want %+v", id, e, want)
		}
	}

	global := w.tagger.Explain(tagger.GlobalEntityID)
	for _, line := range global.Tags {
		if line.Rule == "" {
			t.Errorf("global tag not explained: %+v", line)
		}
	}
	if len(global.Tags) < 3 {
		t.Errorf("global tags: %+v", global.Tags)
	}
}

func TestExplainWhatIsForgotten(t *testing.T) {
	opts := local.Options{}
	opts.TagStore.Grace = -1
	w := newWorld(t, opts, true)
	w.notify(sets(runtime, container("c1", noOne)))
	w.notify(unsets(runtime, container("c1", noOne)))
	w.tagger.Prune()
	if e := w.tagger.Explain(c1); e.Completeness != "expired" ||
		!strings.Contains(e.Reason, "forgotten") || len(e.Tags) != 0 {
		t.Errorf("Explain = %+v", e)
	}
}
