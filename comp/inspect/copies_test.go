package inspect

import (
	"slices"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func TestNewerCopies(t *testing.T) {
	const kubelet, api, remote = workloadmeta.SourceNodeOrchestrator,
		workloadmeta.SourceClusterOrchestrator, workloadmeta.SourceKubeAPIServer
	said := func(by workloadmeta.Source, generation, observed int64,
		version string) workloadmeta.Report {
		return workloadmeta.NewReport(workloadmeta.NewReporter(by), &workloadmeta.KubernetesPod{
			Generation: generation, ObservedGeneration: observed, ResourceVersion: version},
			time.Time{})
	}
	for name, c := range map[string]struct {
		reports []workloadmeta.Report
		want    []string
	}{
		"generation": {[]workloadmeta.Report{said(api, 3, 3, "900"), said(kubelet, 4, 3, "1")},
			[]string{"the copy of node_orchestrator is newer than that of cluster_orchestrator: " +
				"generation 4 after 3"}},
		"generation of the status": {[]workloadmeta.Report{said(api, 4, 4, ""),
			said(kubelet, 4, 3, "")},
			[]string{"the copy of cluster_orchestrator is newer than that of node_orchestrator: " +
				"a status of generation 4 after 3"}},
		"two reads of the API server": {[]workloadmeta.Report{said(api, 4, 4, "999"),
			said(remote, 4, 4, "1000")},
			[]string{"the copy of kubeapiserver is newer than that of cluster_orchestrator: " +
				"resource version 1000 after 999"}},
		"the kubelet's version is of its first sight": {[]workloadmeta.Report{
			said(api, 4, 4, "1000"), said(kubelet, 4, 4, "7")}, nil},
		"no generation": {[]workloadmeta.Report{said(api, 0, 0, ""), said(kubelet, 3, 3, "")}, nil},
		"no number": {[]workloadmeta.Report{said(api, 0, 0, "a"), said(remote, 0, 0, "b")},
			nil},
		"three": {[]workloadmeta.Report{said(api, 3, 0, ""), said(kubelet, 4, 0, ""),
			said(remote, 2, 0, "")},
			[]string{"the copy of node_orchestrator is newer than that of cluster_orchestrator: " +
				"generation 4 after 3",
				"the copy of node_orchestrator is newer than that of kubeapiserver: " +
					"generation 4 after 2"}},
		"one": {[]workloadmeta.Report{said(api, 3, 0, "")}, nil},
	} {
		if got := copies(c.reports); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
