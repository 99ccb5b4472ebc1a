package process

import "github.com/rollcall-dev/rollcall/comp/workloadmeta"

// Viewer is the part of the store that [KnownTo] and [CoveredBy] ask.
type Viewer interface {
	Reports(id workloadmeta.EntityID) ([]workloadmeta.Report, error)
}

// KnownTo returns an [Options.Known] that asks the store: a container is known if any
// source but this collector reports it.
func KnownTo(store Viewer) func(containerID string) bool {
	return func(id string) bool {
		return hasView(store, id,
			func(s workloadmeta.Source) bool { return s != workloadmeta.SourceProcess })
	}
}

// CoveredBy returns an [Options.Covered] that asks the store: a container is covered if
// its runtime reports it.
func CoveredBy(store Viewer) func(containerID string) bool {
	return func(id string) bool {
		return hasView(store, id,
			func(s workloadmeta.Source) bool { return s == workloadmeta.SourceRuntime })
	}
}

func hasView(store Viewer, id string, accept func(workloadmeta.Source) bool) bool {
	views, err := store.Reports(workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id})
	if err != nil {
		return false // not found is the only reason there is
	}
	for _, v := range views {
		if accept(v.Source) {
			return true
		}
	}
	return false
}
