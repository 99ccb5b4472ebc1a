package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/docker/docker/client"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// Detect implements [workloadmeta.Collector]. A socket at which nobody listens at the moment counts
// as detected: the daemon that made it is expected back.
func (c *Collector) Detect(ctx context.Context) workloadmeta.Detection {
	_, detection := c.find(ctx)
	return detection
}

// find chooses the address to talk to: the configured one, or the first default socket with
// something behind it.
func (c *Collector) find(ctx context.Context) (host string, found workloadmeta.Detection) {
	if c.host != "" {
		return c.host, c.probe(ctx, c.host)
	}
	var reasons []string
	for _, path := range mapping.Distinct(c.sockets) {
		d := c.probe(ctx, "unix://"+path)
		if d.State == workloadmeta.Detected {
			return "unix://" + path, d
		}
		reasons = append(reasons, d.Reason)
	}
	if len(reasons) == 0 {
		reasons = []string{fmt.Sprintf("no socket at %s; set docker.host or DOCKER_HOST",
			strings.Join(c.sockets, " or "))}
	}
	return "", workloadmeta.Detection{State: workloadmeta.Absent,
		Reason: strings.Join(reasons, "; ")}
}

// probe says whether there is a Docker daemon behind an address.
func (c *Collector) probe(ctx context.Context, host string) workloadmeta.Detection {
	absent := func(format string, args ...any) workloadmeta.Detection {
		return workloadmeta.Detection{State: workloadmeta.Absent,
			Reason: fmt.Sprintf(format, args...)}
	}
	address, err := client.ParseHostURL(host)
	if err != nil {
		return absent("%v", err)
	}
	path, isUnix := strings.CutPrefix(host, "unix://")
	switch {
	case c.opts.Dial != nil || address.Scheme == "npipe":
	case isUnix:
		switch state, words := mapping.ProbeSocket(ctx, path,
			"add the user to group docker or run as root"); state {
		case mapping.SocketAbsent:
			return absent("%s; set docker.host or DOCKER_HOST", words)
		case mapping.SocketUnfit:
			return absent("%s", words)
		case mapping.SocketQuiet:
			return workloadmeta.Detection{State: workloadmeta.Detected, Reason: words}
		}
	default:
		conn, err := (&net.Dialer{Timeout: mapping.ProbeTimeout}).DialContext(ctx, "tcp",
			address.Host)
		if err != nil {
			return absent("cannot reach %s: %v", host, err)
		}
		conn.Close() // nothing was sent
	}
	ctx, cancel := context.WithTimeout(ctx, mapping.ProbeTimeout)
	defer cancel()
	d, err := newDaemon(host, &c.opts)
	if err != nil {
		return absent("%v", err)
	}
	defer d.close()
	switch err := d.connect(ctx); {
	case err == nil:
		return workloadmeta.Detection{State: workloadmeta.Detected,
			Reason: fmt.Sprintf("docker answers at %s, API %s", host, d.cli.ClientVersion())}
	case errors.Is(err, errPodman):
		return absent("podman answers at %s; it is collected by the podman collector", host)
	default:
		return workloadmeta.Detection{State: workloadmeta.Detected,
			Reason: fmt.Sprintf("something listens, but: %v", err)}
	}
}
