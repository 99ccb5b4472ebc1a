package runtimesync

import (
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// asEnded returns the last view of a container that has ended. e may be nil.
func asEnded(v *workloadmeta.Container, e *end) *workloadmeta.Container {
	out := *v
	out.PID, out.CgroupInode = 0, 0
	out.State.Running, out.State.Status = false, workloadmeta.StatusStopped
	out.State.Health = workloadmeta.HealthUnknown
	if e != nil {
		out.State.ExitCode, out.State.FinishedAt = e.code, e.at
		out.State.OOMKilled = out.State.OOMKilled || e.oom
	}
	return &out
}

// asRunning returns a container that was inspected after its end as it was before.
func asRunning(v *workloadmeta.Container) *workloadmeta.Container {
	out := *v
	out.State.Running, out.State.Status = true, workloadmeta.StatusRunning
	out.State.ExitCode, out.State.FinishedAt, out.State.OOMKilled = nil, time.Time{}, false
	return &out
}

// inspectedBefore returns a container as an inspection has found it that may have been overtaken by
// the container's start.
func inspectedBefore(v, running *workloadmeta.Container) *workloadmeta.Container {
	if mapping.IsUp(v.State.Status) {
		return v // it was not
	}
	return startedAs(v, running)
}

// startedAs returns a container as it was known before its start, and running as its start tells.
func startedAs(before, running *workloadmeta.Container) *workloadmeta.Container {
	if !sameMaking(before, running) {
		return running // of the other one
	}
	out := *before
	out.State = running.State
	if out.State.CreatedAt.IsZero() {
		out.State.CreatedAt = before.State.CreatedAt
	}
	out.PID, out.CgroupPath, out.CgroupInode = running.PID, running.CgroupPath,
		running.CgroupInode
	if running.Name != "" {
		out.Name = running.Name
	}
	if len(before.NetworkIPs)+len(before.NetworkIPv6s) == 0 {
		out.NetworkIPs, out.NetworkIPv6s = running.NetworkIPs, running.NetworkIPv6s
	}
	if len(before.Ports) == 0 {
		out.Ports = running.Ports
	}
	return &out
}
