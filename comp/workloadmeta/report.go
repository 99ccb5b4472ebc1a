package workloadmeta

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reporter is who reports entities: one instance of a collector, such as "docker" or
// "podman@/run/podman/podman.sock", or code that is no collector, which is named after its
// source. Name and Source together identify it. A Reporter is immutable.
type Reporter struct {
	Name   string `json:"reporter"`
	Source Source `json:"source"`
	// Rank orders the reporters of one source: the word of the greater one counts more.
	Rank int `json:"-"`
}

// NewReporter returns the reporter of code that is no collector.
func NewReporter(source Source) *Reporter {
	return &Reporter{Name: string(source), Source: source}
}

// CompareReporters orders reporters by whose word about identity counts more, the strongest
// first: by source, then rank, then name. It is the order of [Event.Reports], and 0 only for
// one and the same reporter.
func CompareReporters(a, b *Reporter) int { return compareIn(identityOrder, a, b) }

// compareObservers is CompareReporters for what is observed.
func compareObservers(a, b *Reporter) int { return compareIn(observationOrder, a, b) }

func compareIn(order []Source, a, b *Reporter) int {
	if a == b {
		return 0
	}
	if a.Source != b.Source {
		return compareSources(order, a.Source, b.Source)
	}
	return cmp.Or(cmp.Compare(b.Rank, a.Rank), strings.Compare(a.Name, b.Name))
}

// ReportState says what a report is worth now.
type ReportState uint8

// States of a report.
const (
	// Live: the reporter is connected and stands by what it said.
	Live ReportState = iota
	// Away: the reporter has lost its daemon since. What it said stays, but a live reporter
	// outvotes it.
	Away
	// Done: the reporter has said that the entity ended, and how. The report is kept while
	// others that have not looked since still report the entity.
	Done
)

// String returns "live", "away" or "done".
func (s ReportState) String() string {
	switch s {
	case Live:
		return "live"
	case Away:
		return "away"
	case Done:
		return "done"
	}
	return fmt.Sprintf("report state %d", uint8(s))
}

// MarshalText implements [encoding.TextMarshaler].
func (s ReportState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *ReportState) UnmarshalText(text []byte) error {
	for state := Live; state <= Done; state++ {
		if state.String() == string(text) {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("unknown report state %q", text)
}

// Report is what one reporter said last of an entity. It is a value of 32 bytes, of which a
// store holds at least one per entity.
type Report struct {
	*Reporter
	State ReportState `json:"state"`
	// Outdated says that a stronger reporter has seen the entity's end since, and that this
	// one has not looked since.
	Outdated bool   `json:"outdated,omitempty"`
	said     uint32 // Unix time
	// Entity is shared and must not be written to.
	Entity Entity `json:"entity"`
}

// UnmarshalJSON reads what encoding/json has written of a report.
func (r *Report) UnmarshalJSON(data []byte) error {
	type fields Report // without this method
	read := struct {
		fields
		Entity json.RawMessage `json:"entity"`
	}{}
	err := json.Unmarshal(data, &read)
	if err == nil {
		read.fields.Entity, _, err = UnmarshalEntity(read.Entity)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	*r = Report(read.fields)
	return nil
}

// NewReport returns a live report that was made at a time.
func NewReport(r *Reporter, e Entity, at time.Time) Report {
	return Report{Reporter: r, Entity: e, said: uint32(at.Unix())}
}

// Said returns since when the reporter has said this, to the second.
func (r *Report) Said() time.Time { return time.Unix(int64(r.said), 0) }

// SameFacts reports whether both say the same, whenever they said it.
func (r *Report) SameFacts(o *Report) bool {
	return r.State == o.State && r.Outdated == o.Outdated &&
		(r.Reporter == o.Reporter || CompareReporters(r.Reporter, o.Reporter) == 0) &&
		(r.Entity == o.Entity || r.Entity.Equal(o.Entity))
}

// Current reports whether the report counts for what is observed: its reporter is live and
// has looked since the last end that anybody stronger has seen.
func (r *Report) Current() bool { return r.State == Live && !r.Outdated }

// Infers reports whether reporters of the source derive entities of this kind from others, as
// the scan of /proc derives containers from the cgroups of processes, and the list of devices
// from those of pods. Nobody waits for such reports, and they do not outlive an end that somebody
// else has seen.
func (s Source) Infers(kind Kind) bool {
	return (s == SourceProcess || s == SourceNodeDevices) && kind == KindContainer
}

// FindReport returns where the reporter's report is among sorted reports, or where it would
// have to be.
func FindReport(reports []Report, r *Reporter) (at int, found bool) {
	for i := range reports {
		if reports[i].Reporter == r {
			return i, true
		}
	}
	return slices.BinarySearchFunc(reports, r,
		func(have Report, r *Reporter) int { return CompareReporters(have.Reporter, r) })
}

// Withdraw returns the reports of an entity after the reporter at a position has withdrawn its
// own, with last as its last word, and whether anybody who is live still reports the entity.
// If nobody does, the entity has ended, and the reports are those that were there at its end.
// The result shares nothing with reports.
//
// If last is an end, such as a container that has stopped, it beats everybody weaker who has
// not looked since: what those say is outdated until they say it again. Meanwhile the end
// stays among the reports, as [Done].
func Withdraw(reports []Report, at int, last Entity) (after []Report, alive bool) {
	kind, ended, outdated := last.GetID().Kind, HasEnded(last), false
	who := reports[at]
	who.Entity, who.State, who.Outdated = last, Done, false
	after = make([]Report, 0, len(reports))
	for i, r := range reports {
		if i == at {
			after = append(after, who)
			continue
		}
		if ended && r.State != Done && compareObservers(who.Reporter, r.Reporter) < 0 {
			r.Outdated = true
		}
		if !r.Outdated || !r.Source.Infers(kind) {
			outdated = outdated || r.Outdated && r.State == Live
			alive = alive || r.State == Live
		}
		after = append(after, r)
	}
	if !alive {
		return after, false
	}
	return slices.DeleteFunc(after, func(r Report) bool {
		return r.State == Done && (!outdated || !ended && r.Reporter == who.Reporter) ||
			r.Outdated && r.Source.Infers(kind)
	}), true
}

// Confirm returns the reports with a new one of its reporter, which has looked now, unless it
// only says again what an end has made outdated. An end that nobody's report is older than is not
// kept any longer. The result shares nothing with reports.
func Confirm(reports []Report, report Report) []Report {
	at, found := FindReport(reports, report.Reporter)
	if found && reports[at].Outdated && tellsOfEnded(reports, reports[at].Entity, report.Entity) {
		report.Outdated = true
	}
	out := make([]Report, len(reports), len(reports)+1)
	copy(out, reports)
	if found {
		out[at] = report
	} else {
		out = slices.Insert(out, at, report)
	}
	for i := range out {
		if out[i].Outdated && out[i].State == Live {
			return out
		}
	}
	return withoutDone(out)
}

// tellsOfEnded reports whether a container that was outdated, and is told of again, is one whose
// end somebody has seen: it has the process that it had, or has begun before the end. No process
// comes back.
func tellsOfEnded(reports []Report, was, now Entity) bool {
	before, ok := was.(*Container)
	c, also := now.(*Container)
	if !ok || !also || c.PID != before.PID || HasEnded(c) {
		return false
	}
	return slices.ContainsFunc(reports, func(r Report) bool {
		end, ok := r.Entity.(*Container)
		if !ok || r.State != Done {
			return false
		}
		if c.State.StartedAt.IsZero() || end.State.FinishedAt.IsZero() {
			return c.PID != 0
		}
		return !c.State.StartedAt.After(end.State.FinishedAt)
	})
}

func withoutDone(reports []Report) []Report {
	return slices.DeleteFunc(reports, func(r Report) bool { return r.State == Done })
}

// HasEnded reports whether this is how an entity looks that is over: a container that has
// stopped, a pod that has run to its end. Of other kinds nobody can tell.
func HasEnded(e Entity) bool {
	switch e := e.(type) {
	case *Container:
		return e.State.Status == StatusStopped || e.State.ExitCode != nil && !e.State.Running
	case *KubernetesPod:
		return e.Phase == "Succeeded" || e.Phase == "Failed" || !e.FinishedAt.IsZero()
	}
	return false
}
