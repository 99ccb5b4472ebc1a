package workloadmeta_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

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
