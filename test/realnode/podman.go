package realnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Podman is a running Podman service with a storage of its own, as one user has it.
type Podman struct {
	Daemon
	Host   string // what CONTAINER_HOST would hold: unix://<Socket>
	Socket string // the path of the API socket
	Root   string // the instance's folder
}

// StartPodman starts a Podman service in a folder of its own and closes it when the test ends.
// Several are like several users: each has containers and images of its own. The caller has called
// [Require].
func StartPodman(t testing.TB, opts ...Option) *Podman {
	t.Helper()
	p, err := StartPodmanDir("", opts...)
	if err != nil {
		t.Fatalf("realnode: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("realnode: %v", err)
		}
	})
	return p.For(t)
}

// StartPodmanDir starts a Podman service in dir, an existing folder that this package may fill and
// remove; an empty dir means a new temporary folder. The caller closes it.
func StartPodmanDir(dir string, opts ...Option) (*Podman, error) {
	dir, err := newFolder(dir)
	if err != nil {
		return nil, err
	}
	p, err := startPodman(dir, collect(opts))
	if err != nil {
		return nil, errors.Join(err, removeFolder(dir))
	}
	return p, nil
}

func startPodman(dir string, o options) (*Podman, error) {
	path, err := program("podman")
	if err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, folder := range []string{"podman", "run", "tmp", "runc", "networks", "work", "client",
		homeConfig} {
		if err := os.MkdirAll(in(folder), 0o700); err != nil {
			return nil, fmt.Errorf("set up podman: %w", err)
		}
	}
	for name, content := range map[string]string{
		"containers.conf": podmanConfig(dir, o),
		"storage.conf": fmt.Sprintf(
			"[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", in("podman"), in("run")),
		"registries.conf": "unqualified-search-registries = []\n",
		"policy.json":     `{"default": [{"type": "insecureAcceptAnything"}]}` + "\n",
		// The folder that DOCKER_CONFIG names has to have one.
		"../../../client/config.json": "{}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, homeConfig, name), []byte(content),
			0o600); err != nil {
			return nil, fmt.Errorf("set up podman: %w", err)
		}
	}
	p := &Podman{Host: "unix://" + in("podman.sock"), Socket: in("podman.sock"), Root: dir}
	argv := append([]string{path}, podmanFolders(dir)...)
	p.p = &process{
		name:  "podman",
		argv:  append(argv, "system", "service", "--time=0", p.Host),
		dir:   dir,
		env:   podmanEnv(dir),
		stale: []string{p.Socket},
		ready: func(ctx context.Context) error { return ping(ctx, p.Socket) },
	}
	if err := p.p.start(); err != nil {
		return nil, err
	}
	return p, nil
}

// homeConfig is where Podman looks for a user's configuration, below the folder.
const homeConfig = "home/.config/containers"

// podmanFolders are the options by which everything of the instance stays in its folder. The
// command line is also how its processes are recognised, among them the monitors of its containers.
func podmanFolders(dir string) []string {
	return []string{
		"--root", filepath.Join(dir, "podman"), "--runroot", filepath.Join(dir, "run"), "--tmpdir",
		filepath.Join(dir, "tmp"),
		"--network-config-dir", filepath.Join(dir, "networks"), "--runtime-flag", "root=" +
			filepath.Join(dir, "runc"),
		"--storage-driver", "vfs", // works on every file system
	}
}

func podmanEnv(dir string) []string {
	in := func(name string) string { return filepath.Join(dir, homeConfig, name) }
	return []string{
		"CONTAINERS_CONF=" + in("containers.conf"), "CONTAINERS_STORAGE_CONF=" + in("storage.conf"),
		"CONTAINERS_REGISTRIES_CONF=" + in("registries.conf"), "HOME=" + filepath.Join(dir, "home"),
		"XDG_CONFIG_HOME=" + filepath.Join(dir, "home", ".config"), "TMPDIR=" +
			filepath.Join(dir, "work"),
	}
}

// podmanConfig returns containers.conf. Locks in shared memory would be those of the whole machine.
// Root may not raise limits everywhere, as inside many containers and virtual machines, and there
// may be no systemd.
func podmanConfig(dir string, o options) string {
	events := "file"
	if o.podman.events != "" {
		events = o.podman.events
	}
	return fmt.Sprintf(`[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
log_driver = "k8s-file"

[engine]
cgroup_manager = "cgroupfs"
events_logger = %q
runtime = "runc"
lock_type = "file"

[engine.runtimes]
runc = ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"]

[network]
network_config_dir = %q
`, events, filepath.Join(dir, "networks"))
}

// For returns a handle on the same service whose failures fail t.
func (p *Podman) For(t testing.TB) *Podman {
	bound := *p
	bound.tb = t
	return &bound
}

// Podman runs the podman command on the instance's folders, not through the service, and returns
// its standard output without the last line's end. A failure fails the test.
func (p *Podman) Podman(args ...string) string {
	if p.tb != nil {
		p.tb.Helper()
	}
	out, _, err := p.TryPodman(args...)
	p.must(err)
	return strings.TrimSuffix(out, "\n")
}

// TryPodman is Podman for calls that may fail.
func (p *Podman) TryPodman(args ...string) (stdout, stderr string, err error) {
	return p.podman("", args...)
}

func (p *Podman) podman(stdin string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	argv := append([]string{"podman"}, podmanFolders(p.Root)...)
	return outputEnv(ctx, append(daemonEnv(p.Root), podmanEnv(p.Root)...), stdin,
		append(argv, args...)...)
}

// ImportImage makes an image with busybox in it. Each change is a Dockerfile instruction, such as
// `LABEL team=blue`, `ENV DD_ENV="prod"` or `CMD ["sleep", "1000"]`. Values with blanks need
// quotes. It returns the image's ID (sha256:…).
func (p *Podman) ImportImage(name string, changes ...string) string {
	if p.tb != nil {
		p.tb.Helper()
	}
	rootfs, err := rootfsTar()
	p.must(err)
	args := []string{"import", "--quiet"}
	for _, change := range changes {
		args = append(args, "--change", change)
	}
	out, _, err := p.podman(rootfs, append(args, "-", name)...)
	p.must(err)
	return strings.TrimSpace(out)
}

// Run starts a container in the background, without network, and returns its full ID. The arguments
// are those of `podman run`: flags, image, command. The container has a second, not ten, to heed
// SIGTERM when it is stopped: as process 1 most programs ignore it.
func (p *Podman) Run(args ...string) string {
	if p.tb != nil {
		p.tb.Helper()
	}
	return p.Podman(
		append([]string{"run", "--detach", "--network", "none", "--pull", "never", "--stop-timeout",
			"1"}, args...)...)
}

// RemoveContainers removes all pods and containers, running or not, so that tests can share a
// service.
func (p *Podman) RemoveContainers() {
	if p.tb != nil {
		p.tb.Helper()
	}
	p.must(p.removeContainers())
}

func (p *Podman) removeContainers() error {
	_, _, errPods := p.TryPodman("pod", "rm", "--force", "--all", "--time", "0")
	_, _, err := p.TryPodman("rm", "--force", "--all", "--volumes", "--time", "0")
	return errors.Join(errPods, err)
}

// Close ends the containers and the service, and removes the folder.
func (p *Podman) Close() error {
	if p.Pid() != 0 {
		_ = p.p.freeze(false) // a frozen service may hold a lock
	}
	groups := podmanGroups(p.Root)
	// Podman itself gives back networks. What a failure here leaves is ended below, but for control
	// groups: Podman forgets a container whose monitor is gone without removing its group.
	_ = p.removeContainers()
	return errors.Join(p.p.stop(stopGrace), removeFolder(p.Root), removeGroups(groups))
}
