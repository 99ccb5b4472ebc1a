package inspect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/replay"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	webID   = "3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b3f0c9a1b"
	oldID   = "sha256:0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d"
	newID   = "sha256:ffff2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d"
	podID   = "6b1f3a52-7c1e-4d0a-9a54-0c1d2e3f4a5b"
	process = "1201"
)

// world is a store with a tagger, and something to ask about.
type world struct {
	t      *testing.T
	store  *store.Store
	tagger *local.Tagger
	*inspect.Local
}

func newWorld(t *testing.T, lines string, excluded ...rules.Rule) *world {
	t.Helper()
	opts := local.DefaultOptions()
	opts.SelfContainerID, opts.Extract.Rules = "none", excluded
	w := &world{t: t, store: store.New(store.Options{})}
	var err error
	if w.tagger, err = local.New(w.store, opts); err != nil {
		t.Fatal(err)
	}
	w.Local = inspect.New(inspect.Options{Store: w.store, Tagger: w.tagger})
	w.Start()
	if err := w.tagger.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Stop()
		if err := w.tagger.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		w.store.Close()
	})
	w.feed(lines)
	return w
}

// feed gives the store the lines of a recording.
func (w *world) feed(lines string) {
	w.t.Helper()
	events, _, err := replay.Load(write(w.t, lines), replay.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, ev := range events {
		if err := w.store.Notify([]workloadmeta.CollectorEvent{ev}); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.tagger.CatchUp(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const shop = `{"type":"set","source":"runtime","entity":{"kind":"container","id":"` + webID + `","name":"web","labels":{"com.datadoghq.tags.service":"web","team":"shop"},"image":{"id":"` + oldID + `","raw_name":"acme/web:stable","name":"acme/web","tag":"stable"},"owner":{"kind":"kubernetes_pod","id":"` + podID + `"}}}
{"type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"` + podID + `","name":"cart-0","namespace":"shop"}}
{"type":"set","source":"process_collector","entity":{"kind":"process","id":"` + process + `","pid":1201,"name":"nginx","container_id":"` + webID + `"}}
{"type":"set","source":"runtime","entity":{"kind":"container_image_metadata","id":"` + oldID + `","labels":{"com.datadoghq.tags.service":"web"}}}
{"type":"set","source":"runtime","entity":{"kind":"container_image_metadata","id":"` + newID + `","repo_tags":["acme/web:stable"]}}
`

// What people type, whatever it is, finds the one thing that is meant.
func TestNames(t *testing.T) {
	w := newWorld(t, shop)
	for text, want := range map[string]string{
		"web": webID, webID: webID, webID[:12]: webID, "container/web": webID, "c/web": webID,
		"docker://" + webID: webID, "docker://3f0c9a1b": webID, "container_id://" + webID: webID,
		"cart-0": podID, "shop/cart-0": podID, "pod/cart-0": podID, "pod/shop/cart-0": podID,
		"kubernetes_pod_uid://" + podID: podID, "kubernetes_pod://" + podID: podID,
		process: process, "process/1201": process, "process://1201": process, "nginx": process,
		"acme/web:stable": newID, "image/acme/web:stable": newID, "0a1b2c3d": oldID,
	} {
		got, err := w.Get(t.Context(), inspect.GetRequest{Name: inspect.Name{Text: text}})
		if err != nil || got.Workload.GetID().ID != want {
			t.Errorf("Get(%q) = %v, %v; want %s", text, got.Workload, err, want)
		}
	}
	for text, want := range map[string]string{
		"":              "the ID or name is empty",
		"foo://x":       `unknown prefix "foo"`,
		"wbe":           "did you mean web?",
		"shop/crat-0":   "did you mean shop/cart-0?",
		"process/7":     "no process 7",
		"container/x":   "no container has the ID or name",
		"docker://zzzz": "no container has the ID or name",
	} {
		_, err := w.Get(t.Context(), inspect.GetRequest{Name: inspect.Name{Text: text}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Get(%q): %v, want %q", text, err, want)
		}
	}
}

// Whoever has the UID of a static pod from the API server asks for that one.
func TestAStaticPodIsFoundByEitherUID(t *testing.T) {
	w := newWorld(t,
		`{"type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"0f3c9a1b","name":"etcd-node-1","namespace":"kube-system","api_uid":"`+podID+`"}}`)
	for _, text := range []string{"0f3c9a1b", podID, "kubernetes_pod_uid://" + podID,
		"kubernetes_pod://" + podID, "kube-system/etcd-node-1"} {
		e, err := w.Get(t.Context(), inspect.GetRequest{Name: inspect.Name{Text: text}})
		if err != nil || e.Workload.GetID().ID != "0f3c9a1b" {
			t.Errorf("get %s: %v, %v", text, e.Workload, err)
		}
		tags, err := w.TagsOf(t.Context(), inspect.GetRequest{Name: inspect.Name{Text: text}})
		if err != nil || tags.Name != "kube-system/etcd-node-1" || len(tags.Low) == 0 {
			t.Errorf("tags %s: %+v, %v", text, tags, err)
		}
		x, err := w.Explain(t.Context(), inspect.ExplainRequest{Name: inspect.Name{Text: text}})
		if err != nil || len(x.Tags) == 0 {
			t.Errorf("explain %s: %+v, %v", text, x, err)
		}
	}
}

func TestBothUIDsOfAStaticPodAreListedByName(t *testing.T) {
	w := newWorld(t, `{"type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"0f3c9a1b","name":"etcd-node-1","namespace":"kube-system","api_uid":"`+podID+`"}}`)
	list, err := w.Tags(t.Context(), inspect.TagsRequest{})
	if err != nil || len(list) != 2 || list[0].Name != "kube-system/etcd-node-1" ||
		list[1].Name != list[0].Name {
		t.Errorf("%+v, %v; want the pod under both UIDs", list, err)
	}
}

func TestNearNamesAreFew(t *testing.T) {
	w := newWorld(t, shop)
	_, err := w.Get(t.Context(), inspect.GetRequest{Name: inspect.Name{Text: "we"}})
	missing, ok := errors.AsType[*inspect.NotFoundError](err)
	if !ok || !slices.Equal(missing.Near, []string{"web"}) {
		t.Errorf("%v", err)
	}
}

// Lists are narrowed by names and by any field that is shown.
func TestListsAreNarrowed(t *testing.T) {
	w := newWorld(t, shop)
	for _, tc := range []struct {
		names []string
		where inspect.Condition
		want  int
	}{
		{names: []string{"w*"}, want: 1}, {names: []string{"x*"}}, {names: []string{"nginx", "web"}, want: 2},
		{names: []string{webID[:8]}, want: 1},
		{where: inspect.Condition{Field: "image", Pattern: "acme/*"}, want: 1},
		{where: inspect.Condition{Field: "image", Pattern: "acme/web"}, want: 1},
		{where: inspect.Condition{Field: "labels.team", Pattern: "shop"}, want: 1},
		{where: inspect.Condition{Field: "tags", Pattern: "service:web"}, want: 2},
		{where: inspect.Condition{Field: "pid", Pattern: "1201"}, want: 1},
		{where: inspect.Condition{Field: "labels.team", Pattern: "*"}, want: 1},
		{where: inspect.Condition{Field: "nothing", Pattern: "*"}},
	} {
		r := inspect.ListRequest{Kinds: inspect.Running(), Names: tc.names}
		if tc.where.Field != "" {
			r.Where = []inspect.Condition{tc.where}
		}
		list, err := w.List(t.Context(), r)
		if err != nil || len(list.Entities) != tc.want {
			t.Errorf("%q %v: %d entities, %v; want %d", tc.names, tc.where, len(list.Entities), err,
				tc.want)
		}
	}
	list, err := w.List(t.Context(), inspect.ListRequest{Kinds: inspect.Running()})
	if err != nil || list.Names["kubernetes_pod/"+podID] != "shop/cart-0" ||
		list.Names["container/"+webID] != "web" {
		t.Errorf("names of references: %v, %v", list.Names, err)
	}
}

// What kubectl's users type means here what it means there.
func TestListsAreNarrowedAsWithKubectl(t *testing.T) {
	w := newWorld(t, `
{"type":"set","source":"cluster_orchestrator","entity":{"kind":"kubernetes_metadata","id":"/namespaces//shop","name":"shop"}}
{"type":"set","source":"cluster_orchestrator","entity":{"kind":"kubernetes_metadata","id":"/nodes//shop","name":"shop"}}
{"type":"set","source":"cluster_orchestrator","entity":{"kind":"kubernetes_metadata","id":"batch/cronjobs/shop/nightly","name":"nightly","namespace":"shop"}}
{"type":"set","source":"cluster_orchestrator","entity":{"kind":"kubernetes_deployment","id":"bank/web","name":"web","namespace":"bank","labels":{"app":"web"}}}
{"type":"set","source":"cluster_orchestrator","entity":{"kind":"kubernetes_service","id":"shop/web","name":"web","namespace":"shop"}}
{"type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"p1","name":"web-0","namespace":"shop","labels":{"app":"web","tier":"front"},"containers":[{"id":"c1"}]}}
{"type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"p2","name":"web-0","namespace":"bank","labels":{"app":"web"}}}
{"type":"set","source":"runtime","entity":{"kind":"container","id":"c1","labels":{"tier":"own"}}}
{"type":"set","source":"runtime","entity":{"kind":"container","id":"c2","labels":{"io.kubernetes.pod.namespace":"bank"}}}
{"type":"set","source":"runtime","entity":{"kind":"container","id":"c3","namespace":"shop"}}
{"type":"set","source":"process_collector","entity":{"kind":"process","id":"7","pid":7,"container_id":"c1"}}
{"type":"set","source":"process_collector","entity":{"kind":"process","id":"8","pid":8}}`)
	all := workloadmeta.Kinds()
	for _, tc := range []struct {
		kinds []workloadmeta.Kind
		inspect.Narrowing
		want string
	}{
		{all, inspect.Narrowing{Namespace: "bank"}, "bank/web c2 p2 /namespaces//shop /nodes//shop"},
		{inspect.Running(), inspect.Narrowing{Namespace: "shop"}, "7 c1 p1"},
		{inspect.Running(), inspect.Narrowing{Selector: "app=web"}, "7 c1 p1 p2"},
		{inspect.Running(), inspect.Narrowing{Selector: "app,tier!=front"}, "7 c1 p2"},
		{inspect.Running(), inspect.Narrowing{Namespace: "shop", Selector: "tier in (front)"}, "p1"},
		{[]workloadmeta.Kind{workloadmeta.KindKubernetesMetadata},
			inspect.Narrowing{Resources: []string{"namespaces"}}, "/namespaces//shop"},
		{[]workloadmeta.Kind{workloadmeta.KindKubernetesMetadata, workloadmeta.KindKubernetesService},
			inspect.Narrowing{Resources: []string{"nodes"}}, "/nodes//shop shop/web"},
	} {
		list, err := w.List(t.Context(),
			inspect.ListRequest{Kinds: tc.kinds, Narrowing: tc.Narrowing})
		var got []string
		for _, e := range list.Entities {
			got = append(got, e.Workload.GetID().ID)
		}
		want := strings.Fields(tc.want)
		if slices.Sort(got); err != nil || !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%+v: %q, %v; want %q", tc.Narrowing, got, err, want)
		}
	}
	_, err := w.List(t.Context(), inspect.ListRequest{Kinds: all,
		Narrowing: inspect.Narrowing{Selector: "a=="}})
	if err != nil {
		t.Errorf("an empty value: %v", err)
	}
	_, err = w.List(t.Context(), inspect.ListRequest{Kinds: all,
		Narrowing: inspect.Narrowing{Selector: "a,"}})
	if _, invalid := errors.AsType[*inspect.InvalidError](err); !invalid {
		t.Errorf("half a selector: %v, want an InvalidError", err)
	}
	for text, want := range map[string]string{"ns/shop": "/namespaces//shop",
		"node/shop": "/nodes//shop", "po/shop/web-0": "p1", "svc/web": "shop/web",
		"deploy/web": "bank/web"} {
		e, err := w.Get(t.Context(), inspect.GetRequest{Name: inspect.Name{Text: text}})
		if err != nil || e.Workload.GetID().ID != want {
			t.Errorf("get %s: %v, %v; want %s", text, e.Workload, err, want)
		}
	}
	_, err = w.Get(t.Context(), inspect.GetRequest{Name: inspect.Name{Text: "ns/shpo"}})
	if err == nil || !strings.Contains(err.Error(), `no namespace has the ID or name "shpo"`) {
		t.Errorf("get ns/shpo: %v", err)
	}
}

// A process has the tags of its container in every answer.
func TestAProcessHasItsContainersTags(t *testing.T) {
	w := newWorld(t, shop)
	name := inspect.Name{Kind: workloadmeta.KindProcess, Text: process}
	got, err := w.Get(t.Context(), inspect.GetRequest{Name: name})
	if err != nil || !slices.Contains(got.Tags, "service:web") {
		t.Errorf("Get: %v, %v", got.Tags, err)
	}
	tags, err := w.TagsOf(t.Context(), inspect.GetRequest{Name: name})
	if err != nil || !slices.Contains(tags.Low, "service:web") || tags.ID != "process://1201" {
		t.Errorf("TagsOf: %+v, %v", tags, err)
	}
	x, err := w.Explain(t.Context(), inspect.ExplainRequest{Name: name})
	if err != nil || x.Container == nil || len(x.Container.Tags) == 0 ||
		x.Completeness != x.Container.Completeness {
		t.Errorf("Explain: %+v, %v", x, err)
	}
}

// Of a container's image it is said when its name has moved on, and which labels are the image's.
func TestWhatAContainerOwesToItsImage(t *testing.T) {
	w := newWorld(t, shop)
	x, err := w.Explain(t.Context(), inspect.ExplainRequest{Name: inspect.Name{Text: "web"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "acme/web:stable names another image by now, ffff2c3d0a1b; the container was started " +
		"from 0a1b2c3d0a1b"; !slices.Equal(x.Notes, []string{want}) {
		t.Errorf("notes %q, want %q", x.Notes, want)
	}
	found := slices.ContainsFunc(x.Tags, func(tag tagger.TagExplanation) bool {
		return tag.Tag == "service:web" && strings.HasSuffix(tag.Field, " of the image")
	})
	if !found {
		t.Errorf("no tag is said to be of the image: %+v", x.Tags)
	}
}

// What rules leave out is left out for as long as its tags are there, and no longer remembered.
func TestWhatRulesLeaveOutStaysOutAfterItsEnd(t *testing.T) {
	w := newWorld(t, shop, rules.Rule{Action: rules.Exclude, Purpose: rules.Everything,
		When: []rules.Condition{{Field: rules.Name, Patterns: []string{"web"}}}})
	has := func(all bool) bool {
		t.Helper()
		list, err := w.Tags(t.Context(), inspect.TagsRequest{All: all})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(list,
			func(e inspect.Tagged) bool { return e.ID == tagger.Container(webID) })
	}
	if has(false) || !has(true) {
		t.Errorf("while it runs: %t, with all %t; want false, true", has(false), has(true))
	}
	w.feed(`{"type":"unset","source":"runtime","entity":{"kind":"container","id":"` + webID + `"}}`)
	if has(false) || !has(true) {
		t.Errorf("after its end: %t, with all %t; want false, true", has(false), has(true))
	}
}

// Whoever asks while, or after, it is stopped gets an answer.
func TestTagsAreToldAfterStop(t *testing.T) {
	w := newWorld(t, "")
	w.Stop()
	w.feed(`{"type":"set","source":"runtime","entity":{"kind":"container","id":"` + webID +
		`","name":"web","runtime":"docker"}}`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	list, err := w.Tags(ctx, inspect.TagsRequest{Cardinality: tagger.HighCardinality})
	if err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// Answers can be sent and read again.
func TestEntitiesAreData(t *testing.T) {
	w := newWorld(t, shop+
		`{"type":"set","source":"s","entity":{"kind":"ecs_task","id":"arn:x/1","family":"mail","tags":{"a":"b"}}}`)
	list, err := w.List(t.Context(), inspect.ListRequest{Kinds: workloadmeta.Kinds()})
	if err != nil || len(list.Entities) < 6 {
		t.Fatalf("%d entities, %v", len(list.Entities), err)
	}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var back inspect.List
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	for i, e := range list.Entities {
		if b := back.Entities[i]; !b.Workload.Equal(e.Workload) || !slices.Equal(b.Tags, e.Tags) ||
			!slices.Equal(b.Sources, e.Sources) || b.ExcludedBy != e.ExcludedBy {
			t.Errorf("%v came back as %v", e, b)
		}
	}
}

func open(t *testing.T, path string) *inspect.Recording {
	t.Helper()
	r, err := inspect.OpenRecording(t.Context(), path, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// The replay collector and an inspector with a recording fill a store alike.
func TestOnePlayer(t *testing.T) {
	path := write(t, shop+
		`{"type":"unset","source":"process_collector","entity":{"kind":"process","id":"`+process+
		`"}}`)
	opts := local.DefaultOptions()
	opts.SelfContainerID = "none"
	tags := func(fill func(*store.Store, *local.Tagger) *inspect.Local) string {
		t.Helper()
		s := store.New(store.Options{})
		defer s.Close()
		tag, err := local.New(s, opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := tag.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tag.Stop(context.Background()) }()
		l := fill(s, tag)
		l.Start()
		defer l.Stop()
		list, err := l.Tags(t.Context(), inspect.TagsRequest{Cardinality: tagger.HighCardinality})
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	played := tags(func(s *store.Store, tag *local.Tagger) *inspect.Local {
		return inspect.New(inspect.Options{Store: s, Tagger: tag,
			Recording: open(t, path)})
	})
	collected := tags(func(s *store.Store, tag *local.Tagger) *inspect.Local {
		c, err := replay.New(replay.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		super, err := collection.New(collection.Options{Store: s,
			Collectors: []workloadmeta.Collector{c}})
		if err != nil {
			t.Fatal(err)
		}
		if err := super.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = super.Stop(context.Background()) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.WaitSynced(ctx); err != nil {
			t.Fatal(err)
		}
		if err := tag.CatchUp(ctx); err != nil {
			t.Fatal(err)
		}
		return inspect.New(inspect.Options{Store: s, Tagger: tag, Collectors: super})
	})
	if played != collected || !strings.Contains(played, "service:web") {
		t.Errorf("played:\n%s\ncollected:\n%s", played, collected)
	}
}

// Watch ends with the recording, also if that was played for an earlier question.
func TestWatchEndsWithARecordingThatWasPlayed(t *testing.T) {
	w := newWorld(t, "")
	l := inspect.New(inspect.Options{Store: w.store, Tagger: w.tagger,
		Recording: open(t, write(t, shop))})
	if _, err := l.List(t.Context(), inspect.ListRequest{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := 0
	for c, err := range l.Watch(ctx, inspect.WatchRequest{}) {
		if err != nil || !c.Snapshot {
			t.Errorf("%+v, %v", c, err)
		}
		n++
	}
	if n == 0 || ctx.Err() != nil {
		t.Errorf("%d changes; %v", n, ctx.Err())
	}
}

// What comes into a namespace, gets labels or loses them by a change of its pod or its container
// comes and goes.
func TestWatchANamespaceAndLabels(t *testing.T) {
	const recorded = `{"time":"2026-01-01T00:00:00Z","type":"set","source":"process_collector","entity":{"kind":"process","id":"7","pid":7,"container_id":"c1"}}
{"time":"2026-01-01T00:00:01Z","type":"set","source":"runtime","entity":{"kind":"container","id":"c1","name":"main"}}
{"time":"2026-01-01T00:00:02Z","type":"set","source":"runtime","entity":{"kind":"container","id":"c2","name":"other"}}
{"time":"2026-01-01T00:00:03Z","type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"p2","name":"web-0","namespace":"bank","labels":{"app":"web"},"containers":[{"id":"c2"}]}}
{"time":"2026-01-01T00:00:04Z","type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"p1","name":"web-0","namespace":"shop","labels":{"app":"web"},"containers":[{"id":"c1"}]}}
{"time":"2026-01-01T00:00:05Z","type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"p1","name":"web-0","namespace":"shop","labels":{"app":"db"},"containers":[{"id":"c1"}]}}
{"time":"2026-01-01T00:00:06Z","type":"unset","source":"node_orchestrator","entity":{"kind":"kubernetes_pod","id":"p1"}}
{"time":"2026-01-01T00:00:07Z","type":"unset","source":"runtime","entity":{"kind":"container","id":"c1"}}`
	for _, tc := range []struct {
		n     inspect.Narrowing
		kinds []workloadmeta.Kind
		want  string
	}{
		{inspect.Narrowing{Namespace: "shop", Selector: "app=web"}, nil,
			"4+c1 4+p1 4+7 5-c1 5-p1 5-7"},
		{inspect.Narrowing{Namespace: "shop"}, nil, "4+c1 4+p1 4+7 5+p1 6-c1 6-p1 6-7"},
		{inspect.Narrowing{Namespace: "shop"}, []workloadmeta.Kind{workloadmeta.KindProcess},
			"4+7 6-7"},
		{inspect.Narrowing{Selector: "app=web"}, []workloadmeta.Kind{workloadmeta.KindContainer},
			"3+c2 4+c1 5-c1"},
	} {
		w := newWorld(t, "")
		l := inspect.New(inspect.Options{Store: w.store, Tagger: w.tagger,
			Recording: open(t, write(t, recorded))})
		var got []string
		for c, err := range l.Watch(t.Context(),
			inspect.WatchRequest{Kinds: tc.kinds, Narrowing: tc.n}) {
			if err != nil {
				t.Fatal(err)
			}
			sign := "+"
			if c.Type == workloadmeta.EventTypeUnset {
				sign = "-"
			}
			got = append(got, fmt.Sprint(c.Time.Second(), sign, c.Entity.Workload.GetID().ID))
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%+v of %v: %q, want %q", tc.n, tc.kinds, got, tc.want)
		}
	}
}

// Who watches a recording may ask from the loop, and watch once more: the answers are of the moment
// that has come.
func TestAskWhileWatchingARecording(t *testing.T) {
	w := newWorld(t, "")
	l := inspect.New(inspect.Options{Store: w.store, Tagger: w.tagger,
		Recording: open(t, write(t, shop))})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n, asked, again := 0, 0, 0
	for _, err := range l.Watch(ctx, inspect.WatchRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n > 1 {
			continue
		}
		list, err := l.List(ctx, inspect.ListRequest{Kinds: workloadmeta.Kinds()})
		if err != nil {
			t.Fatal(err)
		}
		asked = len(list.Entities)
		for range l.Watch(ctx, inspect.WatchRequest{}) {
			again++
		}
	}
	if n < 2 || asked == 0 || again == 0 || ctx.Err() != nil {
		t.Errorf("%d changes, %d entities asked for, %d watched again; %v", n, asked, again,
			ctx.Err())
	}
}

// What ended before the first time that a recording tells keeps its tags for the grace time of the
// recording, whatever the time is that it is played at.
func TestGraceTimeOfARecordingThatBeginsWithoutTimes(t *testing.T) {
	line := func(kind, id, at string) string {
		return `{"type":"` + kind + `"` + at + `,"source":"runtime","entity":{"kind":"container",` +
			`"id":"` + id + `","name":"` + id + `"}}` + "\n"
	}
	for _, year := range []string{"2001", "2101"} {
		for end, want := range map[string]error{"00:04:00": nil, "00:10:00": tagger.ErrExpired} {
			at := func(hour string) string { return `,"time":"` + year + "-03-01T" + hour + `Z"` }
			r := open(t, write(t, line("set", "a", "")+line("unset", "a", "")+
				line("set", "b", at("00:00:00"))+line("set", "c", at(end))))
			opts := local.DefaultOptions()
			opts.SelfContainerID = "none"
			opts.TagStore.Now, opts.TagStore.Elapsed = r.Now, r.Elapsed
			s := store.New(store.Options{})
			tags, err := local.New(s, opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := tags.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			l := inspect.New(inspect.Options{Store: s, Tagger: tags, Recording: r})
			if _, err := l.List(t.Context(), inspect.ListRequest{}); err != nil {
				t.Fatal(err)
			}
			_, got := tags.Tags("container_id://a", tagger.HighCardinality)
			if !errors.Is(got, want) {
				t.Errorf("in %s, at %s: %v, want %v", year, end, got, want)
			}
			if err := tags.Stop(context.Background()); err != nil {
				t.Error(err)
			}
			s.Close()
		}
	}
}

// waiting is a collector whose source is not there.
type waiting struct{ id string }

func (w waiting) Describe() workloadmeta.Description {
	return workloadmeta.Description{ID: w.id, Source: workloadmeta.SourceRuntime,
		Kinds: []workloadmeta.Kind{workloadmeta.KindContainer}}
}

func (w waiting) Detect(context.Context) workloadmeta.Detection {
	return workloadmeta.Detection{State: workloadmeta.Absent, Cause: workloadmeta.CauseAbsent,
		Reason: "no socket at /run/x.sock", Hint: "set x.host"}
}

func (w waiting) Pull(context.Context, workloadmeta.Sink) error { return nil }

// A source that is not there is worth a word where the environment names it.
func TestFirstAnswers(t *testing.T) {
	w := newWorld(t, "")
	super, err := collection.New(collection.Options{Store: w.store,
		Collectors: []workloadmeta.Collector{waiting{"docker"}, waiting{"podman"}}})
	if err != nil {
		t.Fatal(err)
	}
	l := inspect.New(inspect.Options{Store: w.store, Tagger: w.tagger, Collectors: super,
		Asked: map[string]string{"podman": "podman.sockets is set by --set"},
		Named: map[string]bool{"docker": true}})
	answers := func(wait time.Duration) []inspect.FirstAnswer {
		t.Helper()
		list, err := l.FirstAnswers(t.Context(), inspect.FirstAnswersRequest{Wait: wait})
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v, %v", list, err)
		}
		return list
	}
	if now := answers(0); now[0].Result != collection.Pending || now[0].Notable {
		t.Errorf("before the collectors run: %+v", now[0])
	}
	if err := super.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = super.Stop(context.Background()) }()
	list := answers(time.Minute)
	if d := list[0]; d.ID != "docker" || d.Result != collection.NotDetected || !d.Notable ||
		d.Asked != "" || d.Reason == "" {
		t.Errorf("the one that the environment names: %+v", d)
	}
	if p := list[1]; p.Notable || p.Asked != "podman.sockets is set by --set" {
		t.Errorf("the one that was asked for: %+v", p)
	}
}

// Who sees containers without names is told that their runtime has not been asked, and why.
func TestContainersThatTheirRuntimeDoesNotTellOf(t *testing.T) {
	w := newWorld(t,
		`{"type":"set","source":"process_collector","entity":{"kind":"container","id":"`+
			webID+`","runtime":"docker"}}`)
	super, err := collection.New(collection.Options{Store: w.store,
		Collectors: []workloadmeta.Collector{waiting{"docker"}, waiting{"podman"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := super.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = super.Stop(context.Background()) }()
	if _, err := super.WaitFirstPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := inspect.New(inspect.Options{Store: w.store, Tagger: w.tagger, Collectors: super})
	list, err := l.List(t.Context(), inspect.ListRequest{
		Kinds: []workloadmeta.Kind{workloadmeta.KindContainer}})
	want := "1 container of docker known by processes alone; collector docker is waiting: no socket at " +
		"/run/x.sock; set x.host"
	if err != nil || !slices.Equal(list.Notes, []string{want}) {
		t.Errorf("notes of the list: %q, %v; want %q", list.Notes, err, want)
	}
	x, err := l.Explain(t.Context(), inspect.ExplainRequest{Name: inspect.Name{Text: webID}})
	if err != nil || !slices.Equal(x.Notes, []string{want}) {
		t.Errorf("notes of the explanation: %q, %v; want %q", x.Notes, err, want)
	}
	if want := "every source that could be asked has reported it"; x.Reason != want {
		t.Errorf("reason %q, want %q", x.Reason, want)
	}
	// Nearest names first; who has nothing to collect here is named in few words.
	_, err = l.Get(t.Context(), inspect.GetRequest{Name: inspect.Name{Text: "nope"}})
	if err == nil ||
		err.Error() != `nothing has the ID or name "nope"; collectors that are waiting: `+
			`docker, podman; "rollcall status" says why` {
		t.Errorf("not found: %v", err)
	}
}

// A subscriber that does not take what waits for it is named, with how far behind it is.
func TestStatusNamesWhoLags(t *testing.T) {
	w := newWorld(t, "")
	slow := w.store.Subscribe("slow", nil)
	defer slow.Close()
	w.feed(shop)
	s, err := w.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range s.Store.Subscribers {
		if lags := sub.Lag > 0 && sub.Pending > 0; lags != (sub.Name == "slow") {
			t.Errorf("%+v", sub)
		}
	}
	if len(s.Store.Subscribers) != 3 {
		t.Errorf("%d subscribers, want the tagger, inspect and slow", len(s.Store.Subscribers))
	}
}

// losing reports a container and loses its daemon at once, for ever.
// It embeds none of the others: an empty Pull would withdraw what the stream has reported.
type losing struct{}

func (losing) Describe() workloadmeta.Description { return waiting{"docker"}.Describe() }

func (losing) Detect(context.Context) workloadmeta.Detection {
	return workloadmeta.Detection{State: workloadmeta.Detected}
}

func (losing) Stream(_ context.Context, sink workloadmeta.Sink) error {
	sink.Set(&workloadmeta.Container{EntityID: workloadmeta.EntityID{
		Kind: workloadmeta.KindContainer, ID: webID}})
	sink.Synced()
	return collection.Permanent(errors.New("the daemon was uninstalled"))
}

// partly is live, but for some of its parts.
type partly struct{ waiting }

func (partly) Detect(context.Context) workloadmeta.Detection {
	return workloadmeta.Detection{State: workloadmeta.Detected}
}

func (partly) Parts() []collection.Part {
	denied := workloadmeta.Problem{Reason: "forbidden", Hint: "grant list and watch"}
	return []collection.Part{
		{Name: "pods", State: collection.StateDegraded, Kind: workloadmeta.KindKubernetesPod,
			Problem: denied},
		{Name: "services", State: collection.StateLive, Kind: workloadmeta.KindKubernetesService,
			Problem: workloadmeta.Problem{Reason: "all is well"}},
		{Name: "namespaces", State: collection.StateSyncing,
			Kind: workloadmeta.KindKubernetesMetadata},
		{Name: "things.example.org", State: collection.StateWaiting,
			Kind:    workloadmeta.KindKubernetesMetadata,
			Problem: workloadmeta.Problem{Cause: workloadmeta.CauseAbsent}},
		{Name: "events", State: collection.StateDegraded, Problem: denied},
	}
}

// Who lists a kind of which a part of a collector should tell, and does not, is told so.
func TestAListSaysWhatItMayLack(t *testing.T) {
	w := newWorld(t, "")
	super, err := collection.New(collection.Options{Store: w.store,
		Collectors: []workloadmeta.Collector{partly{waiting{"docker"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := super.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = super.Stop(context.Background()) }()
	if _, err := super.WaitFirstPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := inspect.New(inspect.Options{Store: w.store, Tagger: w.tagger, Collectors: super})
	const ofPods = "something may be missing: pods of collector docker: degraded: forbidden; " +
		"grant list and watch"
	const ofNamespaces = "something may be missing: namespaces of collector docker: syncing"
	for _, tc := range []struct {
		kinds     []workloadmeta.Kind
		resources []string
		want      []string
	}{
		{inspect.Running(), nil, []string{ofPods}},
		{[]workloadmeta.Kind{workloadmeta.KindKubernetesService}, nil, nil},
		{[]workloadmeta.Kind{workloadmeta.KindKubernetesMetadata}, nil, []string{ofNamespaces}},
		{[]workloadmeta.Kind{workloadmeta.KindKubernetesMetadata}, []string{"nodes"}, nil},
		{workloadmeta.Kinds(), []string{"namespaces"}, []string{ofPods, ofNamespaces}},
	} {
		list, err := l.List(t.Context(), inspect.ListRequest{Kinds: tc.kinds,
			Narrowing: inspect.Narrowing{Resources: tc.resources}})
		if err != nil || !slices.Equal(list.Notes, tc.want) {
			t.Errorf("%v %v: %q, %v; want %q", tc.kinds, tc.resources, list.Notes, err, tc.want)
		}
	}
}

// Why something was withdrawn that nobody could confirm is told for as long as it is remembered.
func TestWhatNobodyConfirmedIsExplained(t *testing.T) {
	w := newWorld(t, "")
	super, err := collection.New(collection.Options{Store: w.store,
		Collectors:  []workloadmeta.Collector{losing{}},
		ForgetAfter: 40 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := super.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = super.Stop(context.Background()) }()
	l := inspect.New(inspect.Options{Store: w.store, Tagger: w.tagger, Collectors: super})
	id := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: webID}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, ok := super.Forgotten(id); ok {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatal("it is not withdrawn")
		}
	}
	if err := w.tagger.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	x, err := l.Explain(t.Context(), inspect.ExplainRequest{Name: inspect.Name{Text: webID}})
	if err != nil || x.Forgotten == nil || x.Forgotten.Reporter != "docker" ||
		!strings.Contains(x.Forgotten.Reason, "nobody has confirmed it") || len(x.Tags) == 0 {
		t.Errorf("explanation %+v, %v", x, err)
	}
}
