package workloadmeta

import (
	"slices"
	"time"
)

// Process is a process of this machine. Its ID is the decimal process ID. Process
// IDs are reused; PID and StartTicks together name one incarnation.
type Process struct {
	EntityID
	PID   int32 `json:"pid,omitempty"`
	NsPID int32 `json:"ns_pid,omitempty"` // inside the process's own PID namespace
	PPID  int32 `json:"ppid,omitempty"`
	// clock ticks between boot and start, as the kernel counts them
	StartTicks uint64   `json:"start_ticks,omitempty"`
	Name       string   `json:"name,omitempty"`
	Comm       string   `json:"comm,omitempty"` // at most 15 characters
	Exe        string   `json:"exe,omitempty"`
	Cwd        string   `json:"cwd,omitempty"`
	Cmdline    []string `json:"cmdline,omitempty"` // secrets already removed
	UIDs       []int32  `json:"uids,omitempty"`    // real, effective, saved, file system
	GIDs       []int32  `json:"gids,omitempty"`
	// CreationTime is for display; it moves when the clock is set.
	CreationTime time.Time `json:"creation_time,omitzero"`
	ContainerID  string    `json:"container_id,omitempty"`
	// Owner is the container the process runs in, whether the store knows it or not.
	Owner    *EntityID        `json:"owner,omitempty"`
	Language *ProcessLanguage `json:"language,omitempty"`
	Service  *ProcessService  `json:"service,omitempty"`
	// IDs of the GPU entities the process computes on
	GPUs []string `json:"gpus,omitempty"`
}

// ProcessLanguage is the language a process is written in.
type ProcessLanguage struct {
	Name    string `json:"name,omitempty"` // go, java, python, node, dotnet, ruby, php, …
	Version string `json:"version,omitempty"`
}

// ProcessService is what service discovery found out about a process.
type ProcessService struct {
	GeneratedName            string           `json:"generated_name,omitempty"`
	GeneratedNameSource      string           `json:"generated_name_source,omitempty"`
	AdditionalGeneratedNames []string         `json:"additional_generated_names,omitempty"`
	LogFiles                 []string         `json:"log_files,omitempty"`
	TCPPorts                 []uint16         `json:"tcp_ports,omitempty"`
	UDPPorts                 []uint16         `json:"udp_ports,omitempty"`
	APMInstrumentation       string           `json:"apm_instrumentation,omitempty"`
	Type                     string           `json:"type,omitempty"`
	DDService                string           `json:"dd_service,omitempty"`
	UST                      UST              `json:"ust,omitzero"`
	TracerMetadata           []TracerMetadata `json:"tracer_metadata,omitempty"`
}

// UST are the three unified service tags.
type UST struct {
	Service string `json:"service,omitempty"`
	Env     string `json:"env,omitempty"`
	Version string `json:"version,omitempty"`
}

// TracerMetadata is what a tracing library inside the process says about itself.
type TracerMetadata struct {
	SchemaVersion  int    `json:"schema_version,omitempty"`
	RuntimeID      string `json:"runtime_id,omitempty"`
	TracerLanguage string `json:"tracer_language,omitempty"`
	TracerVersion  string `json:"tracer_version,omitempty"`
	Hostname       string `json:"hostname,omitempty"`
	ServiceName    string `json:"service_name,omitempty"`
	ServiceEnv     string `json:"service_env,omitempty"`
	ServiceVersion string `json:"service_version,omitempty"`
	ProcessTags    string `json:"process_tags,omitempty"` // "k:v,k:v"
	ContainerID    string `json:"container_id,omitempty"`
	LogsCollected  bool   `json:"logs_collected,omitempty"`
}

func (s *ProcessService) equal(o *ProcessService) bool {
	return s.GeneratedName == o.GeneratedName && s.GeneratedNameSource == o.GeneratedNameSource &&
		slices.Equal(s.AdditionalGeneratedNames, o.AdditionalGeneratedNames) &&
		slices.Equal(s.LogFiles, o.LogFiles) &&
		slices.Equal(s.TCPPorts, o.TCPPorts) && slices.Equal(s.UDPPorts, o.UDPPorts) &&
		s.APMInstrumentation == o.APMInstrumentation && s.Type == o.Type &&
		s.DDService == o.DDService &&
		s.UST == o.UST && slices.Equal(s.TracerMetadata, o.TracerMetadata)
}

// Equal implements [Entity].
func (p *Process) Equal(other Entity) bool {
	o, ok := other.(*Process)
	return ok &&
		(p == o || p.EntityID == o.EntityID && p.PID == o.PID && p.NsPID == o.NsPID &&
			p.PPID == o.PPID &&
			p.StartTicks == o.StartTicks && p.Name == o.Name && p.Comm == o.Comm &&
			p.Exe == o.Exe &&
			p.Cwd == o.Cwd &&
			slices.Equal(p.Cmdline, o.Cmdline) && slices.Equal(p.UIDs, o.UIDs) &&
			slices.Equal(p.GIDs, o.GIDs) &&
			p.CreationTime.Equal(o.CreationTime) && p.ContainerID == o.ContainerID &&
			equalPtr(p.Owner, o.Owner) &&
			equalPtr(p.Language, o.Language) &&
			equalPtrFunc(p.Service, o.Service, (*ProcessService).equal) &&
			slices.Equal(p.GPUs, o.GPUs))
}

func (p *Process) merged(views *views) Entity {
	out := &Process{EntityID: p.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*Process)
		fill(&out.PID, v.PID)
		fill(&out.NsPID, v.NsPID)
		fill(&out.PPID, v.PPID)
		fill(&out.StartTicks, v.StartTicks)
		fill(&out.Name, v.Name)
		fill(&out.Comm, v.Comm)
		fill(&out.Exe, v.Exe)
		fill(&out.Cwd, v.Cwd)
		// A command line is one thing: uniting the words of two would invent a third.
		if len(out.Cmdline) == 0 {
			out.Cmdline = v.Cmdline
		}
		if len(out.UIDs) == 0 {
			out.UIDs = v.UIDs
		}
		if len(out.GIDs) == 0 {
			out.GIDs = v.GIDs
		}
		fillTime(&out.CreationTime, v.CreationTime)
		if out.ContainerID == "" && v.ContainerID != "" {
			out.ContainerID, out.Owner = v.ContainerID, v.Owner
		}
		fill(&out.Owner, v.Owner)
		fill(&out.Language, v.Language)
		fill(&out.Service, v.Service)
		fillList(&out.GPUs, v.GPUs)
	}
	return out
}
