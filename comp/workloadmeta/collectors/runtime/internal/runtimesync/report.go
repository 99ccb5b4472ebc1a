package runtimesync

import (
	"log/slog"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

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
		v.PID, v.CgroupInode = 0, 0
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
