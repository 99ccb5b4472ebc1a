package local

import (
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// What the tagger notes about containers and their parents must go with them, in
// whichever order they end, or a node that lives long runs out of memory.
func TestTheFollowerForgets(t *testing.T) {
	pod := workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: "p"}
	task := workloadmeta.EntityID{Kind: workloadmeta.KindECSTask, ID: "t"}
	inPod := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c1"}
	inTask := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c2"}
	for name, ends := range map[string][]workloadmeta.EntityID{
		"parents first":    {pod, task, inPod, inTask},
		"containers first": {inPod, inTask, pod, task},
	} {
		t.Run(name, func(t *testing.T) {
			entities := store.New(store.Options{})
			defer entities.Close()
			tg, err := New(entities, Options{SelfContainerID: "none"})
			if err != nil {
				t.Fatal(err)
			}
			f := &tg.follower
			apply := func(typ workloadmeta.EventType, e workloadmeta.Entity) {
				t.Helper()
				if err := entities.Push(workloadmeta.SourceRuntime,
					workloadmeta.CollectorEvent{Type: typ, Entity: e}); err != nil {
					t.Fatal(err)
				}
				f.infos([]workloadmeta.Event{{Type: typ, Entity: e, Complete: true}})
			}
			for _, e := range []workloadmeta.Entity{
				&workloadmeta.Container{EntityID: inPod}, &workloadmeta.Container{EntityID: inTask},
				&workloadmeta.KubernetesPod{
					EntityID: pod, EntityMeta: workloadmeta.EntityMeta{Name: "cart-0"},
					Containers: []workloadmeta.OrchestratorContainer{{ID: "c1", Name: "web"}},
				},
				&workloadmeta.ECSTask{
					EntityID: task, Family: "mail", ClusterName: "shop",
					LaunchType: workloadmeta.ECSLaunchTypeFargate,
					Containers: []workloadmeta.OrchestratorContainer{{ID: "c2", Name: "web"}},
				},
			} {
				apply(workloadmeta.EventTypeSet, e)
			}
			if len(f.children) != 2 || len(f.parentOf) != 2 || len(f.global) != 1 ||
				len(f.complete) != 4 {
				t.Fatalf("notes while all live: children %v, parents %v, global %v, complete %v",
					f.children, f.parentOf, f.global, f.complete)
			}
			for _, id := range ends {
				e, err := entities.Get(id)
				if err != nil {
					t.Fatal(err)
				}
				apply(workloadmeta.EventTypeUnset, e)
			}
			if n := len(f.children) + len(f.parentOf) + len(f.orphans) + len(f.global) +
				len(f.complete); n != 0 {
				t.Errorf(
					"%d notes are left: children %v, parents %v, orphans %v, global %v, complete %v",
					n, f.children, f.parentOf, f.orphans, f.global, f.complete)
			}
		})
	}
}
