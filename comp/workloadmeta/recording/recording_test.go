package recording_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
)

const web = `{"time":"2026-01-02T15:04:05.000000006Z","type":"set","source":"runtime","entity":{"kind":"container","id":"a","name":"web"}}`

func TestReadLine(t *testing.T) {
	for name, text := range map[string]string{
		"as it is": web, "line break": web + "\n", "windows": web +
			"\r\n", "byte order mark": "\xef\xbb\xbf" + web + "\n",
		"empty lines": "\n \n\t\n" + web + "\n\n", "op": strings.Replace(web, "type", "op", 1),
	} {
		r := recording.NewReader(strings.NewReader(text), "x.jsonl")
		l, err := r.Next()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := time.Date(2026, 1, 2, 15, 4, 5, 6, time.UTC); !l.Time.Equal(want) {
			t.Errorf("%s: time %s, want %s", name, l.Time, want)
		}
		want := workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Source: "runtime",
			Entity: &workloadmeta.Container{
				EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer,
					ID: "a"}, EntityMeta: workloadmeta.EntityMeta{Name: "web"},
			}}
		if l.Event.Type != want.Type || l.Event.Source != want.Source ||
			!l.Event.Entity.Equal(want.Entity) {
			t.Errorf("%s: event %+v, want %+v", name, l.Event, want)
		}
		for range 2 {
			if _, err := r.Next(); err != io.EOF {
				t.Errorf("%s: at the end: %v, want EOF", name, err)
			}
		}
	}
}

func TestBadLinesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                                      `x.jsonl:3: cut off: unexpected EOF`,
		web[:60]:                                 `x.jsonl:3: cut off: unexpected EOF`,
		`{]`:                                     `x.jsonl:3: no JSON at byte 2: invalid character ']' looking for beginning of object key string`,
		`[]`:                                     `x.jsonl:3: want a JSON object, have []`,
		`null`:                                   `x.jsonl:3: want a JSON object, have null`,
		`{"time":"yesterday","type":"set"}`:      `x.jsonl:3: field "time": want a time in RFC 3339, have "yesterday"`,
		`{"time":5,"type":"set"}`:                `x.jsonl:3: field "time": want a string, have 5`,
		`{"source":"runtime"}`:                   `x.jsonl:3: field "type": missing`,
		`{"type":"set","op":"set"}`:              `x.jsonl:3: field "op": there is "type", too, which means the same; want one of them`,
		`{"type":"add"}`:                         `x.jsonl:3: field "type": unknown event type "add" (want set or unset)`,
		`{"op":"add"}`:                           `x.jsonl:3: field "op": unknown event type "add" (want set or unset)`,
		`{"type":"set","entity":{}}`:             `x.jsonl:3: field "source": missing`,
		`{"type":"set","source":"s"}`:            `x.jsonl:3: field "entity": missing`,
		`{"type":"set","source":"s","entity":7}`: `x.jsonl:3: field "entity": entity: json: cannot unmarshal number into Go value of type map[string]json.RawMessage`,
		`{"type":"set","source":"s","entity":{"kind":"pot","id":"a"}}`:               `x.jsonl:3: field "entity": entity: field "kind": unknown kind "pot"`,
		`{"type":"set","source":"s","entity":{"kind":"process","id":""}}`:            `x.jsonl:3: field "entity": process: field "id" is empty`,
		`{"type":"set","source":"s","entity":{"kind":"process","id":"1","pid":"x"}}`: `x.jsonl:3: field "entity": process/1: field "pid": want a number, have a JSON string`,
	} {
		r := recording.NewReader(strings.NewReader(web+"\n\n"+text+"\n"+web+"\n"), "x.jsonl")
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		_, err := r.Next()
		bad, ok := errors.AsType[*recording.LineError](err)
		if !ok || !strings.HasPrefix(err.Error(), want) || bad.Line != 3 || bad.File != "x.jsonl" {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
		if _, err := r.Next(); err != nil {
			t.Errorf("%s: reading cannot go on: %v", text, err)
		}
	}
}

// A second spelling of a field must not turn an entity into another one.
func TestFieldsAreKnownByTheirExactNames(t *testing.T) {
	r := recording.NewReader(
		strings.NewReader(
			`{"type":"set","source":"s","entity":{"kind":"process","id":"1","Kind":"container","PID":7}}`), "x.jsonl")
	line, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	p, ok := line.Event.Entity.(*workloadmeta.Process)
	if !ok || p.GetID() != (workloadmeta.EntityID{Kind: workloadmeta.KindProcess, ID: "1"}) ||
		p.PID != 0 {
		t.Fatalf("got %#v", line.Event.Entity)
	}
	if unknown := r.Unknown(); unknown["entity.Kind"] != 1 || unknown["entity.PID"] != 1 {
		t.Fatalf("unknown fields: %v", unknown)
	}
}

func TestSkipBad(t *testing.T) {
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, "%s\n{bad %d}\n", web, i)
	}
	r := recording.NewReader(strings.NewReader(text.String()), "x.jsonl")
	r.SkipBad = true
	n := 0
	for {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
	skipped, errs := r.Skipped()
	if n != 30 || skipped != 30 || len(errs) != 10 ||
		!strings.HasPrefix(errs[1].Error(), "x.jsonl:4: ") {
		t.Errorf("%d lines, %d skipped, errors %v", n, skipped, errs)
	}
}

func TestUnknownFieldsAreCounted(t *testing.T) {
	line := `{"type":"set","source":"runtime","node":"n1","entity":{"kind":"container","id":"a","colour":"blue"}}` + "\n"
	r := recording.NewReader(strings.NewReader(line+line), "x.jsonl")
	for range 2 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := r.Unknown(), map[string]int{"node": 2,
		"entity.colour": 2}; !reflect.DeepEqual(got, want) {
		t.Errorf("unknown fields %v, want %v", got, want)
	}
}

func TestLinesThatAreTooLong(t *testing.T) {
	long := `{"type":"set","source":"runtime","entity":{"kind":"container","id":"a","name":"%s"}}`
	fits := fmt.Sprintf(long, strings.Repeat("x", recording.MaxLine-len(long)+2))
	if len(fits) != recording.MaxLine {
		t.Fatalf("the test's line has %d bytes", len(fits))
	}
	r := recording.NewReader(strings.NewReader(fits+"\n"+fits[:20]+"x"+fits[20:]+"\n"+web),
		"x.jsonl")
	if l, err := r.Next(); err != nil ||
		len(l.Event.Entity.(*workloadmeta.Container).Name) < recording.MaxLine-len(long) {
		t.Errorf("a line of %d bytes: %v", len(fits), err)
	}
	if _, err := r.Next(); err == nil || err.Error() != "x.jsonl:2: longer than 16777216 bytes" {
		t.Errorf("a line of one byte more: %v", err)
	}
	if _, err := r.Next(); err != nil {
		t.Errorf("the line after: %v", err)
	}
}

func TestReadFailure(t *testing.T) {
	r := recording.NewReader(io.MultiReader(strings.NewReader(web+"\n"),
		iotest.ErrReader(errors.New("disk on fire"))), "x.jsonl")
	r.SkipBad = true
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Next(); err == nil ||
			err.Error() != "read x.jsonl after line 1: disk on fire" {
			t.Errorf("Next() = %v", err)
		}
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	l, err := recording.NewReader(strings.NewReader(web), "x").Next()
	if err != nil {
		t.Fatal(err)
	}
	l.Event.Entity.(*workloadmeta.Container).Labels = map[string]string{"b": "<2>", "a": "1",
		"c": "&"}
	l.Time = l.Time.In(time.FixedZone("somewhere", 3600))
	var out bytes.Buffer
	w := recording.NewWriter(&out)
	if err := errors.Join(w.Write(l), w.Flush()); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(web, `"web"}`, `"web","labels":{"a":"1","b":"<2>","c":"&"}`,
		1); !strings.HasPrefix(out.String(), want) {
		t.Errorf("wrote %swant  %s", out.String(), want)
	}
	l.Event.Source = ""
	if err := w.Write(l); err == nil || !strings.Contains(err.Error(), "no source") {
		t.Errorf("an event without a source: %v", err)
	}
}

// entities generates entities of every kind with any subset of their fields.
func entities(t *rapid.T) workloadmeta.Entity {
	id := workloadmeta.EntityID{
		Kind: rapid.SampledFrom(workloadmeta.Kinds()).Draw(t, "kind"),
		ID:   rapid.StringN(1, 20, -1).Draw(t, "id"),
	}
	e, err := workloadmeta.NewEntity(id)
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Name != "EntityID" {
			v.Field(i).Set(value(t, v.Type().Field(i).Type))
		}
	}
	return e
}

func value(t *rapid.T, typ reflect.Type) reflect.Value {
	v := reflect.New(typ).Elem()
	switch {
	case typ == reflect.TypeFor[time.Time]():
		if rapid.Bool().Draw(t, "has time") {
			v.Set(reflect.ValueOf(time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"),
				rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()))
		}
		return v
	case typ == reflect.TypeFor[json.RawMessage]():
		if rapid.Bool().Draw(t, "has JSON") {
			v.Set(reflect.ValueOf(
				json.RawMessage(fmt.Sprintf(`{"a":[%d]}`, rapid.Int().Draw(t, "n")))))
		}
		return v
	case typ == reflect.TypeFor[workloadmeta.Kind]():
		v.Set(reflect.ValueOf(rapid.SampledFrom(workloadmeta.Kinds()).Draw(t, "kind")))
		return v
	}
	switch typ.Kind() {
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "string"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64Range(-1<<31, 1<<31-1).Draw(t, "int"))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		// in range for the small enumerations
		v.SetUint(uint64(rapid.Uint8Range(0, 2).Draw(t, "uint")))
	case reflect.Float64:
		v.SetFloat(rapid.Float64Range(-1e9, 1e9).Draw(t, "float"))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "has pointer") {
			v.Set(reflect.New(typ.Elem()))
			v.Elem().Set(value(t, typ.Elem()))
		}
	case reflect.Slice:
		for range rapid.IntRange(0, 2).Draw(t, "length") {
			v.Set(reflect.Append(v, value(t, typ.Elem())))
		}
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).Set(value(t, typ.Elem()))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(typ))
		for range rapid.IntRange(0, 2).Draw(t, "length") {
			v.SetMapIndex(value(t, typ.Key()), value(t, typ.Elem()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			v.Field(i).Set(value(t, typ.Field(i).Type))
		}
	default:
		t.Fatalf("no generator for %s", typ)
	}
	return v
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := recording.Line{Event: workloadmeta.CollectorEvent{
			Type: rapid.SampledFrom([]workloadmeta.EventType{workloadmeta.EventTypeSet,
				workloadmeta.EventTypeUnset}).Draw(t, "type"),
			Source: workloadmeta.Source(rapid.StringN(1, 10, -1).Draw(t, "source")),
			Entity: entities(t),
		}}
		if rapid.Bool().Draw(t, "has a time") {
			want.Time = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), 5)
		}
		sameAfterWriting(t, want)
	})
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func sameAfterWriting(t failer, want recording.Line) {
	t.Helper()
	var out bytes.Buffer
	w := recording.NewWriter(&out)
	if err := errors.Join(w.Write(want), w.Flush()); err != nil {
		t.Fatalf("%v", err)
	}
	r := recording.NewReader(&out, "x")
	got, err := r.Next()
	if err != nil {
		t.Fatalf("%v", err)
	}
	if !got.Time.Equal(want.Time) || got.Event.Type != want.Event.Type ||
		got.Event.Source != want.Event.Source || !got.Event.Entity.Equal(want.Event.Entity) {
		t.Fatalf("read %+v %+v\nwant %+v %+v", got, got.Event.Entity, want, want.Event.Entity)
	}
	if len(r.Unknown()) > 0 {
		t.Fatalf("unknown fields %v", r.Unknown())
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(web + "\n" +
		`{"op":"unset","source":"kubelet","entity":{"kind":"kubernetes_pod","id":"u","containers":[{"id":"a"}]}}`))
	f.Add([]byte("\xef\xbb\xbf\r\n{}\n[]\nnull"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := recording.NewReader(bytes.NewReader(data), "fuzz")
		for lines := 0; ; lines++ {
			l, err := r.Next()
			if err == io.EOF {
				break
			}
			if lines > len(data) {
				t.Fatal("more lines than bytes")
			}
			if err != nil {
				if _, ok := errors.AsType[*recording.LineError](err); !ok {
					t.Fatal(err)
				}
				continue
			}
			sameAfterWriting(t, l)
		}
	})
}

// hooked is a store whose only subscription is fed by the test.
type hooked struct {
	workloadmeta.Component
	bundles iter.Seq[workloadmeta.Bundle]
}

func (h *hooked) Subscribe(string, *workloadmeta.Filter,
	...workloadmeta.SubscribeOption) workloadmeta.Subscription {
	return h
}
func (h *hooked) Bundles(context.Context) iter.Seq[workloadmeta.Bundle] { return h.bundles }
func (h *hooked) Close()                                                {}

func TestRecorderFailsWhenWritingDoes(t *testing.T) {
	full := &hooked{bundles: func(yield func(workloadmeta.Bundle) bool) {
		c := &workloadmeta.Container{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "a"}}
		yield(workloadmeta.Bundle{
			Events: []workloadmeta.Event{{Type: workloadmeta.EventTypeUnset, Entity: c}}})
	}}
	r := recording.NewRecorder(full, nil, recording.NewWriter(brokenDisk{}))
	if err := r.Run(t.Context()); err == nil || err.Error() != "write a recording: disk full" {
		t.Errorf("Run() = %v", err)
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }
