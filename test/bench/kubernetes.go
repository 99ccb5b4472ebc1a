package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/apiserver"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

// A large cluster: what Kubernetes is tested with.
const (
	clusterPods  = 150_000
	clusterNodes = 5000
	replicas     = 20 // pods of one Deployment
)

const podPath = "/api/v1/pods"

// clusterLevel measures what a cluster's pods take in the store and the collector together, once
// they are there and at most until then. The API server is another process.
func clusterLevel() []row {
	kubeconfig, stop := fakeCluster()
	defer stop()
	before := inUse()
	peak := uint64(0)
	var took time.Duration
	var kept []any
	heap := heapOf(func() any {
		s := store.New(store.Options{})
		c, err := apiserver.New(apiserver.Options{Agent: collection.Cluster,
			Kubeconfig: kubeconfig, Resources: []string{"pods"}})
		must(err)
		sup, err := collection.New(collection.Options{Store: s,
			Collectors: []workloadmeta.Collector{c}, SyncGrace: time.Hour})
		must(err)
		began := time.Now()
		must(sup.Start(context.Background()))
		synced := make(chan struct{})
		go func() {
			defer close(synced)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
			defer cancel()
			must(s.WaitSynced(ctx))
		}()
		for done := false; !done; {
			select {
			case <-synced:
				done = true
			case <-time.After(5 * time.Millisecond):
			}
			peak = max(peak, inUse())
		}
		took = time.Since(began)
		n := 0
		for range s.KubernetesPods() {
			n++
		}
		if n != clusterPods {
			must(fmt.Errorf("%d pods in the store, want %d", n, clusterPods))
		}
		kept = []any{s, c, sup}
		return kept
	})
	must(kept[2].(*collection.Supervisor).Stop(context.Background()))
	runtime.KeepAlive(kept)
	label := fmt.Sprintf("API server: %d pods, ", clusterPods)
	return []row{
		bounded(label+"memory retained", heap/1e6, "MB", 250),
		bounded(label+"memory at most", (float64(peak)-float64(before))/1e6, "MB", 600),
		plain(label+"memory per pod", heap/clusterPods/1000, "kB"),
		plain(label+"pods per second at the start", clusterPods/took.Seconds(), "1/s"),
	}
}

// inUse returns what the process has of the system and not given back.
func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// fakeCluster starts a process with a fake API server, and returns the file that says where it is.
func fakeCluster() (kubeconfig string, stop func()) {
	self, err := os.Executable()
	must(err)
	server := exec.Command(self, "-serve-cluster")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	must(err)
	in, err := server.StdinPipe() // it ends with this process
	must(err)
	must(server.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	must(err)
	dir, err := os.MkdirTemp("", "bench")
	must(err)
	kubeconfig = filepath.Join(dir, "config")
	must(os.WriteFile(kubeconfig, fmt.Appendf(nil, `{"clusters": [{"name": "c", "cluster":
		{"server": "http://%s"}}], "contexts": [{"name": "x", "context": {"cluster": "c"}}],
		"current-context": "x"}`, strings.TrimSpace(address)), 0o600))
	return kubeconfig, func() {
		must(in.Close())
		must(server.Wait())
		must(os.RemoveAll(dir))
	}
}

// serveCluster is that process.
func serveCluster() {
	server := fakekube.New(podPath)
	for i := range clusterPods {
		server.Make(podPath, fmt.Sprintf("namespace-%d", i/1000), clusterPodName(i),
			func() fakekube.Object { return clusterPod(i) })
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println(l.Addr())
	go func() { must(http.Serve(l, server)) }() //nolint:gosec // for one client
	_, _ = os.Stdin.Read(make([]byte, 1))       // until the other process goes
}

func clusterPodName(i int) string {
	return fmt.Sprintf("deployment-%d-6d4b75cb9-%05x", i/replicas, i)
}

// clusterPod is a pod as rich as most: two containers, labels of its chart, what managers left.
func clusterPod(i int) *corev1.Pod {
	deployment := fmt.Sprintf("deployment-%d", i/replicas)
	yes, now := true, metav1.Unix(1_800_000_000+int64(i), 0)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: clusterPodName(i), Namespace: fmt.Sprintf("namespace-%d", i/1000),
		UID:               types.UID(fmt.Sprintf("%08x-5d5a-4f88-a813-%012x", i*7919, i)),
		CreationTimestamp: now,
		Labels: map[string]string{"app.kubernetes.io/name": deployment,
			"app.kubernetes.io/instance": deployment + "-prod", "team": fmt.Sprint(i / 3000),
			"app.kubernetes.io/version": "1.2.3", "pod-template-hash": "6d4b75cb9",
			"helm.sh/chart": deployment + "-1.0.0"},
		Annotations: map[string]string{"prometheus.io/scrape": "true",
			"checksum/config": strings.Repeat(fmt.Sprintf("%08x", i/replicas), 8)},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet",
			Name: deployment + "-6d4b75cb9", Controller: &yes,
			UID: types.UID(fmt.Sprintf("%08x-5d5a-4f88-a813-%012x", i/replicas, i/replicas))}},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.
			NewFieldsV1(strings.Repeat(`{"f:status":{".":{}}}`, 100))}},
	}}
	p.Spec.NodeName = fmt.Sprintf("node-%d", i%clusterNodes)
	for _, name := range []string{"app", "sidecar"} {
		var variables []corev1.EnvVar
		for n := range 10 {
			variables = append(variables, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", n),
				Value: strings.Repeat("value", n+1)})
		}
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: name,
			Image: "registry.example.com/shop/" + deployment + ":1.2.3", Env: variables,
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				"cpu": resource.MustParse("250m"), "memory": resource.MustParse("64Mi")}}})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: name, Ready: true, ContainerID: "containerd://" + runtimeID(i),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}})
	}
	p.Status.Phase, p.Status.QOSClass = corev1.PodRunning, corev1.PodQOSBurstable
	p.Status.StartTime, p.Status.HostIP = &now, fmt.Sprintf("192.168.%d.%d", i%20, i%250)
	p.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	for _, condition := range []corev1.PodConditionType{corev1.PodReady, corev1.PodInitialized,
		corev1.PodScheduled, corev1.ContainersReady} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: condition,
			Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	return p
}
