package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/kubelet"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/containerd"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/cri"
	"github.com/rollcall-dev/rollcall/test/realnode"
	"go.uber.org/fx"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// breath is how long the API server is left alone between two questions of the same sort.
const breath = 50 * time.Millisecond

// long reports whether what takes minutes may: `go run tasks.go e2e -newest -long`.
func long() bool { return os.Getenv("ROLLCALL_REALNODE_LONG") != "" }

// shopImage is the image of the pods here.
const shopImage = "example.test/shop/web:1.2"

// kubeWorld is a node of Kubernetes with a namespace for one test, and the applications that watch
// what happens there.
type kubeWorld struct {
	t    *testing.T
	node *realnode.Kube
	api  kubernetes.Interface
	ns   string
	apps []*kubeApp
}

// kubeApp is an application with the collectors of a node of Kubernetes.
type kubeApp struct {
	*app
	k    *kubeWorld
	name string // the way in which it asks the kubelet
}

// settingUp lets one test at a time see to what all of them need.
var settingUp sync.Mutex

// newKube returns the shared node, ready for pods, with a new namespace. That is empty again when
// the next test begins.
func newKube(t *testing.T) *kubeWorld {
	t.Helper()
	n := node.Kube(t)
	config := &rest.Config{Host: n.URL, BearerToken: n.Token, QPS: -1, Timeout: 10 * time.Second,
		TLSClientConfig: rest.TLSClientConfig{CAFile: n.CA}}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	k := &kubeWorld{t: t, node: n}
	settingUp.Lock()
	defer settingUp.Unlock()
	if k.api, err = kubernetes.NewForConfigAndClient(config, client); err != nil {
		t.Fatal(err)
	}
	k.nodeReady()
	namespace, err := k.api.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	k.ns = namespace.Name
	k.populate()
	t.Cleanup(k.empty)
	return k
}

// populate starts some pods that stay for all tests: a node that loses its only pod looks like one
// that was started anew.
func (k *kubeWorld) populate() {
	k.t.Helper()
	k.node.Containerd.ImportImage("k8s.io", shopImage)
	others := &kubeWorld{t: k.t, node: k.node, api: k.api, ns: "default"}
	for i := range 4 {
		name := fmt.Sprint("other-", i)
		_, err := k.api.CoreV1().Pods(others.ns).Get(k.t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			others.pod(name, nil)
			others.await(name, "ready", isReady)
		}
	}
}

// nodeReady waits until the kubelet has told the API server that it is ready.
func (k *kubeWorld) nodeReady() {
	k.t.Helper()
	eventually(k.t, func() string {
		n, err := k.api.CoreV1().Nodes().Get(k.t.Context(), k.node.Node, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return ""
			}
		}
		return fmt.Sprintf("the node is not ready: %+v", n.Status.Conditions)
	})
}

// empty deletes the namespace's pods and waits until the kubelet has ended them.
func (k *kubeWorld) empty() {
	k.node.Heal()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience) // the test's is over
	defer cancel()
	pods := k.api.CoreV1().Pods(k.ns)
	if err := pods.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		k.t.Errorf("delete the pods of %s: %v", k.ns, err)
	}
	eventually(k.t, func() string {
		list, err := pods.List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) > 0 {
			return fmt.Sprintf("%d pods are still there, %v", len(list.Items), err)
		}
		return ""
	})
}

// watchedBoth returns the shared node with an application that asks the Pods API and one that asks
// /pods, so that both see the same story.
func watchedBoth(t *testing.T) *kubeWorld {
	t.Helper()
	k := newKube(t)
	if k.hasPodsAPI() {
		k.watch("Pods API", kubelet.Options{Socket: k.node.PodsSocket})
	}
	k.watchEndpoint()
	return k
}

// hasPodsAPI reports whether the kubelet is new enough for it.
func (k *kubeWorld) hasPodsAPI() bool { return !strings.HasPrefix(k.node.Version, "1.34.") }

// watchEndpoint starts an application that asks /pods, as an account that may do nothing else.
func (k *kubeWorld) watchEndpoint(more ...fx.Option) *kubeApp {
	k.t.Helper()
	account := newAccount(k)
	account.grant(rule("get", "", "nodes/pods"))
	return k.watch("/pods", k.endpoint(account), more...)
}

// watchedAll is watchedBoth with a third application, which asks the API server for the node's
// pods.
func watchedAll(t *testing.T) *kubeWorld {
	t.Helper()
	k := watchedBoth(t)
	account := newAccount(k)
	account.grant(rule("list,watch", "", "pods"))
	k.watch("API server", kubelet.Options{PodSource: "apiserver", NodeName: k.node.Node,
		Kubeconfig: account.kubeconfig()})
	return k
}

// endpoint returns the options of a collector that asks /pods with an account's token.
func (k *kubeWorld) endpoint(a *account) kubelet.Options {
	return kubelet.Options{Socket: filepath.Join(k.t.TempDir(), "none.sock"),
		URL: k.node.KubeletURL, NodeName: k.node.Node, ClientCA: k.node.KubeletCert,
		TokenPath: a.file}
}

// watch starts an application, with more than what is usual on a node, and waits until it is
// synced.
func (k *kubeWorld) watch(name string, options kubelet.Options, more ...fx.Option) *kubeApp {
	k.t.Helper()
	a := &kubeApp{app: newApp(k.t), k: k, name: name}
	a.tags.Extract.KubernetesNamespaceLabelsAsTags = map[string]string{"cost": "cost"}
	a.tags.Extract.KubernetesNodeLabelsAsTags = map[string]string{"zone": "zone"}
	a.tags.Extract.KubernetesPodLabelsAsTags = map[string]string{"team": "team"}
	options.Log = a.logger()
	pods, err := kubelet.New(options)
	if err != nil {
		k.t.Fatal(err)
	}
	socket := k.node.Containerd.Socket
	events, err := containerd.New(containerd.Options{Address: socket, Log: a.logger()})
	if err != nil {
		k.t.Fatal(err)
	}
	lists, err := cri.New(cri.Options{Socket: socket, Log: a.logger()})
	if err != nil {
		k.t.Fatal(err)
	}
	a.start(append(more,
		fx.Provide(collection.AsCollector(func() *kubelet.Collector { return pods }),
			collection.AsCollector(func() *containerd.Collector { return events }),
			collection.AsCollector(func() *cri.Collector { return lists })),
		fx.Supply(collection.Options{RedetectEvery: time.Second, BackoffMax: time.Second}))...)
	k.apps = append(k.apps, a)
	return a
}

// account is a service account, with a token in a file.
type account struct {
	k    *kubeWorld
	name string
	uid  string
	file string
}

// newAccount makes an account that may do nothing.
func newAccount(k *kubeWorld) *account {
	k.t.Helper()
	accounts := k.api.CoreV1().ServiceAccounts(k.ns)
	made, err := accounts.Create(k.t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "rollcall-"}},
		metav1.CreateOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	a := &account{k: k, name: made.Name, uid: string(made.UID),
		file: filepath.Join(k.t.TempDir(), "token")}
	token, err := accounts.CreateToken(k.t.Context(), a.name, &authenticationv1.TokenRequest{},
		metav1.CreateOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	a.write(token.Status.Token)
	return a
}

func (a *account) write(token string) {
	a.k.t.Helper()
	if err := os.WriteFile(a.file, []byte(token), 0o600); err != nil {
		a.k.t.Fatal(err)
	}
}

// grant lets the account do this, and nothing else.
func (a *account) grant(rules ...rbacv1.PolicyRule) {
	a.k.t.Helper()
	meta := metav1.ObjectMeta{Name: a.name}
	_, err := a.k.api.RbacV1().ClusterRoles().Create(a.k.t.Context(),
		&rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
	if err == nil {
		_, err = a.k.api.RbacV1().ClusterRoleBindings().Create(a.k.t.Context(),
			&rbacv1.ClusterRoleBinding{ObjectMeta: meta,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole",
					Name: a.name},
				Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: a.name,
					Namespace: a.k.ns}}}, metav1.CreateOptions{})
	}
	if err != nil {
		a.k.t.Fatal(err)
	}
}

// rule allows something with resources of one group.
func rule(verbs, group string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources,
		Verbs: strings.Split(verbs, ",")}
}

// kubeconfig writes a file that says how the account asks the API server.
func (a *account) kubeconfig() (file string) {
	a.k.t.Helper()
	file = filepath.Join(a.k.t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: it, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: it, user: {tokenFile: %q}}]
contexts: [{name: it, context: {cluster: it, user: it}}]
current-context: it
`, a.k.node.URL, a.k.node.CA, a.file)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		a.k.t.Fatal(err)
	}
	return file
}

// withdraw takes back what grant gave.
func (a *account) withdraw() {
	a.k.t.Helper()
	rbac, ctx := a.k.api.RbacV1(), a.k.t.Context()
	if err := errors.Join(rbac.ClusterRoleBindings().Delete(ctx, a.name, metav1.DeleteOptions{}),
		rbac.ClusterRoles().Delete(ctx, a.name, metav1.DeleteOptions{})); err != nil {
		a.k.t.Fatal(err)
	}
}

// shell is a container that runs a script, and ends at once when it is told to.
func shell(name, script string) corev1.Container {
	return corev1.Container{Name: name, Image: shopImage, ImagePullPolicy: corev1.PullNever,
		Command: []string{"sh", "-c", "trap 'exit 0' TERM; " + script}}
}

// forever is a script that does not end.
const forever = "sleep 1000000 & wait"

// pod makes a pod with these containers, or one container web if there are none. change may be nil.
func (k *kubeWorld) pod(name string, change func(*corev1.Pod),
	containers ...corev1.Container) *corev1.Pod {
	k.t.Helper()
	if containers == nil {
		containers = []corev1.Container{shell("web", forever)}
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "blue"}},
		Spec: corev1.PodSpec{NodeName: k.node.Node, Containers: containers,
			TerminationGracePeriodSeconds: new(int64(5))},
	}
	if change != nil {
		change(pod)
	}
	created, err := k.api.CoreV1().Pods(k.ns).Create(k.t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	return created
}

// ownedBy makes an object of the group apps or batch the owner of a pod.
func ownedBy(kind, name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name,
			UID: "0c1f0b9e-0000-4000-8000-000000000001", Controller: new(true)}}
	}
}

// get reads a pod from the API server.
func (k *kubeWorld) get(name string) *corev1.Pod {
	k.t.Helper()
	pod, err := k.api.CoreV1().Pods(k.ns).Get(k.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	return pod
}

// await waits until the API server says of a pod what check wants.
func (k *kubeWorld) await(name, what string, check func(*corev1.Pod) bool) (pod *corev1.Pod) {
	k.t.Helper()
	eventually(k.t, func() string {
		if pod = k.get(name); !check(pod) {
			time.Sleep(breath)
			return fmt.Sprintf("%s: %s %+v", what, pod.Status.Phase, pod.Status.ContainerStatuses)
		}
		return ""
	})
	return pod
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func hasPhase(phase corev1.PodPhase) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool { return p.Status.Phase == phase }
}

// delete deletes a pod with this grace, in seconds, and waits until its object is gone.
func (k *kubeWorld) delete(name string, grace int64) {
	k.t.Helper()
	pods := k.api.CoreV1().Pods(k.ns)
	before := k.get(name)
	err := pods.Delete(k.t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &grace})
	if err != nil {
		k.t.Fatal(err)
	}
	eventually(k.t, func() string {
		p, err := pods.Get(k.t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && p.UID != before.UID {
			return ""
		}
		return fmt.Sprintf("%s is still there, %v", name, err)
	})
}

// settled waits until nothing that an application knows of the test's namespace differs from what
// the API server says: no pod, container or tag is missing, is left over or is wrong.
func (k *kubeWorld) settled() {
	k.t.Helper()
	began := time.Now()
	for _, a := range k.apps {
		last := ""
		// When a kubelet lacks many pods at once it is half a minute before that counts.
		eventuallyIn(k.t, 2*patience, func() string {
			d := a.difference()
			if d == "" {
				return ""
			}
			last = d
			time.Sleep(breath)
			return a.name + ": " + d
		})
		k.t.Logf("%s: as the API server says after %v; last different: %s", a.name,
			time.Since(began).Round(10*time.Millisecond), last)
	}
}

// difference says what differs from what the API server says, or returns "".
func (a *kubeApp) difference() string {
	list, err := a.k.api.CoreV1().Pods(a.k.ns).List(a.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	there := map[string]bool{}
	for i := range list.Items {
		p := &list.Items[i]
		there[kubeletUID(p)] = true
		if d := a.podDiffers(p); d != "" {
			return d
		}
	}
	for e := range a.store.List(workloadmeta.KindKubernetesPod) {
		if p := e.(*workloadmeta.KubernetesPod); p.Namespace == a.k.ns && !there[p.ID] {
			return fmt.Sprintf("%s/%s (%s) is left over: %s", p.Namespace, p.Name, p.ID, p.Phase)
		}
	}
	for c := range a.store.Containers() {
		// The runtime keeps what has stopped until the kubelet cleans up.
		if c.Namespace == a.k.ns && c.State.Status != workloadmeta.StatusStopped &&
			(c.Owner == nil || !there[c.Owner.ID]) {
			return fmt.Sprintf("container %s (%s) of no pod is left over: %+v", c.ID, c.Name,
				c.State)
		}
	}
	return ""
}

// kubeletUID returns a pod's UID at the kubelet, which is another one for a static pod.
func kubeletUID(p *corev1.Pod) string {
	if uid := p.Annotations[corev1.MirrorPodAnnotationKey]; uid != "" {
		return uid
	}
	return string(p.UID)
}

func (a *kubeApp) podDiffers(p *corev1.Pod) string {
	have, err := a.store.GetKubernetesPod(kubeletUID(p))
	if err != nil {
		return fmt.Sprintf("%s: %v", p.Name, err)
	}
	type facts struct {
		name, namespace, phase, ip, qos string
		ready, deleted                  bool
		restarts                        int
	}
	restarts := 0
	statuses := slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses,
		p.Status.EphemeralContainerStatuses)
	for _, s := range statuses {
		restarts += int(s.RestartCount)
	}
	want := facts{p.Name, p.Namespace, string(p.Status.Phase), p.Status.PodIP,
		string(p.Status.QOSClass), isReady(p), p.DeletionTimestamp != nil, restarts}
	got := facts{have.Name, have.Namespace, have.Phase, have.IP, have.QOSClass, have.Ready,
		!have.DeletionTimestamp.IsZero(), have.RestartCount}
	if got != want || !maps.Equal(have.Labels, p.Labels) {
		return fmt.Sprintf("%s: %+v %v, want %+v %v", p.Name, got, have.Labels, want, p.Labels)
	}
	if d := a.tagsDiffer(tagger.KubernetesPod(have.ID), podTags(p)); d != "" {
		return p.Name + ": " + d
	}
	for _, s := range statuses {
		if s.ContainerID == "" || s.State.Waiting != nil { // then the ID is that of the last one
			continue
		}
		if d := a.containerDiffers(p, &s); d != "" {
			return fmt.Sprintf("%s: %s: %s", p.Name, s.Name, d)
		}
	}
	return ""
}

func (a *kubeApp) containerDiffers(p *corev1.Pod, s *corev1.ContainerStatus) string {
	id := bareID(s)
	c, err := a.store.GetContainer(id)
	if err != nil {
		return err.Error()
	}
	var code *int64
	if s.State.Terminated != nil {
		code = new(int64(s.State.Terminated.ExitCode))
	}
	if c.State.Running != (s.State.Running != nil) || (c.State.ExitCode == nil) != (code == nil) ||
		code != nil && *code != *c.State.ExitCode || c.Owner == nil ||
		c.Owner.ID != kubeletUID(p) {
		return fmt.Sprintf("%+v, owner %v; want %+v", c.State, c.Owner, s.State)
	}
	return a.tagsDiffer(tagger.Container(id), containerTags(p, s))
}

func bareID(s *corev1.ContainerStatus) string {
	_, id, _ := strings.Cut(s.ContainerID, "://")
	return id
}

// podTags are the tags that a pod has to have, as its object at the API server says. They are
// worked out here once more, in a simpler way than the tagger's.
func podTags(p *corev1.Pod) []string {
	tags := []string{"pod_name:" + p.Name, "kube_namespace:" + p.Namespace,
		"pod_phase:" + strings.ToLower(string(p.Status.Phase)),
		"kube_qos:" + string(p.Status.QOSClass)}
	if team := p.Labels["team"]; team != "" {
		tags = append(tags, "team:"+team)
	}
	for _, o := range p.OwnerReferences {
		if o.Kind == "Node" {
			continue // of a mirror pod
		}
		tags = append(tags, "kube_ownerref_kind:"+strings.ToLower(o.Kind),
			"kube_ownerref_name:"+o.Name)
		switch o.Kind {
		case "ReplicaSet":
			hash := p.Labels["pod-template-hash"]
			tags = append(tags, "kube_replica_set:"+o.Name,
				"kube_deployment:"+strings.TrimSuffix(o.Name, "-"+hash))
		case "StatefulSet":
			tags = append(tags, "kube_stateful_set:"+o.Name)
		case "Job":
			tags = append(tags, "kube_job:"+o.Name)
		}
	}
	return tags
}

func containerTags(p *corev1.Pod, s *corev1.ContainerStatus) []string {
	return append(podTags(p), "kube_container_name:"+s.Name, "container_id:"+bareID(s),
		"display_container_name:"+s.Name+"_"+p.Name, "container_name:"+s.Name,
		"image_name:example.test/shop/web", "short_image:web", "image_tag:1.2")
}

// tagsDiffer compares an entity's tags with those that it has to have, and to have only: a second
// value of one of their names is wrong, too.
func (a *kubeApp) tagsDiffer(id tagger.EntityID, want []string) string {
	names := map[string]bool{"kube_deployment": true, "kube_service": true, "kube_job": true,
		"kube_replica_set": true, "kube_stateful_set": true, "kube_ownerref_name": true,
		"team": true}
	for _, tag := range want {
		name, _, _ := strings.Cut(tag, ":")
		names[name] = true
	}
	all, err := a.tagger.Tag(id, tagger.HighCardinality)
	if err != nil {
		return err.Error()
	}
	var got []string
	for _, tag := range all {
		if name, _, _ := strings.Cut(tag, ":"); names[name] {
			got = append(got, tag)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Sprintf("%s has %v\nwant %v", id, got, want)
	}
	return ""
}

// expectTagged waits until all containers of a new pod have their tags, and says how long that was
// after the last of them had started.
func (k *kubeWorld) expectTagged(name string, containers int) {
	k.t.Helper()
	done := make([]time.Time, len(k.apps))
	eventually(k.t, func() (problem string) {
		for i, a := range k.apps {
			if p := a.notTagged(name, containers); p != "" {
				problem = a.name + ": " + p
			} else if done[i].IsZero() {
				done[i] = time.Now()
			}
		}
		return problem
	})
	for i, a := range k.apps {
		pod, err := a.store.GetKubernetesPodByName(k.ns, name)
		if err != nil {
			k.t.Fatal(err)
		}
		var last time.Time
		for c := range pod.AllContainers() {
			started := a.expect(c.ID, "started", func(k *workloadmeta.Container) bool {
				return !k.State.StartedAt.IsZero()
			}).State.StartedAt
			if started.After(last) {
				last = started
			}
		}
		k.t.Logf("%s: %s: all tags %v after the start of the last of %d containers", a.name, name,
			done[i].Sub(last).Round(time.Millisecond), containers)
	}
}

// notTagged says which tag of a new pod's containers is missing.
func (a *kubeApp) notTagged(name string, containers int) string {
	pod, err := a.store.GetKubernetesPodByName(a.k.ns, name)
	if err != nil {
		return err.Error()
	}
	tagged := 0
	for c := range pod.AllContainers() {
		tags, err := a.tagger.Tag(tagger.Container(c.ID), tagger.HighCardinality)
		for _, tag := range []string{"pod_name:" + name, "kube_namespace:" + a.k.ns, "team:blue",
			"kube_container_name:" + c.Name, "image_tag:1.2", "container_id:" + c.ID} {
			if err != nil || !slices.Contains(tags, tag) {
				return fmt.Sprintf("%s has %v (%v), want %s", c.Name, tags, err, tag)
			}
		}
		tagged++
	}
	if tagged != containers {
		return fmt.Sprintf("%d containers, want %d", tagged, containers)
	}
	return ""
}
