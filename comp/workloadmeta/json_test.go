package workloadmeta_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

func TestUnmarshalEntityNamesTheField(t *testing.T) {
	for data, want := range map[string][]string{
		``:                                      {"entity"},
		`[]`:                                    {"entity", "array"},
		`null`:                                  {`"kind"`, "missing"},
		`{"id":"x"}`:                            {`"kind"`, "missing"},
		`{"kind":null,"id":"x"}`:                {`"kind"`, "null"},
		`{"kind":"pod","id":"x"}`:               {`"kind"`, `"pod"`, "kubernetes_pod"},
		`{"kind":7,"id":"x"}`:                   {`"kind"`},
		`{"kind":"container"}`:                  {"container", `"id"`, "missing"},
		`{"kind":"container","id":""}`:          {"container", `"id"`, "empty"},
		`{"kind":"container","id":null}`:        {"container", `"id"`, "empty"},
		`{"kind":"container","id":1}`:           {"container", `"id"`},
		`{"kind":"process","id":"1","pid":"1"}`: {"process/1", `"pid"`, "string"},
		`{"kind":"container","id":"c","labels":[]}`: {"container/c",
			`"labels"`, "array"},
		`{"kind":"container","id":"c","state":{"exit_code":"0"}}`: {"container/c",
			`"state.exit_code"`},
		`{"kind":"container","id":"c","state":{"created_at":"yesterday"}}`: {"container/c",
			`"state.created_at"`, "yesterday"},
		`{"kind":"container","id":"c","owner":{"kind":"pod","id":"p"}}`: {"container/c",
			`"owner.kind"`, `"pod"`},
		`{"kind":"container","id":"c","name":"a"} {"kind":"container","id":"c"}`: {"entity"},
	} {
		e, _, err := workloadmeta.UnmarshalEntity([]byte(data))
		if err == nil || e != nil {
			t.Errorf("UnmarshalEntity(%s) = %v, %v; want an error", data, e, err)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("UnmarshalEntity(%s): the error does not say %s: %v", data, part, err)
			}
		}
	}
}

func TestUnmarshalEntityReturnsWhatItSkips(t *testing.T) {
	e, unknown, err := workloadmeta.UnmarshalEntity(
		[]byte(
			`{"kind":"container","id":"c","zeta":1,"name":"web","Name":"other","ID":"d","KIND":"process","alpha":{}}`))
	if err != nil || !slices.Equal(unknown, []string{"ID", "KIND", "Name", "alpha", "zeta"}) {
		t.Fatalf("unknown fields = %q, %v", unknown, err)
	}
	c := e.(*workloadmeta.Container)
	if c.ID != "c" || c.Kind != workloadmeta.KindContainer || c.Name != "web" {
		t.Errorf("a field of another spelling was taken: %+v", c)
	}
}

// Whatever comes in, it is an entity that goes out and comes in again as the same, or an
// error.
func FuzzUnmarshalEntity(f *testing.F) {
	for _, kind := range workloadmeta.Kinds() {
		e, _ := workloadmeta.NewEntity(workloadmeta.EntityID{Kind: kind, ID: "x"})
		data, _ := json.Marshal(e)
		f.Add(data)
	}
	f.Add([]byte(
		`{"kind":"container","id":"c","state":{"exit_code":0,"created_at":"2023-11-14T22:13:20Z"},"owner":{"kind":"kubernetes_pod","id":"p"},"ID":"d"}`))
	f.Add([]byte(`{"kind":"kubernetes_pod","id":"p","containers":[{"id":"c"}],"kind":"process"}`))
	f.Add([]byte(
		`{"kind":"kubelet_metrics","id":"\udcff","metrics":{"a":"NaN","\udcfe":"-Infinity"}}`))
	f.Add([]byte(`{"kind":"kubelet","id":"k","config":"{\"cut\":"}`))
	f.Add([]byte(
		`{"kind":"container","id":"c","state":{"created_at":"@253402300800.000000001"},"owner":{"kind":"kind(0)","id":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, unknown, err := workloadmeta.UnmarshalEntity(data)
		if err != nil {
			if e != nil || unknown != nil {
				t.Fatalf("an error and an entity: %v, %v, %v", e, unknown, err)
			}
			return
		}
		ev := workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet, Source: "fuzz",
			Entity: e}
		if err := ev.Validate(); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		out := workloadmeta.AppendEntity(nil, e)
		if !json.Valid(out) {
			t.Fatalf("%s\nbecame %s, which is no JSON", data, out)
		}
		again, unknown, err := workloadmeta.UnmarshalEntity(out)
		if err != nil || len(unknown) > 0 || !again.Equal(e) {
			t.Fatalf("%s\nbecame %s, %q, %v", data, out, unknown, err)
		}
		if out2 := workloadmeta.AppendEntity(nil, again); !bytes.Equal(out, out2) {
			t.Fatalf("%s\nbecame %s", out, out2)
		}
	})
}

func TestUnknownFieldsInsideAreNamed(t *testing.T) {
	_, unknown, err := workloadmeta.UnmarshalEntity([]byte(`{"kind":"container","id":"c",
		"image":{"name":"web","nam":"x"},"state":{"created_at":"2026-01-01T00:00:00Z","Status":"running"},
		"ports":[{"port":80},{"port":81,"protokol":"tcp"}],"owner":{"kind":"kubernetes_pod","id":"p","uid":"u"},
		"resources":{"cpu_limit":50,"cpu":1},"labels":{"anything":"goes"}}`))
	want := []string{"image.nam", "owner.uid", "ports[].protokol", "resources.cpu", "state.Status"}
	if err != nil || !slices.Equal(unknown, want) {
		t.Fatalf("unknown fields = %q, %v; want %q", unknown, err, want)
	}
}

// Fields of another spelling were returned as skipped, and used nevertheless.
func TestNestedFieldsThatAreSkippedAreNotUsed(t *testing.T) {
	e, unknown, err := workloadmeta.UnmarshalEntity([]byte(
		`{"kind":"container","id":"c","NAME":"top","state":{"STATUS":"stopped"},"image":{"Name":"x"}}`))
	if err != nil || !slices.Equal(unknown, []string{"NAME", "image.Name", "state.STATUS"}) {
		t.Fatalf("unknown fields = %q, %v", unknown, err)
	}
	c := e.(*workloadmeta.Container)
	if c.Name != "" || c.State.Status != "" || c.Image.Name != "" {
		t.Errorf("a field of another spelling was taken: %+v", c)
	}
}

// Programs that are not ours read it.
func TestTextsAndTimesHaveOneForm(t *testing.T) {
	form := func(edit func(*workloadmeta.Container)) string {
		data := string(workloadmeta.AppendEntity(nil, reported(edit)))
		return strings.TrimSuffix(strings.TrimPrefix(data, `{"kind":"container","id":"a",`), "}")
	}
	for text, want := range map[string]string{
		"a b~\x7f": "a b~\x7f", "\x1f\x00": `\u001f\u0000`, "\n\r\t": `\n\r\t`, `"\/`: `\"\\/`,
		"\x80\xff": `\udc80\udcff`, "\u0080é": "\u0080é", "\ufffd": "\ufffd",
		"\u2027\u2028\u2029\u202a": "\u2027\\u2028\\u2029\u202a",
	} {
		got := form(func(c *workloadmeta.Container) { c.Name = text })
		if got != `"name":"`+want+`"` {
			t.Errorf("%q is %s", text, got)
		}
	}
	for want, at := range map[string]time.Time{
		"0000-01-01T00:00:00Z":           time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		"9999-12-31T23:59:59.999999999Z": time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		"@253402300800.000000000":        time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC),
		"@-62167219201.000000001":        time.Date(-1, 12, 31, 23, 59, 59, 1, time.UTC),
	} {
		got := form(func(c *workloadmeta.Container) { c.State.CreatedAt = at })
		if got != `"state":{"created_at":"`+want+`"}` {
			t.Errorf("%v is %s, want %s", at, got, want)
		}
	}
}

func TestWhatOtherProgramsWriteIsRead(t *testing.T) {
	e, unknown, err := workloadmeta.UnmarshalEntity([]byte("\n{ \"kind\" :\t\"container\" ,\r\n" +
		`"id":"c","new":{"a":[1,"]\\\"}",{"b":[]}],"c":null},"labels" : { "a" : "1" , "b":"2" } ,` +
		` "collector_tags" : [ "x" , "y" ] ,"pid" : 9 , "restart_count":0,"cgroup_path":null } `))
	want := &workloadmeta.Container{PID: 9, CollectorTags: []string{"x", "y"},
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c"}}
	want.Labels = map[string]string{"a": "1", "b": "2"}
	if err != nil || !slices.Equal(unknown, []string{"new"}) || !e.Equal(want) {
		t.Errorf("%v, unknown %q, %v", e, unknown, err)
	}
	for text, want := range map[string]string{
		`\u0041\/\\u0041\b\f\n\r\t\"`: "A/\\u0041\b\f\n\r\t\"", `\ud83d\ude00.`: "\U0001f600.",
		`\udc80\udcff`: "\x80\xff", `\udc7f\udd00`: "\ufffd\ufffd", `\ud83d`: "\ufffd",
		`\ud83dx`: "\ufffdx", `\ud83d\n`: "\ufffd\n", `\ud83d\u0041`: "\ufffdA",
		`\ud83d\"\u0041`: "\ufffd\"A", `\u00e9\u00e9`: "éé",
	} {
		e, _, err := workloadmeta.UnmarshalEntity(
			[]byte(`{"kind":"container","id":"c","name":"` + text + `"}`))
		if err != nil || e.(*workloadmeta.Container).Name != want {
			t.Errorf("%s: %v, %v, want %q", text, e, err, want)
		}
	}
	for rates, want := range map[string][2]uint32{
		`[]`: {}, `[1]`: {1}, `[1,2]`: {1, 2}, `[1,2,3]`: {1, 2},
	} {
		e, _, err := workloadmeta.UnmarshalEntity(
			[]byte(`{"kind":"gpu","id":"g","max_clock_rates":` + rates + `}`))
		if err != nil || e.(*workloadmeta.GPU).MaxClockRates != want {
			t.Errorf("%s: %v, %v, want %v", rates, e, err, want)
		}
	}
}

// A value of another type than the field's is an error, whatever the two are.
func TestAFieldTakesOneTypeOfValue(t *testing.T) {
	values := []string{`7`, `-7`, `"x"`, `true`, `false`, `{"x":null}`, `["x"]`}
	for field, takes := range map[string]string{
		`"name":%`: `"x"`, `"pid":%`: `7 -7`, `"state":{"running":%}`: `true false`,
		`"labels":%`: `{"x":null}`, `"collector_tags":%`: `["x"]`, `"owner":%`: `{"x":null}`,
		`"state":{"created_at":%}`: ``, `"owner":{"kind":%}`: ``,
		`"resources":{"cpu_limit":%}`: `7 -7`, `"resources":{"memory_limit":%}`: `7`,
		`"resources":{"guaranteed_whole_core":%}`: `true false`,
	} {
		for _, value := range values {
			data := `{"kind":"container","id":"c",` + strings.Replace(field, "%", value, 1) + `}`
			_, _, err := workloadmeta.UnmarshalEntity([]byte(data))
			if want := slices.Contains(strings.Fields(takes), value); want != (err == nil) {
				t.Errorf("%s: %v", data, err)
			}
		}
	}
	for value, ok := range map[string]bool{
		`"@1.000000000"`: true, `"@1.5"`: false, `"@1"`: false, `"@x.000000000"`: false,
		`"@1.00000000x"`: false, `"2026-01-01T00:00:00Z"`: true, `"2026-01-01"`: false,
	} {
		_, _, err := workloadmeta.UnmarshalEntity(
			[]byte(`{"kind":"container","id":"c","state":{"created_at":` + value + `}}`))
		if ok != (err == nil) {
			t.Errorf("a time of %s: %v", value, err)
		}
	}
	for value, ok := range map[string]bool{
		`container`: true, `kind(0)`: true, `kind(200)`: true, `kind(1)`: false, `kind(256)`: false,
		`kind(0200)`: false, `200`: false, ``: false,
	} {
		_, _, err := workloadmeta.UnmarshalEntity(
			[]byte(`{"kind":"container","id":"c","owner":{"kind":"` + value + `","id":"o"}}`))
		if ok != (err == nil) {
			t.Errorf("a kind of %q: %v", value, err)
		}
	}
}
