package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-dev/rollcall/comp/agent"
	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/rbac"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// bareNodes makes nodes that no kubelet has, until the test ends, with a pod on each that nobody
// runs. It returns the pods' UIDs.
func (k *kubeWorld) bareNodes(n int) (uids []string) {
	k.t.Helper()
	nodes := k.api.CoreV1().Nodes()
	for i := range n {
		node, err := nodes.Create(k.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			GenerateName: fmt.Sprintf("bare-%d-", i)}}, metav1.CreateOptions{})
		if err != nil {
			k.t.Fatal(err)
		}
		k.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := nodes.Delete(ctx, node.Name, metav1.DeleteOptions{}); err != nil {
				k.t.Error(err)
			}
		})
		pod := k.pod("on-"+node.Name, func(p *corev1.Pod) {
			p.Spec.NodeName = node.Name
			p.Spec.TerminationGracePeriodSeconds = new(int64) // nobody would end it
		})
		uids = append(uids, string(pod.UID))
	}
	return uids
}

// replica starts an agent of the cluster that shares the nodes.
func (k *kubeWorld) replica(name string, account *account) (a *agent.Agent, stop func()) {
	k.t.Helper()
	k.t.Setenv("POD_NAMESPACE", k.ns)
	k.t.Setenv("POD_NAME", name)
	a, stop = k.run(k.configured("", []string{"apiserver"}, "agent_type=cluster",
		"apiserver.share=true", "apiserver.resources=nodes pods",
		"kubernetes_kubeconfig_path="+account.kubeconfig()))
	eventually(k.t, func() string { // only then another may have these variables
		refused, ill := forbidden(a)
		if len(refused)+len(ill) > 0 {
			return fmt.Sprintf("%s: %v, %v", name, refused, ill)
		}
		return ""
	})
	return a, stop
}

// TestKubeReplicasShareTheNodes has two agents divide the pods of a real API server by real leases.
// Somebody has each pod all the time while a replica joins; when one leaves the other has all.
func TestKubeReplicasShareTheNodes(t *testing.T) {
	k := newKube(t)
	uids := k.bareNodes(12)
	account := newAccount(k)
	conf := k.configured("", []string{"apiserver"}, "agent_type=cluster", "apiserver.share=true",
		"apiserver.resources=nodes pods")
	rules, err := rbac.Rules(catalog.Collectors(), conf)
	if err != nil {
		t.Fatal(err)
	}
	k.apply(rbac.Manifest(account.name, rules,
		rbac.Account{Namespace: k.ns, Name: account.name}))
	replicas := map[string]*agent.Agent{}
	// shared says how many replicas have each pod, if not one.
	shared := func() string {
		for _, uid := range uids {
			var have []string
			for _, name := range slices.Sorted(maps.Keys(replicas)) {
				if _, err := replicas[name].Store().GetKubernetesPod(uid); err == nil {
					have = append(have, name)
				}
			}
			if len(have) != 1 {
				return fmt.Sprintf("pod %s is with %q", uid, have)
			}
		}
		return ""
	}
	a, stopA := k.replica("a", account)
	defer stopA()
	replicas["a"] = a
	eventually(t, shared)

	b, stopB := k.replica("b", account)
	defer stopB()
	replicas["b"] = b
	eventually(t, func() string {
		for _, uid := range uids { // a leaves a pod only when b has it
			if _, err := a.Store().GetKubernetesPod(uid); err == nil {
				continue
			}
			if _, err := b.Store().GetKubernetesPod(uid); err != nil {
				t.Fatalf("nobody has pod %s: %v", uid, err)
			}
		}
		for name, r := range replicas {
			n := 0
			for _, uid := range uids {
				if _, err := r.Store().GetKubernetesPod(uid); err == nil {
					n++
				}
			}
			if n == 0 || n == len(uids) {
				return fmt.Sprintf("%s has %d of %d pods", name, n, len(uids))
			}
		}
		return shared()
	})
	for name, r := range replicas {
		if s := r.Collectors().Status(); !slices.ContainsFunc(s, func(s collection.Status) bool {
			return s.ID == "apiserver" && s.State == collection.StateLive
		}) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	stopB()
	delete(replicas, "b")
	eventually(t, shared)
}
