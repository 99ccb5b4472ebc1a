package runtimesync

import (
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// imageState is what is known of an image that is reported.
type imageState struct {
	view       *workloadmeta.ContainerImageMetadata
	names      mapping.ImageNames
	seq        uint64 // of the answer that view is from
	connection uint64 // the number of the one that view was last reported over
	inspected  bool   // view is complete
	lastEvent  uint64 // the clock when it was last told of
}

// namesOf returns what is known of an image's names, nil if nothing.
func (m *machine) namesOf(id string) *mapping.ImageNames {
	if i := m.images[id]; i != nil {
		return &i.names
	}
	if names, ok := m.names.Get(id); ok {
		return &names
	}
	return nil
}

// pickImages returns the IDs of the images that fit, sorted.
func (m *machine) pickImages(fits func(id string, i *imageState) bool) []string {
	var out []string
	for id, i := range m.images {
		if fits(id, i) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// lookAtImage has an image inspected, if anybody wants to know.
func (m *machine) lookAtImage(id string) {
	if id == "" {
		return
	}
	m.names.Remove(id)
	if i := m.images[id]; i != nil {
		i.lastEvent = m.clock
	}
	if !m.opts.NoImages || m.users[id] != nil || !mapping.IsFullImageID(id) {
		k := key{image: true, id: id}
		if m.conn.queue.pending(k) {
			m.missImage() // one look for two changes: what was between them nobody will see
		}
		m.conn.queue.mark(k, true, m.now)
	}
}

// handleImage uses an image's inspection.
func (m *machine) handleImage(a *answer) {
	e := a.image.Entity
	if e == nil || a.key.id != e.ID {
		m.conn.queue.forget(a.key) // a name: the next event is about an ID again
	}
	if a.err != nil {
		m.handleImageGone(a)
		return
	}
	if m.isOvertaken(e.ID, a.image.Seq) {
		return
	}
	i := m.images[e.ID]
	names := mapping.NamesOf(e)
	complete := a.image.Complete
	if i != nil && i.inspected && !complete {
		e, complete = mapping.Renamed(i.view, names), true
	}
	m.setImage(e, names, complete, a.image.Seq)
	m.takeTags(names)
}

// isOvertaken reports whether an answer about an image is older than that to another question: an
// image may be asked for by each of its names.
func (m *machine) isOvertaken(id string, seq uint64) bool {
	if i := m.images[id]; i != nil {
		return seq < i.seq
	}
	gone, ok := m.goneImages.Peek(id)
	return ok && seq < gone
}

// handleImageGone: an image is not there. If it is known which one has gone, it is unset; otherwise
// an event or the next list will tell. One that was never there is not asked for again until
// something happens.
func (m *machine) handleImageGone(a *answer) {
	m.conn.queue.forget(a.key)
	switch gone := a.image.Entity; {
	case gone != nil && m.isOvertaken(gone.ID, a.image.Seq):
	case gone != nil:
		m.removeImage(gone.ID)
		m.goneImages.Add(gone.ID, a.image.Seq)
	default:
		if m.images[a.key.id] == nil {
			m.names.Add(a.key.id, mapping.ImageNames{ID: a.key.id})
		}
		m.missImage()
	}
}

// missImage has the lists compared in a while, because an image changed again or was gone before it
// could be looked at: it may have taken a name from another, and events need not tell.
func (m *machine) missImage() {
	if !m.opts.NoImages {
		m.requestList(m.now.Add(goneWait))
	}
}

// setImage reports an image and tells its containers of its names.
func (m *machine) setImage(e *workloadmeta.ContainerImageMetadata, names mapping.ImageNames,
	complete bool, seq uint64) {
	before := m.namesOf(names.ID)
	changed := before == nil || !before.Equal(&names)
	if m.opts.NoImages {
		m.names.Add(names.ID, names)
	} else {
		i := m.images[names.ID]
		if i == nil {
			i = &imageState{}
			m.images[names.ID] = i
			m.names.Remove(names.ID)
		}
		same := i.view != nil && i.connection == m.conn.number && i.view.Equal(e)
		i.names, i.inspected, i.lastEvent, i.seq = names, complete, m.clock, seq
		if same {
			m.stats.SuppressedEqual++
		} else {
			i.view, i.connection = e, m.conn.number
			m.add(workloadmeta.EventTypeSet, e)
		}
	}
	if !changed {
		return
	}
	for _, c := range byKey(m.users[names.ID]) {
		m.resolveAgain(c)
	}
}

// takeTags has images inspected that had one of the tags until now: runtimes do not tell that a tag
// moves away.
func (m *machine) takeTags(names mapping.ImageNames) {
	shares := func(o *mapping.ImageNames) bool {
		return o.ID != names.ID &&
			slices.ContainsFunc(names.Tags,
				func(tag string) bool { return slices.Contains(o.Tags, tag) })
	}
	ids := m.pickImages(func(_ string, i *imageState) bool { return shares(&i.names) })
	for _, id := range m.names.Keys() {
		if o, ok := m.names.Peek(id); ok && shares(&o) {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		m.lookAtImage(id)
	}
}

// removeImage unsets an image. Its containers keep what is known of it.
func (m *machine) removeImage(id string) {
	m.recentlyEnded.Add(id, m.clock) // a list that is on its way may still have it
	m.names.Remove(id)
	m.conn.queue.forget(key{image: true, id: id})
	delete(m.conn.first, key{image: true, id: id})
	if i := m.images[id]; i != nil {
		delete(m.images, id)
		m.add(workloadmeta.EventTypeUnset, i.view)
	} else {
		m.missImage()
	}
	if m.users[id] != nil {
		m.names.Add(id, mapping.ImageNames{ID: id})
	}
}

// imageOf returns a container's image, and has it inspected if nothing is known of it yet.
func (m *machine) imageOf(c *container, id, rawName string) workloadmeta.ContainerImage {
	names := m.namesOf(id)
	if names == nil && id != "" {
		m.conn.queue.mark(key{image: true, id: id}, false, m.now)
	}
	img := mapping.ResolveImage(id, rawName, names)
	// An image that has lost its names is still the one the container was started from.
	if c.view != nil && c.view.Image.ID == id {
		last := c.view.Image
		if last.RawName == rawName && mapping.NamesID(rawName, id) &&
			(names == nil || names.Reference() == "") {
			return last
		}
		if img.RepoDigest == "" && img.Name == last.Name {
			img.RepoDigest = last.RepoDigest
		}
	}
	return img
}

// resolveAgain brings a container's image up to date after its image has got other names.
func (m *machine) resolveAgain(c *container) {
	if m.isReported(c) {
		v := *c.view
		m.publish(c, &v) // fills in the image
	}
}
