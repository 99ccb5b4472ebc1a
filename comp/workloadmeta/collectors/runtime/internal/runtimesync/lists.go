package runtimesync

import (
	"fmt"
	"log/slog"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// handleList takes the answer to a list into account.
func (m *machine) handleList(a *answer) {
	conn := &m.conn
	conn.listing = false
	switch {
	case a.err == nil:
	case conn.phase == listing:
		m.fail(a.err)
		return
	default:
		if conn.listErrors++; conn.listErrors >= listTries {
			m.fail(fmt.Errorf("%w (%d times in a row)", a.err, conn.listErrors))
			return
		}
		m.note(slog.LevelWarn,
			"cannot compare with the runtime's lists; it is tried again", "error", a.err)
		conn.lostEvents = conn.lostEvents || a.full
		m.requestList(m.now.Add(backoffMin))
		return
	}
	conn.listErrors = 0
	for _, err := range a.listing.Problems {
		m.note(slog.LevelWarn, "an object is left out", "error", err)
	}
	m.stats.Lists++
	m.stats.LastSync = m.now
	if conn.phase == listing {
		m.begin(&a.listing)
		return
	}
	if a.full {
		m.requestList(m.now.Add(m.opts.SettleResync)) // this one may lag behind what was lost
	} else if conn.nextList.IsZero() { // otherwise another was asked for meanwhile
		conn.nextList = m.now.Add(m.opts.ResyncEvery)
	}
	m.forgetNotStarted(&a.listing, a.clock)
	m.stats.Differences += m.compareImages(&a.listing, a.clock) +
		m.compareContainers(&a.listing, a.clock)
	if a.full {
		// Of a container that has ended and was started again a list tells nothing new.
		for _, c := range m.pick(func(c *container) bool { return c.phase == reported }) {
			m.conn.queue.mark(keyOf(c), false, m.now)
		}
	}
}

// begin reports what the first lists tell whole, and has the rest inspected. Those containers are
// reported when their inspection has come: see expect. Those that an earlier connection has
// reported are held back, too, so that a reconnection does not take away for a moment what the
// lists do not tell.
func (m *machine) begin(l *Listing) {
	m.stats.Connects++
	m.clock++
	m.conn.phase = catchingUp
	m.conn.firstUntil = m.now.Add(m.opts.InitialWait)
	m.conn.nextList = m.now.Add(m.opts.SettleResync)
	m.forgetNotStarted(l, m.clock)
	m.beginImages(l)
	listed := map[string]bool{}
	for i := range l.Containers {
		in := &l.Containers[i]
		if !m.wants(in) {
			continue
		}
		listed[in.Key] = true
		c := m.track(in.Key)
		c.end, c.fallback = nil, nil
		m.enter(c, starting, 0)
		switch {
		case m.isSandbox(in):
			m.exclude(c)
			continue
		case in.Complete:
			m.handleInspected(c, *in)
			continue
		case c.view != nil:
			m.use(c, in.Entity.Image.ID)
			v := m.opts.Overlay(c.view, in.Entity)
			v.Image.ID, v.Image.RawName = in.Entity.Image.ID, c.view.Image.RawName
			c.fallback = v
			m.enter(c, returning, 0)
		default:
			m.expect(c, in.Entity)
		}
		m.lookFirst(keyOf(c))
	}
	for _, c := range m.pick(func(c *container) bool { return !listed[c.key] }) {
		if c.view == nil {
			m.forget(c)
			continue
		}
		m.enter(c, unlisted, 0) // how it ended may still be known
		m.lookFirst(keyOf(c))
	}
}

func (m *machine) beginImages(l *Listing) {
	if l.ImagesErr != nil {
		m.note(slog.LevelWarn, "images are not up to date", "error", l.ImagesErr)
		for _, id := range m.pickImages(func(string, *imageState) bool { return true }) {
			m.images[id].connection = m.conn.number
			m.add(workloadmeta.EventTypeSet, m.images[id].view)
		}
		m.requestList(m.now.Add(m.opts.CallTimeout))
		return
	}
	listed := map[string]bool{}
	for i := range l.Images {
		in := &l.Images[i]
		names := mapping.NamesOf(in.Entity)
		listed[names.ID] = true
		if m.opts.NoImages {
			m.names.Add(names.ID, names)
			continue
		}
		if i := m.images[names.ID]; i != nil && i.inspected && !in.Complete {
			m.setImage(mapping.Renamed(i.view, names), names, true, in.Seq)
			continue
		}
		m.setImage(in.Entity, names, in.Complete, in.Seq)
		if !in.Complete {
			m.lookFirst(key{image: true, id: names.ID})
		}
	}
	for id := range m.images {
		if !listed[id] {
			delete(m.images, id) // not reported over this connection, so the store drops it
		}
	}
}

// lookFirst is a look that Synced waits for.
func (m *machine) lookFirst(k key) {
	if c := m.containers[k.id]; !k.image && (c == nil || c.phase == excluded) {
		return
	}
	m.conn.first[k] = struct{}{}
	m.conn.queue.mark(k, false, m.now)
}

func (m *machine) isSandbox(in *Container) bool {
	return !m.opts.KeepPause && (in.Sandbox || mapping.IsSandbox(in.Entity.Labels))
}

// wants reports whether a container of a list is one to report.
func (m *machine) wants(in *Container) bool {
	return m.opts.KeepStopped || in.Keep || mapping.IsUp(in.Entity.State.Status)
}

// forgetNotStarted forgets what is known of containers that a list, asked for at the clock, does
// not have.
func (m *machine) forgetNotStarted(l *Listing, clock uint64) {
	if m.notStarted.Len() == 0 {
		return
	}
	listed := make(map[string]bool, len(l.Containers))
	for i := range l.Containers {
		listed[l.Containers[i].Key] = true
	}
	for _, key := range m.notStarted.Keys() {
		if n, ok := m.notStarted.Peek(key); ok && n.clock <= clock && !listed[key] {
			m.notStarted.Remove(key)
		}
	}
}

// compareContainers compares a list, asked for at the clock, with what the events have told, and
// returns how many containers differ. Those that something happened to since then are left alone.
func (m *machine) compareContainers(l *Listing, clock uint64) (differences int) {
	listed := map[string]bool{}
	for i := range l.Containers {
		in := &l.Containers[i]
		if !m.wants(in) {
			continue
		}
		listed[in.Key] = true
		c := m.containers[in.Key]
		if c == nil {
			if m.endedSince(in.Key, clock) {
				continue
			}
			differences++
			m.compareNew(in)
			continue
		}
		if c.lastEvent > clock || c.phase == excluded {
			continue
		}
		if c.phase == unlisted && m.isReported(c) {
			m.enter(c, reported, 0)
		}
		switch {
		case c.phase == created: // its start has been missed
			differences++
			m.compareNew(in)
		case in.Complete:
			before := c.view
			if m.handleInspected(c, *in); c.view != before {
				differences++
			}
		case c.phase == duplicate:
		case c.view == nil || !m.opts.SameAsListed(c.view, in.Entity):
			differences++
			m.look(c, false)
		}
	}
	for _, c := range m.pick(func(c *container) bool {
		return !listed[c.key] && c.lastEvent <= clock
	}) {
		if c.phase == excluded {
			m.forget(c)
			continue
		}
		differences++
		if c.phase == reported || c.phase == returning {
			c.fallback = nil
			m.enter(c, unlisted, 0)
		}
		m.look(c, false)
	}
	return differences
}

// endedSince reports whether a container or an image was let go after the clock.
func (m *machine) endedSince(key string, clock uint64) bool {
	at, ok := m.recentlyEnded.Peek(key)
	return ok && at > clock
}

// compareNew handles a container that a list has and of which no start is known.
func (m *machine) compareNew(in *Container) {
	ended := m.recentlyEnded.Contains(in.Key)
	m.recentlyEnded.Remove(in.Key)
	c := m.track(in.Key)
	m.enter(c, starting, 0)
	switch {
	case m.isSandbox(in):
		m.exclude(c)
	case in.Complete:
		m.handleInspected(c, *in)
	case ended:
		// Docker tells of an end before its list does: only an inspection can tell a new start from
		// that.
		m.look(c, false)
	default:
		m.expect(c, in.Entity)
		m.look(c, false)
	}
}

// compareImages does the same with images.
func (m *machine) compareImages(l *Listing, clock uint64) (differences int) {
	if l.ImagesErr != nil {
		m.note(slog.LevelWarn, "images are not up to date", "error", l.ImagesErr)
		return 0
	}
	listed := map[string]bool{}
	for i := range l.Images {
		in := &l.Images[i]
		names := mapping.NamesOf(in.Entity)
		listed[names.ID] = true
		known := m.images[names.ID]
		switch {
		case m.opts.NoImages:
			if before := m.namesOf(names.ID); before == nil || !before.Equal(&names) {
				m.setImage(in.Entity, names, false, in.Seq)
			}
		case m.isOvertaken(names.ID, in.Seq):
		case known == nil && m.endedSince(names.ID, clock):
		case known == nil:
			differences++
			m.setImage(in.Entity, names, in.Complete, in.Seq)
			if !in.Complete {
				m.conn.queue.mark(key{image: true, id: names.ID}, false, m.now)
			}
		case known.lastEvent > clock:
		case in.Complete && !known.view.Equal(in.Entity):
			differences++
			m.setImage(in.Entity, names, true, in.Seq)
		case !in.Complete && !known.names.Equal(&names):
			differences++
			m.conn.queue.mark(key{image: true, id: names.ID}, false, m.now)
		}
	}
	for _, id := range m.pickImages(func(id string, i *imageState) bool {
		// An intermediate image that a container is made of may be in no list.
		return !listed[id] && i.lastEvent <= clock && (l.AllImages || m.users[id] == nil)
	}) {
		differences++
		m.removeImage(id)
	}
	return differences
}
