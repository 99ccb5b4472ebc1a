package rules_test

import (
	"fmt"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// A log tailer sees the containers whose logs count, and can say why it does not see another.
func Example() {
	set, err := rules.Compile([]rules.Rule{
		{
			Name: "no sidecars", Where: "tailer.go", Action: rules.Exclude, Purpose: rules.Logs,
			When: []rules.Condition{{Field: rules.Image, Patterns: []string{"*/sidecar*"}}},
		},
		{
			Name: "but ours", Where: "tailer.go", Action: rules.Include, Purpose: rules.Logs,
			When: []rules.Condition{{Field: rules.Label, Key: "team", Patterns: []string{"blue"}}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	filter := workloadmeta.NewFilter().Kind(workloadmeta.KindContainer, set.Predicate(rules.Logs))
	for _, team := range []string{"red", "blue"} {
		c := &workloadmeta.Container{
			EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c1"},
			EntityMeta: workloadmeta.EntityMeta{Labels: map[string]string{"team": team}},
			Image:      workloadmeta.ContainerImage{Name: "acme/sidecar-proxy"},
		}
		decision := set.Why(c, nil, rules.Logs)
		fmt.Println(team, filter.Accepts(c), decision.Excluded, decision.Rule.Label())
	}
	// Output:
	// red false true no sidecars (tailer.go)
	// blue true false but ours (tailer.go)
}
