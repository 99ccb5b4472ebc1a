// Package results counts what became of tests over several runs of go test, for the project's build
// tool.
package results

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// What became of a test, from the weakest to the strongest: of several runs of one test the
// strongest counts.
const (
	skipped = "skip"
	passed  = "pass"
	failed  = "fail"
)

type outcome struct {
	Test   string `json:"test"`
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"` // why it was skipped
}

// Results holds the outcome of each test, by package and name. Subtests count like tests.
type Results struct{ tests map[string]outcome }

// New returns results of no tests.
func New() *Results { return &Results{tests: map[string]outcome{}} }

// Read reads what [Results.Append] has written, by one process or several.
func Read(path string) (*Results, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := New()
	for line := range bytes.Lines(content) {
		var o outcome
		if err := json.Unmarshal(line, &o); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, line, err)
		}
		r.record(o)
	}
	return r, nil
}

// Record notes a test that is not one of go test's: it has passed if err is nil.
func (r *Results) Record(test string, err error) {
	result := passed
	if err != nil {
		result = failed
	}
	r.record(outcome{Test: test, Result: result})
}

func (r *Results) record(o outcome) {
	strength := []string{"", skipped, passed, failed}
	if slices.Index(strength, o.Result) >= slices.Index(strength, r.tests[o.Test].Result) {
		r.tests[o.Test] = o
	}
}

// Append appends the results to a file, one JSON object a line.
func (r *Results) Append(path string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("save the results: %w", err)
	}
	encoder := json.NewEncoder(file)
	for _, o := range r.tests {
		err = errors.Join(err, encoder.Encode(o))
	}
	return errors.Join(err, file.Close())
}

// Print lists what failed and why tests were skipped, and ends with the count, "N passed, N failed,
// N skipped".
func (r *Results) Print(w io.Writer) {
	count := map[string]int{}
	reasons := map[string]int{}
	fmt.Fprintln(w)
	for _, name := range slices.Sorted(maps.Keys(r.tests)) {
		o := r.tests[name]
		count[o.Result]++
		switch o.Result {
		case failed:
			fmt.Fprintln(w, "failed:", name)
		case skipped:
			reasons[o.Reason]++
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(w, "skipped %d: %s\n", reasons[reason], reason)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", count[passed], count[failed],
		count[skipped])
}

// GoTest runs a go test -json, shows on the standard output one line for each package and the
// output of what failed, and records the results. It takes the command's standard output for
// itself.
func (r *Results) GoTest(cmd *exec.Cmd) error {
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	s := stream{results: r, output: map[string]*strings.Builder{},
		packages: map[string]map[string]int{}}
	readErr := s.read(out)
	err = errors.Join(readErr, cmd.Wait())
	if err == nil {
		return nil
	}
	if s.failures == 0 {
		// It failed before any test ran; the reason is on stderr.
		r.record(outcome{Test: strings.Join(cmd.Args, " "), Result: failed})
	}
	return fmt.Errorf("go test: %w", err)
}

// event is a line of go test -json (go doc test2json, go help buildjson).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

type stream struct {
	results  *Results
	output   map[string]*strings.Builder // of what has not ended yet, by package and test
	packages map[string]map[string]int   // package → result → tests
	failures int
}

func (s *stream) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if len(line) > 0 && (line[0] != '{' || json.Unmarshal(line, &e) != nil) {
			fmt.Printf("%s", line) // the go command's own words
		} else if len(line) > 0 {
			s.handle(e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) handle(e event) {
	id := e.Package + "." + e.Test
	switch e.Action {
	case "build-output":
		fmt.Print(e.Output)
	case "output":
		if s.output[id] == nil {
			s.output[id] = &strings.Builder{}
		}
		if !strings.HasPrefix(e.Output, "=== ") {
			s.output[id].WriteString(e.Output)
		}
	case passed, failed, skipped:
		var output string
		if b := s.output[id]; b != nil {
			output = b.String()
			delete(s.output, id)
		}
		if e.Test == "" {
			s.packageEnded(e, output)
			return
		}
		o := outcome{Test: id, Result: e.Action}
		if e.Action == skipped {
			o.Reason = skipReason(output)
		}
		if e.Action == failed {
			s.failures++
			fmt.Printf("%s: %s", e.Package, cmp.Or(output, e.Test+" failed without output\n"))
		}
		s.count(e.Package, e.Action)
		s.results.record(o)
	}
}

func (s *stream) count(pkg, result string) {
	if s.packages[pkg] == nil {
		s.packages[pkg] = map[string]int{}
	}
	s.packages[pkg][result]++
}

func (s *stream) packageEnded(e event, output string) {
	n := s.packages[e.Package]
	word := "ok    "
	switch {
	case e.Action == failed:
		word = "FAILED"
		fmt.Print(output)
		// A crash or the end of the time leaves tests without an end, and the reason is in what
		// they have printed.
		for _, id := range slices.Sorted(maps.Keys(s.output)) {
			if test, ok := strings.CutPrefix(id, e.Package+"."); ok &&
				!strings.Contains(test, ".") {
				fmt.Printf("%s did not end:\n%s", id, s.output[id])
				delete(s.output, id)
			}
		}
		if n[failed] == 0 {
			// Not a test but the package failed: it does not compile, or TestMain says so.
			s.failures++
			s.results.record(outcome{Test: e.Package + " (package)", Result: failed})
		}
	case n == nil:
		return // no tests
	}
	fmt.Printf("%s %s %.1fs: %d passed, %d failed, %d skipped\n", word, e.Package, e.Elapsed,
		n[passed], n[failed], n[skipped])
}

// skipReason finds what a test passed to Skip in its output: "    file.go:12: reason".
func skipReason(output string) string {
	logged := regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)$`).FindAllStringSubmatch(output, -1)
	if logged == nil {
		return "no reason given"
	}
	return logged[len(logged)-1][1]
}
