package realnode_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/test/realnode"
)

const staticPod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "left-alone"},
"spec": {"containers": [{"name": "web", "image": "example.test/web:1", "imagePullPolicy": "Never"}]}}`

// startWithPod starts a node on which a pod runs.
func startWithPod(t *testing.T) *realnode.Kube {
	t.Helper()
	k, err := realnode.StartKubeDir("")
	if err != nil {
		t.Fatal(err)
	}
	containerd := k.Containerd.For(t)
	containerd.ImportImage("k8s.io", "example.test/web:1", "sleep", "100000")
	if err := os.WriteFile(filepath.Join(k.StaticPods, "pod.json"), []byte(staticPod),
		0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		tasks := containerd.Ctr("k8s.io", "task", "ls")
		if strings.Count(tasks, "RUNNING") == 2 { // the container and the sandbox
			return k
		}
		if time.Now().After(deadline) {
			t.Fatalf("the pod does not run: %s", tasks)
		}
	}
}

// kubeletsMarks returns what a kubelet changes on a machine outside of its folder.
func kubeletsMarks(t *testing.T) map[string]string {
	t.Helper()
	marks := map[string]string{}
	for _, path := range []string{"/var/lib/kubelet", "/var/log/containers", "/var/log/pods",
		"/run/nri"} {
		_, err := os.Stat(path)
		marks[path] = fmt.Sprint(err)
	}
	for _, setting := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic",
		"kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		content, err := os.ReadFile("/proc/sys/" + setting)
		marks[setting] = fmt.Sprint(string(content), err)
	}
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		out, _ := exec.Command("/usr/sbin/" + program).Output() // may be missing
		marks[program] = fmt.Sprint(strings.Count(string(out), "KUBE-"))
	}
	return marks
}

// kubeRemains is remains for a node.
func kubeRemains(t *testing.T, root string) []string {
	t.Helper()
	group := "rollcall-" + filepath.Base(root)
	found := remains(t, root, group)
	results, err := filepath.Glob("/var/lib/cni/results/" + group + "-*")
	if err != nil {
		t.Fatal(err)
	}
	return append(found, results...)
}

func TestKubeLeavesNothing(t *testing.T) {
	realnode.RequireKube(t)
	before := kubeletsMarks(t)
	k := startWithPod(t)
	if left := kubeRemains(t, k.Root); len(left) < 10 {
		t.Errorf("before Close: %q; the check would not see what is left", left)
	}
	if during := kubeletsMarks(t); !maps.Equal(during, before) {
		t.Errorf("a kubelet that runs changes the machine:\n%v, before\n%v", during, before)
	}
	if err := k.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if left := kubeRemains(t, k.Root); len(left) > 0 {
		t.Errorf("after Close:\n%s", strings.Join(left, "\n"))
	}
}

// TestKubeOfKilledTestProcess is TestKilledTestProcess for a node.
func TestKubeOfKilledTestProcess(t *testing.T) {
	realnode.RequireKube(t)
	if os.Getenv("REALNODE_TEST_VICTIM") != "" {
		fmt.Printf("VICTIM %s\n", startWithPod(t).Root)
		select {}
	}
	victim := exec.Command(os.Args[0], "-test.run=^TestKubeOfKilledTestProcess$")
	victim.Env = append(os.Environ(), "REALNODE_TEST_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var root string
	if _, err := fmt.Fscanf(out, "VICTIM %s\n", &root); err != nil {
		t.Fatal(err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()

	next := exec.Command(os.Args[0], "-test.run=^TestContainerdRunsTasks$")
	if out, err := next.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left := kubeRemains(t, root); len(left) > 0 {
		t.Errorf("after the next process:\n%s", strings.Join(left, "\n"))
	}
}
