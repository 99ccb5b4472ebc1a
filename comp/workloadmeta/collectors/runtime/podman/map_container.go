package podman

import (
	"cmp"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// What Podman knows of a container and the vocabulary has no place for.
const (
	labelPodID   = "io.podman.pod.id"
	labelPodName = "io.podman.pod.name"
	// annotationUID is the user whose containers a rootless service runs.
	annotationUID = "io.podman.rootless.uid"
)

// mapInspect turns the answer to an inspection into an entity. It lacks what other answers tell:
// the pod's name and the ports that the image exposes.
func mapInspect(in *containerAnswer, allowed *env.Filter) (runtimesync.Container, error) {
	if in.ID == "" {
		return runtimesync.Container{}, errors.New("inspect answer without an ID")
	}
	c := mapping.NewContainer(in.ID, workloadmeta.RuntimePodman)
	c.Name, c.Namespace = in.Name, in.Namespace
	c.Image.ID, c.Image.RawName = mapping.ImageID(in.Image), in.ImageName
	c.RestartCount = in.RestartCount
	mapState(c, in)
	c.Labels = mapping.Metadata(in.Config.Labels)
	mapping.Put(&c.Labels, labelPodID, in.Pod)
	c.Annotations = mapping.Metadata(in.Config.Annotations)
	c.Hostname = in.Config.Hostname
	c.EnvVars = mapping.NilIfEmpty(allowed.Filter(in.Config.Env))
	mapNetworks(c, in.HostConfig.NetworkMode, &in.NetworkSettings)
	c.Ports = mapPorts(in.NetworkSettings.Ports, in.Config.ExposedPorts)
	c.RuntimeFlavor = mapping.Flavor(in.OCIRuntime)
	h := &in.HostConfig
	c.Resources = mapping.Limits{
		NanoCPUs: h.NanoCPUs, Quota: h.CPUQuota, Period: h.CPUPeriod,
		Shares: uint64(max(0, h.CPUShares)), Cpuset: h.CpusetCpus,
		Memory: h.Memory, MemoryReservation: h.MemoryReservation,
	}.Resources()
	c.SecurityContext = mapSecurity(in)
	c.Owner = mapping.Owner(c.Labels)
	mapping.SetDevices(c, in.OCIRuntime)
	return runtimesync.Container{
		Key: in.ID, Entity: c, Complete: true, Policy: cmp.Or(h.RestartPolicy.Name, "no"),
		Sandbox: in.IsInfra || in.IsService || mapping.IsSandbox(c.Labels),
	}, nil
}

// mapList turns an entry of the list of containers into an entity that lacks what only an
// inspection tells.
func mapList(in *containerEntry) (runtimesync.Container, error) {
	if in.ID == "" {
		return runtimesync.Container{}, errors.New("container list entry without an ID")
	}
	c := mapping.NewContainer(in.ID, workloadmeta.RuntimePodman)
	if len(in.Names) > 0 {
		c.Name = in.Names[0]
	}
	c.Labels = mapping.Metadata(in.Labels)
	mapping.Put(&c.Labels, labelPodID, in.Pod)
	mapping.Put(&c.Labels, labelPodName, in.PodName)
	c.Image.ID, c.Image.RawName = mapping.ImageID(in.ImageID), in.Image
	c.State.Status = status(in.State)
	c.State.Running = mapping.IsUp(c.State.Status)
	c.State.Health = workloadmeta.HealthUnknown
	c.State.CreatedAt = mapping.ParseTime(in.Created)
	if in.StartedAt > 0 {
		c.State.StartedAt = time.Unix(in.StartedAt, 0).UTC()
	}
	if c.State.Running {
		c.PID = in.PID
	}
	for _, p := range in.Ports {
		for protocol := range strings.SplitSeq(cmp.Or(p.Protocol, "tcp"), ",") {
			for i := 0; i < max(p.Range, 1) && len(c.Ports) < mapping.MaxPorts; i++ {
				port := workloadmeta.ContainerPort{Port: p.ContainerPort + i, Protocol: protocol}
				if host := p.HostPort + i; p.HostPort > 0 && host <= 65535 {
					port.HostPort = uint16(host)
				}
				c.Ports = append(c.Ports, port)
			}
		}
	}
	c.Ports = mapping.SortPorts(c.Ports)
	c.Owner = mapping.Owner(c.Labels)
	return runtimesync.Container{Key: in.ID, Entity: c, Sandbox: in.IsInfra ||
		mapping.IsSandbox(c.Labels)}, nil
}

// sameAsListed reports whether a list entry tells nothing new about a known container. A list has
// no health and its times are in seconds.
func sameAsListed(known, listed *workloadmeta.Container) bool {
	return known.Name == listed.Name && known.State.Status == listed.State.Status &&
		known.PID == listed.PID &&
		known.Image.ID == listed.Image.ID &&
		known.State.StartedAt.Unix() == listed.State.StartedAt.Unix() &&
		maps.Equal(known.Labels, listed.Labels)
}

// overlay returns what is known of a container, brought up to date with a list entry.
func overlay(known, listed *workloadmeta.Container) *workloadmeta.Container {
	c := *known
	c.Name, c.Labels = listed.Name, listed.Labels
	if known.State.Status != listed.State.Status {
		c.State.Health = workloadmeta.HealthUnknown
	}
	c.State.Status, c.State.Running = listed.State.Status, listed.State.Running
	if known.PID != listed.PID || known.State.StartedAt.Unix() != listed.State.StartedAt.Unix() {
		// Another life: it may have other addresses.
		c.PID, c.CgroupPath, c.CgroupInode = listed.PID, "", 0
		c.State.StartedAt, c.State.Health = listed.State.StartedAt, workloadmeta.HealthUnknown
		c.NetworkIPs, c.NetworkIPv6s = nil, nil
	}
	return &c
}

func status(s string) workloadmeta.ContainerStatus {
	switch s {
	case "created", "configured", "initialized":
		return workloadmeta.StatusCreated
	case "running", "stopping": // it has been sent a signal, and its process is still there
		return workloadmeta.StatusRunning
	case "paused":
		return workloadmeta.StatusPaused
	case "restarting":
		return workloadmeta.StatusRestarting
	case "stopped", "exited", "removing":
		return workloadmeta.StatusStopped
	}
	return workloadmeta.StatusUnknown
}

func mapState(c *workloadmeta.Container, in *containerAnswer) {
	s := &c.State
	s.Status, s.Health = status(in.State.Status), workloadmeta.HealthUnknown
	s.Running = mapping.IsUp(s.Status)
	s.OOMKilled = in.State.OOMKilled
	s.CreatedAt, s.StartedAt = mapping.ParseTime(in.Created),
		mapping.ParseTime(in.State.StartedAt)
	if s.Running {
		c.PID, c.CgroupPath = in.State.PID, in.State.CgroupPath
	}
	// A paused container's checks do not run and a stopped one keeps its last result: neither says
	// anything.
	if s.Status == workloadmeta.StatusRunning {
		for _, h := range []*healthAnswer{in.State.Health, in.State.Healthcheck} {
			if h != nil && h.Status != "" {
				s.Health = mapping.Health(h.Status)
			}
		}
	}
	// While it runs, the end and the exit code are those of the run before, or zero.
	if s.Status == workloadmeta.StatusStopped && !s.StartedAt.IsZero() {
		s.FinishedAt = mapping.ParseTime(in.State.FinishedAt)
		if in.State.ExitCode >= 0 {
			s.ExitCode = &in.State.ExitCode
		}
	}
}

// lost makes a container that is said to run, but of which the process is not there, one that has
// ended nobody knows how.
func lost(c *workloadmeta.Container) {
	c.PID, c.CgroupPath, c.CgroupInode = 0, "", 0
	c.State.Status, c.State.Running, c.State.Health = workloadmeta.StatusStopped, false,
		workloadmeta.HealthUnknown
}

// mapNetworks takes the addresses in each network, or, where Podman names no network, that of the
// only one there is, under its mode (slirp4netns, pasta, and every rootless container of Podman 3).
func mapNetworks(c *workloadmeta.Container, mode string, in *networkAnswer) {
	for name, a := range in.Networks {
		if a != nil {
			mapping.Put(&c.NetworkIPs, name, a.IPAddress)
			mapping.Put(&c.NetworkIPv6s, name, a.GlobalIPv6Address)
		}
	}
	if len(in.Networks) == 0 {
		mode, _, _ = strings.Cut(mode, ":")
		mapping.Put(&c.NetworkIPs, cmp.Or(mode, "podman"), in.IPAddress)
		mapping.Put(&c.NetworkIPv6s, cmp.Or(mode, "podman"), in.GlobalIPv6Address)
	}
}

func mapPorts(published map[string][]portBinding,
	exposed map[string]struct{}) []workloadmeta.ContainerPort {
	return mapping.Ports(published, exposed, func(b portBinding) string { return b.HostPort })
}

func mapSecurity(in *containerAnswer) *workloadmeta.ContainerSecurityContext {
	h := &in.HostConfig
	profile := workloadmeta.SeccompProfile{Type: mapping.SeccompDefault}
	for _, option := range h.SecurityOpt {
		path, ok := strings.CutPrefix(option, "seccomp=")
		switch {
		case !ok || path == "":
		case path == "unconfined":
			profile = workloadmeta.SeccompProfile{Type: mapping.SeccompUnconfined}
		default:
			profile = workloadmeta.SeccompProfile{Type: mapping.SeccompLocalhost,
				LocalhostProfile: path}
		}
	}
	return mapping.Security(h.Privileged, h.CapAdd, h.CapDrop, &profile)
}

// restarts reports whether Podman may start the container again by its policy, now that it has
// ended. That somebody has stopped it, and it is not, older versions do not tell.
func (in *containerAnswer) restarts() bool {
	if status(in.State.Status) != workloadmeta.StatusStopped || in.State.Status == "removing" {
		return false
	}
	switch p := in.HostConfig.RestartPolicy; p.Name {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		return in.State.ExitCode != 0 &&
			(p.MaximumRetryCount <= 0 || in.RestartCount < p.MaximumRetryCount)
	}
	return false
}

// reservedAttributes are the attributes of the event of a start that are no labels.
var reservedAttributes = [...]string{"image", "name", "podId", "containerExitCode"}

// podOf returns the ID of the pod that an event names, or "". A label may have the attribute's name
// where there is no pod.
func podOf(m *message) string {
	if id := m.Actor.Attributes["podId"]; mapping.IsFullImageID("sha256:" + id) {
		return id
	}
	return ""
}

// mapEvent makes an entity of what the event of a start carries, for a container that nothing else
// is known of: it runs since then.
func mapEvent(m *message) *workloadmeta.Container {
	a := m.Actor.Attributes
	c := mapping.NewContainer(m.Actor.ID, workloadmeta.RuntimePodman)
	c.Name, c.Image.RawName = a["name"], a["image"]
	if id := mapping.ImageID(c.Image.RawName); mapping.IsFullImageID(id) {
		c.Image.ID = id
	}
	labels := mapping.Metadata(a)
	for _, key := range reservedAttributes {
		delete(labels, key)
	}
	mapping.Put(&labels, labelPodID, podOf(m))
	c.Labels = mapping.NilIfEmpty(labels)
	c.State = workloadmeta.ContainerState{
		Running: true, Status: workloadmeta.StatusRunning, Health: workloadmeta.HealthUnknown,
		StartedAt: m.At(),
	}
	c.Owner = mapping.Owner(c.Labels)
	return c
}
