package podman

import ()

// The parts of Podman's answers that are read. What is not read, as the command lines, is not kept
// anywhere.

// containerEntry is an entry of the list of containers.
type containerEntry struct {
	ID        string `json:"Id"`
	Names     []string
	Image     string
	ImageID   string
	Labels    map[string]string
	State     string
	PID       int `json:"Pid"`
	Pod       string
	PodName   string
	IsInfra   bool
	Created   string
	StartedAt int64 // seconds since 1970; the year 1 if it was never started
	Ports     []portMapping
}

// portMapping publishes a number of ports that follow one another.
type portMapping struct {
	ContainerPort int    `json:"container_port"`
	HostPort      int    `json:"host_port"`
	Range         int    `json:"range"`
	Protocol      string `json:"protocol"` // may name several: "tcp,udp"
}

// containerAnswer is an inspected container.
type containerAnswer struct {
	ID        string `json:"Id"`
	Name      string
	Created   string
	Namespace string
	Image     string // its ID
	ImageName string
	Pod       string // its ID
	IsInfra   bool
	IsService bool // holds the pods of one "kube play"
	State     struct {
		Status      string
		OOMKilled   bool
		PID         int `json:"Pid"`
		ExitCode    int64
		StartedAt   string
		FinishedAt  string
		Health      *healthAnswer
		Healthcheck *healthAnswer // until Podman 3
		CgroupPath  string
	}
	RestartCount    int
	OCIRuntime      string
	NetworkSettings networkAnswer
	Config          struct {
		Hostname     string
		Env          []string
		Labels       map[string]string
		Annotations  map[string]string
		ExposedPorts map[string]struct{} // from Podman 5 on
	}
	HostConfig struct {
		NetworkMode   string
		RestartPolicy struct {
			Name              string
			MaximumRetryCount int
		}
		CapAdd, CapDrop   []string
		SecurityOpt       []string
		Privileged        bool
		NanoCPUs          int64 `json:"NanoCpus"`
		CPUPeriod         int64 `json:"CpuPeriod"`
		CPUQuota          int64 `json:"CpuQuota"`
		CPUShares         int64 `json:"CpuShares"`
		CpusetCpus        string
		Memory            int64
		MemoryReservation int64
	}
}

type healthAnswer struct{ Status string }

type networkAnswer struct {
	addresses
	Ports    map[string][]portBinding
	Networks map[string]*addresses
}

type addresses struct{ IPAddress, GlobalIPv6Address string }

type portBinding struct{ HostPort string }

// imageEntry is an entry of the list of images.
type imageEntry struct {
	ID          string `json:"Id"`
	RepoTags    []string
	RepoDigests []string
	Size        int64
	Labels      map[string]string
}

// imageAnswer is an inspected image.
type imageAnswer struct {
	ID           string `json:"Id"`
	RepoTags     []string
	RepoDigests  []string
	Architecture string
	Os           string
	Size         int64
	RootFS       struct{ Layers []string }
	Labels       map[string]string
	ManifestType string
	Config       struct{ ExposedPorts map[string]struct{} }
	History      []struct {
		Created    string `json:"created"`
		CreatedBy  string `json:"created_by"`
		Author     string `json:"author"`
		Comment    string `json:"comment"`
		EmptyLayer bool   `json:"empty_layer"`
	}
}

type podAnswer struct{ Name string }
