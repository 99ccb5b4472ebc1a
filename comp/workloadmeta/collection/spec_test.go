package collection_test

import (
	"errors"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

type specOptions struct{ Host, Port string }

func TestASpecMakesItsCollector(t *testing.T) {
	idle := collection.Idle(workloadmeta.Description{ID: "a"}, workloadmeta.Problem{})
	var made specOptions
	var agent collection.Agent
	spec := collection.Spec[specOptions]{
		Description: workloadmeta.Description{ID: "a"},
		Make: func(o specOptions, deps collection.Deps) ([]workloadmeta.Collector, error) {
			made, agent = o, deps.Agent
			return collection.One(idle, nil)
		},
	}
	for agent, want := range map[collection.Agent]bool{
		collection.Node: true, collection.Cluster: false,
	} {
		if spec.BelongsTo(agent) != want {
			t.Errorf("without agents, it belongs to %v: %v", agent, !want)
		}
	}
	spec.Agents = []collection.Agent{collection.Cluster}
	if spec.BelongsTo(collection.Node) || !spec.BelongsTo(collection.Cluster) {
		t.Error("it does not belong to its agents only")
	}

	options := spec.Options()
	options.(*specOptions).Host = "here"
	spec.Normalize(options) // nothing depends on anything
	spec.Normalizing = func(o *specOptions) { o.Port = "80 of " + o.Host }
	spec.Normalize(options)
	spec.Normalize("other options") // which are not its business
	if got, err := spec.New(options, collection.Deps{}); err != nil || len(got) != 1 ||
		got[0] != idle || made != (specOptions{"here", "80 of here"}) {
		t.Errorf("made %v of %+v, %v", got, made, err)
	}
	if _, err := spec.New("other options", collection.Deps{}); err == nil {
		t.Error("options of another type are taken")
	}
	if agent != collection.Node {
		t.Errorf("it is made for an agent of type %q by default", agent)
	}
	if got, err := spec.New(options, collection.Deps{Agent: collection.Cluster}); err != nil ||
		len(got) != 1 || agent != collection.Cluster {
		t.Errorf("made for an agent of type %q, %v", agent, err)
	}
	broken := errors.New("broken")
	if got, err := collection.One(idle, broken); got != nil || !errors.Is(err, broken) {
		t.Errorf("One of an error: %v, %v", got, err)
	}
	if collection.Closed(nil) != nil || collection.Permanent(nil) != nil {
		t.Error("no error has become one")
	}
}

func TestASpecSaysWhatItAsksOfACluster(t *testing.T) {
	spec := collection.Spec[specOptions]{}
	if got, err := spec.AccessOf(spec.Options(), collection.Deps{}); got != nil || err != nil {
		t.Errorf("one that says nothing asks for %v", got)
	}
	spec.Access = func(o specOptions, deps collection.Deps) ([]collection.Access, error) {
		return []collection.Access{{Resource: o.Host, Verbs: []string{string(deps.Agent)}}}, nil
	}
	got, err := spec.AccessOf(&specOptions{Host: "pods"},
		collection.Deps{Agent: collection.Cluster})
	if err != nil || len(got) != 1 || got[0].Resource != "pods" || got[0].Verbs[0] != "cluster" {
		t.Errorf("it asks for %v", got)
	}
	if got, err := spec.AccessOf("other options", collection.Deps{}); got != nil || err != nil {
		t.Errorf("with options of another type it asks for %v", got)
	}
}
