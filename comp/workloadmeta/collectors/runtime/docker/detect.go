package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

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
		for _, other := range c.before { // what a link leads to may change
			if sameDaemon(daemonName(c.host), other) {
				return "", workloadmeta.Detection{State: workloadmeta.Absent,
					Cause:  workloadmeta.CauseInvalid,
					Reason: daemonName(c.host) + " is the socket at " + other,
					Hint:   "leave one of them out of docker.hosts"}
			}
		}
		return c.host, c.probe(ctx, c.host)
	}
	var problems []workloadmeta.Problem
	for _, path := range mapping.Distinct(c.sockets) {
		d := c.probe(ctx, "unix://"+path)
		if d.State == workloadmeta.Detected {
			return "unix://" + path, d
		}
		problems = append(problems, d.Problem())
	}
	if len(problems) == 0 {
		problems = []workloadmeta.Problem{{Cause: workloadmeta.CauseAbsent,
			Reason: "no socket at " + strings.Join(c.sockets, " or "), Hint: c.setHost()}}
	}
	return "", mapping.Undetected(problems)
}

// setHost is what to do where there is no daemon.
func (c *Collector) setHost() string {
	if c.opts.listed {
		return "set docker.hosts to where it is"
	}
	return "set docker.host or DOCKER_HOST"
}

// probe says whether there is a Docker daemon behind an address.
func (c *Collector) probe(ctx context.Context, host string) workloadmeta.Detection {
	absent := func(cause workloadmeta.Cause, reason, hint string) workloadmeta.Detection {
		return workloadmeta.Detection{State: workloadmeta.Absent, Cause: cause, Reason: reason,
			Hint: hint}
	}
	address, err := checkHost(host)
	if err != nil { // in the options it would have been refused
		return absent(workloadmeta.CauseInvalid, "DOCKER_HOST: "+err.Error(),
			"set docker.host to the daemon that is to be asked, or collectors.docker to off")
	}
	path, isUnix := strings.CutPrefix(host, "unix://")
	switch {
	case c.opts.Dial != nil || address.Scheme == "npipe":
	case isUnix:
		switch state, p := mapping.ProbeSocket(ctx, path,
			"add the user to group docker or run as root"); state {
		case mapping.SocketAbsent:
			p.Hint = c.setHost()
			return mapping.Found(workloadmeta.Absent, p)
		case mapping.SocketUnfit:
			return mapping.Found(workloadmeta.Absent, p)
		case mapping.SocketQuiet:
			return mapping.Found(workloadmeta.Detected, p)
		}
	default:
		conn, err := (&net.Dialer{Timeout: mapping.ProbeTimeout}).DialContext(ctx, "tcp",
			address.Host)
		if err != nil {
			return absent(workloadmeta.CauseOf(err), fmt.Sprintf("cannot reach %s: %v", host, err),
				"")
		}
		conn.Close() // nothing was sent
	}
	ctx, cancel := context.WithTimeout(ctx, mapping.ProbeTimeout)
	defer cancel()
	d, err := newDaemon(host, &c.opts)
	if err != nil {
		return absent(workloadmeta.CauseInvalid, err.Error(), "")
	}
	defer d.close()
	switch err := d.peer.Explain(d.connect(ctx)); {
	case err == nil:
		return workloadmeta.Detection{State: workloadmeta.Detected,
			Reason: fmt.Sprintf("docker answers at %s, API %s", host, d.cli.ClientVersion())}
	case errors.Is(err, errPodman):
		return absent(workloadmeta.CauseWrongPeer, "podman answers at "+host,
			"it is collected by the podman collector")
	default:
		return workloadmeta.Detection{State: workloadmeta.Detected,
			Cause:  workloadmeta.CauseOf(err),
			Reason: fmt.Sprintf("something listens, but: %v", err)}
	}
}
