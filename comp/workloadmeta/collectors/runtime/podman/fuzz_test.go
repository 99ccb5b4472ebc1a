package podman

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

func seed(f *testing.F, patterns ...string) {
	f.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			// Small ones get the fuzzer further.
			var list []json.RawMessage
			isList := json.Unmarshal(body, &list) == nil
			if !isList {
				list = []json.RawMessage{body}
			}
			for _, entry := range list {
				var small bytes.Buffer
				if err := json.Compact(&small, entry); err != nil {
					f.Fatal(err)
				}
				if isList {
					small = *bytes.NewBufferString("[" + small.String() + "]")
				}
				f.Add(small.Bytes())
			}
		}
	}
}

// sound checks what the rest of the program relies on, whatever Podman says.
func sound(t *testing.T, c *workloadmeta.Container) {
	t.Helper()
	ev := workloadmeta.CollectorEvent{Type: workloadmeta.EventTypeSet,
		Source: workloadmeta.SourceRuntime, Entity: c}
	if err := ev.Validate(); err != nil {
		t.Error(err)
	}
	if c.Runtime != workloadmeta.RuntimePodman || len(c.Ports) > mapping.MaxPorts || c.PID != 0 &&
		!c.State.Running {
		t.Errorf("%+v", c)
	}
	for _, p := range c.Ports {
		if p.Port <= 0 || p.Port > 65535 || p.Protocol == "" {
			t.Errorf("port %+v", p)
		}
	}
	if c.State.Running && c.State.ExitCode != nil {
		t.Errorf("it runs and has an exit code: %+v", c.State)
	}
	for name := range c.EnvVars {
		if !builtIn(t).Allowed(name) {
			t.Errorf("variable %s", name)
		}
	}
	if _, err := json.Marshal(c); err != nil {
		t.Error(err)
	}
}

func FuzzEventLine(f *testing.F) {
	for _, file := range []string{recordings + "/events.jsonl", recordings + "/events-compat.jsonl",
		handmade + "/events.jsonl"} {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(body) {
			f.Add(line)
		}
	}
	f.Add([]byte(`{"cause":"x","message":"cannot read events","response":500}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := decodeEvent(line)
		if err != nil {
			return
		}
		for _, major := range []int{4, 5} {
			s := newTestService(t)
			s.major = major
			ev := s.event(m)
			if ev.Container != nil && ev.Container.ID != "" {
				sound(t, ev.Container)
			}
			if ev.ExitCode != nil && *ev.ExitCode < 0 {
				t.Errorf("exit code %d", *ev.ExitCode)
			}
		}
	})
}

func FuzzContainerList(f *testing.F) {
	seed(f, recordings+"/containers.json", handmade+"/containers.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		var list []containerEntry
		if mapping.LenientJSON(json.Unmarshal(body, &list)) != nil {
			return
		}
		for i := range list {
			if c, err := mapList(&list[i]); err == nil {
				sound(t, c.Entity)
				if !sameAsListed(overlay(c.Entity, c.Entity), c.Entity) {
					t.Errorf("%+v differs from itself", c.Entity)
				}
			}
		}
	})
}

func FuzzInspect(f *testing.F) {
	seed(f, recordings+"/inspect/*.json", handmade+"/inspect/*.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		var in containerAnswer
		if mapping.LenientJSON(json.Unmarshal(body, &in)) != nil {
			return
		}
		in.restarts()
		if c, err := mapInspect(&in, builtIn(t)); err == nil {
			sound(t, c.Entity)
			if c.Policy == "" {
				t.Error("no policy")
			}
		}
	})
}

func FuzzImages(f *testing.F) {
	seed(f, recordings+"/images.json", recordings+"/image-inspect/*.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		var list []imageEntry
		if mapping.LenientJSON(json.Unmarshal(body, &list)) == nil {
			for i := range list {
				if e, err := mapImageList(&list[i]); err == nil && e.Name == "" {
					t.Errorf("%+v has no name", e)
				}
			}
		}
		var in imageAnswer
		if mapping.LenientJSON(json.Unmarshal(body, &in)) == nil {
			if e, err := mapImage(&in, builtIn(t)); err == nil {
				if _, err := json.Marshal(e); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
