package rules

import (
	"iter"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Idle is a rule, or one name of a rule, that did nothing to what it was tried on.
type Idle struct {
	Rule *Rule
	// Name is the name at fault of a rule about tags that names several; "" is all of it.
	Name   string
	Reason string // for people
}

// MadeBy is a tag that was made, by the name it was made under, and the label of its rule.
type MadeBy struct{ Name, Rule string }

// Idle tries the rules on entities and returns those that matched none of them, or that have
// nothing to undo, in order. made returns the tags that an entity's fields make, those that
// rules drop included. Rules that nobody has written are left out, and so are the options
// that map keys to tags.
func (s *Set) Idle(entities iter.Seq[workloadmeta.Entity], lookup Lookup,
	made func(workloadmeta.Entity) []MadeBy) []Idle {
	if s == nil {
		return nil
	}
	selected := make([]bool, len(s.rules))
	matched := make([]bool, len(s.effects.all))
	labels := map[string]bool{}
	for e := range entities {
		var subject Subject
		subject.Reset(e, "", lookup)
		if _, ok := e.(*workloadmeta.Container); ok {
			for _, c := range s.selection {
				selected[c.index] = selected[c.index] || subject.applies(c)
			}
		}
		for _, m := range made(e) {
			labels[m.Rule] = true
			for i, f := range s.effects.all {
				matched[i] = matched[i] || f.name.match(m.Name)
			}
		}
	}
	var idle []Idle
	for i := range s.rules {
		r := &s.rules[i]
		if r.Origin == Builtin {
			continue
		}
		switch r.Action {
		case Exclude, Include:
			if !selected[i] {
				idle = append(idle, Idle{Rule: r, Reason: "it matches no container here"})
			} else if r.Action == Include && !s.undoes(i) {
				idle = append(idle, Idle{Rule: r,
					Reason: "nothing is left out before it, so that it brings nothing back"})
			}
		case Tag:
			if r.Origin == Configured && !labels[r.Label()] {
				idle = append(idle, Idle{Rule: r, Reason: "it makes no tag here"})
			}
		case Keep:
			if !s.undoes(i) {
				idle = append(idle, Idle{Rule: r,
					Reason: "nothing is dropped before it, so that it keeps nothing"})
				continue
			}
			idle = append(idle, s.idleNames(i, matched)...)
		default:
			idle = append(idle, s.idleNames(i, matched)...)
		}
	}
	return idle
}

// idleNames returns the names of a rule about tags under which no tag was made.
func (s *Set) idleNames(index int, matched []bool) (idle []Idle) {
	for i, f := range s.effects.all {
		if f.index == index && !matched[i] {
			idle = append(idle, Idle{Rule: f.Rule, Name: f.name.text,
				Reason: "no tag here is called " + f.name.text})
		}
	}
	return idle
}

// undoes reports whether there is an earlier rule that an include or keep could undo.
func (s *Set) undoes(index int) bool {
	r := &s.rules[index]
	return slices.ContainsFunc(s.rules[:index], func(earlier Rule) bool {
		switch r.Action {
		case Include:
			return earlier.Action == Exclude && (r.Purpose == Everything ||
				earlier.Purpose == Everything || earlier.Purpose == r.Purpose)
		case Keep:
			return earlier.Action == Drop && slices.ContainsFunc(r.Names, func(name string) bool {
				return slices.ContainsFunc(earlier.Names, func(dropped string) bool {
					return overlap(strings.TrimSpace(name), strings.TrimSpace(dropped))
				})
			})
		}
		return true
	})
}

// overlap reports whether two names, or globs, may match the same; of two globs that is not
// known, and taken for granted.
func overlap(a, b string) bool {
	p, err := compileGlob(a)
	q, qerr := compileGlob(b)
	if err != nil || qerr != nil {
		return false
	}
	return p.match(b) || q.match(a) || !p.exact() && !q.exact()
}
