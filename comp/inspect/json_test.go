package inspect_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The JSON of requests and answers is a contract: what is written is read as the same, whatever
// fields are set, and no name of a field changes unless testdata/fields.txt changes with it.
func TestJSONIsAContract(t *testing.T) {
	var names []string
	for _, v := range []any{
		&inspect.ListRequest{}, &inspect.GetRequest{}, &inspect.TagsRequest{},
		&inspect.ExplainRequest{}, &inspect.WatchRequest{}, &inspect.RecordRequest{},
		&inspect.FirstAnswersRequest{},
		&inspect.List{}, &inspect.Entity{}, &inspect.Tagged{}, &inspect.Explanation{},
		&inspect.Status{}, &inspect.RulesDiff{}, &inspect.Change{}, &inspect.FirstAnswer{},
	} {
		value := reflect.ValueOf(v)
		name := value.Elem().Type().Name()
		t.Run(name, func(t *testing.T) {
			fill(value.Elem(), nil)
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			read := reflect.New(value.Elem().Type())
			if err := json.Unmarshal(data, read.Interface()); err != nil {
				t.Fatalf("%v of %s", err, data)
			}
			if diff := cmp.Diff(v, read.Interface(), cmpopts.EquateEmpty(),
				cmpopts.IgnoreUnexported(workloadmeta.Report{})); diff != "" {
				t.Errorf("differs when it is read again (-written +read):\n%s", diff)
			}
			var tree any
			if err := json.Unmarshal(data, &tree); err != nil {
				t.Fatal(err)
			}
			names = append(names, paths(name, tree)...)
		})
	}
	got := strings.Join(names, "\n") + "\n"
	path := filepath.Join("testdata", "fields.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -update makes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf(
			"other programs read these names; if the change is meant, go test -update (-want +got):\n%s",
			diff)
	}
}

// fill sets all that JSON shows of a value, which lies in values of the types above.
func fill(v reflect.Value, above []reflect.Type) {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)))
		return
	case reflect.TypeFor[workloadmeta.Entity](): // its fields are tested with their package
		v.Set(reflect.ValueOf(&workloadmeta.Container{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "a"}}))
		return
	}
	if slices.Contains(above, v.Type()) {
		return
	}
	above = append(above, v.Type())
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), above)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				fill(v.Field(i), above)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), above)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), above)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, above)
		fill(value, above)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("a")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	default:
		panic(fmt.Sprintf("a field of type %s", v.Type()))
	}
}

// paths returns the names in a JSON value, with what stands there.
func paths(at string, v any) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = append(out, paths(at+"."+name, v[name])...)
		}
	case []any:
		for _, item := range v {
			out = append(out, paths(at+"[]", item)...)
		}
	default:
		out = []string{fmt.Sprintf("%s %T", at, v)}
	}
	return out
}
