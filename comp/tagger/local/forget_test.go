package local

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// What the tagger notes about entities and who asked for whom must go with them, in
// whichever order they end, or a node that lives long runs out of memory.
func TestTheGraphForgets(t *testing.T) {
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
			defer func() { _ = tg.Stop(t.Context()) }()
			f := tg.graph
			apply := func(typ workloadmeta.EventType, e workloadmeta.Entity) {
				f.apply([]workloadmeta.Event{{Type: typ, Entity: e, Complete: true}})
			}
			f.extractPending()
			before := len(f.topics) // what is asked about everything
			all := map[workloadmeta.EntityID]workloadmeta.Entity{}
			for _, e := range []workloadmeta.Entity{
				&workloadmeta.Container{EntityID: inPod, Owner: &pod},
				&workloadmeta.Container{EntityID: inTask},
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
				all[e.GetID()] = e
			}
			if len(f.nodes) != 4 || len(f.topics) <= before {
				t.Fatalf("notes while all live: %v, %v", f.nodes, f.topics)
			}
			for _, id := range ends {
				apply(workloadmeta.EventTypeUnset, all[id])
			}
			if len(f.nodes) != 0 || len(f.topics) != before || len(f.dirty) != 0 ||
				len(f.leaving) != 0 || len(f.out) != 0 {
				t.Errorf("left: nodes %v, topics %v, %d to do", f.nodes, f.topics,
					len(f.dirty)+len(f.leaving)+len(f.out))
			}
		})
	}
}

// Tags that the tag store refuses are told by the log, once.
func TestLostTagsAreTold(t *testing.T) {
	var log bytes.Buffer
	entities := store.New(store.Options{})
	defer entities.Close()
	tg, err := New(entities, Options{SelfContainerID: "none",
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	tg.update(func(*graph) { tg.process([]tagger.TagInfo{{Source: "of nothing"}}) })
	tg.update((*graph).extractPending)
	if n := strings.Count(log.String(), "some tags are lost"); n != 1 {
		t.Errorf("the log tells of them %d times:\n%s", n, &log)
	}
}

// A large bundle leaves no large buffers behind, and does not keep the tag store busy at once.
func TestALargeBundleIsHandledInPieces(t *testing.T) {
	entities := store.New(store.Options{})
	defer entities.Close()
	tg, err := New(entities, Options{SelfContainerID: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tg.Stop(t.Context()) }()
	f := tg.graph
	most, pieces := 0, 0
	f.emit = func(infos []tagger.TagInfo) { most, pieces = max(most, len(infos)), pieces+1 }
	events := make([]workloadmeta.Event, 10*maxOut)
	for i := range events {
		events[i] = workloadmeta.Event{Type: workloadmeta.EventTypeSet, Complete: true,
			Entity: &workloadmeta.Container{EntityID: workloadmeta.EntityID{
				Kind: workloadmeta.KindContainer, ID: fmt.Sprint(i)}}}
	}
	for _, typ := range []workloadmeta.EventType{workloadmeta.EventTypeSet,
		workloadmeta.EventTypeUnset} {
		for i := range events {
			events[i].Type = typ
		}
		f.apply(events)
		if pieces > len(events)/maxOut+1 {
			t.Errorf("%d infos come in %d pieces", len(events), pieces)
		}
		pieces = 0
		f.extractPending()
		if pieces > 0 {
			t.Error("without any news the same is given out again")
		}
	}
	if most > 2*maxOut || cap(f.out) > 2*maxOut || cap(f.dirty) > 2*maxOut ||
		cap(f.leaving) > 2*maxOut {
		t.Errorf("%d infos at once; buffers for %d infos, %d and %d entities are kept", most,
			cap(f.out), cap(f.dirty), cap(f.leaving))
	}
}
