package kubelet

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/pkg/env"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // what the fake HTTPS server thinks of clients that do not trust it
	for _, name := range []string{"KUBERNETES_SERVICE_PORT", "HOST_IP", "NODE_IP", "NODE_NAME",
		"KUBE_NODE_NAME", "K8S_NODE_NAME"} { // as on a machine that is no node
		os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

// rig is a collector with a fake kubelet, under the real supervisor.
type rig struct {
	*fakeKubelet
	*collectortest.Engine
	t      *testing.T
	root   string
	socket string
	api    *fakekube.Server // nil: there is none
}

func newRig(t *testing.T) *rig {
	t.Helper()
	t.Parallel()                            // most of them wait for a list or for another try
	dir, err := os.MkdirTemp("", "kubelet") // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &rig{fakeKubelet: newFakeKubelet(), t: t, root: dir,
		socket: filepath.Join(dir, "pods.sock")}
}

func (r *rig) start(o Options, others ...workloadmeta.Collector) {
	r.t.Helper()
	o.Socket, o.Root = r.socket, r.root
	if o.Period == 0 {
		o.Period = time.Second
	}
	c, err := New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.api != nil {
		c.connect = func(kubeapi.Options) (*kubeapi.Client, error) {
			return kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, r.api.Client()), nil
		}
	}
	r.Engine = collectortest.NewEngine(r.t, append(others, c)...)
}

// way returns what status says of one way to ask.
func (r *rig) way(name string) collection.Part {
	for _, p := range r.Status("kubelet").Parts {
		if p.Name == name {
			return p
		}
	}
	return collection.Part{}
}

func (r *rig) pod(name string) *workloadmeta.KubernetesPod {
	pod, err := r.Store.GetKubernetesPod("uid-" + name)
	if err != nil {
		return nil
	}
	return pod
}

// eventually waits for a condition that a working collector meets within seconds.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("after a minute still not: %s; status %+v", what, r.Status("kubelet"))
		}
	}
}

func TestPodsAPI(t *testing.T) {
	r := newRig(t)
	r.set(pod("web"), false)
	r.fakeKubelet.socket(t, r.socket)
	r.start(Options{})
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
	c, err := r.Store.GetContainer("container-web")
	if err != nil || !c.State.Running || c.Owner == nil || c.Owner.ID != "uid-web" ||
		c.State.Health != workloadmeta.HealthHealthy {
		t.Errorf("its container: %+v, %v", c, err)
	}
	if s := r.way("Pods API"); s.State != collection.StateLive || r.way("/pods").State != "" {
		t.Errorf("status: %+v", r.Status("kubelet").Parts)
	}

	r.set(pod("db"), true)
	r.eventually("a new pod is told", func() bool { return r.pod("db") != nil })

	labelled := pod("web")
	labelled.Labels = map[string]string{"app": "web", "tier": "front"}
	r.set(labelled, false)
	r.eventually("labels alone are found by the list", func() bool {
		return r.pod("web").Labels["tier"] == "front"
	})

	r.set(pod("lost"), false)
	r.eventually("what the watch has lost is found by the list",
		func() bool { return r.pod("lost") != nil })

	r.remove("uid-db", true)
	r.eventually("an end is told", func() bool { return r.pod("db") == nil })
	if _, err := r.Store.GetContainer("container-db"); err == nil {
		t.Error("the container of a pod that has ended is still there")
	}
}

// Until a watch has told everything half of the pods would look like the end of the others.
// That the object of a pod goes which the kubelet is done with is told by nobody.
func TestDeletedPodLeavesSoon(t *testing.T) {
	r := newRig(t)
	deleted := pod("web")
	deleted.DeletionTimestamp = new(metav1.Now())
	r.set(deleted, false)
	r.fakeKubelet.socket(t, r.socket)
	r.start(Options{Period: time.Hour})
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
	r.done("uid-web")
	r.eventually("its container has ended", func() bool {
		c, err := r.Store.GetContainer("container-web")
		return err == nil && c.State.Status == workloadmeta.StatusStopped
	})
	r.remove("uid-web", false)
	r.eventually("the pod is gone", func() bool { return r.pod("web") == nil })
}

func TestNothingBeforeEverythingIsTold(t *testing.T) {
	r := newRig(t)
	hold := make(chan struct{})
	r.fakeKubelet.silent, r.fakeKubelet.hold = true, hold
	r.set(pod("web"), false)
	r.fakeKubelet.socket(t, r.socket)
	r.start(Options{CallTimeout: time.Minute})
	r.eventually("the watch has begun", func() bool {
		r.fakeKubelet.mu.Lock()
		defer r.fakeKubelet.mu.Unlock()
		return len(r.fakeKubelet.watches) > 0
	})
	if r.pod("web") != nil || !r.Status("kubelet").LastSync.IsZero() {
		t.Error("a pod is reported before everything is told")
	}
	close(hold) // the watch never says it: the list does
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
}

// A kubelet that ends its watches is asked again; pods that went meanwhile go.
func TestWatchEnds(t *testing.T) {
	r := newRig(t)
	r.set(pod("web"), false)
	r.set(pod("db"), false)
	r.fakeKubelet.socket(t, r.socket)
	r.start(Options{})
	r.eventually("both are there", func() bool { return r.pod("web") != nil && r.pod("db") != nil })
	r.fakeKubelet.mu.Lock()
	r.fakeKubelet.hangUp()
	r.fakeKubelet.mu.Unlock()
	r.set(pod("new"), false)
	r.eventually("the new one is there", func() bool { return r.pod("new") != nil })
	if r.pod("web") == nil || r.pod("db") == nil {
		t.Error("the end of a watch takes pods away")
	}
	if s := r.Status("kubelet"); s.Restarts > 3 || s.State != collection.StateLive {
		t.Errorf("status after the end of a watch: %+v", s)
	}
}

// A kubelet that waits for the API server knows no pods, and that says nothing of them.
func TestWaitingForTheAPIServer(t *testing.T) {
	r := newRig(t)
	r.set(pod("web"), false)
	r.fakeKubelet.socket(t, r.socket)
	r.start(Options{})
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
	r.fail(status.Error(codes.FailedPrecondition, "Kubelet is initializing"))
	r.eventually("status says it", func() bool {
		return strings.Contains(r.way("Pods API").Reason, "waits for the API server")
	})
	if r.pod("web") == nil {
		t.Error("the pod is gone")
	}
	r.fail(nil)
	r.set(pod("db"), false)
	r.eventually("a new pod is there", func() bool { return r.pod("db") != nil })
}

// A kubelet that is frozen says nothing and keeps its watch open: the list notices.
func TestFrozen(t *testing.T) {
	r := newRig(t)
	r.set(pod("web"), false)
	r.fakeKubelet.socket(t, r.socket)
	r.start(Options{CallTimeout: 200 * time.Millisecond})
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
	hold := make(chan struct{})
	r.fakeKubelet.mu.Lock()
	r.fakeKubelet.hold = hold
	r.fakeKubelet.mu.Unlock()
	r.eventually("status says that it does not answer", func() bool {
		return r.Status("kubelet").Problem.Cause == workloadmeta.CauseTimeout
	})
	if r.pod("web") == nil {
		t.Error("the pod is gone")
	}
	r.fakeKubelet.mu.Lock()
	r.fakeKubelet.hold = nil
	r.fakeKubelet.mu.Unlock()
	close(hold)
	r.set(pod("db"), true)
	r.eventually("a new pod is there", func() bool { return r.pod("db") != nil })
}

// A kubelet without the Pods API is asked over HTTPS, at once; status says why.
func TestWithoutPodsAPI(t *testing.T) {
	r := newRig(t)
	r.set(pod("web"), false)
	r.fail(status.Error(codes.Unimplemented, "unknown service v1alpha1.Pods"))
	r.fakeKubelet.socket(t, r.socket)
	r.start(Options{URL: r.https(t, r.root), NodeName: "node-1"})
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
	if s := r.way("Pods API"); s.Cause != workloadmeta.CauseUnsupported ||
		!strings.Contains(s.Reason, "unknown service") || !strings.Contains(s.Hint, "1.37") ||
		r.way("/pods").State != collection.StateLive {
		t.Errorf("status: %+v", r.Status("kubelet").Parts)
	}
	r.remove("uid-web", false)
	r.set(pod("db"), false)
	r.eventually("a new pod is there", func() bool { return r.pod("db") != nil })

	r.fail(nil) // it is upgraded
	r.eventually("the Pods API is used", func() bool {
		return r.way("Pods API").State == collection.StateLive
	})
}

// TestTLS is item 15: the certificate of a kubelet is for its node's name, and is verified.
func TestTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		root bool // the kubelet's own certificate is mounted
		node string
		skip bool
		want string // of the failure; "" = none
	}{
		"mounted, and the node's name": {root: true, node: "node-1"},
		"mounted, by address only":     {root: true, want: "cannot be verified"},
		"another node's":               {root: true, node: "node-2", want: "cannot be verified"},
		"unknown":                      {node: "node-1", want: "cannot be verified"},
		"not verified, as asked":       {skip: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.set(pod("web"), false)
			certs := ""
			if tc.root {
				certs = r.root
			}
			r.start(Options{URL: r.https(t, certs), NodeName: tc.node, SkipVerify: tc.skip})
			if tc.want == "" {
				r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
				return
			}
			r.eventually("status says why not", func() bool {
				p := r.Status("kubelet").Problem
				return p.Cause == workloadmeta.CauseUnverified &&
					strings.Contains(p.String(), tc.want)
			})
			// The options that the hint names are those that there are.
			if hint := r.Status("kubelet").Hint; !strings.Contains(hint, " kubelet_client_ca ") ||
				!strings.Contains(hint, " kubelet.tls_skip_verify ") {
				t.Errorf("hint %q", hint)
			}
			r.fakeKubelet.mu.Lock()
			defer r.fakeKubelet.mu.Unlock()
			if r.fakeKubelet.lists > 0 {
				t.Error("pods were asked for without verification")
			}
		})
	}
}

// TestAnswers is item 12: what a kubelet may answer, and that nothing is lost by it.
func TestAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(w http.ResponseWriter)
		cause  workloadmeta.Cause
		says   string
	}{
		"forbidden": {func(w http.ResponseWriter) {
			http.Error(w, "Forbidden (user=system:anonymous, verb=get, resource=nodes, "+
				"subresource(s)=[pods proxy])", http.StatusForbidden)
		}, workloadmeta.CauseForbidden, "nodes/pods"},
		"unauthenticated": {func(w http.ResponseWriter) {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		}, workloadmeta.CauseUnauthenticated, "401"},
		"cut off": {func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"kind":"PodList","items":[{"metadata":{"name":"a"`)
		}, "", "unexpected"},
		"no list": {func(w http.ResponseWriter) { fmt.Fprint(w, `{"kind":"Status"}`) }, "",
			"no items"},
		"no JSON": {func(w http.ResponseWriter) { fmt.Fprint(w, `<html>`) }, "",
			"no list of pods"},
		"not there": {func(w http.ResponseWriter) { http.NotFound(w, nil) },
			workloadmeta.CauseWrongPeer, "404"},
		"overloaded": {func(w http.ResponseWriter) {
			http.Error(w, "slow down", http.StatusTooManyRequests)
		}, "", "429"},
		"redirection": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://evil.example")
			w.WriteHeader(http.StatusFound)
		}, "", "302"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.set(pod("web"), false)
			r.start(Options{URL: r.https(t, r.root), NodeName: "node-1"})
			r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
			r.answer(func(w http.ResponseWriter, _ *http.Request) bool {
				tc.answer(w)
				return true
			})
			r.eventually("status says it", func() bool {
				p := r.Status("kubelet").Problem
				return p.Cause == tc.cause && strings.Contains(p.String(), tc.says)
			})
			if r.pod("web") == nil {
				t.Error("the pod is gone")
			}
			r.answer(nil)
			r.set(pod("db"), false)
			r.eventually("a new pod is there", func() bool { return r.pod("db") != nil })
		})
	}
}

// The token is for the kubelet alone: over plain HTTP all on the way could read it. Who needs one
// is told why none has come.
func TestNoTokenOverPlainHTTP(t *testing.T) {
	r := newRig(t)
	token := filepath.Join(r.root, "token")
	if err := os.WriteFile(token, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.fakeKubelet)
	t.Cleanup(server.Close)
	r.answer(func(w http.ResponseWriter, request *http.Request) bool {
		if sent := request.Header.Get("Authorization"); sent != "" {
			t.Errorf("over plain HTTP it sends %q", sent)
		}
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return true
	})
	r.start(Options{URL: strings.Replace(server.URL, "http", "HTTP", 1), TokenPath: token})
	r.eventually("status says why", func() bool {
		return strings.Contains(r.Status("kubelet").Problem.Hint, "no token is sent over plain http")
	})
	r.answer(nil)
	r.set(pod("web"), false)
	r.eventually("without a token it may answer", func() bool { return r.pod("web") != nil })
}

// A pod that cannot be read is left out, and takes nothing with it.
func TestOneBrokenPod(t *testing.T) {
	r := newRig(t)
	r.set(pod("web"), false)
	r.start(Options{URL: r.https(t, r.root), NodeName: "node-1"})
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
	r.answer(func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(w, `{"items":[{"metadata":{"uid":7}},{"metadata":{"uid":"uid-db","name":"db"},
			"status":{"phase":"Running"}}]}`)
		return true
	})
	r.eventually("the other is there", func() bool { return r.pod("db") != nil })
	if r.pod("web") == nil {
		t.Error("the pod that may be the broken one is gone")
	}
}

// An empty node answers "items":null, which is a list of no pods.
func TestNoPods(t *testing.T) {
	r := newRig(t)
	r.answer(func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}`)
		return true
	})
	r.start(Options{URL: r.https(t, r.root), NodeName: "node-1"})
	r.eventually("it is synced", func() bool { return !r.Status("kubelet").LastSync.IsZero() })
}

// A token is read again when it has been rotated, also if the kubelet notices first.
func TestTokenRotates(t *testing.T) {
	r := newRig(t)
	token := filepath.Join(r.root, "token")
	write := func(text string, at time.Time) {
		if err := os.WriteFile(token, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(token, at, at); err != nil { // the same time: nothing shows it
			t.Fatal(err)
		}
	}
	at := time.Now().Add(-time.Hour)
	write("first", at)
	valid := "first"
	r.answer(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Header.Get("Authorization") != "Bearer "+valid {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return true
		}
		return false
	})
	r.set(pod("web"), false)
	r.start(Options{URL: r.https(t, r.root), NodeName: "node-1", TokenPath: token})
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
	r.fakeKubelet.mu.Lock()
	valid = "second"
	write("second", at)
	r.fakeKubelet.mu.Unlock()
	r.set(pod("db"), false)
	r.eventually("a new pod is there", func() bool { return r.pod("db") != nil })
	if s := r.Status("kubelet"); s.LastError != "" {
		t.Errorf("status: %+v; want no failure", s)
	}
}

// Who misses a pod has it asked for now, and waits for the answer.
func TestFetch(t *testing.T) {
	r := newRig(t)
	r.start(Options{URL: r.https(t, r.root), NodeName: "node-1", Period: time.Hour})
	r.eventually("it is synced", func() bool { return !r.Status("kubelet").LastSync.IsZero() })
	r.set(pod("web"), false)
	id := workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: "uid-web"}
	r.eventually("the pod has been fetched", func() bool {
		return r.Supervisor.Fetch(t.Context(), id) == nil && r.pod("web") != nil
	})
}

// Where the kubelet tells of nothing by itself, it is asked when a runtime tells of a container,
// and then until it has that, too.
func TestNotice(t *testing.T) {
	r := newRig(t)
	runtime := collectortest.NewFake(workloadmeta.Description{ID: "docker",
		Source: workloadmeta.SourceRuntime,
		Kinds:  []workloadmeta.Kind{workloadmeta.KindContainer}})
	r.start(Options{URL: r.https(t, r.root), NodeName: "node-1", Period: time.Hour}, runtime)
	r.eventually("it is synced", func() bool { return !r.Status("kubelet").LastSync.IsZero() })
	early := pod("web")
	early.Status = corev1.PodStatus{Phase: corev1.PodRunning} // without its container
	r.set(early, false)
	container := func(state workloadmeta.ContainerState) *workloadmeta.Container {
		return &workloadmeta.Container{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "container-web"},
			Owner: &workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod,
				ID: "uid-web"},
			State: state}
	}
	runtime.Set(container(workloadmeta.ContainerState{Running: true}))
	r.eventually("the pod is there", func() bool { return r.pod("web") != nil })
	r.set(pod("web"), false)
	r.eventually("its container is there", func() bool {
		return len(r.pod("web").Containers) == 1 && r.pod("web").Containers[0].ID != ""
	})
	runtime.Set(container(workloadmeta.ContainerState{Status: workloadmeta.StatusStopped}))
	ended := pod("web")
	ended.Status.Phase = corev1.PodSucceeded
	ended.Status.ContainerStatuses[0].State = corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{}}
	r.set(ended, false)
	r.eventually("it has ended", func() bool { return r.pod("web").Phase == "Succeeded" })

	// One that nobody has seen run.
	r.set(pod("short"), false)
	short := container(workloadmeta.ContainerState{Status: workloadmeta.StatusStopped})
	short.ID, short.Owner.ID = "container-other", "uid-short"
	runtime.Set(short)
	r.eventually("the next pod is there", func() bool { return r.pod("short") != nil })
}

// TestStart has a pod end just after the collector has begun, which is not when the kubelet has.
func TestStart(t *testing.T) {
	filter, err := env.NewFilter()
	if err != nil {
		t.Fatal(err)
	}
	tracker, now := newTracker(podmap.New(filter)), time.Now()
	tracker.restored(now)
	items := make([]item, 4)
	for i := range items {
		items[i] = item{hash: uint64(i), pod: &object.Pod{}}
		items[i].pod.Meta.UID = fmt.Sprint("uid-", i)
	}
	tracker.list(now, listing{began: now, items: items})
	for i := range items {
		items[i].pod = nil
	}
	later := now.Add(time.Second)
	tracker.list(later, listing{began: later, items: items[1:]})
	later = later.Add(absentFor)
	ends := tracker.list(later, listing{began: later, items: items[1:]})
	if len(ends) != 1 || ends[0].Entity.GetID().ID != "uid-0" {
		t.Errorf("told %v, want the end of uid-0", ends)
	}
}

// A pod that is known stays as it was when lists have it in a way in which it cannot be decoded,
// and keeps no other one.
func TestUndecodable(t *testing.T) {
	filter, err := env.NewFilter()
	if err != nil {
		t.Fatal(err)
	}
	const text = `[{"metadata": {"uid": "uid-web"}, "spec": "nonsense"}]`
	fromJSON, err := readArray(json.NewDecoder(strings.NewReader(text)), maphash.MakeSeed(), nil)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := (&metav1.ObjectMeta{UID: "uid-web"}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	message := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), meta)
	message = protowire.AppendString(protowire.AppendTag(message, 2, protowire.BytesType), "\xff")
	var fromProtobuf item
	(&podsAPI{decoder: object.NewDecoder[object.Pod](object.Shape{})}).decode(message,
		&fromProtobuf)
	many := &object.Pod{}
	many.Meta.UID = "uid-web"
	many.Spec.Containers = make([]object.Container, 2*podmap.MaxContainers+1)
	for name, broken := range map[string]item{"JSON": fromJSON[0], "protocol buffers": fromProtobuf,
		"too many containers": {pod: many}} {
		t.Run(name, func(t *testing.T) {
			tracker, now := newTracker(podmap.New(filter)), time.Now()
			items := make([]item, 3)
			for i, name := range []string{"web", "db", "api"} {
				items[i] = item{hash: uint64(i + 1), pod: &object.Pod{}}
				items[i].pod.Meta.UID = "uid-" + name
			}
			tracker.list(now, listing{began: now, items: items})
			broken.hash = 9
			var told []workloadmeta.CollectorEvent
			for range 3 {
				now = now.Add(absentFor)
				told = append(told, tracker.list(now, listing{began: now,
					items: []item{broken, {hash: 2}}})...)
			}
			if len(told) != 1 || told[0].Entity.GetID().ID != "uid-api" {
				t.Errorf("told %v, want the end of uid-api", told)
			}
			if tracker.undecodable != 1 || tracker.problem == nil {
				t.Errorf("%d are left out: %v", tracker.undecodable, tracker.problem)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	for field, o := range map[string]Options{
		"URL": {URL: "node-1:10250"}, "Port": {Port: 70000}, "Period": {Period: time.Millisecond},
		"ClientKey": {ClientCert: "a.crt"}, "ClientCA": {ClientCA: "/does/not/exist"},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v; want an error that names %s", o, err, field)
		}
	}
}
