package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Example returns a configuration file with every option, all of them commented out and with their
// defaults.
func (s *Schema) Example() string {
	var b strings.Builder
	b.WriteString(
		"# Configuration of rollcall. Everything is optional; what is commented out is the default.\n")
	group := ""
	for _, o := range s.byGroup() {
		indent := ""
		name := o.Name
		if g, rest, ok := strings.Cut(o.Name, "."); ok {
			if g != group {
				fmt.Fprintf(&b, "\n#%s:\n", g)
				group = g
			}
			indent, name = "  ", rest
		}
		b.WriteString("\n")
		for _, line := range fold(o.Doc, 96) {
			fmt.Fprintf(&b, "#%s # %s\n", indent, line)
		}
		fmt.Fprintf(&b, "#%s%s: %s\n", indent, name, o.Default)
	}
	return b.String()
}

// byGroup returns the options with those first that are in no group.
func (s *Schema) byGroup() []*Option {
	options := slices.Clone(s.options)
	slices.SortStableFunc(options, func(a, b *Option) int {
		return strings.Compare(groupOf(a.Name), groupOf(b.Name))
	})
	return options
}

func groupOf(name string) string {
	group, _, ok := strings.Cut(name, ".")
	if !ok {
		return ""
	}
	return group
}

// Render writes the effective configuration as a YAML file. Each option that is not at its default
// is followed by where it is from; with all, the others are there, too.
func (l *Loaded) Render(all bool) string {
	var b strings.Builder
	group := ""
	for _, o := range l.schema.byGroup() {
		from, set := l.From[o.Name]
		v := l.value(o)
		if !set && reflect.DeepEqual(v, o.fallback) && !all {
			continue
		}
		if !set {
			from = "default"
		}
		indent, name := "", o.Name
		if g, rest, ok := strings.Cut(o.Name, "."); ok {
			if g != group {
				fmt.Fprintf(&b, "%s:\n", g)
				group = g
			}
			indent, name = "  ", rest
		}
		fmt.Fprintf(&b, "%s%s: %s # %s\n", indent, name, inline(v), from)
	}
	return b.String()
}

// fold breaks a text into lines of at most width characters, where it has blanks.
func fold(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// Markdown returns the reference of all options for the documentation.
func (s *Schema) Markdown() string {
	var b strings.Builder
	b.WriteString("| Option | Type | Default | Meaning |\n|---|---|---|---|\n")
	for _, o := range s.byGroup() {
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", o.Name, o.Type, o.Default,
			strings.ReplaceAll(o.Doc, "|", `\|`))
	}
	return b.String()
}
