package main

import (
	"context"
	"fmt"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// relatedPods is how many pods one namespace has, and one service for members.
const relatedPods = 5000

// relations measures how long it takes from a report about a namespace or a service until all tags
// that follow from it can be asked for.
func relations() []row {
	const label = "relations: "
	s := store.New(store.Options{})
	defer s.Close()
	opts := local.DefaultOptions()
	opts.SelfContainerID = "none"
	opts.Extract.KubernetesNamespaceLabelsAsTags = map[string]string{"team": "team"}
	t, err := local.New(s, opts)
	must(err)
	must(t.Start(context.Background()))
	tell := func(entities ...workloadmeta.Entity) float64 {
		events := make([]workloadmeta.CollectorEvent, len(entities))
		for i, e := range entities {
			events[i] = workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet,
				Source: workloadmeta.SourceClusterOrchestrator, Entity: e}
		}
		began := time.Now()
		must(s.Notify(events))
		must(t.CatchUp(context.Background()))
		return float64(time.Since(began).Microseconds()) / 1000
	}
	service := &workloadmeta.KubernetesService{EntityID: workloadmeta.EntityID{
		Kind: workloadmeta.KindKubernetesService, ID: "shop/cart"}}
	for i := range relatedPods {
		uid := fmt.Sprintf("6b1f3a52-7c1e-4d0a-9a54-%012x", i)
		service.Pods = append(service.Pods, uid)
		tell(&workloadmeta.KubernetesPod{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindKubernetesPod, ID: uid}, Phase: "Running",
			EntityMeta: workloadmeta.EntityMeta{Name: fmt.Sprintf("cart-%d", i),
				Namespace: "shop"}, NodeName: fmt.Sprintf("node-%d", i%100)})
	}
	round := 0
	all := best(5, func() float64 {
		round++
		return tell(&workloadmeta.KubernetesMetadata{EntityID: workloadmeta.EntityID{
			Kind: workloadmeta.KindKubernetesMetadata, ID: "/namespaces//shop"},
			EntityMeta: workloadmeta.EntityMeta{Name: "shop",
				Labels: map[string]string{"team": fmt.Sprint(round)}}})
	}, func() float64 {
		less := *service
		less.Pods = service.Pods[round:]
		return tell(&less)
	})
	must(t.Stop(context.Background()))
	return []row{
		bounded(label+"label of a namespace → tags of its 5,000 pods", all[0], "ms", 1000),
		bounded(label+"member leaves a service of 5,000 → its tags", all[1], "ms", 100),
	}
}
