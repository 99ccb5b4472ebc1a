package tagstore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// standardInfos is the workload of the budgets: 10 containers per deployment, 20
// deployments per namespace, 8 tags from the runtime and 14 from the orchestrator.
func standardInfos(i, version int) []tagger.TagInfo {
	dep, ns := i/10, i/200
	cid := fmt.Sprintf("%064x", i*7919)
	image := strings.Repeat(fmt.Sprintf("%08x", dep*104729), 8)
	pod := fmt.Sprintf("deployment-%d-6d4b75cb9-%05x", dep, i)
	id := tagger.Container(cid)
	return []tagger.TagInfo{
		{
			Source: tagger.SourceContainer, Entity: id,
			LowCardTags: []string{
				fmt.Sprintf("image_name:registry.example.com/shop/app-%d",
					dep), fmt.Sprintf("short_image:app-%d", dep),
				"image_tag:1.2.3", "image_id:sha256:" + image, "runtime:containerd",
			},
			HighCardTags: []string{"container_id:" + cid,
				fmt.Sprintf("container_name:k8s_app_%s_%d", pod, i), fmt.Sprintf("generation:%d",
					version)},
			IsComplete: true,
		},
		{
			Source: tagger.SourceKubernetesPod, Entity: id,
			LowCardTags: []string{
				fmt.Sprintf("kube_namespace:namespace-%d",
					ns), fmt.Sprintf(
					"kube_deployment:deployment-%d", dep), "kube_ownerref_kind:replicaset",
				"kube_container_name:app", fmt.Sprintf("kube_service:service-%d",
					dep), "kube_qos:Burstable", "pod_phase:running",
				"env:prod", fmt.Sprintf("service:service-%d", dep), "version:1.2.3",
			},
			OrchestratorCardTags: []string{
				"pod_name:" + pod, fmt.Sprintf("kube_replica_set:deployment-%d-6d4b75cb9",
					dep), fmt.Sprintf("kube_ownerref_name:deployment-%d-6d4b75cb9", dep),
			},
			HighCardTags: []string{"display_container_name:app_" + pod},
			StandardTags: []string{"env:prod", fmt.Sprintf("service:service-%d", dep),
				"version:1.2.3"},
			IsComplete: true,
		},
	}
}

func filled(b *testing.B, n int) (*tagstore.Store, []tagger.EntityID) {
	s := tagstore.New(tagstore.Options{})
	ids := make([]tagger.EntityID, n)
	for i := range n {
		infos := standardInfos(i, 0)
		ids[i] = tagger.EntityID(strings.Clone(string(infos[0].Entity)))
		if err := s.Process(infos); err != nil {
			b.Fatal(err)
		}
	}
	return s, ids
}

func BenchmarkTags(b *testing.B) {
	const n = 10_000
	s, ids := filled(b, n)
	bare := make(map[tagger.EntityID]int, n)
	for i, id := range ids {
		// a query never holds the very string that is the key
		bare[tagger.EntityID(strings.Clone(string(id)))] = i
	}
	b.Run("map", func(b *testing.B) {
		sum, i := 0, 0
		for b.Loop() {
			sum += bare[ids[i%n]]
			i++
		}
	})
	b.Run("tags", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if _, err := s.Tags(ids[i%n], tagger.HighCardinality); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("handle", func(b *testing.B) {
		b.ReportAllocs()
		h := s.Handle(ids[5])
		var tags tagset.Tags
		for b.Loop() {
			tags = h.Tags(tagger.HighCardinality)
		}
		if tags.Len() == 0 {
			b.Fatal("no tags")
		}
	})
}

func BenchmarkReplace(b *testing.B) {
	const n = 1000
	s, _ := filled(b, n)
	var infos [2][n][]tagger.TagInfo
	for i := range n {
		infos[0][i], infos[1][i] = standardInfos(i, 1), standardInfos(i, 2)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_ = s.Process(infos[i/n%2][i%n])
		i++
	}
}
