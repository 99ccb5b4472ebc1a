package kubelet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	podsv1 "k8s.io/kubelet/pkg/apis/pods/v1alpha1"
)

// fakeKubelet serves pods in both ways. What it says and what it refuses is in the test's hands.
type fakeKubelet struct {
	podsv1.UnimplementedPodsServer

	mu      sync.Mutex
	pods    map[string]*corev1.Pod
	watches map[chan *podsv1.WatchPodsEvent]bool
	err     error // of every call; Unimplemented and the like
	hold    chan struct{}
	lists   int
	http    func(w http.ResponseWriter, r *http.Request) bool // true if it has answered
	// silent watches never say that they have told everything.
	silent bool
}

func newFakeKubelet() *fakeKubelet {
	return &fakeKubelet{pods: map[string]*corev1.Pod{},
		watches: map[chan *podsv1.WatchPodsEvent]bool{}}
}

// pod returns a running pod with one container.
func pod(name string) *corev1.Pod {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("uid-" + name),
			Labels: map[string]string{"app": name}, CreationTimestamp: now},
		Spec: corev1.PodSpec{NodeName: "node-1",
			Containers: []corev1.Container{{Name: "main", Image: "example.org/app:1"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue,
				LastTransitionTime: now}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Ready: true,
				ContainerID: "containerd://container-" + name, Image: "example.org/app:1",
				State: corev1.ContainerState{
					Running: &corev1.ContainerStateRunning{StartedAt: now}}}}},
	}
}

// set changes a pod; tell says whether watches hear of it.
func (f *fakeKubelet) set(p *corev1.Pod, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pods[string(p.UID)] = p
	if tell {
		f.tell(podsv1.EventType_MODIFIED, p)
	}
}

func (f *fakeKubelet) remove(uid string, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if tell {
		f.tellDone(uid)
	}
	delete(f.pods, uid)
}

// done tells watches that the kubelet is done with a pod, which it still lists.
func (f *fakeKubelet) done(uid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tellDone(uid)
}

func (f *fakeKubelet) tellDone(uid string) {
	p := f.pods[uid]
	f.tell(podsv1.EventType_DELETED, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: p.Name, Namespace: p.Namespace, UID: p.UID}})
}

func (f *fakeKubelet) tell(kind podsv1.EventType, p *corev1.Pod) {
	data, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	for w := range f.watches {
		w <- &podsv1.WatchPodsEvent{Type: kind, Pod: data}
	}
}

// fail makes every call fail, and every watch end; nil mends that.
func (f *fakeKubelet) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	if err != nil {
		f.hangUp()
	}
}

func (f *fakeKubelet) hangUp() {
	for w := range f.watches {
		close(w)
		delete(f.watches, w)
	}
}

func (f *fakeKubelet) WatchPods(_ *podsv1.WatchPodsRequest,
	out grpc.ServerStreamingServer[podsv1.WatchPodsEvent]) error {
	f.mu.Lock()
	if f.err != nil {
		defer f.mu.Unlock()
		return f.err
	}
	w := make(chan *podsv1.WatchPodsEvent, 1000)
	f.watches[w] = true
	for _, p := range f.pods {
		data, err := p.Marshal()
		if err != nil {
			panic(err)
		}
		w <- &podsv1.WatchPodsEvent{Type: podsv1.EventType_ADDED, Pod: data}
	}
	if !f.silent {
		w <- &podsv1.WatchPodsEvent{Type: podsv1.EventType_INITIAL_SYNC_COMPLETE}
	}
	f.mu.Unlock()
	for {
		select {
		case <-out.Context().Done():
			f.mu.Lock()
			delete(f.watches, w)
			f.mu.Unlock()
			return out.Context().Err()
		case e, ok := <-w:
			if !ok {
				f.mu.Lock()
				defer f.mu.Unlock()
				if f.err != nil {
					return f.err
				}
				return status.Error(codes.ResourceExhausted, "watch client channel closed")
			}
			if err := out.Send(e); err != nil {
				return err
			}
		}
	}
}

func (f *fakeKubelet) ListPods(ctx context.Context,
	_ *podsv1.ListPodsRequest) (*podsv1.ListPodsResponse, error) {
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	if hold != nil { // frozen
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	f.lists++
	out := &podsv1.ListPodsResponse{}
	for _, p := range f.pods {
		data, err := p.Marshal()
		if err != nil {
			return nil, err
		}
		out.Pods = append(out.Pods, data)
	}
	return out, nil
}

// ServeHTTP serves /pods.
func (f *fakeKubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.http != nil && f.http(w, r) {
		return
	}
	if r.URL.Path != "/pods" {
		http.NotFound(w, r)
		return
	}
	f.lists++
	list := corev1.PodList{Items: []corev1.Pod{}}
	for _, p := range f.pods {
		list.Items = append(list.Items, *p)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(list) //nolint:errcheck // the client may hang up
}

func (f *fakeKubelet) answer(http func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.http = http
}

// socket serves the Pods API at a new socket until stop.
func (f *fakeKubelet) socket(t *testing.T, path string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	podsv1.RegisterPodsServer(s, f)
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(l) //nolint:errcheck // it ends when it is stopped
	}()
	stop = sync.OnceFunc(func() { s.Stop(); <-served })
	t.Cleanup(stop)
	return stop
}

// https serves /pods with a certificate like a kubelet's: of its own CA, for the node's name only.
func (f *fakeKubelet) https(t *testing.T, root string) (address string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true,
		Subject: pkix.Name{CommonName: "node-1@1"}, DNSNames: []string{"node-1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if root != "" {
		path := filepath.Join(root, defaultServingCert)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := os.WriteFile(path, cert, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := httptest.NewUnstartedServer(f)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}
