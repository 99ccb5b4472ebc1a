package apiserver

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

// TestCluster: what an agent of the cluster reports, as whole entities.
func TestCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop",
			Labels: map[string]string{"team": "x"}, Annotations: map[string]string{"a": "b",
				"kubectl.kubernetes.io/last-applied-configuration": "s3cr3t"}}}
		server.Put(namespacePath, ns)
		server.Put(nodePath, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}})
		server.Put(nodePath, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-2"}})
		d := &appsv1.Deployment{ObjectMeta: meta("web", "tags.datadoghq.com/env", "prod",
			"tags.datadoghq.com/service", "shop-web", "tags.datadoghq.com/version", "3")}
		d.Annotations = map[string]string{
			"internal.dd.datadoghq.com/web.detected_langs":        "python, java,,java",
			"internal.dd.datadoghq.com/init.setup.detected_langs": "go",
			"x.internal.dd.datadoghq.com/no.detected_langs":       "ruby"}
		server.Put(deploymentPath, d)
		pod := podOf("web-6d4b75cb9-x", "web")
		pod.Annotations = map[string]string{"kept": "yes", "ad.datadoghq.com/c.checks": "{}",
			"ad.datadoghq.com/tags":                            `{"a":"b"}`,
			"kubectl.kubernetes.io/last-applied-configuration": "s3cr3t"}
		pod.CreationTimestamp = metav1.Unix(1_800_000_000, 0)
		server.Put(podPath, pod)
		svc := &corev1.Service{ObjectMeta: meta("web"), Spec: corev1.ServiceSpec{Type: "ClusterIP",
			ClusterIP: "10.1.0.1", ClusterIPs: []string{"10.1.0.1"},
			Selector: map[string]string{"app": "web"}}}
		server.Put(servicePath, svc)
		server.Put(slicePath, sliceOf("web-1", "web", "uid-of-web-6d4b75cb9-x"))
		w := start(t, server, Options{Agent: collection.Cluster})
		defer w.stop()
		w.wait(time.Second)

		kind := workloadmeta.KindKubernetesMetadata
		gotNS := entity[*workloadmeta.KubernetesMetadata](w, kind, "/namespaces//shop")
		if diff := cmp.Diff(&workloadmeta.KubernetesMetadata{EntityID: gotNS.EntityID,
			EntityMeta: workloadmeta.EntityMeta{Name: "shop",
				Labels:      map[string]string{"team": "x"},
				Annotations: map[string]string{"a": "b"}},
			GVR: workloadmeta.GroupVersionResource{Version: "v1", Resource: "namespaces"},
		}, gotNS); diff != "" {
			t.Errorf("namespace, want (-), got (+):\n%s", diff)
		}
		entity[*workloadmeta.KubernetesMetadata](w, kind, "/nodes//node-1")
		entity[*workloadmeta.KubernetesMetadata](w, kind, "/nodes//node-2")
		gotD := entity[*workloadmeta.KubernetesDeployment](w, workloadmeta.KindKubernetesDeployment,
			"shop/web")
		if diff := cmp.Diff(&workloadmeta.KubernetesDeployment{EntityID: gotD.EntityID,
			EntityMeta: workloadmeta.EntityMeta{Name: "web", Namespace: "shop", Labels: d.Labels,
				Annotations: d.Annotations}, Env: "prod", Service: "shop-web", Version: "3",
			InjectableLanguages: workloadmeta.ContainerLanguages{"web": {"java", "python"},
				"init.setup": {"go"}}}, gotD); diff != "" {
			t.Errorf("deployment, want (-), got (+):\n%s", diff)
		}
		yes := true
		gotP := entity[*workloadmeta.KubernetesPod](w, workloadmeta.KindKubernetesPod,
			"uid-of-web-6d4b75cb9-x")
		if diff := cmp.Diff(&workloadmeta.KubernetesPod{EntityID: gotP.EntityID,
			EntityMeta: workloadmeta.EntityMeta{Name: pod.Name, Namespace: "shop",
				Labels: pod.Labels, Annotations: map[string]string{"kept": "yes",
					"ad.datadoghq.com/tags": `{"a":"b"}`}},
			Owners: []workloadmeta.KubernetesPodOwner{{Kind: "ReplicaSet", Group: "apps",
				Name: "web-6d4b75cb9", ID: "uid-rs", Controller: &yes}},
			Ready: true, Phase: "Running", IP: "10.0.0.1", HostIP: "192.0.2.1",
			NodeName: "node-1", QOSClass: "Burstable",
			CreationTimestamp: time.Unix(1_800_000_000, 0).UTC(),
			ResourceVersion:   gotP.ResourceVersion}, gotP); diff != "" {
			t.Errorf("pod, want (-), got (+):\n%s", diff)
		}
		gotS := entity[*workloadmeta.KubernetesService](w, workloadmeta.KindKubernetesService,
			"shop/web")
		if diff := cmp.Diff(&workloadmeta.KubernetesService{EntityID: gotS.EntityID,
			EntityMeta: workloadmeta.EntityMeta{Name: "web", Namespace: "shop"},
			Type:       "ClusterIP", ClusterIPs: []string{"10.1.0.1"},
			Selector: map[string]string{"app": "web"}, Pods: []string{gotP.ID}}, gotS); diff != "" {
			t.Errorf("service, want (-), got (+):\n%s", diff)
		}
		if w.synced != 1 {
			t.Errorf("synced %d times", w.synced)
		}
	})
}

// TestNoNews: what changes nothing that is reported is no event, as most changes of pods are.
func TestNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		pod := podOf("web-1", "web")
		server.Put(podPath, pod)
		w := start(t, server, Options{Agent: collection.Cluster, Resources: []string{pods}})
		defer w.stop()
		w.wait(time.Second)
		w.expect("at first", "set kubernetes_pod/uid-of-web-1")
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", RestartCount: 3}}
		pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
		pod.Annotations = map[string]string{"kubernetes.io/config.seen": "now"}
		server.Put(podPath, pod)
		w.away(func() { server.Put(podPath, podOf("web-2", "web")) })
		w.expect("a new one", "set kubernetes_pod/uid-of-web-2")
		pod.Status.Phase = corev1.PodSucceeded
		server.Put(podPath, pod)
		w.wait(0)
		w.expect("its end", "set kubernetes_pod/uid-of-web-1")
	})
}

// TestRelist is number 17: an object that was made anew under its name while nobody could be told
// is there afterwards, those that are gone go first, and nothing else is told.
func TestRelist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		for _, name := range []string{"a", "b", "c"} {
			server.Put(deploymentPath, &appsv1.Deployment{ObjectMeta: meta(name)})
			server.Put(podPath, podOf(name, "web"))
		}
		w := start(t, server, Options{Agent: collection.Cluster,
			Resources: []string{pods, deployments}})
		defer w.stop()
		w.wait(time.Second)
		w.told()
		w.away(func() {
			again := meta("b", "made", "anew")
			again.UID = "another"
			for _, name := range []string{"a", "b"} {
				server.Delete(deploymentPath, "shop", name)
				server.Delete(podPath, "shop", name)
			}
			server.Put(deploymentPath, &appsv1.Deployment{ObjectMeta: again})
			pod := podOf("b", "web")
			pod.UID = "another"
			server.Put(podPath, pod)
		})
		told := w.told()
		for kind, want := range map[string]string{
			"deployment":     "unset kubernetes_deployment/shop/a, set kubernetes_deployment/shop/b",
			"kubernetes_pod": "unset kubernetes_pod/uid-of-a, unset kubernetes_pod/uid-of-b, set kubernetes_pod/another",
		} {
			var got []string
			for _, e := range told {
				if strings.Contains(e, kind) {
					got = append(got, e)
				}
			}
			if text := strings.Join(got, ", "); text != want {
				t.Errorf("%s: told %s; want %s", kind, text, want)
			}
		}
		d := entity[*workloadmeta.KubernetesDeployment](w, workloadmeta.KindKubernetesDeployment,
			"shop/b")
		if d.Labels["made"] != "anew" {
			t.Errorf("b has the labels %v", d.Labels)
		}
	})
}

// TestReplicaSetsAreNeverAsked is number 19: however many there are, they cost nothing.
func TestReplicaSetsAreNeverAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.Put(podPath, podOf("web-1", "web"))
		asked := map[string]int{}
		server.Fault(func(r *http.Request) *metav1.Status {
			if strings.Contains(r.URL.Path, "replicasets") {
				asked[r.URL.Path]++
			}
			return nil
		})
		w := start(t, server, Options{Agent: collection.Cluster})
		defer w.stop()
		w.wait(time.Hour)
		if len(asked) > 0 {
			t.Errorf("asked for %v", asked)
		}
		for _, r := range asksFor(t, Options{}, collection.Deps{Agent: collection.Cluster}) {
			if r.Resource == "replicasets" {
				t.Error("the right to read ReplicaSets is asked for")
			}
		}
	})
}

// TestOneForbidden: a resource that is forbidden, or not served, keeps back none of the others, is
// shown with the rule that is missing, and comes when it may.
func TestOneForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.Put(podPath, podOf("web-1", "web"))
		server.Put(deploymentPath, &appsv1.Deployment{ObjectMeta: meta("web")})
		server.Fault(func(r *http.Request) *metav1.Status {
			if r.URL.Path == deploymentPath {
				return fakekube.Status(403, metav1.StatusReasonForbidden,
					`deployments.apps is forbidden: User "x" cannot list resource`)
			}
			return nil
		})
		w := start(t, server, Options{Agent: collection.Cluster,
			Resources: []string{pods, deployments, autoscalers, "example.org/things"}})
		defer w.stop()
		w.wait(time.Second)
		if w.synced != 1 || len(w.known) != 1 {
			t.Errorf("synced %d times, with %v", w.synced, w.known)
		}
		for name, want := range map[string]struct {
			state collection.State
			cause workloadmeta.Cause
			hint  string
			kind  workloadmeta.Kind
		}{
			"pods": {collection.StateLive, "", "", workloadmeta.KindKubernetesPod},
			"deployments.apps": {collection.StateDegraded, workloadmeta.CauseForbidden,
				"grant list and watch deployments.apps", workloadmeta.KindKubernetesDeployment},
			"horizontalpodautoscalers.autoscaling": {collection.StateLive, "", "", 0},
			"verticalpodautoscalers.autoscaling.k8s.io": {collection.StateWaiting,
				workloadmeta.CauseAbsent, "", 0},
			"things.example.org": {collection.StateWaiting, workloadmeta.CauseAbsent, "",
				workloadmeta.KindKubernetesMetadata},
		} {
			p := w.part(name)
			if p.State != want.state || p.Cause != want.cause || p.Kind != want.kind ||
				!strings.Contains(p.Hint, want.hint) {
				t.Errorf("%s: %+v, want %+v", name, p, want)
			}
		}
		server.Fault(nil)
		w.wait(time.Minute)
		if p := w.part("deployments.apps"); p.State != collection.StateLive || p.Reason != "" {
			t.Errorf("with the right: %+v", p)
		}
		entity[*workloadmeta.KubernetesDeployment](w, workloadmeta.KindKubernetesDeployment,
			"shop/web")
	})
}

// Where several resources are forbidden, and nothing is listed, all of them are named.
func TestAllThatIsForbiddenIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.Fault(func(r *http.Request) *metav1.Status {
			if r.URL.Path == namespacePath {
				return fakekube.Status(401, metav1.StatusReasonUnauthorized, "who are you")
			}
			return fakekube.Status(403, metav1.StatusReasonForbidden, "no")
		})
		w := start(t, server, Options{Agent: collection.Cluster,
			Resources: []string{namespaces, nodes, pods, deployments}})
		w.wait(time.Second)
		select {
		case err := <-w.ended:
			p := workloadmeta.ProblemOf(err)
			if p.Cause != workloadmeta.CauseForbidden || !strings.Contains(p.Hint,
				"rollcall rbac prints: it may not read nodes, pods, deployments.apps") {
				t.Errorf("ended with %+v", p)
			}
		default:
			t.Error("it goes on")
		}
		w.ended <- nil
		w.stop()
	})
}

// TestNothingToBeHad: where every resource fails at first the collector does, with the cause; one
// that never answers keeps the others back for a minute only; and what was told once stays while
// the server is away.
func TestNothingToBeHad(t *testing.T) {
	refuse := func(*http.Request) *metav1.Status {
		return fakekube.Status(401, metav1.StatusReasonUnauthorized, "Unauthorized")
	}
	t.Run("all refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newServer()
			server.Fault(refuse)
			w := start(t, server, Options{Agent: collection.Cluster})
			w.wait(time.Second)
			select {
			case err := <-w.ended:
				if workloadmeta.CauseOf(err) != workloadmeta.CauseUnauthenticated ||
					!strings.Contains(err.Error(), "and 7 other resources") {
					t.Errorf("ended with %v", err)
				}
			default:
				t.Error("it goes on")
			}
			w.ended <- nil
			w.stop()
			if w.synced > 0 {
				t.Error("it says that this is all there is")
			}
		})
	})
	t.Run("one frozen", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newServer()
			server.Put(namespacePath, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
			server.Fault(func(r *http.Request) *metav1.Status {
				if r.URL.Path == podPath {
					<-r.Context().Done()
				}
				return nil
			})
			w := start(t, server, Options{Agent: collection.Cluster,
				Resources: []string{namespaces, pods}})
			defer w.stop()
			w.wait(firstList - time.Second)
			if w.synced != 0 || len(w.known) != 1 {
				t.Errorf("after 59 s: synced %d times, %d entities", w.synced, len(w.known))
			}
			w.wait(2 * time.Second)
			if w.synced != 1 {
				t.Errorf("after a minute: synced %d times", w.synced)
			}
		})
	})
	t.Run("away later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newServer()
			server.Put(podPath, podOf("web-1", "web"))
			w := start(t, server, Options{Agent: collection.Cluster})
			defer w.stop()
			w.wait(time.Minute)
			w.told()
			server.Fault(refuse)
			server.Drop()
			w.wait(time.Hour)
			w.expect("while it is away")
			if p := w.part("pods"); p.State != collection.StateDegraded ||
				p.Cause != workloadmeta.CauseUnauthenticated {
				t.Errorf("pods are %+v", p)
			}
			server.Fault(nil)
			w.wait(time.Minute)
			w.expect("when it is back")
			if p := w.part("pods"); p.State != collection.StateLive {
				t.Errorf("pods are %+v", p)
			}
		})
	})
}

// TestNode: on a node the pods and the node are its own, and nobody asks for others.
func TestNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		for i := range 3 {
			node := fmt.Sprintf("node-%d", i)
			server.Put(nodePath, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}})
			pod := podOf("web-"+node, "web")
			pod.Spec.NodeName = node
			server.Put(podPath, pod)
		}
		w := start(t, server, Options{NodeName: "node-1", Resources: []string{pods, nodes}})
		defer w.stop()
		w.wait(time.Second)
		want := map[string]bool{"kubernetes_pod/uid-of-web-node-1": true,
			"kubernetes_metadata//nodes//node-1": true}
		if diff := cmp.Diff(want, names(w.known)); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
		server.Counts()
		w.wait(time.Hour)
		if n := server.Counts(); n.Lists+n.Streamed+n.Others > 0 || n.Watches > 2*13 {
			t.Errorf("in an hour: %+v, want no list and a watch in five to ten minutes", n)
		}
	})
}

// TestNodeWithTagsOfItsNamespaces: who makes tags of the labels of namespaces need not ask for
// namespaces, too.
func TestNodeWithTagsOfItsNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.Put(namespacePath, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
		server.Put(nodePath, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}})
		w := start(t, server, Options{Tagged: []string{"namespaces", "nodes"}})
		defer w.stop()
		w.wait(time.Second)
		// The node's name is not known.
		want := map[string]bool{"kubernetes_metadata//namespaces//shop": true}
		if diff := cmp.Diff(want, names(w.known)); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
	})
}

// TestMirror is number 10: a static pod has the UID that its kubelet gives it, whatever becomes of
// its mirror.
func TestMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		mirror := func(value string) *corev1.Pod {
			p := podOf("etcd-node-1", "etcd")
			p.UID = "" // the server makes one
			p.Labels["v"] = value
			return mirrorOf(p, "static")
		}
		server.Put(podPath, mirror("1"))
		w := start(t, server, Options{Agent: collection.Cluster, Resources: []string{pods}})
		defer w.stop()
		w.wait(time.Second)
		first := entity[*workloadmeta.KubernetesPod](w, workloadmeta.KindKubernetesPod, "static")
		if first.APIUID == "" || first.Owners != nil {
			t.Errorf("UID %q, owners %v", first.APIUID, first.Owners)
		}
		server.Delete(podPath, "shop", "etcd-node-1")
		server.Put(podPath, mirror("2"))
		w.wait(time.Second)
		w.away(func() {
			server.Delete(podPath, "shop", "etcd-node-1")
			server.Put(podPath, mirror("3"))
		})
		last := entity[*workloadmeta.KubernetesPod](w, workloadmeta.KindKubernetesPod, "static")
		if last.APIUID == first.APIUID || last.Labels["v"] != "3" || len(w.known) != 1 {
			t.Errorf("in the end there is %v", w.known)
		}
	})
}

// TestMirrorBetweenTwoFirstLists: a mirror that is made anew before the first list is whole takes
// its static pod along, though the old one turns out to be gone only afterwards.
func TestMirrorBetweenTwoFirstLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.Stream(fakekube.Refuses)
		server.Paged(1)
		mirror := podOf("etcd", "etcd")
		mirror.UID = ""
		mirrorOf(mirror, "static")
		server.Put(podPath, mirror)
		server.Put(podPath, podOf("web", "web"))
		server.Put(namespacePath, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
		server.Fault(func(r *http.Request) *metav1.Status {
			if r.URL.Query().Get("continue") != "" {
				return fakekube.Status(500, "", "no second page")
			}
			return nil
		})
		w := start(t, server, Options{Agent: collection.Cluster,
			Resources: []string{pods, namespaces}})
		defer w.stop()
		w.wait(100 * time.Millisecond)
		first := entity[*workloadmeta.KubernetesPod](w, workloadmeta.KindKubernetesPod, "static")
		server.Delete(podPath, "shop", "etcd")
		server.Put(podPath, mirror)
		server.Fault(nil)
		w.wait(time.Minute)
		last := entity[*workloadmeta.KubernetesPod](w, workloadmeta.KindKubernetesPod, "static")
		if last.APIUID == first.APIUID || len(w.known) != 3 {
			t.Errorf("in the end the mirror is %q, after %q, of %v", last.APIUID, first.APIUID,
				names(w.known))
		}
	})
}

// TestLog: of a resource that fails the log has one line, and one when it does not any more.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		var log bytes.Buffer
		w := start(t, server, Options{Agent: collection.Cluster, Resources: []string{pods},
			Log: slog.New(slog.NewTextHandler(&log, nil))})
		defer w.stop()
		w.wait(time.Minute)
		server.Fault(func(*http.Request) *metav1.Status {
			return fakekube.Status(403, metav1.StatusReasonForbidden, "pods is forbidden")
		})
		server.Drop()
		w.wait(10 * time.Minute)
		server.Fault(nil)
		w.wait(10 * time.Minute)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "level=WARN") ||
			!strings.Contains(lines[0], "grant list and watch pods") ||
			!strings.Contains(lines[1], "followed again") {
			t.Errorf("the log has:\n%s", log.String())
		}
	})
}

// TestNobodyTakesAPodOver: whoever may make pods may write any annotation and any owner. With them
// nobody becomes another pod, nor takes it away when going.
func TestNobodyTakesAPodOver(t *testing.T) {
	const uid = "0b2d6f0a-3a43-4c8a-9a52-6f5e9f2f1c55"
	for name, tc := range map[string]struct {
		victim *corev1.Pod
		id     string // of the victim's entity
		fake   func(*corev1.Pod)
		as     string // what the other is; nothing for as long as the victim is there
	}{
		"the annotation alone": {podOf("victim", "web"), "uid-of-victim", func(p *corev1.Pod) {
			p.Annotations = map[string]string{"kubernetes.io/config.mirror": "uid-of-victim"}
		}, "uid-of-evil"},
		"an owner that does not control it": {podOf("victim", "web"), "uid-of-victim",
			func(p *corev1.Pod) {
				mirrorOf(p, "uid-of-victim").OwnerReferences[0].Controller = nil
			},
			"uid-of-evil"},
		"another node": {podOf("victim", "web"), "uid-of-victim",
			func(p *corev1.Pod) { mirrorOf(p, "uid-of-victim").Spec.NodeName = "node-2" },
			"uid-of-evil"},
		"a resource of that name": {podOf("victim", "web"), "uid-of-victim", func(p *corev1.Pod) {
			mirrorOf(p, "uid-of-victim").OwnerReferences[0].APIVersion = "example.org/v1"
		}, "uid-of-evil"},
		"all of a mirror": {podOf("victim", "web"), "uid-of-victim",
			func(p *corev1.Pod) { mirrorOf(p, "uid-of-victim") }, ""},
		"all of a mirror, somebody else's replica has the pod": {nil, uid,
			func(p *corev1.Pod) { mirrorOf(p, uid) }, "uid-of-evil"},
		"of a static pod": {mirrorOf(podOf("victim", "web"), "static"), "static",
			func(p *corev1.Pod) { mirrorOf(p, "static") }, ""},
	} {
		for _, first := range []string{"victim", "evil", "both"} {
			t.Run(name+", first "+first, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					evil := podOf("evil", "bad")
					evil.Namespace, evil.CreationTimestamp = "evil", metav1.Now()
					tc.fake(evil)
					server := newServer()
					put := func(p *corev1.Pod) {
						if p != nil {
							server.Put(podPath, p)
						}
					}
					if first == "evil" {
						put(evil)
					} else {
						put(tc.victim)
					}
					if first == "both" {
						put(evil)
					}
					w := start(t, server, Options{Agent: collection.Cluster,
						Resources: []string{pods}})
					defer w.stop()
					w.wait(time.Second)
					put(evil)
					put(tc.victim)
					w.wait(time.Second)
					has := func(when string, victim, other bool) {
						t.Helper()
						want := map[string]string{}
						if victim {
							want[tc.id] = "victim"
						}
						if other {
							want[tc.as] = "evil"
						}
						got := map[string]string{}
						for id, e := range w.known {
							got[id.ID] = e.(*workloadmeta.KubernetesPod).Name
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("%s: want (-), got (+):\n%s", when, diff)
						}
					}
					has("with both", tc.victim != nil, tc.as != "")
					server.Delete(podPath, "evil", "evil")
					w.wait(time.Second)
					has("without the other", tc.victim != nil, false)
				})
			})
		}
	}
}

// Of two mirrors of one static pod the one that stays is it, whichever of them goes.
func TestOneOfTwoMirrorsGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		for i, name := range []string{"a", "b"} {
			p := mirrorOf(podOf(name, "web"), "static")
			p.CreationTimestamp = metav1.NewTime(time.Now().Add(time.Duration(i) * time.Minute))
			server.Put(podPath, p)
		}
		w := start(t, server, Options{Agent: collection.Cluster, Resources: []string{pods}})
		defer w.stop()
		is := func() string {
			w.wait(time.Second)
			return entity[*workloadmeta.KubernetesPod](w, workloadmeta.KindKubernetesPod,
				"static").APIUID
		}
		if got := is(); got != "uid-of-a" {
			t.Errorf("of both it is %s", got)
		}
		server.Delete(podPath, "shop", "a")
		if got := is(); got != "uid-of-b" {
			t.Errorf("when the first has gone it is %s", got)
		}
	})
}

// TestAnyResource: whatever else is asked for is reported by its metadata, in the version that the
// server prefers.
func TestAnyResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.Put(cronJobPath, &batchv1.CronJob{ObjectMeta: meta("nightly", "team", "x")})
		w := start(t, server, Options{Agent: collection.Cluster,
			Resources: []string{"batch/cronjobs"}})
		defer w.stop()
		w.wait(time.Second)
		got := entity[*workloadmeta.KubernetesMetadata](w, workloadmeta.KindKubernetesMetadata,
			"batch/cronjobs/shop/nightly")
		if got.Labels["team"] != "x" || got.GVR.Group != "batch" {
			t.Errorf("got %+v", got)
		}
		if kinds := w.collector.Describe().Kinds; len(kinds) != 1 {
			t.Errorf("it says that it reports %v", kinds)
		}
	})
}

// asksFor returns the rights that the options need.
func asksFor(t *testing.T, o Options, d collection.Deps) []collection.Access {
	t.Helper()
	asked, err := access(o, d)
	if err != nil {
		t.Fatal(err)
	}
	return asked
}

// What cannot run asks for nothing, and says why.
func TestNoRightsForWhatCannotRun(t *testing.T) {
	for want, o := range map[string]Options{
		"never collected": {Resources: []string{"secrets"}},
		"whole cluster":   {Resources: []string{"services"}},
	} {
		asked, err := access(o, collection.Deps{})
		if len(asked) > 0 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, %v; want %q", o.Resources, asked, err, want)
		}
	}
	core, err := parseTarget("core/v1/endpoints")
	if err != nil || core.gvr.Group != "" || core.exists() != nil {
		t.Errorf("endpoints of the core: %+v, %v", core, err)
	}
}

// TestResources: what may be asked for, and in which words.
func TestResources(t *testing.T) {
	for text, want := range map[string]string{
		"pods": "pods", "v1/pods": "pods", "/pods": "pods", "deployments": "deployments",
		"apps/deployments": "deployments", "apps/v1/deployments": "deployments",
		"namespaces": "namespaces", "batch/cronjobs": "batch//cronjobs",
		"batch/v1/cronjobs": "batch/v1/cronjobs", "persistentvolumes": "/v1/persistentvolumes",
		"example.org/pods": "example.org//pods", "core/v1/pods": "pods",
		"example.org/secrets": "example.org//secrets", "autoscalers": "autoscalers",
		"example.org/autoscalers": "example.org//autoscalers",
	} {
		got, err := parseTarget(text)
		name := got.name
		if name == "" {
			name = got.gvr.Group + "/" + got.gvr.Version + "/" + got.gvr.Resource
		}
		if err != nil || name != want {
			t.Errorf("%s: %s, %v; want %s", text, name, err, want)
		}
	}
	for _, c := range []struct {
		o           Options
		field, text string
	}{
		{Options{Resources: []string{"secrets"}}, "Resources", "never collected"},
		{Options{Resources: []string{"v1/configmaps"}}, "Resources", "never collected"},
		{Options{Resources: []string{"events.k8s.io/v1/events"}}, "Resources", "never collected"},
		{Options{Resources: []string{"a/b/c/d"}}, "Resources", "group/version/resource"},
		{Options{Resources: []string{"Pods"}}, "Resources", "lower case"},
		{Options{Resources: []string{""}}, "Resources", "group/version/resource"},
		{Options{Resources: []string{"core/v1/secrets"}}, "Resources", "never collected"},
		{Options{Resources: []string{"secrets/foo"}}, "Resources", "no group of an API"},
		{Options{Resources: []string{"pods/log"}}, "Resources", "no group of an API"},
		{Options{Resources: []string{"apps/deployments/scale"}}, "Resources", "no version"},
		{Options{Resources: []string{"pod"}}, "Resources", "want pods"},
		{Options{Resources: []string{"deployment"}}, "Resources", "want deployments"},
		{Options{Resources: []string{"apps/deployment"}}, "Resources", "want deployments"},
		{Options{Resources: []string{"cronjobs"}}, "Resources", "batch/cronjobs"},
		{Options{Resources: []string{"batch/"}}, "Resources", "group/version/resource"},
		{Options{Resources: []string{"batch/v1/jobs", "batch/v2/jobs"}}, "Resources",
			"two versions, v1 and v2"},
		{Options{Resources: []string{"batch/jobs", "batch/v2/jobs"}}, "Resources", "the preferred one"},
		{Options{Resources: []string{"pods"}}, "NodeName", "NODE_NAME"},
		{Options{Resources: []string{"pods"}, NodeName: "Node 1"}, "NodeName", "no name of a node"},
		{Options{Resources: []string{"services"}, NodeName: "a"}, "DirectSlices", "whole cluster"},
		{Options{ServiceWhen: "never"}, "ServiceWhen", "member or ready"},
	} {
		_, err := New(c.o)
		option, ok := errors.AsType[*collection.OptionError](err)
		if !ok || option.Field != c.field || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v; want %q about %s", c.o, err, c.text, c.field)
		}
	}
}

// TestDetect: on a node nothing is asked unless somebody wants it.
func TestDetect(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, c := range map[string]struct {
		o     Options
		state workloadmeta.DetectionState
		text  string
	}{
		"a node": {Options{}, workloadmeta.Disabled, "apiserver.resources"},
		"a node that is asked": {Options{Resources: []string{namespaces}}, workloadmeta.Absent,
			"not in a pod"},
		"the cluster": {Options{Agent: collection.Cluster}, workloadmeta.Absent, "not in a pod"},
	} {
		collector, err := New(c.o)
		if err != nil {
			t.Fatal(err)
		}
		if d := collector.Detect(t.Context()); d.State != c.state ||
			!strings.Contains(d.String(), c.text) {
			t.Errorf("%s: %v %s, want %v", name, d.State, d, c.state)
		}
	}
}

// TestAccess: the rights that are asked for are those of what is followed.
func TestAccess(t *testing.T) {
	for name, c := range map[string]struct {
		o      Options
		agent  collection.Agent
		tagged []string
		want   string
	}{
		"a node":         {Options{}, collection.Node, nil, ""},
		"pods of a node": {Options{Resources: []string{pods}}, collection.Node, nil, "pods"},
		"any resource": {Options{Resources: []string{"batch/jobs"}}, collection.Cluster,
			nil, "batch/jobs"},
		"what is not allowed": {Options{Resources: []string{"secrets"}}, collection.Cluster, nil,
			""},
		"the cluster": {Options{}, collection.Cluster, nil,
			"namespaces nodes apps/deployments pods " +
				"services discovery.k8s.io/endpointslices autoscaling/horizontalpodautoscalers " +
				"autoscaling.k8s.io/verticalpodautoscalers"},
		"a node with tags of objects": {Options{}, collection.Node,
			[]string{"deployments.apps", "namespaces", "nodes", "secrets"}, "namespaces nodes"},
		"a cluster with tags of objects": {Options{Resources: []string{"pods"}},
			collection.Cluster, []string{"jobs.batch", "namespaces", "secrets"},
			"pods batch/jobs namespaces"},
	} {
		var got []string
		asked, err := access(c.o, collection.Deps{Agent: c.agent, Resources: c.tagged})
		if refused := c.want == "" && len(c.o.Resources) > 0; refused != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, a := range asked {
			got = append(got, strings.TrimPrefix(a.Group+"/"+a.Resource, "/"))
			if strings.Join(a.Verbs, " ") != "list watch" || a.Why == "" {
				t.Errorf("%s: %+v", name, a)
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %s, want %s", name, text, c.want)
		}
	}
}

// TestBundles: a large cluster is reported in bundles.
func TestBundles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		for i := range 1234 {
			server.Put(podPath, podOf(fmt.Sprintf("web-%d", i), "web"))
		}
		w := start(t, server, Options{Agent: collection.Cluster, Resources: []string{pods}})
		defer w.stop()
		w.wait(time.Second)
		if diff := cmp.Diff([]int{500, 500, 234}, w.bundles); diff != "" {
			t.Errorf("bundles, want (-), got (+):\n%s", diff)
		}
	})
}

// TestPodsEndInWhatTheServerHas: after any changes and gaps exactly the server's pods are known.
func TestPodsEndInWhatTheServerHas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newServer()
			w := start(t, server, Options{Agent: collection.Cluster, Resources: []string{pods}})
			defer w.stop()
			w.wait(time.Second)
			do := func(i int) {
				name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "name")
				server.Delete(podPath, "shop", name)
				if rapid.Bool().Draw(rt, "again") {
					p := podOf(name, "web")
					p.UID = ""
					p.Labels["v"] = fmt.Sprint(i)
					if rapid.Bool().Draw(rt, "static") {
						mirrorOf(p, name)
					}
					server.Put(podPath, p)
				}
			}
			for i := range rapid.IntRange(1, 20).Draw(rt, "steps") {
				if rapid.IntRange(0, 3).Draw(rt, "gap") == 0 {
					w.away(func() {
						for range 3 {
							do(i)
						}
					})
				} else {
					do(i)
				}
				w.wait(0)
			}
			want := map[string]string{}
			for _, o := range server.Objects(podPath) {
				id := string(o.GetUID())
				if m := o.GetAnnotations()["kubernetes.io/config.mirror"]; m != "" {
					id = m
				}
				want[id] = o.GetLabels()["v"]
			}
			got := map[string]string{}
			for id, e := range w.known {
				got[id.ID] = e.(*workloadmeta.KubernetesPod).Labels["v"]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the server has (-), known (+):\n%s", diff)
			}
		})
	})
}
