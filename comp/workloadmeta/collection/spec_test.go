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
	spec := collection.Spec[specOptions]{
		Description: workloadmeta.Description{ID: "a"},
		Make: func(o specOptions, _ collection.Deps) ([]workloadmeta.Collector, error) {
			made = o
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
	spec.Settle(options) // nothing depends on anything
	spec.Settling = func(o *specOptions) { o.Port = "80 of " + o.Host }
	spec.Settle(options)
	spec.Settle("other options") // which are not its business
	if got, err := spec.New(options, collection.Deps{}); err != nil || len(got) != 1 ||
		got[0] != idle || made != (specOptions{"here", "80 of here"}) {
		t.Errorf("made %v of %+v, %v", got, made, err)
	}
	if _, err := spec.New("other options", collection.Deps{}); err == nil {
		t.Error("options of another type are taken")
	}
	broken := errors.New("broken")
	if got, err := collection.One(idle, broken); got != nil || !errors.Is(err, broken) {
		t.Errorf("One of an error: %v, %v", got, err)
	}
	if collection.Closed(nil) != nil || collection.Permanent(nil) != nil {
		t.Error("no error has become one")
	}
}
