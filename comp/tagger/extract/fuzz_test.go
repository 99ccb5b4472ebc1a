package extract

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func FuzzTagObject(f *testing.F) {
	f.Add(`{"team":"core","+req":["a",7,null,{"x":1}],"n":12345678,"b":true,"ip":"%%host%%"}`)
	f.Add(`{"a":1} {"b":2}`)
	f.Add(`{"+":"x","":"y"}`)
	x, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pod := &workloadmeta.KubernetesPod{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: "u"},
			EntityMeta: workloadmeta.EntityMeta{
				Annotations: map[string]string{podTagsAnnotation: text}},
		}
		traced, problems := x.Explain(pod, nil)
		if !json.Valid([]byte(text)) && !strings.Contains(text, "%%") &&
			(len(traced) > 0 || len(problems) == 0) {
			t.Fatalf("invalid JSON %q: tags %v, problems %v", text, traced, problems)
		}
		for _, tr := range traced {
			if name, value, ok := strings.Cut(tr.Tag, ":"); !ok || name == "" &&
				!strings.HasPrefix(tr.Tag, ":") || value == "" && !strings.Contains(text, ":") {
				t.Fatalf("%q: tag %q", text, tr.Tag)
			}
		}
	})
}

func FuzzTagList(f *testing.F) {
	f.Add(`["squad:core","tier:1","bad","a:b:c",":v","k:",5,null,["x:y"]]`)
	f.Add(`squad:core`)
	x, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := &workloadmeta.Container{
			EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c"},
			EntityMeta: workloadmeta.EntityMeta{Labels: map[string]string{labelTags: text}},
		}
		info := x.Extract(c, nil)[0]
		if len(info.LowCardTags)+len(info.OrchestratorCardTags) > 0 {
			t.Fatalf("%q: tags below high cardinality: %+v", text, info)
		}
		for _, tag := range info.HighCardTags {
			if strings.Count(tag, ":") != 1 {
				t.Fatalf("%q: tag %q", text, tag)
			}
		}
	})
}

func FuzzResourceAttributes(f *testing.F) {
	f.Add("service.name = checkout , service.version=2.4.1,novalue, deployment.environment= prod")
	f.Add("=,==,a=b=c")
	f.Fuzz(func(t *testing.T, list string) {
		pairs := 0
		resourceAttributes(list, func(key, value string) {
			pairs++
			if strings.Contains(key, "=") || strings.Contains(key+value, ",") ||
				key != strings.TrimSpace(key) || value != strings.TrimSpace(value) {
				t.Fatalf("%q: %q = %q", list, key, value)
			}
		})
		if pairs > strings.Count(list, "=") {
			t.Fatalf("%q: %d pairs", list, pairs)
		}
	})
}
