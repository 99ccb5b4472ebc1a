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
			EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: "u"},
			EntityMeta: workloadmeta.EntityMeta{Annotations: map[string]string{podTagsAnnotation: text}},
		}
		traced, problems := x.Explain(pod, nil)
		if !json.Valid([]byte(text)) && !strings.Contains(text, variableMark) && (len(traced) > 0 || len(problems) == 0) {
			t.Fatalf("invalid JSON %q: tags %v, problems %v", text, traced, problems)
		}
		for _, tr := range traced {
			if name, value, ok := strings.Cut(tr.Tag, ":"); !ok || name == "" && !strings.HasPrefix(tr.Tag, ":") || value == "" && !strings.Contains(text, ":") {
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

func FuzzExpand(f *testing.F) {
	f.Add("p_%%label%%_s", "tier")
	f.Add("%%% a_b %%%%", "x")
	f.Add("100%%", "k")
	f.Fuzz(func(t *testing.T, text, key string) {
		out, ok := expand(text, func(_, _ string) (string, bool) { return key, true })
		if !ok {
			t.Fatalf("expand(%q) failed though every variable is known", text)
		}
		if _, _, _, found := nextVariable(text, 0); !found && out != text {
			t.Fatalf("expand(%q) = %q without a variable", text, out)
		}
		if start, end, inner, found := nextVariable(text, 0); found {
			if text[start:end] != variableMark+inner+variableMark || inner == "" {
				t.Fatalf("nextVariable(%q) = %d, %d, %q", text, start, end, inner)
			}
			if part, ok := expand(text, func(_, _ string) (string, bool) { return "", false }); ok || part != text[start:end] {
				t.Fatalf("expand(%q) with unknown variables = %q, %v; want %q", text, part, ok, text[start:end])
			}
		}
		for _, name := range compileNames(text) {
			name.resolve(key)
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
			if strings.Contains(key, "=") || strings.Contains(key+value, ",") || key != strings.TrimSpace(key) || value != strings.TrimSpace(value) {
				t.Fatalf("%q: %q = %q", list, key, value)
			}
		})
		if pairs > strings.Count(list, "=") {
			t.Fatalf("%q: %d pairs", list, pairs)
		}
	})
}
