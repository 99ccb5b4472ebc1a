package kubelet

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	podsv1 "k8s.io/kubelet/pkg/apis/pods/v1alpha1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// TestWaitingForLongTakesNothingAway is of item 23: a kubelet that has restarted while the API
// server is away knows no pods for as long as that takes. Half an hour of it is more than what
// nobody confirms is kept for.
func TestWaitingForLongTakesNothingAway(t *testing.T) {
	root := t.TempDir()
	socket := filepath.Join(root, "pods.sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil { // only that it is there counts
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeKubelet()
		fake.set(pod("web"), false)
		listener := bufconn.Listen(1 << 16)
		server := grpc.NewServer()
		podsv1.RegisterPodsServer(server, fake)
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		t.Cleanup(func() {
			server.Stop()
			<-served
		})
		c, err := New(Options{Socket: socket, Root: root, dial: dialer(listener)})
		if err != nil {
			t.Fatal(err)
		}
		e := collectortest.NewEngine(t, c)
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := e.Store.GetKubernetesPod("uid-web"); err != nil {
			t.Fatal(err)
		}
		fake.fail(status.Error(codes.Unavailable, "the kubelet is down"))
		time.Sleep(30 * time.Second)
		fake.fail(status.Error(codes.FailedPrecondition, "Kubelet is initializing"))
		for range 30 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if _, err := e.Store.GetKubernetesPod("uid-web"); err != nil {
				t.Fatal("the pod is gone: ", err)
			}
			if _, err := e.Store.GetContainer("container-web"); err != nil {
				t.Fatal("its container is gone: ", err)
			}
		}
		if parts := e.Status("kubelet").Parts; len(parts) == 0 ||
			parts[0].State != collection.StateSyncing ||
			!strings.Contains(parts[0].Reason, "waits for the API server") {
			t.Errorf("status: %+v", parts)
		}
		fake.fail(nil)
		fake.remove("uid-web", false)
		fake.set(pod("db"), false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := e.Store.GetKubernetesPod("uid-db"); err != nil {
			t.Error("a new pod is not there: ", err)
		}
		if _, err := e.Store.GetKubernetesPod("uid-web"); err == nil {
			t.Error("the pod that went meanwhile is there")
		}
	})
}

func dialer(l *bufconn.Listener) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return l.DialContext(ctx) }
}
