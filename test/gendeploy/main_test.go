package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/rbac"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

const chart = "../../deploy/helm/rollcall"

func TestTheChartIsUpToDate(t *testing.T) {
	files, err := generate(chart)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		have, err := os.ReadFile(filepath.Join(chart, name))
		if err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s of the chart is out of date (%v); run: go run tasks.go gen", name, err)
		}
	}
}

// The manifests are rendered by Helm, which is not at hand here. What they grant is compared, so
// that a change of what a collector needs does not leave them behind.
func TestTheManifestsGrantWhatIsNeeded(t *testing.T) {
	files, err := filepath.Glob("../../deploy/manifests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, granted, _ := strings.Cut(string(text), "\nkind: ClusterRole\n")
		_, granted, _ = strings.Cut(granted, "\nrules:\n")
		granted, _, _ = strings.Cut(granted, "---\n")
		_, options, _ := strings.Cut(string(text), "\n  rollcall.yaml: |\n")
		options, _, _ = strings.Cut(options, "---\n")
		var want strings.Builder
		for _, spec := range catalog.Collectors() { // the chart does not unite what several need
			for _, r := range needed(t, options, spec) {
				want.WriteString(rbac.Indent(r.YAML(), 2))
			}
		}
		if granted != want.String() {
			t.Errorf("%s grants\n%s\nneeded is\n%s\nrun: go run tasks.go gen", file, granted,
				want.String())
		}
	}
}

// needed returns the rules that a collector needs with the options that a manifest has.
func needed(t *testing.T, options string, spec collection.AnySpec) []rbac.Rule {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(file, []byte(options), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := config.NewSchema(catalog.Collectors()).Load(config.Source{File: file})
	if err != nil {
		t.Fatal(err)
	}
	return rbac.Rules([]collection.AnySpec{spec}, conf)
}
