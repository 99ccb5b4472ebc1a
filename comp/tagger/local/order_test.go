package local_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// A stream is what has an order: what one source says of one entity, or what is expected.
type stream []func(*store.Store)

func report(ev wm.CollectorEvent) func(*store.Store) {
	return func(s *store.Store) {
		if err := s.Notify([]wm.CollectorEvent{ev}); err != nil {
			panic(err)
		}
	}
}

// drawStreams draws a world of every kind with every relation, as it is told. Few names, so
// that entities meet; some name what never comes.
func drawStreams(t *rapid.T) (streams []stream, ends bool) {
	pick := func(label string, from ...string) string {
		return rapid.SampledFrom(from).Draw(t, label)
	}
	some := func(label string, from ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID).Draw(t, label)
	}
	labels := func(more ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(more); i += 2 {
			if more[i+1] != "" {
				m[more[i]] = more[i+1]
			}
		}
		if team := pick("team", "", "blue", "red"); team != "" {
			m["team"] = team
		}
		return m
	}
	listed := func() (list []wm.OrchestratorContainer) {
		for _, c := range some("containers", "c1", "c2", "c3") {
			list = append(list, wm.OrchestratorContainer{ID: c, Name: pick("name", "a", "b")})
		}
		return list
	}
	eid := func(kind wm.Kind, id string) wm.EntityID { return wm.EntityID{Kind: kind, ID: id} }
	make := map[wm.EntityID]func(wm.EntityID) wm.Entity{}
	for _, c := range []string{"c1", "c2", "c3"} {
		make[eid(wm.KindContainer, c)] = func(id wm.EntityID) wm.Entity {
			c := &wm.Container{EntityID: id, Runtime: wm.RuntimeDocker, EntityMeta: wm.EntityMeta{
				Name: pick("name", "", "web", "db"), Labels: labels("io.kubernetes.pod.name",
					pick("pod", "", "p1"))}}
			if env := pick("DD_ENV", "", "prod", "dev"); env != "" {
				c.EnvVars = map[string]string{"DD_ENV": env}
			}
			c.GPUDeviceIDs = some("GPUs", "g1", "g2", "0", "0:1", "all")
			if owner := pick("owner", "", "", "p1", "p2", "nobody", "t1"); owner != "" {
				o := eid(wm.KindKubernetesPod, owner)
				if owner == "t1" {
					o.Kind = wm.KindECSTask
				}
				c.Owner = &o
			}
			return c
		}
	}
	for _, p := range []string{"p1", "p2", "mirror"} {
		make[eid(wm.KindKubernetesPod, p)] = func(id wm.EntityID) wm.Entity {
			uid := pick("API UID", "", "mirror")
			ends = ends || uid != "" // what is called so may change
			return &wm.KubernetesPod{EntityID: id, Containers: listed(), APIUID: uid,
				Phase:    pick("phase", "Running", "Pending", "Succeeded"),
				NodeName: pick("node", "", "n1", "n2"),
				EntityMeta: wm.EntityMeta{Name: id.ID, Namespace: pick("namespace", "ns", "ns",
					"ns2"), Labels: labels(
					"kueue.x-k8s.io/queue-name", pick("queue", "", "q1"),
					"kueue.x-k8s.io/podset", pick("podset", "", "main"),
					"tags.datadoghq.com/env", pick("env", "", "label")),
					Annotations: labels("kueue.x-k8s.io/workload", pick("workload", "", "w1"))}}
		}
	}
	for _, task := range []string{"t1", "t2"} {
		make[eid(wm.KindECSTask, task)] = func(id wm.EntityID) wm.Entity {
			return &wm.ECSTask{EntityID: id, Family: "f", ClusterName: pick("cluster", "", "prod"),
				LaunchType: wm.ECSLaunchType(pick("launch", "ec2", "fargate")),
				Containers: listed()}
		}
	}
	make[eid(wm.KindKueueWorkload, "ns/w1")] = func(id wm.EntityID) wm.Entity {
		return &wm.KueueWorkload{EntityID: id, EntityMeta: wm.EntityMeta{Name: "w1",
			Namespace: "ns"}, QueueName: pick("queue", "", "q1"),
			ClusterQueueName: pick("cluster queue", "", "cq1"),
			PodSetAssignments: []wm.PodSetAssignment{
				{Name: "main", Flavors: map[string]string{"cpu": pick("flavor", "f1", "f2")}}}}
	}
	make[eid(wm.KindKueueQueue, "localqueue/ns/q1")] = func(id wm.EntityID) wm.Entity {
		return &wm.KueueQueue{EntityID: id, QueueType: "localqueue",
			EntityMeta:       wm.EntityMeta{Name: "q1", Namespace: "ns", Labels: labels()},
			ClusterQueueName: pick("cluster queue", "", "cq1")}
	}
	make[eid(wm.KindKueueQueue, "clusterqueue//cq1")] = func(id wm.EntityID) wm.Entity {
		return &wm.KueueQueue{EntityID: id, QueueType: "clusterqueue",
			EntityMeta: wm.EntityMeta{Name: "cq1", Labels: labels()}}
	}
	for _, f := range []string{"f1", "f2"} {
		make[eid(wm.KindKueueResourceFlavor, f)] = func(id wm.EntityID) wm.Entity {
			return &wm.KueueResourceFlavor{EntityID: id, EntityMeta: wm.EntityMeta{Name: f},
				NodeAffinityLabels: map[string]string{"nvidia.com/gpu.product": pick("gpu",
					"", "A100")}}
		}
	}
	for _, p := range []string{"1", "2"} {
		make[eid(wm.KindProcess, p)] = func(id wm.EntityID) wm.Entity {
			return &wm.Process{EntityID: id, GPUs: some("GPUs", "g1", "g2")}
		}
	}
	for _, g := range []string{"g1", "g2"} {
		make[eid(wm.KindGPU, g)] = func(id wm.EntityID) wm.Entity {
			return &wm.GPU{EntityID: id, Vendor: pick("vendor", "nvidia", "amd"),
				Index: rapid.IntRange(0, 1).Draw(t, "index"), DeviceType: wm.GPUDeviceType(
					pick("device type", "", "physical", "mig")),
				ChildrenGPUUUIDs: some("slices", "g1", "g2")}
		}
	}
	for _, h := range []string{"h1", "h2"} {
		make[eid(wm.KindHost, h)] = func(id wm.EntityID) wm.Entity {
			return &wm.Host{EntityID: id, HostTags: some("tags", "rack:1", "rack:2", "bare")}
		}
	}
	for _, o := range []string{"/namespaces//ns", "/namespaces//ns2", "/nodes//n1", "/nodes//n2"} {
		make[eid(wm.KindKubernetesMetadata, o)] = func(id wm.EntityID) wm.Entity {
			return &wm.KubernetesMetadata{EntityID: id, EntityMeta: wm.EntityMeta{
				Labels: labels("zone", pick("zone", "", "a", "b"))}}
		}
	}
	for _, s := range []string{"s1", "s2"} {
		make[eid(wm.KindKubernetesService, "ns/"+s)] = func(id wm.EntityID) wm.Entity {
			return &wm.KubernetesService{EntityID: id, EntityMeta: wm.EntityMeta{Name: s,
				Namespace: "ns", Labels: labels()}, Type: "ClusterIP",
				Pods: sortedStrings(some("members", "p1", "p2", "mirror"))}
		}
	}
	other := eid(rapid.SampledFrom(wm.Kinds()).Draw(t, "kind"), "any") // with no relation yet
	make[other] = func(id wm.EntityID) wm.Entity {
		e, err := wm.NewEntity(id)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}

	sources := []wm.Source{runtime, kubelet, cluster}
	mayEnd := rapid.Bool().Draw(t, "may end")
	for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom(sortedIDs(make)), 1, 16,
		rapid.ID).Draw(t, "entities") {
		var own []stream
		ended, withdrawn := false, false
		for _, source := range rapid.SliceOfNDistinct(rapid.SampledFrom(sources), 1, 2,
			rapid.ID).Draw(t, "sources") {
			var s stream
			for range rapid.IntRange(1, 3).Draw(t, "reports") {
				e := make[id](id)
				ended = ended || wm.HasEnded(e)
				if !mayEnd || rapid.IntRange(0, 2).Draw(t, "what") > 0 {
					s = append(s, report(sets(source, e)))
				} else {
					s, withdrawn, ends = append(s, report(unsets(source, e))), true, true
				}
			}
			own = append(own, s)
		}
		if ended && withdrawn {
			// Whether an end beats what another source says depends on who has looked last: what
			// they say is not independent.
			own = []stream{slices.Concat(own...)}
		}
		streams = append(streams, own...)
	}
	for _, kind := range []wm.Kind{wm.KindContainer, wm.KindKubernetesPod, wm.KindECSTask,
		wm.KindKubernetesMetadata, wm.KindKubernetesService} {
		var s stream
		for range rapid.IntRange(0, 2).Draw(t, "expectations") {
			expected := rapid.SliceOfNDistinct(rapid.SampledFrom(sources), 0, 2,
				rapid.ID).Draw(t, "expected")
			s = append(s, func(s *store.Store) { s.Expect(kind, expected) })
		}
		streams = append(streams, s)
	}
	if rapid.Bool().Draw(t, "synced") {
		streams = append(streams, stream{(*store.Store).MarkSynced})
	}
	return streams, ends
}

func sortedIDs[V any](m map[wm.EntityID]V) (ids []wm.EntityID) {
	for _, kind := range wm.Kinds() {
		var names []string
		for id := range m {
			if id.Kind == kind {
				names = append(names, id.ID)
			}
		}
		for _, name := range sortedStrings(names) {
			ids = append(ids, wm.EntityID{Kind: kind, ID: name})
		}
	}
	return ids
}

// ordered are options under which a container's own tags depend on its pod, too.
func ordered(now *stepClock) local.Options {
	opts := local.DefaultOptions()
	opts.SelfContainerID = "none"
	opts.TagStore.Now, opts.TagStore.Elapsed = now.Now, now.Elapsed
	opts.Log = slog.New(slog.DiscardHandler)
	opts.Extract.KubernetesPodLabelsAsTags = map[string]string{"team": "team"}
	opts.Extract.KubernetesNamespaceLabelsAsTags = map[string]string{"team": "team", "zone": "zone"}
	opts.Extract.KubernetesNodeLabelsAsTags = map[string]string{"team": "rack", "zone": "zone"}
	opts.Extract.ContainerLabelsAsTags = map[string]string{"team": "container_team"}
	opts.Extract.Rules = []rules.Rule{{Action: rules.Rename, Renames: []rules.Renaming{
		{Name: "container_name", To: "renamed"}},
		When: []rules.Condition{{Field: rules.Label, Key: "team", Patterns: []string{"blue"}}}}}
	return opts
}

// mirror is what pods may be called as well.
var mirror = tagger.KubernetesPod("mirror")

// known is all that the tagger answers about what the store has, after the grace time.
func known(t *rapid.T, s *store.Store, tg *local.Tagger) map[tagger.EntityID]string {
	if err := tg.CatchUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	out := map[tagger.EntityID]string{}
	ids := []tagger.EntityID{tagger.GlobalEntityID}
	for _, e := range s.Dump() {
		ids = append(ids, extract.TaggerID(e.Entity.GetID()))
		if p, ok := e.Entity.(*wm.KubernetesPod); ok && p.APIUID != "" {
			ids = append(ids, mirror)
		}
	}
	for _, id := range ids {
		if _, err := tg.GetEntity(id); err != nil &&
			(id == tagger.GlobalEntityID || id == mirror) {
			continue // whether it was ever known is history
		}
		var text strings.Builder
		for c := range tagger.NoneCardinality {
			tags, completeness, err := tg.TagWithCompleteness(id, c)
			fmt.Fprintln(&text, c, tags, completeness, err, tg.GetEntityHash(id, c))
		}
		standard, err := tg.Standard(id)
		entity, _ := tg.GetEntity(id)
		fmt.Fprintln(&text, standard, err, entity.Sources)
		out[id] = text.String()
	}
	if n := len(tg.List()); n > len(out) {
		t.Fatalf("%d entities have tags, the store has %d: %v", n, len(out), tg.List())
	}
	return out
}

// Whatever the order in which independent reports come, however they are bundled and
// whenever the tagger looks, the tags are those that a tagger makes that sees the end only.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		streams, ends := drawStreams(t)
		var first map[tagger.EntityID]string
		for try := range 2 {
			now := newStepClock()
			s := store.New(store.Options{Bus: statebus.Options{
				CoalesceAt: rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "coalesce")}})
			tg, err := local.New(s, ordered(now))
			if err != nil {
				t.Fatal(err)
			}
			rest := append([]stream{}, streams...)
			late := rapid.IntRange(0, 8).Draw(t, "start")
			for n := 0; len(rest) > 0; n++ {
				if n == late {
					if err := tg.Start(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				i := rapid.IntRange(0, len(rest)-1).Draw(t, "next")
				if len(rest[i]) == 0 {
					rest = append(rest[:i:i], rest[i+1:]...)
					continue
				}
				rest[i][0](s)
				rest[i] = rest[i][1:]
				if n > late && rapid.Bool().Draw(t, "wait") {
					if err := tg.CatchUp(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = tg.Start(context.Background()) // unless it has started
			if err := tg.CatchUp(context.Background()); err != nil {
				t.Fatal(err)
			}
			if ends { // what has left has a grace time; nothing else has
				now.advance(time.Hour)
				tg.Prune()
			}
			got := known(t, s, tg)

			fresh, err := local.New(s, ordered(now))
			if err != nil {
				t.Fatal(err)
			}
			if err := fresh.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			want := known(t, s, fresh)
			for _, stop := range []*local.Tagger{tg, fresh} {
				if err := stop.Stop(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			s.Close()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("order %d differs from a fresh tagger (-fresh +followed):\n%s", try, diff)
			}
			if try == 0 {
				first = got
			} else if diff := cmp.Diff(first, got); diff != "" {
				t.Fatalf("two orders differ (-first +second):\n%s", diff)
			}
		}
	})
}

// What goes keeps all the tags it had for the grace time, whichever of a container and its
// pod or task goes first, and whether or not the tagger has seen them alive.
func TestWhatGoesKeepsAllOfItsTags(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := newStepClock()
		var want map[tagger.EntityID]string
		for _, lagging := range []bool{false, true} {
			s := store.New(store.Options{Bus: statebus.Options{CoalesceAt: 1}})
			opts := local.DefaultOptions()
			opts.SelfContainerID = "none"
			opts.TagStore.Now, opts.TagStore.Elapsed = now.Now, now.Elapsed
			tg, err := local.New(s, opts)
			if err != nil {
				t.Fatal(err)
			}
			shuffled := func(label string, event func(wm.Source, wm.Entity) wm.CollectorEvent,
				after func()) {
				all := []wm.Entity{container("c1", ofP1), container("c2", noOne),
					container("c3", noOne), pod("p1", "c1", "c2"), task("arn", "prod", "c3")}
				for _, e := range rapid.Permutation(all).Draw(t, label) {
					report(event(runtime, e))(s)
					after()
				}
			}
			catchUp := func() {
				if err := tg.CatchUp(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if lagging {
				shuffled("come", sets, func() {})
				shuffled("go", unsets, func() {})
			}
			if err := tg.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			if !lagging {
				shuffled("come", sets, func() {})
				catchUp()
				shuffled("go", unsets, func() {
					if rapid.Bool().Draw(t, "wait") {
						catchUp()
						now.advance(time.Minute / 2)
					}
				})
			}
			catchUp()
			now.advance(tagsStay)
			tg.Prune()
			got := map[tagger.EntityID]string{}
			for _, e := range tg.List() {
				got[e.ID] = fmt.Sprint(e.LowCardTags, e.OrchestratorCardTags, e.HighCardTags,
					e.Completeness)
			}
			if err := tg.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
			s.Close()
			if !strings.Contains(got[c1], "pod_name:pod-p1") ||
				!strings.Contains(got[c2], "pod_name:pod-p1") ||
				!strings.Contains(got[tagger.Container("c3")], "task_arn:arn") {
				t.Fatalf("lagging %t: %v", lagging, got)
			}
			delete(got, tagger.GlobalEntityID)
			if want == nil {
				want = got
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("a tagger that lags keeps other tags (-keeping up +lagging):\n%s", diff)
			}
		}
	})
}
