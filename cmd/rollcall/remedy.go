package main

import (
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// unanswered is a collector that could not be asked about an entity.
type unanswered struct {
	Collector string `json:"collector"`
	workloadmeta.Problem
}

// unanswered returns the collectors of a kind that have something to tell, and do not: what is
// known may lack their word. Those that have nothing to collect here are not among them.
func (e *engine) unanswered(kind workloadmeta.Kind) []unanswered {
	if e.supervisor == nil {
		return nil
	}
	var out []unanswered
	for _, s := range e.supervisor.Status() {
		if slices.Contains(s.Kinds, kind) &&
			(s.State == collection.StateDegraded || s.State == collection.StateFailed ||
				s.State == collection.StateConnecting ||
				s.State == collection.StateWaiting && s.Cause == workloadmeta.CauseDenied) {
			out = append(out, unanswered{s.ID, s.Problem})
		}
	}
	return out
}
