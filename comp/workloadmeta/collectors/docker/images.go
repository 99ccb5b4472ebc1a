package docker

import (
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func (s *session) handleImageEvent(m *message, action string, now time.Time) {
	id := m.Actor.ID
	switch action {
	case "pull":
		// The actor is the reference that was pulled, not an ID; with Podman it is missing.
		if id == "" {
			id = m.Actor.Attributes["name"]
		}
		s.lookAtImage(id, now)
	case "tag", "untag", "load", "import":
		s.lookAtImage(imageID(id), now)
	case "delete":
		s.removeImage(imageID(id))
	}
}

// lookAtImage has an image inspected, if anybody wants to know.
func (s *session) lookAtImage(id string, now time.Time) {
	if id == "" {
		return
	}
	s.names.Remove(id)
	if t := s.images[id]; t != nil {
		t.touched = s.clock
	}
	if !s.opts.NoImages || s.users[id] != nil || !isFullID(id) {
		s.queue.mark(key{image: true, id: id}, true, now)
	}
}

func isFullID(id string) bool {
	return len(id) == len("sha256:")+64 && imageID(id[len("sha256:"):]) == id
}

// handleImage uses an image's inspection.
func (s *session) handleImage(r result, now time.Time) {
	if r.key.id != r.info.id {
		s.queue.forget(r.key) // a name: the next event is about an ID again
	}
	if r.err != nil {
		// Deleted, which an event or the next list tells, or never there: then it is not asked for again until something happens.
		if s.images[r.key.id] == nil {
			s.names.Add(r.key.id, imageInfo{id: r.key.id})
		}
		s.queue.forget(r.key)
		return
	}
	t := s.images[r.info.id]
	e := r.image
	if t != nil && t.inspected && !r.history {
		e = renamed(t.entity, r.info)
	}
	s.setImage(e, r.info, r.history || t != nil && t.inspected)
	s.takeTags(r.info, now)
}

// setImage reports an image and tells its containers of its names.
func (s *session) setImage(e *workloadmeta.ContainerImageMetadata, info imageInfo, complete bool) {
	before := s.info(info.id)
	changed := before == nil || !before.equal(&info)
	if s.opts.NoImages {
		s.names.Add(info.id, info)
	} else {
		t := s.images[info.id]
		if t == nil {
			t = &trackedImage{}
			s.images[info.id] = t
			s.names.Remove(info.id)
		}
		same := t.entity != nil && t.run == s.run && t.entity.Equal(e)
		t.info, t.inspected, t.touched = info, complete, s.clock
		if same {
			s.c.counters.update(func(st *Stats) { st.SuppressedEqual++ })
		} else {
			t.entity, t.run = e, s.run
			s.add(workloadmeta.EventTypeSet, e)
		}
	}
	if !changed {
		return
	}
	for tr := range s.users[info.id] {
		s.resolveAgain(tr)
	}
}

// takeTags has images inspected that had one of the tags until now: the daemon does not tell that a tag moves away.
func (s *session) takeTags(info imageInfo, now time.Time) {
	shares := func(o *imageInfo) bool {
		return o.id != info.id && slices.ContainsFunc(info.tags, func(tag string) bool { return slices.Contains(o.tags, tag) })
	}
	for id, t := range s.images {
		if shares(&t.info) {
			s.lookAtImage(id, now)
		}
	}
	for _, id := range s.names.Keys() {
		if o, ok := s.names.Peek(id); ok && shares(&o) {
			s.lookAtImage(id, now)
		}
	}
}

// removeImage unsets an image. Its containers keep what is known of it.
func (s *session) removeImage(id string) {
	s.names.Remove(id)
	s.queue.forget(key{image: true, id: id})
	delete(s.initial, key{image: true, id: id})
	if t := s.images[id]; t != nil {
		delete(s.images, id)
		s.add(workloadmeta.EventTypeUnset, t.entity)
	}
	if s.users[id] != nil {
		s.names.Add(id, imageInfo{id: id})
	}
}

// imageOf returns a container's image, and has it inspected if nothing is known of it yet.
func (s *session) imageOf(tr *tracked, id, rawName string) workloadmeta.ContainerImage {
	info := s.info(id)
	if info == nil && id != "" {
		s.queue.mark(key{image: true, id: id}, false, time.Now())
	}
	img := resolveImage(id, rawName, info)
	// An image that has lost its names is still the one the container was started from.
	if tr.entity != nil && tr.entity.Image.ID == id {
		last := tr.entity.Image
		if last.RawName == rawName && isImageID(rawName, id) && (info == nil || info.reference() == "") {
			return last
		}
		if img.RepoDigest == "" && img.Name == last.Name {
			img.RepoDigest = last.RepoDigest
		}
	}
	return img
}

// resolveAgain brings a container's image up to date after its image has got other names.
func (s *session) resolveAgain(tr *tracked) {
	s.change(tr, func(*workloadmeta.Container) {}) // set fills in the image
}
