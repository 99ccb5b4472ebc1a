package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// permission is what to do where access to the socket is denied.
const permission = "run as root, or as a member of the group that owns the socket (gid in containerd's configuration)"

// Detect implements [workloadmeta.Collector]. A socket at which nobody listens at the moment counts
// as detected: the daemon that made it is expected back.
func (c *Collector) Detect(ctx context.Context) workloadmeta.Detection {
	socket, detection := c.find(ctx)
	if c.opts.standsInFor == "" || detection.State != workloadmeta.Detected {
		return detection
	}
	// Most machines have no Docker, and need no connection to see nothing.
	d, err := newDaemon(socket, &c.opts)
	if err != nil {
		return detection // which tells what is wrong
	}
	defer d.close()
	if names, err := d.listNamespaces(ctx); err == nil && !slices.Contains(names, dockerNamespace) {
		return workloadmeta.Detection{Cause: workloadmeta.CauseAbsent,
			Reason: "there is no namespace " + dockerNamespace + " in the containerd at " + socket}
	}
	return detection
}

// find chooses the socket: the configured one, or of the default ones the first at which containerd
// answers, or else the first at which nobody does. The former goes first because a Kubernetes
// distribution with a containerd of its own may be on a machine on which another was stopped.
func (c *Collector) find(ctx context.Context) (socket string, found workloadmeta.Detection) {
	if c.unusable != nil {
		return "", workloadmeta.Detection{Cause: workloadmeta.CauseInvalid,
			Reason: c.unusable.Error(),
			Hint: "set containerd.address to the socket that is to be asked, or " +
				"collectors.containerd to off"}
	}
	if c.socket != "" {
		found, _ := c.probe(ctx, c.socket)
		return c.socket, found
	}
	quiet, ofQuiet := "", workloadmeta.Detection{}
	var problems []workloadmeta.Problem
	for _, path := range mapping.Distinct(c.sockets) {
		d, answers := c.probe(ctx, path)
		switch {
		case answers:
			return path, d
		case d.State == workloadmeta.Detected && quiet == "":
			quiet, ofQuiet = path, d
		case d.State != workloadmeta.Detected:
			problems = append(problems, d.Problem())
		}
	}
	if quiet != "" {
		return quiet, ofQuiet
	}
	if len(problems) == 0 {
		problems = []workloadmeta.Problem{{Cause: workloadmeta.CauseAbsent,
			Reason: "no socket at " + strings.Join(c.sockets, " or "), Hint: setAddress}}
	}
	return "", mapping.Undetected(problems)
}

// setAddress is what to do where there is no socket.
const setAddress = "set containerd.address or CONTAINERD_ADDRESS"

// probe says whether there is a containerd behind a socket, and whether it answers now.
func (c *Collector) probe(ctx context.Context, socket string) (found workloadmeta.Detection,
	answers bool) {
	if c.opts.Dial == nil {
		switch state, p := mapping.ProbeSocket(ctx, socket, permission); state {
		case mapping.SocketAbsent:
			p.Hint = setAddress
			return mapping.Found(workloadmeta.Absent, p), false
		case mapping.SocketUnfit:
			return mapping.Found(workloadmeta.Absent, p), false
		case mapping.SocketQuiet:
			return mapping.Found(workloadmeta.Detected, p), false
		}
	}
	d, err := newDaemon(socket, &c.opts)
	if err != nil {
		return workloadmeta.Detection{State: workloadmeta.Absent,
			Cause: workloadmeta.CauseInvalid, Reason: err.Error()}, false
	}
	defer d.close()
	ctx, cancel := context.WithTimeout(ctx, mapping.ProbeTimeout)
	defer cancel()
	version, err := d.version(ctx)
	switch {
	case err == nil:
		return workloadmeta.Detection{State: workloadmeta.Detected,
			Reason: fmt.Sprintf("containerd %s answers at %s", version, socket)}, true
	case errors.Is(err, errNotContainerd):
		return workloadmeta.Detection{State: workloadmeta.Absent,
			Cause: workloadmeta.CauseWrongPeer, Reason: err.Error()}, false
	}
	return workloadmeta.Detection{State: workloadmeta.Detected, Cause: workloadmeta.CauseOf(err),
		Reason: fmt.Sprintf("something listens, but: %v", err)}, false
}
