package apiserver

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

func hpa(name, kind, target string) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta(name),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv2.
			CrossVersionObjectReference{APIVersion: "apps/v1", Kind: kind, Name: target}}}
}

func vpa(name string, target map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"kind": "VerticalPodAutoscaler",
		"spec": map[string]any{}}}
	if target != nil {
		o.Object["spec"] = map[string]any{"targetRef": target}
	}
	o.SetNamespace("shop")
	o.SetName(name)
	return o
}

// TestAutoscalers mark what they scale and its pods; one that is given another target leaves the
// old one, and several are a set.
func TestAutoscalers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(podPath, deploymentPath, hpaPath, vpaPath)
		server.Custom(vpaPath)
		for _, d := range []string{"web", "api"} {
			server.Put(deploymentPath, &appsv1.Deployment{ObjectMeta: meta(d)})
			server.Put(podPath, podOf(d+"-1", d))
		}
		yes := true
		set := podOf("db-0", "db")
		set.Labels = nil
		set.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1",
			Kind: "StatefulSet", Name: "db", Controller: &yes}}
		server.Put(podPath, set)
		rollout := podOf("canary-1", "canary")
		rollout.Labels = map[string]string{"rollouts-pod-template-hash": "6d4b75cb9"}
		server.Put(podPath, rollout)
		server.Put(hpaPath, hpa("first", "Deployment", "web"))
		w := start(t, server, Options{Agent: collection.Cluster,
			Resources: []string{deployments, pods, autoscalers}})
		defer w.stop()
		check := func(what string, want map[string]string) {
			t.Helper()
			w.wait(0)
			for _, name := range []string{"web", "api", "db", "canary"} {
				got := ""
				if name == "web" || name == "api" {
					d := entity[*workloadmeta.KubernetesDeployment](w,
						workloadmeta.KindKubernetesDeployment, "shop/"+name)
					got = fmt.Sprint(d.AutoscalerKinds)
				}
				pod := map[string]string{"db": "db-0"}[name]
				if pod == "" {
					pod = name + "-1"
				}
				p := entity[*workloadmeta.KubernetesPod](w, workloadmeta.KindKubernetesPod,
					"uid-of-"+pod)
				if kinds := fmt.Sprint(p.AutoscalerKinds); got != "" && kinds != got {
					t.Errorf("%s: %s has %s, its pod %s", what, name, got, kinds)
				} else {
					got = kinds
				}
				if w := want[name]; got != "["+w+"]" {
					t.Errorf("%s: %s has %s, want [%s]", what, name, got, w)
				}
			}
		}
		w.wait(time.Second)
		check("at first", map[string]string{"web": "hpa"})
		server.Put(hpaPath, hpa("second", "StatefulSet", "db"))
		server.Put(hpaPath, hpa("third", "Rollout", "canary"))
		server.Put(vpaPath, vpa("v", map[string]any{"kind": "Deployment", "name": "web"}))
		server.Put(vpaPath, vpa("none", nil))
		check("several", map[string]string{"web": "hpa vpa", "db": "hpa", "canary": "hpa"})
		server.Put(hpaPath, hpa("first", "Deployment", "api"))
		check("retargeted", map[string]string{"web": "vpa", "api": "hpa", "db": "hpa",
			"canary": "hpa"})
		keda := hpa("third", "Deployment", "api")
		keda.OwnerReferences = []metav1.OwnerReference{{APIVersion: "keda.sh/v1alpha1",
			Kind: "ScaledObject", Name: "x", Controller: &yes}}
		server.Put(hpaPath, keda)
		check("KEDA's", map[string]string{"web": "vpa", "api": "hpa keda", "db": "hpa"})
		w.away(func() {
			server.Delete(hpaPath, "shop", "first")
			server.Delete(hpaPath, "shop", "second")
			server.Delete(vpaPath, "shop", "v")
		})
		check("deleted in a gap", map[string]string{"api": "keda"})
		server.Put(deploymentPath, &appsv1.Deployment{ObjectMeta: meta("api", "new", "label")})
		check("the target has changed", map[string]string{"api": "keda"})
	})
}

// TestNoTarget: an autoscaler of nothing scales no pods that nothing owns.
func TestNoTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(podPath, deploymentPath, hpaPath, vpaPath)
		server.Custom(vpaPath)
		bare := podOf("bare", "web")
		bare.OwnerReferences = nil
		server.Put(podPath, bare)
		server.Put(vpaPath, vpa("none", nil))
		w := start(t, server, Options{Agent: collection.Cluster,
			Resources: []string{deployments, pods, autoscalers}})
		defer w.stop()
		check := func(when string) {
			t.Helper()
			w.wait(time.Second)
			if kinds := entity[*workloadmeta.KubernetesPod](w, workloadmeta.KindKubernetesPod,
				"uid-of-bare").AutoscalerKinds; len(kinds) > 0 {
				t.Errorf("%s: %v", when, kinds)
			}
		}
		check("at first")
		server.Put(vpaPath, vpa("none", map[string]any{"kind": "Deployment", "name": "web"}))
		check("with a target")
		server.Put(vpaPath, vpa("none", nil))
		check("without one again")
	})
}

// TestLeftOut: an object that cannot be decoded is said to be left out. It neither keeps others
// that are gone meanwhile, nor takes away what was known of it.
func TestLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakekube.New(podPath, deploymentPath, hpaPath, vpaPath)
		server.Custom(vpaPath)
		for _, name := range []string{"web", "api"} {
			server.Put(podPath, podOf(name+"-1", name))
			server.Put(vpaPath, vpa(name, map[string]any{"kind": "Deployment", "name": name}))
		}
		w := start(t, server, Options{Agent: collection.Cluster,
			Resources: []string{deployments, pods, autoscalers}})
		defer w.stop()
		w.wait(time.Second)
		check := func(when string, state collection.State, reason, web, api string) {
			t.Helper()
			part := w.part("verticalpodautoscalers.autoscaling.k8s.io")
			kinds := func(name string) string {
				return fmt.Sprint(entity[*workloadmeta.KubernetesPod](w,
					workloadmeta.KindKubernetesPod, name).AutoscalerKinds)
			}
			if part.State != state || part.Reason != reason || kinds("uid-of-web-1") != web ||
				kinds("uid-of-api-1") != api {
				t.Errorf("%s: %+v; web %s, api %s", when, part, kinds("uid-of-web-1"),
					kinds("uid-of-api-1"))
			}
		}
		check("at first", collection.StateLive, "", "[vpa]", "[vpa]")
		bad := vpa("web", nil)
		bad.Object["spec"] = "nonsense"
		server.Put(vpaPath, bad)
		w.wait(time.Second)
		const one = "1 object is left out: it cannot be decoded"
		check("one is nonsense", collection.StateDegraded, one, "[vpa]", "[vpa]")
		w.away(func() {
			server.Delete(vpaPath, "shop", "api")
			server.Compact()
		})
		w.wait(time.Minute)
		check("another one has gone", collection.StateDegraded, one, "[vpa]", "[]")
		server.Put(vpaPath, vpa("web", map[string]any{"kind": "Deployment", "name": "web"}))
		w.wait(time.Second)
		check("it makes sense again", collection.StateLive, "", "[vpa]", "[]")
	})
}
