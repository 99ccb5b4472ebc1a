package podmap

import (
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

// joiner joins what is wanted and what is observed of the containers of one pod.
type joiner struct {
	mapper *Mapper
	pod    *object.Pod
	out    *Mapped
	labels map[string]string // of all containers
}

// list maps one of a pod's lists of containers, in the order of its specification. The kubelet
// sorts statuses of regular containers by name.
func (j joiner) list(specs []object.Container, statuses []object.ContainerStatus,
	role workloadmeta.ContainerRole) []workloadmeta.OrchestratorContainer {
	if len(specs)+len(statuses) == 0 {
		return nil
	}
	byName := make(map[string]*object.ContainerStatus, len(statuses))
	for i := range statuses {
		byName[statuses[i].Name] = &statuses[i]
	}
	out := make([]workloadmeta.OrchestratorContainer, 0, len(specs))
	for i := range specs {
		spec := &specs[i]
		status := byName[spec.Name]
		delete(byName, spec.Name)
		if status == nil {
			status = &object.ContainerStatus{Name: spec.Name}
		}
		out = append(out, j.container(spec, status, role))
	}
	for i := range statuses { // of a container that the specification lacks: a race, or a mistake
		if status := &statuses[i]; byName[status.Name] == status {
			out = append(out, j.container(&object.Container{Name: status.Name}, status, role))
		}
	}
	return out
}

// container maps one container to what its pod says of it, and to entities if the runtime has made
// it.
func (j joiner) container(spec *object.Container, status *object.ContainerStatus,
	role workloadmeta.ContainerRole) workloadmeta.OrchestratorContainer {
	policy := ""
	if spec.RestartPolicy != nil {
		policy = *spec.RestartPolicy
	}
	if role == workloadmeta.RoleInit && policy == "Always" {
		role = workloadmeta.RoleSidecar
	}
	runtime, id := splitID(status.ContainerID)
	entry := workloadmeta.OrchestratorContainer{ID: id, Name: spec.Name,
		Image: imageOf(firstNonEmpty(spec.Image, status.Image), status.ImageID),
		Role:  role, RestartPolicy: policy, ResizePolicy: resizePolicy(spec.ResizePolicy)}
	entry.Resources, entry.RawResources = resourcesOf(spec.Resources, status.Resources,
		status.AllocatedResources)
	for _, claim := range spec.Resources.Claims {
		entry.ResourceClaims = append(entry.ResourceClaims, claim.Name)
	}
	j.out.Pod.RestartCount += int(status.RestartCount)
	if waiting(status) {
		entry.Waiting = "Waiting"
		if w := status.State.Waiting; w != nil && w.Reason != "" {
			entry.Waiting = w.Reason
		}
	}
	base := workloadmeta.Container{
		EntityMeta: workloadmeta.EntityMeta{Name: spec.Name, Labels: j.labels},
		Owner:      &workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: j.out.Pod.ID},
		Image:      entry.Image, Runtime: runtime,
	}
	if previous := status.LastState.Terminated; previous != nil {
		if before, was := splitID(previous.ContainerID); was != "" && was != id {
			c := base
			c.EntityID = workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: was}
			c.Runtime, c.State = before, terminated(previous)
			j.out.Containers = append(j.out.Containers, &c)
		}
	}
	if id == "" {
		return entry
	}
	c := base
	c.EntityID = workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id}
	c.EnvVars = j.mapper.variables(spec.Env, j.pod)
	c.Ports = ports(spec.Ports)
	c.Resources, c.ResizePolicy = entry.Resources, entry.ResizePolicy
	c.SecurityContext = security(spec.SecurityContext, j.pod.Spec.SecurityContext)
	if p := spec.ReadinessProbe; p != nil {
		c.ReadinessProbe = &workloadmeta.ContainerProbe{InitialDelaySeconds: p.InitialDelaySeconds,
			FailureThreshold: p.FailureThreshold}
	}
	c.RestartCount = int(status.RestartCount)
	c.State = stateOf(status, id)
	// A finished init container is ready and a running ephemeral one is not: that is no health.
	if c.State.Running && (role == workloadmeta.RoleRegular || role == workloadmeta.RoleSidecar) {
		c.State.Health = workloadmeta.HealthUnhealthy
		if status.Ready {
			c.State.Health = workloadmeta.HealthHealthy
		}
	}
	j.out.Containers = append(j.out.Containers, &c)
	return entry
}

// splitID returns the runtime and the ID in "containerd://<id>".
func splitID(full string) (workloadmeta.ContainerRuntime, string) {
	runtime, id, ok := strings.Cut(full, "://")
	if !ok {
		return "", ""
	}
	return workloadmeta.ContainerRuntime(runtime), id
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// imageOf returns the image by the name in the specification: an image with several names has any
// of them in the status.
func imageOf(name, id string) workloadmeta.ContainerImage {
	id = strings.TrimPrefix(id, "docker-pullable://")
	ref, _ := image.ForContainer(name) // what cannot be split is the name as it is
	return workloadmeta.ContainerImage{ID: id, RawName: name, Name: ref.Name,
		Registry: ref.Registry, ShortName: ref.ShortName, Tag: ref.Tag,
		RepoDigest: image.RepoDigest(id)}
}

// waiting reports whether the container has not started, or not again.
func waiting(s *object.ContainerStatus) bool {
	return s.State.Running == nil && s.State.Terminated == nil
}

// stateOf returns what the container with the status's ID does. While another instance is waited
// for the ID is still that of the one that has ended.
func stateOf(s *object.ContainerStatus, id string) workloadmeta.ContainerState {
	switch {
	case s.State.Running != nil:
		return workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning,
			StartedAt: s.State.Running.StartedAt.Time}
	case s.State.Terminated != nil:
		return terminated(s.State.Terminated)
	}
	reason := ""
	if s.State.Waiting != nil {
		reason = s.State.Waiting.Reason
	}
	if last := s.LastState.Terminated; last != nil {
		if _, was := splitID(last.ContainerID); was == id {
			state := terminated(last)
			state.Reason = firstNonEmpty(state.Reason, reason)
			return state
		}
	}
	return workloadmeta.ContainerState{Status: workloadmeta.StatusCreated, Reason: reason}
}

func terminated(t *object.StateTerminated) workloadmeta.ContainerState {
	code := int64(t.ExitCode)
	return workloadmeta.ContainerState{Status: workloadmeta.StatusStopped, ExitCode: &code,
		StartedAt: t.StartedAt.Time, FinishedAt: t.FinishedAt.Time, Reason: t.Reason,
		OOMKilled: t.Reason == "OOMKilled"}
}

func ports(in []object.ContainerPort) []workloadmeta.ContainerPort {
	var out []workloadmeta.ContainerPort
	for _, p := range in {
		port := workloadmeta.ContainerPort{Name: p.Name, Port: int(p.ContainerPort),
			Protocol: p.Protocol}
		if p.HostPort > 0 && p.HostPort <= 65535 {
			port.HostPort = uint16(p.HostPort)
		}
		out = append(out, port)
	}
	return out
}

func resizePolicy(in []object.ResizePolicy) *workloadmeta.ResizePolicy {
	var out workloadmeta.ResizePolicy
	for _, p := range in {
		switch p.ResourceName {
		case "cpu":
			out.CPURestartPolicy = p.RestartPolicy
		case "memory":
			out.MemoryRestartPolicy = p.RestartPolicy
		}
	}
	if out == (workloadmeta.ResizePolicy{}) {
		return nil
	}
	return &out
}

// security returns what a container may do. What it does not say itself its pod says.
func security(c *object.SecurityContext,
	pod *object.PodSecurityContext) *workloadmeta.ContainerSecurityContext {
	if c == nil {
		c = &object.SecurityContext{}
	}
	if pod == nil {
		pod = &object.PodSecurityContext{}
	}
	out := workloadmeta.ContainerSecurityContext{
		Privileged:               c.Privileged != nil && *c.Privileged,
		RunAsUser:                either(c.RunAsUser, pod.RunAsUser),
		RunAsGroup:               either(c.RunAsGroup, pod.RunAsGroup),
		RunAsNonRoot:             either(c.RunAsNonRoot, pod.RunAsNonRoot),
		AllowPrivilegeEscalation: c.AllowPrivilegeEscalation,
		ReadOnlyRootFilesystem:   c.ReadOnlyRootFilesystem,
		SeccompProfile:           seccomp(either(c.SeccompProfile, pod.SeccompProfile)),
	}
	if caps := c.Capabilities; caps != nil && len(caps.Add)+len(caps.Drop) > 0 {
		out.Capabilities = &workloadmeta.Capabilities{Add: caps.Add, Drop: caps.Drop}
	}
	if out == (workloadmeta.ContainerSecurityContext{}) {
		return nil
	}
	return &out
}

func either[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}
