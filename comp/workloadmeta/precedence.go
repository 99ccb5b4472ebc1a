package workloadmeta

import (
	"slices"
	"strings"
)

// Whose word counts when several reporters describe one entity. docs/runtimes.md has it as a
// table for users.
//
// Every field belongs to one of two groups, and each group has an order of sources. Reporters of
// one source are ordered by their rank, then by name.
//
// Identity is taken field by field: name, namespace, labels, image, runtime, ownership,
// resources, and whatever is not listed below. A field is taken from the first reporter that
// says something: the zero value of a string, number, time or list says nothing. The
// orchestrators know these better than the runtime: a container's name in its pod is what
// people call it. Beyond that:
//
//   - a true flag sticks, whoever said it;
//   - a pointer says something when it is not nil;
//   - maps are united; for a common key the earlier reporter wins unless its value is empty;
//   - lists are united by key without doubles, in the order of the reporters;
//   - blobs of bytes, command lines, lists of layers, the owners of a pod and the GPUs of a
//     container are one value each: what a runtime reads in a variable may say "all" of a
//     container to which the kubelet has given one.
//
// Observation is taken as one unit, from the best reporter that is live and has looked: the state,
// process ID, cgroup inode, exit code, restart count, times and health of a container; phase,
// readiness, reason, addresses, times and container IDs of a pod; the status of a task; health and
// processes of a GPU. So nothing is both running and stopped, and "ready" does not stick. Whoever
// is nearest to the kernel knows these better, and earlier. What the best reporter leaves open (a
// process ID, a time of creation or start, health) is filled in only from others that agree with it
// on whether the thing runs. If nobody who is live has looked, an end that was seen counts, then a
// report from before that end, then one whose reporter is away.
//
// A source that is not in a list comes after those that are, by name.
var (
	identityOrder = []Source{
		SourceClusterOrchestrator, SourceKubeAPIServer, SourceNodeOrchestrator, SourceNodeDevices,
		SourceRuntime, SourceNVML, SourceServiceDiscovery, SourceProcess, SourceProcessLanguage,
		SourceRemoteProcess,
		SourceLanguageServer, SourceHost, SourceTrivy, SourceRemoteStore,
	}
	observationOrder = []Source{
		SourceRuntime, SourceNVML, SourceServiceDiscovery, SourceProcess, SourceProcessLanguage,
		SourceNodeOrchestrator, SourceClusterOrchestrator, SourceKubeAPIServer, SourceRemoteProcess,
		SourceLanguageServer, SourceNodeDevices, SourceHost, SourceTrivy, SourceRemoteStore,
	}
)

// CompareSources orders sources by whose word about identity counts more, the strongest first.
func CompareSources(a, b Source) int { return compareSources(identityOrder, a, b) }

func compareSources(order []Source, a, b Source) int {
	if a == b {
		return 0
	}
	ai, bi := position(order, a), position(order, b)
	if ai != bi {
		return ai - bi
	}
	return strings.Compare(string(a), string(b))
}

func position(order []Source, s Source) int {
	if i := slices.Index(order, s); i >= 0 {
		return i
	}
	return len(order)
}
