package realnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// PauseImage is the image from which the CRI plugin makes pod sandboxes. A test that starts pods
// imports it first: ImportImage("k8s.io", PauseImage, "sleep", "1000000").
const PauseImage = "rollcall.test/pause:1"

// Containerd is a running containerd with the CRI plugin.
type Containerd struct {
	Daemon
	Socket  string // the path of the gRPC socket, which also serves the CRI
	Root    string // the instance's folder
	Version string // such as "1.6.20"
}

// StartContainerd starts containerd in a folder of its own and closes it when the test ends.
// The caller has called [Require].
func StartContainerd(t testing.TB, opts ...Option) *Containerd {
	t.Helper()
	c, err := StartContainerdDir("", opts...)
	if err != nil {
		t.Fatalf("realnode: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("realnode: %v", err)
		}
	})
	return c.For(t)
}

// StartContainerdDir starts containerd in dir, an existing folder that this package may fill and
// remove; an empty dir means a new temporary folder. The caller closes it.
func StartContainerdDir(dir string, opts ...Option) (*Containerd, error) {
	dir, err := newFolder(dir)
	if err != nil {
		return nil, err
	}
	c, err := startContainerd(dir, collect(opts))
	if err != nil {
		return nil, errors.Join(err, removeFolder(dir))
	}
	return c, nil
}

func startContainerd(dir string, o options) (*Containerd, error) {
	path, err := program("containerd")
	if err != nil {
		return nil, err
	}
	number, err := version("containerd")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "containerd.sock")
	config := filepath.Join(dir, "containerd.toml")
	for _, folder := range []string{"client", "cni"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			return nil, fmt.Errorf("set up containerd: %w", err)
		}
	}
	if err := os.WriteFile(config, []byte(containerdConfig(dir, socket, o)), 0o600); err != nil {
		return nil, fmt.Errorf("set up containerd: %w", err)
	}
	p := &process{
		name:  "containerd",
		argv:  []string{path, "--config", config},
		dir:   dir,
		stale: []string{socket, socket + ".ttrpc"},
		ready: func(ctx context.Context) error {
			_, _, err := output(ctx, dir, "", "ctr", "--address", socket, "--connect-timeout", "5s",
				"version")
			return err
		},
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	return &Containerd{Daemon: Daemon{p: p}, Socket: socket, Root: dir, Version: number}, nil
}

// containerdConfig returns the configuration file. restrict_oom_score_adj lets containers start
// where root may not lower a process's OOM score, as inside many containers and virtual machines.
// The network namespaces of pods are mounts that Close has to find, so they are kept below the
// instance's folder. NRI would listen at one path for all daemons of the machine.
func containerdConfig(dir, socket string, o options) string {
	return fmt.Sprintf(`version = 2
root = %q
state = %q

[grpc]
  address = %q

[plugins."io.containerd.internal.v1.opt"]
  path = %q

[plugins."io.containerd.nri.v1.nri"]
  disable = true

[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  sandbox_image = %q

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = %q

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = %q
`, filepath.Join(dir, "containerd"), stateFolder(dir), socket, filepath.Join(dir, "opt"), o.sandbox,
		runcFolder(dir), filepath.Join(dir, "cni"))
}

// stateFolder is where the instance's containerd keeps what lives as long as its containers.
func stateFolder(dir string) string { return filepath.Join(dir, "state") }

// runcFolder is where runc keeps the state of the containers that the CRI and [Containerd.Run]
// start. Its default is one folder for the whole machine, in which containers of two instances with
// the same name would clash.
func runcFolder(dir string) string { return filepath.Join(dir, "runc") }

// For returns a handle on the same daemon whose failures fail t.
func (c *Containerd) For(t testing.TB) *Containerd {
	bound := *c
	bound.tb = t
	return &bound
}

// Ctr runs the ctr client in a containerd namespace and returns its standard output. A failure
// fails the test.
func (c *Containerd) Ctr(namespace string, args ...string) string {
	if c.tb != nil {
		c.tb.Helper()
	}
	out, _, err := c.TryCtr(namespace, args...)
	c.must(err)
	return out
}

// TryCtr is Ctr for calls that may fail.
func (c *Containerd) TryCtr(namespace string, args ...string) (stdout, stderr string, err error) {
	return c.ctr("", namespace, args...)
}

func (c *Containerd) ctr(stdin, namespace string, args ...string) (stdout, stderr string,
	err error) {
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	argv := append([]string{"ctr", "--address", c.Socket, "--namespace", namespace}, args...)
	return output(ctx, c.Root, stdin, argv...)
}

// ImportImage makes an image with busybox in it and puts it into a containerd namespace ("k8s.io"
// is that of the CRI). Containers run command unless told otherwise.
func (c *Containerd) ImportImage(namespace, name string, command ...string) {
	if c.tb != nil {
		c.tb.Helper()
	}
	archive, err := imageArchive(name, command)
	c.must(err)
	_, _, err = c.ctr(archive, namespace, "images", "import", "--snapshotter", "overlayfs", "-")
	c.must(err)
}

// Run starts a container in the background in a containerd namespace. The arguments are those of
// `ctr run`: flags, image, id, command. What it prints is dropped.
func (c *Containerd) Run(namespace string, args ...string) {
	if c.tb != nil {
		c.tb.Helper()
	}
	c.Ctr(namespace,
		append([]string{"run", "--detach", "--null-io", "--runc-root", runcFolder(c.Root)},
			args...)...)
}

// Events follows all events of containerd until the returned function is called, which returns
// those that came before, as `ctr events` prints them.
func (c *Containerd) Events() (stop func() string) {
	if c.tb != nil {
		c.tb.Helper()
	}
	path, err := program("ctr")
	c.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--address", c.Socket, "events")
	var out safeText
	cmd.Env, cmd.Stdout = daemonEnv(c.Root), &out
	if err := cmd.Start(); err != nil {
		cancel()
		c.must(fmt.Errorf("follow containerd's events: %w", err))
	}
	end := sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait() // it never ends by itself
	})
	if c.tb != nil {
		c.tb.Cleanup(end)
	}
	// Nothing tells when a subscription counts, or that no more events are on their way. But they
	// come in order.
	marks := 0
	mark := func() {
		for deadline := time.Now().Add(readyWithin); time.Now().Before(deadline); {
			marks++
			c.Ctr("default", "namespaces", "label", "default", fmt.Sprint("mark=", marks))
			for range 50 {
				if strings.Contains(out.String(), fmt.Sprintf(`"mark":"%d"`, marks)) {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		c.must(fmt.Errorf("follow containerd's events: they do not come: %s", out.String()))
	}
	mark()
	return func() string {
		mark()
		end()
		return out.String()
	}
}

// safeText is text that is read while it is written.
type safeText struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (s *safeText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *safeText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Close stops containerd, ends what it has started, and removes the folder.
func (c *Containerd) Close() error {
	return errors.Join(c.p.stop(stopGrace), removeFolder(c.Root))
}
