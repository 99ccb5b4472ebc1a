package runtimesync

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

// handleEvent takes an event into account. Most events only have the container inspected; what they
// tell by themselves is used where the inspection may come too late or never.
func (s *session) handleEvent(m *Event) {
	now := time.Now()
	s.f.counters.event(m.Name, now)
	if s.repeated(m) {
		s.f.counters.update(func(st *Stats) { st.Duplicates++ })
		return
	}
	s.clock++
	switch m.Action {
	case ActionNone:
	case ActionCompare:
		s.requestList(now)
	case ActionImageChanged:
		s.lookAtImage(m.Key, now)
	case ActionImageRemoved:
		s.removeImage(m.Key)
	default:
		if m.Key != "" {
			s.handleContainerEvent(m, now)
		}
	}
}

// repeated reports whether this connection repeats an event of an earlier one, and remembers the
// event.
func (s *session) repeated(m *Event) bool {
	if m.ID == "" || m.At.IsZero() {
		return false
	}
	if !m.At.After(s.resume) && s.recent.Contains(m.ID) {
		return true
	}
	s.recent.Add(m.ID, struct{}{})
	if m.At.After(s.newest) { // events are not strictly in order of time
		s.newest = m.At
	}
	return false
}

func (s *session) handleContainerEvent(m *Event, now time.Time) {
	tr := s.containers[m.Key]
	switch m.Action {
	case ActionStarted:
		s.started(m, now)
	case ActionEnded:
		s.died(m, now)
	case ActionRemoved:
		s.created.Remove(m.Key)
		if tr != nil {
			s.end(tr, tr.exit)
		}
	case ActionCreated:
		// Of one that is reported, the next event tells more: it is about to be started again.
		if (tr == nil || tr.entity == nil) && s.knownCreated(m.Key) == nil {
			if tr == nil {
				tr = s.track(m.Key)
				tr.early = true
			}
			s.look(tr, false, now)
		}
	case ActionOOM:
		if tr != nil && tr.entity != nil {
			tr.oomAt = m.At
			s.change(tr, func(c *workloadmeta.Container) { c.State.OOMKilled = true })
			s.look(tr, false, now) // a child may have been killed, and the container lives
		}
	case ActionPaused:
		s.changeStatus(tr, workloadmeta.StatusPaused, now)
	case ActionResumed:
		s.changeStatus(tr, workloadmeta.StatusRunning, now)
	case ActionRenamed:
		if tr != nil {
			if m.Detail != "" {
				s.change(tr, func(c *workloadmeta.Container) { c.Name = m.Detail })
			}
			s.look(tr, true, now)
		}
	case ActionHealth:
		switch {
		case tr == nil:
		case m.Detail == "":
			s.look(tr, false, now)
		default:
			s.change(tr, func(c *workloadmeta.Container) {
				if c.State.Status == workloadmeta.StatusRunning {
					c.State.Health = mapping.Health(m.Detail)
				}
			})
			s.queue.supersede(key{id: m.Key})
		}
	case ActionChanged:
		if tr != nil {
			s.look(tr, false, now)
		}
	}
}

// track returns the container's record, which is made if there is none.
func (s *session) track(key string) *tracked {
	tr := s.containers[key]
	if tr == nil {
		tr = &tracked{key: key, keep: s.opts.KeepStopped}
		s.containers[key] = tr
	}
	tr.touched = s.clock
	return tr
}

// look has the container inspected. With barrier, inspections that have begun already are void.
func (s *session) look(tr *tracked, barrier bool, now time.Time) {
	tr.touched = s.clock
	if !tr.excluded {
		s.queue.mark(keyOf(tr), barrier, now)
	}
}

func (s *session) started(m *Event, now time.Time) {
	tr := s.track(m.Key)
	s.ended.Remove(tr.key)
	tr.exit, tr.missing, tr.gone, tr.early = nil, false, false, false
	if tr.excluded {
		return
	}
	if !s.opts.KeepPause &&
		(m.Sandbox || m.Container != nil && mapping.IsSandbox(m.Container.Labels)) {
		s.exclude(tr)
		return
	}
	s.queue.renew(keyOf(tr), now)
	s.queue.mark(keyOf(tr), true, now)
	if tr.entity != nil && tr.entity.State.Running {
		s.stopWaiting(tr)
		return
	}
	// New, or kept while it was stopped.
	if tr.started = s.recall(tr, m.Container); tr.started != nil {
		s.wait(tr, now.Add(startWait))
	}
}

// died handles the end of a container's process, which is the container's end unless it is started
// again by its policy.
func (s *session) died(m *Event, now time.Time) {
	x := &exit{code: m.ExitCode, at: m.At}
	tr := s.containers[m.Key]
	if tr != nil {
		tr.early = false
	}
	if tr != nil && !tr.oomAt.IsZero() {
		// An inspection between the two may have said that nothing of the kind has happened: Docker
		// notes it with the end.
		x.oom = x.at.Sub(tr.oomAt) < oomWait
		tr.oomAt = time.Time{}
	}
	switch {
	case tr == nil:
		s.ended.Add(m.Key, s.clock) // a list that is on its way may still have it
	case tr.excluded:
		s.drop(tr)
	case tr.keep:
		tr.started = nil
		if tr.entity != nil {
			s.change(tr, func(c *workloadmeta.Container) { *c = *ended(c, x) })
		}
		s.look(tr, true, now)
	case tr.gone:
		s.end(tr, x)
	case tr.entity != nil && tr.policy == "no" && !tr.entity.State.StartedAt.After(x.at):
		s.end(tr, x)
	default:
		// An inspection tells whether it is being restarted, or has been already. It also tells
		// more of a container that was never inspected.
		tr.exit = x
		s.look(tr, true, now)
		s.wait(tr, now.Add(exitWait))
	}
}

// change reports a container with something changed. What is not reported yet is not changed: an
// inspection is on its way.
func (s *session) change(tr *tracked, edit func(*workloadmeta.Container)) {
	if tr.entity == nil || tr.run != s.run || tr.excluded {
		return
	}
	c := *tr.entity
	edit(&c)
	tr.changed = s.clock
	s.set(tr, &c)
}

func (s *session) changeStatus(tr *tracked, status workloadmeta.ContainerStatus, now time.Time) {
	if tr == nil {
		return
	}
	s.change(tr, func(c *workloadmeta.Container) {
		if mapping.IsUp(c.State.Status) {
			c.State.Status, c.State.Running, c.State.Health = status, true,
				workloadmeta.HealthUnknown
		}
	})
	s.look(tr, true, now)
}

// handleResult takes a worker's answer into account. Its error ends the session.
func (s *session) handleResult(r result) error {
	now := time.Now()
	if r.err == nil {
		s.heard = now
	}
	switch r.task {
	case taskList:
		return s.handleLists(r, now)
	case taskPing:
		s.pinging = false
		if r.err != nil {
			return fmt.Errorf("nothing has come for %v, and: %w",
				now.Sub(s.heard).Round(time.Second), r.err)
		}
		return nil
	}
	if r.err != nil && !errdefs.IsNotFound(r.err) {
		outcome := "error"
		if isTimeout(r.err) {
			outcome = "timeout"
		}
		s.f.counters.update(func(st *Stats) { st.Inspects[outcome]++ })
		if s.queue.failed(r.key, r.generation, r.slow, now) {
			s.log.Debug("cannot inspect; it is tried again", "error", r.err)
			s.handleFailure(r.key)
		}
		return nil
	}
	verdict := s.queue.done(r.key, r.generation, now)
	s.f.counters.update(func(st *Stats) {
		switch {
		case verdict != usable:
			st.Inspects["stale"]++
		case r.err != nil:
			st.Inspects["gone"]++
		default:
			st.Inspects["ok"]++
		}
	})
	switch verdict {
	case forgotten:
		return nil
	case void:
		if tr := s.containers[r.key.id]; tr != nil && !r.key.image && r.err == nil {
			s.handleOvertaken(tr, r)
		}
		return nil
	}
	delete(s.initial, r.key)
	s.clock++
	switch tr := s.containers[r.key.id]; {
	case r.key.image:
		s.handleImage(r, now)
	case tr == nil:
		s.queue.forget(r.key)
	case errors.Is(r.err, ErrNotCollected):
		s.end(tr, tr.exit) // no event tells of this end
	case r.err != nil:
		s.handleGone(tr, now)
	default:
		s.handleInspected(tr, r.container)
	}
	return nil
}

// handleFailure gives up waiting for an inspection that has failed, and uses what else is known.
func (s *session) handleFailure(k key) {
	delete(s.initial, k)
	tr := s.containers[k.id]
	if k.image || tr == nil {
		return
	}
	switch {
	case tr.listed != nil:
		s.useListed(tr)
	case tr.started != nil && !s.synced:
		s.stopWaiting(tr) // Synced promises that what is there has been reported
		s.useEvents(tr)
	case tr.missing && s.synced:
		s.end(tr, tr.exit)
	}
}

// handleInspected uses an inspection, which is newer than everything else known of the container.
func (s *session) handleInspected(tr *tracked, in Container) {
	c := in.Entity
	tr.policy, tr.keep = in.Policy, in.Keep || s.opts.KeepStopped
	tr.listed, tr.missing, tr.gone = nil, false, false
	s.stopWaiting(tr)
	if in.Sandbox && !s.opts.KeepPause {
		s.exclude(tr)
		return
	}
	if tr.early && !tr.keep {
		s.remember(tr, in)
		return
	}
	tr.early = false
	if mapping.IsUp(c.State.Status) || tr.keep {
		tr.exit, tr.started = nil, nil
		s.set(tr, c)
		return
	}
	if c.State.Status != workloadmeta.StatusStopped {
		// Created and never started, or something this version does not know: nothing runs.
		s.end(tr, tr.exit)
		return
	}
	x := &exit{code: c.State.ExitCode, at: c.State.FinishedAt, oom: c.State.OOMKilled}
	if tr.exit != nil {
		x.oom = x.oom || tr.exit.oom
		if x.at.IsZero() {
			x.at = tr.exit.at // it is being removed, and has no end's time yet
		}
	}
	if tr.entity == nil && tr.started != nil {
		tr.started = asRunning(c)
	}
	s.end(tr, x)
}

// handleOvertaken uses an inspection that an event has overtaken, where that does no harm. The
// inspection is repeated in any case.
func (s *session) handleOvertaken(tr *tracked, r result) {
	c := r.container.Entity
	tr.policy, tr.keep = r.container.Policy, r.container.Keep || s.opts.KeepStopped
	if tr.entity == nil && tr.started != nil && !tr.excluded {
		if r.container.Sandbox && !s.opts.KeepPause {
			s.exclude(tr)
			return
		}
		// It may be gone before it can be inspected again, and the event knows less.
		tr.started = inspectedBefore(c, tr.started)
		if c.State.Status != workloadmeta.StatusStopped { // otherwise it knows when this life began
			c = tr.started
		}
	}
	switch {
	case tr.keep || tr.excluded:
	case tr.policy != "no":
		// A container that crashes and is started again and again would otherwise never be up to
		// date.
		if tr.entity != nil && tr.changed <= r.clock && mapping.IsUp(c.State.Status) {
			s.set(tr, c)
		}
	case tr.exit != nil && !c.State.StartedAt.After(tr.exit.at):
		// It is not started again: the event that told of its end has told all.
		if tr.entity == nil {
			tr.started = asRunning(c)
		}
		s.end(tr, tr.exit)
	}
}

// handleGone handles a container that the runtime does not know. Its end is told by an event, which
// is usually on its way.
func (s *session) handleGone(tr *tracked, now time.Time) {
	tr.listed = nil
	switch {
	case tr.exit != nil:
		s.end(tr, tr.exit)
	case tr.entity == nil && tr.started == nil:
		s.drop(tr)
	default:
		if tr.entity == nil {
			s.set(tr, tr.started)
		}
		tr.gone = true
		if tr.missing && !s.synced {
			// Of what has ended while nobody listened, the event comes soon after the first list,
			// if at all.
			s.initial[keyOf(tr)] = struct{}{}
			// Synced would take it away without what is known of its end
			s.wait(tr, s.initialUntil.Add(-s.opts.InitialWait/10))
			return
		}
		s.wait(tr, now.Add(goneWait))
	}
}

// set reports a container, unless that would change nothing.
func (s *session) set(tr *tracked, c *workloadmeta.Container) {
	if tr.entity != nil && tr.entity.Image.ID != "" && tr.entity.Image.RawName == c.Image.RawName &&
		sameMaking(tr.entity, c) {
		c.Image.ID = tr.entity.Image.ID // the name may mean another image by now
	}
	s.use(tr, c.Image.ID)
	c.Image = s.imageOf(tr, c.Image.ID, c.Image.RawName)
	if !s.opts.KeepPause && (mapping.IsSandbox(c.Labels) || image.IsPause(c.Image.Name)) {
		s.exclude(tr)
		return
	}
	if owner := s.owners[c.ID]; owner != nil && owner != tr {
		if tr.shadowed == "" {
			s.log.Warn(
				"two containers have one ID; the second is not reported while the first is there",
				"id", c.ID, "first", owner.key, "second", tr.key)
			s.shadow(tr, c.ID)
		}
		return
	}
	s.unshadow(tr)
	s.owners[c.ID] = tr
	if tr.run == s.run && tr.entity != nil && tr.entity.Equal(c) {
		s.f.counters.update(func(st *Stats) { st.SuppressedEqual++ })
		return
	}
	tr.entity, tr.run = c, s.run
	s.add(workloadmeta.EventTypeSet, c)
}

// sameMaking reports whether two views may be of one container. Where users choose the IDs, another
// may have been made under the same one while nobody watched.
func sameMaking(a, b *workloadmeta.Container) bool {
	return a.State.CreatedAt.IsZero() || b.State.CreatedAt.IsZero() ||
		a.State.CreatedAt.Equal(b.State.CreatedAt)
}

// end reports the end of a container. One that was never reported is reported first, so that
// everybody sees it has been there.
func (s *session) end(tr *tracked, x *exit) {
	if tr.entity == nil && tr.started != nil && !tr.excluded {
		s.set(tr, tr.started)
	}
	if tr.entity != nil && !tr.excluded {
		s.add(workloadmeta.EventTypeUnset, ended(tr.entity, x))
	}
	s.drop(tr)
}

// drop forgets a container without a word.
func (s *session) drop(tr *tracked) {
	s.ended.Add(tr.key, s.clock)
	s.created.Remove(tr.key)
	s.release(tr)
	delete(s.containers, tr.key)
}

// release lets go of everything that is held for a container.
func (s *session) release(tr *tracked) {
	s.unshadow(tr)
	s.disown(tr)
	s.unuse(tr)
	s.stopWaiting(tr)
	s.queue.forget(keyOf(tr))
	delete(s.initial, keyOf(tr))
}

// disown lets another container with the same ID be reported.
func (s *session) disown(tr *tracked) {
	if tr.entity == nil || s.owners[tr.entity.ID] != tr {
		return
	}
	delete(s.owners, tr.entity.ID)
	for other := range s.shadowed[tr.entity.ID] {
		s.look(other, false, time.Now())
	}
}

// exclude takes a container that turns out to be a pause container out of what is reported.
func (s *session) exclude(tr *tracked) {
	if tr.entity != nil {
		s.add(workloadmeta.EventTypeUnset, tr.entity)
	}
	s.release(tr)
	*tr = tracked{key: tr.key, touched: tr.touched, keep: tr.keep, excluded: true}
}

// ended returns the last view of a container that has ended. x may be nil.
func ended(c *workloadmeta.Container, x *exit) *workloadmeta.Container {
	out := *c
	out.PID = 0
	out.State.Running, out.State.Status, out.State.Health = false, workloadmeta.StatusStopped,
		workloadmeta.HealthUnknown
	if x != nil {
		out.State.ExitCode, out.State.FinishedAt = x.code, x.at
		out.State.OOMKilled = out.State.OOMKilled || x.oom
	}
	return &out
}

// asRunning returns a container that was inspected after its end as it was before.
func asRunning(c *workloadmeta.Container) *workloadmeta.Container {
	out := *c
	out.State.Running, out.State.Status = true, workloadmeta.StatusRunning
	out.State.ExitCode, out.State.FinishedAt, out.State.OOMKilled = nil, time.Time{}, false
	return &out
}

// wait sets when to stop waiting for the container's inspection.
func (s *session) wait(tr *tracked, until time.Time) {
	tr.deadline = until
	s.waiting[tr] = struct{}{}
	if s.nextTick.IsZero() {
		s.nextTick = time.Now().Add(tick)
	}
}

func (s *session) stopWaiting(tr *tracked) {
	tr.deadline = time.Time{}
	delete(s.waiting, tr)
}

// checkWaits stops waiting where it has lasted long enough.
func (s *session) checkWaits(now time.Time) {
	if len(s.waiting) == 0 {
		s.nextTick = time.Time{}
		return
	}
	if now.Before(s.nextTick) {
		return
	}
	s.nextTick = now.Add(tick)
	for tr := range s.waiting {
		if !now.Before(tr.deadline) {
			s.stopWaiting(tr)
			s.useEvents(tr)
		}
	}
}

// settle ends all waiting, because no inspection will come any more.
func (s *session) settle() {
	for tr := range s.waiting {
		s.stopWaiting(tr)
		s.useEvents(tr)
	}
	for _, tr := range s.containers {
		tr.listed = nil // the next session lists again
	}
}

// useEvents reports what the events or a list have told of a container whose inspection has not
// come.
func (s *session) useEvents(tr *tracked) {
	switch {
	case tr.exit != nil && restarts(tr.policy, tr.exit.code) && tr.entity != nil:
		// If that is wrong because somebody stopped it, the inspection that is still due will tell.
		code, at := tr.exit.code, tr.exit.at
		s.change(tr, func(c *workloadmeta.Container) {
			c.PID = 0
			c.State.Status, c.State.Health = workloadmeta.StatusRestarting,
				workloadmeta.HealthUnknown
			c.State.ExitCode, c.State.FinishedAt = code, at
		})
	case tr.exit != nil, tr.gone:
		s.end(tr, tr.exit)
	case tr.started != nil:
		c := tr.started
		tr.started = nil
		s.set(tr, c)
	}
}

// restarts reports whether the runtime starts a container again that ended by itself.
func restarts(policy string, code *int64) bool {
	switch policy {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		return code == nil || *code != 0
	}
	return false
}
