package recording_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/google/go-cmp/cmp"

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

// A recorder that is killed, or whose disk is full, leaves such a file.
func TestALastLineThatIsCutOffEndsTheRecording(t *testing.T) {
	for n := 1; n < len(web); n++ {
		r := recording.NewReader(strings.NewReader(web+"\n"+web[:n]), "x.jsonl")
		if _, err := r.Next(); err != nil || r.CutOff() != nil {
			t.Fatal(err, r.CutOff())
		}
		if _, err := r.Next(); err != io.EOF || r.CutOff() == nil || r.CutOff().Line != 2 {
			t.Fatalf("%q: Next() error = %v, CutOff() = %v; want the end, and line 2", web[:n], err,
				r.CutOff())
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("after the end: %v", err)
		}
	}
	whole := recording.NewReader(strings.NewReader(web), "x.jsonl")
	if _, err := whole.Next(); err != nil {
		t.Errorf("a last line that lacks only its line break: %v", err)
	}
	if _, err := whole.Next(); err != io.EOF || whole.CutOff() != nil {
		t.Errorf("after it: %v, cut off %v", err, whole.CutOff())
	}
}

func TestAFailedWriteLeavesWholeLines(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "r.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := recording.NewWriter(&smallDisk{File: f, left: 1000})
	r := recording.NewReader(strings.NewReader(web), "x")
	line, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err == nil {
		t.Fatal("no error")
	}
	data, err := os.ReadFile(f.Name())
	if err != nil || len(data) == 0 || data[len(data)-1] != '\n' {
		t.Errorf("the file ends in %q, %v; want whole lines", data[max(0, len(data)-20):], err)
	}
}

// smallDisk is a file on a disk that becomes full.
type smallDisk struct {
	*os.File
	left int
}

func (d *smallDisk) Write(p []byte) (int, error) {
	n, err := d.File.Write(p[:min(len(p), d.left)])
	if d.left -= n; err == nil && n < len(p) {
		err = errors.New("no space left on device")
	}
	return n, err
}

func TestHeader(t *testing.T) {
	var out bytes.Buffer
	w := recording.NewWriter(&out)
	want := recording.Header{MadeBy: "rollcall 1.2.3", Time: time.Unix(1_700_000_000, 5).UTC(),
		Config: map[string]json.RawMessage{"rules": json.RawMessage(`[{"drop":"<a>"}]`)}}
	if err := w.WriteHeader(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	head := out.String()
	for name, text := range map[string]string{"one": head + web + "\n",
		"behind empty lines":                  "\n" + head + web,
		"two recordings of one configuration": head + web + "\n" + head} {
		for _, ask := range []bool{true, false} {
			r := recording.NewReader(strings.NewReader(text), "x.jsonl")
			if ask {
				got, ok, err := r.Header()
				if diff := cmp.Diff(want, got); !ok || err != nil || diff != "" {
					t.Errorf("%s: Header() = %v, %v:\n%s", name, ok, err, diff)
				}
			}
			if l, err := r.Next(); err != nil || l.Event.Entity.GetID().ID != "a" {
				t.Errorf("%s: Next() = %v, %v", name, l, err)
			}
			if _, err := r.Next(); err != io.EOF {
				t.Errorf("%s: at the end: %v", name, err)
			}
			if got, ok, err := r.Header(); !ok || err != nil || got.MadeBy != want.MadeBy {
				t.Errorf("%s: Header() afterwards = %v, %v, %v", name, got, ok, err)
			}
		}
	}
	for name, text := range map[string]string{"none": web, "empty": "", "a bad line": "{]\n"} {
		r := recording.NewReader(strings.NewReader(text), "x.jsonl")
		if _, ok, err := r.Header(); ok || err != nil {
			t.Errorf("%s: Header() = %v, %v", name, ok, err)
		}
		_, err := r.Next()
		if _, bad := errors.AsType[*recording.LineError](err); name == "none" && err != nil ||
			name == "empty" && err != io.EOF || name == "a bad line" && !bad {
			t.Errorf("%s: Next() after Header() = %v", name, err)
		}
	}
	for text, want := range map[string]string{
		`{"recording":{"version":2}}`: `x.jsonl:1: field "recording.version": it is 2`,
		`{"recording":{}}`:            `x.jsonl:1: field "recording.version": missing`,
		`{"recording":7}`:             `x.jsonl:1: field "recording": want a JSON object`,
	} {
		r := recording.NewReader(strings.NewReader(text+"\n"), "x.jsonl")
		if _, _, err := r.Header(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", text, err, want)
		}
	}
	r := recording.NewReader(strings.NewReader(head+web+"\n"+
		`{"recording":{"version":1,"config":{"rules":[]}}}`+"\n"), "x.jsonl")
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil ||
		!strings.Contains(err.Error(), "another recording begins") {
		t.Errorf("a second header with another configuration: %v", err)
	}
}

// One entity that JSON cannot say ended the recording of all others.
func TestNoEntityEndsARecording(t *testing.T) {
	long := strings.Repeat("x", recording.MaxLine)
	views := []workloadmeta.Entity{
		&workloadmeta.KubeletMetrics{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindKubeletMetrics, ID: "\xff"},
			Metrics:  map[string]float64{"q": math.NaN()}},
		&workloadmeta.Container{
			EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "long"},
			EntityMeta: workloadmeta.EntityMeta{Name: long}},
		&workloadmeta.Container{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c"}},
	}
	all := &hooked{bundles: func(yield func(workloadmeta.Bundle) bool) {
		var b workloadmeta.Bundle
		for _, e := range views {
			b.Events = append(b.Events, workloadmeta.Event{Type: workloadmeta.EventTypeSet,
				Entity: e, Reports: []workloadmeta.Report{workloadmeta.NewReport(
					workloadmeta.NewReporter("s"), e, time.Unix(1, 0))}})
		}
		yield(b)
	}}
	var out bytes.Buffer
	rec := recording.NewRecorder(all, nil, recording.NewWriter(&out))
	if err := rec.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, errs := rec.Skipped(); n != 1 || len(errs) != 1 || rec.Lines() != 2 {
		t.Errorf("Skipped() = %d, %v, Lines() = %d; want the long one, and two lines", n, errs,
			rec.Lines())
	}
	r := recording.NewReader(&out, "x")
	for _, want := range []workloadmeta.Entity{views[0], views[2]} {
		if l, err := r.Next(); err != nil || !l.Event.Entity.Equal(want) {
			t.Errorf("read %v, %v; want %v", l, err, want.GetID())
		}
	}
}

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
