package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/test/realnode"
)

// nobody is a user and a group that own nothing.
const nobody = 65534

// asNobody makes a command run as a user who may open no daemon's socket. The link leads to the
// program whoever may look into its folder.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	cmd.Path, cmd.Dir = "/proc/self/exe", "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// The sockets of real daemons, which are root's: an ordinary user is told of each what is forbidden
// and how to mend that, and a rollcall that runs already finds the containers once the sockets are
// opened to it.
func TestPermissionDeniedByRealDaemons(t *testing.T) {
	realnode.Require(t)
	docker, podman := realnode.StartDockerd(t), realnode.StartPodman(t)
	docker.ImportImage("example.test/web:1")
	podman.ImportImage("example.test/web:1")
	docker.Containerd.ImportImage("shop", "example.test/web:1", "sleep", "600")
	docker.Containerd.ImportImage("k8s.io", "example.test/web:1", "sleep", "600")
	docker.Containerd.Run("shop", "--snapshotter", "overlayfs", "example.test/web:1",
		"by-containerd")
	names := []string{
		strings.TrimSpace(docker.Run("example.test/web:1", "sleep", "600")),
		strings.TrimSpace(podman.Run("example.test/web:1", "sleep", "600")),
		"by-containerd", docker.Containerd.CRI(t).RunPod("shop-0", nil).Run("web",
			"example.test/web:1", nil),
	}

	// Under a name that does not say whose it is, so that the CRI is asked as well.
	cri := filepath.Join(docker.Root, "cri.sock")
	if err := os.Symlink(docker.Containerd.Socket, cri); err != nil {
		t.Fatal(err)
	}
	sockets := map[string]string{"docker": docker.Socket, "containerd": docker.Containerd.Socket,
		"podman@" + podman.Socket: podman.Socket, "cri": cri}
	env := []string{
		"ROLLCALL_DOCKER_HOST=" + docker.Host, "ROLLCALL_CONTAINERD_ADDRESS=" +
			docker.Containerd.Socket,
		"ROLLCALL_PODMAN_SOCKETS=" + podman.Socket, "ROLLCALL_CRI_SOCKET_PATH=" + cri,
	}
	// As they are installed, the mode of the folder keeps ordinary users from Podman's socket, and
	// the socket's own from the others.
	for _, how := range []struct {
		name           string
		folder, socket os.FileMode
	}{{"the folder", 0o700, 0o666}, {"the socket", 0o755, 0o600}} {
		for _, socket := range sockets {
			chmod(t, filepath.Dir(socket), how.folder)
			chmod(t, socket, how.socket)
		}
		r := runAsNobody(t, env, "status", "-o", "json")
		var report inspect.Status
		if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != 0 {
			t.Fatalf("%s: status: %v, %+v", how.name, err, r)
		}
		for id, socket := range sockets {
			i := slices.IndexFunc(report.Collectors,
				func(s collection.Status) bool { return s.ID == id })
			if i < 0 {
				t.Fatalf("%s: no status of %s in %s", how.name, id, r.out)
			}
			s := report.Collectors[i]
			if s.State == collection.StateLive ||
				s.Reason != "permission denied on "+socket || s.Hint == "" ||
				s.Cause != workloadmeta.CauseDenied ||
				s.LastError != "" {
				t.Errorf("%s: %s is %s: %q, %q", how.name, id, s.State, s.Reason, s.LastError)
			}
		}
		r = runAsNobody(t, env, "status")
		for _, socket := range sockets {
			_, after, _ := strings.Cut(r.out, "\n  permission denied on "+socket+"\n")
			if remedy, _, _ := strings.Cut(after, "\n"); !strings.Contains(remedy, "run as root") {
				t.Errorf("%s: status does not say how to mend it: %s", how.name, r.out)
			}
		}
	}

	watch := asNobody(command(t, env, "watch", "containers", "-o", "json"))
	errs := new(strings.Builder)
	watch.Stderr = errs
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	var seen []string
	opened := false
	for lines := bufio.NewScanner(out); len(seen) < len(names) && lines.Scan(); {
		var c struct {
			Type   workloadmeta.EventType
			Entity struct {
				ID    string
				Image struct{ Name string }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if !slices.Contains(names, c.Entity.ID) || slices.Contains(seen, c.Entity.ID) {
			continue
		}
		// The processes tell that a container is there, only its runtime tells the image.
		if c.Entity.Image.Name == "" && !opened {
			for _, socket := range sockets {
				chmod(t, socket, 0o666)
			}
			opened = true
		} else if c.Entity.Image.Name == "example.test/web" {
			if !opened {
				t.Fatalf("a runtime answered while its socket was closed: %s", lines.Text())
			}
			seen = append(seen, c.Entity.ID)
		}
	}
	if len(seen) != len(names) {
		t.Errorf("after the sockets were opened, %v of %v were found", seen, names)
	}
	if err := watch.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	// Wait closes the pipe, whatever is still in it
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	_ = watch.Wait()
	// It has said at its start that daemons which were asked for by name could not be reached, so
	// it does not end with 0.
	if code := watch.ProcessState.ExitCode(); code != 1 ||
		strings.Count(errs.String(), ": permission denied on ") != len(sockets) {
		t.Errorf("watch ended with %d: %s", code, errs)
	}
}

func runAsNobody(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := asNobody(command(t, env, args...))
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the code says how it ended
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
