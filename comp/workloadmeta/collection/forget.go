package collection

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// maxForgotten bounds what is remembered of withdrawn entities; the oldest go first.
const maxForgotten = 1000

// Forgotten says why an entity that a collector had reported, and could not ask for any more,
// was withdrawn.
type Forgotten struct {
	ID       workloadmeta.EntityID `json:"entity"`
	Reporter string                `json:"reporter"`
	Said     time.Time             `json:"said"` // since when it had said what it said last
	Away     time.Time             `json:"away"` // when it lost its daemon
	At       time.Time             `json:"at"`   // when the entity was withdrawn
	Reason   string                `json:"reason"`
}

// Forgotten returns why an entity was withdrawn that nobody could confirm any more.
func (s *Supervisor) Forgotten(id workloadmeta.EntityID) (Forgotten, bool) {
	t := &s.reports
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.forgotten, func(f Forgotten) bool { return f.ID == id })
	if i < 0 {
		return Forgotten{}, false
	}
	return t.forgotten[i], true
}

// forgetLoop withdraws what no live reporter can confirm, until ctx ends.
func (s *Supervisor) forgetLoop(ctx context.Context) {
	tick := time.NewTicker(min(s.opts.ForgetAfter/4, 5*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			gone, err := s.reports.forget(now, s.opts.ForgetAfter, s.witnessed())
			for _, f := range gone {
				s.opts.Log.Info("an entity is withdrawn: nobody can confirm it", "entity", f.ID,
					"reporter", f.Reporter, "reason", f.Reason)
			}
			if err != nil {
				s.opts.Log.Warn("cannot withdraw what nobody can confirm", "error", err)
			}
		}
	}
}

// witnessed returns what collectors that are away know to have gone.
func (s *Supervisor) witnessed() map[reportKey]bool {
	gone := map[reportKey]bool{}
	for _, r := range s.all() {
		w, ok := r.collector.(workloadmeta.Witness)
		if !ok {
			continue
		}
		for k, entity := range s.reports.awaited(r.own) {
			err := guard(func() error {
				if w.Gone(entity) {
					gone[k] = true
				}
				return nil
			})
			if err != nil {
				r.recordFailure("ask what has gone", err)
			}
		}
	}
	return gone
}

// awaited returns what a collector has reported and cannot ask for.
func (t *reportTable) awaited(s *reportSet) map[reportKey]workloadmeta.Entity {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[reportKey]workloadmeta.Entity{}
	for k, r := range s.reported {
		if r.away == 0 {
			continue
		}
		reports, _ := t.store.Reports(k.id) // none if it has gone
		if at, held := workloadmeta.FindReport(reports, k.by); held {
			out[k] = reports[at].Entity
		}
	}
	return out
}

// forget withdraws the entities whose reporters have been away for as long as after and that
// no live reporter confirms, and at once those whose process has gone, as the scan of processes
// or a witness knows.
func (t *reportTable) forget(now time.Time, after time.Duration,
	witnessed map[reportKey]bool) ([]Forgotten, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var gone []Forgotten
	var out []workloadmeta.CollectorEvent
	for _, s := range t.sets {
		var old []reportKey
		for k, r := range s.reported {
			if r.away != 0 {
				old = append(old, k)
			}
		}
		slices.SortFunc(old, compareReportKeys)
		for _, k := range old {
			reports, _ := t.store.Reports(k.id) // none if it has gone
			at, held := workloadmeta.FindReport(reports, k.by)
			r := s.reported[k]
			away := t.begun.Add(r.away)
			if !held || reports[at].State == workloadmeta.Done {
				if now.Sub(away) >= after {
					delete(s.reported, k) // others have withdrawn it meanwhile
				}
				continue
			}
			if slices.ContainsFunc(reports,
				func(r workloadmeta.Report) bool { return r.State == workloadmeta.Live }) {
				continue
			}
			reason, last := t.unconfirmed(r, reports[at].Entity, now, away, after, witnessed[k])
			if reason == "" || last == nil && r.away < t.lastAway(k.id, reports) {
				continue
			}
			gone = append(gone, Forgotten{ID: k.id, Reporter: k.by.Name,
				Said: reports[at].Said(), Away: away, At: now, Reason: reason})
			out = t.remove(s, k, last, out)
		}
	}
	t.forgotten = append(t.forgotten, gone...)
	t.forgotten = slices.Delete(t.forgotten, 0, max(0, len(t.forgotten)-maxForgotten))
	return gone, t.write(out)
}

// lastAway returns when the last of an entity's reporters went away. It needs mu.
func (t *reportTable) lastAway(id workloadmeta.EntityID,
	reports []workloadmeta.Report) time.Duration {
	var last time.Duration
	for _, s := range t.sets {
		for _, r := range reports {
			last = max(last, s.reported[reportKey{r.Reporter, id}].away)
		}
	}
	return last
}

// withdraw withdraws what a collector reports and which picks, whoever else reports it, and
// returns how much is left. nil picks all.
func (t *reportTable) withdraw(s *reportSet, picks func(report) bool) (left int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var old []reportKey
	for k, r := range s.reported {
		if picks == nil || picks(r) {
			old = append(old, k)
		}
	}
	slices.SortFunc(old, compareReportKeys)
	var out []workloadmeta.CollectorEvent
	for _, k := range old {
		out = t.remove(s, k, nil, out)
	}
	return len(s.reported), t.write(out)
}

// unconfirmed returns why an entity of a reporter that is away is not believed in any longer,
// with its last state if that is known, or "" if it still is. It needs mu.
func (t *reportTable) unconfirmed(r report, e workloadmeta.Entity, now, away time.Time,
	after time.Duration, gone bool) (reason string, last workloadmeta.Entity) {
	if r.process != nil && !gone {
		found, scanned := t.scanned(r.process, away)
		if found {
			return "", nil
		}
		gone = scanned
	}
	if c, ok := e.(*workloadmeta.Container); ok && gone {
		ended := *c
		ended.PID, ended.CgroupInode = 0, 0
		ended.State.Running, ended.State.Status = false, workloadmeta.StatusStopped
		return fmt.Sprintf("its process %d has ended while its reporter was away", c.PID), &ended
	}
	if now.Sub(away) < after {
		return "", nil
	}
	return fmt.Sprintf("nobody has confirmed it since its reporter went away %s ago",
		now.Sub(away).Round(time.Second)), nil
}

// firstProcess returns the first process of a container as the scan of processes sees it now.
// It needs mu.
func (t *reportTable) firstProcess(k reportKey) *workloadmeta.Process {
	if k.id.Kind != workloadmeta.KindContainer {
		return nil
	}
	reports, _ := t.store.Reports(k.id)
	at, held := workloadmeta.FindReport(reports, k.by)
	if !held {
		return nil
	}
	c, ok := reports[at].Entity.(*workloadmeta.Container)
	if !ok || c.PID == 0 {
		return nil
	}
	p := t.processOf(int32(c.PID))
	if p != nil && p.ContainerID != "" && p.ContainerID != c.ID {
		return nil // somebody else's by now
	}
	return p
}

// processOf returns what the scan of processes says of a process, or nil.
func (t *reportTable) processOf(pid int32) *workloadmeta.Process {
	reports, _ := t.store.Reports(workloadmeta.EntityID{Kind: workloadmeta.KindProcess,
		ID: strconv.Itoa(int(pid))})
	for _, r := range reports {
		if p, ok := r.Entity.(*workloadmeta.Process); ok && r.State == workloadmeta.Live &&
			r.Source == workloadmeta.SourceProcess {
			return p
		}
	}
	return nil
}

// scanned reports whether a process is still there, and whether the processes have been listed
// since a time, so that its absence means something. It needs mu.
func (t *reportTable) scanned(p *workloadmeta.Process, since time.Time) (found, scanned bool) {
	if now := t.processOf(p.PID); now != nil {
		return workloadmeta.SameIncarnation(now, p), true
	}
	return false, slices.ContainsFunc(t.sets, func(s *reportSet) bool {
		return s.reporters[0].Source == workloadmeta.SourceProcess && s.listedAt.After(since)
	})
}
