package runtimesync

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/containerd/errdefs"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// handleInspection takes the answer to an inspection into account.
func (m *machine) handleInspection(a *answer) {
	if a.err != nil && !errdefs.IsNotFound(a.err) {
		outcome := "error"
		if isTimeout(a.err) {
			outcome = "timeout"
		}
		m.stats.Inspects[outcome]++
		if m.conn.queue.failed(a.key, a.generation, a.slow, m.now) {
			m.note(slog.LevelDebug, "cannot inspect; it is tried again", "error", a.err)
			m.handleFailure(a.key)
		}
		return
	}
	use := m.conn.queue.done(a.key, a.generation, m.now)
	switch {
	case use != usable:
		m.stats.Inspects["stale"]++
	case a.err != nil:
		m.stats.Inspects["gone"]++
	default:
		m.stats.Inspects["ok"]++
	}
	c := m.containers[a.key.id]
	switch use {
	case forgotten:
		return
	case void:
		if c != nil && !a.key.image && a.err == nil {
			m.handleOvertaken(c, a)
		}
		return
	}
	delete(m.conn.first, a.key)
	m.clock++
	switch {
	case a.key.image:
		m.handleImage(a)
	case c == nil:
		m.conn.queue.forget(a.key)
	case errors.Is(a.err, ErrNotCollected):
		m.finish(c, c.end) // no event tells of this end
	case a.err != nil:
		m.handleNotFound(c)
	default:
		m.handleInspected(c, a.container)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// handleFailure gives up waiting for an inspection that has failed, and uses what else is known.
func (m *machine) handleFailure(k key) {
	delete(m.conn.first, k)
	c := m.containers[k.id]
	if k.image || c == nil {
		return
	}
	switch {
	case c.phase == returning,
		// Synced promises that what is there has been reported.
		c.phase == starting && m.conn.phase != live:
		m.expire(c)
	case c.phase == unlisted && m.conn.phase == live:
		m.finish(c, nil)
	}
}

// handleInspected uses an inspection, which is newer than everything else known of the container.
func (m *machine) handleInspected(c *container, in Container) {
	v := in.Entity
	c.policy, c.keep = in.Policy, in.Keep || m.opts.KeepStopped
	if in.Sandbox && !m.opts.KeepPause {
		m.exclude(c)
		return
	}
	if c.phase == created && !c.keep {
		m.forget(c)
		m.notStarted.Add(c.key, notStarted{view: v, policy: in.Policy, clock: m.clock})
		return
	}
	if mapping.IsUp(v.State.Status) || c.keep {
		if c.fallback = nil; v.State.Status != workloadmeta.StatusRestarting {
			c.end = nil
		}
		m.set(c, v)
		return
	}
	if v.State.Status != workloadmeta.StatusStopped {
		// Created and never started, or something this version does not know: nothing runs.
		m.finish(c, c.end)
		return
	}
	e := &end{code: v.State.ExitCode, at: v.State.FinishedAt, oom: v.State.OOMKilled}
	if c.end != nil {
		e.oom = e.oom || c.end.oom
		if e.at.IsZero() {
			e.at = c.end.at // it is being removed, and has no end's time yet
		}
	}
	if c.view == nil && c.fallback != nil {
		c.fallback = asRunning(v)
	}
	m.finish(c, e)
}

// handleOvertaken uses an inspection that an event has overtaken, where that does no harm. The
// inspection is repeated in any case.
func (m *machine) handleOvertaken(c *container, a *answer) {
	v := a.container.Entity
	c.policy, c.keep = a.container.Policy, a.container.Keep || m.opts.KeepStopped
	if a.container.Sandbox && !m.opts.KeepPause {
		m.exclude(c)
		return
	}
	if c.view == nil && c.fallback != nil {
		// It may be gone before it can be inspected again, and the event knows less.
		c.fallback = inspectedBefore(v, c.fallback)
		if v.State.Status != workloadmeta.StatusStopped { // otherwise it knows when this life began
			v = c.fallback
		}
	}
	switch {
	case c.keep || c.phase == excluded || c.lastChange > a.clock:
	case c.policy != "no":
		// A container that crashes and is started again and again would otherwise never be up to
		// date.
		if c.view != nil && mapping.IsUp(v.State.Status) {
			if c.phase == returning || c.phase == starting {
				c.fallback = nil
				m.enter(c, reported, 0)
			}
			m.publish(c, v)
		}
	case c.end != nil && !v.State.StartedAt.After(c.end.at):
		// It is not started again: the event that told of its end has told all, but for a code that
		// a label hides.
		if c.end.code == nil && v.State.Status == workloadmeta.StatusStopped {
			c.end.code = v.State.ExitCode
		}
		if c.view == nil {
			c.fallback = asRunning(v)
		}
		m.finish(c, c.end)
	}
}

// handleNotFound handles a container that the runtime does not know. Its end is told by an event,
// which is usually on its way.
func (m *machine) handleNotFound(c *container) {
	switch {
	case c.end != nil:
		m.finish(c, c.end)
		return
	case c.view != nil:
		c.fallback = nil
	case c.fallback != nil:
		m.set(c, c.fallback)
	default:
		m.forget(c)
		return
	}
	if c.view == nil {
		m.forget(c) // another is reported under its ID
		return
	}
	wait := goneWait
	if m.conn.phase != live && !m.isReported(c) {
		// Of what has ended while nobody listened, the event comes soon after the first list, if at
		// all. Synced would take the container away without what is known of its end.
		m.conn.first[keyOf(c)] = struct{}{}
		wait = max(waitTick, m.conn.firstUntil.Add(-m.opts.InitialWait/10).Sub(m.now))
	}
	m.enter(c, gone, wait)
}
