package collection_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// The tests in this file use the real store.

func TestAnEndAndAStartWhenAProcessIDIsReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds := []workloadmeta.Kind{workloadmeta.KindProcess}
		real := store.New(store.Options{})
		defer real.Close()
		s, err := collection.New(
			collection.Options{Store: real, Collectors: []workloadmeta.Collector{
				&fakePuller{fake{id: "process", source: workloadmeta.SourceProcess, kinds: kinds},
					script(
						func(ctx context.Context, sink workloadmeta.Sink) error {
							sink.Set(process(7, 100), process(8, 100))
							return nil
						},
						func(ctx context.Context, sink workloadmeta.Sink) error {
							sink.Set(process(7, 200), process(8, 100))
							return nil
						})},
				&fakeStreamer{fake{id: "gpu", source: workloadmeta.SourceNVML, kinds: kinds},
					func(ctx context.Context, sink workloadmeta.Sink) error {
						old := process(7, 100)
						old.GPUs = []string{"gpu-0"}
						sink.Set(old)
						sink.Synced()
						<-ctx.Done()
						return nil
					}},
			}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		sub := real.Subscribe("test", nil)
		defer sub.Close()
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.Stop(context.Background())
		if err := real.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var seen []string
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		for bundle := range sub.Bundles(ctx) {
			for _, ev := range bundle.Events {
				p := ev.Entity.(*workloadmeta.Process)
				if time.Since(began) > time.Second { // the second pull
					seen = append(seen,
						fmt.Sprint(ev.Type, " ", p.PID, " since ", p.StartTicks, " on ", p.GPUs,
							" complete ", ev.Complete))
				}
			}
		}
		want := "[unset 7 since 100 on [gpu-0] complete true set 7 since 200 on [] complete false]"
		if got := fmt.Sprint(seen); got != want {
			t.Errorf("a subscriber saw\n     %s\nwant %s", got, want)
		}
	})
}

func TestModuleWithTheRealStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var component workloadmeta.Component
		app := fx.New(fx.NopLogger, store.Module, collection.Module,
			fx.Provide(collection.AsCollector(
				func() *fakeStreamer { return &fakeStreamer{fake{id: "docker"}, staying("a")} })),
			fx.Populate(&component))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := component.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := component.GetContainer("a"); err != nil {
			t.Error(err)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
