package cgroup

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Line is one line of /proc/<pid>/cgroup.
type Line struct {
	Hierarchy   int      // 0 for the unified hierarchy
	Controllers []string // nil for the unified hierarchy; "name=systemd" for a named one
	Path        string   // relative to the reader's cgroup namespace
}

// Parse reads the content of /proc/<pid>/cgroup ("hierarchy:controllers:path",
// cgroups(7)). Lines that cannot be read make an error that quotes the first of
// them; the lines that can are returned all the same, and blank ones are
// skipped.
func Parse(r io.Reader) ([]Line, error) {
	var lines []Line
	var bad error
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		text := s.Text()
		if text == "" {
			continue
		}
		line, err := parseLine(text)
		if err != nil {
			if bad == nil {
				bad = fmt.Errorf("parse cgroup line %d: %w", n, err)
			}
			continue
		}
		lines = append(lines, line)
	}
	if err := s.Err(); err != nil {
		return lines, fmt.Errorf("read cgroup lines: %w", err)
	}
	return lines, bad
}

func parseLine(text string) (Line, error) {
	// The path comes last and may itself contain colons.
	hierarchy, rest, ok := strings.Cut(text, ":")
	controllers, path, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return Line{}, fmt.Errorf("%q is not hierarchy:controllers:path", text)
	}
	number, err := strconv.ParseUint(hierarchy, 10, 31)
	if err != nil {
		return Line{}, fmt.Errorf("hierarchy %q of %q is not a number", hierarchy, text)
	}
	if !strings.HasPrefix(path, "/") {
		return Line{}, fmt.Errorf("path %q of %q does not begin with a slash", path, text)
	}
	l := Line{Hierarchy: int(number), Path: path}
	if controllers != "" {
		l.Controllers = strings.Split(controllers, ",")
	}
	return l, nil
}

// FindInLines returns the container of the first line that has one known to
// known, else of the first line that has one at all, whatever its controllers:
// a runtime may leave a process in the root of some hierarchies.
func FindInLines(lines []Line, known func(id string) bool) (Match, bool) {
	var first Match
	found := false
	for _, l := range lines {
		m, ok := Find(l.Path, known)
		if !ok {
			continue
		}
		if known == nil || known(m.ID) {
			return m, true
		}
		if !found {
			first, found = m, true
		}
	}
	return first, found
}

// ContainerID is [FindInLines] for callers who want a container and nothing
// else; see [ContainerIDFromPath].
func ContainerID(lines []Line, known func(id string) bool) (id string, ok bool) {
	m, ok := FindInLines(lines, known)
	if !ok || (m.Sandbox || m.AtRoot) && (known == nil || !known(m.ID)) {
		return "", false
	}
	return m.ID, true
}
