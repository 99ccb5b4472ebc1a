package rules

import "github.com/rollcall-dev/rollcall/comp/workloadmeta"

// Decision says whether a container is left out, and why.
type Decision struct {
	Excluded bool
	// Rule is the one that decided; nil if none applies, which includes.
	Rule *Rule
}

// Excludes reports whether any rule can leave a container out.
func (s *Set) Excludes() bool {
	for _, c := range s.selected() {
		if c.Action == Exclude {
			return true
		}
	}
	return false
}

// Selects reports whether anybody has written a rule about which containers count.
func (s *Set) Selects() bool {
	for _, c := range s.selected() {
		if c.Origin != Builtin {
			return true
		}
	}
	return false
}

func (s *Set) selected() []*compiled {
	if s == nil {
		return nil
	}
	return s.selection
}

// Why says whether an entity is left out of something, and which rule says so. Only
// containers are ever left out. Rules for [Metrics] and [Logs] count together with those
// for [Everything], in the order of the list.
//
// lookup finds the container's pod, whose namespace, labels and annotations count; without
// it only what the container says of itself does.
func (s *Set) Why(e workloadmeta.Entity, lookup Lookup, purpose Purpose) Decision {
	list := s.selected()
	if _, ok := e.(*workloadmeta.Container); !ok || len(list) == 0 {
		return Decision{}
	}
	var subject Subject
	subject.Reset(e, "", lookup)
	for i := len(list) - 1; i >= 0; i-- {
		if c := list[i]; (c.Purpose == Everything || c.Purpose == purpose) && subject.applies(c) {
			return Decision{Excluded: c.Action == Exclude, Rule: c.Rule}
		}
	}
	return Decision{}
}

// Predicate returns what [workloadmeta.Filter.Kind] takes to see only the containers that
// are not left out:
//
//	workloadmeta.NewFilter().Kind(workloadmeta.KindContainer, set.Predicate(rules.Logs))
//
// A predicate must not ask the store, so that it knows of a container only what the
// container says of itself: the namespace, which every runtime notes on the containers of
// pods, but not the pod's labels and annotations. Where those matter, ask [Set.Why] when
// the event arrives.
func (s *Set) Predicate(purpose Purpose) func(workloadmeta.Entity) bool {
	return func(e workloadmeta.Entity) bool { return !s.Why(e, nil, purpose).Excluded }
}
