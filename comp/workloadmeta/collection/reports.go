package collection

import (
	"cmp"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// reporterOrder says whose word counts when several collectors of one source report one entity:
// Docker and the containerd below it, containerd and its CRI. Who manages a container knows most of
// it; a runtime's own interface tells more, and earlier, than the CRI, which is polled. A collector
// that is not in the list comes after those that are, by ID. What is taken from whom:
// [workloadmeta.Combine].
var reporterOrder = [...]string{"docker", "podman", "containerd", "containerd-k8s", "cri"}

func compareReporters(a, b string) int {
	rank := func(id string) int {
		if i := slices.Index(reporterOrder[:], id); i >= 0 {
			return i
		}
		return len(reporterOrder)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// Report is what one collector says of an entity.
type Report struct {
	Collector string              `json:"collector,omitempty"`
	Source    workloadmeta.Source `json:"source"`
	// Entity is shared and must not be written to.
	Entity workloadmeta.Entity `json:"entity"`
}

// Reports returns which collectors report an entity and what each says, the one whose word counts
// most first; nil if none does. The slice is the caller's.
func (s *Supervisor) Reports(id workloadmeta.EntityID) []Report { return s.ledger.reports(id) }
