package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestKubeShortLives has 60 pods, or 200 where it may take longer, come and go, a few at a time,
// each of which is there for about two seconds. None is lost: its last tags are complete.
func TestKubeShortLives(t *testing.T) {
	k := watchedBoth(t)
	pods, atOnce := 60, 5
	if long() {
		pods = 200
	}
	var mu sync.Mutex // guards ended
	var ended []*corev1.Pod
	var longest time.Duration
	numbers := make(chan int)
	var work sync.WaitGroup
	for range atOnce {
		work.Go(func() {
			for i := range numbers {
				pod, took, err := k.shortLife(fmt.Sprint("short-", i), i%100)
				mu.Lock()
				if err != nil {
					t.Error(err)
				} else {
					ended = append(ended, pod)
				}
				longest = max(longest, took)
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	for i := range pods {
		numbers <- i
	}
	close(numbers)
	work.Wait()
	t.Logf("%d pods in %v, none longer than %v", len(ended), time.Since(began).Round(time.Second),
		longest.Round(time.Millisecond))
	k.settled()
	for _, a := range k.apps {
		lost, first := 0, ""
		for _, p := range ended {
			if problem := a.incomplete(p); problem != "" {
				lost++
				first = problem
			}
		}
		if lost > 0 {
			t.Errorf("%s: %d of %d pods are not as they should be: %s", a.name, lost, len(ended),
				first)
		}
	}
}

// shortLife makes a pod that ends with a code at once, and deletes it then. It returns the pod as
// it was at its end, and how long it was there.
func (k *kubeWorld) shortLife(name string, code int) (*corev1.Pod, time.Duration, error) {
	pods, ctx := k.api.CoreV1().Pods(k.ns), k.t.Context()
	began := time.Now()
	_, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "blue"}},
		Spec: corev1.PodSpec{NodeName: k.node.Node, RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{shell("work", fmt.Sprint("exit ", code))}},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, 0, err
	}
	var last *corev1.Pod
	for deadline := began.Add(patience); ; time.Sleep(breath) {
		if last, err = pods.Get(ctx, name, metav1.GetOptions{}); err != nil {
			return nil, 0, err
		}
		if last.Status.Phase == corev1.PodSucceeded || last.Status.Phase == corev1.PodFailed {
			break
		}
		if time.Now().After(deadline) {
			return nil, 0, fmt.Errorf("%s has not ended: %+v", name, last.Status)
		}
	}
	if err := pods.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return nil, 0, err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(breath) {
		_, err := pods.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return last, time.Since(began), nil
		}
		if err != nil || time.Now().After(deadline) {
			return nil, 0, fmt.Errorf("%s is not gone: %v", name, err)
		}
	}
}

// incomplete says what is missing in the last that is known of a pod that is gone.
func (a *kubeApp) incomplete(p *corev1.Pod) string {
	status := &p.Status.ContainerStatuses[0]
	for id, want := range map[tagger.EntityID][]string{
		tagger.Container(bareID(status)): {"pod_name:" + p.Name, "kube_namespace:" + p.Namespace,
			"kube_container_name:work", "team:blue", "image_tag:1.2"},
		tagger.KubernetesPod(string(p.UID)): {"pod_name:" + p.Name, "team:blue"},
	} {
		tags, err := a.tagger.Tag(id, tagger.HighCardinality)
		for _, tag := range want {
			if err != nil || !slices.Contains(tags, tag) {
				return fmt.Sprintf("%s has %v (%v), want %s", id, tags, err, tag)
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	events := a.told[containerID(bareID(status))]
	if len(events) == 0 {
		return "nobody was told of the container of " + p.Name
	}
	last := events[len(events)-1].Entity.(*workloadmeta.Container)
	if code := last.State.ExitCode; code == nil ||
		*code != int64(status.State.Terminated.ExitCode) {
		return fmt.Sprintf("the container of %s has ended: %+v, want %+v", p.Name, last.State,
			status.State)
	}
	return ""
}
