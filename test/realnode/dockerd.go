package realnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Dockerd is a running dockerd with a containerd of its own.
type Dockerd struct {
	Daemon
	Host       string      // what DOCKER_HOST would hold: unix://<Socket>
	Socket     string      // the path of the API socket
	Root       string      // the instance's folder
	Containerd *Containerd // Docker's containers are in its namespace "moby"
}

// StartDockerd starts containerd and dockerd in a folder of their own and closes them when the test
// ends. The caller has called [Require].
func StartDockerd(t testing.TB, opts ...Option) *Dockerd {
	t.Helper()
	d, err := StartDockerdDir("", opts...)
	if err != nil {
		t.Fatalf("realnode: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("realnode: %v", err)
		}
	})
	return d.For(t)
}

// StartDockerdDir starts containerd and dockerd in dir, an existing folder that this package may
// fill and remove; an empty dir means a new temporary folder. The caller closes it.
func StartDockerdDir(dir string, opts ...Option) (*Dockerd, error) {
	dir, err := newFolder(dir)
	if err != nil {
		return nil, err
	}
	o := collect(opts)
	c, err := startContainerd(dir, o)
	if err != nil {
		return nil, errors.Join(err, removeFolder(dir))
	}
	d, err := startDockerd(dir, c, o)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return d, nil
}

func startDockerd(dir string, c *Containerd, o options) (*Dockerd, error) {
	path, err := program("dockerd")
	if err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	// Without a file of our own dockerd would read /etc/docker/daemon.json, which is the user's.
	if err := os.WriteFile(in("dockerd.json"), []byte("{}\n"), 0o600); err != nil {
		return nil, fmt.Errorf("set up dockerd: %w", err)
	}
	d := &Dockerd{Host: "unix://" + in("docker.sock"), Socket: in("docker.sock"), Root: dir,
		Containerd: c}
	argv := []string{
		path, "--host", d.Host, "--config-file", in("dockerd.json"), "--data-root", in("docker"),
		"--exec-root", in("exec"), "--pidfile", in("dockerd.pid"), "--containerd", c.Socket,
		"--bridge", "none", "--iptables=false", "--ip-masq=false",
	}
	if o.liveRestore {
		argv = append(argv, "--live-restore")
	}
	d.p = &process{
		name:  "dockerd",
		argv:  append(argv, o.dockerd...),
		dir:   dir,
		stale: []string{d.Socket, in("dockerd.pid")},
		ready: func(ctx context.Context) error { return ping(ctx, d.Socket) },
	}
	if err := d.p.start(); err != nil {
		return nil, err
	}
	return d, nil
}

// ping asks the daemon for a sign of life.
func ping(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET /_ping: %s", response.Status)
	}
	return nil
}

// For returns a handle on the same daemons whose failures fail t.
func (d *Dockerd) For(t testing.TB) *Dockerd {
	bound := *d
	bound.tb = t
	bound.Containerd = d.Containerd.For(t)
	return &bound
}

// Docker runs the docker client and returns its standard output without the last line's end. A
// failure fails the test.
func (d *Dockerd) Docker(args ...string) string {
	if d.tb != nil {
		d.tb.Helper()
	}
	out, _, err := d.TryDocker(args...)
	d.must(err)
	return strings.TrimSuffix(out, "\n")
}

// TryDocker is Docker for calls that may fail.
func (d *Dockerd) TryDocker(args ...string) (stdout, stderr string, err error) {
	return d.docker("", args...)
}

func (d *Dockerd) docker(stdin string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	return output(ctx, d.Root, stdin, append([]string{"docker", "--host", d.Host}, args...)...)
}

// ImportImage makes an image with busybox in it. Each change is a Dockerfile instruction, such as
// `LABEL team=blue`, `ENV DD_ENV="prod"` or `CMD ["sleep", "1000"]`. Values with blanks need
// quotes. It returns the image's ID (sha256:…).
func (d *Dockerd) ImportImage(name string, changes ...string) string {
	if d.tb != nil {
		d.tb.Helper()
	}
	rootfs, err := rootfsTar()
	d.must(err)
	args := []string{"import"}
	for _, change := range changes {
		args = append(args, "--change", change)
	}
	out, _, err := d.docker(rootfs, append(args, "-", name)...)
	d.must(err)
	return strings.TrimSpace(out)
}

// Run starts a container in the background, without network, and returns its full ID. The arguments
// are those of `docker run`: flags, image, command. The container has a second, not ten, to heed
// SIGTERM when it is stopped: as process 1 most programs ignore it.
func (d *Dockerd) Run(args ...string) string {
	if d.tb != nil {
		d.tb.Helper()
	}
	return d.Docker(
		append([]string{"run", "--detach", "--network", "none", "--pull", "never", "--stop-timeout",
			"1"}, args...)...)
}

// ImagesInContainerd says whether the daemon keeps its images in containerd, as it does by itself
// since version 29. What it calls an image's ID is then the digest of its index or manifest, not of
// its configuration.
func (d *Dockerd) ImagesInContainerd() bool {
	if d.tb != nil {
		d.tb.Helper()
	}
	return strings.Contains(d.Docker("info", "--format", "{{.DriverStatus}}"),
		"io.containerd.snapshotter")
}

// RemoveContainers removes all containers, running or not, so that tests can share a daemon.
func (d *Dockerd) RemoveContainers() {
	if d.tb != nil {
		d.tb.Helper()
	}
	d.must(d.removeContainers())
}

func (d *Dockerd) removeContainers() error {
	ids, _, err := d.TryDocker("ps", "--all", "--quiet", "--no-trunc")
	if err != nil || strings.TrimSpace(ids) == "" {
		return err
	}
	_, _, err = d.TryDocker(append([]string{"rm", "--force", "--volumes"},
		strings.Fields(ids)...)...)
	return err
}

// Close ends the containers and the daemons, and removes the folder.
func (d *Dockerd) Close() error {
	if d.Pid() != 0 && d.p.freeze(false) == nil {
		// Only to be quick: dockerd would wait for each container to heed SIGTERM. What a failure
		// here leaves is ended below.
		_ = d.removeContainers()
	}
	return errors.Join(d.p.stop(stopGrace), d.Containerd.Close())
}
