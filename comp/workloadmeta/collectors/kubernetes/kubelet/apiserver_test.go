package kubelet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
	"github.com/rollcall-dev/rollcall/pkg/env"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

const podPath = "/api/v1/pods"

// Where the kubelet cannot be asked the API server is, and the kubelet again when it can.
func TestAPIServerAsLong(t *testing.T) {
	r := newRig(t)
	r.api = fakekube.New(podPath)
	r.api.Put(podPath, pod("web"))
	far := pod("far")
	far.Spec.NodeName = "node-2"
	r.api.Put(podPath, far)
	kubeconfig := filepath.Join(r.root, "config")
	if err := os.WriteFile(kubeconfig, []byte(`{"clusters": [{"name": "c", "cluster": {"server":
		"http://fake"}}], "contexts": [{"name": "x", "context": {"cluster": "c"}}],
		"current-context": "x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(Options{PodSource: fromAny, NodeName: "node-1", Kubeconfig: kubeconfig})
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
	if c, err := r.Store.GetContainer("container-web"); err != nil || !c.State.Running {
		t.Errorf("its container: %v, %v", c, err)
	}
	if s := r.way("API server"); s.State != collection.StateLive ||
		r.way("Pods API").Cause != workloadmeta.CauseAbsent || r.pod("far") != nil {
		t.Errorf("status: %+v", r.Status("kubelet").Parts)
	}
	r.set(pod("web"), false)
	r.set(pod("db"), false)
	r.fakeKubelet.socket(t, r.socket)
	r.eventually("the kubelet is asked", func() bool {
		if r.pod("web") == nil {
			t.Fatal("the pod is gone in between")
		}
		return r.way("Pods API").State == collection.StateLive && r.pod("db") != nil
	})
}

// followed is a collector that asks an API server only, in a bubble.
type followed struct {
	t      *testing.T
	server *fakekube.Server
	c      *Collector

	mu     sync.Mutex
	known  map[string]workloadmeta.Entity // by ID
	unset  map[string]workloadmeta.Entity
	synced int
	ended  chan error
	cancel func()
}

func (f *followed) Set(...workloadmeta.Entity)       {}
func (f *followed) Unset(...workloadmeta.Entity)     {}
func (f *followed) Known(workloadmeta.EntityID) bool { return false }

func (f *followed) Apply(events []workloadmeta.CollectorEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		id := e.Entity.GetID().ID
		if e.Type == workloadmeta.EventTypeUnset {
			delete(f.known, id)
			f.unset[id] = e.Entity
			continue
		}
		f.known[id] = e.Entity
	}
}

func (f *followed) Synced() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced++
}

func followAPI(t *testing.T, server *fakekube.Server) *followed {
	t.Helper()
	c, err := New(Options{PodSource: fromAPIServer, NodeName: "node-1"})
	if err != nil {
		t.Fatal(err)
	}
	c.connect = func(kubeapi.Options) (*kubeapi.Client, error) {
		return kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, server.Client()), nil
	}
	f := &followed{t: t, server: server, c: c, known: map[string]workloadmeta.Entity{},
		unset: map[string]workloadmeta.Entity{}, ended: make(chan error, 1)}
	f.run()
	return f
}

func (f *followed) run() {
	ctx, cancel := context.WithCancel(f.t.Context())
	f.cancel = cancel
	go func() { f.ended <- f.c.Stream(ctx, f) }()
}

func (f *followed) stop() {
	f.cancel()
	<-f.ended
	synctest.Wait()
}

func (f *followed) wait(d time.Duration) {
	func() {
		f.mu.Lock()
		defer f.mu.Unlock()
	}()
	time.Sleep(d)
	synctest.Wait()
}

// The API server alone: what it has is there, what it has no more is not, and a request in five to
// ten minutes is all it costs.
func TestAPIServerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(podPath)
		server.Put(podPath, pod("web"))
		server.Put(podPath, pod("db"))
		f := followAPI(t, server)
		defer f.stop()
		f.wait(time.Second)
		if f.synced != 1 || len(f.known) != 4 {
			t.Errorf("synced %d times, with %v", f.synced, f.known)
		}
		if parts := f.c.Parts(); len(parts) != 1 || parts[0].Name != "API server" ||
			parts[0].State != collection.StateLive {
			t.Errorf("status: %+v", parts)
		}
		server.Delete(podPath, "shop", "db")
		f.wait(0)
		end, ok := f.unset["uid-db"].(*workloadmeta.KubernetesPod)
		if !ok || end.FinishedAt.IsZero() || f.known["container-db"] != nil {
			t.Errorf("the end of a pod: %+v; still there: %v", end, f.known)
		}
		server.Fault(func(*http.Request) *metav1.Status {
			return fakekube.Status(503, "", "away")
		})
		server.Drop()
		f.wait(30 * time.Second)
		server.Delete(podPath, "shop", "web")
		server.Put(podPath, pod("new"))
		server.Compact()
		server.Fault(nil)
		f.wait(time.Minute)
		if f.known["uid-web"] != nil || f.known["uid-new"] == nil {
			t.Errorf("after a gap: %v", f.known)
		}
		server.Counts()
		f.wait(time.Hour)
		if n := server.Counts(); n.Lists+n.Streamed > 0 || n.Watches > 13 {
			t.Errorf("in an hour: %+v", n)
		}
	})
}

// An API server that refuses is shown with the right that is missing, and one that is away for long
// ends the stream, so that others are asked first again.
func TestAPIServerRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(podPath)
		forbidden := func(*http.Request) *metav1.Status {
			return fakekube.Status(403, metav1.StatusReasonForbidden, "pods is forbidden")
		}
		server.Fault(forbidden)
		f := followAPI(t, server)
		f.wait(2 * time.Second)
		err := <-f.ended
		if p := workloadmeta.ProblemOf(err); p.Cause != workloadmeta.CauseForbidden ||
			!strings.Contains(p.Hint, "grant list and watch pods") || f.synced > 0 {
			t.Errorf("ended with %+v, synced %d times", p, f.synced)
		}
		server.Fault(nil)
		server.Put(podPath, pod("web"))
		f.run()
		f.wait(time.Second)
		server.Fault(forbidden)
		server.Drop()
		f.wait(apiPatience - 2*time.Second)
		if s := f.c.Parts()[0]; s.State != collection.StateDegraded {
			t.Errorf("status: %+v", s)
		}
		f.wait(4 * time.Second)
		select {
		case err := <-f.ended:
			if workloadmeta.CauseOf(err) != workloadmeta.CauseForbidden {
				t.Errorf("ended with %v", err)
			}
		default:
			t.Error("it goes on")
		}
		if f.known["uid-web"] == nil {
			t.Error("the pod is gone")
		}
		f.ended <- nil
		f.stop()
	})
}

// The mirror of a static pod that is deleted is made anew by its kubelet: the pod stays, unless
// that does not happen.
func TestMirrorIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(podPath)
		mirror := pod("etcd")
		mirror.UID = ""
		mirrorOf(mirror, "static")
		server.Put(podPath, mirror)
		f := followAPI(t, server)
		defer f.stop()
		f.wait(time.Second)
		first, ok := f.known["static"].(*workloadmeta.KubernetesPod)
		if !ok {
			t.Fatalf("there is %v", f.known)
		}
		server.Delete(podPath, "shop", "etcd")
		f.wait(9 * time.Second)
		if f.known["static"] == nil {
			t.Error("it is gone before its mirror could be made anew")
		}
		server.Put(podPath, mirror)
		f.wait(time.Minute)
		if again, ok := f.known["static"].(*workloadmeta.KubernetesPod); !ok ||
			again.APIUID == first.APIUID {
			t.Errorf("with another mirror: %+v", again)
		}
		server.Delete(podPath, "shop", "etcd")
		f.wait(12 * time.Second)
		if len(f.known) > 0 {
			t.Errorf("without one there is still %v", f.known)
		}
	})
}

// A pod of the API server that cannot be decoded stays as it was, also a static one, and is said to
// be left out; those that are gone go.
func TestLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(podPath)
		server.Custom(podPath)
		mirror := pod("etcd")
		mirrorOf(mirror, "static")
		readable := []*corev1.Pod{pod("web"), mirror}
		for _, p := range append(readable, pod("db")) {
			server.Put(podPath, p)
		}
		f := followAPI(t, server)
		defer f.stop()
		f.wait(time.Minute)
		server.Fault(func(*http.Request) *metav1.Status {
			return fakekube.Status(503, metav1.StatusReasonServiceUnavailable, "away")
		})
		server.Drop()
		f.wait(0)
		for _, name := range []string{"web", "etcd"} {
			server.Make(podPath, "shop", name, func() fakekube.Object {
				o := &unstructured.Unstructured{Object: map[string]any{"spec": "nonsense"}}
				o.SetNamespace("shop")
				o.SetName(name)
				o.SetUID(types.UID("uid-" + name))
				return o
			})
		}
		server.Delete(podPath, "shop", "db")
		server.Compact()
		server.Fault(nil)
		f.wait(time.Minute)
		if f.known["uid-web"] == nil || f.known["static"] == nil || f.known["uid-db"] != nil {
			t.Errorf("there is %v", f.known)
		}
		part := f.c.Parts()[0]
		if part.State != collection.StateDegraded ||
			part.Reason != "2 pods are left out: they cannot be decoded" {
			t.Errorf("status: %+v", part)
		}
		for _, p := range readable {
			server.Put(podPath, p)
		}
		f.wait(time.Minute)
		if part := f.c.Parts()[0]; part.State != collection.StateLive ||
			f.known["uid-web"] == nil || f.known["static"] == nil {
			t.Errorf("when all can be read again: %+v, %v", part, f.known)
		}
	})
}

// mirrorOf makes a pod the mirror of a static one, as its kubelet does.
func mirrorOf(p *corev1.Pod, static string) *corev1.Pod {
	yes := true
	p.Annotations = map[string]string{"kubernetes.io/config.mirror": static}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node",
		Name: p.Spec.NodeName, Controller: &yes}}
	return p
}

// Nobody becomes another pod by saying to be its mirror, nor takes it away when going.
func TestNobodyTakesAPodOver(t *testing.T) {
	for name, tc := range map[string]struct {
		victim *corev1.Pod
		id     string
		fake   func(*corev1.Pod)
	}{
		"the annotation alone": {pod("victim"), "uid-victim", func(p *corev1.Pod) {
			p.Annotations = map[string]string{"kubernetes.io/config.mirror": "uid-victim"}
		}},
		"all of a mirror": {pod("victim"), "uid-victim",
			func(p *corev1.Pod) { mirrorOf(p, "uid-victim") }},
		"of a static pod": {mirrorOf(pod("victim"), "static"), "static",
			func(p *corev1.Pod) { mirrorOf(p, "static") }},
	} {
		for _, listed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, listed %v", name, listed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					evil := pod("evil")
					evil.Namespace = "evil"
					evil.CreationTimestamp.Time = tc.victim.CreationTimestamp.Add(time.Minute)
					tc.fake(evil)
					server := fakekube.New(podPath)
					if listed {
						server.Put(podPath, evil)
						server.Put(podPath, tc.victim)
					}
					f := followAPI(t, server)
					defer f.stop()
					f.wait(time.Second)
					server.Put(podPath, tc.victim)
					server.Put(podPath, evil)
					f.wait(time.Second)
					is := func(when string) {
						t.Helper()
						p, ok := f.known[tc.id].(*workloadmeta.KubernetesPod)
						if !ok || p.Name != "victim" {
							t.Errorf("%s it is %+v", when, p)
						}
					}
					is("with the other")
					server.Delete(podPath, "evil", "evil")
					f.wait(time.Minute)
					is("without the other")
				})
			})
		}
	}
}

// A pod of its own that becomes a mirror, as far as it says, leaves nothing behind.
func TestLaterMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(podPath)
		late := pod("late")
		late.Annotations = map[string]string{"kubernetes.io/config.mirror": "static"}
		server.Put(podPath, late)
		f := followAPI(t, server)
		defer f.stop()
		f.wait(time.Second)
		if f.known["uid-late"] == nil {
			t.Errorf("there is %v", f.known)
		}
		server.Put(podPath, mirrorOf(late, "static"))
		f.wait(time.Minute)
		if f.known["static"] == nil || f.known["uid-late"] != nil {
			t.Errorf("as a mirror: %v", f.known)
		}
	})
}

// Without a name of the node nobody could tell which pods are wanted.
func TestNoNodeName(t *testing.T) {
	c, err := New(Options{PodSource: fromAPIServer})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Stream(t.Context(), nil)
	if p := workloadmeta.ProblemOf(err); !strings.Contains(p.Hint, "NODE_NAME") {
		t.Errorf("it says %+v", p)
	}
	for field, o := range map[string]Options{"PodSource": {PodSource: "cloud"},
		"NodeName": {PodSource: fromAny, NodeName: "Node 1"}} {
		_, err := New(o)
		if option, ok := errors.AsType[*collection.OptionError](err); !ok || option.Field != field {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestRecordedFromTheAPIServer is number 24 for the third way: each pod that a real API server has
// shown gives the same entities as protocol buffers over its watch as it does as the JSON that was
// recorded, which package podmap compares with both of the kubelet's ways.
func TestRecordedFromTheAPIServer(t *testing.T) {
	files, err := filepath.Glob("../testdata/1.37/*.jsonl")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	filter, err := env.NewFilter()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		synctest.Test(t, func(t *testing.T) {
			server := fakekube.New(podPath)
			f := followAPI(t, server)
			defer f.stop()
			lines := bufio.NewScanner(file)
			lines.Buffer(nil, 1<<22)
			for lines.Scan() {
				var line struct {
					Source string
					Event  string
					Pod    json.RawMessage
				}
				if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(line.Source, "api") || line.Pod == nil ||
					strings.EqualFold(line.Event, "deleted") {
					continue
				}
				theirs, ours := new(corev1.Pod), new(object.Pod)
				if err := errors.Join(json.Unmarshal(line.Pod, theirs),
					json.Unmarshal(line.Pod, ours)); err != nil {
					t.Fatal(err)
				}
				theirs.Spec.NodeName = "node-1"
				ours.Spec.NodeName = "node-1"
				server.Put(podPath, theirs)
				f.wait(time.Millisecond)
				want, err := podmap.New(filter).Map(ours)
				if err != nil {
					t.Fatal(err)
				}
				got, ok := f.known[want.Pod.ID].(*workloadmeta.KubernetesPod)
				if !ok {
					t.Fatalf("%s: no pod %s", path, want.Pod.ID)
				}
				same := *got
				same.ResourceVersion = want.Pod.ResourceVersion // the fake has its own
				if diff := cmp.Diff(want.Pod, &same); diff != "" {
					t.Errorf("%s: recorded (-), followed (+):\n%s", path, diff)
				}
				for _, c := range want.Containers {
					if diff := cmp.Diff(workloadmeta.Entity(c), f.known[c.ID]); diff != "" {
						t.Errorf("%s: recorded (-), followed (+):\n%s", path, diff)
					}
				}
				compared++
			}
		})
	}
	if compared < 100 {
		t.Errorf("only %d pods were compared", compared)
	}
}
