package apiserver

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/test/fakekube"
)

// keeping is a sink that keeps every entity, as a store does.
type keeping struct {
	entities map[workloadmeta.EntityID]workloadmeta.Entity
	synced   chan struct{}
}

func (k *keeping) Set(...workloadmeta.Entity)       {}
func (k *keeping) Unset(...workloadmeta.Entity)     {}
func (k *keeping) Known(workloadmeta.EntityID) bool { return false }
func (k *keeping) Synced()                          { close(k.synced) }
func (k *keeping) Apply(events []workloadmeta.CollectorEvent) {
	for _, e := range events {
		k.entities[e.Entity.GetID()] = e.Entity
	}
}

// TestMemory is number 22: 10,000 rich pods take 16 MB at most. The benchmark "cluster level" has
// 150,000 of them, with a store.
func TestMemory(t *testing.T) {
	const n = 10_000
	server := newServer()
	for i := range n {
		server.Make(podPath, "shop", fmt.Sprintf("web-%d", i),
			func() fakekube.Object { return richPod(i) })
	}
	c, err := New(Options{Agent: collection.Cluster, Resources: []string{pods}})
	if err != nil {
		t.Fatal(err)
	}
	c.connect = func(kubeapi.Options) (*kubeapi.Client, error) {
		return kubeapi.NewFor(&url.URL{Scheme: "http", Host: "fake"}, server.Client()), nil
	}
	before := heap()
	kept := &keeping{entities: map[workloadmeta.EntityID]workloadmeta.Entity{},
		synced: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Stream(ctx, kept) }()
	<-kept.synced
	if used := heap() - before; len(kept.entities) != n || used > 16<<20 {
		t.Errorf("%d pods take %.1f MB", len(kept.entities), float64(used)/(1<<20))
	} else {
		t.Logf("%d bytes per pod", used/n)
	}
	runtime.KeepAlive(kept)
	cancel()
	<-ended
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// richPod is one of 20 replicas, with what most pods have, and much that is not kept.
func richPod(i int) *corev1.Pod {
	p := podOf(fmt.Sprintf("web-%d", i), fmt.Sprintf("deployment-%d", i/20))
	p.UID = types.UID(fmt.Sprintf("%08x-5d5a-4f88-a813-%012x", i*7919, i))
	p.OwnerReferences[0].UID = types.UID(fmt.Sprintf("owner-%d", i/20))
	for _, name := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "team"} {
		p.Labels[name] = fmt.Sprintf("value-%d", i/20)
	}
	p.Annotations = map[string]string{"checksum/config": fmt.Sprintf("%064d", i/20),
		"kubectl.kubernetes.io/last-applied-configuration": fmt.Sprintf("%02000d", i)}
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet",
		FieldsV1: metav1.NewFieldsV1(fmt.Sprintf(`{"f:status":"%02000d"}`, i))}}
	p.Status.PodIP = fmt.Sprintf("10.0.%d.%d", i/250, i%250)
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	return p
}
