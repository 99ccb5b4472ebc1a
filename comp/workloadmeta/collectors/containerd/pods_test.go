package containerd

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/rollcall-dev/rollcall/test/realnode"
)

// pods starts pods the way a kubelet does, through the CRI plugin of a real containerd.
type pods struct {
	t       *testing.T
	runtime cri.RuntimeServiceClient
}

// startPods prepares a containerd for pods.
func startPods(t *testing.T, c *realnode.Containerd) *pods {
	t.Helper()
	c.ImportImage("k8s.io", realnode.PauseImage, "sleep", "1000000")
	// A pair of devices goes with the pod's network, where a bridge would stay on the machine.
	network := fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": false, "ipam": {
		"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.251.7.0/24"}], [{"subnet": "fd00:251:7::/64"}]]}}]}`, c.Root+"/ipam")
	if err := os.WriteFile(c.Root+"/cni/10-pods.conflist", []byte(network), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+c.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // the test has ended
	p := &pods{t: t, runtime: cri.NewRuntimeServiceClient(conn)}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		status := must(t, func(ctx context.Context) (*cri.StatusResponse, error) {
			return p.runtime.Status(ctx, &cri.StatusRequest{})
		})
		ready := true
		for _, condition := range status.Status.Conditions {
			ready = ready && condition.Status
		}
		if ready {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("the CRI plugin is not ready: %v", status)
		}
	}
}

func must[T any](t *testing.T, ask func(context.Context) (T, error)) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := ask(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// sandbox starts a pod's sandbox. network is that of the pod: cri.NamespaceMode_NODE or _POD.
func (p *pods) sandbox(name, uid string, network cri.NamespaceMode, change func(*cri.PodSandboxConfig)) (string, *cri.PodSandboxConfig) {
	p.t.Helper()
	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Uid: uid, Namespace: "shop"},
		Hostname: name,
		Labels: map[string]string{
			"app": "cart", "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": uid,
		},
		Annotations: map[string]string{
			"kubernetes.io/config.source":                      "api",
			"kubectl.kubernetes.io/last-applied-configuration": `{"spec":{"containers":[{"env":[{"name":"DB_PASSWORD","value":"hunter2"}]}]}}`,
		},
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: network, Pid: cri.NamespaceMode_CONTAINER},
		}},
	}
	if network == cri.NamespaceMode_NODE {
		config.Hostname = "" // the machine's
	}
	if change != nil {
		change(config)
	}
	answer := must(p.t, func(ctx context.Context) (*cri.RunPodSandboxResponse, error) {
		return p.runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	})
	return answer.PodSandboxId, config
}

// create makes a container of a pod.
func (p *pods) create(sandbox string, pod *cri.PodSandboxConfig, name, image string, change func(*cri.ContainerConfig), command ...string) string {
	p.t.Helper()
	config := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name},
		Image:    &cri.ImageSpec{Image: image},
		Command:  command,
		Envs:     []*cri.KeyValue{{Key: "DD_SERVICE", Value: []byte("shop")}, {Key: "DB_PASSWORD", Value: []byte("hunter2")}},
		Labels: map[string]string{
			"io.kubernetes.container.name": name, "io.kubernetes.pod.name": pod.Metadata.Name,
			"io.kubernetes.pod.namespace": pod.Metadata.Namespace, "io.kubernetes.pod.uid": pod.Metadata.Uid,
		},
		Annotations: map[string]string{
			"io.kubernetes.container.hash":         "bc06",
			"io.kubernetes.container.restartCount": "2",
			"io.kubernetes.container.ports":        `[{"name":"http","containerPort":8080,"protocol":"TCP"},{"name":"dns","hostPort":5353,"containerPort":53,"protocol":"UDP"}]`,
		},
		Linux: &cri.LinuxContainerConfig{
			Resources: &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 256, MemoryLimitInBytes: 128 << 20},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: pod.Linux.SecurityContext.NamespaceOptions,
				Capabilities:     &cri.Capability{AddCapabilities: []string{"NET_BIND_SERVICE"}, DropCapabilities: []string{"ALL"}},
				ReadonlyRootfs:   true, NoNewPrivs: true,
				Seccomp: &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
			},
		},
	}
	if change != nil {
		change(config)
	}
	answer := must(p.t, func(ctx context.Context) (*cri.CreateContainerResponse, error) {
		return p.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: sandbox, Config: config, SandboxConfig: pod})
	})
	return answer.ContainerId
}

func (p *pods) start(id string) {
	p.t.Helper()
	must(p.t, func(ctx context.Context) (*cri.StartContainerResponse, error) {
		return p.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: id})
	})
}

// exec runs a probe, as a kubelet does.
func (p *pods) exec(id string, command ...string) {
	p.t.Helper()
	must(p.t, func(ctx context.Context) (*cri.ExecSyncResponse, error) {
		return p.runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: command})
	})
}

func (p *pods) status(id string) *cri.ContainerStatus {
	p.t.Helper()
	return must(p.t, func(ctx context.Context) (*cri.ContainerStatusResponse, error) {
		return p.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
	}).Status
}

func (p *pods) remove(id string) {
	p.t.Helper()
	must(p.t, func(ctx context.Context) (*cri.RemoveContainerResponse, error) {
		return p.runtime.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: id})
	})
}
