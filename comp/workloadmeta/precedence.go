package workloadmeta

import (
	"slices"
	"strings"
)

// Which source wins when several report one entity.
//
// Every field belongs to one of two groups, and each group has an order of
// sources. A field is taken from the first source that says something: the zero
// value of a string, number, time or list says nothing. Beyond that:
//
//   - a true flag sticks, whoever said it;
//   - a pointer says something when it is not nil, so an exit code of 0 counts;
//   - maps are united; for a common key the earlier source wins unless its value is empty;
//   - lists are united without doubles, in the order of the sources;
//   - ports are united by [mergePorts].
//
// Identity: name, namespace, labels, image, runtime, ownership, resources, and
// whatever is not listed below. The orchestrators know these better than the
// runtime: a container's name in its pod is what people call it.
//
// Observation: process ID, cgroup, state, times of start and end, exit code, restart
// count and network addresses of a container; phase, readiness, addresses and times of
// start and end of a pod. Whoever is nearest to the kernel knows these better, and
// earlier.
//
// A source that is not in a list comes after those that are, by name.
var (
	identityOrder = []Source{
		SourceClusterOrchestrator, SourceKubeAPIServer, SourceNodeOrchestrator, SourceRuntime,
		SourceNVML, SourceServiceDiscovery, SourceProcess, SourceProcessLanguage,
		SourceRemoteProcess,
		SourceLanguageServer, SourceHost, SourceTrivy, SourceRemoteStore,
	}
	observationOrder = []Source{
		SourceRuntime, SourceNVML, SourceServiceDiscovery, SourceProcess, SourceProcessLanguage,
		SourceNodeOrchestrator, SourceClusterOrchestrator, SourceKubeAPIServer, SourceRemoteProcess,
		SourceLanguageServer, SourceHost, SourceTrivy, SourceRemoteStore,
	}
)

// View is what one source says about an entity.
type View struct {
	Source Source
	Entity Entity
}

// CompareSources orders sources by identity precedence, the strongest first.
// It is the order of [Event.Views].
func CompareSources(a, b Source) int { return compareIn(identityOrder, a, b) }

func compareIn(order []Source, a, b Source) int {
	if a == b {
		return 0
	}
	ai, bi := rank(order, a), rank(order, b)
	if ai != bi {
		return ai - bi
	}
	return strings.Compare(string(a), string(b))
}

func rank(order []Source, s Source) int {
	if i := slices.Index(order, s); i >= 0 {
		return i
	}
	return len(order)
}

// Merge returns what all views together say about one entity. The views must be
// of one entity and sorted by [CompareSources]. With a single view the result is
// that view's entity itself; otherwise it is new, but may share maps and lists
// with the views.
func Merge(views []View) Entity {
	if len(views) == 1 {
		return views[0].Entity
	}
	byIdentity := make([]Entity, len(views))
	for i, v := range views {
		byIdentity[i] = v.Entity
	}
	observed := slices.Clone(views)
	slices.SortFunc(observed,
		func(a, b View) int { return compareIn(observationOrder, a.Source, b.Source) })
	byObservation := make([]Entity, len(views))
	for i, v := range observed {
		byObservation[i] = v.Entity
	}
	return byIdentity[0].merged(byIdentity, byObservation)
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
	final := last.merged([]Entity{last, message}, []Entity{message, last})
	if c, ok := final.(*Container); ok && c.State.Status == StatusStopped {
		c.State.Running = false // nobody else has seen it yet; between sources a true flag sticks
	}
	return final
}
