package podman

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"pgregory.net/rapid"
)

func image(id string, tags ...string) *workloadmeta.ContainerImageMetadata {
	names := mapping.NewImageNames(id, tags, nil)
	return names.NewImage()
}

func set(e workloadmeta.Entity) workloadmeta.CollectorEvent {
	return workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Entity: e}
}

func unset(e workloadmeta.Entity) workloadmeta.CollectorEvent {
	return workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeUnset, Entity: e}
}

func TestImageOfSeveralUsers(t *testing.T) {
	u := newUnion(workloadmeta.SourceRuntime)
	a, b := &view{rank: 0}, &view{rank: 1}
	var last string
	tell := func(events []workloadmeta.CollectorEvent) {
		for _, e := range events {
			last = e.Type.String() +
				fmt.Sprint(e.Entity.(*workloadmeta.ContainerImageMetadata).RepoTags)
			if e.Source != workloadmeta.SourceRuntime {
				t.Errorf("source %q", e.Source)
			}
		}
	}
	for _, step := range []struct {
		view  *view
		event workloadmeta.CollectorEvent
		want  string
	}{
		{a, set(image(imageA, "localhost/app:1")), "set[localhost/app:1]"},
		{b, set(image(imageA, "localhost/mine:1", "localhost/app:1")), "set[localhost/app:1 localhost/mine:1]"},
		{a, set(image(imageA)), "set[localhost/app:1 localhost/mine:1]"},
		{b, unset(image(imageA)), "set[]"},
		{b, unset(image(imageA)), ""}, // it has withdrawn it already
		{b, set(image(imageA, "localhost/mine:2")), "set[localhost/mine:2]"},
		{a, unset(image(imageA)), "set[localhost/mine:2]"},
		{b, unset(image(imageA)), "unset[]"},
	} {
		last = ""
		tell(u.apply(step.view, []workloadmeta.CollectorEvent{step.event}))
		if last != step.want {
			t.Errorf("told %q, want %q", last, step.want)
		}
	}
	if len(u.held) != 0 || a.size+b.size != 0 {
		t.Errorf("%v is left, %d and %d", u.held, a.size, b.size)
	}
}

// The last word on a container is what its end reveals.
func TestEndOfAContainerIsPassedOn(t *testing.T) {
	u, v := newUnion(workloadmeta.SourceRuntime), &view{}
	c := mapping.NewContainer("c1", workloadmeta.RuntimePodman)
	u.apply(v, []workloadmeta.CollectorEvent{set(c)})
	code := int64(7)
	ended := *c
	ended.State.ExitCode = &code
	got := u.apply(v, []workloadmeta.CollectorEvent{unset(&ended)})
	if len(got) != 1 || got[0].Type != workloadmeta.EventTypeUnset ||
		collectortest.ExitOf(got[0].Entity.(*workloadmeta.Container)) != "7" {
		t.Errorf("told %+v", got)
	}
}

// Whatever services report, come and go: what is told adds up to what they hold together.
func TestUnionIsWhatTheViewsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := newUnion(workloadmeta.SourceRuntime)
		views := []*view{{rank: 0}, {rank: 1}, {rank: 2}}
		model := map[*view]map[string]bool{}
		for _, v := range views {
			model[v] = map[string]bool{}
		}
		told := map[string]bool{}
		tell := func(events []workloadmeta.CollectorEvent) {
			for _, e := range events {
				if id := e.Entity.GetID().ID; e.Type == workloadmeta.EventTypeSet {
					told[id] = true
				} else {
					if !told[id] {
						t.Fatalf("%s is withdrawn and was never there", id)
					}
					delete(told, id)
				}
			}
		}
		fresh := map[*view]map[string]bool{} // reported since begin
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			v := rapid.SampledFrom(views).Draw(t, "view")
			id := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1, 2:
				tell(u.apply(v,
					[]workloadmeta.CollectorEvent{set(image(id, "localhost/"+id+":1"))}))
				model[v][id] = true
				if fresh[v] != nil {
					fresh[v][id] = true
				}
			case 3:
				tell(u.apply(v, []workloadmeta.CollectorEvent{unset(image(id))}))
				delete(model[v], id)
				delete(fresh[v], id)
			case 4:
				u.begin(v)
				fresh[v] = map[string]bool{}
			case 5:
				if fresh[v] != nil {
					tell(u.synced(v))
					model[v], fresh[v] = fresh[v], nil
				}
			}
			want := map[string]bool{}
			for _, v := range views {
				maps.Copy(want, model[v])
				if v.size != len(model[v]) {
					t.Fatalf("view %d has %d entities, want %v", v.rank, v.size, model[v])
				}
			}
			if !maps.Equal(told, want) {
				t.Fatalf("told %v, want %v", slices.Sorted(maps.Keys(told)),
					slices.Sorted(maps.Keys(want)))
			}
		}
	})
}

func TestAgainIsWhatThisRunHasNotHeardOf(t *testing.T) {
	u := newUnion(workloadmeta.SourceRuntime)
	a, b := &view{rank: 0, stale: true}, &view{rank: 1}
	u.apply(a, []workloadmeta.CollectorEvent{set(image("a")),
		set(image("both", "localhost/one:1"))})
	u.apply(b, []workloadmeta.CollectorEvent{set(image("b")),
		set(image("both", "localhost/two:1"))})
	got := map[string]int{}
	for _, e := range u.again() {
		i := e.Entity.(*workloadmeta.ContainerImageMetadata)
		got[i.ID] = len(i.RepoTags)
	}
	if !maps.Equal(got, map[string]int{"a": 0, "both": 2}) {
		t.Errorf("again = %v", got)
	}
}
