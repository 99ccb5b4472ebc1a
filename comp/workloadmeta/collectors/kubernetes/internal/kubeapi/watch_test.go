package kubeapi_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

const pods = "/api/v1/pods"

// world is a fake API server and what somebody who follows its pods knows of them.
type world struct {
	t      *testing.T
	server *fakekube.Server
	*seen
	stop func()
}

// seen is what a handler has been told.
type seen struct {
	mu         sync.Mutex
	objects    map[string]string // UID → name and label "v"
	told       map[string]bool   // since Listing
	listings   int
	listed     int
	changes    int
	problem    error // of the last attempt
	problems   int
	unreadable int
	left       int
}

func (s *seen) Listing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listings++
	s.told = map[string]bool{}
}

func (s *seen) Object(p *object.Metadata) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Labels["v"] == "refused" {
		return errRefused
	}
	s.changes++
	s.objects[p.UID] = p.Name + "=" + p.Labels["v"]
	if s.told != nil {
		s.told[p.UID] = true
	}
	return nil
}

func (s *seen) Deleted(p *object.Metadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.objects, p.UID)
}

func (s *seen) Listed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed++
	maps.DeleteFunc(s.objects, func(uid, _ string) bool { return !s.told[uid] })
	s.told = nil
}

func (s *seen) Status(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem = err; err != nil {
		s.problems++
	}
}

func (s *seen) Unreadable(m *object.Meta, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unreadable++
	if s.told != nil {
		s.told[m.UID] = true
	}
}

func (s *seen) LeftOut(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = n
}

var errRefused = errors.New("nothing can be made of it")

var resource = kubeapi.Resource{
	GroupVersionResource: workloadmeta.GroupVersionResource{Version: "v1", Resource: "pods"}}

// follow begins to follow the pods of a server. It must be called within a bubble.
func follow(t *testing.T, server *fakekube.Server, r kubeapi.Resource) *world {
	t.Helper()
	w := &world{t: t, server: server, seen: &seen{objects: map[string]string{}}}
	w.run(server.Client(), r)
	return w
}

func (w *world) run(asks *http.Client, r kubeapi.Resource) {
	w.runWith(kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, asks), r)
}

func (w *world) runWith(client *kubeapi.Client, r kubeapi.Resource) {
	watch := &kubeapi.Watch[object.Metadata]{Client: client, Resource: r, Handler: w.seen,
		Decoder: object.NewDecoder[object.Metadata](object.Shape{})}
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watch.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			w.t.Errorf("the watch has ended with %v", err)
		}
		synctest.Wait()
	}
}

// wait lets time pass.
func (w *world) wait(d time.Duration) {
	func() { // what was read before is read before what is written meanwhile
		w.mu.Lock()
		defer w.mu.Unlock()
	}()
	time.Sleep(d)
	synctest.Wait()
}

// away lets something happen of which nobody can be told, and what was asked is forgotten.
func (w *world) away(happens func()) {
	w.server.Fault(func(*http.Request) *metav1.Status {
		return fakekube.Status(503, metav1.StatusReasonServiceUnavailable, "away")
	})
	w.server.Drop()
	w.wait(0)
	happens()
	w.server.Fault(nil)
	w.server.Counts()
	w.problems = 0
}

func pod(i int, value string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop",
		Name: "web-" + strconv.Itoa(i), Labels: map[string]string{"v": value}}}
}

// same compares what is known with what the server has.
func (w *world) same() {
	w.t.Helper()
	want := map[string]string{}
	for _, o := range w.server.Objects(pods) {
		want[string(o.GetUID())] = o.GetName() + "=" + o.GetLabels()["v"]
	}
	if diff := cmp.Diff(want, w.objects); diff != "" {
		w.t.Errorf("what the server has (-), what is known (+):\n%s", diff)
	}
}

// expect compares what was asked since the last call.
func (w *world) expect(what string, want fakekube.Counts) {
	w.t.Helper()
	got := w.server.Counts()
	if got.Bytes = 0; got != want {
		w.t.Errorf("%s: asked %+v, want %+v", what, got, want)
	}
}

// TestFollows: whatever the server can do and however it encodes, everything is told, then every
// change.
func TestFollows(t *testing.T) {
	custom := func(i int, value string) fakekube.Object {
		o := &unstructured.Unstructured{Object: map[string]any{"kind": "Thing"}}
		o.SetNamespace("shop")
		o.SetName("web-" + strconv.Itoa(i))
		o.SetLabels(map[string]string{"v": value})
		return o
	}
	builtIn := func(i int, value string) fakekube.Object { return pod(i, value) }
	metadata := resource
	metadata.Metadata = true
	for name, c := range map[string]struct {
		resource  kubeapi.Resource
		object    func(int, string) fakekube.Object
		custom    bool
		streaming fakekube.Streaming
		pages     int
		first     fakekube.Counts
	}{
		"streamed": {resource, builtIn, false, fakekube.Streams, 0,
			fakekube.Counts{Streamed: 1}},
		"streamed metadata": {metadata, builtIn, false, fakekube.Streams, 0,
			fakekube.Counts{Streamed: 1}},
		"streamed metadata of a custom resource": {metadata, custom, true, fakekube.Streams, 0,
			fakekube.Counts{Streamed: 1}},
		"streamed JSON": {resource, custom, true, fakekube.Streams, 0,
			fakekube.Counts{Streamed: 1}},
		"listed, as the feature is off": {resource, builtIn, false, fakekube.Refuses, 0,
			fakekube.Counts{Streamed: 1, Lists: 1, Watches: 1}},
		"listed, as etcd is too old": {resource, builtIn, false, fakekube.BreaksDown, 0,
			fakekube.Counts{Streamed: 1, Lists: 1, Watches: 1}},
		"listed in pages": {resource, builtIn, false, fakekube.BreaksDown, 2,
			fakekube.Counts{Streamed: 1, Lists: 1, Pages: 2, Watches: 1}},
		"listed metadata": {metadata, builtIn, false, fakekube.Refuses, 0,
			fakekube.Counts{Streamed: 1, Lists: 1, Watches: 1}},
		"listed JSON": {resource, custom, true, fakekube.Refuses, 0,
			fakekube.Counts{Streamed: 1, Lists: 1, Watches: 1}},
		"listed JSON in pages": {resource, custom, true, fakekube.Refuses, 3,
			fakekube.Counts{Streamed: 1, Lists: 1, Pages: 1, Watches: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := fakekube.New(pods)
				if c.custom {
					server.Custom(pods)
				}
				server.Stream(c.streaming)
				server.Paged(c.pages)
				for i := range 5 {
					server.Put(pods, c.object(i, "1"))
				}
				w := follow(t, server, c.resource)
				defer w.stop()
				w.wait(time.Second)
				w.same()
				w.expect("at first", c.first)
				if w.listed != 1 || w.problems != 0 {
					t.Errorf("listed %d times, %d problems", w.listed, w.problems)
				}
				server.Put(pods, c.object(2, "2"))
				server.Put(pods, c.object(7, "1"))
				server.Delete(pods, "shop", "web-4")
				w.wait(0)
				w.same()
				if w.changes != 5+3 {
					t.Errorf("told %d times, want 8", w.changes)
				}
				w.wait(time.Hour)
				w.same()
				if n := server.Counts(); n.Lists+n.Pages+n.Streamed > 0 || n.Watches > 12 {
					t.Errorf("in an hour: %+v, want no list and 12 watches at most", n)
				}
				if w.listings != w.listed && c.streaming == fakekube.Streams || w.problems != 0 {
					t.Errorf("%d listings, %d ends, %d problems", w.listings, w.listed, w.problems)
				}
			})
		})
	}
}

// TestStreamingIsTriedAgain an hour after the server could not.
func TestStreamingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(pods)
		server.Stream(fakekube.BreaksDown)
		w := follow(t, server, resource)
		defer w.stop()
		w.wait(time.Minute)
		server.Stream(fakekube.Streams)
		again := func() {
			w.away(func() {
				server.Put(pods, pod(1, "1"))
				server.Compact()
			})
			w.wait(time.Minute)
		}
		again()
		server.Counts()
		again()
		if n := server.Counts(); n.Streamed != 0 {
			t.Errorf("asked to stream again after a minute: %+v", n)
		}
		w.wait(time.Hour)
		again()
		if n := server.Counts(); n.Streamed == 0 || n.Lists != 0 {
			t.Errorf("after an hour: %+v, want a streamed list", n)
		}
	})
}

// TestOneResourceCannotStream: that says nothing about the others, and what fails whether it is
// streamed or not says nothing about streaming.
func TestOneResourceCannotStream(t *testing.T) {
	const jobs = "/apis/batch/v1/jobs"
	of := func(path string, streamed bool, code int32,
		reason metav1.StatusReason) func(*http.Request) *metav1.Status {
		return func(r *http.Request) *metav1.Status {
			if r.URL.Path != path || streamed && !r.URL.Query().Has("sendInitialEvents") {
				return nil
			}
			return fakekube.Status(code, reason, "as asked for")
		}
	}
	for name, c := range map[string]struct {
		fault func(*http.Request) *metav1.Status
		pods  bool // are streamed when they are asked for again
	}{
		"a proxy cannot reach it":    {of(pods, false, 502, ""), true},
		"a proxy breaks down":        {of(pods, false, 500, ""), true},
		"it breaks down":             {of(pods, false, 500, metav1.StatusReasonInternalError), true},
		"it cannot stream":           {of(pods, true, 422, metav1.StatusReasonInvalid), false},
		"its etcd is too old":        {of(pods, true, 500, metav1.StatusReasonInternalError), false},
		"another one cannot stream":  {of(jobs, true, 422, metav1.StatusReasonInvalid), true},
		"another one breaks down":    {of(jobs, false, 500, metav1.StatusReasonInternalError), true},
		"another one is not reached": {of(jobs, false, 502, ""), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := fakekube.New(pods, jobs)
				server.Put(pods, pod(1, "1"))
				server.Fault(c.fault)
				client := kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, server.Client())
				other := &world{t: t, server: server, seen: &seen{objects: map[string]string{}}}
				other.runWith(client, kubeapi.Resource{
					GroupVersionResource: workloadmeta.GroupVersionResource{Group: "batch",
						Version: "v1", Resource: "jobs"}})
				defer other.stop()
				w := &world{t: t, server: server, seen: &seen{objects: map[string]string{}}}
				w.runWith(client, resource)
				defer w.stop()
				w.wait(time.Minute)
				server.Fault(nil)
				w.wait(time.Minute)
				w.same()
				w.away(func() {
					server.Put(pods, pod(2, "1"))
					server.Compact()
				})
				var streamed atomic.Bool
				server.Fault(func(r *http.Request) *metav1.Status {
					if r.URL.Path == pods && r.URL.Query().Has("sendInitialEvents") {
						streamed.Store(true)
					}
					return nil
				})
				w.wait(time.Minute)
				w.same()
				if streamed.Load() != c.pods {
					t.Errorf("asked to stream pods again: %t, want %t", !c.pods, c.pods)
				}
			})
		})
	}
}

// TestOnlyGaps: a server that forgets again what it has just told is one that cannot be followed,
// until it can.
func TestOnlyGaps(t *testing.T) {
	for name, streaming := range map[string]fakekube.Streaming{"streamed": fakekube.Streams,
		"listed": fakekube.Refuses} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := fakekube.New(pods)
				server.Stream(streaming)
				server.Put(pods, pod(1, "1"))
				w := follow(t, server, resource)
				defer w.stop()
				w.wait(10 * time.Minute)
				server.Fault(func(*http.Request) *metav1.Status {
					return fakekube.Status(410, metav1.StatusReasonExpired, "too old")
				})
				server.Drop()
				w.wait(5 * time.Second)
				if refused, ok := errors.AsType[*kubeapi.StatusError](w.problem); !ok ||
					refused.Code != 410 {
					t.Errorf("told of %v, want 410", w.problem)
				}
				server.Fault(nil)
				w.wait(time.Minute)
				if w.problem != nil {
					t.Errorf("still told of %v", w.problem)
				}
			})
		})
	}
}

// TestGaps: what happens between two connections is made up for, and asked for again only where
// the server has forgotten.
func TestGaps(t *testing.T) {
	watched := fakekube.Counts{Watches: 1}
	for name, c := range map[string]struct {
		streaming fakekube.Streaming
		gap       func(*fakekube.Server)
		want      fakekube.Counts
	}{
		"the watch ends": {fakekube.Streams, func(*fakekube.Server) {}, watched},
		"410 in the stream": {fakekube.Streams, func(s *fakekube.Server) {
			s.Put(pods, pod(9, "1"))
			s.Compact()
		}, fakekube.Counts{Streamed: 1, Watches: 1}},
		"410 in the stream, and then a list": {fakekube.Refuses, func(s *fakekube.Server) {
			s.Put(pods, pod(9, "1"))
			s.Compact()
		}, fakekube.Counts{Lists: 1, Watches: 2}},
		"504, the version is not known yet": {fakekube.Streams, func(s *fakekube.Server) {
			s.Rewind(50)
		}, fakekube.Counts{Streamed: 1, Watches: 1}},
		"504, and then a list": {fakekube.Refuses, func(s *fakekube.Server) {
			s.Rewind(50)
		}, fakekube.Counts{Lists: 1, Watches: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := fakekube.New(pods)
				server.Stream(c.streaming)
				for i := range 4 {
					server.Put(pods, pod(i, "1"))
				}
				w := follow(t, server, resource)
				defer w.stop()
				w.wait(time.Minute)
				w.away(func() {
					server.Delete(pods, "shop", "web-1")
					server.Delete(pods, "shop", "web-2")
					server.Put(pods, pod(2, "2")) // of the same name: another pod
					c.gap(server)
				})
				w.wait(10 * time.Second)
				w.same()
				w.expect(name, c.want)
				if w.problems != 0 || w.problem != nil {
					t.Errorf("a gap is no problem: %d, %v", w.problems, w.problem)
				}
			})
		})
	}
}

// TestPagesAfterAGap: a list has pages also when it may not be older than what was seen, and then a
// page but the first must not say so.
func TestPagesAfterAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(pods)
		server.Stream(fakekube.Refuses)
		server.Paged(500)
		for i := range 1001 {
			server.Put(pods, pod(i, "1"))
		}
		w := follow(t, server, resource)
		defer w.stop()
		w.wait(time.Minute)
		w.same()
		w.away(func() {
			server.Delete(pods, "shop", "web-700")
			server.Put(pods, pod(1000, "2"))
			server.Compact()
		})
		w.wait(10 * time.Second)
		w.same()
		w.expect("after a gap", fakekube.Counts{Lists: 1, Pages: 1, Watches: 2})
		if w.problems != 0 || w.problem != nil {
			t.Errorf("%d problems, %v", w.problems, w.problem)
		}
	})
}

// TestFailures: what the server has against a request is told with its cause, is tried again after
// growing pauses, and costs neither what is known nor, in a watch, another list.
func TestFailures(t *testing.T) {
	slow := fakekube.Status(429, metav1.StatusReasonTooManyRequests, "slow down")
	slow.Details = &metav1.StatusDetails{RetryAfterSeconds: 20}
	for name, c := range map[string]struct {
		status   *metav1.Status
		cause    workloadmeta.Cause
		hint     string
		min, max int // attempts in two minutes
	}{
		"forbidden": {fakekube.Status(403, metav1.StatusReasonForbidden, "pods is forbidden"),
			workloadmeta.CauseForbidden, "grant list and watch pods", 7, 10},
		"unauthenticated": {fakekube.Status(401, metav1.StatusReasonUnauthorized, "Unauthorized"),
			workloadmeta.CauseUnauthenticated, "", 7, 10},
		"not served": {fakekube.Status(404, metav1.StatusReasonNotFound, "no such resource"),
			workloadmeta.CauseAbsent, "looked for each minute", 6, 8},
		"asks for patience": {slow, "", "", 5, 7},
		"breaks down": {fakekube.Status(500, metav1.StatusReasonInternalError, "etcd is away"),
			"", "", 7, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := fakekube.New(pods)
				server.Put(pods, pod(1, "1"))
				w := follow(t, server, resource)
				defer w.stop()
				w.wait(time.Minute)
				server.Fault(func(*http.Request) *metav1.Status { return c.status })
				server.Counts()
				server.Drop()
				w.wait(2 * time.Minute)
				if n := server.Counts().Others; n < c.min || n > c.max {
					t.Errorf("%d attempts in two minutes, want %d to %d", n, c.min, c.max)
				}
				p := workloadmeta.ProblemOf(w.problem)
				if w.problem == nil || p.Cause != c.cause || !strings.Contains(p.Hint, c.hint) ||
					!strings.Contains(p.Reason, c.status.Message) {
					t.Errorf("told of %+v", p)
				}
				w.same()
				server.Put(pods, pod(2, "1"))
				server.Fault(nil)
				w.wait(time.Minute + time.Second)
				w.same()
				if w.problem != nil {
					t.Errorf("still told of %v", w.problem)
				}
				if n := server.Counts(); n.Lists+n.Streamed > 0 {
					t.Errorf("asked for everything again: %+v", n)
				}
			})
		})
	}
}

// TestSilence: a server that takes requests and says nothing is a failure, when there must be an
// answer; a watch may be silent for as long as it lasts.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(pods)
		frozen := func(r *http.Request) *metav1.Status { <-r.Context().Done(); return nil }
		server.Fault(frozen)
		w := follow(t, server, resource)
		defer w.stop()
		w.wait(61 * time.Second)
		if c := workloadmeta.CauseOf(w.problem); c != workloadmeta.CauseTimeout {
			t.Errorf("told of %v, a %q", w.problem, c)
		}
		server.Fault(nil)
		w.wait(2 * time.Minute)
		if w.listed != 1 || w.problem != nil {
			t.Errorf("listed %d times, %v", w.listed, w.problem)
		}
		server.Counts()
		w.wait(4 * time.Minute)
		w.expect("in four minutes of silence", fakekube.Counts{})
	})
}

// TestUnreadable: an object that cannot be decoded is left out, and counted until it can be or is
// gone. What was known of it stays, and of the others what is gone goes.
func TestUnreadable(t *testing.T) {
	for name, streaming := range map[string]fakekube.Streaming{"streamed": fakekube.Streams,
		"listed": fakekube.Refuses} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := fakekube.New(pods)
				server.Custom(pods)
				server.Stream(streaming)
				thing := func(name string, labels any) {
					o := &unstructured.Unstructured{Object: map[string]any{
						"metadata": map[string]any{"name": name, "namespace": "shop",
							"uid": "uid of " + name, "labels": labels}}}
					server.Put(pods, o)
				}
				for _, name := range []string{"web-1", "web-2", "web-3"} {
					thing(name, map[string]any{"v": "1"})
				}
				w := follow(t, server, resource)
				defer w.stop()
				w.wait(time.Minute)
				is := func(when string, left int, want ...string) {
					t.Helper()
					if got := slices.Sorted(maps.Values(w.objects)); w.left != left ||
						!slices.Equal(got, want) {
						t.Errorf("%s: left out %d, known %v; want %d, %v", when, w.left, got, left,
							want)
					}
				}
				is("at first", 0, "web-1=1", "web-2=1", "web-3=1")
				thing("web-1", "none")
				thing("new", "none")
				thing("web-3", map[string]any{"v": "refused"})
				w.wait(time.Second)
				is("when some cannot be decoded", 3, "web-1=1", "web-2=1", "web-3=1")
				w.away(func() {
					server.Delete(pods, "shop", "web-2")
					server.Compact()
				})
				w.wait(time.Minute)
				is("when others have gone meanwhile", 3, "web-1=1", "web-3=1")
				server.Delete(pods, "shop", "web-1")
				w.wait(time.Second)
				is("when one has gone that cannot be decoded", 2, "web-3=1")
				thing("new", map[string]any{"v": "2"})
				w.wait(time.Second)
				is("when one can be decoded again", 1, "new=2", "web-3=1")
				w.away(func() {
					server.Delete(pods, "shop", "web-3")
					server.Compact()
				})
				w.wait(time.Minute)
				is("when nothing is left out", 0, "new=2")
				if w.problem != nil || w.unreadable == 0 {
					t.Errorf("%d unreadable, problem %v", w.unreadable, w.problem)
				}
			})
		})
	}
}

// TestUnreadableIsAskedForAgain at growing intervals: who cannot be named may be gone, or back.
func TestUnreadableIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(pods)
		server.Custom(pods)
		server.Put(pods, pod(1, "1"))
		w := follow(t, server, resource)
		defer w.stop()
		w.wait(time.Minute)
		server.Make(pods, "shop", "broken", func() fakekube.Object {
			return &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{
				"name": map[string]any{}}}}
		})
		w.away(server.Compact)
		w.wait(time.Minute)
		if w.left != 1 || len(w.objects) != 1 {
			t.Errorf("left out %d, known %v", w.left, w.objects)
		}
		server.Counts()
		w.wait(time.Hour)
		first := server.Counts().Streamed
		w.wait(23 * time.Hour)
		server.Counts()
		w.wait(24 * time.Hour)
		if later := server.Counts().Streamed; first < 2 || first > 4 || later < 3 || later > 4 {
			t.Errorf("asked for again %d times in the first hour, %d in the second day", first,
				later)
		}
		server.Delete(pods, "shop", "broken")
		w.wait(7 * time.Hour)
		if server.Counts(); w.left != 0 {
			t.Errorf("left out %d", w.left)
		}
		w.wait(24 * time.Hour)
		if n := server.Counts(); n.Streamed > 0 {
			t.Errorf("asked for again without need: %+v", n)
		}
	})
}

// TestEndsInWhatTheServerHas: after any changes, gaps and faults exactly the server's objects are
// known, and how they were last.
func TestEndsInWhatTheServerHas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			server := fakekube.New(pods)
			server.Stream(rapid.SampledFrom([]fakekube.Streaming{fakekube.Streams,
				fakekube.Refuses, fakekube.BreaksDown}).Draw(rt, "streaming"))
			server.Paged(rapid.IntRange(0, 3).Draw(rt, "page"))
			var w *world
			steps := rapid.IntRange(1, 40).Draw(rt, "steps")
			begin := rapid.IntRange(0, steps).Draw(rt, "begin")
			for i := range steps {
				if i == begin {
					w = follow(t, server, resource)
				}
				switch n := rapid.IntRange(0, 5).Draw(rt, "pod"); rapid.SampledFrom(strings.Fields(
					"put put put delete delete compact drop forget fail recover wait")).Draw(
					rt, "do") {
				case "put":
					server.Put(pods, pod(n, strconv.Itoa(i)))
				case "delete":
					server.Delete(pods, "shop", "web-"+strconv.Itoa(n))
				case "compact":
					server.Compact()
				case "drop":
					server.Drop()
				case "forget":
					server.Compact()
					server.Drop()
				case "fail":
					code := rapid.SampledFrom([]int32{401, 403, 404, 410, 429, 500, 503}).Draw(rt,
						"code")
					server.Fault(func(*http.Request) *metav1.Status {
						return fakekube.Status(code, "", "as asked for")
					})
				case "recover":
					server.Fault(nil)
				case "wait":
					time.Sleep(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute,
						time.Hour}).Draw(rt, "time"))
				}
				synctest.Wait()
			}
			if w == nil {
				w = follow(t, server, resource)
			}
			defer w.stop()
			server.Fault(nil)
			w.wait(2 * time.Minute)
			w.same()
			server.Put(pods, pod(0, "last"))
			w.wait(0)
			w.same()
			if w.problem != nil {
				t.Errorf("in the end: %v", w.problem)
			}
		})
	})
}

// TestVersion finds the version in which a resource is served.
func TestVersion(t *testing.T) {
	server := fakekube.New(pods, "/apis/apps/v1/deployments", "/apis/example.org/v2/new",
		"/apis/example.org/v1/new", "/apis/example.org/v1/old")
	client := kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, server.Client())
	for _, c := range []struct{ group, resource, want string }{
		{"", "pods", "v1"}, {"apps", "deployments", "v1"}, {"example.org", "new", "v2"},
		{"example.org", "old", "v1"}, {"", "typos", ""}, {"apps", "typos", ""},
		{"nobody.example.org", "things", ""},
	} {
		got, err := client.Version(t.Context(), c.group, c.resource)
		if got != c.want {
			t.Errorf("%s of %q: %q, %v; want %q", c.resource, c.group, got, err, c.want)
		}
		if cause := workloadmeta.CauseOf(err); c.want == "" && cause != workloadmeta.CauseAbsent {
			t.Errorf("%s of %q: %v is %q, want absent", c.resource, c.group, err, cause)
		}
	}
	server.Fault(func(*http.Request) *metav1.Status {
		return fakekube.Status(503, "", "the server behind is away")
	})
	if _, err := client.Version(t.Context(), "apps", "deployments"); err == nil ||
		!strings.Contains(err.Error(), "behind is away") {
		t.Errorf("a group that does not answer: %v", err)
	}
}

func ExampleName() {
	fmt.Println(kubeapi.Name(workloadmeta.GroupVersionResource{Group: "apps",
		Resource: "deployments"}))
	// Output: deployments.apps
}

// TestPausesBeginAnew after two minutes in which nothing has failed.
func TestPausesBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(pods)
		w := follow(t, server, resource)
		defer w.stop()
		w.wait(time.Minute)
		fails := func() { // for two minutes, in which the pauses grow to half a minute
			server.Fault(func(*http.Request) *metav1.Status {
				return fakekube.Status(500, "", "broken")
			})
			server.Drop()
			w.wait(2 * time.Minute)
			server.Fault(nil)
			w.wait(time.Minute)
		}
		again := func() int { // how often it is tried within 20 s
			server.Fault(func(*http.Request) *metav1.Status {
				return fakekube.Status(500, "", "broken")
			})
			server.Drop()
			server.Counts()
			w.wait(20 * time.Second)
			server.Fault(nil)
			return server.Counts().Others
		}
		fails()
		if n := again(); n > 2 {
			t.Errorf("after a minute without failure: %d attempts in 20 s, want long pauses", n)
		}
		w.wait(15 * time.Minute)
		if n := again(); n < 4 {
			t.Errorf("after minutes without failure: %d attempts in 20 s, want short pauses", n)
		}
	})
}

// forever asks for watches that never end.
type forever struct{ http.RoundTripper }

func (f forever) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	query.Set("timeoutSeconds", "1000000")
	r = r.Clone(r.Context())
	r.URL.RawQuery = query.Encode()
	return f.RoundTripper.RoundTrip(r)
}

// TestOverdue: a watch that the server does not end when it should is ended, soon after.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(pods)
		client := server.Client()
		client.Transport = forever{client.Transport}
		w := &world{t: t, server: server, seen: &seen{objects: map[string]string{}}}
		w.run(client, resource)
		defer w.stop()
		w.wait(time.Second)
		server.Counts()
		w.wait(watchMinimum)
		w.expect("before it is over", fakekube.Counts{})
		w.wait(watchMinimum + 31*time.Second)
		if n := server.Counts().Watches; n < 1 || n > 2 || w.problems > 0 {
			t.Errorf("when it is over: %d watches, %v", n, w.problem)
		}
	})
}

// watchMinimum is how long a watch lasts at least; it lasts for twice as long at most.
const watchMinimum = 5 * time.Minute

// TestSelected: a resource without a version is looked for until the server says which it has, and
// of the objects those are told that are wanted.
func TestSelected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs = "/apis/batch/v1/jobs"
		server := fakekube.New(jobs)
		server.Put(jobs, pod(1, "1"))
		server.Put(jobs, pod(2, "1"))
		server.Fault(func(r *http.Request) *metav1.Status {
			if r.URL.Path == "/apis/batch" {
				return fakekube.Status(503, "", "the server behind is away")
			}
			return nil
		})
		w := follow(t, server, kubeapi.Resource{Fields: "metadata.name=web-2",
			GroupVersionResource: workloadmeta.GroupVersionResource{Group: "batch",
				Resource: "jobs"}})
		defer w.stop()
		w.wait(time.Minute)
		if w.problem == nil || len(w.objects) > 0 {
			t.Errorf("without a version: %v, %v", w.problem, w.objects)
		}
		server.Fault(nil)
		w.wait(time.Minute)
		if len(w.objects) != 1 || w.problem != nil {
			t.Errorf("known %v, %v", w.objects, w.problem)
		}
		server.Put(jobs, pod(3, "1"))
		w.wait(10 * time.Minute)
		if len(w.objects) != 1 {
			t.Errorf("with another one: %v", w.objects)
		}
		server.Counts()
		w.wait(10 * time.Minute)
		if n := server.Counts(); n.Others > 0 {
			t.Errorf("the version is asked for again: %+v", n)
		}
	})
}
