// Package mutants judges the reports of the mutation tester for the project's build tool: how many
// deliberate faults the tests of a package have caught, and which of the others nobody has yet
// looked at.
package mutants

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Survivor is a mutant that no test has caught: its package folder and file, what was changed and
// the source line, without white space around it. The line's number is for the reader only: it
// moves with every edit above it.
type Survivor struct {
	File, Type, Line string
	Number           int
	Covered          bool // some test runs the line
}

// key names the mutant in the list of accepted ones.
func (s Survivor) key() string { return s.File + " | " + s.Type + " | " + s.Line }

// Score counts the mutants of one or more packages.
type Score struct {
	Caught    int
	Survivors []Survivor
}

// Add adds another score.
func (s *Score) Add(o Score) {
	s.Caught += o.Caught
	s.Survivors = append(s.Survivors, o.Survivors...)
}

// Percent is the share of mutants that were caught; those in lines that no test runs count as not
// caught. Without mutants it is 100.
func (s Score) Percent() float64 {
	all := s.Caught + len(s.Survivors)
	if all == 0 {
		return 100
	}
	return 100 * float64(s.Caught) / float64(all)
}

// report is what gremlins writes.
type report struct {
	Files []struct {
		Name      string `json:"file_name"`
		Mutations []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
			Line   int    `json:"line"`
		} `json:"mutations"`
	} `json:"files"`
}

// Read reads the report that gremlins has written about a package, whose folder is relative to the
// module. A mutant whose tests did not end in time counts as caught; one that does not compile is
// none.
func Read(path, folder string) (Score, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Score{}, err
	}
	var r report
	if err := json.Unmarshal(content, &r); err != nil {
		return Score{}, fmt.Errorf("mutants of %s: %w", folder, err)
	}
	var score Score
	for _, f := range r.Files {
		name := filepath.Join(folder, f.Name)
		source, err := os.ReadFile(name)
		if err != nil {
			return Score{}, fmt.Errorf("mutants of %s: %w", folder, err)
		}
		lines := strings.Split(string(source), "\n")
		for _, m := range f.Mutations {
			switch m.Status {
			case "KILLED", "TIMED OUT":
				score.Caught++
			case "LIVED", "NOT COVERED":
				if m.Line < 1 || m.Line > len(lines) {
					return Score{}, fmt.Errorf("mutants of %s: %s has no line %d", folder, f.Name,
						m.Line)
				}
				score.Survivors = append(score.Survivors, Survivor{
					File: filepath.ToSlash(name), Type: m.Type, Number: m.Line,
					Line: strings.TrimSpace(lines[m.Line-1]), Covered: m.Status == "LIVED",
				})
			}
		}
	}
	return score, nil
}

// Accepted is the list of survivors that somebody has looked at, with the reason why no test has to
// catch them.
type Accepted map[string]string

// ReadAccepted reads the list. A line is "<file> | <type> | <source line> | <reason>"; empty lines
// and those that begin with "#" do not count.
func ReadAccepted(path string) (Accepted, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	list := Accepted{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " | ")
		if at < 0 || strings.Count(line[:at], " | ") < 2 {
			return nil, fmt.Errorf("%s:%d: want <file> | <type> | <source line> | <reason>", path,
				n)
		}
		list[line[:at]] = line[at+3:]
	}
	return list, lines.Err()
}

// Print lists the survivors that are not accepted and ends with the share of those that were
// caught.
func (s Score) Print(w io.Writer, accepted Accepted) {
	known := 0
	for _, m := range s.Survivors {
		if accepted[m.key()] != "" {
			known++
			continue
		}
		word := "survived"
		if !m.Covered {
			word = "no test runs"
		}
		fmt.Fprintf(w, "%s: %s:%d | %s | %s\n", word, m.File, m.Number, m.Type, m.Line)
	}
	fmt.Fprintf(w, "mutants: %d caught, %d survived (of them %d with a reason): %.1f %% caught\n",
		s.Caught, len(s.Survivors), known, s.Percent())
}
