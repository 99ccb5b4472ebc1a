package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/template"
)

// tagRule makes tags of one key, or of all keys that a glob matches.
type tagRule struct {
	*compiled
	key   pattern // lower-case
	names []tagName
}

// tagName is one name of a tag rule. Without variables it is final; otherwise the name is
// made for each key.
type tagName struct {
	text     string
	name     string // if final: without "+"
	level    tagger.TagCardinality
	variable bool
}

func compileTag(c *compiled) (*tagRule, error) {
	t := &tagRule{compiled: c}
	switch {
	case !c.From.Field.Keyed():
		return nil, errors.New("from: want label, annotation or env")
	case c.From.Key == "":
		return nil, fmt.Errorf("from: %s: the key is empty", c.From.Field)
	case c.From.Field == Env:
		if err := checkVariable(c.From.Key); err != nil {
			return nil, fmt.Errorf("from: %w", err)
		}
	}
	var err error
	if t.key, err = compileGlob(strings.ToLower(c.From.Key)); err != nil {
		return nil, fmt.Errorf("from: %s: %w", c.From.Field, err)
	}
	if c.Level != nil && *c.Level > tagger.HighCardinality {
		return nil, fmt.Errorf("cardinality: want low, orchestrator or high, have %s", c.Level)
	}
	for _, text := range c.Names {
		n := tagName{text: text}
		if template.Has(text) {
			n.variable = true
			// In an option a variable that nobody knows has always been nothing.
			if variable, ok := template.Expand(text, func(name, key string) (string, bool) {
				return "", key == "" && isKeyVariable(name)
			}); !ok && c.Origin != Option {
				return nil, fmt.Errorf(
					"tag %q: unknown variable %s; want %%%%label%%%%, %%%%annotation%%%% or %%%%env%%%%",
					text, variable)
			}
		} else if n.name, n.level = SplitLevel(text); n.name == "" {
			if c.Origin == Option {
				continue // an empty item of a list has always made nothing
			}
			return nil, fmt.Errorf("tag %q: the name is empty", text)
		}
		if c.Level != nil && strings.HasPrefix(text, "+") {
			return nil, fmt.Errorf("tag %q: the \"+\" is a cardinality already", text)
		}
		if c.Origin != Option && strings.Contains(text, ":") {
			return nil, fmt.Errorf("tag %q: a tag's name has no colon", text)
		}
		if c.Level != nil {
			n.level = *c.Level
		}
		t.names = append(t.names, n)
	}
	if len(c.Names) == 0 {
		return nil, errors.New("tag: no name")
	}
	return t, nil
}

// isKeyVariable reports whether a variable stands for the key a tag is made of.
func isKeyVariable(name string) bool {
	return name == "label" || name == "annotation" || name == "env"
}

// SplitLevel takes the "+" for high cardinality off a tag name.
func SplitLevel(name string) (string, tagger.TagCardinality) {
	if rest, ok := strings.CutPrefix(name, "+"); ok {
		return rest, tagger.HighCardinality
	}
	return name, tagger.LowCardinality
}

// Made is a tag that a rule makes of a key.
type Made struct {
	Name string
	// Prefix belongs before the value. A key may have a colon, at the first of which the name
	// of a tag ends.
	Prefix string
	Level  tagger.TagCardinality
	Rule   *Rule
	index  int
}

// append adds the tags that the rule makes of a key.
func (r *tagRule) append(made []Made, key string) []Made {
	for i := range r.names {
		n := &r.names[i]
		m := Made{Name: n.name, Level: n.level, Rule: r.Rule, index: r.index}
		if n.variable {
			name, _ := template.Expand(n.text,
				func(variable, _ string) (string, bool) {
					if isKeyVariable(variable) {
						return key, true
					}
					return "", true
				})
			if r.Level != nil {
				m.Name = name
			} else {
				m.Name, m.Level = SplitLevel(name)
			}
		}
		if colon := strings.IndexByte(m.Name, ':'); colon >= 0 {
			m.Name, m.Prefix = m.Name[:colon], m.Name[colon+1:]+":"
		}
		if m.Name != "" {
			made = append(made, m)
		}
	}
	return made
}

// Table has the rules that may make tags of one sort of metadata. A nil Table has none.
type Table struct {
	exact    map[string][]entry // by lower-case key
	globs    []entry
	override bool // whether there are rules of which a later one replaces an earlier one
}

type entry struct {
	*tagRule
	always bool // all conditions are known to hold
}

// AnyResource stands, in [Set.Table], for the resources that no rule names.
const AnyResource = "*"

// Table returns the rules for the labels, annotations or variables of a kind of entity,
// which belong to a Kubernetes resource, "" = none.
func (s *Set) Table(from Field, kind workloadmeta.Kind, resource string) *Table {
	if s == nil {
		return nil
	}
	t := &Table{exact: map[string][]entry{}}
	for _, r := range s.tags {
		possible, always := r.static(kind, resource)
		if r.From.Field != from || !possible {
			continue
		}
		e := entry{tagRule: r, always: always}
		t.override = t.override || r.Origin != Option
		if r.key.exact() {
			t.exact[r.key.text] = append(t.exact[r.key.text], e)
		} else {
			t.globs = append(t.globs, e)
		}
	}
	if len(t.exact)+len(t.globs) == 0 {
		return nil
	}
	return t
}

// static answers the conditions that are decided by the kind and the resource: whether the
// rule may apply, and whether it always does.
func (r *tagRule) static(kind workloadmeta.Kind, resource string) (possible, always bool) {
	always = true
	for i := range r.conditions {
		c := &r.conditions[i]
		switch {
		case c.field == Kind:
			if !matchAny(c.patterns, kind.String()) {
				return false, false
			}
		case c.field == Resource && resource != AnyResource:
			if !matchText(c.patterns, resource) {
				return false, false
			}
		case c.field == Resource && !r.anyResource(i):
			return false, false
		default:
			always = false
		}
	}
	return true, always
}

// Resources returns the Kubernetes resources that conditions name, sorted.
func (s *Set) Resources() []string {
	var names []string
	for i := range s.Rules() {
		for _, c := range s.rules[i].When {
			if c.Field == Resource {
				names = append(names, c.Patterns...)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Match appends the tags that the key makes, for the subject, to made.
func (t *Table) Match(made []Made, key string, s *Subject) []Made {
	if t == nil {
		return made
	}
	lower := strings.ToLower(key)
	begin := len(made)
	for _, e := range t.exact[lower] {
		if e.always || s.applies(e.compiled) {
			made = e.append(made, key)
		}
	}
	for i := range t.globs {
		if e := &t.globs[i]; e.key.match(lower) && (e.always || s.applies(e.compiled)) {
			made = e.append(made, key)
		}
	}
	if t.override && len(made)-begin > 1 {
		return made[:begin+len(lastOfEach(made[begin:]))]
	}
	return made
}

// lastOfEach leaves of the tags of one name those of the last rule. Rules that come from
// options do not replace each other: all entries of an option that match apply.
func lastOfEach(made []Made) []Made {
	slices.SortStableFunc(made, func(a, b Made) int { return a.index - b.index })
	last := make(map[string]int, len(made)) // name → the last rule that replaces earlier ones
	for _, m := range made {
		if m.Rule.Origin != Option {
			last[m.Name] = m.index
		}
	}
	kept := made[:0]
	for _, m := range made {
		if index, ok := last[m.Name]; !ok || index <= m.index {
			kept = append(kept, m)
		}
	}
	return kept
}
