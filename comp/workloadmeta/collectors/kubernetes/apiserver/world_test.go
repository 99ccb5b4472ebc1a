package apiserver

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

// Paths of the fake API server.
const (
	podPath        = "/api/v1/pods"
	namespacePath  = "/api/v1/namespaces"
	nodePath       = "/api/v1/nodes"
	servicePath    = "/api/v1/services"
	slicePath      = "/apis/discovery.k8s.io/v1/endpointslices"
	deploymentPath = "/apis/apps/v1/deployments"
	replicaSetPath = "/apis/apps/v1/replicasets"
	hpaPath        = "/apis/autoscaling/v2/horizontalpodautoscalers"
	vpaPath        = "/apis/autoscaling.k8s.io/v1/verticalpodautoscalers"
	cronJobPath    = "/apis/batch/v1/cronjobs"
)

// world is a fake API server, and a collector that reports what it has.
type world struct {
	*sink

	t         *testing.T
	server    *fakekube.Server
	collector *Collector
	stop      func()
	ended     chan error
}

// sink keeps what was reported.
type sink struct {
	t *testing.T

	mu      sync.Mutex
	known   map[workloadmeta.EntityID]workloadmeta.Entity
	events  []string
	bundles []int
	synced  int
}

func (s *sink) Set(e ...workloadmeta.Entity) {
	for _, e := range e {
		s.Apply([]workloadmeta.CollectorEvent{workloadmeta.Set(e)})
	}
}

func (s *sink) Unset(e ...workloadmeta.Entity) {
	for _, e := range e {
		s.Apply([]workloadmeta.CollectorEvent{workloadmeta.Unset(e)})
	}
}

func (s *sink) Apply(events []workloadmeta.CollectorEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bundles = append(s.bundles, len(events))
	for _, e := range events {
		id := e.Entity.GetID()
		s.events = append(s.events, e.Type.String()+" "+id.String())
		if e.Type == workloadmeta.EventTypeUnset {
			if s.known[id] == nil {
				s.t.Errorf("%s ends and was not there", id)
			}
			delete(s.known, id)
			continue
		}
		s.known[id] = e.Entity
	}
}

func (s *sink) Synced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced++
}

func (s *sink) Known(workloadmeta.EntityID) bool { return false }

// newServer returns a fake that serves what a cluster usually does.
func newServer() *fakekube.Server {
	return fakekube.New(podPath, namespacePath, nodePath, servicePath, slicePath, deploymentPath,
		replicaSetPath, hpaPath, cronJobPath)
}

// start starts a collector. It must be called within a bubble.
func start(t *testing.T, server *fakekube.Server, o Options) *world {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.connect = func(kubeapi.Options) (*kubeapi.Client, error) {
		return kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, server.Client()), nil
	}
	w := &world{t: t, server: server, collector: c, ended: make(chan error, 1),
		sink: &sink{t: t, known: map[workloadmeta.EntityID]workloadmeta.Entity{}}}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { w.ended <- c.Stream(ctx, w.sink) }()
	w.stop = func() {
		cancel()
		<-w.ended
		synctest.Wait()
	}
	return w
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

// away lets something happen of which nobody can be told before the server has forgotten it.
func (w *world) away(happens func()) {
	w.server.Fault(func(*http.Request) *metav1.Status {
		return fakekube.Status(503, metav1.StatusReasonServiceUnavailable, "away")
	})
	w.server.Drop()
	w.wait(0)
	happens()
	w.server.Compact()
	w.server.Fault(nil)
	w.wait(time.Minute)
}

// told returns the events since the last call.
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.events
	w.events = nil
	return out
}

// expect compares the events since the last call.
func (w *world) expect(what string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.told()); diff != "" {
		w.t.Errorf("%s: want (-), told (+):\n%s", what, diff)
	}
}

// entity returns one that is there.
func entity[E workloadmeta.Entity](w *world, kind workloadmeta.Kind, id string) (e E) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	found := w.known[workloadmeta.EntityID{Kind: kind, ID: id}]
	e, ok := found.(E)
	if !ok {
		w.t.Fatalf("%s %s is %v; there are %v", kind, id, found,
			slices.Sorted(maps.Keys(names(w.known))))
	}
	return e
}

func names(known map[workloadmeta.EntityID]workloadmeta.Entity) map[string]bool {
	out := map[string]bool{}
	for id := range known {
		out[id.String()] = true
	}
	return out
}

// members returns the pods behind a service of the namespace shop.
func (w *world) members(service string) string {
	w.t.Helper()
	s := entity[*workloadmeta.KubernetesService](w, workloadmeta.KindKubernetesService,
		"shop/"+service)
	return fmt.Sprint(s.Pods)
}

// part returns how a resource is doing.
func (w *world) part(name string) collection.Part {
	w.t.Helper()
	for _, p := range w.collector.Parts() {
		if p.Name == name {
			return p
		}
	}
	w.t.Fatalf("no part %s in %v", name, w.collector.Parts())
	return collection.Part{}
}

func meta(name string, labels ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-of-" + name)}
	for i := 0; i < len(labels); i += 2 {
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[labels[i]] = labels[i+1]
	}
	return m
}

// podOf returns a pod of a Deployment's ReplicaSet.
func podOf(name, deployment string) *corev1.Pod {
	yes := true
	p := &corev1.Pod{ObjectMeta: meta(name, "app", deployment, "pod-template-hash", "6d4b75cb9")}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet",
		Name: deployment + "-6d4b75cb9", UID: "uid-rs", Controller: &yes}}
	p.Spec.NodeName = "node-1"
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: "example.org/app:v1"}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", HostIP: "192.0.2.1",
		PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}, QOSClass: corev1.PodQOSBurstable,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	return p
}

// mirrorOf makes a pod the mirror of a static one, as its kubelet does.
func mirrorOf(p *corev1.Pod, static string) *corev1.Pod {
	yes := true
	p.Annotations = map[string]string{"kubernetes.io/config.mirror": static}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node",
		Name: p.Spec.NodeName, UID: "uid-of-node", Controller: &yes}}
	return p
}

// sliceOf returns a slice of a service. A pod is its name, with a "!" behind one that is not ready,
// "~" behind one that terminates and still serves, "?" behind one that says nothing of itself.
func sliceOf(name, service string, pods ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: meta(name, "kubernetes.io/service-name", service),
		AddressType: discoveryv1.AddressTypeIPv4}
	for _, pod := range pods {
		ready, serving := true, true
		e := discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.
			EndpointConditions{Ready: &ready, Serving: &serving}}
		switch last := len(pod) - 1; pod[last] {
		case '!':
			ready, serving, pod = false, false, pod[:last]
		case '~':
			ready, pod = false, pod[:last]
		case '?':
			e.Conditions, pod = discoveryv1.EndpointConditions{}, pod[:last]
		}
		node := "node-1"
		e.NodeName = &node
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: pod,
			UID: types.UID(pod)}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}
