package docker

import (
	"cmp"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// Labels that Kubernetes' Docker shims put on containers.
const (
	labelPodUID        = "io.kubernetes.pod.uid"
	labelPodName       = "io.kubernetes.pod.name"
	labelContainerName = "io.kubernetes.container.name"
	labelType          = "io.kubernetes.docker.type"
)

// inspected is what an inspection says about a container.
type inspected struct {
	entity *workloadmeta.Container // its image has only ID and RawName
	policy string                  // restart policy: "no", "always", "unless-stopped", "on-failure"
}

// mapInspect turns the answer to an inspection into an entity, which owns everything in it.
func mapInspect(in *container.InspectResponse, allowed *env.Filter) (inspected, error) {
	if in.ContainerJSONBase == nil || in.ID == "" {
		return inspected{}, errors.New("inspect answer without an ID")
	}
	c := &workloadmeta.Container{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: in.ID},
		Runtime:  workloadmeta.RuntimeDocker,
	}
	c.Name = strings.TrimPrefix(in.Name, "/")
	c.Image.ID = imageID(in.Image)
	c.RestartCount = in.RestartCount
	mapState(c, in.State)
	c.State.CreatedAt = parseTime(in.Created)
	if in.Config != nil {
		c.Labels = metadata(in.Config.Labels)
		c.Hostname = in.Config.Hostname
		c.EnvVars = nilIfEmpty(allowed.Filter(in.Config.Env))
		c.Image.RawName = in.Config.Image
	}
	if in.NetworkSettings != nil {
		mapNetworks(c, in.NetworkSettings.Networks)
	}
	c.Ports = mapPorts(in)
	policy := "no"
	if h := in.HostConfig; h != nil {
		policy = cmp.Or(string(h.RestartPolicy.Name), "no")
		c.Annotations = metadata(h.Annotations)
		c.RuntimeFlavor = flavor(h.Runtime)
		c.Resources = mapResources(&h.Resources)
		c.SecurityContext = mapSecurity(h)
	}
	c.Owner = owner(c.Labels)
	return inspected{entity: c, policy: policy}, nil
}

// mapList turns an entry of the list of containers into an entity that lacks what only an inspection tells.
func mapList(in *container.Summary) (*workloadmeta.Container, error) {
	if in.ID == "" {
		return nil, errors.New("list entry without an ID")
	}
	c := &workloadmeta.Container{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: in.ID},
		Runtime:  workloadmeta.RuntimeDocker,
	}
	c.Name = listName(in.Names)
	c.Labels = metadata(in.Labels)
	c.Annotations = metadata(in.HostConfig.Annotations)
	c.Image.ID, c.Image.RawName = imageID(in.ImageID), in.Image
	c.State.Status = status(in.State)
	c.State.Running = isUp(c.State.Status)
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
		c.Ports = append(c.Ports, workloadmeta.ContainerPort{Port: int(p.PrivatePort), Protocol: p.Type, HostPort: p.PublicPort})
	}
	c.Ports = sortPorts(c.Ports)
	c.Owner = owner(c.Labels)
	return c, nil
}

// reservedAttributes are the attributes of a container event that are no labels.
var reservedAttributes = [...]string{
	"image", "name", "exitCode", "containerExitCode", "execDuration", "signal", "execID", "oldName", "comment", "imageID", "imageRef",
}

// mapEvent makes an entity of what an event carries, for a container that nothing else is known of: it runs
// since the event.
func mapEvent(m *message) *workloadmeta.Container {
	c := &workloadmeta.Container{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: m.Actor.ID},
		Runtime:  workloadmeta.RuntimeDocker,
	}
	c.Name = strings.TrimPrefix(m.Actor.Attributes["name"], "/")
	c.Image.RawName = m.Actor.Attributes["image"]
	if strings.HasPrefix(c.Image.RawName, "sha256:") {
		c.Image.ID = c.Image.RawName
	}
	labels := metadata(m.Actor.Attributes)
	for _, key := range reservedAttributes {
		delete(labels, key)
	}
	c.Labels = nilIfEmpty(labels)
	c.State = workloadmeta.ContainerState{
		Running: true, Status: workloadmeta.StatusRunning, Health: workloadmeta.HealthUnknown, StartedAt: m.at(),
	}
	c.Owner = owner(c.Labels)
	return c
}

// lastApplied is the annotation in which kubectl keeps the whole manifest of a pod, with the plain values of its
// environment. Kubernetes' Docker shims make it a label of the pod's sandbox, with "annotation." before it.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// metadata copies labels or annotations without what may hold secrets.
func metadata(in map[string]string) map[string]string {
	out := maps.Clone(in)
	maps.DeleteFunc(out, func(key, _ string) bool { return strings.HasSuffix(key, lastApplied) })
	return out
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

// isUp reports whether a container of this status is one that is there: Docker says of a restarting container that
// it runs, although it has no process at the moment.
func isUp(s workloadmeta.ContainerStatus) bool {
	return s == workloadmeta.StatusRunning || s == workloadmeta.StatusPaused || s == workloadmeta.StatusRestarting
}

func mapState(c *workloadmeta.Container, in *container.State) {
	c.State.Status, c.State.Health = workloadmeta.StatusUnknown, workloadmeta.HealthUnknown
	if in == nil {
		return
	}
	s := &c.State
	s.Status = status(in.Status)
	s.Running = isUp(s.Status)
	s.OOMKilled = in.OOMKilled
	s.StartedAt = parseTime(in.StartedAt)
	if s.Running {
		c.PID = in.Pid
	}
	// A paused container's checks fail and a stopped one keeps its last result: neither says anything.
	if s.Status == workloadmeta.StatusRunning && in.Health != nil {
		s.Health = health(string(in.Health.Status))
	}
	// While it runs, the end and the exit code are those of the run before, or zero.
	if s.Status == workloadmeta.StatusStopped || s.Status == workloadmeta.StatusRestarting {
		s.FinishedAt = parseTime(in.FinishedAt)
		if in.ExitCode >= 0 {
			code := int64(in.ExitCode)
			s.ExitCode = &code
		}
	}
}

func health(s string) workloadmeta.ContainerHealth {
	switch s {
	case string(container.Healthy):
		return workloadmeta.HealthHealthy
	case string(container.Unhealthy):
		return workloadmeta.HealthUnhealthy
	}
	return workloadmeta.HealthUnknown
}

// parseTime reads the daemon's time format. Its zero is the year 1.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t.UTC()
}

// owner returns the pod that Kubernetes' labels name. For a static pod it is the hash that the kubelet uses as well.
func owner(labels map[string]string) *workloadmeta.EntityID {
	if uid := labels[labelPodUID]; uid != "" {
		return &workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: uid}
	}
	return nil
}

// isSandbox reports whether the labels are those of a pod's sandbox.
func isSandbox(labels map[string]string) bool {
	if labels[labelType] == "podsandbox" || labels[labelContainerName] == "POD" {
		return true
	}
	_, pod := labels[labelPodName]
	_, name := labels[labelContainerName]
	return pod && !name
}

func flavor(runtime string) workloadmeta.ContainerRuntimeFlavor {
	switch runtime = path.Base(runtime); {
	case strings.HasPrefix(runtime, "io.containerd.kata"), strings.HasPrefix(runtime, "kata"):
		return workloadmeta.FlavorKata
	case strings.HasPrefix(runtime, "runsc"), strings.HasPrefix(runtime, "io.containerd.runsc"):
		return workloadmeta.FlavorGVisor
	}
	return workloadmeta.FlavorDefault
}

// imageID returns an image's ID with its algorithm.
func imageID(s string) string {
	if len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" {
		return "sha256:" + s
	}
	return s
}

func nilIfEmpty(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// sameAsListed reports whether a list entry tells nothing new about a known container.
func sameAsListed(known, listed *workloadmeta.Container) bool {
	return known.Name == listed.Name && known.State.Status == listed.State.Status &&
		known.State.Health == listed.State.Health && known.Image.ID == listed.Image.ID &&
		maps.Equal(known.Labels, listed.Labels) &&
		maps.Equal(known.NetworkIPs, listed.NetworkIPs) && maps.Equal(known.NetworkIPv6s, listed.NetworkIPv6s)
}

// overlay returns what is known of a container, brought up to date with a list entry. Which process runs may have changed
// since, so it is left out.
func overlay(known, listed *workloadmeta.Container) *workloadmeta.Container {
	c := *known
	c.Name, c.Labels = listed.Name, listed.Labels
	c.State.Status, c.State.Running, c.State.Health = listed.State.Status, listed.State.Running, listed.State.Health
	c.NetworkIPs, c.NetworkIPv6s = listed.NetworkIPs, listed.NetworkIPv6s
	c.PID = 0
	return &c
}

// sortPorts orders ports and removes doubles; a port that is published needs no entry without a host port.
func sortPorts(ports []workloadmeta.ContainerPort) []workloadmeta.ContainerPort {
	slices.SortFunc(ports, comparePorts)
	ports = slices.Compact(ports)
	return slices.Clip(slices.DeleteFunc(ports, func(p workloadmeta.ContainerPort) bool { return p.Port <= 0 || p.Port > 65535 }))
}
