package containerd

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// With the modules alone, without any wiring of its own, an application has what the command line
// has: Docker's containers, too, as long as Docker itself cannot be reached.
func TestModulesAloneSeeDockersContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Setenv("CONTAINERD_ADDRESS", "")
		f := newFake(t)
		f.container("default", "web", "", nil)
		f.container("moby", "of-docker", "", nil)
		var entities workloadmeta.Component
		app := fx.New(fx.NopLogger, store.Module, collection.Module, docker.Module, Module,
			fx.Supply(docker.Options{Host: "unix:///nonexistent/docker.sock"},
				Options{Address: "/nowhere.sock", Dial: f.dial}, slog.New(slog.DiscardHandler)),
			fx.Populate(&entities))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = app.Stop(t.Context()) }()
		sub := entities.Subscribe("test", workloadmeta.NewFilter().Kind(workloadmeta.KindContainer))
		defer sub.Close()
		seen := map[string]bool{}
		for bundle := range sub.Bundles(t.Context()) { // the test's time limit ends it
			for _, ev := range bundle.Events {
				seen[ev.Entity.GetID().ID] = true
			}
			if seen["web"] && seen["of-docker"] {
				return
			}
		}
	})
}
