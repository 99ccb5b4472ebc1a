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

// Env names a file to which every test result is appended, and from which summary counts, so that
// several calls can end in one count.
const Env = "ROLLCALL_RESULTS"

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
	Reason string `json:"reason,omitempty"` // why it was skipped, or how the failure begins
	Step   string `json:"step,omitempty"`   // in what it failed: "race"
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

// Record notes a test that is not one of go test's, with what it has printed: it has passed if err
// is nil.
func (r *Results) Record(test string, err error, output string) {
	o := outcome{Test: test, Result: passed}
	if err != nil {
		o.Result, o.Reason = failed, beginning(output)
	}
	r.record(o)
}

func (r *Results) record(o outcome) {
	strength := []string{"", skipped, passed, failed}
	if before := r.tests[o.Test]; before.Result == failed && o.Result == failed {
		if before.Step != o.Step {
			before.Step += " and " + o.Step
		}
		o = before
	}
	if slices.Index(strength, o.Result) >= slices.Index(strength, r.tests[o.Test].Result) {
		r.tests[o.Test] = o
	}
}

// Append appends the results to a file, one JSON object a line, as those of a step.
func (r *Results) Append(path, step string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("save the results: %w", err)
	}
	encoder := json.NewEncoder(file)
	for _, o := range r.tests {
		if o.Result == failed {
			o.Step = step
		}
		err = errors.Join(err, encoder.Encode(o))
	}
	return errors.Join(err, file.Close())
}

// Print says why tests were skipped, then what failed, in which step and how, on a line each, and
// ends with the count, "N passed, N failed, N skipped": the last lines of a run say what is wrong.
func (r *Results) Print(w io.Writer) {
	count := map[string]int{}
	reasons := map[string]int{}
	var failures strings.Builder
	fmt.Fprintln(w)
	for _, name := range slices.Sorted(maps.Keys(r.tests)) {
		o := r.tests[name]
		count[o.Result]++
		switch {
		case o.Result == skipped:
			reasons[o.Reason]++
		case o.Result == failed && (o.Reason != "" || !r.failedBelow(name)):
			step := ""
			if o.Step != "" {
				step = " in " + o.Step
			}
			fmt.Fprintf(&failures, "failed%s: %s: %s\n", step, name,
				cmp.Or(o.Reason, "see its output"))
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(w, "skipped %d: %s\n", reasons[reason], reason)
	}
	fmt.Fprint(w, failures.String())
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", count[passed], count[failed],
		count[skipped])
}

// failedBelow reports whether a test has a subtest that failed, which then says how.
func (r *Results) failedBelow(name string) bool {
	for other, o := range r.tests {
		if o.Result == failed && strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

// maxReason bounds the line of a failure, in characters.
const maxReason = 500

// beginning returns, on one line, the first lines of what a failure has printed that say something:
// from the first message, panic or compiler's error on, if there is one.
func beginning(output string) string {
	if at := regexp.MustCompile(
		`(?m)^\s*(\S+\.go:\d+(:\d+)?: |panic: |fatal error: |WARNING: DATA RACE)`).FindStringIndex(
		output); at != nil {
		output = output[at[0]:]
	}
	var lines []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "$ ") ||
			strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "exit status ") {
			continue
		}
		if lines = append(lines, line); len(lines) == 4 {
			break
		}
	}
	text := []rune(strings.Join(lines, " | "))
	if len(text) > maxReason {
		text = append(text[:maxReason], '…')
	}
	return string(text)
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
	var errs bytes.Buffer
	cmd.Stderr = io.MultiWriter(os.Stderr, &errs)
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
		r.record(outcome{Test: strings.Join(cmd.Args, " "), Result: failed,
			Reason: beginning(errs.String())})
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
	build    strings.Builder             // what the compiler has said
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
		s.build.WriteString(e.Output)
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
			o.Reason = beginning(output)
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
				output = s.output[id].String() + output
				delete(s.output, id)
			}
		}
		if n[failed] == 0 {
			// Not a test but the package failed: it does not compile, or TestMain says so.
			s.failures++
			if strings.Contains(output, "[build failed]") {
				output = s.build.String()
			}
			s.results.record(outcome{Test: e.Package + " (package)", Result: failed,
				Reason: beginning(output)})
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
