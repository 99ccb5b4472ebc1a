package workloadmeta

import "slices"

// views are what the reporters say of one entity, in the two orders that count.
type views struct {
	// byIdentity has the strongest reporter first, whatever its state.
	byIdentity []Entity
	// byObservation has the best observer first.
	byObservation []Entity
	// current is how many of byObservation are from live reporters that have looked.
	current int
}

// Merge returns what all reports together say about one entity. They must be of one entity
// and sorted by [CompareReporters]. The result may be the entity of the first report, if the
// others add nothing; otherwise it is new, but may share maps and lists with the reports.
func Merge(reports []Report) Entity {
	if len(reports) == 1 {
		return reports[0].Entity
	}
	var v views
	var identity, observation [4]Entity
	var room [4]*Report
	v.byIdentity, v.byObservation = identity[:0], observation[:0]
	order := room[:0]
	for i := range reports {
		v.byIdentity = append(v.byIdentity, reports[i].Entity)
		order = append(order, &reports[i])
		if reports[i].Current() {
			v.current++
		}
	}
	slices.SortFunc(order, func(a, b *Report) int {
		if x, y := a.weight(), b.weight(); x != y {
			return x - y
		}
		return compareObservers(a.Reporter, b.Reporter)
	})
	for _, r := range order {
		v.byObservation = append(v.byObservation, r.Entity)
	}
	merged := v.byIdentity[0].merged(&v)
	if merged.Equal(v.byIdentity[0]) {
		return v.byIdentity[0]
	}
	return merged
}

// weight orders reports by how much they are worth as observations, the most first.
func (r *Report) weight() int {
	switch {
	case r.Current():
		return 0
	case r.State == Done && HasEnded(r.Entity):
		return 1
	case r.State != Away:
		return 2
	}
	return 3
}

// Finalize returns the last state of an entity that is going away: what was
// known, filled up with what the last message about it says. Facts that only the
// end brings (exit code, time of death, final status) are taken from the message.
// A message that says only which entity it is changes nothing.
func Finalize(last, message Entity) Entity {
	if message == nil || message == last {
		return last
	}
	if bare, err := NewEntity(message.GetID()); err == nil && bare.Equal(message) {
		return last
	}
	final := last.merged(&views{byIdentity: []Entity{last, message},
		byObservation: []Entity{message, last}, current: 2})
	if c, ok := final.(*Container); ok {
		// The process that it was stays known.
		fill(&c.PID, last.(*Container).PID)
		fill(&c.CgroupInode, last.(*Container).CgroupInode)
	}
	return final
}

// observer returns the first of the views, in the order of observation, that knows something,
// with the others that may fill what it leaves open: the current ones if it is one of them. If
// none knows anything it is the first.
func observer[T Entity](v *views, knows func(T) bool) (best T, others []Entity) {
	for i, e := range v.byObservation {
		if e := e.(T); knows(e) {
			if i < v.current {
				return e, v.byObservation[:v.current]
			}
			return e, v.byObservation
		}
	}
	return v.byObservation[0].(T), v.byObservation
}
