package inspect

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// copies says which of the copies of a pod that several reporters have is newer, if that can be
// told.
func copies(reports []workloadmeta.Report) (notes []string) {
	if len(reports) < 2 {
		return nil
	}
	newest := &reports[0]
	for i := range reports[1:] {
		if order, _ := compareCopies(&reports[i+1], newest); order > 0 {
			newest = &reports[i+1]
		}
	}
	for i := range reports {
		if order, why := compareCopies(newest, &reports[i]); order > 0 {
			notes = append(notes, fmt.Sprintf("the copy of %s is newer than that of %s: %s",
				newest.Name, reports[i].Name, why))
		}
	}
	return notes
}

// compareCopies orders two copies of a pod and says by what, if it can. The generation counts
// changes of what is asked for, whoever tells it. A resource version orders what was read of the
// API server, and nothing else: the kubelet goes on with that of its first sight.
func compareCopies(a, b *workloadmeta.Report) (order int, why string) {
	p, ok := a.Entity.(*workloadmeta.KubernetesPod)
	q, also := b.Entity.(*workloadmeta.KubernetesPod)
	if !ok || !also {
		return 0, ""
	}
	const about = "%s %d after %d"
	if p.Generation != 0 && q.Generation != 0 && p.Generation != q.Generation {
		return cmp.Compare(p.Generation, q.Generation),
			fmt.Sprintf(about, "generation", p.Generation, q.Generation)
	}
	if p.ObservedGeneration != 0 && q.ObservedGeneration != 0 &&
		p.ObservedGeneration != q.ObservedGeneration {
		return cmp.Compare(p.ObservedGeneration, q.ObservedGeneration), fmt.Sprintf(about,
			"a status of generation", p.ObservedGeneration, q.ObservedGeneration)
	}
	if fromAPI(a) && fromAPI(b) && isNumber(p.ResourceVersion) && isNumber(q.ResourceVersion) {
		return compareNumbers(p.ResourceVersion, q.ResourceVersion),
			fmt.Sprintf("resource version %s after %s", p.ResourceVersion, q.ResourceVersion)
	}
	return 0, ""
}

// fromAPI reports whether a report is what somebody read of the API server.
func fromAPI(r *workloadmeta.Report) bool {
	return r.Source == workloadmeta.SourceClusterOrchestrator ||
		r.Source == workloadmeta.SourceKubeAPIServer
}

// compareNumbers orders numbers in decimal of any size.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
