package realnode_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/test/realnode"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestCRIRunsPods(t *testing.T) {
	realnode.Require(t)
	c := realnode.StartContainerd(t)
	c.ImportImage("k8s.io", "example.test/web:1", "sleep", "1000")
	kubelet := c.CRI(t)
	onHost := kubelet.RunPod("host", nil)
	web := onHost.Run("web", "example.test/web:1", nil)
	if got := kubelet.Exec(web, "echo", "hello"); got != "hello\n" {
		t.Errorf("exec printed %q", got)
	}
	kubelet.UseNetwork()
	own := kubelet.RunPod("own", func(p *runtimeapi.PodSandboxConfig) {
		p.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_POD
	})
	failed := own.Run("failed", "example.test/web:1", nil, "sh", "-c", "exit 3")
	if status := kubelet.AwaitExit(failed); status.ExitCode != 3 {
		t.Errorf("exit code = %d", status.ExitCode)
	}
	answer, err := kubelet.Runtime.PodSandboxStatus(t.Context(),
		&runtimeapi.PodSandboxStatusRequest{PodSandboxId: own.ID})
	if err != nil || !strings.HasPrefix(answer.Status.Network.Ip, "10.231.") {
		t.Errorf("address of the pod = %v, %v", answer, err)
	}
	kubelet.Kill(web)
	kubelet.Remove(web)
	onHost.Remove()
	list, err := kubelet.Runtime.ListContainers(t.Context(), &runtimeapi.ListContainersRequest{})
	if err != nil || len(list.Containers) != 1 {
		t.Errorf("containers = %v, %v", list, err)
	}
	// The other pod is left to Close, which says if something of it stays.
}
