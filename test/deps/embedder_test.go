package deps_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	// Old modules below ours ask for a google.golang.org/genproto of before it was split, which has
	// packages that are modules of their own now. A program that requires rollcall would have them
	// twice, which go mod tidy refuses. This import makes our go.mod ask for one of after the
	// split.
	_ "google.golang.org/genproto/googleapis/type/dayofweek"
)

// A program that requires rollcall can be made by the go command alone: no requirement has to be
// found out by hand. It looks at what only an embedder's go.mod has: the tests of our dependencies.
func TestEmbedderCanTidy(t *testing.T) {
	if testing.Short() {
		t.Skip("asks the module proxy")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/embedder\n\ngo 1.26\n\nrequire " +
			strings.TrimSuffix(module, "/") + " v0.0.0\n\nreplace " +
			strings.TrimSuffix(module, "/") + " => " + root + "\n",
		"main.go": "package main\n\nimport (\n\t_ \"" + module + "comp/agent\"\n\t_ \"" +
			module + "comp/catalog\"\n)\n\nfunc main() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "tidy")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	for _, offline := range []string{"dial tcp", "no such host", "GOPROXY=off"} {
		if err != nil && strings.Contains(string(out), offline) {
			t.Skip("the module proxy cannot be reached: " + offline)
		}
	}
	if err != nil {
		t.Errorf("go mod tidy: %v\n%s", err, out)
	}
}
