package docker

import (
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

// handleEvent takes an event into account. Most events only have the container inspected; what they tell by themselves
// is used where the inspection may come too late or never.
func (s *session) handleEvent(m *message) {
	now := time.Now()
	action, detail := m.action()
	s.c.counters.event(m.Type+" "+action, now)
	if s.repeated(m) {
		s.c.counters.update(func(st *Stats) { st.Duplicates++ })
		return
	}
	s.clock++
	if action == "prune" {
		s.requestList(now)
		return
	}
	switch m.Type {
	case "container":
		s.handleContainerEvent(m, action, detail, now)
	case "image":
		s.handleImageEvent(m, action, now)
	case "network":
		if tr := s.containers[m.Actor.Attributes["container"]]; tr != nil && (action == "connect" || action == "disconnect") {
			s.look(tr, false, now)
		}
	case "daemon":
		if action == "reload" {
			s.requestList(now)
		}
	}
}

// repeated reports whether this connection repeats an event of an earlier one, and remembers the event.
func (s *session) repeated(m *message) bool {
	if m.TimeNano == 0 {
		return false
	}
	k := eventKey{m.TimeNano, m.Type, m.Action, m.Actor.ID}
	if m.TimeNano <= s.resume && s.recent.Contains(k) {
		return true
	}
	s.recent.Add(k, struct{}{})
	s.lastNano = max(s.lastNano, m.TimeNano) // events are not strictly in order of time
	return false
}

func (s *session) handleContainerEvent(m *message, action, detail string, now time.Time) {
	id := m.Actor.ID
	if id == "" {
		return
	}
	tr := s.containers[id]
	switch action {
	case "start":
		s.started(m, now)
	case "die", "died": // Podman says died
		s.died(m, now)
	case "destroy", "remove":
		if tr != nil {
			s.end(tr, tr.exit)
		}
	case "create":
		if s.opts.KeepStopped {
			s.look(s.track(id), false, now)
		}
	case "commit":
		if id := imageID(m.Actor.Attributes["imageID"]); id != "" {
			s.lookAtImage(id, now)
		}
	case "oom":
		if tr != nil && tr.entity != nil {
			s.change(tr, func(c *workloadmeta.Container) { c.State.OOMKilled = true })
			s.look(tr, false, now) // a child may have been killed, and the container lives
		}
	case "pause":
		s.changeStatus(tr, workloadmeta.StatusPaused, now)
	case "unpause":
		s.changeStatus(tr, workloadmeta.StatusRunning, now)
	case "rename":
		if tr != nil {
			if name := strings.TrimPrefix(m.Actor.Attributes["name"], "/"); name != "" {
				s.change(tr, func(c *workloadmeta.Container) { c.Name = name })
			}
			s.look(tr, true, now)
		}
	case "health_status":
		if tr == nil {
			return
		}
		if detail == "" {
			detail = m.Actor.Attributes["health_status"]
		}
		if detail == "" {
			s.look(tr, false, now)
			return
		}
		s.change(tr, func(c *workloadmeta.Container) {
			if c.State.Status == workloadmeta.StatusRunning {
				c.State.Health = health(detail)
			}
		})
		s.queue.supersede(key{id: id})
	case "restart", "update":
		if tr != nil {
			s.look(tr, false, now)
		}
	}
}

// track returns the container's record, which is made if there is none.
func (s *session) track(id string) *tracked {
	tr := s.containers[id]
	if tr == nil {
		tr = &tracked{id: id}
		s.containers[id] = tr
	}
	tr.touched = s.clock
	return tr
}

// look has the container inspected. With barrier, inspections that have begun already are void.
func (s *session) look(tr *tracked, barrier bool, now time.Time) {
	tr.touched = s.clock
	if !tr.excluded {
		s.queue.mark(key{id: tr.id}, barrier, now)
	}
}

func (s *session) started(m *message, now time.Time) {
	tr := s.track(m.Actor.ID)
	s.ended.Remove(tr.id)
	tr.exit, tr.missing, tr.gone = nil, false, false
	if tr.excluded {
		return
	}
	if !s.opts.KeepPause && isSandbox(m.Actor.Attributes) {
		s.exclude(tr)
		return
	}
	s.queue.renew(key{id: tr.id}, now)
	s.queue.mark(key{id: tr.id}, true, now)
	switch {
	case tr.entity == nil:
		tr.started = mapEvent(m)
		s.wait(tr, now.Add(startWait))
	case !tr.entity.State.Running:
		// Kept while it was stopped.
		s.wait(tr, now.Add(startWait))
		tr.started = mapEvent(m)
	default:
		s.stopWaiting(tr)
	}
}

// died handles the end of a container's process, which is the container's end unless it is started again by its policy.
func (s *session) died(m *message, now time.Time) {
	id := m.Actor.ID
	x := &exit{code: exitCode(m.Actor.Attributes), at: m.at()}
	tr := s.containers[id]
	switch {
	case tr == nil:
		// Perhaps the store has it from before; if not, it drops the event.
		if !s.ended.Contains(id) {
			s.ended.Add(id, s.clock)
			s.add(workloadmeta.EventTypeUnset, ended(&workloadmeta.Container{
				EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id},
			}, x))
		}
	case tr.excluded:
		s.drop(tr)
	case s.opts.KeepStopped:
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
		// An inspection tells whether it is being restarted, or has been already. It also tells more of a
		// container that was never inspected.
		tr.exit = x
		s.look(tr, true, now)
		s.wait(tr, now.Add(exitWait))
	}
}

// change reports a container with something changed. What is not reported yet is not changed: an inspection is on its way.
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
		if isUp(c.State.Status) {
			c.State.Status, c.State.Running, c.State.Health = status, true, workloadmeta.HealthUnknown
		}
	})
	s.look(tr, true, now)
}

// handleResult takes a worker's answer into account. Its error ends the session.
func (s *session) handleResult(r result) error {
	now := time.Now()
	if r.key == (key{}) {
		return s.handleLists(r, now)
	}
	if r.err != nil && !isNotFound(r.err) {
		outcome := "error"
		if isTimeout(r.err) {
			outcome = "timeout"
		}
		s.c.counters.update(func(st *Stats) { st.Inspects[outcome]++ })
		if s.queue.failed(r.key, r.generation, r.slow, now) {
			s.log.Debug("cannot inspect; it is tried again", "error", r.err)
			s.handleFailure(r.key)
		}
		return nil
	}
	verdict := s.queue.done(r.key, r.generation, now)
	s.c.counters.update(func(st *Stats) {
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
func (s *session) handleInspected(tr *tracked, in inspected) {
	c := in.entity
	tr.policy = in.policy
	tr.listed, tr.missing, tr.gone = nil, false, false
	s.stopWaiting(tr)
	if isUp(c.State.Status) || s.opts.KeepStopped {
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
	if tr.exit != nil && x.at.IsZero() {
		x.at = tr.exit.at // it is being removed, and has no end's time yet
	}
	if tr.entity == nil && tr.started != nil {
		tr.started = asRunning(c)
	}
	s.end(tr, x)
}

// handleOvertaken uses an inspection that an event has overtaken, where that does no harm. The inspection is repeated in
// any case.
func (s *session) handleOvertaken(tr *tracked, r result) {
	c := r.container.entity
	tr.policy = r.container.policy
	switch {
	case s.opts.KeepStopped || tr.excluded:
	case tr.policy != "no":
		// A container that crashes and is started again and again would otherwise never be up to date.
		if tr.entity != nil && tr.changed <= r.clock && isUp(c.State.Status) {
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

// handleGone handles a container that the daemon does not know. Its end is told by an event, which is usually on its way.
func (s *session) handleGone(tr *tracked, now time.Time) {
	tr.listed = nil
	switch {
	case tr.exit != nil || tr.missing:
		s.end(tr, tr.exit)
	case tr.entity == nil && tr.started == nil:
		s.drop(tr)
	default:
		if tr.entity == nil {
			s.set(tr, tr.started)
		}
		tr.gone = true
		s.wait(tr, now.Add(goneWait))
	}
}

// set reports a container, unless that would change nothing.
func (s *session) set(tr *tracked, c *workloadmeta.Container) {
	s.use(tr, c.Image.ID)
	c.Image = s.imageOf(tr, c.Image.ID, c.Image.RawName)
	if !s.opts.KeepPause && (isSandbox(c.Labels) || image.IsPause(c.Image.Name)) {
		s.exclude(tr)
		return
	}
	if tr.run == s.run && tr.entity != nil && tr.entity.Equal(c) {
		s.c.counters.update(func(st *Stats) { st.SuppressedEqual++ })
		return
	}
	tr.entity, tr.run = c, s.run
	s.add(workloadmeta.EventTypeSet, c)
}

// end reports the end of a container. One that was never reported is reported first, so that everybody sees it has been there.
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
	s.ended.Add(tr.id, s.clock)
	s.unuse(tr)
	s.stopWaiting(tr)
	s.queue.forget(key{id: tr.id})
	delete(s.initial, key{id: tr.id})
	delete(s.containers, tr.id)
}

// exclude takes a container that turns out to be a pause container out of what is reported.
func (s *session) exclude(tr *tracked) {
	if tr.entity != nil {
		s.add(workloadmeta.EventTypeUnset, tr.entity)
	}
	id, touched := tr.id, tr.touched
	s.unuse(tr)
	s.stopWaiting(tr)
	s.queue.forget(key{id: id})
	delete(s.initial, key{id: id})
	*tr = tracked{id: id, touched: touched, excluded: true}
}

// ended returns the last view of a container that has ended. x may be nil.
func ended(c *workloadmeta.Container, x *exit) *workloadmeta.Container {
	out := *c
	out.PID = 0
	out.State.Running, out.State.Status, out.State.Health = false, workloadmeta.StatusStopped, workloadmeta.HealthUnknown
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

// useEvents reports what the events or a list have told of a container whose inspection has not come.
func (s *session) useEvents(tr *tracked) {
	switch {
	case tr.exit != nil && restarts(tr.policy, tr.exit.code) && tr.entity != nil:
		// If that is wrong because somebody stopped it, the inspection that is still due will tell.
		code, at := tr.exit.code, tr.exit.at
		s.change(tr, func(c *workloadmeta.Container) {
			c.PID = 0
			c.State.Status, c.State.Health = workloadmeta.StatusRestarting, workloadmeta.HealthUnknown
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

// restarts reports whether Docker starts a container again that ended by itself.
func restarts(policy string, code *int64) bool {
	switch policy {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		return code == nil || *code != 0
	}
	return false
}
