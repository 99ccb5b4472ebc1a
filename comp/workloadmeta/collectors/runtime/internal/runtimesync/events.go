package runtimesync

import (
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// handleEvent takes an event into account. Most events only have the container inspected; what they
// tell by themselves is used where the inspection may come too late or never. A panic over one
// event does not end the connection.
func (m *machine) handleEvent(ev *Event) {
	defer func() {
		if p := recover(); p != nil {
			m.note(slog.LevelError, "panic while handling an event", "event", ev.Name, "panic", p,
				"stack", string(debug.Stack()))
			m.stats.DecodePanics++
			m.conn.lostEvents = true
			m.requestList(m.now)
		}
	}()
	m.stats.event(ev.Name, m.now)
	if m.isRepeated(ev) {
		m.stats.Duplicates++
		return
	}
	m.clock++
	switch ev.Action {
	case ActionNone:
	case ActionCompare:
		m.requestList(m.now)
	case ActionImageChanged:
		m.lookAtImage(ev.Key)
	case ActionImageRemoved:
		m.removeImage(ev.Key)
	default:
		if ev.Key != "" {
			m.handleContainerEvent(ev)
		}
	}
}

// isRepeated reports whether this connection repeats an event of an earlier one, and remembers the
// event.
func (m *machine) isRepeated(ev *Event) bool {
	if ev.ID == "" || ev.At.IsZero() {
		return false
	}
	if !ev.At.After(m.conn.resume) && m.recentEvents.Contains(ev.ID) {
		return true
	}
	m.recentEvents.Add(ev.ID, struct{}{})
	if ev.At.After(m.newestEvent) { // events are not strictly in order of time
		m.newestEvent = ev.At
	}
	return false
}

func (m *machine) handleContainerEvent(ev *Event) {
	c := m.containers[ev.Key]
	switch ev.Action {
	case ActionStarted:
		m.handleStart(ev)
		return
	case ActionEnded:
		m.handleEnd(ev)
		return
	case ActionRemoved:
		m.notStarted.Remove(ev.Key)
		if c == nil {
			m.recentlyEnded.Add(ev.Key, m.clock) // a list that is on its way may still have it
			return
		}
		m.finish(c, c.end)
		return
	case ActionCreated:
		if c != nil && c.phase == gone {
			m.finish(c, c.end) // this is another one
			c = nil
		}
		// Of one that is reported, the next event tells more: it is about to be started again.
		if c == nil && !m.notStarted.Contains(ev.Key) {
			c = m.track(ev.Key)
			m.enter(c, created, 0)
		}
		if c != nil && c.view == nil {
			m.look(c, false)
		}
		return
	}
	if c == nil {
		return
	}
	switch ev.Action {
	case ActionOOM:
		if c.view != nil {
			c.oomAt = ev.At
			m.change(c, func(v *workloadmeta.Container) { v.State.OOMKilled = true })
			m.look(c, false) // a child may have been killed, and the container lives
		}
	case ActionPaused:
		m.changeStatus(c, workloadmeta.StatusPaused)
	case ActionResumed:
		m.changeStatus(c, workloadmeta.StatusRunning)
	case ActionRenamed:
		if ev.Detail != "" {
			m.change(c, func(v *workloadmeta.Container) { v.Name = ev.Detail })
		}
		m.look(c, true)
	case ActionHealth:
		if ev.Detail == "" {
			m.look(c, false)
			break
		}
		m.change(c, func(v *workloadmeta.Container) {
			if v.State.Status == workloadmeta.StatusRunning {
				v.State.Health = mapping.Health(ev.Detail)
			}
		})
		m.conn.queue.supersede(keyOf(c))
	case ActionChanged:
		m.look(c, false)
	}
}

// handleStart handles the start of a container's process.
func (m *machine) handleStart(ev *Event) {
	c := m.track(ev.Key)
	m.recentlyEnded.Remove(c.key)
	c.end = nil
	if c.phase == excluded {
		return
	}
	if !m.opts.KeepPause &&
		(ev.Sandbox || ev.Container != nil && mapping.IsSandbox(ev.Container.Labels)) {
		m.exclude(c)
		return
	}
	m.conn.queue.renew(keyOf(c), m.now)
	m.look(c, true)
	if c.view != nil && c.view.State.Running {
		if m.isReported(c) {
			m.enter(c, reported, 0)
			return
		}
		if c.fallback == nil { // it was in no list
			v := *c.view
			if ev.Container != nil {
				v = *startedAs(c.view, ev.Container)
			}
			c.fallback = &v
		}
		m.enter(c, returning, 0)
		return
	}
	// New, or kept while it was stopped.
	m.expect(c, ev.Container)
}

// expect holds running, what an event or a list tells of a container that runs, back for as long as
// its inspection may reasonably take. Neither has the environment: who heard of the container
// before would take its tags for all of them, without service and env.
func (m *machine) expect(c *container, running *workloadmeta.Container) {
	before, found := m.notStarted.Peek(c.key)
	m.notStarted.Remove(c.key)
	switch {
	case running == nil:
		c.fallback = nil
		m.enter(c, starting, 0)
		return
	case found:
		c.policy, c.fallback = before.policy, inspectedBefore(before.view, running)
	case c.fallback != nil:
		c.fallback = startedAs(c.fallback, running)
	case c.view != nil:
		c.fallback = startedAs(c.view, running)
	default:
		c.fallback = running
	}
	m.enter(c, starting, startWait)
}

// handleEnd handles the end of a container's process, which is the container's end unless it is
// started again by its policy.
func (m *machine) handleEnd(ev *Event) {
	e := &end{code: ev.ExitCode, at: ev.At}
	c := m.containers[ev.Key]
	if c == nil {
		m.recentlyEnded.Add(ev.Key, m.clock) // a list that is on its way may still have it
		return
	}
	hidden := c.hasLabel(ev.CodeLabel)
	if hidden {
		e.code = nil
	}
	if !c.oomAt.IsZero() {
		// An inspection between the two may have said that nothing of the kind has happened: Docker
		// notes it with the end.
		e.oom = e.at.Sub(c.oomAt) < oomWait
		c.oomAt = time.Time{}
	}
	switch {
	case c.phase == excluded:
		m.forget(c)
	case c.keep:
		c.end = e
		m.change(c, func(v *workloadmeta.Container) { *v = *asEnded(v, e) })
		m.look(c, true)
	case c.phase == gone,
		// The list that has it may be newer than this event, if the connection repeats it.
		// An inspection may tell a code that the event does not.
		c.phase != returning && !hidden &&
			c.view != nil && c.policy == "no" && !c.view.State.StartedAt.After(e.at):
		m.finish(c, e)
	default:
		// An inspection tells whether it is being restarted, or has been already. It also tells
		// more of a container that was never inspected.
		c.end = e
		m.look(c, true)
		m.enter(c, ending, endWait)
	}
}

// hasLabel reports whether a container is known to have a label.
func (c *container) hasLabel(key string) bool {
	for _, v := range []*workloadmeta.Container{c.view, c.fallback} {
		if v != nil && key != "" {
			if _, ok := v.Labels[key]; ok {
				return true
			}
		}
	}
	return false
}

// change changes what is known of a container, and reports it if it is reported already.
func (m *machine) change(c *container, edit func(*workloadmeta.Container)) {
	c.lastChange = m.clock
	if c.fallback != nil {
		v := *c.fallback
		edit(&v)
		c.fallback = &v
	}
	if m.isReported(c) {
		v := *c.view
		edit(&v)
		m.publish(c, &v)
	}
}

func (m *machine) changeStatus(c *container, status workloadmeta.ContainerStatus) {
	m.change(c, func(v *workloadmeta.Container) {
		if mapping.IsUp(v.State.Status) {
			v.State.Status, v.State.Running = status, true
			v.State.Health = workloadmeta.HealthUnknown
		}
	})
	m.look(c, true)
}
