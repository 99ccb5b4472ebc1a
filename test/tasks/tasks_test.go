// Package tasks_test holds tasks.go, the build tool, to its promises by running it on small
// modules.
package tasks_test

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var tool string

func TestMain(m *testing.M) {
	flag.Parse() // for testing.Short
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if testing.Short() {
		return m.Run() // nothing needs the tool
	}
	dir, err := os.MkdirTemp("", "tasks")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	tool = filepath.Join(dir, "tasks.exe")
	if out, err := exec.Command("go", "build", "-o", tool,
		"../../tasks.go").CombinedOutput(); err != nil {
		panic(string(out))
	}
	return m.Run()
}

// module writes a module and returns its folder. Names of files are keys, with slashes.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs small modules: left out by -short")
	}
	dir := t.TempDir()
	files["go.mod"] = "module example.test/m\n\ngo 1.26.0\n"
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// call runs the tool in a module. The results of the modules' tests must not enter those of the run
// that this test is part of, hence the empty variable.
func call(t *testing.T, dir string, env []string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.Command(tool, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "ROLLCALL_RESULTS=", "ROLLCALL_REALNODE=", "GOFLAGS="),
		env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return lines[len(lines)-1]
}

const mixed = `package a

import "testing"

func TestGood(t *testing.T) {
	t.Run("one", func(t *testing.T) {})
	t.Run("two", func(t *testing.T) { t.Log("a hint"); t.Skip("no moon tonight") })
}

func TestOther(t *testing.T) { t.Skip("no moon tonight") }

func TestBare(t *testing.T) { t.SkipNow() }
`

func TestSummaryCountsSkippedTestsWithTheirReasons(t *testing.T) {
	dir := module(t, map[string]string{"a/a_test.go": mixed})
	out, code := call(t, dir, nil, "test")
	if code != 0 || lastLine(out) != "2 passed, 0 failed, 3 skipped" {
		t.Fatalf("exit code %d, want 0 and 2 passed, 0 failed, 3 skipped:\n%s", code, out)
	}
	for _, want := range []string{
		"$ go vet ./...\n", "$ go test -json", "skipped 2: no moon tonight\n",
		"skipped 1: no reason given\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
}

func TestFailuresAreShownAndCounted(t *testing.T) {
	const head = "package a\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Exit\n\n"
	for _, tc := range []struct {
		name, source, closing, shown string
	}{
		{
			"test", head + "func TestBad(t *testing.T) { t.Error(\"two is not three\") }\n",
			"1 passed, 1 failed, 0 skipped", "two is not three",
		},
		{
			"panic", head + "func TestBad(t *testing.T) { panic(\"lost my keys\") }\n",
			"1 passed, 1 failed, 0 skipped", "lost my keys",
		},
		{
			"exit", head +
				"func TestMain(m *testing.M) { m.Run(); println(\"leaked\"); os.Exit(1) }\n",
			"1 passed, 1 failed, 0 skipped", "leaked",
		},
		{
			"goroutine", head +
				"func TestBad(t *testing.T) { go func() { panic(\"lost my hat\") }(); select {} }\n",
			"1 passed, 1 failed, 0 skipped", "lost my hat",
		},
		{
			"exit in a test", head +
				"func TestBad(t *testing.T) { println(\"left in a hurry\"); os.Exit(3) }\n",
			"1 passed, 1 failed, 0 skipped", "left in a hurry",
		},
		{
			"compile error", head + "func TestBad(t *testing.T) { undefinedName() }\n",
			"1 passed, 1 failed, 0 skipped", "undefinedName",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := module(t, map[string]string{
				"a/a_test.go": tc.source,
				"b/b_test.go": "package b\n\nimport \"testing\"\n\nfunc TestFine(*testing.T) {}\n",
			})
			out, code := call(t, dir, nil, "test")
			if code != 1 || !strings.Contains(out, "\n"+tc.closing+"\n") ||
				!strings.Contains(out, tc.shown) {
				t.Fatalf("exit code %d, want 1, %q and %q:\n%s", code, tc.closing, tc.shown, out)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			last := ""
			for _, line := range lines {
				if strings.HasPrefix(line, "failed: example.test/m/a") {
					last = line
				}
			}
			if !strings.Contains(last, tc.shown) {
				t.Errorf("at the end the failure is %q, without its reason", last)
			}
		})
	}
}

// The last lines of a run are often all that is left of it.
func TestSummaryEndsWithWhatFailedWhereAndHow(t *testing.T) {
	dir := module(t, map[string]string{
		"a/a_test.go": `package a

import "testing"

func TestBad(t *testing.T) {
	t.Run("odd", func(t *testing.T) {
		println("much else")
		t.Error("two is not three\n\nand neither four")
		t.Error("five")
		t.Error("six")
		t.Error("seven")
	})
	t.Run("even", func(t *testing.T) {})
}
`,
		// On one line, or the task fuzz would look for the target in this package.
		"a/fuzz_test.go": "package a\n\nimport \"testing\"\n\nfunc FuzzText(f *testing.F) {\n" +
			"\tf.Add(\"\")\n" +
			"\tf.Fuzz(func(t *testing.T, s string) { t.Fatal(\"no text will do\") })\n}\n",
		"a/a.go": "package a\n\nimport \"syscall\"\n\nvar _ = syscall.Unmount\n",
		"b/b_test.go": "package b\n\nimport \"testing\"\n\n" +
			"func TestSkip(t *testing.T) { t.Skip(\"not here\") }\n",
	})
	env := []string{"ROLLCALL_RESULTS=" + filepath.Join(t.TempDir(), "results")}
	const except = "test,daemons,e2e,e2e -newest,lint,build,helm,bench"
	call(t, dir, env, "test", "-run=Test", "./...")
	out, code := call(t, dir, env, "check", "-except", except)
	_, end, _ := strings.Cut(out, "\n== all steps\n")
	_, end, _ = strings.Cut(end, "skipped 1: not here\n")
	lines := strings.Split(end, "\n")
	for i, want := range []string{
		"failed in fuzz -fuzztime=2000x: ./a.FuzzText (fuzzed): fuzz_test.go:7: no text will do",
		"failed in race: example.test/m/a.FuzzText/seed#0: fuzz_test.go:7: no text will do",
		"failed in test -run=Test ./... and race: example.test/m/a.TestBad/odd: " +
			"a_test.go:8: two is not three | and neither four | a_test.go:9: five | " +
			"a_test.go:10: six",
		"failed in cross: the step itself: a/a.go:5:17: undefined: syscall.Unmount",
		" passed, ",
	} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d after what was skipped is not %q in\n%s", i, want, out)
		}
	}
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

// TestSeveralRunsEndInOneCount runs a test that skips in one run and passes in another. It has
// passed.
func TestSeveralRunsEndInOneCount(t *testing.T) {
	dir := module(t, map[string]string{
		"test/e2e/e2e_test.go": `package e2e

import (
	"os"
	"testing"
)

func TestDaemon(t *testing.T) {
	if os.Getenv("ROLLCALL_REALNODE") != "1" {
		t.Skip("needs daemons")
	}
}

func TestNever(t *testing.T) { t.Skip("not here") }
`,
		"a/a_test.go": "package a\n\nimport \"testing\"\n\nfunc FuzzText(f *testing.F) { f.Fuzz(func(*testing.T, string) {}) }\n",
	})
	env := []string{"ROLLCALL_RESULTS=" + filepath.Join(t.TempDir(), "results")}
	for _, step := range []struct {
		args    []string
		closing string
	}{
		{[]string{"test"}, "1 passed, 0 failed, 2 skipped"},
		{[]string{"e2e"}, "1 passed, 0 failed, 1 skipped"},
		{[]string{"fuzz", "-fuzztime=10x"}, "1 passed, 0 failed, 0 skipped"},
		{[]string{"summary"}, "3 passed, 0 failed, 1 skipped"},
	} {
		if out, code := call(t, dir, env, step.args...); code != 0 ||
			lastLine(out) != step.closing {
			t.Fatalf("%v: exit code %d, want 0 and %s:\n%s", step.args, code, step.closing, out)
		}
	}
}

func TestWrongCallsAreUsageErrors(t *testing.T) {
	dir := module(t, map[string]string{})
	for _, args := range [][]string{{}, {"nonesuch"}, {"fuzz", "-fuzztime=soon"},
		{"lint", "twice"}, {"fuzz"}, {"check", "-except", "tset"}} {
		if out, code := call(t, dir, nil, args...); code != 2 || strings.TrimSpace(out) == "" {
			t.Errorf("%v: exit code %d, want 2 and a message:\n%s", args, code, out)
		}
	}
}

// What nothing matches is a wrong call, and no result is written of it.
func TestWhatNothingMatches(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the benchmarks: left out by -short")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rows.json")
	for want, args := range map[string][]string{
		`the name of no benchmark contains "nonesuch"`: {"bench", "-only", "nonesuch", "-o", file},
		"there are no mutants in docs":                 {"mutate", "docs"},
		"there are no mutants in pkg/env/env.go:1":     {"mutate", "pkg/env/env.go:1"},
	} {
		if out, code := call(t, root, nil, args...); code != 2 || !strings.Contains(out, want) {
			t.Errorf("%v: exit code %d, want 2 and %q:\n%s", args, code, want, out)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("bench has written rows")
	}
}

func TestTasksSayWhatIsMissing(t *testing.T) {
	dir := module(t, map[string]string{"a/a.go": "package a\n"})
	for task, want := range map[string]string{
		"build": "cmd/rollcall",
		"bench": "test/bench",
		"e2e":   "real daemons",
	} {
		if out, code := call(t, dir, nil, task); code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, want 1 and a message with %q:\n%s", task, code, want, out)
		}
	}
}

func TestBenchThatWritesNothingFails(t *testing.T) {
	dir := module(t, map[string]string{
		"test/bench/main.go": "package main\n\nfunc main() {}\n",
		"bench.json":         "of an earlier run",
	})
	earlier := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "bench.json"), earlier, earlier); err != nil {
		t.Fatal(err)
	}
	if out, code := call(t, dir, nil, "bench"); code != 1 || !strings.Contains(out, "bench.json") {
		t.Errorf("exit code %d, want 1 and a message about bench.json:\n%s", code, out)
	}
}

func TestBuildAndCrossBuildWhatIsThere(t *testing.T) {
	dir := module(t, map[string]string{
		"cmd/rollcall/main.go": "package main\n\nvar version string\n\nfunc main() { println(version) }\n",
		"linux/x_linux.go":     "package linux\n\nimport \"syscall\"\n\nvar _ = syscall.Unmount\n",
	})
	for _, task := range []string{"build", "cross"} {
		if out, code := call(t, dir, nil, task); code != 0 {
			t.Fatalf("%s: exit code %d:\n%s", task, code, out)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "bin", "rollcall*")); len(found) != 1 {
		t.Errorf("bin holds %v, want rollcall", found)
	}
	if err := os.WriteFile(filepath.Join(dir, "linux", "y.go"),
		[]byte("package linux\n\nimport \"syscall\"\n\nvar _ = syscall.Unmount\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := call(t, dir, nil, "cross"); code != 1 ||
		!strings.Contains(out, "GOOS=windows") {
		t.Errorf("cross with code for Linux only: exit code %d, want 1:\n%s", code, out)
	}
}
