package inspect

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// FirstAnswersRequest asks how the first attempts of the collectors went.
type FirstAnswersRequest struct {
	// Wait is how long to wait for those that are pending, in nanoseconds in JSON; 0: not at all.
	Wait time.Duration `json:"wait,omitempty"`
}

// FirstAnswer is how the first attempt of a collector went.
type FirstAnswer struct {
	ID     string            `json:"id"`
	Result collection.Result `json:"result"`
	// What failed, or why there is nothing.
	workloadmeta.Problem
	// More is what was found at other places that were looked at.
	More []workloadmeta.Problem `json:"more,omitempty"`
	// Asked says how somebody has asked for the collector by name, so that its absence is an
	// error: "docker.host is set by rollcall.yaml:3". Empty: nobody has.
	Asked string `json:"asked,omitempty"`
	// Notable says that a person wants to know of it: it has failed, or finds nothing where
	// something is meant to be. Of a collector that simply has nothing to collect here it is false.
	Notable bool `json:"notable,omitempty"`
}

// FirstAnswers implements [Inspector].
func (l *Local) FirstAnswers(ctx context.Context, r FirstAnswersRequest) ([]FirstAnswer, error) {
	if l.opts.Collectors == nil {
		return []FirstAnswer{}, l.ready(ctx)
	}
	if r.Wait > 0 {
		waiting, cancel := context.WithTimeout(ctx, r.Wait)
		_, _ = l.opts.Collectors.WaitFirstPass(waiting) // the answer has those that are pending
		cancel()
	}
	outcomes := l.opts.Collectors.FirstPass()
	runtimes := map[string]bool{}
	for _, s := range l.opts.Collectors.Status() {
		runtimes[s.ID] = s.Source == workloadmeta.SourceRuntime
	}
	answered := slices.ContainsFunc(outcomes, func(o collection.Outcome) bool {
		return o.Result == collection.Listed && runtimes[o.ID]
	})
	answers := make([]FirstAnswer, len(outcomes))
	for i, o := range outcomes {
		asked := l.opts.Asked[o.ID]
		if o.Cause == workloadmeta.CauseOff && l.opts.Enabled[o.ID] != collection.On {
			asked = "" // an address, which may be another collector's, too, asks for nothing to do
		}
		if o.Result == collection.Failed { // of an instance, absence is none of its collector's
			asked = cmp.Or(asked, l.opts.Asked[workloadmeta.CollectorOf(o.ID)])
		}
		answers[i] = FirstAnswer{ID: o.ID, Result: o.Result, Problem: o.Problem, More: o.More,
			Asked: asked, Notable: !saidByCollector(o, outcomes) && l.notable(o, answered)}
	}
	return answers, l.opts.Tagger.CatchUp(ctx)
}

// saidByCollector reports whether the collector of an instance says the same as the instance.
func saidByCollector(o collection.Outcome, all []collection.Outcome) bool {
	collector := workloadmeta.CollectorOf(o.ID)
	return collector != o.ID && slices.ContainsFunc(all, func(other collection.Outcome) bool {
		return other.ID == collector && other.Reason == o.Reason
	})
}

// notable reports whether a person wants to know how a first attempt went. answered says that some
// container runtime has answered.
func (l *Local) notable(o collection.Outcome, answered bool) bool {
	if o.Result != collection.NotDetected {
		return o.Result == collection.Failed
	}
	// Where one runtime answers, another that does not let us in is likely the one below it.
	denied := o.Cause == workloadmeta.CauseDenied && !answered
	named := l.opts.Named[o.ID] && o.Cause != workloadmeta.CauseOff
	return named || denied || o.Cause == workloadmeta.CauseInvalid
}
