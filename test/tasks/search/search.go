// Package search finds packages for the project's build tool by the text of their tests.
package search

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// PackagesWith lists the folders of this module, as ./paths, with a test file that matches. Looking
// at the text first spares compiling the tests of all other packages.
func PackagesWith(text *regexp.Regexp) ([]string, error) {
	found := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." &&
			(strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() && path != ".":
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
				return fs.SkipDir // another module
			}
		case strings.HasSuffix(path, "_test.go"):
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if text.Match(content) {
				found["./"+filepath.ToSlash(filepath.Dir(path))] = true
			}
		}
		return nil
	})
	return slices.Sorted(maps.Keys(found)), err
}
