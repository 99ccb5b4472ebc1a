package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestKubePodsAreTagged(t *testing.T) {
	k := watchedAll(t)
	k.pod("plain", nil)
	k.expectTagged("plain", 1)

	sidecar := shell("proxy", forever)
	sidecar.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	k.pod("rich", func(p *corev1.Pod) {
		ownedBy("ReplicaSet", "rich-5d9c7b8f6")(p)
		p.Labels["pod-template-hash"] = "5d9c7b8f6"
		p.Spec.InitContainers = []corev1.Container{shell("prepare", "exit 0"), sidecar}
	}, shell("web", forever), shell("cache", forever))
	k.expectTagged("rich", 4)

	rich := k.get("rich")
	rich.Spec.EphemeralContainers = []corev1.EphemeralContainer{{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon(shell("debug", forever))}}
	if _, err := k.api.CoreV1().Pods(k.ns).UpdateEphemeralContainers(t.Context(), "rich", rich,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	k.expectTagged("rich", 5)
	k.await("rich", "ready", isReady)
	k.settled()
}

func TestKubeStaticPod(t *testing.T) {
	t.Parallel()
	k := watchedAll(t)
	write := func(team string) {
		t.Helper()
		pod := corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Name: "static", Namespace: k.ns,
				Labels: map[string]string{"team": team}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{shell("web", forever)},
				TerminationGracePeriodSeconds: new(int64(1))}}
		text, err := json.Marshal(pod)
		if err == nil {
			// A kubelet reads whatever lies in the folder, also half of a file.
			err = os.WriteFile(filepath.Join(k.node.Root, "static.json"), text, 0o600)
		}
		if err == nil {
			err = os.Rename(filepath.Join(k.node.Root, "static.json"),
				filepath.Join(k.node.StaticPods, "static.json"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Remove(filepath.Join(k.node.StaticPods, "static.json")) })
	name := "static-" + k.node.Node
	mirror := func(team string) (pod *corev1.Pod) {
		t.Helper()
		eventually(t, func() (problem string) {
			var err error
			pod, err = k.api.CoreV1().Pods(k.ns).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil || pod.Labels["team"] != team || !isReady(pod) {
				return fmt.Sprintf("%v %v %v", err, pod.Labels, pod.Status.Phase)
			}
			return ""
		})
		return pod
	}
	write("blue")
	first := mirror("blue")
	k.settled()
	write("green")
	second := mirror("green")
	if kubeletUID(first) == kubeletUID(second) || kubeletUID(first) == string(first.UID) {
		t.Errorf("UIDs %s (mirror %s) and %s", kubeletUID(first), first.UID, kubeletUID(second))
	}
	k.settled()
	if err := os.Remove(filepath.Join(k.node.StaticPods, "static.json")); err != nil {
		t.Fatal(err)
	}
	k.gone(second)
	k.settled()
}

// gone waits until nobody knows a pod any more, or a container of it that runs. Their last tags
// stay for a while.
func (k *kubeWorld) gone(p *corev1.Pod) {
	k.t.Helper()
	for _, a := range k.apps {
		eventuallyIn(k.t, 2*patience, func() string {
			if have, err := a.store.GetKubernetesPod(kubeletUID(p)); err == nil {
				return fmt.Sprintf("%s: %s is %s", a.name, p.Name, have.Phase)
			}
			for _, s := range p.Status.ContainerStatuses {
				if c, err := a.store.GetContainer(bareID(&s)); err == nil && c.State.Running {
					return fmt.Sprintf("%s: %s of %s is %+v", a.name, s.Name, p.Name, c.State)
				}
				tags, err := a.tagger.Tag(tagger.Container(bareID(&s)), tagger.HighCardinality)
				if err != nil || !slices.Contains(tags, "pod_name:"+p.Name) {
					return fmt.Sprintf("%s: %s of %s had %v, %v", a.name, s.Name, p.Name, tags,
						err)
				}
			}
			return ""
		})
	}
}

// TestKubeNameReused has a pod follow another one under its name: in order, and at once after it
// was deleted by force.
func TestKubeNameReused(t *testing.T) {
	t.Parallel()
	k := watchedAll(t)
	start := func(team string) *corev1.Pod {
		t.Helper()
		k.pod("db-0", func(p *corev1.Pod) {
			ownedBy("StatefulSet", "db")(p)
			p.Labels["team"] = team
		})
		pod := k.await("db-0", "ready", isReady)
		k.settled()
		return pod
	}
	first := start("blue")
	k.delete("db-0", 5)
	second := start("green")
	k.delete("db-0", 0)
	third := start("red")
	// The last tags of each are its own.
	for i, p := range []*corev1.Pod{first, second, third} {
		team := "team:" + []string{"blue", "green", "red"}[i]
		for _, a := range k.apps {
			for _, id := range []tagger.EntityID{tagger.KubernetesPod(string(p.UID)),
				tagger.Container(bareID(&p.Status.ContainerStatuses[0]))} {
				tags, err := a.tagger.Tag(id, tagger.HighCardinality)
				teams := slices.DeleteFunc(tags, func(tag string) bool {
					return tag[:5] != "team:"
				})
				if err != nil || !slices.Equal(teams, []string{team}) {
					t.Errorf("%s: %s has %v (%v), want %s", a.name, id, teams, err, team)
				}
			}
		}
	}
}

func TestKubeJob(t *testing.T) {
	t.Parallel()
	k := watchedAll(t)
	job := func(name, script string) {
		k.pod(name, func(p *corev1.Pod) {
			ownedBy("Job", name[:len(name)-len("-x7k2p")])(p)
			p.Spec.RestartPolicy = corev1.RestartPolicyNever
		}, shell("work", script))
	}
	job("report-x7k2p", "sleep 2; exit 0")
	job("broken-x7k2p", "sleep 1; exit 7")
	done := k.await("report-x7k2p", "done", hasPhase(corev1.PodSucceeded))
	k.await("broken-x7k2p", "failed", hasPhase(corev1.PodFailed))
	k.settled() // also the exit codes
	k.delete("report-x7k2p", 5)
	k.gone(done)
	k.settled()
}

// TestKubeCrashLoop has a container end again and again. Each of its lives keeps its own exit code.
func TestKubeCrashLoop(t *testing.T) {
	t.Parallel()
	k := watchedAll(t)
	pod := k.pod("crash", nil, shell("web", "sleep 0.5; exit 3"))
	k.await("crash", "restarted", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 &&
			p.Status.ContainerStatuses[0].RestartCount > 2
	})
	for _, a := range k.apps {
		eventually(t, func() string {
			a.mu.Lock()
			defer a.mu.Unlock()
			ended := 0
			for id, events := range a.told {
				last, ok := events[len(events)-1].Entity.(*workloadmeta.Container)
				if !ok || last.Owner == nil || last.Owner.ID != string(pod.UID) ||
					last.State.Status != workloadmeta.StatusStopped {
					continue
				}
				if last.State.ExitCode == nil || *last.State.ExitCode != 3 ||
					last.State.FinishedAt.IsZero() {
					return fmt.Sprintf("%s: the end of %s is %+v", a.name, id.ID, last.State)
				}
				ended++
			}
			if ended < 3 {
				return fmt.Sprintf("%s: %d ends", a.name, ended)
			}
			return ""
		})
	}
	k.delete("crash", 1)
	k.settled()
}

// TestKubeDeletedByForce has a pod's object go while its container still runs. It keeps its tags
// for as long as that.
func TestKubeDeletedByForce(t *testing.T) {
	t.Parallel()
	k := watchedBoth(t)
	stubborn := shell("web", "trap '' TERM; while :; do sleep 0.2; done")
	k.pod("stubborn", nil, stubborn)
	pod := k.await("stubborn", "ready", isReady)
	k.settled()
	id := bareID(&pod.Status.ContainerStatuses[0])
	pid := k.apps[0].expect(id, "running", runs).PID
	k.delete("stubborn", 0)
	want := containerTags(pod, &pod.Status.ContainerStatuses[0])
	checks := 0
	for ; ; checks++ {
		var problem string
		for _, a := range k.apps {
			if d := a.tagsDiffer(tagger.Container(id), slices.Clone(want)); d != "" {
				problem = a.name + ": " + d
			}
		}
		// The kernel is asked last: it says that the tags above were those of one that ran.
		if syscall.Kill(pid, 0) != nil {
			break
		}
		if problem != "" {
			t.Fatalf("while it runs: %s", problem)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("its tags were right %d times between the end of its object and its own", checks)
	k.gone(pod)
	k.settled()
}

func TestKubeResizedInPlace(t *testing.T) {
	t.Parallel()
	k := watchedAll(t)
	resources := func(cpu, memory string) corev1.ResourceRequirements {
		list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu),
			corev1.ResourceMemory: resource.MustParse(memory)}
		return corev1.ResourceRequirements{Requests: list, Limits: list}
	}
	web := shell("web", forever)
	web.Resources = resources("100m", "64Mi")
	k.pod("resized", nil, web)
	pod := k.await("resized", "ready", isReady)
	k.settled()
	has := func(a *kubeApp, cpu float64, memory uint64) string {
		c, err := a.store.GetContainer(bareID(&pod.Status.ContainerStatuses[0]))
		if err != nil {
			return err.Error()
		}
		r := c.Resources
		if r.CPULimit == nil || r.MemoryLimit == nil || r.CPURequest == nil ||
			*r.CPULimit != cpu || *r.CPURequest != cpu || *r.MemoryLimit != memory {
			text, err := json.Marshal(r)
			return fmt.Sprintf("%s: %s %v, want %v and %d", a.name, text, err, cpu, memory)
		}
		return ""
	}
	for _, a := range k.apps {
		eventually(t, func() string { return has(a, 10, 64<<20) })
	}
	pod.Spec.Containers[0].Resources = resources("200m", "128Mi")
	if _, err := k.api.CoreV1().Pods(k.ns).UpdateResize(t.Context(), "resized", pod,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, a := range k.apps {
		eventually(t, func() string { return has(a, 20, 128<<20) })
	}
	if after := k.get("resized"); after.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("it was restarted: %+v", after.Status.ContainerStatuses)
	}
	k.settled()
}
