package containerd

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"google.golang.org/protobuf/proto"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/pkg/cgroup"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// annotationSnapshotter says which snapshotter holds the container's files. It is ours: containerd
// has it in a field.
const annotationSnapshotter = "containerd.io/snapshotter"

// podNetwork is the name under which a pod's addresses are reported: pods have one network.
const podNetwork = "pod"

// restartWithin is how long after its end a container counts as being restarted. The restart
// monitor looks every 10 seconds, and nothing tells when it has given up. An end as far in the
// future does not count either: the machine's clock has been set back since.
const restartWithin = time.Minute

// record is everything that containerd and its events tell of a container.
type record struct {
	namespace string
	containers.Container
	facts   facts
	process *task.Process // nil = there is no task
	hung    bool          // there is a task, but it does not answer
	sandbox *sandbox      // nil = not known
}

// keyOf is what follow knows a container by: an ID is unique in its namespace only.
func keyOf(namespace, id string) string { return namespace + "/" + id }

// mapper turns records into entities.
type mapper struct {
	env     *env.Filter
	machine machine
	memory  *memory
	now     func() time.Time
}

// container returns the entity, which owns everything in it. A part that cannot be read is left
// out, and named in the error.
func (m *mapper) container(in *record) (runtimesync.Container, error) {
	key := keyOf(in.namespace, in.ID)
	c := mapping.NewContainer(in.ID, workloadmeta.RuntimeContainerd)
	c.Namespace = namespaceOf(in)
	c.Labels = mapping.Metadata(in.Labels)
	c.Owner = mapping.Owner(in.Labels)
	c.RuntimeFlavor = mapping.Flavor(in.Runtime.Name)
	c.RestartCount = restartCount(in.Labels[labelRestartCount])
	policy := restartPolicy(in.Labels)
	out := runtimesync.Container{
		Key: key, Entity: c, Complete: !in.hung, Policy: policy,
		Sandbox: mapping.IsSandbox(in.Labels),
		Keep:    in.Labels[labelCRIKind] == "container",
	}

	s, problem := readSpec(&in.Container)
	if s == nil {
		s = new(spec)
	}
	cri, err := readCRI(&in.Container)
	problem = cmp.Or(problem, err)

	m.state(in, c, policy)
	c.EnvVars = m.variables(s)
	c.Hostname = hostname(in, s)
	c.CgroupPath = s.cgroupPath()
	if c.CgroupPath == "" && c.PID != 0 {
		c.CgroupPath = mapping.CgroupPath(m.machine.root, c.PID, c.ID)
	}
	m.description(in, c, s, cri)
	m.addresses(in, c, s)
	if c.RuntimeFlavor == workloadmeta.FlavorKata {
		c.PID = 0 // the machine's monitor; the container's processes are not on this machine
	}
	if c.PID != 0 {
		c.CgroupInode = cgroup.Inode(m.machine.root, c.CgroupPath)
	}
	if problem != nil {
		problem = fmt.Errorf("container %s: %w", key, problem)
	}
	return out, problem
}

// namespaceOf returns a container's namespace: containerd's, but of a pod's container that of the
// pod, as all who report it say.
func namespaceOf(in *record) string {
	if in.namespace == criNamespace {
		return in.Labels[mapping.LabelPodNamespace]
	}
	return in.namespace
}

// readSpec returns the OCI specification of a container, nil if there is none.
func readSpec(c *containers.Container) (*spec, error) {
	if c.Spec == nil || len(c.Spec.GetValue()) == 0 {
		return nil, nil
	}
	return decodeSpec(c.Spec.GetValue())
}

// readCRI returns the CRI plugin's record of a container, nil if it has none.
func readCRI(c *containers.Container) (*criContainer, error) {
	extension := c.Extensions[extensionContainer]
	if extension == nil {
		return nil, nil
	}
	return decodeCRIContainer(extension.GetValue())
}

func (m *mapper) variables(s *spec) map[string]string {
	if s.Process == nil {
		return nil
	}
	return mapping.NilIfEmpty(m.env.Filter(s.Process.Env))
}

// hostname: a pod's containers have that of its sandbox, which their own specification does not
// name.
func hostname(in *record, s *spec) string {
	pod := ""
	if in.sandbox != nil {
		pod = in.sandbox.hostname
	}
	return cmp.Or(s.Hostname, pod, in.Labels[labelNerdctlHostname], s.environment("HOSTNAME"))
}

// description fills in what does not change while the container is there.
func (m *mapper) description(in *record, c *workloadmeta.Container, s *spec, cri *criContainer) {
	annotations := mapping.Metadata(s.Annotations)
	name := ""
	limits, security := s.limits(cri != nil), s.security()
	c.Image.ID, c.Image.RawName = in.facts.imageID, in.Image
	c.Ports = nerdctlPorts(m.machine, in.ID, in.Labels)
	if cri != nil {
		config := &cri.Metadata.Config
		name = config.Metadata.Name
		for key, value := range mapping.Metadata(config.Annotations) {
			mapping.Put(&annotations, key, value)
		}
		if ports := mapping.KubernetesPorts(
			config.Annotations[mapping.AnnotationPorts]); ports != nil {
			c.Ports = ports
		}
		c.RestartCount = max(c.RestartCount,
			restartCount(config.Annotations[mapping.AnnotationRestarts]))
		if linux := config.Linux; linux != nil {
			// The specification is changed when a pod is resized, the record is not.
			if limits == nil && linux.Resources != nil {
				asked := linux.Resources.Limits()
				limits = &asked
			}
			if linux.Security != nil {
				asked := linux.Security.Context() // which says more than what came of it
				if asked.SeccompProfile == nil && s.Linux != nil && s.Linux.Seccomp == nil {
					asked.SeccompProfile = &workloadmeta.SeccompProfile{
						Type: mapping.SeccompUnconfined}
				}
				security = asked
			}
		}
		if id := mapping.ImageID(cri.Metadata.ImageRef); mapping.IsFullImageID(id) {
			c.Image.ID = id
		}
		if mapping.NamesID(c.Image.RawName, c.Image.ID) && config.Image.UserSpecified != "" {
			c.Image.RawName = config.Image.UserSpecified
		}
	}
	mapping.Put(&annotations, annotationSnapshotter, in.Snapshotter)
	c.Annotations = annotations
	c.SecurityContext = security
	if limits != nil {
		c.Resources = limits.Resources()
	}
	var devices []string
	if cri != nil {
		devices = mapping.CRIDevices(cri.Metadata.Config.Devices)
	}
	mapping.SetDevices(c, program(&in.Runtime), devices...)
	c.Name = cmp.Or(in.Labels[mapping.LabelContainerName], name, in.Labels[labelNerdctlName],
		s.Annotations[annotationCRIName], in.ID)
	c.State.CreatedAt = in.CreatedAt.UTC()
}

// program returns the OCI runtime's program if the options of the shim name one, else the shim.
func program(r *containers.RuntimeInfo) string {
	o := &options.Options{}
	if r.Options == nil ||
		r.Options.GetTypeUrl() != string(o.ProtoReflect().Descriptor().FullName()) ||
		proto.Unmarshal(r.Options.GetValue(), o) != nil {
		return r.Name
	}
	return cmp.Or(o.GetBinaryName(), r.Name)
}

// addresses fills in the container's addresses. Those of a pod are its sandbox's.
func (m *mapper) addresses(in *record, c *workloadmeta.Container, s *spec) {
	name := ""
	if in.Labels[labelCRIKind] != "" {
		name = podNetwork
		if in.sandbox != nil {
			if in.sandbox.hostNetwork {
				return
			}
			if len(in.sandbox.ips) > 0 {
				for _, ip := range slices.Backward(in.sandbox.ips) { // the first of a family counts
					putAddress(c, name, ip)
				}
				return
			}
		}
	}
	if networks := nerdctlNetworks(in.Labels); len(networks) == 1 {
		if name = networks[0]; name == "host" || name == "none" {
			return
		}
	}
	putAddress(c, name, in.Labels[labelNerdctlIP])
	putAddress(c, name, in.Labels[labelNerdctlIPv6])
	if c.PID == 0 || c.RuntimeFlavor == workloadmeta.FlavorKata || s.hostNetwork() ||
		c.NetworkIPs != nil || c.NetworkIPv6s != nil {
		return
	}
	v4, v6 := m.machine.addresses(c.PID)
	if len(v4) > 0 {
		putAddress(c, name, v4[0].String())
	}
	if len(v6) > 0 {
		putAddress(c, name, v6[0].String())
	}
}

func putAddress(c *workloadmeta.Container, network, ip string) {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return
	}
	target := &c.NetworkIPv6s
	if a = a.Unmap().WithZone(""); a.Is4() {
		target = &c.NetworkIPs
	}
	if *target == nil {
		*target = map[string]string{}
	}
	(*target)[network] = a.String()
}

// statusOf spells a task's status as the store does.
func statusOf(p *task.Process) workloadmeta.ContainerStatus {
	switch p.Status {
	case task.Status_CREATED:
		return workloadmeta.StatusCreated
	case task.Status_RUNNING:
		return workloadmeta.StatusRunning
	case task.Status_PAUSED, task.Status_PAUSING:
		return workloadmeta.StatusPaused
	case task.Status_STOPPED:
		return workloadmeta.StatusStopped
	}
	return workloadmeta.StatusUnknown
}

// state fills in what the container does, from its task, and where that is gone or does not answer,
// from what events have told.
func (m *mapper) state(in *record, c *workloadmeta.Container, policy string) {
	s := &c.State
	s.Health = workloadmeta.HealthUnknown
	s.Status = workloadmeta.StatusUnknown
	f := &in.facts
	if in.process != nil {
		s.Status = statusOf(in.process)
	}
	switch {
	case in.hung && f.end == nil:
		// There is a task. Its helper process does not answer, which is no reason to take the
		// container away.
		s.Status = workloadmeta.StatusRunning
		c.PID = f.pid
	case in.process == nil && (f.end != nil || f.pid != 0):
		s.Status = workloadmeta.StatusStopped // it has run, and no task is left
	case in.process == nil && f.pid == 0 && !f.createdAt.IsZero():
		s.Status = workloadmeta.StatusCreated // all its life was watched, and it never started
	}
	switch s.Status {
	case workloadmeta.StatusRunning, workloadmeta.StatusPaused:
		if in.process != nil {
			c.PID = int(in.process.Pid)
		}
		s.StartedAt = m.startedAt(in, c.PID)
		s.OOMKilled = f.oom
	case workloadmeta.StatusStopped:
		s.StartedAt = f.startedAt
		s.OOMKilled = f.oom
		if f.end != nil {
			s.ExitCode, s.FinishedAt = f.end.code, f.end.at
		}
		if p := in.process; p != nil {
			code := int64(p.ExitStatus)
			s.ExitCode = &code
			if at := p.ExitedAt.AsTime(); p.ExitedAt != nil && at.Year() > 1970 &&
				(f.end == nil || f.pid != int(p.Pid)) {
				s.FinishedAt = at
			}
		}
		if s.FinishedAt.Before(s.StartedAt) && !s.FinishedAt.IsZero() {
			s.FinishedAt = s.StartedAt // the start is told a moment after it has happened
		}
		if mapping.Restarts(policy, s.ExitCode) && m.now().Sub(s.FinishedAt).Abs() < restartWithin {
			s.Status = workloadmeta.StatusRestarting
		}
	}
	s.Running = mapping.IsUp(s.Status)
}

// startedAt returns when the task's process was started: as its event told, as the kernel says, or
// else when the container was made. It is remembered, so that it does not move.
func (m *mapper) startedAt(in *record, pid int) time.Time {
	if pid != 0 && in.facts.pid == pid && !in.facts.startedAt.IsZero() {
		return in.facts.startedAt
	}
	at, ok := m.machine.started(pid)
	// another machine's /proc, where the number means another process
	if !ok || at.Before(in.CreatedAt.Add(-time.Minute)) {
		at = in.CreatedAt.UTC()
	}
	m.memory.update(keyOf(in.namespace, in.ID), func(f *facts) {
		if f.pid == in.facts.pid { // no event has come meanwhile
			f.pid, f.startedAt, f.end, f.oom, f.idle = pid, at, nil, false, false
		}
	})
	return at
}

// thin returns what is known of a container from events alone: it runs.
func thin(namespace, id string, f *facts) *workloadmeta.Container {
	c := mapping.NewContainer(id, workloadmeta.RuntimeContainerd)
	if namespace != criNamespace {
		c.Namespace = namespace
	}
	if !isOCIID(id) {
		c.Name = id // the user has chosen it
	}
	c.Image.ID, c.Image.RawName = f.imageID, f.image
	c.RuntimeFlavor = mapping.Flavor(f.runtime)
	if c.RuntimeFlavor != workloadmeta.FlavorKata {
		c.PID = f.pid
	}
	c.State = workloadmeta.ContainerState{
		Running: true, Status: workloadmeta.StatusRunning, Health: workloadmeta.HealthUnknown,
		CreatedAt: f.createdAt, StartedAt: f.startedAt,
	}
	return c
}

// isOCIID reports whether an ID was made by the CRI plugin or nerdctl, and is no name.
func isOCIID(id string) bool { return len(id) == 64 && strings.Trim(id, "0123456789abcdef") == "" }

// sameAsListed reports whether a list that could not ask a container's task tells nothing new.
func sameAsListed(known, listed *workloadmeta.Container) bool {
	return known.State.Status == listed.State.Status && maps.Equal(known.Labels, listed.Labels)
}

// overlay returns what is known of a container with what a list tells that could not ask its task.
func overlay(known, listed *workloadmeta.Container) *workloadmeta.Container {
	c := *known
	c.Labels, c.Annotations, c.Resources = listed.Labels, listed.Annotations, listed.Resources
	return &c
}
