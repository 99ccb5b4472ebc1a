package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// shopImage is the image of the pods here.
const shopImage = "example.test/shop/web:1.2"

// kubeApp is an application with the collectors of a node of Kubernetes, and what it takes to have
// pods there.
type kubeApp struct {
	*app
	node *realnode.Kube
	api  kubernetes.Interface
	ns   string // the test's own
}

// kubeNode returns the shared node, ready for pods, and a client for whoever has this token.
func kubeNode(t *testing.T) (*realnode.Kube, kubernetes.Interface) {
	t.Helper()
	n := node.Kube(t)
	n.Containerd.ImportImage("k8s.io", shopImage)
	api := kubeClient(t, n, n.Token)
	eventually(t, func() string {
		got, err := api.CoreV1().Nodes().Get(t.Context(), n.Node, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		for _, c := range got.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return ""
			}
		}
		return fmt.Sprintf("the node is not ready: %+v", got.Status.Conditions)
	})
	return n, api
}

func kubeClient(t *testing.T, n *realnode.Kube, token string) kubernetes.Interface {
	t.Helper()
	config := &rest.Config{Host: n.URL, BearerToken: token, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAFile: n.CA}}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	api, err := kubernetes.NewForConfigAndClient(config, client)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// startKube starts the application on the shared node and waits until it is synced. Its collector
// asks the Pods API unless change makes it something else. The test has a namespace of its own,
// which is empty again when the next test begins.
func startKube(t *testing.T, change func(*realnode.Kube, *kubelet.Options)) *kubeApp {
	t.Helper()
	n, api := kubeNode(t)
	a := &kubeApp{app: newApp(t), node: n, api: api}
	namespace, err := api.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.ns = namespace.Name
	options := kubelet.Options{Socket: n.PodsSocket, Log: a.logger()}
	if change != nil {
		change(n, &options)
	}
	a.tags.Extract.KubernetesPodLabelsAsTags = map[string]string{"team": "team"}
	pods, err := kubelet.New(options)
	if err != nil {
		t.Fatal(err)
	}
	events, err := containerd.New(containerd.Options{Address: n.Containerd.Socket, Log: a.logger()})
	if err != nil {
		t.Fatal(err)
	}
	lists, err := cri.New(cri.Options{Socket: n.Containerd.Socket, Log: a.logger()})
	if err != nil {
		t.Fatal(err)
	}
	a.start(
		fx.Provide(collection.AsCollector(func() *kubelet.Collector { return pods }),
			collection.AsCollector(func() *containerd.Collector { return events }),
			collection.AsCollector(func() *cri.Collector { return lists })),
		fx.Supply(collection.Options{RedetectEvery: time.Second, BackoffMax: time.Second}))
	t.Cleanup(func() { emptyNamespace(t, n, a.ns) })
	return a
}

// emptyNamespace deletes a namespace's pods and waits until the kubelet has ended them.
func emptyNamespace(t *testing.T, n *realnode.Kube, namespace string) {
	n.Heal()
	api := kubeClient(t, n, n.Token)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience) // the test's is over
	defer cancel()
	err := api.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{})
	if err != nil {
		t.Errorf("delete the pods of %s: %v", namespace, err)
	}
	eventually(t, func() string {
		list, err := api.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) > 0 {
			return fmt.Sprintf("%d pods are still there, %v", len(list.Items), err)
		}
		return ""
	})
}

// account is a service account, with a token in a file.
type account struct {
	t    *testing.T
	api  kubernetes.Interface
	name string
	file string
}

// newAccount makes an account that may do nothing.
func newAccount(t *testing.T, n *realnode.Kube) *account {
	t.Helper()
	a := &account{t: t, api: kubeClient(t, n, n.Token), file: filepath.Join(t.TempDir(), "token")}
	made, err := a.api.CoreV1().ServiceAccounts("default").Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "rollcall-"}},
		metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.name = made.Name
	token, err := a.api.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), a.name,
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.write(token.Status.Token)
	return a
}

func (a *account) write(token string) {
	a.t.Helper()
	if err := os.WriteFile(a.file, []byte(token), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// grant lets the account do something with a resource of the core group.
func (a *account) grant(resource string, verbs ...string) {
	a.t.Helper()
	meta := metav1.ObjectMeta{Name: a.name}
	_, err := a.api.RbacV1().ClusterRoles().Create(a.t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: meta,
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{resource},
			Verbs: verbs}}}, metav1.CreateOptions{})
	if err == nil {
		_, err = a.api.RbacV1().ClusterRoleBindings().Create(a.t.Context(),
			&rbacv1.ClusterRoleBinding{ObjectMeta: meta,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole",
					Name: a.name},
				Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: a.name,
					Namespace: "default"}}}, metav1.CreateOptions{})
	}
	if err != nil {
		a.t.Fatal(err)
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
func (a *kubeApp) pod(name string, change func(*corev1.Pod),
	containers ...corev1.Container) *corev1.Pod {
	a.t.Helper()
	if containers == nil {
		containers = []corev1.Container{shell("web", forever)}
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "blue"}},
		Spec: corev1.PodSpec{NodeName: a.node.Node, Containers: containers,
			TerminationGracePeriodSeconds: new(int64(5))},
	}
	if change != nil {
		change(pod)
	}
	created, err := a.api.CoreV1().Pods(a.ns).Create(a.t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	return created
}

// get reads a pod from the API server.
func (a *kubeApp) get(name string) *corev1.Pod {
	a.t.Helper()
	pod, err := a.api.CoreV1().Pods(a.ns).Get(a.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	return pod
}

// await waits until the API server says of a pod what check wants.
func (a *kubeApp) await(name, what string, check func(*corev1.Pod) bool) (pod *corev1.Pod) {
	a.t.Helper()
	eventually(a.t, func() string {
		if pod = a.get(name); !check(pod) {
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

// settled waits until nothing differs from what the API server says: no pod, container or tag is
// missing, is left over or is wrong.
func (a *kubeApp) settled() {
	a.t.Helper()
	eventually(a.t, a.difference)
}

// difference says what differs from what the API server says, or returns "".
func (a *kubeApp) difference() string {
	list, err := a.api.CoreV1().Pods("").List(a.t.Context(),
		metav1.ListOptions{FieldSelector: "spec.nodeName=" + a.node.Node})
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
		if p := e.(*workloadmeta.KubernetesPod); !there[p.ID] {
			return fmt.Sprintf("%s/%s (%s) is left over: %s", p.Namespace, p.Name, p.ID, p.Phase)
		}
	}
	for c := range a.store.Containers() {
		if c.Owner == nil || !there[c.Owner.ID] {
			return fmt.Sprintf("container %s of no pod is left over: %+v", c.ID, c)
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

// viaEndpoint makes the collector ask /pods, as an account that may do nothing else.
func viaEndpoint(t *testing.T) func(*realnode.Kube, *kubelet.Options) {
	return func(n *realnode.Kube, o *kubelet.Options) {
		account := newAccount(t, n)
		account.grant("nodes/pods", "get")
		o.Socket = filepath.Join(t.TempDir(), "none.sock")
		o.URL, o.NodeName, o.ClientCA = n.KubeletURL, n.Node, n.KubeletCert
		o.TokenPath = account.file
	}
}

// overTheWays runs a test with each way to ask the kubelet.
func overTheWays(t *testing.T, test func(t *testing.T, a *kubeApp)) {
	t.Run("PodsAPI", func(t *testing.T) { test(t, startKube(t, nil)) })
	t.Run("Endpoint", func(t *testing.T) { test(t, startKube(t, viaEndpoint(t))) })
}

// expectTagged waits until all containers of a new pod have their tags, and says how long that was
// after the last of them had started.
func (a *kubeApp) expectTagged(name string, containers int) {
	a.t.Helper()
	var pod *workloadmeta.KubernetesPod
	eventually(a.t, func() string {
		var err error
		if pod, err = a.store.GetKubernetesPodByName(a.ns, name); err != nil {
			return err.Error()
		}
		tagged := 0
		for c := range pod.AllContainers() {
			tags, err := a.tagger.Tag(tagger.Container(c.ID), tagger.HighCardinality)
			for _, tag := range []string{"pod_name:" + name, "kube_namespace:" + a.ns, "team:blue",
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
	})
	now, last := time.Now(), time.Time{}
	for c := range pod.AllContainers() {
		started := a.expect(c.ID, "started", func(k *workloadmeta.Container) bool {
			return !k.State.StartedAt.IsZero()
		}).State.StartedAt
		if started.After(last) {
			last = started
		}
	}
	a.t.Logf("%s: all tags %v after the start of the last of %d containers", name,
		now.Sub(last).Round(time.Millisecond), containers)
}
