package mutants

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The mutants of a report are tried on a package, judged by the list of accepted ones, and counted.
func TestMutantsAreTriedAndCounted(t *testing.T) {
	if testing.Short() {
		t.Skip("builds small programs: left out by -short")
	}
	t.Chdir(t.TempDir())
	write(t, "go.mod", "module example.test/m\n\ngo 1.26\n")
	write(t, "a/a.go", `package a

func Max(x, y int) int {
	if x >= y {
		return x
	}
	return y
}

func Count(n int) (sum int) {
	for i := 0; i < n; i++ {
		sum++
	}
	return sum
}

func Loud(text string) string { return text + "!" }

func Echo(text string) string {
	return text + " " +
		text + "."
}
`)
	write(t, "a/a_test.go", `package a

import (
	"flag"
	"testing"
)

func Test(t *testing.T) {
	if flag.Lookup("test.timeout").Value.String() == "0s" {
		t.Fatal("would go on for ever")
	}
	if Max(1, 2) != 2 || Max(2, 1) != 2 || Count(3) != 3 || Loud("a") != "a!" ||
		Echo("a") != "a a." {
		t.Fatal("no")
	}
}
`)
	write(t, "a/below/b.go", "package below\n")
	list, err := Targets([]string{"a/"})[0].Find(t.TempDir(), func(folder, report string) error {
		// What is below and what only tests is nothing to gremlins, and nothing is compiled.
		if files, _ := filepath.Glob(filepath.Join(folder, "*")); len(files) != 3 ||
			filepath.Base(files[0]) != "_a.go" {
			t.Errorf("gremlins sees %q", files)
		}
		write(t, report, `{"files":[{"file_name":"_a.go","mutations":[
			{"type":"CONDITIONALS_BOUNDARY","line":4,"column":7},
			{"type":"CONDITIONALS_NEGATION","line":4,"column":7},
			{"type":"INCREMENT_DECREMENT","line":12,"column":6},
			{"type":"CONDITIONALS_BOUNDARY","line":11,"column":16},
			{"type":"ARITHMETIC_BASE","line":17,"column":45},
			{"type":"ARITHMETIC_BASE","line":21,"column":8}]}]}`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	trial, err := NewTrial("a", t.TempDir(), list)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "accepted", "# why\n\n"+
		"a/a.go | CONDITIONALS_BOUNDARY | if x >= y { | they are the same then\n")
	accepted, err := ReadAccepted("accepted")
	if err != nil {
		t.Fatal(err)
	}
	var score Score
	var survivors, invalid []string
	err = trial.TryAll(list, 2, func(m Mutant, fate Fate) {
		score.Count(m, fate, accepted)
		switch fate {
		case Survived:
			survivors = append(survivors, m.String())
		case Invalid:
			invalid = append(invalid, m.String())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(invalid)
	if !slices.Equal(survivors, []string{"a/a.go:4 | CONDITIONALS_BOUNDARY | if x >= y {"}) ||
		len(invalid) != 2 || !strings.Contains(invalid[0], "a/a.go:17 | ARITHMETIC_BASE") ||
		!strings.Contains(invalid[1], "a/a.go:21 | ARITHMETIC_BASE") {
		t.Errorf("survived: %q, do not compile: %q", survivors, invalid)
	}
	if want := (Score{Caught: 3, Survived: 1, Accepted: 1}); score != want ||
		score.Percent() != 75 {
		t.Errorf("%+v, %v %%", score, score.Percent())
	}

	// What does not end is stopped and counts as caught.
	trial.limit = 100 * time.Millisecond
	endless := Mutant{File: "a/a.go", Number: 11, Column: 22, Type: "INCREMENT_DECREMENT"}
	fate, err := trial.Try(endless)
	if fate != TimedOut || err != nil {
		t.Errorf("an endless mutant: %v, %v", fate, err)
	}
	score.Count(endless, fate, accepted)
	if want := (Score{Caught: 4, TimedOut: 1, Survived: 1, Accepted: 1}); score != want {
		t.Errorf("%+v", score)
	}
}

// Tests that fail by themselves catch nothing.
func TestATrialNeedsTestsThatPass(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a small program: left out by -short")
	}
	t.Chdir(t.TempDir())
	write(t, "go.mod", "module example.test/m\n\ngo 1.26\n")
	write(t, "a_test.go", `package m

import "testing"

func Test(t *testing.T) { t.Fatal("broken") }
`)
	if _, err := NewTrial(".", t.TempDir(), nil); err == nil ||
		!strings.Contains(err.Error(), "broken") {
		t.Errorf("a trial with a test that fails: %v", err)
	}
}

func TestAMutantIsInItsFolderFileAndLine(t *testing.T) {
	m := Mutant{File: "a/b/c.go", Number: 12}
	for which, want := range map[string]bool{
		"a/b": true, "a/b/c.go": true, "a/b/c.go:12": true,
		"a": false, "b": false, "a/b/d.go": false, "a/b/c.go:1": false,
	} {
		if m.in(which) != want {
			t.Errorf("in %s: %v", which, !want)
		}
	}
}

func TestTargetsAreByPackage(t *testing.T) {
	var got []string
	for _, target := range Targets([]string{"a/b", "a/c.go", "./a/b/c.go:3", "a"}) {
		got = append(got, target.Folder+": "+strings.Join(target.wanted, " "))
	}
	if want := []string{"a/b: a/b a/b/c.go:3", "a: a/c.go a"}; !slices.Equal(got, want) {
		t.Errorf("targets %q, want %q", got, want)
	}
}

// A folder, a file or a line with nothing to try is not a score of 100 %.
func TestNoMutantsAreAnError(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a/a.go", "package a\n\nvar _ = 1 + 2\n")
	for arg, want := range map[string]bool{"a": true, "a/a.go:3": true, "a/a.go:1": false,
		"a/b.go": false, "b": false} {
		_, err := Targets([]string{arg})[0].Find(t.TempDir(), func(folder, report string) error {
			found := "[]"
			if _, err := os.Stat(filepath.Join(folder, "_a.go")); err == nil {
				found = `[{"file_name":"_a.go","mutations":[{"type":"ARITHMETIC_BASE","line":3,"column":11}]}]`
			}
			write(t, report, `{"files":`+found+`}`)
			return nil
		})
		if _, none := errors.AsType[*NoneError](err); none == want || !none && err != nil {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestAnAcceptedSurvivorHasAReason(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "accepted", "a.go | BOUNDARY\n")
	if _, err := ReadAccepted("accepted"); err == nil {
		t.Error("a line without a reason is accepted")
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
