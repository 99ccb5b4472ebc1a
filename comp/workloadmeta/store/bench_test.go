package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func benchContainer(i, version int) *workloadmeta.Container {
	id := fmt.Sprintf("%064x", i)
	return &workloadmeta.Container{
		EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: id},
		EntityMeta: workloadmeta.EntityMeta{Name: fmt.Sprintf("web-%d", i)},
		Image: workloadmeta.ContainerImage{
			ID: "sha256:" + strings.Repeat(fmt.Sprintf("%08x", i/10),
				8), RawName: fmt.Sprintf("registry.example.com/shop/app-%d:1.2.3", i/10),
			Name: fmt.Sprintf("registry.example.com/shop/app-%d",
				i/10), Registry: "registry.example.com", ShortName: fmt.Sprintf(
				"app-%d", i/10), Tag: "1.2.3",
		},
		Runtime: workloadmeta.RuntimeContainerd, PID: 1000 + i, RestartCount: version,
		State: workloadmeta.ContainerState{Running: true, Status: workloadmeta.StatusRunning,
			StartedAt: time.Unix(1_700_000_000, 0)},
	}
}

func set(e workloadmeta.Entity) []workloadmeta.CollectorEvent {
	return []workloadmeta.CollectorEvent{
		{Type: workloadmeta.EventTypeSet, Source: workloadmeta.SourceRuntime, Entity: e}}
}

func BenchmarkNotifyUnchanged(b *testing.B) {
	s := store.New(store.Options{})
	if err := s.Notify(set(benchContainer(1, 0))); err != nil {
		b.Fatal(err)
	}
	same := set(benchContainer(1, 0))
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Notify(same)
	}
}

func BenchmarkNotifyChanged(b *testing.B) {
	for _, subscribers := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			s := store.New(store.Options{})
			done := make(chan struct{})
			for range subscribers {
				sub := s.Subscribe("bench", nil)
				go func() {
					for range sub.Bundles(b.Context()) {
					}
					done <- struct{}{}
				}()
			}
			var events [2][1000][]workloadmeta.CollectorEvent
			for i := range 1000 {
				events[0][i], events[1][i] = set(benchContainer(i, 0)), set(benchContainer(i, 1))
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				_ = s.Notify(events[n/1000%2][n%1000])
				n++
			}
			b.StopTimer()
			s.Close()
			for range subscribers {
				<-done
			}
		})
	}
}
