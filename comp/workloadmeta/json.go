package workloadmeta

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Entities are encoded as one flat JSON object with "kind", "id" and the snake_case names of
// their fields; what is zero or empty is left out. This form is the same on the command line,
// in recordings and over the wire. Every entity has one, and it comes back as it was, also
// where JSON has no word for a value:
//
//   - numbers that are none are the texts "NaN", "Infinity" and "-Infinity", as in protobuf;
//   - times before the year 0 or after 9999 are texts "@<seconds since 1970>.<nanoseconds>";
//   - bytes that are not UTF-8 are the escapes \udc80 to \udcff, as in Python's surrogateescape;
//   - a document that is embedded as it is, and is no JSON, is a text.
//
// One walk over the fields of the types does it for all kinds, so that a new field needs
// nothing here.

// AppendEntity appends the JSON form of an entity to buf.
func AppendEntity(buf []byte, e Entity) []byte {
	return appendValue(buf, reflect.ValueOf(e).Elem())
}

// UnmarshalEntity decodes that form. Errors name the field. Fields it does not know
// are skipped and returned, sorted, so that a caller can report them: a newer
// rollcall may have recorded more than this one understands. Names count to the letter.
func UnmarshalEntity(data []byte) (e Entity, unknown []string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, nil, fmt.Errorf("entity: %w", err)
	}
	var id EntityID
	if _, ok := fields["kind"]; !ok {
		return nil, nil, errors.New(`entity: field "kind" is missing`)
	}
	if err := json.Unmarshal(fields["kind"], &id.Kind); err != nil {
		return nil, nil, fmt.Errorf(`entity: field "kind": %w`, err)
	}
	if !id.Kind.Valid() {
		return nil, nil, errors.New(`entity: field "kind" is null`)
	}
	if _, ok := fields["id"]; !ok {
		return nil, nil, fmt.Errorf(`%s: field "id" is missing`, id.Kind)
	}
	if e, err = NewEntity(id); err != nil {
		return nil, nil, err
	}
	var d decoder
	if err := d.value(reflect.ValueOf(&id.ID).Elem(), fields["id"], "id"); err != nil {
		return nil, nil, fmt.Errorf(`%s: %w`, id.Kind, err)
	}
	if id.ID == "" {
		return nil, nil, fmt.Errorf(`%s: field "id" is empty`, id.Kind)
	}
	if err := d.value(reflect.ValueOf(e).Elem(), data, ""); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", id, err)
	}
	slices.Sort(d.unknown)
	return e, slices.Compact(d.unknown), nil
}

var (
	typeTime = reflect.TypeFor[time.Time]()
	typeRaw  = reflect.TypeFor[json.RawMessage]()
	typeKind = reflect.TypeFor[Kind]()
)

// layout says where the JSON fields of a struct are.
type layout struct {
	fields []layoutField
	byName map[string]*layoutField
}

type layoutField struct {
	name  string
	index []int
	keep  bool // also written if zero: "kind" and "id"
}

// layouts has the layout of every struct that is part of an entity.
var layouts = func() map[reflect.Type]*layout {
	all := map[reflect.Type]*layout{}
	for _, kind := range Kinds() {
		e, _ := NewEntity(EntityID{Kind: kind})
		addLayout(all, reflect.TypeOf(e).Elem())
	}
	return all
}()

// addLayout adds the layouts of a type and of everything in it. A field without a name in
// JSON, or of a type that has no form here, is a mistake that no program gets past.
func addLayout(all map[reflect.Type]*layout, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		if t != typeRaw {
			addLayout(all, t.Elem())
		}
		return
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			panic("workloadmeta: no JSON form for the keys of " + t.String())
		}
		addLayout(all, t.Elem())
		return
	case reflect.Struct:
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32,
		reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32,
		reflect.Uint64, reflect.Float32, reflect.Float64:
		return
	default:
		panic("workloadmeta: no JSON form for " + t.String())
	}
	if t == typeTime || all[t] != nil {
		return
	}
	l := &layout{byName: map[string]*layoutField{}}
	all[t] = l
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			continue
		}
		if name == "" || l.byName[name] != nil {
			panic("workloadmeta: no JSON name, or one that is taken: " + t.String() + "." + f.Name)
		}
		l.fields = append(l.fields, layoutField{name: name, index: f.Index,
			keep: name == "kind" || name == "id" && len(f.Index) > 1 ||
				t == reflect.TypeFor[EntityID]()})
		l.byName[name] = &layoutField{}
		addLayout(all, f.Type)
	}
	for i := range l.fields {
		l.byName[l.fields[i].name] = &l.fields[i]
	}
}

// empty reports whether a value is left out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	case reflect.Struct:
		if v.Type() == typeTime {
			return v.Interface().(time.Time).IsZero()
		}
	}
	return v.IsZero()
}

func appendValue(buf []byte, v reflect.Value) []byte {
	switch v.Type() {
	case typeTime:
		return appendTime(buf, v.Interface().(time.Time))
	case typeRaw:
		return appendDocument(buf, v.Bytes())
	case typeKind:
		return appendText(buf, v.Interface().(Kind).String())
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(buf, "null"...)
		}
		return appendValue(buf, v.Elem())
	case reflect.Struct:
		buf = append(buf, '{')
		first := true
		for i := range layouts[v.Type()].fields {
			f := &layouts[v.Type()].fields[i]
			field := v.FieldByIndex(f.index)
			if !f.keep && empty(field) {
				continue
			}
			if !first {
				buf = append(buf, ',')
			}
			first = false
			buf = appendValue(append(appendText(buf, f.name), ':'), field)
		}
		return append(buf, '}')
	case reflect.Slice, reflect.Array:
		buf = append(buf, '[')
		for i := range v.Len() {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = appendValue(buf, v.Index(i))
		}
		return append(buf, ']')
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int {
			return strings.Compare(a.String(), b.String())
		})
		buf = append(buf, '{')
		for i, key := range keys {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = appendValue(append(appendText(buf, key.String()), ':'), v.MapIndex(key))
		}
		return append(buf, '}')
	case reflect.String:
		return appendText(buf, v.String())
	case reflect.Bool:
		return strconv.AppendBool(buf, v.Bool())
	case reflect.Float32, reflect.Float64:
		return appendFloat(buf, v.Float())
	}
	if v.CanUint() {
		return strconv.AppendUint(buf, v.Uint(), 10)
	}
	return strconv.AppendInt(buf, v.Int(), 10)
}

func appendFloat(buf []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(buf, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(buf, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(buf, `"-Infinity"`...)
	}
	if text, err := json.Marshal(f); err == nil {
		return append(buf, text...)
	}
	return strconv.AppendFloat(buf, f, 'g', -1, 64)
}

func appendTime(buf []byte, t time.Time) []byte {
	t = t.UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		buf = strconv.AppendInt(append(buf, `"@`...), t.Unix(), 10)
		return fmt.Appendf(buf, `.%09d"`, t.Nanosecond())
	}
	return append(t.AppendFormat(append(buf, '"'), time.RFC3339Nano), '"')
}

// appendDocument appends JSON as it is, without the blanks that mean nothing. What is no
// JSON is a text, and so is a text.
func appendDocument(buf, document []byte) []byte {
	if compacted, ok := compact(document); ok && compacted[0] != '"' {
		return append(buf, compacted...)
	}
	return appendText(buf, string(document))
}

// decoder reads values from JSON that is known to be valid.
type decoder struct{ unknown []string }

// value sets v to what raw says; null leaves it as it is, unless it is a document. path is the
// field's, for errors.
func (d *decoder) value(v reflect.Value, raw []byte, path string) error {
	raw = trimJSON(raw)
	mismatch := func(want string) error {
		return fmt.Errorf("field %q: want %s, have a JSON %s", path, want, jsonType(raw))
	}
	if raw[0] == 'n' && v.Type() != typeRaw {
		return nil
	}
	switch v.Type() {
	case typeTime:
		if raw[0] != '"' {
			return mismatch("a time")
		}
		t, err := parseTime(unquote(raw))
		if err != nil {
			return fmt.Errorf("field %q: %w", path, err)
		}
		v.Set(reflect.ValueOf(t))
		return nil
	case typeRaw:
		if raw[0] == '"' {
			v.SetBytes([]byte(unquote(raw)))
			return nil
		}
		compacted, _ := compact(raw)
		v.SetBytes(compacted)
		return nil
	case typeKind:
		if raw[0] != '"' {
			return mismatch("a kind")
		}
		kind, err := parseAnyKind(unquote(raw))
		if err != nil {
			return fmt.Errorf("field %q: %w", path, err)
		}
		v.SetUint(uint64(kind))
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(v.Elem(), raw, path)
	case reflect.Struct:
		if raw[0] != '{' {
			return mismatch("an object")
		}
		known := layouts[v.Type()].byName
		for name, value := range members(raw) {
			inner := name
			if path != "" {
				inner = path + "." + name
			}
			f := known[name]
			if f == nil {
				d.unknown = append(d.unknown, inner)
				continue
			}
			if err := d.value(v.FieldByIndex(f.index), value, inner); err != nil {
				return err
			}
		}
	case reflect.Map:
		if raw[0] != '{' {
			return mismatch("an object")
		}
		m := reflect.MakeMap(v.Type())
		for name, value := range members(raw) {
			item := reflect.New(v.Type().Elem()).Elem()
			if err := d.value(item, value, path+"."+name); err != nil {
				return err
			}
			m.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), item)
		}
		v.Set(m)
	case reflect.Slice, reflect.Array:
		if raw[0] != '[' {
			return mismatch("an array")
		}
		list := v
		if v.Kind() == reflect.Slice {
			list = reflect.MakeSlice(v.Type(), 0, 4)
		}
		n := 0
		for item := range elements(raw) {
			if v.Kind() == reflect.Slice {
				list = reflect.Append(list, reflect.Zero(v.Type().Elem()))
			} else if n >= v.Len() {
				break
			}
			if err := d.value(list.Index(n), item, path+"[]"); err != nil {
				return err
			}
			n++
		}
		if v.Kind() == reflect.Slice {
			v.Set(list)
		}
	case reflect.String:
		if raw[0] != '"' {
			return mismatch("a string")
		}
		v.SetString(unquote(raw))
	case reflect.Bool:
		if raw[0] != 't' && raw[0] != 'f' {
			return mismatch("true or false")
		}
		v.SetBool(raw[0] == 't')
	default:
		return d.number(v, raw, path, mismatch)
	}
	return nil
}

func (d *decoder) number(v reflect.Value, raw []byte, path string,
	mismatch func(string) error) error {
	text := string(raw)
	if v.CanFloat() && raw[0] == '"' {
		text = unquote(raw)
		switch text {
		case "NaN":
			v.SetFloat(math.NaN())
		case "Infinity":
			v.SetFloat(math.Inf(1))
		case "-Infinity":
			v.SetFloat(math.Inf(-1))
		default:
			return mismatch("a number")
		}
		return nil
	}
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return mismatch("a number")
	}
	var err error
	switch {
	case v.CanFloat():
		var f float64
		if f, err = strconv.ParseFloat(text, v.Type().Bits()); err == nil {
			v.SetFloat(f)
		}
	case v.CanUint():
		var n uint64
		if n, err = strconv.ParseUint(text, 10, v.Type().Bits()); err == nil {
			v.SetUint(n)
		}
	default:
		var n int64
		if n, err = strconv.ParseInt(text, 10, v.Type().Bits()); err == nil {
			v.SetInt(n)
		}
	}
	if err != nil {
		return fmt.Errorf("field %q: want %s, have the number %s", path, v.Type().Kind(), text)
	}
	return nil
}

func parseTime(text string) (time.Time, error) {
	if at, ok := strings.CutPrefix(text, "@"); ok {
		seconds, nanos, _ := strings.Cut(at, ".")
		s, err := strconv.ParseInt(seconds, 10, 64)
		n, nerr := strconv.ParseUint(nanos, 10, 32)
		if err == nil && nerr == nil && len(nanos) == 9 {
			return time.Unix(s, int64(n)).UTC(), nil
		}
	} else if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("want a time in RFC 3339, have %q", text)
}

// parseAnyKind also reads the form of a kind that there is not: what belongs to nothing
// that is known comes back as it was.
func parseAnyKind(text string) (Kind, error) {
	kind, err := ParseKind(text)
	if number, ok := strings.CutPrefix(text, "kind("); err != nil && ok {
		n, nerr := strconv.ParseUint(strings.TrimSuffix(number, ")"), 10, 8)
		if k := Kind(n); nerr == nil && k.String() == text {
			return k, nil
		}
	}
	return kind, err
}

// MarshalJSON is the same for all kinds; Go wants one method a type.

// MarshalJSON implements [json.Marshaler].
func (c *Container) MarshalJSON() ([]byte, error) { return AppendEntity(nil, c), nil }

// MarshalJSON implements [json.Marshaler].
func (p *KubernetesPod) MarshalJSON() ([]byte, error) { return AppendEntity(nil, p), nil }

// MarshalJSON implements [json.Marshaler].
func (m *KubernetesMetadata) MarshalJSON() ([]byte, error) { return AppendEntity(nil, m), nil }

// MarshalJSON implements [json.Marshaler].
func (d *KubernetesDeployment) MarshalJSON() ([]byte, error) { return AppendEntity(nil, d), nil }

// MarshalJSON implements [json.Marshaler].
func (s *KubernetesService) MarshalJSON() ([]byte, error) { return AppendEntity(nil, s), nil }

// MarshalJSON implements [json.Marshaler].
func (t *ECSTask) MarshalJSON() ([]byte, error) { return AppendEntity(nil, t), nil }

// MarshalJSON implements [json.Marshaler].
func (i *ContainerImageMetadata) MarshalJSON() ([]byte, error) { return AppendEntity(nil, i), nil }

// MarshalJSON implements [json.Marshaler].
func (p *Process) MarshalJSON() ([]byte, error) { return AppendEntity(nil, p), nil }

// MarshalJSON implements [json.Marshaler].
func (h *Host) MarshalJSON() ([]byte, error) { return AppendEntity(nil, h), nil }

// MarshalJSON implements [json.Marshaler].
func (g *GPU) MarshalJSON() ([]byte, error) { return AppendEntity(nil, g), nil }

// MarshalJSON implements [json.Marshaler].
func (k *Kubelet) MarshalJSON() ([]byte, error) { return AppendEntity(nil, k), nil }

// MarshalJSON implements [json.Marshaler].
func (k *KubeletMetrics) MarshalJSON() ([]byte, error) { return AppendEntity(nil, k), nil }

// MarshalJSON implements [json.Marshaler].
func (k *KubeCapabilities) MarshalJSON() ([]byte, error) { return AppendEntity(nil, k), nil }

// MarshalJSON implements [json.Marshaler].
func (c *CRD) MarshalJSON() ([]byte, error) { return AppendEntity(nil, c), nil }

// MarshalJSON implements [json.Marshaler].
func (q *KueueQueue) MarshalJSON() ([]byte, error) { return AppendEntity(nil, q), nil }

// MarshalJSON implements [json.Marshaler].
func (f *KueueResourceFlavor) MarshalJSON() ([]byte, error) { return AppendEntity(nil, f), nil }

// MarshalJSON implements [json.Marshaler].
func (w *KueueWorkload) MarshalJSON() ([]byte, error) { return AppendEntity(nil, w), nil }
