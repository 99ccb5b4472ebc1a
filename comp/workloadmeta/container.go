package workloadmeta

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Container is a container on this machine, whichever runtime runs it.
//
// Its ID is the runtime's ID without a scheme: 64 hexadecimal digits for OCI
// runtimes, the handle for Garden, "<task>-<n>" on Fargate.
type Container struct {
	EntityID
	EntityMeta
	EnvVars  map[string]string `json:"env,omitempty"` // allow-listed variables only
	Hostname string            `json:"hostname,omitempty"`
	Image    ContainerImage    `json:"image,omitzero"`
	// network name → IPv4 address
	NetworkIPs map[string]string `json:"network_ips,omitempty"`
	// network name → IPv6 address
	NetworkIPv6s map[string]string `json:"network_ipv6s,omitempty"`
	// of the first process; 0 when nothing runs
	PID           int                    `json:"pid,omitempty"`
	Ports         []ContainerPort        `json:"ports,omitempty"`
	Runtime       ContainerRuntime       `json:"runtime,omitempty"`
	RuntimeFlavor ContainerRuntimeFlavor `json:"runtime_flavor,omitempty"`
	State         ContainerState         `json:"state,omitzero"`
	RestartCount  int                    `json:"restart_count,omitempty"`
	// below the hierarchy's root
	CgroupPath string `json:"cgroup_path,omitempty"`
	// of the directory of its cgroup; 0 when nothing runs
	CgroupInode uint64 `json:"cgroup_inode,omitempty"`
	// Owner is the pod or task the container belongs to.
	Owner           *EntityID                 `json:"owner,omitempty"`
	SecurityContext *ContainerSecurityContext `json:"security_context,omitempty"`
	Resources       ContainerResources        `json:"resources,omitzero"`
	ResizePolicy    *ResizePolicy             `json:"resize_policy,omitempty"`
	// CollectorTags are complete tags that only the collector can know.
	CollectorTags      []string                     `json:"collector_tags,omitempty"`
	ECSContainer       *ECSContainer                `json:"ecs_container,omitempty"`
	ReadinessProbe     *ContainerProbe              `json:"readiness_probe,omitempty"`
	AllocatedResources []ContainerAllocatedResource `json:"resolved_allocated_resources,omitempty"`
	// GPUDeviceIDs are NVIDIA's GPUs that it may use, in the words of who gave them to it: UUIDs of
	// GPUs and of slices, positions on the machine ("0", of a slice "0:1"), or "all".
	GPUDeviceIDs []string `json:"gpu_device_ids,omitempty"`
}

// ContainerRole is what a container is for in its pod.
type ContainerRole string

// Roles.
const (
	RoleRegular   ContainerRole = "regular"
	RoleInit      ContainerRole = "init"    // runs to its end before the regular ones start
	RoleSidecar   ContainerRole = "sidecar" // an init container that goes on: restartPolicy Always
	RoleEphemeral ContainerRole = "ephemeral"
)

// ContainerRuntime names the software that runs a container. A kubelet may
// report names that are not among the constants.
type ContainerRuntime string

// Runtimes.
const (
	RuntimeDocker     ContainerRuntime = "docker"
	RuntimeContainerd ContainerRuntime = "containerd"
	RuntimePodman     ContainerRuntime = "podman"
	RuntimeCRIO       ContainerRuntime = "cri-o"
	RuntimeGarden     ContainerRuntime = "garden"
	RuntimeECSFargate ContainerRuntime = "ecsfargate"
)

// ContainerRuntimeFlavor names what isolates the container, where that is not
// the runtime's usual way.
type ContainerRuntimeFlavor string

// Flavors.
const (
	FlavorDefault ContainerRuntimeFlavor = ""
	FlavorKata    ContainerRuntimeFlavor = "kata"
	FlavorGVisor  ContainerRuntimeFlavor = "gvisor"
)

// ContainerStatus is where a container is in its life.
type ContainerStatus string

// Statuses. The empty status says nothing.
const (
	StatusUnknown    ContainerStatus = "unknown"
	StatusCreated    ContainerStatus = "created"
	StatusRunning    ContainerStatus = "running"
	StatusRestarting ContainerStatus = "restarting"
	StatusPaused     ContainerStatus = "paused"
	StatusStopped    ContainerStatus = "stopped"
)

// ContainerHealth is the result of a container's own health check.
type ContainerHealth string

// Health values. "unknown" never hides a real value of another source.
const (
	HealthUnknown   ContainerHealth = "unknown"
	HealthHealthy   ContainerHealth = "healthy"
	HealthUnhealthy ContainerHealth = "unhealthy"
)

// ContainerState is what a container is doing. Zero times are unknown.
type ContainerState struct {
	Running    bool            `json:"running,omitempty"`
	OOMKilled  bool            `json:"oom_killed,omitempty"`
	Status     ContainerStatus `json:"status,omitempty"`
	Health     ContainerHealth `json:"health,omitempty"`
	CreatedAt  time.Time       `json:"created_at,omitzero"`
	StartedAt  time.Time       `json:"started_at,omitzero"`
	FinishedAt time.Time       `json:"finished_at,omitzero"`
	ExitCode   *int64          `json:"exit_code,omitempty"` // nil = unknown or still running
	// Reason is why it is in its state, in the words of who runs it: Completed, Error, OOMKilled,
	// CrashLoopBackOff.
	Reason string `json:"reason,omitempty"`
}

func (s *ContainerState) equal(o *ContainerState) bool {
	return s.Running == o.Running && s.OOMKilled == o.OOMKilled && s.Status == o.Status &&
		s.Health == o.Health &&
		s.CreatedAt.Equal(o.CreatedAt) && s.StartedAt.Equal(o.StartedAt) &&
		s.FinishedAt.Equal(o.FinishedAt) &&
		equalPtr(s.ExitCode, o.ExitCode) && s.Reason == o.Reason
}

// known reports whether this says anything of what the container does.
func (s *ContainerState) known() bool {
	return s.Status != "" && s.Status != StatusUnknown || s.Running || s.ExitCode != nil ||
		!s.FinishedAt.IsZero()
}

// ContainerImage says what a container was started from.
type ContainerImage struct {
	ID         string `json:"id,omitempty"`       // as the runtime names it, "sha256:…"
	RawName    string `json:"raw_name,omitempty"` // as given by the user
	Name       string `json:"name,omitempty"`     // registry and path, without tag and digest
	Registry   string `json:"registry,omitempty"`
	ShortName  string `json:"short_name,omitempty"` // last part of the path
	Tag        string `json:"tag,omitempty"`
	RepoDigest string `json:"repo_digest,omitempty"` // "sha256:…", without the repository
}

func (i *ContainerImage) fill(o *ContainerImage) {
	fill(&i.ID, o.ID)
	fill(&i.RawName, o.RawName)
	fill(&i.Name, o.Name)
	fill(&i.Registry, o.Registry)
	fill(&i.ShortName, o.ShortName)
	fill(&i.Tag, o.Tag)
	fill(&i.RepoDigest, o.RepoDigest)
}

// ContainerPort is a port a container listens on. Protocol is spelt as the
// source spells it: lower case from Docker, upper case from Kubernetes.
type ContainerPort struct {
	Name     string `json:"name,omitempty"`
	Port     int    `json:"port,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	HostPort uint16 `json:"host_port,omitempty"` // 0 = not published
}

// ContainerResources are requests and limits. CPU is in percent of one core
// (100 = one core), memory in bytes, GPUs are counted; -1 GPUs are all there are.
// nil = not set.
type ContainerResources struct {
	CPURequest    *float64 `json:"cpu_request,omitempty"`
	CPULimit      *float64 `json:"cpu_limit,omitempty"`
	MemoryRequest *uint64  `json:"memory_request,omitempty"`
	MemoryLimit   *uint64  `json:"memory_limit,omitempty"`
	GPURequest    *int64   `json:"gpu_request,omitempty"`
	GPULimit      *int64   `json:"gpu_limit,omitempty"`
	GPUVendorList []string `json:"gpu_vendor_list,omitempty"`
	// GuaranteedWholeCore says that the container has whole cores for itself.
	GuaranteedWholeCore *bool `json:"guaranteed_whole_core,omitempty"`
}

// RawResources are the resources of a container or pod by their names, such as cpu,
// hugepages-2Mi and nvidia.com/gpu, in the orchestrator's own notation ("250m", "64Mi").
type RawResources struct {
	Requests map[string]string `json:"requests,omitempty"`
	Limits   map[string]string `json:"limits,omitempty"`
	// Allocated is what the node has set aside: another amount than requested while a resize is
	// on its way.
	Allocated map[string]string `json:"allocated,omitempty"`
}

func (r *RawResources) equal(o *RawResources) bool {
	return equalMaps(r.Requests, o.Requests) && equalMaps(r.Limits, o.Limits) &&
		equalMaps(r.Allocated, o.Allocated)
}

func (r *ContainerResources) equal(o *ContainerResources) bool {
	return equalPtr(r.CPURequest, o.CPURequest) && equalPtr(r.CPULimit, o.CPULimit) &&
		equalPtr(r.MemoryRequest, o.MemoryRequest) && equalPtr(r.MemoryLimit, o.MemoryLimit) &&
		equalPtr(r.GPURequest, o.GPURequest) && equalPtr(r.GPULimit, o.GPULimit) &&
		slices.Equal(r.GPUVendorList, o.GPUVendorList) &&
		equalPtr(r.GuaranteedWholeCore, o.GuaranteedWholeCore)
}

func (r *ContainerResources) fill(o *ContainerResources) {
	fill(&r.CPURequest, o.CPURequest)
	fill(&r.CPULimit, o.CPULimit)
	fill(&r.MemoryRequest, o.MemoryRequest)
	fill(&r.MemoryLimit, o.MemoryLimit)
	fill(&r.GPURequest, o.GPURequest)
	fill(&r.GPULimit, o.GPULimit)
	fillList(&r.GPUVendorList, o.GPUVendorList)
	fill(&r.GuaranteedWholeCore, o.GuaranteedWholeCore)
}

// ResizePolicy says what changing resources does to a running container.
type ResizePolicy struct {
	CPURestartPolicy    string `json:"cpu_restart_policy,omitempty"`
	MemoryRestartPolicy string `json:"memory_restart_policy,omitempty"`
}

// Capabilities are Linux capabilities added to and dropped from the default set.
type Capabilities struct {
	Add  []string `json:"add,omitempty"`
	Drop []string `json:"drop,omitempty"`
}

// SeccompProfile is the system-call filter. Type is Unconfined, RuntimeDefault or Localhost.
type SeccompProfile struct {
	Type             string `json:"type,omitempty"`
	LocalhostProfile string `json:"localhost_profile,omitempty"`
}

// ContainerSecurityContext is what a container may do on the host.
type ContainerSecurityContext struct {
	Capabilities *Capabilities `json:"capabilities,omitempty"`
	Privileged   bool          `json:"privileged,omitempty"`
	// SeccompProfile is the container's own, or else that of its pod.
	SeccompProfile *SeccompProfile `json:"seccomp_profile,omitempty"`
	// What is nil is not said, and the image decides.
	RunAsUser                *int64 `json:"run_as_user,omitempty"`
	RunAsGroup               *int64 `json:"run_as_group,omitempty"`
	RunAsNonRoot             *bool  `json:"run_as_non_root,omitempty"`
	AllowPrivilegeEscalation *bool  `json:"allow_privilege_escalation,omitempty"`
	ReadOnlyRootFilesystem   *bool  `json:"read_only_root_filesystem,omitempty"`
}

func (s *ContainerSecurityContext) equal(o *ContainerSecurityContext) bool {
	return s.Privileged == o.Privileged && equalPtr(s.SeccompProfile, o.SeccompProfile) &&
		equalPtr(s.RunAsUser, o.RunAsUser) && equalPtr(s.RunAsGroup, o.RunAsGroup) &&
		equalPtr(s.RunAsNonRoot, o.RunAsNonRoot) &&
		equalPtr(s.AllowPrivilegeEscalation, o.AllowPrivilegeEscalation) &&
		equalPtr(s.ReadOnlyRootFilesystem, o.ReadOnlyRootFilesystem) &&
		equalPtrFunc(s.Capabilities, o.Capabilities, func(a, b *Capabilities) bool {
			return slices.Equal(a.Add, b.Add) && slices.Equal(a.Drop, b.Drop)
		})
}

// ContainerAllocatedResource is a device handed to a container, such as
// {nvidia.com/gpu, GPU-…}. For one of dynamic resource allocation the name is the driver's and
// the ID the device's in its pool.
type ContainerAllocatedResource struct {
	Name string `json:"name,omitempty"`
	ID   string `json:"id,omitempty"`
	Pool string `json:"pool_name,omitempty"`
	// CDIDevices are the device's full names by which the runtime adds it to the container.
	CDIDevices []string `json:"cdi_devices,omitempty"`
	// NUMANodes are those that the device is near to.
	NUMANodes []int `json:"numa_nodes,omitempty"`
}

func (r ContainerAllocatedResource) equal(o ContainerAllocatedResource) bool {
	return r.is(o) && slices.Equal(r.CDIDevices, o.CDIDevices) &&
		slices.Equal(r.NUMANodes, o.NUMANodes)
}

// is reports whether both are the same device.
func (r ContainerAllocatedResource) is(o ContainerAllocatedResource) bool {
	return r.Name == o.Name && r.ID == o.ID && r.Pool == o.Pool
}

// mergeDevices unites two lists of devices without writing to either. What the first does not know
// of a device the second fills in.
func mergeDevices(first, second []ContainerAllocatedResource) []ContainerAllocatedResource {
	if len(first) == 0 {
		return second
	}
	if len(second) == 0 {
		return first
	}
	out := slices.Clone(first)
	for _, d := range second {
		i := slices.IndexFunc(out, d.is)
		if i < 0 {
			out = append(out, d)
			continue
		}
		fillOne(&out[i].CDIDevices, d.CDIDevices)
		fillOne(&out[i].NUMANodes, d.NUMANodes)
	}
	return out
}

// ContainerProbe is the part of a probe that matters here.
type ContainerProbe struct {
	InitialDelaySeconds int32 `json:"initial_delay_seconds,omitempty"`
	FailureThreshold    int32 `json:"failure_threshold,omitempty"`
}

// Equal implements [Entity].
func (c *Container) Equal(other Entity) bool {
	o, ok := other.(*Container)
	if !ok {
		return false
	}
	return c == o || c.EntityID == o.EntityID && c.Image == o.Image && c.State.equal(&o.State) &&
		c.PID == o.PID && c.Hostname == o.Hostname && c.RestartCount == o.RestartCount &&
		c.Runtime == o.Runtime && c.RuntimeFlavor == o.RuntimeFlavor &&
		c.CgroupPath == o.CgroupPath && c.CgroupInode == o.CgroupInode &&
		c.EntityMeta.equal(&o.EntityMeta) && equalMaps(c.EnvVars, o.EnvVars) &&
		equalMaps(c.NetworkIPs, o.NetworkIPs) && equalMaps(c.NetworkIPv6s, o.NetworkIPv6s) &&
		slices.Equal(c.Ports, o.Ports) && equalPtr(c.Owner, o.Owner) &&
		equalPtrFunc(c.SecurityContext, o.SecurityContext, (*ContainerSecurityContext).equal) &&
		c.Resources.equal(&o.Resources) && equalPtr(c.ResizePolicy, o.ResizePolicy) &&
		slices.Equal(c.CollectorTags, o.CollectorTags) &&
		equalPtrFunc(c.ECSContainer, o.ECSContainer, (*ECSContainer).equal) &&
		equalPtr(c.ReadinessProbe, o.ReadinessProbe) &&
		slices.EqualFunc(c.AllocatedResources, o.AllocatedResources,
			ContainerAllocatedResource.equal) &&
		slices.Equal(c.GPUDeviceIDs, o.GPUDeviceIDs)
}

func (c *Container) merged(views *views) Entity {
	out := &Container{EntityID: c.EntityID, Image: mergedImage(views.byIdentity)}
	for _, e := range views.byIdentity {
		v := e.(*Container)
		out.EntityMeta.fill(&v.EntityMeta)
		fillMap(&out.EnvVars, v.EnvVars)
		fill(&out.Hostname, v.Hostname)
		out.Ports = mergePorts(out.Ports, v.Ports)
		fill(&out.Runtime, v.Runtime)
		fill(&out.RuntimeFlavor, v.RuntimeFlavor)
		fill(&out.Owner, v.Owner)
		fill(&out.SecurityContext, v.SecurityContext)
		out.Resources.fill(&v.Resources)
		fill(&out.ResizePolicy, v.ResizePolicy)
		fillList(&out.CollectorTags, v.CollectorTags)
		fill(&out.ECSContainer, v.ECSContainer)
		fill(&out.ReadinessProbe, v.ReadinessProbe)
		out.AllocatedResources = mergeDevices(out.AllocatedResources, v.AllocatedResources)
		fillOne(&out.GPUDeviceIDs, v.GPUDeviceIDs)
	}
	best, others := observer(views, func(c *Container) bool { return c.State.known() })
	out.State, out.PID, out.RestartCount = best.State, best.PID, best.RestartCount
	open := best.State.Running || !best.State.known()
	for _, e := range others {
		v := e.(*Container)
		agrees := v.State.Running == best.State.Running
		if agrees && open {
			fill(&out.PID, v.PID)
			if v.PID == out.PID { // else of the run before, perhaps
				fill(&out.CgroupInode, v.CgroupInode)
			}
			if h := out.State.Health; h == "" || h == HealthUnknown && v.State.Health != "" {
				out.State.Health = v.State.Health
			}
		}
		// That of a later run would not fit the end.
		if started := v.State.StartedAt; agrees || started.Before(best.State.FinishedAt) {
			fillTime(&out.State.StartedAt, started)
		}
	}
	for _, e := range views.byObservation {
		v := e.(*Container)
		fillTime(&out.State.CreatedAt, v.State.CreatedAt)
		fill(&out.CgroupPath, v.CgroupPath)
		if len(out.NetworkIPs)+len(out.NetworkIPv6s) == 0 {
			out.NetworkIPs, out.NetworkIPv6s = v.NetworkIPs, v.NetworkIPv6s
		}
	}
	return out
}

// mergedImage returns the image as the first that knows its name has it, filled up by those
// that have the same name: parts of the names of two images make no third. ID and digest are
// anybody's.
func mergedImage(containers []Entity) (out ContainerImage) {
	for _, e := range containers {
		if image := &e.(*Container).Image; image.Name != "" {
			out = *image
			break
		}
	}
	for _, e := range containers {
		image := &e.(*Container).Image
		if out.Name == image.Name || out.Name == "" {
			out.fill(image)
			continue
		}
		fill(&out.ID, image.ID)
		fill(&out.RepoDigest, image.RepoDigest)
	}
	return out
}

// mergePorts unites two lists of ports. An empty side leaves the other as it is.
// Otherwise ports are the same when number and protocol are, however that is spelt; the
// first one stays, unless the other brings a name or a host port where there was
// none: then the other replaces it whole. The result is sorted by number, then protocol.
func mergePorts(first, second []ContainerPort) []ContainerPort {
	if len(second) == 0 {
		return first
	}
	if len(first) == 0 {
		return second
	}
	type key struct {
		port     int
		protocol string
	}
	merged := make(map[key]ContainerPort, len(first)+len(second))
	for _, list := range [][]ContainerPort{first, second} {
		for _, p := range list {
			k := key{p.Port, strings.ToLower(p.Protocol)}
			have, ok := merged[k]
			if !ok || have.Name == "" && p.Name != "" || have.HostPort == 0 && p.HostPort != 0 {
				merged[k] = p
			}
		}
	}
	return slices.SortedFunc(maps.Values(merged), func(a, b ContainerPort) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
	})
}
