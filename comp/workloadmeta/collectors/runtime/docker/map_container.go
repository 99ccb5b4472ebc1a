package docker

import (
	"cmp"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// mapInspect turns the answer to an inspection into an entity, which owns everything in it.
func mapInspect(in *container.InspectResponse, allowed *env.Filter) (runtimesync.Container, error) {
	if in.ContainerJSONBase == nil || in.ID == "" {
		return runtimesync.Container{}, errors.New("inspect answer without an ID")
	}
	c := mapping.NewContainer(in.ID, workloadmeta.RuntimeDocker)
	c.Name = strings.TrimPrefix(in.Name, "/")
	c.Image.ID = mapping.ImageID(in.Image)
	c.RestartCount = in.RestartCount
	mapState(c, in.State)
	c.State.CreatedAt = mapping.ParseTime(in.Created)
	if in.Config != nil {
		c.Labels = mapping.Metadata(in.Config.Labels)
		c.Hostname = in.Config.Hostname
		c.EnvVars = mapping.NilIfEmpty(allowed.Filter(in.Config.Env))
		c.Image.RawName = in.Config.Image
	}
	if in.NetworkSettings != nil {
		mapNetworks(c, in.NetworkSettings.Networks)
	}
	c.Ports = mapPorts(in)
	policy := "no"
	runtime, devices := "", []string(nil)
	if h := in.HostConfig; h != nil {
		policy = cmp.Or(string(h.RestartPolicy.Name), "no")
		c.Annotations = mapping.Metadata(h.Annotations)
		c.RuntimeFlavor = mapping.Flavor(h.Runtime)
		c.Resources = mapResources(&h.Resources)
		c.SecurityContext = mapSecurity(h)
		runtime, devices = h.Runtime, askedDevices(h.DeviceRequests)
	}
	c.Owner = mapping.Owner(c.Labels)
	mapping.SetDevices(c, runtime, devices...)
	return runtimesync.Container{Key: in.ID, Entity: c, Complete: true, Policy: policy}, nil
}

// mapList turns an entry of the list of containers into an entity that lacks what only an
// inspection tells.
func mapList(in *container.Summary) (*workloadmeta.Container, error) {
	if in.ID == "" {
		return nil, errors.New("list entry without an ID")
	}
	c := mapping.NewContainer(in.ID, workloadmeta.RuntimeDocker)
	c.Name = listName(in.Names)
	c.Labels = mapping.Metadata(in.Labels)
	c.Annotations = mapping.Metadata(in.HostConfig.Annotations)
	c.Image.ID, c.Image.RawName = mapping.ImageID(in.ImageID), in.Image
	c.State.Status = status(in.State)
	c.State.Running = mapping.IsUp(c.State.Status)
	c.State.Health = workloadmeta.HealthUnknown
	if in.Created > 0 {
		c.State.CreatedAt = time.Unix(in.Created, 0).UTC()
	}
	// The health is only in the text for people: "Up 5 minutes (healthy)".
	if c.State.Status == workloadmeta.StatusRunning {
		switch {
		case strings.HasSuffix(in.Status, "(healthy)"):
			c.State.Health = workloadmeta.HealthHealthy
		case strings.HasSuffix(in.Status, "(unhealthy)"):
			c.State.Health = workloadmeta.HealthUnhealthy
		}
	}
	if in.NetworkSettings != nil {
		mapNetworks(c, in.NetworkSettings.Networks)
	}
	for _, p := range in.Ports {
		c.Ports = append(c.Ports,
			workloadmeta.ContainerPort{Port: int(p.PrivatePort), Protocol: p.Type,
				HostPort: p.PublicPort})
	}
	c.Ports = mapping.SortPorts(c.Ports)
	c.Owner = mapping.Owner(c.Labels)
	return c, nil
}

// attributeExitCode is where the event of an end has the exit code. The daemon copies the
// container's labels over what it tells itself, but for the image and the name.
const attributeExitCode = "exitCode"

// mapEvent makes an entity of what the event of a start carries, for a container that nothing else
// is known of: it runs since then.
func mapEvent(m *message) *workloadmeta.Container {
	c := mapping.NewContainer(m.Actor.ID, workloadmeta.RuntimeDocker)
	c.Name = strings.TrimPrefix(m.Actor.Attributes["name"], "/")
	c.Image.RawName = m.Actor.Attributes["image"]
	if strings.HasPrefix(c.Image.RawName, "sha256:") {
		c.Image.ID = c.Image.RawName
	}
	// A start has no attributes but these, and the labels.
	labels := mapping.Metadata(m.Actor.Attributes)
	delete(labels, "image")
	delete(labels, "name")
	c.Labels = mapping.NilIfEmpty(labels)
	c.State = workloadmeta.ContainerState{
		Running: true, Status: workloadmeta.StatusRunning, Health: workloadmeta.HealthUnknown,
		StartedAt: m.At(),
	}
	c.Owner = mapping.Owner(c.Labels)
	return c
}

// listName picks the container's own name: the others are aliases that links have given it.
func listName(names []string) string {
	for _, name := range names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			return name
		}
	}
	return ""
}

func status(s string) workloadmeta.ContainerStatus {
	switch s {
	case container.StateCreated:
		return workloadmeta.StatusCreated
	case container.StateRunning:
		return workloadmeta.StatusRunning
	case container.StatePaused:
		return workloadmeta.StatusPaused
	case container.StateRestarting:
		return workloadmeta.StatusRestarting
	case container.StateRemoving, container.StateExited, container.StateDead:
		return workloadmeta.StatusStopped
	}
	return workloadmeta.StatusUnknown
}

func mapState(c *workloadmeta.Container, in *container.State) {
	c.State.Status, c.State.Health = workloadmeta.StatusUnknown, workloadmeta.HealthUnknown
	if in == nil {
		return
	}
	s := &c.State
	s.Status = status(in.Status)
	s.Running = mapping.IsUp(s.Status)
	s.OOMKilled = in.OOMKilled
	s.StartedAt = mapping.ParseTime(in.StartedAt)
	if s.Running {
		c.PID = in.Pid
	}
	// A paused container's checks fail and a stopped one keeps its last result: neither says
	// anything.
	if s.Status == workloadmeta.StatusRunning && in.Health != nil {
		s.Health = mapping.Health(string(in.Health.Status))
	}
	// While it runs, the end and the exit code are those of the run before, or zero.
	if s.Status == workloadmeta.StatusStopped || s.Status == workloadmeta.StatusRestarting {
		s.FinishedAt = mapping.ParseTime(in.FinishedAt)
		if in.ExitCode >= 0 {
			code := int64(in.ExitCode)
			s.ExitCode = &code
		}
	}
}

// sameAsListed reports whether a list entry tells nothing new about a known container.
func sameAsListed(known, listed *workloadmeta.Container) bool {
	return known.Name == listed.Name && known.State.Status == listed.State.Status &&
		known.State.Health == listed.State.Health && known.Image.ID == listed.Image.ID &&
		maps.Equal(known.Labels, listed.Labels) &&
		maps.Equal(known.NetworkIPs, listed.NetworkIPs) &&
		maps.Equal(known.NetworkIPv6s, listed.NetworkIPv6s)
}

// overlay returns what is known of a container, brought up to date with a list entry. Which process
// runs may have changed since, so it is left out.
func overlay(known, listed *workloadmeta.Container) *workloadmeta.Container {
	c := *known
	c.Name, c.Labels = listed.Name, listed.Labels
	c.State.Status, c.State.Running, c.State.Health = listed.State.Status, listed.State.Running,
		listed.State.Health
	c.NetworkIPs, c.NetworkIPv6s = listed.NetworkIPs, listed.NetworkIPv6s
	c.PID, c.CgroupInode = 0, 0
	return &c
}
