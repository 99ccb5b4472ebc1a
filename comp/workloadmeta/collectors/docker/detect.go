package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/docker/docker/client"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// detectTimeout bounds the dial and the ping of one address.
const detectTimeout = 500 * time.Millisecond

// Detect implements [workloadmeta.Collector]. A socket at which nobody listens at the moment counts as
// detected: the daemon that made it is expected back.
func (c *Collector) Detect(ctx context.Context) workloadmeta.Detection {
	_, detection := c.find(ctx)
	return detection
}

// find chooses the address to talk to: the configured one, or the first default socket with something behind it.
func (c *Collector) find(ctx context.Context) (host string, found workloadmeta.Detection) {
	if c.host != "" {
		return c.host, c.probe(ctx, c.host)
	}
	var reasons []string
	var seen []os.FileInfo
	for _, path := range c.sockets {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		// A symbolic link /var/run → /run gives one socket two paths.
		if err == nil {
			if sameFile(seen, info) {
				continue
			}
			seen = append(seen, info)
		}
		d := c.probe(ctx, "unix://"+path)
		if d.State == workloadmeta.Detected {
			return "unix://" + path, d
		}
		reasons = append(reasons, d.Reason)
	}
	if len(reasons) == 0 {
		reasons = []string{fmt.Sprintf("no socket at %s; set docker.host or DOCKER_HOST", strings.Join(c.sockets, " or "))}
	}
	return "", workloadmeta.Detection{State: workloadmeta.Absent, Reason: strings.Join(reasons, "; ")}
}

func sameFile(seen []os.FileInfo, info os.FileInfo) bool {
	for _, s := range seen {
		if os.SameFile(s, info) {
			return true
		}
	}
	return false
}

// probe says whether there is a Docker daemon behind an address.
func (c *Collector) probe(ctx context.Context, host string) workloadmeta.Detection {
	absent := func(format string, args ...any) workloadmeta.Detection {
		return workloadmeta.Detection{State: workloadmeta.Absent, Reason: fmt.Sprintf(format, args...)}
	}
	address, err := client.ParseHostURL(host)
	if err != nil {
		return absent("%v", err)
	}
	path, isUnix := strings.CutPrefix(host, "unix://")
	if isUnix && c.opts.Dial == nil {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return absent("no socket at %s; set docker.host or DOCKER_HOST", path)
		case errors.Is(err, fs.ErrPermission):
			return absent("permission denied on %s; add the user to group docker or run as root", path)
		case err != nil:
			return absent("cannot look at %s: %v", path, err)
		case info.IsDir():
			return absent("%s is a folder, not a socket; a bind mount may have made it before the daemon started", path)
		case info.Mode()&fs.ModeSocket == 0:
			return absent("%s is not a socket", path)
		}
	}

	ctx, cancel := context.WithTimeout(ctx, detectTimeout)
	defer cancel()
	if c.opts.Dial == nil && address.Scheme != "npipe" {
		network, target := address.Scheme, address.Host
		if !isUnix {
			network = "tcp"
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, target)
		switch {
		case err == nil:
			conn.Close() // nothing was sent
		case errors.Is(err, fs.ErrPermission):
			return absent("permission denied on %s; add the user to group docker or run as root", path)
		case !isUnix:
			return absent("cannot reach %s: %v", host, err)
		default:
			return workloadmeta.Detection{
				State:  workloadmeta.Detected,
				Reason: fmt.Sprintf("socket at %s, but nobody answers: %v", path, errors.Unwrap(err)),
			}
		}
	}
	d, err := newDaemon(host, &c.opts)
	if err != nil {
		return absent("%v", err)
	}
	defer d.close()
	switch err := d.connect(ctx); {
	case err == nil:
		return workloadmeta.Detection{State: workloadmeta.Detected, Reason: fmt.Sprintf("docker answers at %s, API %s", host, d.cli.ClientVersion())}
	case errors.Is(err, errPodman):
		return absent("podman answers at %s; it is collected by the podman collector", host)
	default:
		return workloadmeta.Detection{State: workloadmeta.Detected, Reason: fmt.Sprintf("something listens, but: %v", err)}
	}
}
