package cri

import (
	"context"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// DefaultSockets are the paths that are tried when no option names the socket: those of CRI-O and
// cri-dockerd, on this machine and where a container has the machine's folders.
func DefaultSockets() []string {
	return underHost("/run/crio/crio.sock", "/var/run/crio/crio.sock", "/run/cri-dockerd.sock",
		"/var/run/cri-dockerd.sock")
}

// ContainerdSockets are tried after them with [Options.UseContainerd]: those of containerd itself
// and of the Kubernetes distributions that bring one along.
func ContainerdSockets() []string {
	return underHost("/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock",
		"/run/k3s/containerd/containerd.sock",
		"/run/k0s/containerd.sock", "/var/snap/microk8s/common/run/containerd.sock")
}

// dockerSockets tell that the containers of cri-dockerd, which are Docker's, are the Docker
// collector's.
func dockerSockets() []string { return underHost("/run/docker.sock", "/var/run/docker.sock") }

func underHost(paths ...string) []string {
	for _, path := range paths {
		paths = append(paths, "/host"+path)
	}
	return paths
}

// permission is what to do where the socket is not ours to open.
const permission = "run as root or give this user access to the socket"

// Detect implements [workloadmeta.Collector]. It connects and asks nothing. A socket at which
// nobody listens at the moment counts as detected: the runtime that made it is expected back.
func (c *Collector) Detect(ctx context.Context) workloadmeta.Detection {
	_, detection := c.find(ctx)
	return detection
}

// find chooses the socket: the configured one, or of the default ones the first at which somebody
// listens, or else the first that is one.
func (c *Collector) find(ctx context.Context) (path string, found workloadmeta.Detection) {
	if c.opts.Socket != "" {
		return c.opts.Socket, c.probe(ctx, c.opts.Socket)
	}
	var problems []workloadmeta.Problem
	for _, candidate := range mapping.Distinct(c.sockets) {
		state, p := mapping.ProbeSocket(ctx, candidate, permission)
		switch {
		case state == mapping.SocketUnfit || state == mapping.SocketAbsent:
			problems = append(problems, p)
		case strings.HasSuffix(candidate, "/cri-dockerd.sock") && c.dockerAnswers(ctx):
			problems = append(problems, workloadmeta.Problem{Cause: workloadmeta.CauseWrongPeer,
				Reason: "the containers behind " + candidate +
					" are Docker's and collected by the docker collector",
				Hint: "set cri_socket_path to ask cri-dockerd all the same"})
		case state == mapping.SocketOpen:
			return candidate, workloadmeta.Detection{State: workloadmeta.Detected,
				Reason: "socket at " + candidate}
		case path == "":
			path, found = candidate, mapping.Found(workloadmeta.Detected, p)
		}
	}
	if path != "" {
		return path, found
	}
	if len(problems) == 0 {
		none := workloadmeta.Problem{Cause: workloadmeta.CauseAbsent,
			Reason: "no socket at " + strings.Join(c.sockets, " or "), Hint: "set cri_socket_path"}
		if !c.opts.UseContainerd {
			none.Hint += ", or collectors.cri to on to ask containerd over the CRI, too"
		}
		problems = append(problems, none)
	}
	return "", mapping.Undetected(problems)
}

// probe looks at the socket that was asked for.
func (c *Collector) probe(ctx context.Context, path string) workloadmeta.Detection {
	switch state, p := mapping.ProbeSocket(ctx, path, permission); state {
	case mapping.SocketOpen:
		return workloadmeta.Detection{State: workloadmeta.Detected, Reason: "socket at " + path}
	case mapping.SocketQuiet:
		return mapping.Found(workloadmeta.Detected, p)
	case mapping.SocketAbsent:
		p.Hint = "set cri_socket_path"
		return mapping.Found(workloadmeta.Absent, p)
	default:
		return mapping.Found(workloadmeta.Absent, p)
	}
}

func (c *Collector) dockerAnswers(ctx context.Context) bool {
	for _, path := range mapping.Distinct(c.docker) {
		if state, _ := mapping.ProbeSocket(ctx, path, permission); state == mapping.SocketOpen {
			return true
		}
	}
	return false
}
