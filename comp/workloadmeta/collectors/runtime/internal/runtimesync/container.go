package runtimesync

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

// phase is where a container is in its life, as far as is known; the package's comment has a table.
type phase uint8

const (
	created phase = iota
	starting
	reported
	returning
	ending
	unlisted
	gone
	excluded
	duplicate
)

// container is what is known of a container.
type container struct {
	key   string
	phase phase
	// deadline is when to stop waiting in this phase; zero = never.
	deadline time.Time
	// view is what was last reported, perhaps over an earlier connection; nil before the first
	// time.
	view *workloadmeta.Container
	// image is what view says of its image, once for all containers that were made of it.
	image mapping.SharedImage
	// connection is the number of the one that view was last reported over.
	connection uint64
	// fallback is made of a list, an event or an earlier inspection. It is to be reported if no
	// inspection comes in time; nil = nothing.
	fallback *workloadmeta.Container
	// end is an end that an inspection is to confirm; nil = none.
	end *end

	policy      string // restart policy, known after an inspection; "" = not known
	keep        bool   // stays while it does not run, until it is removed
	imageID     string // under which it is in machine.users
	duplicateOf string // the ID that another container is reported under; "" = none
	// when something in it was last killed for want of memory; runtime's clock
	oomAt      time.Time
	lastEvent  uint64 // the clock when an event last told of the container
	lastChange uint64 // the clock when an event last changed what is known of it
}

func keyOf(c *container) key { return key{id: c.key} }

// end is how a container ended.
type end struct {
	code *int64 // nil = unknown
	at   time.Time
	oom  bool
}

// notStarted is what is known of a container that exists, does not run and is not reported. What
// lives shorter than an inspection takes is otherwise known from its events only, and those have no
// environment, from which service and env are taken.
type notStarted struct {
	view   *workloadmeta.Container
	policy string
	clock  uint64 // when it was found out
}

// isReported reports whether a container's view has been reported over this connection.
func (m *machine) isReported(c *container) bool {
	return c.view != nil && c.connection == m.conn.number
}

// enter moves a container to a phase. It waits there for no longer than wait; 0 = for ever.
func (m *machine) enter(c *container, p phase, wait time.Duration) {
	c.phase, c.deadline = p, time.Time{}
	if wait == 0 {
		delete(m.conn.waiting, c)
		return
	}
	c.deadline = m.now.Add(max(wait, waitTick))
	if len(m.conn.waiting) == 0 || c.deadline.Before(m.conn.nextLook) {
		m.conn.nextLook = c.deadline
	}
	m.conn.waiting[c] = struct{}{}
}

// track returns the container's record, which is made if there is none.
func (m *machine) track(key string) *container {
	c := m.containers[key]
	if c == nil {
		c = &container{key: key, phase: starting, keep: m.opts.KeepStopped}
		m.containers[key] = c
	}
	c.lastEvent = m.clock
	return c
}

// look has the container inspected. With barrier, inspections that have begun already are void.
func (m *machine) look(c *container, barrier bool) {
	c.lastEvent = m.clock
	if c.phase != excluded {
		m.conn.queue.mark(keyOf(c), barrier, m.now)
	}
}

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

// set reports a container that need not be waited for any more.
func (m *machine) set(c *container, v *workloadmeta.Container) {
	m.enter(c, reported, 0)
	m.publish(c, v)
}

// publish reports a container, unless that would change nothing.
func (m *machine) publish(c *container, v *workloadmeta.Container) {
	if c.view != nil && c.view.Image.ID != "" && c.view.Image.RawName == v.Image.RawName &&
		sameMaking(c.view, v) {
		v.Image.ID = c.view.Image.ID // the name may mean another image by now
	}
	v.Image = c.image.Set(m.imageOf(c, v.Image.ID, v.Image.RawName))
	m.use(c, v.Image.ID)
	if !m.opts.KeepPause && (mapping.IsSandbox(v.Labels) || image.IsPause(v.Image.Name)) {
		m.exclude(c)
		return
	}
	if owner := m.owners[v.ID]; owner != nil && owner != c {
		if c.duplicateOf == "" {
			m.note(slog.LevelWarn,
				"two containers have one ID; the second is not reported while the first is there",
				"id", v.ID, "first", owner.key, "second", c.key)
			m.addDuplicate(c, v.ID)
		}
		m.enter(c, duplicate, 0)
		return
	}
	m.removeDuplicate(c)
	m.owners[v.ID] = c
	if m.isReported(c) && c.view.Equal(v) {
		m.stats.SuppressedEqual++
		return
	}
	c.view, c.connection = v, m.conn.number
	m.add(workloadmeta.EventTypeSet, v)
}

// sameMaking reports whether two views may be of one container. Where users choose the IDs, another
// may have been made under the same one while nobody watched.
func sameMaking(a, b *workloadmeta.Container) bool {
	return a.State.CreatedAt.IsZero() || b.State.CreatedAt.IsZero() ||
		a.State.CreatedAt.Equal(b.State.CreatedAt)
}

// expire does what is to be done when no inspection has come in time: it reports what the events or
// a list have told.
func (m *machine) expire(c *container) {
	switch {
	case c.phase == ending && c.view != nil && mapping.Restarts(c.policy, c.end.code):
		// If that is wrong because somebody stopped it, the inspection that is still due will tell.
		v := *c.view
		v.PID = 0
		v.State.Status, v.State.Health = workloadmeta.StatusRestarting, workloadmeta.HealthUnknown
		v.State.ExitCode, v.State.FinishedAt = c.end.code, c.end.at
		m.publish(c, &v)
		m.enter(c, ending, 0)
	case c.phase == ending, c.phase == gone:
		m.finish(c, c.end)
	case c.fallback != nil:
		v := c.fallback
		c.fallback = nil
		m.set(c, v)
	default:
		m.enter(c, c.phase, 0)
	}
}

// finish reports the end of a container. One that was never reported is reported first, so that
// everybody sees it has been there.
func (m *machine) finish(c *container, e *end) {
	if c.view == nil && c.fallback != nil {
		m.set(c, c.fallback)
	}
	if c.view != nil {
		m.add(workloadmeta.EventTypeUnset, asEnded(c.view, e))
	}
	m.forget(c)
}

// forget lets go of a container without a word.
func (m *machine) forget(c *container) {
	m.recentlyEnded.Add(c.key, m.clock)
	m.notStarted.Remove(c.key)
	m.release(c)
	delete(m.containers, c.key)
}

// exclude takes a container that turns out to be a pause container out of what is reported.
func (m *machine) exclude(c *container) {
	if c.view != nil {
		m.add(workloadmeta.EventTypeUnset, c.view)
	}
	m.release(c)
	*c = container{key: c.key, phase: excluded, lastEvent: c.lastEvent, keep: c.keep}
}

// release lets go of everything that is held for a container.
func (m *machine) release(c *container) {
	m.removeDuplicate(c)
	m.unuse(c)
	m.enter(c, c.phase, 0)
	m.conn.queue.forget(keyOf(c))
	delete(m.conn.first, keyOf(c))
	if c.view == nil || m.owners[c.view.ID] != c {
		return
	}
	delete(m.owners, c.view.ID)
	for _, other := range byKey(m.duplicates[c.view.ID]) {
		m.look(other, false) // it is another's turn to be reported under this ID
	}
}

// asEnded returns the last view of a container that has ended. e may be nil.
func asEnded(v *workloadmeta.Container, e *end) *workloadmeta.Container {
	out := *v
	out.PID = 0
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
	out.PID, out.CgroupPath = running.PID, running.CgroupPath
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

// byKey returns containers in the order of their keys, so that a machine does the same twice.
func byKey(set map[*container]struct{}) []*container {
	return slices.SortedFunc(maps.Keys(set),
		func(a, b *container) int { return cmp.Compare(a.key, b.key) })
}

// pick returns the containers that fit, in the order of their keys.
func (m *machine) pick(fits func(*container) bool) []*container {
	var out []*container
	for _, c := range m.containers {
		if fits(c) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *container) int { return cmp.Compare(a.key, b.key) })
	return out
}

// use notes which image a container is made of.
func (m *machine) use(c *container, id string) {
	if c.imageID == id {
		return
	}
	m.unuse(c)
	if id != "" {
		addTo(m.users, id, c)
		c.imageID = id
	}
}

func (m *machine) unuse(c *container) {
	removeFrom(m.users, c.imageID, c)
	c.imageID = ""
}

// addDuplicate notes that another container is reported under the ID of this one.
func (m *machine) addDuplicate(c *container, id string) {
	addTo(m.duplicates, id, c)
	c.duplicateOf = id
}

func (m *machine) removeDuplicate(c *container) {
	removeFrom(m.duplicates, c.duplicateOf, c)
	c.duplicateOf = ""
}

func addTo(sets map[string]map[*container]struct{}, id string, c *container) {
	if sets[id] == nil {
		sets[id] = map[*container]struct{}{}
	}
	sets[id][c] = struct{}{}
}

func removeFrom(sets map[string]map[*container]struct{}, id string, c *container) {
	delete(sets[id], c)
	if len(sets[id]) == 0 {
		delete(sets, id)
	}
}
