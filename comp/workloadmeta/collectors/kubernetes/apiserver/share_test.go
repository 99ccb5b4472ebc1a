package apiserver

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

const leasePath = "/apis/coordination.k8s.io/v1/namespaces/tools/leases"

// named adds to each request who has sent it.
type named struct {
	next http.RoundTripper
	name string
}

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("From", n.name)
	return n.next.RoundTrip(r)
}

// replica starts a replica of an agent that shares pods.
func replica(t *testing.T, server *fakekube.Server, name string) *world {
	t.Helper()
	return replicaOf(t, server, name, "1")
}

// replicaOf starts a process in the pod of that name.
func replicaOf(t *testing.T, server *fakekube.Server, name, instance string) *world {
	t.Helper()
	return replicaWith(t, server, Options{}, name, instance)
}

func replicaWith(t *testing.T, server *fakekube.Server, o Options, name, instance string) *world {
	t.Helper()
	o.Agent, o.Share, o.Resources = collection.Cluster, true, []string{"nodes", "pods"}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.self = func() (string, string, error) { return "tools", name, nil }
	c.instance = instance
	c.connect = func(kubeapi.Options) (*kubeapi.Client, error) {
		return kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"},
			&http.Client{Transport: named{server.Client().Transport, name}}), nil
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

// sharing is a cluster with nodes that have two pods each, and a pod without a node.
func sharing() *fakekube.Server {
	server := fakekube.New(podPath, nodePath, leasePath)
	for n := range 12 {
		node := fmt.Sprintf("node-%d", n)
		server.Put(nodePath, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}})
		for i := range 2 {
			server.Put(podPath, podOn(fmt.Sprintf("pod-%d-%d", n, i), node))
		}
	}
	server.Put(podPath, podOn("pending", ""))
	return server
}

func podOn(name, node string) *corev1.Pod {
	p := podOf(name, "web")
	p.Spec.NodeName = node
	return p
}

// holders returns how many replicas report each pod that the server has.
func holders(server *fakekube.Server, replicas map[string]*world) map[string]int {
	out := map[string]int{}
	for _, o := range server.Objects(podPath) {
		out[string(o.GetUID())] = 0
	}
	for _, w := range replicas {
		w.mu.Lock()
		for id := range w.known {
			if id.Kind == workloadmeta.KindKubernetesPod {
				out[id.ID]++
			}
		}
		w.mu.Unlock()
	}
	return out
}

// wanted checks how many replicas report each pod.
func wanted(t *testing.T, what string, server *fakekube.Server, replicas map[string]*world,
	least, most int) {
	t.Helper()
	got := holders(server, replicas)
	for _, pod := range slices.Sorted(maps.Keys(got)) {
		if got[pod] < least || got[pod] > most {
			t.Errorf("%s: %s is reported by %d replicas, want %d to %d", what, pod, got[pod], least,
				most)
		}
	}
}

// pass lets time pass, during which each pod is reported by somebody at each second.
func pass(t *testing.T, what string, d time.Duration, server *fakekube.Server,
	replicas map[string]*world) {
	t.Helper()
	for range int(d / time.Second) {
		time.Sleep(time.Second)
		synctest.Wait()
		if wanted(t, what, server, replicas, 1, 99); t.Failed() {
			return
		}
	}
}

// Replicas divide the pods between them. One that joins takes over without a gap; where one leaves
// or dies the others have its pods soon.
func TestReplicasShareThePods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sharing()
		replicas := map[string]*world{}
		stop := func(name string) {
			replicas[name].stop()
			delete(replicas, name)
		}
		defer func() {
			for _, w := range replicas {
				w.stop()
			}
		}()
		replicas["a"] = replica(t, server, "a")
		replicas["a"].wait(3 * time.Second)
		wanted(t, "alone", server, replicas, 1, 1)
		if s := replicas["a"].sink; s.synced != 1 {
			t.Errorf("alone it is synced %d times", s.synced)
		}
		for _, name := range []string{"b", "c"} {
			replicas[name] = replica(t, server, name)
			// It announces at once that it has synced, and the others look every ten seconds.
			pass(t, name+" joins", leaseRenew+3*time.Second, server, replicas)
			wanted(t, name+" has joined", server, replicas, 1, 1)
			pass(t, name+" is there", time.Minute, server, replicas)
		}
		for name, w := range replicas {
			p := w.part("pods")
			if p.State != collection.StateLive ||
				!strings.HasSuffix(p.Reason, " of 13 nodes, shared by 3 replicas") {
				t.Errorf("%s: %+v", name, p)
			}
		}

		stop("b")
		time.Sleep(15 * time.Second)
		wanted(t, "b has left", server, replicas, 1, 1)

		// One that dies leaves its lease.
		server.Fault(func(r *http.Request) *metav1.Status {
			if r.Method == http.MethodDelete {
				return fakekube.Status(503, metav1.StatusReasonServiceUnavailable, "dead")
			}
			return nil
		})
		stop("c")
		server.Fault(nil)
		time.Sleep(leaseTime + leaseRenew + 5*time.Second)
		wanted(t, "c has died", server, replicas, 1, 1)
		if n := len(server.Objects(leasePath)); n != 2 {
			t.Errorf("%d leases, want that of the dead, too", n)
		}
		pass(t, "later", forgotten, server, replicas)
		if n := len(server.Objects(leasePath)); n != 1 {
			t.Errorf("%d leases, want that of the dead to be gone", n)
		}

		// Nodes and pods come and go.
		replicas["b"] = replica(t, server, "b")
		pass(t, "b is back", time.Minute, server, replicas)
		server.Put(nodePath, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-new"}})
		server.Put(podPath, podOn("pod-new", "node-new"))
		server.Put(podPath, podOn("pending", "node-new")) // it has got its node
		server.Delete(podPath, "shop", "pod-0-0")
		server.Delete(podPath, "shop", "pod-1-0")
		server.Delete(podPath, "shop", "pod-1-1")
		server.Delete(nodePath, "", "node-1")
		time.Sleep(5 * time.Second)
		wanted(t, "nodes have changed", server, replicas, 1, 1)
	})
}

// A second process in the same pod has a lease of its own, and takes that alone away with it.
func TestAnotherProcessInThePodLeavesTheLeaseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sharing()
		a := replica(t, server, "a")
		defer a.stop()
		a.wait(3 * time.Second)
		second := replicaOf(t, server, "a", "2")
		second.wait(time.Minute)
		wanted(t, "two in a pod", server, map[string]*world{"a": a, "second": second}, 1, 1)
		second.stop()
		var leases []string
		for _, o := range server.Objects(leasePath) {
			leases = append(leases, o.GetName())
		}
		if !slices.Equal(leases, []string{leaseName("a-1")}) {
			t.Errorf("after the second has ended there are %v", leases)
		}
		time.Sleep(leaseRenew + 5*time.Second)
		wanted(t, "the second has ended", server, map[string]*world{"a": a}, 1, 1)
	})
}

// Two agents in one namespace have groups of their own, each with all of the pods.
func TestGroupsDoNotShareWithEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sharing()
		for _, group := range []string{"", "prod-rollcall"} {
			agent := map[string]*world{}
			for _, name := range []string{"a", "b"} {
				w := replicaWith(t, server, Options{ShareGroup: group}, group+name, "1")
				defer w.stop()
				agent[name] = w
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			wanted(t, "group "+group, server, agent, 1, 1)
			if p := agent["a"].part("pods"); !strings.HasSuffix(p.Reason, "by 2 replicas") {
				t.Errorf("group %q: %s", group, p.Reason)
			}
		}
	})
	for group, ok := range map[string]bool{"": true, "a": true, "A.b_c-1": true, "-": false,
		"a/b": false, "a,b": false, "a-": false, strings.Repeat("a", 63): true,
		strings.Repeat("a", 64): false} {
		if _, err := New(Options{ShareGroup: group}); (err == nil) != ok {
			t.Errorf("group %q: %v", group, err)
		}
	}
}

// Who answers one question and ends neither shares nor writes.
func TestWhoEndsAtOnceTakesNoShare(t *testing.T) {
	for once, want := range map[bool]bool{false: true, true: false} {
		made, err := Spec.New(&Options{Share: true},
			collection.Deps{Agent: collection.Cluster, Once: once})
		if err != nil {
			t.Fatal(err)
		}
		if got := made[0].(*Collector).opts.Share; got != want {
			t.Errorf("once %t: it shares: %t", once, got)
		}
	}
	own := func() string {
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c.instance
	}
	if a, b := own(), own(); a == b || len(a) != 8 || strings.ToLower(a) != a {
		t.Errorf("instances %q and %q", a, b)
	}
}

// A pod that gets its node leaves those that have none, whoever is told first of which.
func TestAPodGetsItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sharing()
		a := replica(t, server, "a")
		defer a.stop()
		for i := range 40 {
			server.Put(podPath, podOn(fmt.Sprint("pending-", i), ""))
		}
		a.wait(5 * time.Second)
		for i := range 40 {
			server.Put(podPath, podOn(fmt.Sprint("pending-", i), "node-3"))
			synctest.Wait()
		}
		a.wait(5 * time.Second)
		wanted(t, "they have nodes", server, map[string]*world{"a": a}, 1, 1)
	})
}

// What was on its way when a node was left is not reported any more.
func TestWhatIsLateOfANodeThatWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sharing()
		c, err := New(Options{Agent: collection.Cluster, Share: true})
		if err != nil {
			t.Fatal(err)
		}
		to := &sink{t: t, known: map[workloadmeta.EntityID]workloadmeta.Entity{}}
		core := newCore(&c.opts, to, &c.crowded)
		s := newShare(c, core)
		client := kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, server.Client())
		s.follow(t.Context(), client, "node-0")
		for !s.scopes["node-0"].source.listed {
			do := <-core.updates
			do()
		}
		core.settle()
		if len(to.known) != 2 {
			t.Fatalf("of the node's pods %d are reported", len(to.known))
		}
		answers := <-core.updates
		answers()
		server.Put(podPath, podOn("late", "node-0"))
		late := <-core.updates
		s.leave("node-0")
		late()
		core.settle()
		if len(to.known) != 0 {
			t.Errorf("after the node was left, %v", to.known)
		}
		s.on.Wait()
	})
}

// A watch costs memory, and there is one for each node: with what the fake server has of it some 25
// kB.
func TestAWatchForEachNodeIsSmall(t *testing.T) {
	const nodes = 300
	server := fakekube.New(podPath)
	c, err := New(Options{Agent: collection.Cluster, Share: true})
	if err != nil {
		t.Fatal(err)
	}
	core := newCore(&c.opts, &sink{t: t, known: map[workloadmeta.EntityID]workloadmeta.Entity{}},
		&c.crowded)
	s := newShare(c, core)
	client := kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, server.Client())
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	ctx, cancel := context.WithCancel(t.Context())
	for n := range nodes {
		s.follow(ctx, client, fmt.Sprint("node-", n))
	}
	for s.late > 0 {
		do := <-core.updates
		do()
	}
	if each := (heap() - before) / nodes; each > 45<<10 {
		t.Errorf("a watch has %d bytes", each)
	}
	cancel()
	s.on.Wait()
}

// A replica that cannot sync its nodes takes none over, for a limited time.
func TestNobodyLeavesToWhoCannotSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sharing()
		a := replica(t, server, "a")
		defer a.stop()
		a.wait(3 * time.Second)
		server.Fault(func(r *http.Request) *metav1.Status {
			if r.Header.Get("From") == "b" && r.URL.Path == podPath {
				return fakekube.Status(403, metav1.StatusReasonForbidden, "no pods for b")
			}
			return nil
		})
		b := replica(t, server, "b")
		defer b.stop()
		only := map[string]*world{"a": a}
		pass(t, "b is stuck", handOver-leaseRenew, server, only)
		late := 0
		for _, p := range b.collector.Parts() {
			if strings.HasPrefix(p.Name, "pods of ") {
				late++
				if p.State != collection.StateDegraded ||
					p.Cause != workloadmeta.CauseForbidden ||
					p.Hint != "grant list and watch pods to the account" {
					t.Errorf("of a node that is forbidden: %+v", p)
				}
			}
		}
		if late == 0 {
			t.Errorf("which nodes are not synced is not said: %+v", b.collector.Parts())
		}
		if p := a.part("pods"); !strings.Contains(p.Reason, "until their new owners have synced") {
			t.Errorf("a: %+v", p)
		}
		time.Sleep(3 * leaseRenew)
		synctest.Wait()
		if got := holders(server, only); slices.Min(slices.Collect(maps.Values(got))) != 0 {
			t.Errorf("a waits for ever: %v", got)
		}
	})
}

// Without a right to leases, and without knowing the nodes, nothing is taken for one's own.
func TestSharingNeedsLeasesAndNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sharing()
		server.Fault(func(r *http.Request) *metav1.Status {
			if strings.HasPrefix(r.URL.Path, leasePath) {
				return fakekube.Status(403, metav1.StatusReasonForbidden, "no")
			}
			return nil
		})
		a := replica(t, server, "a")
		defer a.stop()
		a.wait(5 * time.Second)
		p := a.part("pods")
		if p.State != collection.StateDegraded || p.Cause != workloadmeta.CauseForbidden ||
			!strings.HasPrefix(p.Hint, "grant list leases.coordination.k8s.io") {
			t.Errorf("without leases: %+v", p)
		}
		server.Fault(func(r *http.Request) *metav1.Status {
			if r.URL.Path == nodePath {
				return fakekube.Status(403, metav1.StatusReasonForbidden, "no")
			}
			return nil
		})
		server.Drop()
		b := replica(t, server, "b")
		defer b.stop()
		b.wait(time.Minute)
		if p := b.part("pods"); p.State != collection.StateWaiting {
			t.Errorf("without nodes: %+v", p)
		}
		replicas := map[string]*world{"a": a, "b": b}
		wanted(t, "b knows no nodes", server, replicas, 1, 1)
		for _, o := range server.Objects(leasePath) {
			if o.GetName() == leaseName("b-1") && o.GetAnnotations()[announcedNote] != "" {
				t.Error("b has announced what it cannot know")
			}
		}
		server.Fault(nil)
		b.wait(2 * time.Minute)
		wanted(t, "b knows the nodes", server, replicas, 1, 1)
	})
}

func TestSharingIsForAgentsOfTheCluster(t *testing.T) {
	_, err := New(Options{Agent: collection.Cluster, Share: true, Resources: []string{"pods"}})
	if err == nil || !strings.Contains(err.Error(), "nodes are not asked for") {
		t.Errorf("without nodes: %v", err)
	}
	leases := func(o Options, agent collection.Agent) bool {
		return slices.ContainsFunc(asksFor(t, o, collection.Deps{Agent: agent}),
			func(a collection.Access) bool {
				return a.Resource == "leases" && a.Namespace == collection.OwnNamespace
			})
	}
	if !leases(Options{Share: true}, collection.Cluster) || leases(Options{}, collection.Cluster) ||
		leases(Options{Share: true, Resources: []string{"pods"}}, collection.Node) {
		t.Error("leases are not asked for by who shares alone")
	}
}
