package podresources

import (
	"testing"

	"google.golang.org/protobuf/proto"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// FuzzList: whatever a kubelet answers, what comes of it can be reported, says the same each time,
// and no later answer takes a device away.
func FuzzList(f *testing.F) {
	add := func(pods ...*podresourcesv1.PodResources) {
		text, err := proto.Marshal(&podresourcesv1.ListPodResourcesResponse{PodResources: pods})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	add(recorded(f)...)
	add(gives("train", "main", "nvidia.com/gpu=GPU-1"), gives("train", "main"))
	add(gives("train", "main", "nvidia.com/mig-1g.5gb=MIG-1", "amd.com/gpu=0", "=", "x="))
	f.Fuzz(func(t *testing.T, text []byte) {
		var answer podresourcesv1.ListPodResourcesResponse
		if proto.Unmarshal(text, &answer) != nil {
			return
		}
		tr := newTracker()
		tr.set(newPod("uid-1", "train", "main", "c1", "nvidia.com/gpu"))
		if len(answer.PodResources) > 0 { // whatever its name is
			p := answer.PodResources[0]
			other := newPod("uid-2", p.GetName(), "main", "c2")
			other.Namespace = p.GetNamespace()
			for _, c := range p.GetContainers() {
				other.Containers = append(other.Containers,
					workloadmeta.OrchestratorContainer{ID: "c3", Name: c.GetName()})
			}
			tr.set(other)
		}
		tr.list(tr.ask(), answer.PodResources)
		first := tr.everything()
		for _, e := range first {
			if err := (workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet,
				Source: workloadmeta.SourceNodeDevices, Entity: e}).Validate(); err != nil {
				t.Fatal(err)
			}
		}
		for _, again := range [][]*podresourcesv1.PodResources{answer.PodResources, nil,
			{gives("train", "main")}} {
			tr.list(tr.ask(), again)
			now := tr.everything()
			if len(now) != len(first) {
				t.Fatalf("%d containers, then %d", len(first), len(now))
			}
			for i := range now {
				if !now[i].Equal(first[i]) {
					t.Fatalf("%v, then %v", first[i], now[i])
				}
			}
		}
	})
}
