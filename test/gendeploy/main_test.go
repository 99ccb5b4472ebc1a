package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/rbac"
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
		var granted []string
		var options string
		for doc := range strings.SplitSeq(string(text), "---\n") {
			_, rules, _ := strings.Cut(doc, "\nrules:\n")
			granted = append(granted, bare(rules)...)
			if _, found, ok := strings.Cut(doc, "\n  rollcall.yaml: |\n"); ok {
				options = found
			}
		}
		path := filepath.Join(t.TempDir(), "rollcall.yaml")
		if err := os.WriteFile(path, []byte(options), 0o600); err != nil {
			t.Fatal(err)
		}
		specs := catalog.Collectors()
		conf, err := config.NewSchema(specs).Load(config.Source{File: path})
		if err != nil {
			t.Fatal(err)
		}
		var needed []string
		rules, err := rbac.Rules(specs, conf)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			needed = append(needed, bare(r.YAML())...)
		}
		slices.Sort(granted)
		slices.Sort(needed)
		if !slices.Equal(slices.Compact(granted), slices.Compact(needed)) {
			t.Errorf("%s grants %q, needed is %q; run: go run tasks.go gen", file, granted, needed)
		}
	}
}

// bare returns rules without what is said of them.
func bare(rules string) (list []string) {
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "- "):
			list = append(list, line)
		case line != "" && !strings.HasPrefix(line, "#"):
			list[len(list)-1] += " " + line
		}
	}
	return list
}
