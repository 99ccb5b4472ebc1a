package realnode_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/test/realnode"
)

func TestPodmanKeepsContainersOverKillAndRestart(t *testing.T) {
	realnode.Require(t)
	p := realnode.StartPodman(t)
	image := p.ImportImage("localhost/web:1", "LABEL team=blue", `ENV DD_ENV="a b"`)
	id := p.Run("--label", "tier=front", "localhost/web:1", "sleep", "1000")
	got := p.Podman("inspect", "--format",
		`{{.Id}} {{.State.Running}} {{.Config.Labels.team}} {{.Config.Labels.tier}} {{json .Config.Env}}`, id)
	if want := id + ` true blue front [`; len(id) != 64 || !strings.HasPrefix(got, want) ||
		!strings.Contains(got, `"DD_ENV=a b"`) {
		t.Fatalf("inspect = %s, want it to start with %s", got, want)
	}
	if !strings.HasPrefix(image, "sha256:") || len(image) != 71 {
		t.Errorf("image = %q", image)
	}
	old := p.Pid()
	p.Kill()
	if err := syscall.Kill(old, 0); err != syscall.ESRCH || p.Pid() != 0 {
		t.Fatalf("after Kill: signal 0 to %d gives %v, Pid() = %d; want ESRCH and 0", old, err,
			p.Pid())
	}
	if got := p.Podman("inspect", "--format", "{{.State.Status}}", id); got != "running" {
		t.Errorf("without a service the container is %s", got)
	}
	p.Restart()
	if got := p.Podman("ps", "-q", "--no-trunc"); got != id {
		t.Fatalf("containers after Restart = %q, want %q", got, id)
	}
	p.RemoveContainers()
	p.RemoveContainers() // of none
	if got := p.Podman("ps", "-aq"); got != "" {
		t.Fatalf("containers = %q, want none", got)
	}
}

// Two users have nothing in common.
func TestPodmanInstancesAreSeparate(t *testing.T) {
	realnode.Require(t)
	one, two := realnode.StartPodman(t), realnode.StartPodman(t)
	one.ImportImage("localhost/web:1")
	one.Run("--name", "web", "localhost/web:1", "sleep", "1000")
	if got := two.Podman("ps", "-aq") + two.Podman("images", "-q"); got != "" {
		t.Errorf("the other has %s", got)
	}
}

func TestPodmanCloseLeavesNothing(t *testing.T) {
	realnode.Require(t)
	for name, end := range map[string]func(*realnode.Podman){
		"running": func(*realnode.Podman) {},
		"frozen":  func(p *realnode.Podman) { p.Freeze() },
		"killed":  func(p *realnode.Podman) { p.Kill() },
		"abandoned container": func(p *realnode.Podman) {
			// Its monitor is gone, so that nobody of the instance is its parent.
			conmon := p.Podman("inspect", "--format", "{{.State.ConmonPid}}", "web")
			kill(t, conmon)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := realnode.StartPodmanDir("")
			if err != nil {
				t.Fatal(err)
			}
			bound := p.For(t)
			bound.ImportImage("localhost/web:1")
			id := bound.Run("--name", "web", "localhost/web:1", "sleep", "1000")
			bound.Podman("pod", "create", "--name", "pod", "--network", "none", "--infra-image",
				"localhost/web:1", "--infra-command", "sleep 1000")
			bound.Podman("run", "-d", "--pod", "pod", "localhost/web:1", "sleep", "1000")
			end(bound)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			// What was killed is reaped by others.
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
				left := remains(t, p.Root, "libpod-"+id)
				if len(left) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("left over:\n%s", strings.Join(left, "\n"))
				}
			}
		})
	}
}

// Podman leaves control groups behind when many containers end at once. Here one is made where it
// would be.
func TestPodmanCloseRemovesGroupsOfContainersThatAreGone(t *testing.T) {
	realnode.Require(t)
	p, err := realnode.StartPodmanDir("")
	if err != nil {
		t.Fatal(err)
	}
	bound := p.For(t)
	bound.ImportImage("localhost/web:1")
	id := bound.Run("localhost/web:1", "sleep", "1000")
	var groups []string
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} { // version 2 and version 1
		found, _ := filepath.Glob(filepath.Join(root, "libpod_parent", "libpod-"+id))
		groups = append(groups, found...)
	}
	if len(groups) == 0 {
		t.Fatalf("no control group of %s", id)
	}
	group := groups[0]
	bound.Podman("rm", "--force", "--time", "0", id)
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(group); err == nil {
		t.Errorf("%s is left over", group)
	}
}

func kill(t *testing.T, pids string) {
	t.Helper()
	for _, pid := range strings.Fields(pids) {
		if err := syscall.Kill(atoi(t, pid), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
