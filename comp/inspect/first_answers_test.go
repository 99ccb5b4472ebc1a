package inspect

import (
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// What a collector says of a socket is not said once more by the socket's instance; what only the
// instance knows is.
func TestACollectorSpeaksForItsInstances(t *testing.T) {
	outcome := func(id, reason string) collection.Outcome {
		return collection.Outcome{ID: id, Problem: workloadmeta.Problem{Reason: reason}}
	}
	all := []collection.Outcome{outcome("podman", "denied on a"), outcome("podman@a", "denied on a"),
		outcome("podman@b", "denied on b"), outcome("docker", "denied on a")}
	for i, want := range []bool{false, true, false, false} {
		if got := saidByCollector(all[i], all); got != want {
			t.Errorf("%s: %t, want %t", all[i].ID, got, want)
		}
	}
}
