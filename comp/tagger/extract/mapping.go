package extract

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gobwas/glob"

	"github.com/rollcall-dev/rollcall/comp/tagger"
)

// mapping is a compiled map option: metadata key → tag names. The zero mapping
// matches nothing.
type mapping struct {
	exact map[string]*mappingRule // by lower-case key
	globs []*mappingRule          // sorted by key
}

// mappingRule is one entry of a map option.
type mappingRule struct {
	option    string // "container_labels_as_tags"
	key       string // as configured
	glob      *glob.Pattern
	templates []nameTemplate
}

// nameTemplate is one tag name of an entry. Without variables it is final; otherwise
// the name is made for each metadata key.
type nameTemplate struct {
	text     string
	name     string // if final: without "+"
	level    tagger.TagCardinality
	variable bool
}

// configured is one map option with its name.
type configured struct {
	option  string
	entries map[string]string
}

// newMapping compiles options into one mapping. For a key that is in several, the
// last option wins. Of several spellings of a key in one option the last in byte order
// wins. Every glob that does not compile is reported by calling problem.
func newMapping(problem func(error), options ...configured) mapping {
	rules := map[string]*mappingRule{}
	for _, o := range options {
		for _, key := range sortedKeys(o.entries) {
			rules[strings.ToLower(key)] = &mappingRule{option: o.option, key: key, templates: compileNames(o.entries[key])}
		}
	}
	var m mapping
	for _, key := range slices.Sorted(maps.Keys(rules)) {
		r := rules[key]
		if !strings.Contains(key, "*") {
			if m.exact == nil {
				m.exact = map[string]*mappingRule{}
			}
			m.exact[key] = r
			continue
		}
		pattern, err := glob.Compile(key)
		if err != nil {
			problem(fmt.Errorf("option %s: key %q: %w", r.option, r.key, err))
			continue
		}
		r.glob = pattern
		m.globs = append(m.globs, r)
	}
	return m
}

func compileNames(list string) []nameTemplate {
	var templates []nameTemplate
	for part := range strings.SplitSeq(list, ",") {
		t := nameTemplate{text: strings.TrimSpace(part)}
		if _, _, _, ok := nextVariable(t.text, 0); ok {
			t.variable = true
		} else {
			t.name, t.level = autoLevel(t.text)
			if t.name == "" {
				continue
			}
		}
		templates = append(templates, t)
	}
	return templates
}

// resolve returns the tag name and level for a metadata key.
func (t *nameTemplate) resolve(key string) (string, tagger.TagCardinality) {
	if !t.variable {
		return t.name, t.level
	}
	name, _ := expand(t.text, func(variable, _ string) (string, bool) {
		switch variable {
		case "label", "annotation", "env":
			return key, true
		}
		return "", true // a variable nobody knows is nothing
	})
	return autoLevel(name)
}

// autoLevel takes the "+" for high cardinality off a tag name.
func autoLevel(name string) (string, tagger.TagCardinality) {
	if rest, ok := strings.CutPrefix(name, "+"); ok {
		return rest, tagger.HighCardinality
	}
	return name, tagger.LowCardinality
}

func (m *mapping) empty() bool { return len(m.exact) == 0 && len(m.globs) == 0 }

// apply adds the tags of all entries that match a key of the metadata.
func (m *mapping) apply(b *builder, r rule, metadata map[string]string) {
	if m.empty() {
		return
	}
	for key, value := range metadata {
		lower := strings.ToLower(key)
		if entry := m.exact[lower]; entry != nil {
			entry.apply(b, r, key, value)
		}
		for _, entry := range m.globs {
			if entry.glob.Match(lower) {
				entry.apply(b, r, key, value)
			}
		}
	}
}

func (e *mappingRule) apply(b *builder, r rule, key, value string) {
	for i := range e.templates {
		name, level := e.templates[i].resolve(key)
		b.addMapped(r, e, key, name, value, level)
	}
}

// union returns the entries of both maps under lower-case keys; for a key that is in
// both, first wins.
func union(first, second map[string]string) map[string]string {
	out := make(map[string]string, len(first)+len(second))
	for _, m := range []map[string]string{second, first} {
		for _, key := range sortedKeys(m) {
			out[strings.ToLower(key)] = m[key]
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
