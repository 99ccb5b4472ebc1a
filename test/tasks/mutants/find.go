package mutants

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Target is a package with what of it is to be tried.
type Target struct {
	Folder string   // from the module's
	wanted []string // folders, files or lines
}

// Targets sorts arguments, each a folder, a file or a line, "pkg/env/env.go:12", by their package.
func Targets(args []string) (targets []*Target) {
	known := map[string]*Target{}
	for _, arg := range args {
		arg = path.Clean(filepath.ToSlash(arg))
		folder := arg
		if file, _, ok := strings.Cut(arg, ".go"); ok {
			folder = path.Dir(file)
		}
		if known[folder] == nil {
			known[folder] = &Target{Folder: folder}
			targets = append(targets, known[folder])
		}
		known[folder].wanted = append(known[folder].wanted, arg)
	}
	return targets
}

// Find returns the target's mutants. gremlins is to write a report about the package in a folder;
// it sees a copy below dir in which nothing is to be compiled: it would run the tests of all
// packages below, to no purpose here.
func (t *Target) Find(dir string, gremlins func(folder, report string) error) ([]Mutant, error) {
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(t.Folder), "*.go"))
	if err != nil {
		return nil, err
	}
	alone := filepath.Join(dir, "alone")
	if err := os.Mkdir(alone, 0o700); err != nil {
		return nil, err
	}
	// The go command passes over files with an underscore in front.
	content := map[string]string{"go.mod": "module mutants\n", "mutants.go": "package mutants\n"}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		content[hidden+filepath.Base(file)] = string(source)
	}
	if len(content) == 2 {
		return nil, &NoneError{t.wanted}
	}
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(alone, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	report := filepath.Join(dir, "report.json")
	if err := gremlins(alone, report); err != nil {
		return nil, err
	}
	list, err := list(report, t.Folder)
	if err != nil {
		return nil, err
	}
	var found []Mutant
	for _, m := range list {
		for _, which := range t.wanted {
			if m.in(which) {
				found = append(found, m)
				break
			}
		}
	}
	if len(found) == 0 {
		return nil, &NoneError{t.wanted}
	}
	return found, nil
}

// hidden is what the names of copies begin with.
const hidden = "_"

// NoneError says that there is nothing to try.
type NoneError struct{ wanted []string }

func (e *NoneError) Error() string {
	return fmt.Sprintf("there are no mutants in %s", strings.Join(e.wanted, ", "))
}
