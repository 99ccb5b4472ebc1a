package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestKubePodsAreTagged(t *testing.T) { overTheWays(t, testKubePodsAreTagged) }

func testKubePodsAreTagged(t *testing.T, a *kubeApp) {
	a.pod("plain", nil)
	a.expectTagged("plain", 1)

	sidecar := shell("proxy", forever)
	sidecar.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	a.pod("rich", func(p *corev1.Pod) {
		p.Labels["pod-template-hash"] = "5d9c7b8f6"
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet",
			Name: "rich-5d9c7b8f6", UID: "8d0b5a0c-0001", Controller: new(true)}}
		p.Spec.InitContainers = []corev1.Container{shell("prepare", "exit 0"), sidecar}
	}, shell("web", forever), shell("cache", forever))
	a.expectTagged("rich", 4)

	rich := a.get("rich")
	rich.Spec.EphemeralContainers = []corev1.EphemeralContainer{{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon(shell("debug", forever))}}
	if _, err := a.api.CoreV1().Pods(a.ns).UpdateEphemeralContainers(t.Context(), "rich", rich,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	a.expectTagged("rich", 5)
	a.await("rich", "ready", isReady)
	a.settled()
}
