package deps_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The documentation of the architecture names folders and files. They have to be there.
func TestArchitectureNamesWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	path := regexp.MustCompile("`((?:comp|pkg|cmd|test)/[^`*… ]+)`")
	named := map[string]bool{}
	for _, m := range path.FindAllStringSubmatch(string(text), -1) {
		named[strings.TrimSuffix(m[1], "/")] = true
		if _, err := os.Stat("../../" + m[1]); err != nil {
			t.Errorf("docs/architecture.md: %v", err)
		}
	}
	// And every package of components has its paragraph.
	own, _ := list(t)
	for name := range own {
		for _, prefix := range []string{"comp/tagger/", "comp/workloadmeta/collectors/", "comp/"} {
			rest, ok := strings.CutPrefix(name, prefix)
			if ok && !strings.Contains(rest, "/") && !strings.Contains(string(text), rest) {
				t.Errorf("docs/architecture.md says nothing of %s", name)
			}
		}
	}
}
