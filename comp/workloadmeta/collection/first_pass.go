package collection

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Result is how a collector's first attempt went.
type Result string

// The results.
const (
	Pending     Result = "pending"      // not over yet
	Listed      Result = "listed"       // has reported everything there is
	NotDetected Result = "not detected" // has nothing to report here
	Failed      Result = "failed"       // has failed at least once
)

// Outcome is how one collector's first attempt went.
type Outcome struct {
	ID                   string
	Result               Result
	workloadmeta.Problem // why there is nothing, or what failed
	// More is what was found at other places that were looked at.
	More []workloadmeta.Problem
	Err  error // of a failure
}

// firstPass knows how far the collectors' first attempts are.
type firstPass struct {
	done chan struct{} // closed when none is pending

	mu       sync.Mutex // guards the fields below
	pending  int
	outcomes map[string]Outcome
}

// newFirstPass returns a first pass that is held once.
func newFirstPass() *firstPass {
	return &firstPass{done: make(chan struct{}), pending: 1, outcomes: map[string]Outcome{}}
}

// add adds a collector that is pending, unless the first pass is over.
func (p *firstPass) add(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.outcomes[id]; !known && p.pending > 0 {
		p.outcomes[id] = Outcome{ID: id, Result: Pending}
		p.pending++
	}
}

// hold keeps the first pass from being over, until release: more may be added.
func (p *firstPass) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending++
}

func (p *firstPass) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decrease()
}

// decrease needs mu.
func (p *firstPass) decrease() {
	if p.pending--; p.pending == 0 {
		close(p.done)
	}
}

// record notes the outcome of a collector's first attempt; later ones are ignored.
func (p *firstPass) record(o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outcomes[o.ID].Result != Pending {
		return
	}
	p.outcomes[o.ID] = o
	p.decrease()
}

func (p *firstPass) list() []Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Outcome, 0, len(p.outcomes))
	for _, o := range p.outcomes {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b Outcome) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// FirstPass returns the outcomes so far, sorted by ID.
func (s *Supervisor) FirstPass() []Outcome { return s.first.list() }

// WaitFirstPass waits until every collector has listed once, has failed once, or has
// been found to have nothing to list; it does not matter to it that the store counts as
// synced earlier ([Options.SyncGrace]). It returns the outcomes sorted by ID, and an
// error that names the collectors that are still [Pending] if ctx ends first.
func (s *Supervisor) WaitFirstPass(ctx context.Context) ([]Outcome, error) {
	select {
	case <-s.first.done:
		// The supervisor's own goroutine says so, too, but whoever waited here may look
		// at the store before it runs.
		s.marked.Do(s.opts.Store.MarkSynced)
		return s.first.list(), nil
	case <-ctx.Done():
	}
	outcomes := s.first.list()
	var pending []string
	for _, o := range outcomes {
		if o.Result == Pending {
			pending = append(pending, o.ID)
		}
	}
	if len(pending) == 0 {
		return outcomes, nil
	}
	return outcomes, fmt.Errorf("wait for the first answer of %s: %w", strings.Join(pending, ", "),
		context.Cause(ctx))
}
