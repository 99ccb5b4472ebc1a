package realnode

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Labels of the kubelet's.
const (
	labelPodName       = "io.kubernetes.pod.name"
	labelPodNamespace  = "io.kubernetes.pod.namespace"
	labelPodUID        = "io.kubernetes.pod.uid"
	labelContainerName = "io.kubernetes.container.name"
)

// CRI is a client of a containerd's CRI plugin that does what a kubelet does. A method that returns
// no error fails the test.
type CRI struct {
	Runtime runtimeapi.RuntimeServiceClient
	Images  runtimeapi.ImageServiceClient

	c  *Containerd
	tb testing.TB
}

// Pod is a pod's sandbox.
type Pod struct {
	ID     string
	Config *runtimeapi.PodSandboxConfig

	cri *CRI
}

// CRI returns a client, with the pause image in place. It is closed at the test's end, together
// with all pods.
func (c *Containerd) CRI(t testing.TB) *CRI {
	t.Helper()
	client, conn, err := dialCRI(c.Socket)
	if err != nil {
		t.Fatalf("realnode: %v", err)
	}
	r := &CRI{Runtime: client, Images: runtimeapi.NewImageServiceClient(conn), c: c, tb: t}
	c.For(t).ImportImage("k8s.io", PauseImage, "sleep", "9999999") // another image than the tests'
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		removePods(ctx, client)
		if err := conn.Close(); err != nil {
			t.Errorf("realnode: close the connection to the CRI: %v", err)
		}
	})
	return r
}

// ImportImage makes an image with busybox in it whose configuration has extra in it (see the OCI
// image specification).
func (r *CRI) ImportImage(name string, extra map[string]any) {
	r.tb.Helper()
	archive, err := imageArchiveWith(name, []string{"sleep", "1000000"}, extra)
	if err == nil {
		_, _, err = r.c.ctr(archive, "k8s.io", "images", "import", "--snapshotter", "overlayfs",
			"-")
	}
	if err != nil {
		r.tb.Fatalf("realnode: import image %s: %v", name, err)
	}
}

func dialCRI(socket string) (runtimeapi.RuntimeServiceClient, *grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///cri",
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}),
		// A daemon that was restarted is there again at once.
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the CRI: %w", err)
	}
	return runtimeapi.NewRuntimeServiceClient(conn), conn, nil
}

// removePods removes all pods as far as the daemon answers. What it leaves behind is for Close.
func removePods(ctx context.Context, client runtimeapi.RuntimeServiceClient) {
	list, err := client.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return
	}
	for _, pod := range list.Items {
		_, err := client.StopPodSandbox(ctx,
			&runtimeapi.StopPodSandboxRequest{PodSandboxId: pod.Id})
		if err == nil {
			_, _ = client.RemovePodSandbox(ctx,
				&runtimeapi.RemovePodSandboxRequest{PodSandboxId: pod.Id})
		}
	}
}

func cri[Q, A any](r *CRI, do func(context.Context, Q, ...grpc.CallOption) (A, error),
	question Q) A {
	r.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	for {
		answer, err := do(ctx, question)
		switch {
		case err == nil:
			return answer
		case strings.Contains(err.Error(), "server is not initialized yet") && ctx.Err() == nil:
			time.Sleep(20 * time.Millisecond) // after a start the plugin is the last to be ready
		default:
			r.tb.Fatalf("realnode: CRI %T: %v", question, err)
		}
	}
}

// UseNetwork gives pods that do not use the machine's network addresses of their own, an IPv4 and
// an IPv6 one. They cannot reach anything but the machine.
func (r *CRI) UseNetwork() {
	r.tb.Helper()
	if err := writeNetwork(r.c.Root); err != nil {
		r.tb.Fatalf("realnode: %v", err)
	}
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(20 * time.Millisecond) {
		status := cri(r, r.Runtime.Status, &runtimeapi.StatusRequest{}).GetStatus()
		for _, condition := range status.GetConditions() {
			if condition.Type == runtimeapi.NetworkReady && condition.Status {
				return
			}
		}
		if time.Now().After(deadline) {
			r.tb.Fatalf("realnode: the network is not ready: %v", status)
		}
	}
}

// writeNetwork tells the CNI which network the pods of an instance get. Each instance has its own.
func writeNetwork(root string) error {
	part := crc32.ChecksumIEEE([]byte(root)) % 250
	config := fmt.Sprintf(`{"cniVersion": "0.4.0", "name": %q, "plugins": [{
  "type": "ptp", "ipMasq": false,
  "ipam": {"type": "host-local", "dataDir": %q, "ranges": [
    [{"subnet": "10.231.%d.0/24"}], [{"subnet": "fd00:231:%x::/64"}]
  ]}
}]}`, groupName(root), filepath.Join(root, "cni-data"), part, part)
	if err := os.WriteFile(filepath.Join(root, "cni", "10-realnode.conflist"), []byte(config),
		0o600); err != nil {
		return fmt.Errorf("configure the network: %w", err)
	}
	return nil
}

// RunPod starts a pod in namespace "default" with the machine's network, and with the kubelet's
// labels. change may be nil.
func (r *CRI) RunPod(name string, change func(*runtimeapi.PodSandboxConfig)) *Pod {
	r.tb.Helper()
	uid := "uid-of-" + name
	config := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Uid: uid, Namespace: "default"},
		LogDirectory: filepath.Join(r.c.Root, "pods", name),
		Labels: map[string]string{labelPodName: name, labelPodNamespace: "default",
			labelPodUID: uid},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{
					Network: runtimeapi.NamespaceMode_NODE},
			}},
	}
	if change != nil {
		change(config)
	}
	if config.Linux.SecurityContext.NamespaceOptions.Network != runtimeapi.NamespaceMode_NODE &&
		config.Hostname == "" {
		config.Hostname = name // with the machine's network a pod has the machine's name
	}
	id := cri(r, r.Runtime.RunPodSandbox,
		&runtimeapi.RunPodSandboxRequest{Config: config}).PodSandboxId
	return &Pod{ID: id, Config: config, cri: r}
}

// Create makes a container, with the kubelet's labels, and returns its ID. change may be nil.
func (p *Pod) Create(name, image string, change func(*runtimeapi.ContainerConfig),
	command ...string) string {
	r := p.cri
	r.tb.Helper()
	config := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: image},
		Command:  command,
		LogPath:  name + ".log",
		Labels: map[string]string{
			labelPodName: p.Config.Metadata.Name, labelPodNamespace: p.Config.Metadata.Namespace,
			labelPodUID:        p.Config.Metadata.Uid,
			labelContainerName: name,
		},
		Annotations: map[string]string{"io.kubernetes.container.restartCount": "0"},
		Linux: &runtimeapi.LinuxContainerConfig{
			SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
				NamespaceOptions: p.Config.Linux.SecurityContext.NamespaceOptions,
			}},
	}
	if change != nil {
		change(config)
	}
	return cri(r, r.Runtime.CreateContainer,
		&runtimeapi.CreateContainerRequest{PodSandboxId: p.ID, Config: config,
			SandboxConfig: p.Config}).ContainerId
}

// Run is Create and Start.
func (p *Pod) Run(name, image string, change func(*runtimeapi.ContainerConfig),
	command ...string) string {
	p.cri.tb.Helper()
	id := p.Create(name, image, change, command...)
	p.cri.Start(id)
	return id
}

// Stop ends the pod's containers and its sandbox.
func (p *Pod) Stop() {
	p.cri.tb.Helper()
	cri(p.cri, p.cri.Runtime.StopPodSandbox, &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.ID})
}

// Remove is Stop, after which the runtime forgets the pod and its containers.
func (p *Pod) Remove() {
	p.cri.tb.Helper()
	p.Stop()
	cri(p.cri, p.cri.Runtime.RemovePodSandbox,
		&runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.ID})
}

// Start starts a container that was created.
func (r *CRI) Start(id string) {
	r.tb.Helper()
	cri(r, r.Runtime.StartContainer, &runtimeapi.StartContainerRequest{ContainerId: id})
}

// Kill ends a container with SIGKILL.
func (r *CRI) Kill(id string) {
	r.tb.Helper()
	cri(r, r.Runtime.StopContainer, &runtimeapi.StopContainerRequest{ContainerId: id})
}

// Remove kills a container if it runs, and has the runtime forget it.
func (r *CRI) Remove(id string) {
	r.tb.Helper()
	cri(r, r.Runtime.RemoveContainer, &runtimeapi.RemoveContainerRequest{ContainerId: id})
}

// Exec runs a command in a container and returns what it printed.
func (r *CRI) Exec(id string, command ...string) string {
	r.tb.Helper()
	answer := cri(r, r.Runtime.ExecSync,
		&runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 30})
	if answer.ExitCode != 0 {
		r.tb.Fatalf("realnode: %q in container %s exits with %d: %s", command, id, answer.ExitCode,
			answer.Stderr)
	}
	return string(answer.Stdout)
}

// Status returns a container's status.
func (r *CRI) Status(id string) *runtimeapi.ContainerStatus {
	r.tb.Helper()
	return cri(r, r.Runtime.ContainerStatus,
		&runtimeapi.ContainerStatusRequest{ContainerId: id}).Status
}

// AwaitExit waits until a container has ended.
func (r *CRI) AwaitExit(id string) *runtimeapi.ContainerStatus {
	r.tb.Helper()
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(20 * time.Millisecond) {
		status := r.Status(id)
		if status.State == runtimeapi.ContainerState_CONTAINER_EXITED {
			return status
		}
		if time.Now().After(deadline) {
			r.tb.Fatalf("realnode: container %s has not ended: %v", id, status.State)
		}
	}
}

// OOM says why no container can be made to run out of memory here, or returns nil.
func OOM() error {
	for _, path := range []string{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
		"/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/cgroup.controllers"} {
		content, err := os.ReadFile(path)
		if err == nil &&
			(filepath.Base(path) != "cgroup.controllers" ||
				strings.Contains(string(content), "memory")) {
			return nil
		}
	}
	return errors.New("this machine has no cgroup controller for memory")
}
