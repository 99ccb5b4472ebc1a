package runtimesync

import (
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// What lives shorter than an inspection takes is known from its events only, and those have no
// environment, from which service and env are taken. Some runtimes tell of a container a while
// before they start it: what an inspection finds then is kept until it is started, and is what is
// reported if no later inspection comes in time.

// created is what is known of a container that does not run and is not reported.
type created struct {
	entity *workloadmeta.Container
	policy string
	clock  uint64 // when it was found out
}

const maxCreated = 512

// remember keeps what an inspection has found of a container that has not been started, instead of
// its record.
func (s *session) remember(tr *tracked, in Container) {
	s.drop(tr)
	s.created.Add(tr.key, created{entity: in.Entity, policy: in.Policy, clock: s.clock})
}

// knownCreated returns what is remembered of a container, nil if nothing.
func (s *session) knownCreated(key string) *created {
	c, ok := s.created.Peek(key)
	if !ok {
		return nil
	}
	return &c
}

// recall returns running, what an event or a list tells of a container that has been started, with
// what is remembered of it.
func (s *session) recall(tr *tracked, running *workloadmeta.Container) *workloadmeta.Container {
	if c := s.knownCreated(tr.key); c != nil && running != nil {
		running = inspectedBefore(c.entity, running)
		tr.policy = c.policy
	}
	s.created.Remove(tr.key)
	return running
}

// forgetCreated forgets what is remembered of containers that a list, asked for at the clock, does
// not have.
func (s *session) forgetCreated(l Listing, clock uint64) {
	if s.created.Len() == 0 {
		return
	}
	there := make(map[string]bool, len(l.Containers))
	for i := range l.Containers {
		there[l.Containers[i].Key] = true
	}
	for _, key := range s.created.Keys() {
		if c, ok := s.created.Peek(key); ok && c.clock <= clock && !there[key] {
			s.created.Remove(key)
		}
	}
}

// inspectedBefore returns a container as an inspection from before its start has found it, and
// running as its start tells.
func inspectedBefore(c, running *workloadmeta.Container) *workloadmeta.Container {
	out := *c
	if mapping.IsUp(c.State.Status) {
		return &out // it was not before its start, after all
	}
	before := c.State.CreatedAt
	out.State = running.State
	if out.State.CreatedAt.IsZero() {
		out.State.CreatedAt = before
	}
	out.PID, out.CgroupPath = running.PID, running.CgroupPath
	if running.Name != "" {
		out.Name = running.Name
	}
	if len(c.NetworkIPs)+len(c.NetworkIPv6s) == 0 {
		out.NetworkIPs, out.NetworkIPv6s = running.NetworkIPs, running.NetworkIPv6s
	}
	if len(c.Ports) == 0 {
		out.Ports = running.Ports
	}
	return &out
}
