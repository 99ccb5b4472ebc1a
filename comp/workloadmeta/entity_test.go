package workloadmeta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
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
	if v.Kind() == reflect.Slice && v.Type() != reflect.TypeFor[json.RawMessage]() &&
		v.Len() > 0 && v.Index(0).Kind() == reflect.Struct {
		leaves(v.Index(0), path+"[0]", visit)
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
			got := Merge(views)
			kept := map[string]bool{}
			leaves(reflect.ValueOf(got), kind.String(), func(path string, field reflect.Value) {
				kept[path] = field.IsValid() && !field.IsZero()
			})
			leaves(reflect.ValueOf(want), kind.String(), func(path string, field reflect.Value) {
				if !field.IsZero() && !kept[path] {
					t.Errorf("merged loses %s, which %s alone has said", path, said)
				}
			})
			if !t.Failed() && !got.Equal(want) {
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

// What JSON has no word for comes back as it was, alone and beside others.
func TestJSONRoundTripOfWhatJSONCannotSay(t *testing.T) {
	evil := func(t reflect.Type) []any {
		switch t {
		case reflect.TypeFor[time.Time]():
			return []any{time.Date(10_000, 1, 1, 0, 0, 0, 1, time.UTC),
				time.Date(-5, 1, 1, 0, 0, 0, 999_999_999, time.UTC),
				time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 25*3600+7))}
		case reflect.TypeFor[json.RawMessage]():
			return []any{json.RawMessage(`{"cut": `), json.RawMessage(`"text"`),
				json.RawMessage(`{ "a" : 1 }`), json.RawMessage("\xff"), json.RawMessage("null")}
		case reflect.TypeFor[Kind]():
			return []any{Kind(0), Kind(200)}
		}
		switch t.Kind() {
		case reflect.String:
			return []any{"\xff", "\xfe", "a\x80b\xed\xa0\x80", "\u2028\ufffd\x00\x7f<&>\"\\\t\b",
				"\U0001f600",
				`\udcff`}
		case reflect.Float64:
			return []any{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 1e300, 5e-324}
		case reflect.Int64:
			return []any{int64(math.MinInt64), int64(math.MaxInt64)}
		case reflect.Uint64:
			return []any{uint64(math.MaxUint64)}
		}
		return nil
	}
	check := func(path string, e Entity) {
		t.Helper()
		data := AppendEntity(nil, e)
		if !json.Valid(data) {
			t.Fatalf("%s: no JSON: %s", path, data)
		}
		got, unknown, err := UnmarshalEntity(data)
		if err != nil || len(unknown) > 0 || !got.Equal(e) || !e.Equal(got) {
			t.Fatalf("%s: %s\nbecame %s, %q, %v", path, data, dump(got), unknown, err)
		}
		if again := AppendEntity(nil, got); !bytes.Equal(data, again) {
			t.Fatalf("%s: %s\nbecame %s", path, data, again)
		}
	}
	for _, kind := range Kinds() {
		e := full(t, kind, 6)
		leaves(reflect.ValueOf(e), kind.String(), func(path string, field reflect.Value) {
			if strings.HasSuffix(path, ".EntityID.Kind") {
				return // of the entity itself
			}
			saved := reflect.New(field.Type()).Elem()
			saved.Set(field)
			for _, value := range evil(field.Type()) {
				field.Set(reflect.ValueOf(value).Convert(field.Type()))
				check(path, e)
			}
			if field.Kind() == reflect.Pointer {
				for _, value := range evil(field.Type().Elem()) {
					field.Set(reflect.New(field.Type().Elem()))
					field.Elem().Set(reflect.ValueOf(value).Convert(field.Type().Elem()))
					check(path, e)
				}
			}
			if field.Kind() == reflect.Map {
				field.Set(reflect.MakeMap(field.Type()))
				for _, key := range evil(field.Type().Key()) {
					k := reflect.ValueOf(key).Convert(field.Type().Key())
					field.SetMapIndex(k, reflect.Zero(field.Type().Elem()))
					for _, value := range evil(field.Type().Elem()) {
						field.SetMapIndex(k, reflect.ValueOf(value).Convert(field.Type().Elem()))
					}
				}
				check(path, e)
			}
			field.Set(saved)
		})
	}
}

// Ten equal reports with a number that is none were ten changes.
func TestNaNIsEqualToNaN(t *testing.T) {
	nan := func() Entity {
		return &KubeletMetrics{EntityID: EntityID{KindKubeletMetrics, "m"},
			Metrics: map[string]float64{"q": math.NaN()}}
	}
	limit := func() Entity {
		n := math.NaN()
		return c(func(c *Container) { c.Resources.CPULimit = &n })
	}
	if !nan().Equal(nan()) || !limit().Equal(limit()) {
		t.Error("an entity with NaN is not equal to its like")
	}
}

func dump(e Entity) string {
	data, _ := json.Marshal(e)
	return string(data)
}
