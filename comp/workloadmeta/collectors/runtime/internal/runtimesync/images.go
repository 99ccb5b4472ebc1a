package runtimesync

import (
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// lookAtImage has an image inspected, if anybody wants to know.
func (s *session) lookAtImage(id string, now time.Time) {
	if id == "" {
		return
	}
	s.names.Remove(id)
	if t := s.images[id]; t != nil {
		t.touched = s.clock
	}
	if !s.opts.NoImages || s.users[id] != nil || !mapping.IsFullImageID(id) {
		s.queue.mark(key{image: true, id: id}, true, now)
	}
}

// handleImage uses an image's inspection.
func (s *session) handleImage(r result, now time.Time) {
	e := r.image.Entity
	if e == nil || r.key.id != e.ID {
		s.queue.forget(r.key) // a name: the next event is about an ID again
	}
	if r.err != nil {
		s.handleImageGone(r)
		return
	}
	if s.overtaken(e.ID, r.image.Seq) {
		return
	}
	t := s.images[e.ID]
	names := mapping.NamesOf(e)
	complete := r.image.Complete
	if t != nil && t.inspected && !complete {
		e, complete = mapping.Renamed(t.entity, names), true
	}
	s.setImage(e, names, complete, r.image.Seq)
	s.takeTags(names, now)
}

// overtaken reports whether an answer about an image is older than that to another question: an
// image may be asked for by each of its names.
func (s *session) overtaken(id string, seq uint64) bool {
	if t := s.images[id]; t != nil {
		return seq < t.seq
	}
	gone, ok := s.gone.Peek(id)
	return ok && seq < gone
}

// handleImageGone: an image is not there. If the backend knows which one has gone, it is unset;
// otherwise an event or the next list will tell. One that was never there is not asked for again
// until something happens.
func (s *session) handleImageGone(r result) {
	s.queue.forget(r.key)
	switch gone := r.image.Entity; {
	case gone != nil && s.overtaken(gone.ID, r.image.Seq):
	case gone != nil:
		s.removeImage(gone.ID)
		s.gone.Add(gone.ID, r.image.Seq)
	case s.images[r.key.id] == nil:
		s.names.Add(r.key.id, mapping.ImageNames{ID: r.key.id})
	}
}

// setImage reports an image and tells its containers of its names.
func (s *session) setImage(e *workloadmeta.ContainerImageMetadata, names mapping.ImageNames,
	complete bool, seq uint64) {
	before := s.namesOf(names.ID)
	changed := before == nil || !before.Equal(&names)
	if s.opts.NoImages {
		s.names.Add(names.ID, names)
	} else {
		t := s.images[names.ID]
		if t == nil {
			t = &trackedImage{}
			s.images[names.ID] = t
			s.names.Remove(names.ID)
		}
		same := t.entity != nil && t.run == s.run && t.entity.Equal(e)
		t.names, t.inspected, t.touched, t.seq = names, complete, s.clock, seq
		if same {
			s.f.counters.update(func(st *Stats) { st.SuppressedEqual++ })
		} else {
			t.entity, t.run = e, s.run
			s.add(workloadmeta.EventTypeSet, e)
		}
	}
	if !changed {
		return
	}
	for tr := range s.users[names.ID] {
		s.resolveAgain(tr)
	}
}

// takeTags has images inspected that had one of the tags until now: runtimes do not tell that a tag
// moves away.
func (s *session) takeTags(names mapping.ImageNames, now time.Time) {
	shares := func(o *mapping.ImageNames) bool {
		return o.ID != names.ID &&
			slices.ContainsFunc(names.Tags,
				func(tag string) bool { return slices.Contains(o.Tags, tag) })
	}
	for id, t := range s.images {
		if shares(&t.names) {
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
		s.names.Add(id, mapping.ImageNames{ID: id})
	}
}

// imageOf returns a container's image, and has it inspected if nothing is known of it yet.
func (s *session) imageOf(tr *tracked, id, rawName string) workloadmeta.ContainerImage {
	names := s.namesOf(id)
	if names == nil && id != "" {
		s.queue.mark(key{image: true, id: id}, false, time.Now())
	}
	img := mapping.ResolveImage(id, rawName, names)
	// An image that has lost its names is still the one the container was started from.
	if tr.entity != nil && tr.entity.Image.ID == id {
		last := tr.entity.Image
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
func (s *session) resolveAgain(tr *tracked) {
	s.change(tr, func(*workloadmeta.Container) {}) // set fills in the image
}
