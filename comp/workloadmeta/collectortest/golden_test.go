package collectortest_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// spy notes what a test would fail with.
type spy struct {
	testing.TB
	errors []string
}

func (s *spy) Errorf(format string, args ...any) {
	s.errors = append(s.errors, fmt.Sprintf(format, args...))
}

func TestGoldenFindsDifferencesAndSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "want.json")
	if err := os.WriteFile(path, []byte("{\n \"a\": \"b\"\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		value string
		want  []string
	}{
		{"b", nil},
		{"c", []string{"-want +got"}},
		{"a hunter2 b", []string{"a secret is in", "-want +got"}},
	} {
		s := &spy{TB: t}
		collectortest.Golden(s, path, map[string]string{"a": tc.value})
		if len(s.errors) != len(tc.want) {
			t.Errorf("%s: errors %q, want %q", tc.value, s.errors, tc.want)
			continue
		}
		for i, want := range tc.want {
			if !strings.Contains(s.errors[i], want) || !strings.Contains(s.errors[i], path) {
				t.Errorf("%s: error %q, want %q", tc.value, s.errors[i], want)
			}
		}
	}
}

func TestRecorderSavesWhatADaemonAnswers(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "d.sock")
	collectortest.ServeSocket(t, socket,
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"Path":"%s","Root":"%s/x","Host":"here","There":"where"}`+"\n",
				r.URL.Path,
				dir)
		}))
	r := collectortest.NewRecorder(t, filepath.Join(dir, "out"), dir, "/srv", `"here"`, `"host"`)
	body := collectortest.Ask(t, socket, "/c1/json")
	r.Save("inspect/c1.json", body)
	r.Save("events.jsonl", body)
	type answer struct{ Path, Root, Host, There string }
	if got, want := *collectortest.Read[answer](t, filepath.Join(dir, "out/inspect/c1.json")),
		(answer{"/c1/json", "/srv/x", "host", "where"}); got != want {
		t.Errorf("saved %+v, want %+v", got, want)
	}
	for name, lines := range map[string]int{"inspect/c1.json": 6, "events.jsonl": 1} {
		text, err := os.ReadFile(filepath.Join(dir, "out", name))
		if err != nil || strings.Count(string(text), "\n") != lines ||
			strings.Contains(string(text), dir) {
			t.Errorf("%s: %q, %v; want %d lines", name, text, err, lines)
		}
	}
}
