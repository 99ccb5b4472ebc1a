package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/apiserver"
	"go.uber.org/fx"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestKubeRelations changes what a pod has tags of beside itself, and prints how long each tag
// takes: labels of its namespace and of its node, and the service that it is a member of.
func TestKubeRelations(t *testing.T) {
	t.Parallel()
	k := newKube(t)
	account := newAccount(k)
	account.grant(rule("list,watch", "", "namespaces", "nodes", "services"),
		rule("list,watch", "discovery.k8s.io", "endpointslices"))
	cluster, err := apiserver.New(apiserver.Options{NodeName: k.node.Node, DirectSlices: true,
		Resources:  []string{"namespaces", "nodes", "services"},
		Kubeconfig: account.kubeconfig()})
	if err != nil {
		t.Fatal(err)
	}
	a := k.watchEndpoint(fx.Provide(
		collection.AsCollector(func() *apiserver.Collector { return cluster })))
	pod := k.ready("web")[0]
	id := tagger.Container(bareID(&pod.Status.ContainerStatuses[0]))
	// expect waits until of the tags with a name there is this one only, or none.
	expect := func(name, value string) {
		t.Helper()
		began := time.Now()
		eventuallyIn(t, 2*patience, func() string {
			tags, err := a.tagger.Tag(id, tagger.LowCardinality)
			if err != nil {
				return err.Error()
			}
			var want []string
			if value != "" {
				want = []string{name + ":" + value}
			}
			got := slices.DeleteFunc(tags, func(tag string) bool {
				return len(tag) <= len(name) || tag[:len(name)+1] != name+":"
			})
			if !slices.Equal(got, want) {
				return fmt.Sprintf("%v, want %v", got, want)
			}
			return ""
		})
		t.Logf("%s:%s after %v", name, value, time.Since(began).Round(time.Millisecond))
	}
	patch := func(label, value string) []byte {
		return fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, label, value)
	}
	for _, value := range []string{"low", "high", ""} {
		text := "null"
		if value != "" {
			text = `"` + value + `"`
		}
		if _, err := k.api.CoreV1().Namespaces().Patch(t.Context(), k.ns,
			types.MergePatchType, patch("cost", text), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		expect("cost", value)
		if _, err := k.api.CoreV1().Nodes().Patch(t.Context(), k.node.Node,
			types.MergePatchType, patch("zone", text), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		expect("zone", value)
	}
	k.settled()

	meta := metav1.ObjectMeta{Name: "front", Namespace: k.ns}
	if _, err := k.api.CoreV1().Services(k.ns).Create(t.Context(), &corev1.Service{
		ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	meta.Labels = map[string]string{discoveryv1.LabelServiceName: "front"}
	slice, err := k.api.DiscoveryV1().EndpointSlices(k.ns).Create(t.Context(),
		&discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{pod.Status.PodIP},
				Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
				NodeName:   &k.node.Node,
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: k.ns, Name: pod.Name,
					UID: pod.UID}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	expect("kube_service", "front")
	slice.Endpoints = nil
	if _, err := k.api.DiscoveryV1().EndpointSlices(k.ns).Update(t.Context(), slice,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect("kube_service", "") // half a minute later
	k.settled()
}
