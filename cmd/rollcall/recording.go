package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
)

// recordingInfo is what is known about the recording that was read.
type recordingInfo struct {
	File    string    `json:"file"`
	Events  int       `json:"events"`
	Skipped int       `json:"skipped_lines"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
}

// steps are called while a recording is played: before with the time of the events that follow, and
// may wait; after when the tagger has handled them.
type steps struct {
	before func(at time.Time) error
	after  func() error
}

// play applies the recording that --from names. After each step the tagger has handled it, so that
// the tags are the same every time.
//
// A step is one event, as a source reported it. Only where different things became true at the same
// moment are they applied together: a recorder writes down what is there in no order that means
// anything, a pod before its containers, for one.
func (e *engine) play(ctx context.Context, s *steps) error {
	in, err := openRecording(e.app.from)
	if err != nil {
		return err
	}
	defer in.Close()
	name := e.app.from
	if name == "-" {
		name = "standard input"
	}
	r := recording.NewReader(bufio.NewReader(in), name)
	r.SkipBad = e.app.skipBad
	info := &recordingInfo{File: e.app.from}
	e.recording = info
	var group []workloadmeta.CollectorEvent
	var at, pruned time.Time
	apply := func() error {
		if len(group) == 0 {
			return nil
		}
		if s != nil {
			if err := s.before(at); err != nil {
				return err
			}
		}
		e.advance(at, &pruned)
		for _, batch := range batches(group) {
			if err := e.store.Notify(batch); err != nil {
				return fmt.Errorf("play %s: %w", name, err)
			}
			if err := e.tagger.CatchUp(ctx); err != nil {
				return fmt.Errorf("play %s: %w", name, err)
			}
			if s != nil {
				if err := s.after(); err != nil {
					return err
				}
			}
		}
		group = group[:0]
		return nil
	}
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if _, ok := errors.AsType[*recording.LineError](err); ok {
				return fmt.Errorf("%w; --skip-bad-lines passes over such lines", err)
			}
			return err
		}
		if len(group) > 0 && (line.Time.IsZero() || !line.Time.Equal(at)) {
			if err := apply(); err != nil {
				return err
			}
		}
		at = line.Time
		group = append(group, line.Event)
		info.Events++
		if !at.IsZero() {
			if info.First.IsZero() {
				info.First = at
			}
			info.Last = at
		}
	}
	if err := apply(); err != nil {
		return err
	}
	if !info.Last.IsZero() {
		e.now = info.Last
	}
	n, bad := r.Skipped()
	info.Skipped = n
	if n > 0 {
		e.app.say("%s: passed over %d lines that cannot be read; the first: %v", name, n, bad[0])
	}
	if unknown := r.Unknown(); len(unknown) > 0 {
		e.app.say("%s: left out fields that this version does not know: %s", name,
			strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
	return nil
}

// pruneEvery is how often, in the recording's time, what is long gone is forgotten.
const pruneEvery = time.Minute

// advance moves the tagger's clock to a time of the recording, never back.
func (e *engine) advance(at time.Time, pruned *time.Time) {
	switch {
	case at.IsZero():
		return
	case pruned.IsZero(): // the first time that is known
		*pruned = at
		e.clock.Store(at.UnixNano())
	case at.UnixNano() > e.clock.Load():
		e.clock.Store(at.UnixNano())
	}
	if at.Sub(*pruned) >= pruneEvery {
		*pruned = at
		e.tagger.Prune()
	}
}

func openRecording(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	f, err := os.Open(name)
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil && info.IsDir() {
			f.Close()
			err = errors.New("it is a folder; want a file made by \"rollcall record\"")
		}
	}
	if err != nil {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		return nil, fmt.Errorf("read the recording %s: %w", name, err)
	}
	return f, nil
}

// batches splits events of one moment into what may be applied at once: all of them if each is a
// set about something else, otherwise one by one.
func batches(group []workloadmeta.CollectorEvent) [][]workloadmeta.CollectorEvent {
	type key struct {
		id     workloadmeta.EntityID
		source workloadmeta.Source
	}
	seen := map[key]bool{}
	together := true
	for _, ev := range group {
		k := key{ev.Entity.GetID(), ev.Source}
		together = together && ev.Type == workloadmeta.EventTypeSet && !seen[k]
		seen[k] = true
	}
	if together {
		return [][]workloadmeta.CollectorEvent{group}
	}
	var list [][]workloadmeta.CollectorEvent
	for i := range group {
		list = append(list, group[i:i+1])
	}
	return list
}
