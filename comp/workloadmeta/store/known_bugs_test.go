package store_test

import (
	"slices"
	"testing"

	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Known bug #36 of docs/known-bugs.md: a process that was seen before its container was never
// linked to it. Here it is, whatever comes first.
func TestBug36AProcessMayComeBeforeItsContainer(t *testing.T) {
	ofProcess, ofContainer := sets(wm.SourceProcess, process(8, 1, "c")), sets(runtime,
		container("c", withPID(7)))
	for name, order := range map[string][]wm.CollectorEvent{
		"the container first": {ofContainer, ofProcess},
		"the process first":   {ofProcess, ofContainer},
		"the process first, not in its container yet": {sets(wm.SourceProcess, process(8, 1, "")),
			ofContainer, ofProcess},
		"the container came and went meanwhile": {ofContainer, ofProcess,
			unsets(runtime, container("c")), ofContainer},
	} {
		s := newStore(t)
		for _, ev := range order {
			notify(t, s, ev)
		}
		c, err := s.ContainerForPID(8)
		wants(t, name+": PID 8", c, err, "c")
		if got := collect(s.ProcessesOf("c")); !slices.Equal(got, []string{"8"}) {
			t.Errorf("%s: ProcessesOf(c) = %v", name, got)
		}
	}
}
