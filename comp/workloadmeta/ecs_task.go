package workloadmeta

import (
	"slices"
	"time"
)

// ECSTask is a task of Amazon ECS. Its ID is the full task ARN.
type ECSTask struct {
	EntityID
	EntityMeta
	ClusterName          string        `json:"cluster_name,omitempty"` // short name
	ClusterARN           string        `json:"cluster_arn,omitempty"`
	ServiceName          string        `json:"service_name,omitempty"`
	ServiceARN           string        `json:"service_arn,omitempty"`
	DaemonName           string        `json:"daemon_name,omitempty"`
	DaemonARN            string        `json:"daemon_arn,omitempty"`
	TaskDefinitionARN    string        `json:"task_definition_arn,omitempty"`
	ContainerInstanceARN string        `json:"container_instance_arn,omitempty"`
	AWSAccountID         string        `json:"aws_account_id,omitempty"` // 12 digits
	Region               string        `json:"region,omitempty"`
	AvailabilityZone     string        `json:"availability_zone,omitempty"`
	Family               string        `json:"family,omitempty"`
	Version              string        `json:"version,omitempty"`
	LaunchType           ECSLaunchType `json:"launch_type,omitempty"`
	DesiredStatus        string        `json:"desired_status,omitempty"`
	KnownStatus          string        `json:"known_status,omitempty"`
	VPCID                string        `json:"vpc_id,omitempty"`
	PullStartedAt        *time.Time    `json:"pull_started_at,omitempty"`
	PullStoppedAt        *time.Time    `json:"pull_stopped_at,omitempty"`
	ExecutionStoppedAt   *time.Time    `json:"execution_stopped_at,omitempty"`
	// MiB by name
	EphemeralStorageMetrics map[string]int64 `json:"ephemeral_storage_metrics,omitempty"`
	// as the metadata endpoint gives them
	Limits                map[string]float64      `json:"limits,omitempty"`
	Tags                  map[string]string       `json:"tags,omitempty"`
	ContainerInstanceTags map[string]string       `json:"container_instance_tags,omitempty"`
	Containers            []OrchestratorContainer `json:"containers,omitempty"`
}

// ECSLaunchType says where a task runs.
type ECSLaunchType string

// Launch types.
const (
	ECSLaunchTypeEC2              ECSLaunchType = "ec2"
	ECSLaunchTypeFargate          ECSLaunchType = "fargate"
	ECSLaunchTypeManagedInstances ECSLaunchType = "managed_instances"
)

// ECSContainer is what ECS alone knows about a container.
type ECSContainer struct {
	DisplayName   string                 `json:"display_name,omitempty"`
	DesiredStatus string                 `json:"desired_status,omitempty"`
	KnownStatus   string                 `json:"known_status,omitempty"`
	Type          string                 `json:"type,omitempty"`
	LogDriver     string                 `json:"log_driver,omitempty"`
	ContainerARN  string                 `json:"container_arn,omitempty"`
	Snapshotter   string                 `json:"snapshotter,omitempty"`
	Networks      []ContainerNetwork     `json:"networks,omitempty"`
	Volumes       []ContainerVolume      `json:"volumes,omitempty"`
	Health        *ContainerHealthStatus `json:"health,omitempty"`
	LogOptions    map[string]string      `json:"log_options,omitempty"`
}

// ContainerNetwork is a network attachment of an ECS container.
type ContainerNetwork struct {
	NetworkMode   string   `json:"network_mode,omitempty"`
	IPv4Addresses []string `json:"ipv4_addresses,omitempty"`
	IPv6Addresses []string `json:"ipv6_addresses,omitempty"`
}

func (n ContainerNetwork) equal(o ContainerNetwork) bool {
	return n.NetworkMode == o.NetworkMode && slices.Equal(n.IPv4Addresses, o.IPv4Addresses) &&
		slices.Equal(n.IPv6Addresses, o.IPv6Addresses)
}

// ContainerVolume is a volume of an ECS container.
type ContainerVolume struct {
	Name        string `json:"name,omitempty"`
	Source      string `json:"source,omitempty"`
	Destination string `json:"destination,omitempty"`
}

// ContainerHealthStatus is the result of an ECS health check.
type ContainerHealthStatus struct {
	Status   string     `json:"status,omitempty"`
	Since    *time.Time `json:"since,omitempty"`
	ExitCode *int64     `json:"exit_code,omitempty"`
	Output   string     `json:"output,omitempty"`
}

func (h *ContainerHealthStatus) equal(o *ContainerHealthStatus) bool {
	return h.Status == o.Status && equalTimePtr(h.Since, o.Since) &&
		equalPtr(h.ExitCode, o.ExitCode) && h.Output == o.Output
}

func (c *ECSContainer) equal(o *ECSContainer) bool {
	return c.DisplayName == o.DisplayName && c.DesiredStatus == o.DesiredStatus &&
		c.KnownStatus == o.KnownStatus &&
		c.Type == o.Type && c.LogDriver == o.LogDriver && c.ContainerARN == o.ContainerARN &&
		c.Snapshotter == o.Snapshotter &&
		slices.EqualFunc(c.Networks, o.Networks, ContainerNetwork.equal) &&
		slices.Equal(c.Volumes, o.Volumes) &&
		equalPtrFunc(c.Health, o.Health, (*ContainerHealthStatus).equal) &&
		equalMaps(c.LogOptions, o.LogOptions)
}

// Equal implements [Entity].
func (t *ECSTask) Equal(other Entity) bool {
	o, ok := other.(*ECSTask)
	return ok && (t == o || t.EntityID == o.EntityID && t.EntityMeta.equal(&o.EntityMeta) &&
		t.ClusterName == o.ClusterName && t.ClusterARN == o.ClusterARN &&
		t.ServiceName == o.ServiceName && t.ServiceARN == o.ServiceARN &&
		t.DaemonName == o.DaemonName && t.DaemonARN == o.DaemonARN &&
		t.TaskDefinitionARN == o.TaskDefinitionARN &&
		t.ContainerInstanceARN == o.ContainerInstanceARN &&
		t.AWSAccountID == o.AWSAccountID && t.Region == o.Region &&
		t.AvailabilityZone == o.AvailabilityZone &&
		t.Family == o.Family && t.Version == o.Version && t.LaunchType == o.LaunchType &&
		t.DesiredStatus == o.DesiredStatus && t.KnownStatus == o.KnownStatus &&
		t.VPCID == o.VPCID &&
		equalTimePtr(t.PullStartedAt, o.PullStartedAt) &&
		equalTimePtr(t.PullStoppedAt, o.PullStoppedAt) &&
		equalTimePtr(t.ExecutionStoppedAt, o.ExecutionStoppedAt) &&
		equalMaps(t.EphemeralStorageMetrics, o.EphemeralStorageMetrics) &&
		equalMaps(t.Limits, o.Limits) &&
		equalMaps(t.Tags, o.Tags) && equalMaps(t.ContainerInstanceTags, o.ContainerInstanceTags) &&
		slices.EqualFunc(t.Containers, o.Containers, OrchestratorContainer.equal))
}

func (t *ECSTask) merged(views *views) Entity {
	out := &ECSTask{EntityID: t.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*ECSTask)
		out.EntityMeta.fill(&v.EntityMeta)
		fill(&out.ClusterName, v.ClusterName)
		fill(&out.ClusterARN, v.ClusterARN)
		fill(&out.ServiceName, v.ServiceName)
		fill(&out.ServiceARN, v.ServiceARN)
		fill(&out.DaemonName, v.DaemonName)
		fill(&out.DaemonARN, v.DaemonARN)
		fill(&out.TaskDefinitionARN, v.TaskDefinitionARN)
		fill(&out.ContainerInstanceARN, v.ContainerInstanceARN)
		fill(&out.AWSAccountID, v.AWSAccountID)
		fill(&out.Region, v.Region)
		fill(&out.AvailabilityZone, v.AvailabilityZone)
		fill(&out.Family, v.Family)
		fill(&out.Version, v.Version)
		fill(&out.LaunchType, v.LaunchType)
		fill(&out.VPCID, v.VPCID)
		fill(&out.PullStartedAt, v.PullStartedAt)
		fill(&out.PullStoppedAt, v.PullStoppedAt)
		fillMap(&out.EphemeralStorageMetrics, v.EphemeralStorageMetrics)
		fillMap(&out.Limits, v.Limits)
		fillMap(&out.Tags, v.Tags)
		fillMap(&out.ContainerInstanceTags, v.ContainerInstanceTags)
	}
	best, _ := observer(views, func(t *ECSTask) bool { return t.KnownStatus != "" })
	out.DesiredStatus, out.KnownStatus = best.DesiredStatus, best.KnownStatus
	out.ExecutionStoppedAt = best.ExecutionStoppedAt
	for _, e := range views.byObservation {
		out.Containers = mergeContainers(out.Containers, e.(*ECSTask).Containers)
	}
	return out
}
