package containerd

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/realnode"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// counter counts requests to a real containerd.
type counter struct {
	mu    sync.Mutex // guards calls
	calls map[string]int
}

func (c *counter) count(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	service := path.Base(path.Dir(method))
	c.calls[service[strings.LastIndexByte(service, '.')+1:]+"/"+path.Base(method)]++
}

// asked returns how often each method was called, and begins again.
func (c *counter) asked() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.calls
	c.calls = map[string]int{}
	return out
}

func (c *counter) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, in, out any,
			conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			c.count(method)
			return invoke(ctx, method, in, out, conn, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc,
			conn *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (
			grpc.ClientStream, error) {
			c.count(method)
			return stream(ctx, desc, conn, method, opts...)
		}),
	}
}

// Pods on a real containerd, made as a kubelet makes them, and how often it was asked.
func TestRealPodsAndRequests(t *testing.T) {
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	kubelet := n.CRI(t)
	kubelet.UseNetwork()
	for _, ns := range []string{"default", "k8s.io"} {
		n.ImportImage(ns, cart, "sleep", "1000")
	}
	const containers = 10
	for i := range containers {
		n.Run("default", cart, fmt.Sprint("c", i), "sleep", "1000")
	}
	pod := kubelet.RunPod("cart-0", func(c *cri.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_POD
	})
	first := pod.Run("first", cart, ofPod)

	requests := &counter{calls: map[string]int{}}
	c := newCollector(t, nil, func(o *Options) {
		o.Address, o.ProcRoot = n.Socket, "/proc"
		o.dialOptions = requests.options()
	})
	w := collectortest.NewWorld()
	start(t, c, w)
	if got := w.Count(workloadmeta.KindContainer); got != containers+1 {
		t.Errorf("%d containers", got)
	}
	got := requests.asked()
	// Two namespaces, and two images of a manifest and a configuration each: nothing for each
	// container.
	want := map[string]int{
		"Version/Version": 1, "Events/Subscribe": 1, "Namespaces/List": 1,
		"Containers/ListStream": 2, "Tasks/List": 2, "Images/List": 2, "Content/Read": 4,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("at the start it was asked %v, want %v", got, want)
	}
	main := w.Container(first)
	if main.Name != "first" || main.Hostname != "cart-0" || main.NetworkIPs["pod"] == "" ||
		main.NetworkIPv6s["pod"] == "" ||
		main.Owner == nil || main.Owner.ID != pod.Config.Metadata.Uid || len(main.Ports) != 2 ||
		main.Image.Tag != "1.2" || main.RestartCount != 2 || main.PID == 0 {
		t.Errorf("first = %#v", main)
	}
	if w.Container(pod.ID) != nil {
		t.Error("the sandbox is reported")
	}

	// Probes cost nothing and are nobody's end.
	told := w.History(first)
	for range 20 {
		kubelet.Exec(first, "true")
	}
	eventually(t, func() string {
		if got := c.Stats().Events["/tasks/exit"]; got < 20 {
			return fmt.Sprint(got, " ends of probes")
		}
		return ""
	})
	if got := requests.asked(); len(got) != 0 || w.History(first) != told {
		t.Errorf("20 probes cost %v, and told %s after %s", got, w.History(first), told)
	}

	// One more container: what was asked, in whatever number of looks, does not depend on how many
	// there are.
	second := pod.Run("second", cart, ofPod, "sh", "-c",
		"while [ ! -e /dev/seen ]; do sleep 0.05; done; exit 4")
	await(t, w, second, "start", func(c *workloadmeta.Container) bool {
		return c.State.Running && c.Hostname == "cart-0" &&
			c.NetworkIPs["pod"] == main.NetworkIPs["pod"]
	})
	kubelet.Exec(second, "sh", "-c", "echo > /dev/seen")
	await(t, w, second, "its end; it is kept", func(c *workloadmeta.Container) bool {
		return c.State.Status == workloadmeta.StatusStopped && c.State.ExitCode != nil &&
			*c.State.ExitCode == 4 && !c.State.FinishedAt.IsZero() && c.PID == 0
	})
	got = requests.asked()
	if got["Containers/Get"] > 4 || got["Tasks/Get"] > 4 || len(got) > 2 {
		t.Errorf("a life cost %v", got)
	}
	kubelet.Remove(second)
	awaitEnd(t, w, second, 4)
	if w.History(pod.ID) != "" {
		t.Error("the sandbox was reported")
	}
}
