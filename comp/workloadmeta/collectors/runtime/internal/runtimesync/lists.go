package runtimesync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// begin reports what the first lists tell whole, and has the rest inspected. Those containers are
// reported when their inspection has come: see expect. Those that an earlier session has reported
// are held back, too, so that a reconnection does not take away for a moment what the lists do not
// tell.
func (s *session) begin(l Listing, now time.Time) {
	s.clock++
	s.heard = now
	s.initialUntil = now.Add(s.opts.InitialWait)
	s.lastList, s.listDue = now, now.Add(s.opts.SettleResync)
	s.f.counters.update(func(st *Stats) { st.Lists++; st.LastSync = now })

	s.tellProblems(l)
	s.forgetCreated(l, s.clock)
	s.beginImages(l, now)
	listed := map[string]bool{}
	for i := range l.Containers {
		in := &l.Containers[i]
		if !s.wanted(in) {
			continue
		}
		listed[in.Key] = true
		tr := s.track(in.Key)
		tr.missing, tr.gone, tr.excluded, tr.early = false, false, false, false
		switch {
		case s.isSandbox(in):
			s.exclude(tr)
			continue
		case in.Complete:
			s.handleInspected(tr, *in)
			continue
		case tr.entity != nil:
			s.use(tr, in.Entity.Image.ID)
			tr.listed = in.Entity
		default:
			s.expect(tr, in.Entity, now)
		}
		s.lookFirst(key{id: in.Key}, now)
	}
	for key, tr := range s.containers {
		switch {
		case listed[key]:
		case tr.excluded || tr.entity == nil:
			s.drop(tr)
		default:
			tr.missing = true // how it ended may still be known
			s.lookFirst(keyOf(tr), now)
		}
	}
}

func keyOf(tr *tracked) key { return key{id: tr.key} }

func (s *session) tellProblems(l Listing) {
	for _, err := range l.Problems {
		s.log.Warn("an object is left out", "error", err)
	}
}

func (s *session) isSandbox(in *Container) bool {
	return !s.opts.KeepPause && (in.Sandbox || mapping.IsSandbox(in.Entity.Labels))
}

// wanted reports whether a container of a list is one to report.
func (s *session) wanted(in *Container) bool {
	return s.opts.KeepStopped || in.Keep || mapping.IsUp(in.Entity.State.Status)
}

func (s *session) beginImages(l Listing, now time.Time) {
	if l.ImagesErr != nil {
		s.log.Warn("images are not up to date", "error", l.ImagesErr)
		for _, t := range s.images {
			t.run = s.run
			s.add(workloadmeta.EventTypeSet, t.entity)
		}
		s.requestList(now.Add(s.opts.CallTimeout))
		return
	}
	listed := map[string]bool{}
	for i := range l.Images {
		in := &l.Images[i]
		names := mapping.NamesOf(in.Entity)
		listed[names.ID] = true
		if s.opts.NoImages {
			s.names.Add(names.ID, names)
			continue
		}
		t := s.images[names.ID]
		if t != nil && t.inspected && !in.Complete {
			s.setImage(mapping.Renamed(t.entity, names), names, true, in.Seq)
			continue
		}
		s.setImage(in.Entity, names, in.Complete, in.Seq)
		if !in.Complete {
			s.lookFirst(key{image: true, id: names.ID}, now)
		}
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
		_, due := s.initial[keyOf(tr)]
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

// expect holds back what a list tells of a new container for as long as its inspection may
// reasonably take. A list has no environment: who heard of the container before would take its tags
// for all of them, without service and env.
func (s *session) expect(tr *tracked, c *workloadmeta.Container, now time.Time) {
	tr.started = s.recall(tr, c)
	s.wait(tr, now.Add(startWait))
}

// useListed reports a container that was held back, without waiting for its inspection any longer.
func (s *session) useListed(tr *tracked) {
	listed := tr.listed
	tr.listed = nil
	c := s.opts.Overlay(tr.entity, listed)
	c.Image.ID, c.Image.RawName = listed.Image.ID, tr.entity.Image.RawName
	s.set(tr, c)
}

// handleLists compares the runtime's lists with what the events have told. Objects that something
// happened to since the lists were asked for are left alone.
func (s *session) handleLists(r result, now time.Time) error {
	s.listing = false
	if r.err != nil {
		if s.listErrors++; s.listErrors >= listTries {
			return fmt.Errorf("%w (%d times in a row)", r.err, s.listErrors)
		}
		s.log.Warn("cannot compare with the runtime's lists; it is tried again", "error", r.err)
		s.listDue = now.Add(backoffMin)
		return nil
	}
	s.listErrors = 0
	s.tellProblems(r.lists)
	if !s.listDue.After(s.lastList) {
		s.listDue = now.Add(s.opts.ResyncEvery)
	}
	s.forgetCreated(r.lists, r.clock)
	differences := s.compareImages(r, now) + s.compareContainers(r, now)
	s.f.counters.update(func(st *Stats) {
		st.Lists++
		st.Differences += differences
		st.LastSync = now
	})
	return nil
}

func (s *session) compareContainers(r result, now time.Time) (differences int) {
	listed := map[string]bool{}
	for i := range r.lists.Containers {
		in := &r.lists.Containers[i]
		if !s.wanted(in) {
			continue
		}
		listed[in.Key] = true
		tr := s.containers[in.Key]
		if tr == nil {
			at, ended := s.ended.Peek(in.Key)
			if ended && at > r.clock {
				continue
			}
			differences++
			s.ended.Remove(in.Key)
			tr = s.track(in.Key)
			switch {
			case s.isSandbox(in):
				s.exclude(tr)
			case in.Complete:
				s.handleInspected(tr, *in)
			case ended:
				// Docker tells of an end before its list does: only an inspection can tell a new
				// start from that
				s.look(tr, false, now)
			default:
				s.expect(tr, in.Entity, now)
				s.look(tr, false, now)
			}
			continue
		}
		tr.missing = false
		if tr.touched <= r.clock {
			tr.early = false // its start has been missed
		}
		switch {
		case tr.excluded || tr.touched > r.clock:
		case in.Complete:
			before := tr.entity
			if s.handleInspected(tr, *in); tr.entity != before {
				differences++
			}
		case tr.entity == nil || !s.opts.SameAsListed(tr.entity, in.Entity):
			differences++
			s.look(tr, false, now)
		}
	}
	for key, tr := range s.containers {
		if listed[key] || tr.touched > r.clock {
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
	if r.lists.ImagesErr != nil {
		s.log.Warn("images are not up to date", "error", r.lists.ImagesErr)
		return 0
	}
	listed := map[string]bool{}
	for i := range r.lists.Images {
		in := &r.lists.Images[i]
		names := mapping.NamesOf(in.Entity)
		listed[names.ID] = true
		t := s.images[names.ID]
		switch {
		case s.opts.NoImages:
			if known := s.namesOf(names.ID); known == nil || !known.Equal(&names) {
				s.setImage(in.Entity, names, false, in.Seq)
			}
		case s.overtaken(names.ID, in.Seq):
		case t == nil:
			differences++
			s.setImage(in.Entity, names, in.Complete, in.Seq)
			if !in.Complete {
				s.queue.mark(key{image: true, id: names.ID}, false, now)
			}
		case t.touched > r.clock:
		case in.Complete && !t.entity.Equal(in.Entity):
			differences++
			s.setImage(in.Entity, names, true, in.Seq)
		case !in.Complete && !t.names.Equal(&names):
			differences++
			s.queue.mark(key{image: true, id: names.ID}, false, now)
		}
	}
	for id, t := range s.images {
		// An intermediate image that a container is made of may be in no list.
		if !listed[id] && t.touched <= r.clock && (r.lists.AllImages || s.users[id] == nil) {
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
