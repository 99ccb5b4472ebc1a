package extract_test

import (
	"fmt"

	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func Example() {
	options := extract.DefaultOptions()
	options.ContainerLabelsAsTags = map[string]string{"acme.io/*": "+%%label%%"}
	x, err := extract.New(options)
	if err != nil {
		fmt.Println(err)
		return
	}
	web := &workloadmeta.Container{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "3f0c"},
		EntityMeta: workloadmeta.EntityMeta{Name: "web",
			Labels: map[string]string{"acme.io/team": "core", "com.datadoghq.tags.env": "prod"}},
	}
	for _, info := range x.Extract(web, nil) {
		fmt.Println(info.Source, info.Entity)
		fmt.Println(" low ", info.LowCardTags)
		fmt.Println(" high", info.HighCardTags)
	}
	traced, _ := x.Explain(web, nil)
	for _, t := range traced {
		fmt.Printf("%s: %s, from %s\n", t.Tag, t.Rule, t.Field)
	}
	// Output:
	// workloadmeta-container container_id://3f0c
	//  low  [env:prod]
	//  high [acme.io/team:core container_id:3f0c container_name:web]
	// container_name:web: container name, from name
	// container_id:3f0c: container id, from id
	// env:prod: container label com.datadoghq.tags.env, from labels["com.datadoghq.tags.env"]
	// acme.io/team:core: container_labels_as_tags["acme.io/*"], from labels["acme.io/team"]
}
