package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/template"
)

// Set is a compiled list of rules. It is immutable and may be used by any number of
// goroutines. A nil Set has no rules. Create one with [Compile].
type Set struct {
	rules     []Rule
	selection []*compiled // exclude and include, in order
	tags      []*tagRule  // in order
	effects   effects
}

// Compile compiles a list of rules, of which the last that applies wins. Its error joins
// everything that is wrong; each part names the rule and where it is written.
func Compile(list []Rule) (*Set, error) {
	s := &Set{rules: slices.Clone(list)}
	s.effects.exact = map[string][]*effect{}
	var errs []error
	for i := range s.rules {
		if err := s.add(i); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.rules[i].Label(), err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.effects.index()
	return s, nil
}

// Check reports what is wrong with a rule.
func (r Rule) Check() error {
	s := &Set{rules: []Rule{r}}
	s.effects.exact = map[string][]*effect{}
	return s.add(0)
}

// Rules returns the list in order. The caller owns the slice.
func (s *Set) Rules() []Rule {
	if s == nil {
		return nil
	}
	return slices.Clone(s.rules)
}

func (s *Set) add(index int) error {
	r := &s.rules[index]
	c := &compiled{Rule: r, index: index}
	for i := range r.When {
		cond, err := compileCondition(&r.When[i])
		if err != nil {
			return fmt.Errorf("when: %s: %w", fieldName(&r.When[i]), err)
		}
		c.conditions = append(c.conditions, cond)
	}
	switch r.Action {
	case Exclude, Include:
		if r.Purpose > Logs {
			return fmt.Errorf("unknown %s", r.Purpose)
		}
		s.selection = append(s.selection, c)
		return nil
	case Tag:
		t, err := compileTag(c)
		if err == nil {
			s.tags = append(s.tags, t)
		}
		return err
	case Drop, Keep, Rename, Cardinality:
		return s.effects.add(c)
	}
	return fmt.Errorf("unknown %s", r.Action)
}

func fieldName(c *Condition) string {
	if c.Field.Keyed() {
		return c.Field.String() + "." + c.Key
	}
	return c.Field.String()
}

// shortKinds are the names of kinds that people type, beside the full ones.
func shortKind(text string) string {
	switch text {
	case "pod":
		return workloadmeta.KindKubernetesPod.String()
	case "image":
		return workloadmeta.KindContainerImage.String()
	case "task":
		return workloadmeta.KindECSTask.String()
	case "deployment":
		return workloadmeta.KindKubernetesDeployment.String()
	case "service":
		return workloadmeta.KindKubernetesService.String()
	case "metadata":
		return workloadmeta.KindKubernetesMetadata.String()
	}
	return text
}

func compileCondition(c *Condition) (condition, error) {
	out := condition{field: c.Field, key: c.Key}
	switch {
	case c.Field < Kind || c.Field > Env:
		return out, fmt.Errorf("unknown field; want %s", FieldNames())
	case c.Field.Keyed() && c.Key == "":
		return out, errors.New("the key is empty")
	case !c.Field.Keyed() && c.Key != "":
		return out, fmt.Errorf("it has no key, have %q", c.Key)
	case c.Field.Keyed() && strings.Contains(c.Key, "*"):
		// It would match nothing, and for a variable it would let all of them out of their
		// containers.
		return out, fmt.Errorf("the key %q is no glob; want one key, or a rule for each", c.Key)
	case len(c.Patterns) == 0:
		return out, errors.New("no pattern")
	}
	if c.Field == Env {
		if err := checkVariable(c.Key); err != nil {
			return out, err
		}
	}
	if c.Field.Keyed() && template.Has(c.Key) {
		out.template = true
		if variable, ok := template.Expand(c.Key, func(name, _ string) (string, bool) {
			return "", name == "name"
		}); !ok {
			return out, fmt.Errorf("unknown variable %s; want %%%%name%%%%", variable)
		}
	}
	for _, text := range c.Patterns {
		if !c.Field.Keyed() {
			text = trimPattern(text) // no name, image or namespace begins or ends with a blank
		}
		if c.Field == Kind {
			text = shortKind(text)
		}
		p, err := compilePattern(text)
		if err != nil {
			return out, err
		}
		if c.Field == Kind && p.exact() {
			if _, err := workloadmeta.ParseKind(text); err != nil {
				return out, err
			}
		}
		out.patterns = append(out.patterns, p)
	}
	return out, nil
}

// checkVariable refuses names of variables that cannot be put on the list of what may be
// read of a container's environment.
func checkVariable(name string) error {
	switch {
	case strings.Contains(name, "="):
		return fmt.Errorf("variable %q: a variable's name has no \"=\"", name)
	case template.Has(name):
		return fmt.Errorf("variable %q: it must be known by its name, without %%%%…%%%%", name)
	}
	return nil
}

// EnvNames returns the names and globs of the environment variables that rules look at:
// what collectors must let through, and nothing else. It is sorted.
func EnvNames(list []Rule) []string {
	var names []string
	for i := range list {
		if list[i].Action == Tag && list[i].From.Field == Env {
			names = append(names, strings.ToLower(list[i].From.Key))
		}
		for j := range list[i].When {
			if c := &list[i].When[j]; c.Field == Env {
				names = append(names, strings.ToLower(c.Key))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Conditional reports whether any rule about tags looks at more of an entity than its kind
// and, for the making of tags, its resource: whether a [Subject] is ever asked.
func (s *Set) Conditional() bool {
	if s == nil {
		return false
	}
	for _, t := range s.tags {
		for i := range t.conditions {
			if f := t.conditions[i].field; f != Kind && f != Resource || t.anyResource(i) {
				return true
			}
		}
	}
	return slices.ContainsFunc(s.effects.all, func(f *effect) bool { return len(f.conditions) > 0 })
}

// anyResource reports whether a condition is one on the resource that may hold for a
// resource nobody names.
func (r *tagRule) anyResource(i int) bool {
	return r.conditions[i].field == Resource &&
		slices.ContainsFunc(r.conditions[i].patterns, func(p pattern) bool { return !p.exact() })
}
