package local_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Rules for a container may look at its pod. When that comes later, or changes, the
// container's own tags change with it.
func TestContainersFollowWhatRulesAskOfTheirPod(t *testing.T) {
	opts := local.DefaultOptions()
	opts.Extract.Rules = []rules.Rule{{
		Name: "rules[1]", Where: "x.yaml:1", Action: rules.Rename, Renames: []rules.Renaming{
			{Name: "container_name", To: "renamed"}},
		When: []rules.Condition{{Field: rules.Label, Key: "team", Patterns: []string{"blue"}}},
	}}
	w := newWorld(t, opts, true)
	w.notify(sets(runtime, container("c1", ofP1)))
	w.lacks("without pod", c1, "renamed")

	blue := pod("p1", "c1")
	blue.Labels = map[string]string{"team": "blue"}
	w.notify(sets(kubelet, blue))
	w.has("in a blue pod", c1, tagger.Complete, "renamed:name-of-c1")
	x := w.tagger.Explain(c1)
	found := false
	for _, tag := range x.Tags {
		if tag.Tag == "renamed:name-of-c1" {
			found = tag.Before == "container_name:name-of-c1" &&
				tag.RenamedBy == "rules[1] (x.yaml:1)"
		}
	}
	if !found {
		t.Errorf("Explain() = %+v, want the renaming", x.Tags)
	}

	w.notify(sets(kubelet, pod("p1", "c1")))
	w.lacks("in a pod that is blue no more", c1, "renamed")
	w.has("in a pod that is blue no more", c1, tagger.Complete, "container_name:name-of-c1")
}

func TestExplainTellsOfDroppedTagsAndExclusion(t *testing.T) {
	opts := local.DefaultOptions()
	opts.Extract.Rules = []rules.Rule{
		{Name: "rules[1]", Where: "x.yaml:1", Action: rules.Drop, Names: []string{"container_id"}},
		{Name: "rules[2]", Where: "x.yaml:2", Action: rules.Exclude, When: []rules.Condition{{Field: rules.Name, Patterns: []string{"name-of-c1"}}}},
		{Name: "rules[3]", Where: "x.yaml:3", Action: rules.Cardinality,
			Levels: []rules.Leveling{{Name: "container_name", To: tagger.LowCardinality}}},
	}
	w := newWorld(t, opts, true)
	w.notify(sets(runtime, container("c1", noOne)), sets(runtime, container("c2", noOne)))
	w.lacks("dropped", c1, "container_id")
	x := w.tagger.Explain(c1)
	if len(x.Dropped) != 1 || x.Dropped[0].Tag != "container_id:c1" ||
		x.Dropped[0].DroppedBy != "rules[1] (x.yaml:1)" || x.Dropped[0].Rule != "container id" {
		t.Errorf("Dropped = %+v", x.Dropped)
	}
	if len(x.Tags) != 1 || x.Tags[0].Cardinality != "low" || x.Tags[0].RenamedBy != "" ||
		x.Tags[0].CardinalityBy != "rules[3] (x.yaml:3)" {
		t.Errorf("Tags = %+v", x.Tags)
	}
	if x.Selection == nil || !x.Selection.Excluded || x.Selection.Rule != "rules[2] (x.yaml:2)" {
		t.Errorf("Selection = %+v", x.Selection)
	}
	if s := w.tagger.Explain(c2).Selection; s == nil || s.Excluded || s.Rule != "" {
		t.Errorf("Selection of what is not excluded = %+v", s)
	}
	// Excluded containers are for the store and the tagger like any other.
	w.has("excluded", c1, tagger.Complete, "container_name:name-of-c1")
	filter := wm.NewFilter().Kind(wm.KindContainer, w.tagger.Rules().Predicate(rules.Everything))
	if filter.Accepts(container("c1", noOne)) || !filter.Accepts(container("c2", noOne)) {
		t.Error("the predicate does not follow the rules")
	}
}

// Where nobody has written rules, a selection is told of those whom built-in rules leave out.
func TestExplainTellsOfBuiltInExclusion(t *testing.T) {
	opts := local.DefaultOptions()
	opts.Extract.Rules = append(rules.PodAnnotations(), rules.Pause()...)
	w := newWorld(t, opts, true)
	pause, quiet := container("pause", noOne), container("quiet", ofP1)
	pause.Labels = map[string]string{"io.cri-containerd.kind": "sandbox"}
	p := pod("p1", "quiet")
	p.Annotations = map[string]string{"ad.datadoghq.com/metrics_exclude": "true",
		"ad.datadoghq.com/logs_exclude": "true"}
	w.notify(sets(runtime, pause), sets(runtime, quiet), sets(runtime, container("c1", noOne)),
		sets(kubelet, p))
	for id, want := range map[string]*tagger.Selection{
		"c1":    nil,
		"pause": {Excluded: true, Rule: "pause containers (built in, exclude_pause_container)"},
		"quiet": {ExcludedFrom: map[string]string{"metrics": "pod annotation (built in)",
			"logs": "pod annotation (built in)"}},
	} {
		if got := w.tagger.Explain(tagger.Container(id)).Selection; !reflect.DeepEqual(got, want) {
			t.Errorf("selection of %s is %+v, want %+v", id, got, want)
		}
	}
	if s := w.tagger.Explain(p1).Selection; s != nil {
		t.Errorf("selection of a pod is %+v", s)
	}
}

func TestBadRulesAreAnErrorAtTheStart(t *testing.T) {
	opts := local.DefaultOptions()
	opts.Extract.Rules = []rules.Rule{{Name: "rules[1]", Where: "x.yaml:7", Action: rules.Drop}}
	if _, err := local.New(newWorld(t, local.DefaultOptions(), false).store, opts); err == nil ||
		!strings.Contains(err.Error(), "rules[1] (x.yaml:7): drop: no name") {
		t.Errorf("New() error = %v", err)
	}
}
