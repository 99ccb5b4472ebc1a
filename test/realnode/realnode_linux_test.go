package realnode_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/test/realnode"
	"go.uber.org/goleak"
)

var node realnode.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(node.Around(m)) }

func TestDockerdKeepsStateOverKillAndRestart(t *testing.T) {
	realnode.Require(t)
	d := realnode.StartDockerd(t)
	d.ImportImage("web:1", "LABEL team=blue", `ENV DD_ENV="a b"`)
	id := d.Run("--label", "tier=front", "web:1", "sleep", "1000")

	got := d.Docker("inspect", "--format",
		`{{.Id}} {{.State.Running}} {{.Config.Labels.team}} {{.Config.Labels.tier}} {{json .Config.Env}}`, id)
	if want := id + ` true blue front ["DD_ENV=a b"`; len(id) != 64 ||
		!strings.HasPrefix(got, want) {
		t.Fatalf("inspect = %s, want it to start with %s", got, want)
	}

	old := d.Pid()
	d.Kill()
	if err := syscall.Kill(old, 0); err != syscall.ESRCH || d.Pid() != 0 {
		t.Fatalf("after Kill: signal 0 to %d gives %v, Pid() = %d; want ESRCH and 0", old, err,
			d.Pid())
	}
	if _, _, err := d.TryDocker("ps"); err == nil {
		t.Fatal("docker ps succeeded after Kill")
	}
	d.Restart()
	if d.Pid() == 0 || d.Pid() == old {
		t.Fatalf("Pid() after Restart = %d, before = %d", d.Pid(), old)
	}
	if got := d.Docker("ps", "-aq", "--no-trunc"); got != id {
		t.Fatalf("containers after Restart = %q, want %q", got, id)
	}

	d.Stop()
	if _, err := os.Stat(d.Socket); !os.IsNotExist(err) {
		t.Fatalf("socket after Stop: %v, want it gone", err)
	}
	d.Restart()
	d.Restart() // of one that runs
	d.Docker("start", id)
}

func TestLiveRestoreKeepsContainersRunning(t *testing.T) {
	realnode.Require(t)
	d := realnode.StartDockerd(t, realnode.LiveRestore())
	d.ImportImage("web:1")
	id := d.Run("web:1", "sleep", "1000")
	before := d.Docker("inspect", "--format", "{{.State.Pid}}", id)
	d.Kill()
	d.Restart()
	if after := d.Docker("inspect", "--format", "{{.State.Pid}} {{.State.Running}}",
		id); after != before+" true" {
		t.Fatalf("pid and running after Restart = %s, want %s true", after, before)
	}
}

func TestFrozenDaemonAnswersAfterThaw(t *testing.T) {
	d := node.Dockerd(t)
	d.Freeze()
	answer := make(chan error, 1)
	go func() {
		_, _, err := d.TryDocker("version")
		answer <- err
	}()
	select {
	case err := <-answer:
		t.Fatalf("a frozen dockerd answered: %v", err)
	// that real daemons stay silent can only be seen by waiting
	case <-time.After(500 * time.Millisecond):
	}
	d.Thaw()
	if err := <-answer; err != nil {
		t.Fatalf("after Thaw: %v", err)
	}
}

func TestRemoveContainersLeavesTheSharedDaemonEmpty(t *testing.T) {
	d := node.Dockerd(t)
	d.ImportImage("web:1")
	d.Run("web:1", "sleep", "1000")
	d.RemoveContainers()
	d.RemoveContainers() // of none
	if got := d.Docker("ps", "-aq"); got != "" {
		t.Fatalf("containers = %q, want none", got)
	}
}

func TestContainerdRunsTasks(t *testing.T) {
	realnode.Require(t)
	c := realnode.StartContainerd(t)
	c.ImportImage("default", "example.test/web:1", "sleep", "1000")
	c.Run("default", "example.test/web:1", "web-1")
	if got := c.Ctr("default", "tasks", "ls"); !strings.Contains(got, "web-1") ||
		!strings.Contains(got, "RUNNING") {
		t.Fatalf("tasks = %s, want web-1 RUNNING", got)
	}
	c.Kill()
	c.Restart()
	if got := c.Ctr("default", "tasks", "ls"); !strings.Contains(got, "RUNNING") {
		t.Fatalf("tasks after Restart = %s, want web-1 RUNNING", got)
	}
	if got := c.Ctr("default", "plugins", "ls", "id==cri"); !strings.Contains(got, "ok") {
		t.Fatalf("CRI plugin = %s, want ok", got)
	}
}

// TestTasksOfOtherClientsLeaveNothing covers a client that leaves runc's state in the folder that
// all share.
func TestTasksOfOtherClientsLeaveNothing(t *testing.T) {
	realnode.Require(t)
	for range 2 {
		c, err := realnode.StartContainerdDir("")
		if err != nil {
			t.Fatal(err)
		}
		bound := c.For(t)
		bound.ImportImage("default", "example.test/web:1", "sleep", "1000")
		bound.Ctr("default", "run", "--detach", "--null-io", "example.test/web:1", "realnode-other")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	realnode.Require(t)
	for _, tc := range []struct {
		name string
		end  func(*realnode.Dockerd)
	}{
		{"running", func(*realnode.Dockerd) {}},
		{"frozen", func(d *realnode.Dockerd) { d.Freeze() }},
		{"dockerd killed", func(d *realnode.Dockerd) { d.Kill() }},
		{"both killed", func(d *realnode.Dockerd) { d.Kill(); d.Containerd.Kill() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sockets := shimSockets(t)
			d, err := realnode.StartDockerdDir("")
			if err != nil {
				t.Fatal(err)
			}
			bound := d.For(t)
			bound.ImportImage("web:1")
			// The inner shell ignores SIGTERM, and its child is in a session of its own.
			id := bound.Run("web:1", "sh", "-c",
				"trap '' TERM; busybox setsid sleep 1000 & while :; do sleep 1; done")
			if left := remains(t, d.Root, id); len(left) < 5 {
				t.Fatalf("before Close: %q; the check would not see what is left", left)
			}
			tc.end(bound)
			if err := d.Close(); err != nil {
				t.Fatalf("Close() = %v", err)
			}
			if left := remains(t, d.Root, id); len(left) > 0 {
				t.Errorf("after Close:\n%s", strings.Join(left, "\n"))
			}
			if after := shimSockets(t); after > sockets {
				t.Errorf("%d sockets of shims, %d before", after, sockets)
			}
		})
	}
}

func TestStartErrorCarriesTheLog(t *testing.T) {
	realnode.Require(t)
	d, err := realnode.StartDockerdDir("", realnode.DockerdFlags("--storage-driver=nonesuch"))
	if err == nil {
		t.Fatalf("started with an unknown storage driver: %v", d.Close())
	}
	if text := err.Error(); !strings.Contains(text, "start dockerd") ||
		!strings.Contains(text, "nonesuch") {
		t.Errorf("error = %v, want what was attempted and the log's end", err)
	}
}

func TestFolderWithLongPathIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := realnode.StartContainerdDir(dir); err == nil ||
		!strings.Contains(err.Error(), "107") {
		t.Fatalf("error = %v, want one that names the limit", err)
	}
}

// TestKilledTestProcess kills a test process that holds a dockerd with a container. Its daemons
// must die, and the next process must remove the rest.
func TestKilledTestProcess(t *testing.T) {
	realnode.Require(t)
	if os.Getenv("REALNODE_TEST_VICTIM") != "" {
		d := realnode.StartDockerd(t)
		d.ImportImage("web:1")
		fmt.Printf("VICTIM %s %s\n", d.Root, d.Run("web:1", "sleep", "1000"))
		select {}
	}
	victim := exec.Command(os.Args[0], "-test.run=^TestKilledTestProcess$")
	victim.Env = append(os.Environ(), "REALNODE_TEST_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var root, id string
	if _, err := fmt.Fscanf(out, "VICTIM %s %s\n", &root, &id); err != nil {
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
	if left := remains(t, root, id); len(left) > 0 {
		t.Errorf("after the next process:\n%s", strings.Join(left, "\n"))
	}
}

// remains lists what there is of an instance: processes of its daemons and container, mounts,
// control groups, files.
func remains(t *testing.T, root, container string) []string {
	t.Helper()
	var found []string
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		command, _ := os.ReadFile(process + "/cmdline")
		groups, _ := os.ReadFile(process + "/cgroup")
		if len(command) == 0 {
			continue // a zombie, which is its parent's to reap
		}
		if strings.Contains(string(command), root) || strings.Contains(string(groups), container) {
			found = append(found, process+" "+strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, root) {
			found = append(found, "mount "+line)
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == container {
			found = append(found, "group "+path)
		}
		return nil
	})
	if _, err := os.Stat(root); err == nil {
		found = append(found, "folder "+root)
	}
	return found
}

func shimSockets(t *testing.T) int {
	t.Helper()
	sockets, err := filepath.Glob("/run/containerd/s/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(sockets)
}
