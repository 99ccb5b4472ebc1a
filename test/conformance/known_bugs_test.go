package conformance_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// knownBugs is how many rows docs/known-bugs.md has to have.
const knownBugs = 42

var (
	bugRow    = regexp.MustCompile(`^\|\s*(\d+)\s*\|`)
	codeSpan  = regexp.MustCompile("`([^`]*)`")
	namedTest = regexp.MustCompile(`^([\w/]+): (Test\w+)$`)
	bugInName = regexp.MustCompile(`^TestBug(\d+)(?:And(\d+))?`)
)

// TestEveryKnownBugHasATest checks docs/known-bugs.md: each bug has a row, and each row names tests
// that there are. A row may say "none: …" in their place where rollcall cannot repeat the bug.
func TestEveryKnownBugHasATest(t *testing.T) {
	const doc = "docs/known-bugs.md"
	text, err := os.ReadFile(filepath.Join("../..", doc))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[int]int{}
	for line := range strings.Lines(string(text)) {
		m := bugRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[1]) // the expression has digits only
		rows[n]++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			t.Errorf("%s, bug %d: %d cells, want 5", doc, n, len(cells))
			continue
		}
		tests := strings.TrimSpace(cells[4])
		if strings.HasPrefix(tests, "none: ") {
			continue
		}
		spans := codeSpan.FindAllStringSubmatch(tests, -1)
		if rest := strings.TrimSpace(codeSpan.ReplaceAllString(tests, "")); len(spans) == 0 ||
			rest != "" {
			t.Errorf("%s, bug %d: want tests in backquotes, or \"none: \" and why; there is %q",
				doc, n, tests)
		}
		for _, span := range spans {
			checkTest(t, doc, n, span[1])
		}
	}
	for n := range knownBugs {
		if rows[n+1] != 1 {
			t.Errorf("%s: bug %d has %d rows", doc, n+1, rows[n+1])
		}
	}
	if len(rows) != knownBugs {
		t.Errorf("%s: %d bugs, want %d", doc, len(rows), knownBugs)
	}
}

// checkTest checks that a test, named as "package folder: function", is there and belongs to the
// bug.
func checkTest(t *testing.T, doc string, bug int, name string) {
	t.Helper()
	m := namedTest.FindStringSubmatch(name)
	if m == nil {
		t.Errorf("%s, bug %d: %q is not of the form \"folder/of/package: TestName\"", doc, bug,
			name)
		return
	}
	if numbers := bugInName.FindStringSubmatch(m[2]); numbers != nil &&
		!slices.Contains(numbers[1:], strconv.Itoa(bug)) {
		t.Errorf("%s, bug %d: %s is about another bug", doc, bug, m[2])
	}
	files, err := filepath.Glob(filepath.Join("../..", m[1], "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains("\n"+string(code), "\nfunc "+m[2]+"(") {
			return
		}
	}
	t.Errorf("%s, bug %d: there is no %s in %s", doc, bug, m[2], m[1])
}
