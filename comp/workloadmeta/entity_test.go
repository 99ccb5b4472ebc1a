package workloadmeta

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// randomValue returns a value of the type with nothing zero in it.
func randomValue(t reflect.Type, rng *rand.Rand) reflect.Value {
	v := reflect.New(t).Elem()
	switch {
	case t == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000+rng.Int64N(1e6), 0).UTC()))
		return v
	case t == reflect.TypeFor[json.RawMessage]():
		v.Set(reflect.ValueOf(json.RawMessage(fmt.Sprintf(`{"a":%d}`, rng.Int64()))))
		return v
	case t == reflect.TypeFor[Kind]():
		v.Set(reflect.ValueOf(Kind(1 + rng.IntN(NumKinds-1))))
		return v
	}
	switch t.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("s%d", rng.Int64()))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1 + rng.Int64N(1<<30))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + rng.Uint64N(200))
	case reflect.Float64:
		v.SetFloat(1 + rng.Float64())
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(randomValue(t.Elem(), rng))
	case reflect.Slice:
		v.Set(reflect.Append(v, randomValue(t.Elem(), rng)))
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).Set(randomValue(t.Elem(), rng))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(randomValue(t.Key(), rng), randomValue(t.Elem(), rng))
	case reflect.Struct:
		for i := range t.NumField() {
			v.Field(i).Set(randomValue(t.Field(i).Type, rng))
		}
	default:
		panic("randomValue: " + t.String())
	}
	return v
}

// leaves calls visit for every field, nested ones included, with its path.
func leaves(v reflect.Value, path string, visit func(path string, field reflect.Value)) {
	if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]() {
		for i := range v.NumField() {
			leaves(v.Field(i), path+"."+v.Type().Field(i).Name, visit)
		}
		return
	}
	if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct &&
		v.Type().Elem() != reflect.TypeFor[time.Time]() {
		leaves(v.Elem(), path, visit)
		return
	}
	visit(path, v)
}

func full(t *testing.T, kind Kind, seed uint64) Entity {
	t.Helper()
	id := EntityID{kind, "x"}
	e, err := NewEntity(id)
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(e).Elem()
	v.Set(randomValue(v.Type(), rand.New(rand.NewPCG(seed, 1))))
	v.FieldByName("EntityID").Set(reflect.ValueOf(id))
	return e
}

// A field that is added to a kind and forgotten in Equal would hide changes.
func TestEqualSeesEveryField(t *testing.T) {
	for _, kind := range Kinds() {
		a, b := full(t, kind, 1), full(t, kind, 1)
		if !a.Equal(b) {
			t.Errorf("%s: two entities with the same content are not equal", kind)
		}
		leaves(reflect.ValueOf(b), kind.String(), func(path string, field reflect.Value) {
			saved := reflect.New(field.Type()).Elem()
			saved.Set(field)
			field.SetZero()
			if a.Equal(b) || b.Equal(a) {
				t.Errorf("Equal does not look at %s", path)
			}
			field.Set(saved)
		})
	}
}

// A field that is added to a kind and forgotten in merged would be lost as soon as a
// second source reports the entity.
func TestMergeKeepsEveryField(t *testing.T) {
	for _, kind := range Kinds() {
		for _, said := range []Source{SourceRuntime, SourceClusterOrchestrator} {
			want := full(t, kind, 2)
			silent, _ := NewEntity(want.GetID())
			other := SourceNodeOrchestrator
			views := []Report{by(said, want), by(other, silent)}
			if CompareSources(said, other) > 0 {
				views[0], views[1] = views[1], views[0]
			}
			if got := Merge(views); !got.Equal(want) {
				t.Errorf("%s said by %s alone: merged %s\nwant %s", kind, said, dump(got),
					dump(want))
			}
		}
	}
}

func TestMergeWritesToNoView(t *testing.T) {
	for _, kind := range Kinds() {
		a, b := full(t, kind, 3), full(t, kind, 4)
		Merge([]Report{by(SourceNodeOrchestrator, a), by(SourceRuntime, b)})
		Finalize(a, b)
		if !a.Equal(full(t, kind, 3)) || !b.Equal(full(t, kind, 4)) {
			t.Errorf("%s: merging changed a view", kind)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for _, kind := range Kinds() {
		want := full(t, kind, 5)
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, unknown, err := UnmarshalEntity(data)
		if err != nil || len(unknown) > 0 || !got.Equal(want) {
			t.Errorf("%s: UnmarshalEntity(%s) = %s, %v, %v", kind, data, dump(got), unknown, err)
		}
	}
}

func dump(e Entity) string {
	data, _ := json.Marshal(e)
	return string(data)
}
