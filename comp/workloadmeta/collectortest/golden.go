package collectortest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected entities in testdata")

// Update reports whether the flag -update is set: what is expected becomes what it is.
func Update() bool { return *update }

// secret is in every value that tests plant and nobody may report: hunter2, hunter3, …
const secret = "hunter"

// Golden compares a value, as JSON, with what a file of testdata has, which -update rewrites.
// Nothing of what was planted as a secret may be in it.
func Golden(t testing.TB, path string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if bytes.Contains(got, []byte(secret)) {
		t.Errorf("%s: a secret is in %s", path, got)
	}
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update accepts it):\n%s", path, diff)
	}
}

// Read decodes a JSON file of testdata.
func Read[T any](t testing.TB, path string) *T {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := new(T)
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}
