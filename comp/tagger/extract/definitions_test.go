package extract

import (
	"strings"
	"testing"
)

func TestDefinitionsAreWhole(t *testing.T) {
	for r, d := range definitions {
		if d.Name == "" || len(d.Kinds) == 0 || d.Field == "" || d.Doc == "" {
			t.Errorf("rule %d: incomplete definition %+v", r, d)
		}
		if d.Standard &&
			(d.Cardinality != low || d.Name != "env" && d.Name != "service" &&
				d.Name != "version") {
			t.Errorf("%s from %s cannot be a standard tag", d.Name, d.Field)
		}
		if strings.Count(d.Field, "<") > 1 {
			t.Errorf("%s: field %s has several variable parts", d.Name, d.Field)
		}
	}
	all := Definitions()
	all[0].Kinds[0] = 99
	if definitions[0].Kinds[0] == 99 {
		t.Error("Definitions shares its lists")
	}
}

// TestTablesAgree: a key that is looked up is the one its definition shows.
func TestTablesAgree(t *testing.T) {
	for _, table := range []struct {
		form  string // of the field, "*" for the key
		rules []keyRule
	}{
		{`labels["*"]`, containerLabels[:]},
		{`labels["*"]`, provisionalLabels[:]},
		{`env["*"]`, standardEnv[:]},
		{`env["*"]`, containerEnv[:]},
		{`env["OTEL_RESOURCE_ATTRIBUTES"].*`, otelAttributes[:]},
		{`labels["*"]`, podLabels[:]},
		{`annotations["*"]`, podAnnotations[:]},
		{`labels["tags.datadoghq.com/<container>.*"]`, scopedLabels[:]},
	} {
		for _, kr := range table.rules {
			if want := strings.Replace(table.form, "*", kr.key,
				1); definitions[kr.rule].Field != want {
				t.Errorf("%s is made from %s, its definition says %s", definitions[kr.rule].Name,
					want, definitions[kr.rule].Field)
			}
		}
	}
}
