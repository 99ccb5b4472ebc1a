package tagger

import "time"

// TagInfo is what one source says about one entity. It replaces everything the same
// source said about the entity before; without tags it says that the entity is known and
// has none. The lists belong to the tagger once handed over.
type TagInfo struct {
	Source string // such as [SourceContainer]; any non-empty name
	Entity EntityID

	LowCardTags          []string
	OrchestratorCardTags []string
	HighCardTags         []string
	// StandardTags are those of env, service and version that are in LowCardTags as
	// standard tags.
	StandardTags []string

	// DeleteEntity withdraws the source from the entity: its tags stay for a grace
	// time, so that late telemetry is still tagged, and then go.
	DeleteEntity bool
	// ExpiryDate, if set, is when the source's tags go by themselves.
	ExpiryDate time.Time
	// IsComplete says that all collectors expected to know the entity have reported it. An
	// entity is complete when all of rollcall's own sources that speak of it say so. What
	// other sources say counts only for entities that nobody else speaks of.
	IsComplete bool
}

// Empty reports whether the info carries no tags.
func (i *TagInfo) Empty() bool {
	return len(i.LowCardTags) == 0 && len(i.OrchestratorCardTags) == 0 &&
		len(i.HighCardTags) == 0 && len(i.StandardTags) == 0
}

// Sources of rollcall's own tag infos: "workloadmeta-<kind>" for tags taken from an
// entity of that kind, and the static tags of the configuration. All begin with SourcePrefix.
const (
	SourcePrefix         = "workloadmeta-"
	SourceStatic         = "workloadmeta-static"
	SourceContainer      = "workloadmeta-container"
	SourceContainerImage = "workloadmeta-container_image_metadata"
	SourceKubernetesPod  = "workloadmeta-kubernetes_pod"
	SourceECSTask        = "workloadmeta-ecs_task"
	SourceHost           = "workloadmeta-host"
)

// Priority orders sources: between sources of different priority, the tags of one name
// are taken from the higher only. Sources that are not named have [PriorityNodeRuntime].
type Priority uint8

// Priorities.
const (
	PriorityNodeRuntime Priority = iota
	PriorityNodeOrchestrator
	PriorityClusterOrchestrator
)

// SourcePriority returns the priority of a source.
func SourcePriority(source string) Priority {
	switch source {
	case SourceKubernetesPod, SourceECSTask:
		return PriorityNodeOrchestrator
	}
	return PriorityNodeRuntime
}
