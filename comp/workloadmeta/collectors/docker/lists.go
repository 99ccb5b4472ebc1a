package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// begin reports the images that the first lists tell of, and has everything inspected. New containers are reported when
// their inspection has come: see expect. Those that an earlier session has reported are held back, too, so that a
// reconnection does not take away for a moment what the lists do not tell.
func (s *session) begin(l lists, now time.Time) {
	s.clock++
	s.initialUntil = now.Add(s.opts.InitialWait)
	s.lastList, s.listDue = now, now.Add(s.opts.SettleResync)
	s.c.counters.update(func(st *Stats) { st.Lists++; st.LastSync = now })

	s.beginImages(l, now)
	listed := map[string]bool{}
	for i := range l.containers {
		c, ok := s.readEntry(&l.containers[i])
		if !ok {
			continue
		}
		listed[c.ID] = true
		tr := s.track(c.ID)
		tr.missing, tr.gone, tr.excluded = false, false, false
		if !s.opts.KeepPause && isSandbox(c.Labels) {
			s.exclude(tr)
			continue
		}
		if tr.entity != nil {
			s.use(tr, c.Image.ID)
			tr.listed = c
		} else {
			s.expect(tr, c, now)
		}
		s.lookFirst(key{id: c.ID}, now)
	}
	for id, tr := range s.containers {
		switch {
		case listed[id]:
		case tr.excluded || tr.entity == nil:
			s.drop(tr)
		default:
			tr.missing = true // how it ended may still be known
			s.lookFirst(key{id: id}, now)
		}
	}
}

func (s *session) beginImages(l lists, now time.Time) {
	if l.imagesErr != nil {
		s.log.Warn("images are not up to date", "error", l.imagesErr)
		for _, t := range s.images {
			t.run = s.run
			s.add(workloadmeta.EventTypeSet, t.entity)
		}
		s.requestList(now.Add(s.opts.CallTimeout))
		return
	}
	listed := map[string]bool{}
	for i := range l.images {
		e, info, err := mapImageList(&l.images[i])
		if err != nil {
			s.log.Warn("an image is left out", "error", err)
			continue
		}
		listed[info.id] = true
		if s.opts.NoImages {
			s.names.Add(info.id, info)
			continue
		}
		t := s.images[info.id]
		if t != nil && t.inspected {
			s.setImage(renamed(t.entity, info), info, true)
			continue
		}
		s.setImage(e, info, false)
		s.lookFirst(key{image: true, id: info.id}, now)
	}
	for id := range s.images {
		if !listed[id] {
			delete(s.images, id) // not reported again in this session, so the store drops it
		}
	}
}

// lookFirst is a look that Synced waits for.
func (s *session) lookFirst(k key, now time.Time) {
	if tr := s.containers[k.id]; !k.image && (tr == nil || tr.excluded) {
		return
	}
	s.initial[k] = struct{}{}
	s.queue.mark(k, false, now)
}

// checkInitial calls Synced when everything has been inspected or has taken too long.
func (s *session) checkInitial(now time.Time) {
	if s.synced || len(s.initial) > 0 && now.Before(s.initialUntil) {
		return
	}
	for _, tr := range s.containers {
		_, due := s.initial[key{id: tr.id}]
		switch {
		case tr.listed != nil:
			s.useListed(tr)
		case due && tr.started != nil:
			s.stopWaiting(tr)
			s.useEvents(tr)
		case tr.missing:
			s.drop(tr) // not reported again in this session, so the store drops it
		}
	}
	s.flush()
	s.synced, s.initial = true, nil
	s.sink.Synced()
}

// expect holds back what a list tells of a new container for as long as its inspection may reasonably take. A list has no
// environment: who heard of the container before would take its tags for all of them, without service and env.
func (s *session) expect(tr *tracked, c *workloadmeta.Container, now time.Time) {
	tr.started = c
	s.wait(tr, now.Add(startWait))
}

// useListed reports a container that was held back, without waiting for its inspection any longer.
func (s *session) useListed(tr *tracked) {
	listed := tr.listed
	tr.listed = nil
	c := overlay(tr.entity, listed)
	c.Image.ID, c.Image.RawName = listed.Image.ID, tr.entity.Image.RawName
	s.set(tr, c)
}

// readEntry reads an entry of the list of containers; one that makes no sense is left out.
func (s *session) readEntry(in *container.Summary) (*workloadmeta.Container, bool) {
	c, err := mapList(in)
	if err != nil {
		s.log.Warn("a container is left out", "error", err)
		return nil, false
	}
	return c, s.opts.KeepStopped || isUp(c.State.Status)
}

// handleLists compares the daemon's lists with what the events have told. Objects that something happened to since the
// lists were asked for are left alone.
func (s *session) handleLists(r result, now time.Time) error {
	s.listing = false
	if r.err != nil {
		if s.listErrors++; s.listErrors >= listTries {
			return fmt.Errorf("%w (%d times in a row)", r.err, s.listErrors)
		}
		s.log.Warn("cannot compare with the daemon's lists; it is tried again", "error", r.err)
		s.listDue = now.Add(backoffMin)
		return nil
	}
	s.listErrors = 0
	if !s.listDue.After(s.lastList) {
		s.listDue = now.Add(s.opts.ResyncEvery)
	}
	differences := s.compareImages(r, now) + s.compareContainers(r, now)
	s.c.counters.update(func(st *Stats) { st.Lists++; st.Differences += differences; st.LastSync = now })
	return nil
}

func (s *session) compareContainers(r result, now time.Time) (differences int) {
	listed := map[string]bool{}
	for i := range r.lists.containers {
		c, ok := s.readEntry(&r.lists.containers[i])
		if !ok {
			continue
		}
		listed[c.ID] = true
		tr := s.containers[c.ID]
		if tr == nil {
			if at, ok := s.ended.Peek(c.ID); ok && at > r.clock {
				continue
			}
			differences++
			s.ended.Remove(c.ID)
			tr = s.track(c.ID)
			if !s.opts.KeepPause && isSandbox(c.Labels) {
				s.exclude(tr)
				continue
			}
			s.expect(tr, c, now)
			s.look(tr, false, now)
			continue
		}
		tr.missing = false
		if tr.excluded || tr.touched > r.clock {
			continue
		}
		if tr.entity == nil || !sameAsListed(tr.entity, c) {
			differences++
			s.look(tr, false, now)
		}
	}
	for id, tr := range s.containers {
		if listed[id] || tr.touched > r.clock {
			continue
		}
		if tr.excluded {
			s.drop(tr)
			continue
		}
		differences++
		tr.missing = true
		s.look(tr, false, now)
	}
	return differences
}

func (s *session) compareImages(r result, now time.Time) (differences int) {
	if r.lists.imagesErr != nil {
		s.log.Warn("images are not up to date", "error", r.lists.imagesErr)
		return 0
	}
	listed := map[string]bool{}
	for i := range r.lists.images {
		e, info, err := mapImageList(&r.lists.images[i])
		if err != nil {
			s.log.Warn("an image is left out", "error", err)
			continue
		}
		listed[info.id] = true
		t := s.images[info.id]
		switch {
		case s.opts.NoImages:
			if known := s.info(info.id); known == nil || !known.equal(&info) {
				s.setImage(e, info, false)
			}
		case t == nil:
			differences++
			s.setImage(e, info, false)
			s.queue.mark(key{image: true, id: info.id}, false, now)
		case t.touched > r.clock:
		case !t.info.equal(&info):
			differences++
			s.queue.mark(key{image: true, id: info.id}, false, now)
		}
	}
	for id, t := range s.images {
		// An intermediate image that a container is made of is in no list.
		if !listed[id] && t.touched <= r.clock && s.users[id] == nil {
			differences++
			s.removeImage(id)
		}
	}
	return differences
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
