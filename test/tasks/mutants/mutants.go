// Package mutants shows for the project's build tool how many deliberate faults the tests of a
// package catch, and which of the others nobody has yet looked at. The faults are those that
// gremlins, a mutation tester, finds possible in the source. They are tried here and not by it: it
// takes conditions in case clauses for code that no test runs, and does not tell a test that fails
// from a fault that does not compile.
package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Mutant is a deliberate fault: one operator of the source that is another.
type Mutant struct {
	File           string // from the module's folder, with slashes
	Number, Column int    // of the operator; they move with every edit above it
	Type           string // what kind of change it is: "CONDITIONALS_BOUNDARY"
	Line           string // the source line, without white space around it
}

// key names the mutant in the list of accepted ones.
func (m Mutant) key() string { return m.File + " | " + m.Type + " | " + m.Line }

func (m Mutant) String() string {
	return fmt.Sprintf("%s:%d | %s | %s", m.File, m.Number, m.Type, m.Line)
}

// in reports whether the mutant is in a folder, a file or a line, "pkg/env/env.go:12".
func (m Mutant) in(which string) bool {
	return which == path.Dir(m.File) || which == m.File ||
		which == fmt.Sprintf("%s:%d", m.File, m.Number)
}

// list returns the mutants in a report that gremlins has written about a copy of a package, whose
// folder is relative to the module's.
func list(report, folder string) ([]Mutant, error) {
	content, err := os.ReadFile(report)
	if err != nil {
		return nil, err
	}
	var found struct {
		Files []struct {
			Name      string `json:"file_name"`
			Mutations []struct {
				Type   string `json:"type"`
				Line   int    `json:"line"`
				Column int    `json:"column"`
			} `json:"mutations"`
		} `json:"files"`
	}
	if err := json.Unmarshal(content, &found); err != nil {
		return nil, fmt.Errorf("mutants of %s: %w", folder, err)
	}
	var out []Mutant
	for _, f := range found.Files {
		name := filepath.ToSlash(filepath.Join(folder, strings.TrimPrefix(f.Name, hidden)))
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("mutants of %s: %w", folder, err)
		}
		lines := strings.Split(string(source), "\n")
		for _, at := range f.Mutations {
			if at.Line < 1 || at.Line > len(lines) {
				return nil, fmt.Errorf("mutants of %s: %s has no line %d", folder, f.Name, at.Line)
			}
			out = append(out, Mutant{File: name, Number: at.Line, Column: at.Column, Type: at.Type,
				Line: strings.TrimSpace(lines[at.Line-1])})
		}
	}
	return out, nil
}

// operators are the changes of each type.
var operators = map[string]map[string]string{
	"ARITHMETIC_BASE":       {"+": "-", "-": "+", "*": "/", "/": "*", "%": "*"},
	"CONDITIONALS_BOUNDARY": {">=": ">", ">": ">=", "<=": "<", "<": "<="},
	"CONDITIONALS_NEGATION": {"==": "!=", "!=": "==", ">=": "<", "<": ">=", ">": "<=", "<=": ">"},
	"INCREMENT_DECREMENT":   {"++": "--", "--": "++"},
}

// apply returns the source of the mutant's file with the fault in it.
func (m Mutant) apply(source string) (string, error) {
	lines := strings.SplitAfter(source, "\n")
	line := lines[m.Number-1]
	for _, length := range []int{2, 1} { // ">=" is not ">"
		from, to := m.Column-1, m.Column-1+length
		if to > len(line) {
			continue
		}
		if by, ok := operators[m.Type][line[from:to]]; ok {
			lines[m.Number-1] = line[:from] + by + line[to:]
			return strings.Join(lines, ""), nil
		}
	}
	return "", fmt.Errorf("no operator for the mutant at column %d of %v", m.Column, m)
}
