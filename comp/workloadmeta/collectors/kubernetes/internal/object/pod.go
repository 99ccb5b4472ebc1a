package object

// Pod is a group of containers on one node (core/v1).
type Pod struct {
	Meta   `json:"metadata" pb:"1"`
	Spec   PodSpec   `json:"spec" pb:"2"`
	Status PodStatus `json:"status" pb:"3"`
}

// PodSpec is what is wanted of a pod.
type PodSpec struct {
	Volumes             []Volume             `json:"volumes" pb:"1"`
	InitContainers      []Container          `json:"initContainers" pb:"20"`
	Containers          []Container          `json:"containers" pb:"2"`
	EphemeralContainers []EphemeralContainer `json:"ephemeralContainers" pb:"34"`
	RestartPolicy       string               `json:"restartPolicy" pb:"3,shared"`
	NodeName            string               `json:"nodeName" pb:"10,shared"`
	HostNetwork         bool                 `json:"hostNetwork" pb:"11"`
	SecurityContext     *PodSecurityContext  `json:"securityContext" pb:"14"`
	PriorityClassName   string               `json:"priorityClassName" pb:"24,shared"`
	RuntimeClassName    *string              `json:"runtimeClassName" pb:"29,shared"`
	HostUsers           *bool                `json:"hostUsers" pb:"37"`
	Resources           *Resources           `json:"resources" pb:"40"`
}

// PodSecurityContext is what all containers of a pod run as, unless they say otherwise.
type PodSecurityContext struct {
	RunAsUser      *int64          `json:"runAsUser" pb:"2"`
	RunAsGroup     *int64          `json:"runAsGroup" pb:"6"`
	RunAsNonRoot   *bool           `json:"runAsNonRoot" pb:"3"`
	FSGroup        *int64          `json:"fsGroup" pb:"5"`
	SeccompProfile *SeccompProfile `json:"seccompProfile" pb:"10"`
}

// SeccompProfile is a filter of system calls.
type SeccompProfile struct {
	Type             string  `json:"type" pb:"1"`
	LocalhostProfile *string `json:"localhostProfile" pb:"2"`
}

// Volume is something that containers of a pod can mount.
type Volume struct {
	Name         string `json:"name" pb:"1"`
	VolumeSource `pb:"2"`
}

// VolumeSource is where a volume comes from, as far as it matters here.
type VolumeSource struct {
	PersistentVolumeClaim *PersistentVolumeClaimSource `json:"persistentVolumeClaim" pb:"10"`
	// a claim that is made for the pod, and named after it and the volume
	Ephemeral *struct{}    `json:"ephemeral" pb:"29"`
	Image     *ImageSource `json:"image" pb:"30"`
}

// PersistentVolumeClaimSource names a claim.
type PersistentVolumeClaimSource struct {
	ClaimName string `json:"claimName" pb:"1"`
}

// ImageSource names an image whose files are mounted.
type ImageSource struct {
	Reference string `json:"reference" pb:"1"`
}

// Container is what is wanted of a container.
type Container struct {
	Name            string           `json:"name" pb:"1"`
	Image           string           `json:"image" pb:"2"`
	Ports           []ContainerPort  `json:"ports" pb:"6"`
	Env             []EnvVar         `json:"env" pb:"7"`
	Resources       Resources        `json:"resources" pb:"8"`
	ReadinessProbe  *Probe           `json:"readinessProbe" pb:"11"`
	SecurityContext *SecurityContext `json:"securityContext" pb:"15"`
	ResizePolicy    []ResizePolicy   `json:"resizePolicy" pb:"23"`
	RestartPolicy   *string          `json:"restartPolicy" pb:"24"`
}

// EphemeralContainer is a container that is added to a running pod, such as a debugger.
type EphemeralContainer struct {
	Container `pb:"1"`
}

// ContainerPort is a port that a container listens on.
type ContainerPort struct {
	Name          string `json:"name" pb:"1"`
	HostPort      int32  `json:"hostPort" pb:"2"`
	ContainerPort int32  `json:"containerPort" pb:"3"`
	Protocol      string `json:"protocol" pb:"4"`
}

// EnvVar is an environment variable. One that comes from elsewhere has no value here.
type EnvVar struct {
	Name      string     `json:"name" pb:"1"`
	Value     string     `json:"value" pb:"2"`
	ValueFrom *EnvSource `json:"valueFrom" pb:"3"`
}

// EnvSource is where the value of a variable comes from.
type EnvSource struct {
	FieldRef *FieldRef `json:"fieldRef" pb:"1"`
}

// FieldRef is a field of the pod itself.
type FieldRef struct {
	FieldPath string `json:"fieldPath" pb:"2"` // metadata.labels['app']
}

// Resources are the amounts that a container or pod asks for and may use, by name.
type Resources struct {
	Limits   map[string]Quantity `json:"limits" pb:"1"`
	Requests map[string]Quantity `json:"requests" pb:"2"`
	Claims   []ResourceClaim     `json:"claims" pb:"3"` // of dynamic resource allocation
}

// ResourceClaim is one of a pod's claims that a container uses.
type ResourceClaim struct {
	Name string `json:"name" pb:"1"`
}

// Probe asks a container how it is.
type Probe struct {
	InitialDelaySeconds int32 `json:"initialDelaySeconds" pb:"2"`
	FailureThreshold    int32 `json:"failureThreshold" pb:"6"`
}

// SecurityContext is what a container may do, and as whom.
type SecurityContext struct {
	Capabilities             *Capabilities   `json:"capabilities" pb:"1"`
	Privileged               *bool           `json:"privileged" pb:"2"`
	RunAsUser                *int64          `json:"runAsUser" pb:"4"`
	RunAsNonRoot             *bool           `json:"runAsNonRoot" pb:"5"`
	ReadOnlyRootFilesystem   *bool           `json:"readOnlyRootFilesystem" pb:"6"`
	AllowPrivilegeEscalation *bool           `json:"allowPrivilegeEscalation" pb:"7"`
	RunAsGroup               *int64          `json:"runAsGroup" pb:"8"`
	SeccompProfile           *SeccompProfile `json:"seccompProfile" pb:"11"`
}

// Capabilities are added to the runtime's usual ones, or taken from them.
type Capabilities struct {
	Add  []string `json:"add" pb:"1"`
	Drop []string `json:"drop" pb:"2"`
}

// ResizePolicy says what a change of a resource does to a running container.
type ResizePolicy struct {
	ResourceName  string `json:"resourceName" pb:"1"`
	RestartPolicy string `json:"restartPolicy" pb:"2"`
}

// PodStatus is what is observed of a pod.
type PodStatus struct {
	Phase                      string            `json:"phase" pb:"1,shared"`
	Conditions                 []PodCondition    `json:"conditions" pb:"2"`
	Message                    string            `json:"message" pb:"3"`
	Reason                     string            `json:"reason" pb:"4"`
	HostIP                     string            `json:"hostIP" pb:"5,shared"`
	PodIP                      string            `json:"podIP" pb:"6"`
	StartTime                  Time              `json:"startTime" pb:"7"`
	ContainerStatuses          []ContainerStatus `json:"containerStatuses" pb:"8"`
	QOSClass                   string            `json:"qosClass" pb:"9,shared"`
	InitContainerStatuses      []ContainerStatus `json:"initContainerStatuses" pb:"10"`
	PodIPs                     []IP              `json:"podIPs" pb:"12"`
	EphemeralContainerStatuses []ContainerStatus `json:"ephemeralContainerStatuses" pb:"13"`
	HostIPs                    []IP              `json:"hostIPs" pb:"16"`
	ObservedGeneration         int64             `json:"observedGeneration" pb:"17"`
}

// IP is an address.
type IP struct {
	IP string `json:"ip" pb:"1"`
}

// PodCondition is one of the things that are true of a pod or not.
type PodCondition struct {
	Type               string `json:"type" pb:"1"`
	Status             string `json:"status" pb:"2"` // True, False, Unknown
	LastTransitionTime Time   `json:"lastTransitionTime" pb:"4"`
	Reason             string `json:"reason" pb:"5"`
}

// ContainerStatus is what is observed of a container.
type ContainerStatus struct {
	Name               string              `json:"name" pb:"1"`
	State              ContainerState      `json:"state" pb:"2"`
	LastState          ContainerState      `json:"lastState" pb:"3"` // of the instance before
	Ready              bool                `json:"ready" pb:"4"`
	RestartCount       int32               `json:"restartCount" pb:"5"`
	Image              string              `json:"image" pb:"6"`
	ImageID            string              `json:"imageID" pb:"7"`
	ContainerID        string              `json:"containerID" pb:"8"` // "containerd://<id>"
	AllocatedResources map[string]Quantity `json:"allocatedResources" pb:"10"`
	// Resources are those that are in force, which a resize changes while the container runs.
	Resources *Resources `json:"resources" pb:"11"`
}

// ContainerState is one of three things; none of them is waiting.
type ContainerState struct {
	Waiting    *StateWaiting    `json:"waiting" pb:"1"`
	Running    *StateRunning    `json:"running" pb:"2"`
	Terminated *StateTerminated `json:"terminated" pb:"3"`
}

// StateWaiting is the state of a container that has not started, or not again.
type StateWaiting struct {
	Reason string `json:"reason" pb:"1"`
}

// StateRunning is the state of a running container.
type StateRunning struct {
	StartedAt Time `json:"startedAt" pb:"1"`
}

// StateTerminated is the state of a container that has ended. Its message is not read: it holds
// what the container has written, and that may be a secret.
type StateTerminated struct {
	ExitCode    int32  `json:"exitCode" pb:"1"`
	Reason      string `json:"reason" pb:"3"`
	StartedAt   Time   `json:"startedAt" pb:"5"`
	FinishedAt  Time   `json:"finishedAt" pb:"6"`
	ContainerID string `json:"containerID" pb:"7"`
}
