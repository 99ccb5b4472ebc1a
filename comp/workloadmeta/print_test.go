package workloadmeta_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func ExampleContainer_String() {
	web := &workloadmeta.Container{
		EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "b1"},
		EntityMeta: workloadmeta.EntityMeta{Name: "web", Labels: map[string]string{"<a>": "b"}},
		State:      workloadmeta.ContainerState{Running: true},
	}
	fmt.Println(web)
	fmt.Println(web.EntityID)
	// Output:
	// container/b1 {"name":"web","labels":{"<a>":"b"},"state":{"running":true}}
	// container/b1
}

// The ID is embedded and has a String method of its own, which a new kind would inherit.
func TestEveryKindPrintsItsFields(t *testing.T) {
	for _, kind := range workloadmeta.Kinds() {
		id := workloadmeta.EntityID{Kind: kind, ID: `x"<1>`}
		e, err := workloadmeta.NewEntity(id)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(e); got != id.String() {
			t.Errorf("%s without fields is printed as %s", kind, got)
		}
		name := fill(t, reflect.ValueOf(e).Elem())
		for _, format := range []string{"%v", "%+v", "%s"} {
			got := fmt.Sprintf(format, e)
			if !strings.HasPrefix(got, id.String()+" {") || !strings.Contains(got, `"`+name+`":`) ||
				!strings.HasSuffix(got, "}") || strings.Contains(got, "\n") ||
				strings.Contains(got, `"kind":`) {
				t.Errorf("%s of %s with %s is %s", format, kind, name, got)
			}
		}
	}
	var none *workloadmeta.Container
	if got := fmt.Sprint(none, " ", &workloadmeta.Container{}); got != "<nil> kind(0)/" {
		t.Errorf("no container and one without an ID are printed as %q", got)
	}
}

// fill sets the first field of a simple type and returns its JSON name.
func fill(t *testing.T, v reflect.Value) string {
	t.Helper()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		switch f := v.Field(i); {
		case f.Type() == reflect.TypeFor[workloadmeta.EntityMeta]():
			return fill(t, f)
		case name == "":
		case f.Kind() == reflect.String:
			f.SetString("<x>")
			return name
		case f.CanInt():
			f.SetInt(7)
			return name
		case f.Kind() == reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			return name
		case f.Kind() == reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
			f.SetMapIndex(reflect.New(f.Type().Key()).Elem(), reflect.New(f.Type().Elem()).Elem())
			return name
		}
	}
	t.Fatalf("no simple field in %s", v.Type())
	return ""
}

func ExampleSet() {
	web := &workloadmeta.Container{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "b1"}}
	fmt.Println(workloadmeta.Set(web).Type, workloadmeta.Unset(web).Entity)
	events := workloadmeta.From(workloadmeta.SourceRuntime, workloadmeta.Set(web),
		workloadmeta.Unset(web))
	fmt.Println(events[0].Source, events[1].Source)
	// Output:
	// set container/b1
	// runtime runtime
}
