package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// reporters returns who says what of an entity, the strongest first.
func (e *engine) reporters(id tagger.EntityID) []workloadmeta.Report {
	workload, ok := workloadOf(id)
	if !ok {
		return nil
	}
	reports, _ := e.store.Reports(workload) // none if it is not there
	return reports
}

// workloadOf returns the workload that a tagger entity stands for.
func workloadOf(id tagger.EntityID) (workloadmeta.EntityID, bool) {
	for _, kind := range workloadmeta.Kinds() {
		workload := workloadmeta.EntityID{Kind: kind, ID: id.ID()}
		if extract.TaggerID(workload) == id && id != "" {
			return workload, true
		}
	}
	return workloadmeta.EntityID{}, false
}

// printReporters says who reports an entity, and of which fields who said what.
func (e *engine) printReporters(id tagger.EntityID, reports []workloadmeta.Report) error {
	if len(reports) == 0 {
		return nil
	}
	names := make([]string, len(reports))
	for i, r := range reports {
		names[i] = r.Name
	}
	if _, err := fmt.Fprintf(e.app.out, "\nreported by %s\n",
		clean(strings.Join(names, ", "))); err != nil || len(reports) == 1 {
		return err
	}
	workload, _ := workloadOf(id)
	entity, err := e.store.Get(workload)
	if err != nil {
		return nil // it has gone meanwhile
	}
	agreed, t, err := whoSaidWhat(entity, reports)
	if err != nil {
		return fmt.Errorf("who says what of %s: %w", workload, err)
	}
	if len(agreed) > 0 {
		if _, err := fmt.Fprintf(e.app.out, "all agree on %s\n",
			clean(strings.Join(agreed, ", "))); err != nil {
			return err
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(e.app.out); err != nil {
		return err
	}
	return e.app.printTable(t)
}

// whoSaidWhat compares an entity with the reports it is made of, field by field.
func whoSaidWhat(entity workloadmeta.Entity, reports []workloadmeta.Report) (agreed []string,
	t *table, err error) {
	merged, err := fieldsOf(entity)
	if err != nil {
		return nil, nil, err
	}
	said := make([]map[string]string, len(reports))
	for i, r := range reports {
		fields, err := fieldsOf(r.Entity)
		if err != nil {
			return nil, nil, err
		}
		said[i] = map[string]string{}
		for _, f := range fields {
			said[i][f.name] = f.value
		}
	}
	t = &table{titles: []string{"FIELD", "VALUE", "SAID BY", "OTHERS SAY"},
		fixed: []bool{true, false, true, false}}
	for _, f := range merged {
		var by, others []string
		for i, r := range reports {
			switch value, ok := said[i][f.name]; {
			case !ok:
			case value == f.value:
				by = append(by, r.Name)
			default:
				others = append(others, r.Name+": "+value)
			}
		}
		if len(by) == len(reports) {
			agreed = append(agreed, f.name)
			continue
		}
		if len(by) == 0 {
			by = []string{"together"} // made of what several say
		}
		t.rows = append(t.rows,
			[]string{f.name, f.value, strings.Join(by, ", "), strings.Join(others, "; ")})
	}
	return agreed, t, nil
}

func fieldsOf(entity workloadmeta.Entity) ([]field, error) {
	data, err := encode(entity, false)
	if err != nil {
		return nil, err
	}
	fields, err := flatten(data)
	return slices.DeleteFunc(fields,
		func(f field) bool { return f.name == "kind" || f.name == "id" }), err
}
