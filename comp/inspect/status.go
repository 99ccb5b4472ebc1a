package inspect

import (
	"context"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Where answers come from.
const (
	ModeInProcess = "in-process" // collectors in this process
	ModeRecording = "recording"
)

// Status says how everything is.
type Status struct {
	Version    string              `json:"version"`
	Mode       string              `json:"mode"`
	Recording  *RecordingSummary   `json:"recording,omitempty"`
	Collectors []collection.Status `json:"collectors"`
	Store      StoreStatus         `json:"store"`
	Tagger     TaggerStatus        `json:"tagger"`
	// Problems are what is wrong with what the tags of entities here are made of, by entity.
	Problems []EntityProblem `json:"problems,omitempty"`
	// Idle are the rules in effect that do nothing here. None are told of where no container is.
	Idle []IdleRule `json:"idle_rules,omitempty"`
	// At is when the answer is from.
	At time.Time `json:"at"`
}

// StoreStatus says what the store holds.
type StoreStatus struct {
	Revision uint64         `json:"revision"`
	Synced   bool           `json:"synced"`
	Entities map[string]int `json:"entities"` // by kind
	// Subscribers of the store and how far behind they are, the first tier first.
	Subscribers []Subscriber `json:"subscribers"`
}

// Subscriber is somebody who is told of changes.
type Subscriber struct {
	Name    string `json:"name"`
	Pending int    `json:"pending"` // events that wait to be taken
	// Lag is how many changes have been made since the last that it has finished, 0 if none waits.
	Lag uint64 `json:"lag"`
}

// subscribers returns those of the store, once what is in this process has caught up.
func (l *Local) subscribers(ctx context.Context) ([]Subscriber, error) {
	if err := l.opts.Tagger.CatchUp(ctx); err != nil {
		return nil, err
	}
	if _, err := l.ended.list(ctx); err != nil {
		return nil, err
	}
	list := []Subscriber{}
	stats := l.opts.Store.Stats()
	for _, s := range stats.Subscriptions {
		sub := Subscriber{Name: s.Name, Pending: s.Pending}
		if s.Pending > 0 {
			sub.Lag = stats.Revision - s.Acknowledged
		}
		list = append(list, sub)
	}
	return list, nil
}

// TaggerStatus says what the tagger holds.
type TaggerStatus struct {
	Entities   int `json:"entities"`
	Tombstones int `json:"tombstones"` // of those, gone and still remembered
	Strings    int `json:"strings"`    // different tags that are held
}

// EntityProblem is something that is wrong with what an entity's tags are made of. Its Entity is
// empty if the field is the entity's own.
type EntityProblem struct {
	ID   tagger.EntityID `json:"id"`
	Name string          `json:"name,omitempty"`
	tagger.Problem
}

// problems returns what is wrong with what tags are made of. A field of a pod is named once, even
// if its containers have tags of it, too.
func (l *Local) problems() (list []EntityProblem) {
	said := map[tagger.Problem]bool{}
	for _, entity := range l.opts.Tagger.List() {
		workload, live := l.workload(entity.ID)
		if !live {
			continue
		}
		for _, p := range l.opts.Tagger.Explain(entity.ID).Problems {
			if p.Entity != "" && said[p] {
				continue
			}
			said[p] = true
			if p.Entity == workload.GetID().String() {
				p.Entity = ""
			}
			list = append(list, EntityProblem{entity.ID, NameOf(workload), p})
		}
	}
	return list
}

// idleRules returns the rules in effect that do nothing here.
func (l *Local) idleRules() (list []IdleRule) {
	for _, idle := range l.opts.Tagger.IdleRules() {
		list = append(list, IdleRule{idle.Rule.Label(), idle.Reason})
	}
	return list
}

// Status implements [Inspector].
func (l *Local) Status(ctx context.Context) (Status, error) {
	if err := l.ready(ctx); err != nil {
		return Status{}, err
	}
	s := Status{
		Version: l.opts.Version, Mode: ModeInProcess, Collectors: []collection.Status{},
		Store: StoreStatus{Revision: l.opts.Store.Revision(), Synced: l.opts.Store.Synced(),
			Entities: map[string]int{}},
		At: l.now(),
	}
	if l.opts.Collectors != nil {
		s.Collectors = l.opts.Collectors.Status()
	}
	if r := l.opts.Recording; r != nil {
		summary := r.played()
		s.Mode, s.Recording = ModeRecording, &summary
	}
	for _, kind := range workloadmeta.Kinds() {
		for range l.opts.Store.List(kind) {
			s.Store.Entities[kind.String()]++
		}
	}
	var err error
	if s.Store.Subscribers, err = l.subscribers(ctx); err != nil {
		return s, err
	}
	stats := l.opts.Tagger.Stats()
	s.Tagger = TaggerStatus{Entities: stats.Bus.Entries, Tombstones: stats.Tombstones,
		Strings: stats.Strings}
	s.Problems = l.problems()
	if s.Store.Entities[workloadmeta.KindContainer.String()] > 0 {
		s.Idle = l.idleRules()
	}
	return s, nil
}
