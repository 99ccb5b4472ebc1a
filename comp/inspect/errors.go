package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// InvalidError says that a request cannot be understood.
type InvalidError struct{ Err error }

// Error implements error.
func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns what cannot be understood.
func (e *InvalidError) Unwrap() error { return e.Err }

func invalidf(format string, args ...any) error {
	return &InvalidError{fmt.Errorf(format, args...)}
}

// AmbiguousError says that several entities are called what was asked for.
type AmbiguousError struct {
	Name Name `json:"name"`
	// Candidates are some of them, in the form in which each can be asked for.
	Candidates []string `json:"candidates"`
	Count      int      `json:"count"`
}

// Error implements error.
func (e *AmbiguousError) Error() string {
	list := strings.Join(e.Candidates, ", ")
	if more := e.Count - len(e.Candidates); more > 0 {
		list += fmt.Sprintf(", %d more", more)
	}
	if e.Name.Kind == 0 {
		return fmt.Sprintf("%q is ambiguous: %s", e.Name.Text, list)
	}
	return fmt.Sprintf("%q is ambiguous: there are %d of kind %s: %s", e.Name.Text, e.Count,
		e.Name.Kind, list)
}

// NotFoundError says that nothing is called what was asked for.
type NotFoundError struct {
	Name Name `json:"name"`
	// Near are names that are alike, the nearest first.
	Near []string `json:"near,omitempty"`
	// Gaps are what may keep it from being known.
	Gaps []Gap `json:"gaps,omitempty"`
	// Reason, if anything is known of it all the same.
	Reason string `json:"reason,omitempty"`
}

// Error implements error. It is short: what is near comes first, and of collectors only those
// are named that may know of it.
func (e *NotFoundError) Error() string {
	var b strings.Builder
	switch {
	case strings.Contains(e.Name.Text, "://"):
		return e.Name.Text + ": " + firstText(e.Reason, "it is not there")
	case e.Name.Kind == workloadmeta.KindProcess && isNumber(e.Name.Text):
		b.WriteString("no process " + e.Name.Text)
	case e.Name.Kind == 0:
		fmt.Fprintf(&b, "nothing has the ID or name %q", e.Name.Text)
	default:
		fmt.Fprintf(&b, "no %s has the ID or name %q", Class{e.Name.Kind, e.Name.Resource},
			e.Name.Text)
	}
	if len(e.Near) > 0 {
		b.WriteString("; did you mean " + strings.Join(e.Near, ", ") + "?")
	}
	if e.Reason != "" {
		b.WriteString("; " + e.Reason)
	}
	b.WriteString(gapsText(e.Gaps))
	return b.String()
}

// gapsText says what keeps something from being known: in full what could not be asked, and in few
// words what has nothing to collect here.
func gapsText(gaps []Gap) string {
	var b strings.Builder
	off := map[string][]string{} // collectors by state
	for _, gap := range gaps {
		if gap.Collector == "" || gap.Silent {
			b.WriteString("; " + gap.String())
		} else {
			off[gap.State] = append(off[gap.State], gap.Collector)
		}
	}
	for _, state := range slices.Sorted(maps.Keys(off)) {
		b.WriteString("; collectors that are " + state + ": " + strings.Join(off[state], ", "))
	}
	if len(off) > 0 {
		b.WriteString("; \"rollcall status\" says why")
	}
	return b.String()
}

// Why says why a list, the answer to a request, is empty, in one line.
func (l *List) Why(r ListRequest) string {
	text := "nothing found" + r.conditions()
	if l.LeftOut > 0 {
		return text + " but what rules leave out; --all shows it"
	}
	return text + gapsText(l.Gaps)
}

// conditions says what is asked for beside kinds, to stand behind "nothing found".
func (r *ListRequest) conditions() string {
	var b strings.Builder
	for i, name := range r.Names {
		fmt.Fprintf(&b, "%s %q", [...]string{" called", " or"}[min(i, 1)], name)
	}
	if r.Namespace != "" {
		fmt.Fprintf(&b, " in the namespace %q", r.Namespace)
	}
	if r.Selector != "" {
		fmt.Fprintf(&b, " with the labels %q", r.Selector)
	}
	for i, c := range r.Where {
		fmt.Fprintf(&b, "%s %s is %q", [...]string{" whose", " and"}[min(i, 1)], c.Field, c.Pattern)
	}
	return b.String()
}

// Gap is a reason why something may be missing in an answer.
type Gap struct {
	Kind workloadmeta.Kind `json:"kind,omitempty"`
	// Collector that would report the kind. Empty: there is none, or it is a recording.
	Collector string `json:"collector,omitempty"`
	State     string `json:"state,omitempty"`
	// Problem says why, and what to do about it.
	workloadmeta.Problem
	// Silent says that the collector has something to tell and cannot be asked, not that it has
	// nothing to collect here.
	Silent bool `json:"silent,omitempty"`
}

// String says it in a line for people.
func (g Gap) String() string {
	if g.Collector == "" {
		return g.Problem.String()
	}
	text := "collector " + g.Collector + " is " + g.State
	if g.Reason != "" {
		text += ": " + g.Problem.String()
	}
	return text
}
