package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
)

// effects are the rules about tags that are made.
type effects struct {
	all   []*effect // in order
	globs []*effect
	// exact has, for each name that a rule spells out, all rules that match it, in order.
	exact map[string][]*effect
}

// effect is what a rule says of the tags of a name.
type effect struct {
	*compiled
	name  pattern
	to    string                // of Rename
	level tagger.TagCardinality // of Cardinality
}

func (f *effects) add(c *compiled) error {
	add := func(name, to string, level tagger.TagCardinality) error {
		name, to = strings.TrimSpace(name), strings.TrimSpace(to)
		p, err := compileGlob(name)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", c.Action, err)
		case name == "":
			return fmt.Errorf("%s: the name is empty", c.Action)
		case strings.Contains(name, ":"):
			return fmt.Errorf("%s: %q: a tag's name has no colon", c.Action, name)
		}
		f.all = append(f.all, &effect{compiled: c, name: p, to: to, level: level})
		return nil
	}
	before := len(f.all)
	switch c.Action {
	case Rename:
		for _, r := range c.Renames {
			switch {
			case strings.Contains(r.Name, "*"):
				return fmt.Errorf("rename: %q: want one name, not a glob", r.Name)
			case strings.TrimSpace(r.To) == "":
				return fmt.Errorf("rename: %q: the new name is empty; to be rid of a tag, drop it",
					r.Name)
			case strings.Contains(r.To, ":"):
				return fmt.Errorf("rename: %q: a tag's name has no colon", r.To)
			}
			if err := add(r.Name, r.To, 0); err != nil {
				return err
			}
		}
	case Cardinality:
		for _, l := range c.Levels {
			if l.To > tagger.HighCardinality {
				return fmt.Errorf("cardinality: %q: want low, orchestrator or high, have %s",
					l.Name, l.To)
			}
			if err := add(l.Name, "", l.To); err != nil {
				return err
			}
		}
	default:
		for _, name := range c.Names {
			if err := add(name, "", 0); err != nil {
				return err
			}
		}
	}
	if len(f.all) == before {
		return errors.New(c.Action.String() + ": no name")
	}
	return nil
}

func (f *effects) index() {
	for _, entry := range f.all {
		if entry.name.exact() {
			f.exact[entry.name.text] = nil
		} else {
			f.globs = append(f.globs, entry)
		}
	}
	for name := range f.exact {
		for _, entry := range f.all {
			if entry.name.match(name) {
				f.exact[name] = append(f.exact[name], entry)
			}
		}
	}
}

// Effect is what becomes of a tag.
type Effect struct {
	Name  string
	Level tagger.TagCardinality
	// Dropped says that the tag is not made.
	Dropped bool
	// The rules that decided; nil = none did.
	DroppedBy, RenamedBy, LeveledBy *Rule
}

// HasEffects reports whether any rule is about tags that are made.
func (s *Set) HasEffects() bool { return s != nil && len(s.effects.all) > 0 }

// Effect says what becomes of a tag of the subject, by the name and level it is made with.
func (s *Set) Effect(name string, level tagger.TagCardinality, subject *Subject) Effect {
	out := Effect{Name: name, Level: level}
	if s == nil {
		return out
	}
	list, exact := s.effects.exact[name]
	if !exact {
		list = s.effects.globs
	}
	kept := false
	for _, f := range slices.Backward(list) {
		switch f.Action {
		case Drop, Keep:
			if out.DroppedBy != nil || kept {
				continue
			}
		case Rename:
			if out.RenamedBy != nil {
				continue
			}
		case Cardinality:
			if out.LeveledBy != nil {
				continue
			}
		}
		if !exact && !f.name.match(name) || !subject.applies(f.compiled) {
			continue
		}
		switch f.Action {
		case Keep:
			kept = true
		case Drop:
			out.Dropped, out.DroppedBy = true, f.Rule
		case Rename:
			out.Name, out.RenamedBy = f.to, f.Rule
		case Cardinality:
			out.Level, out.LeveledBy = f.level, f.Rule
		}
	}
	return out
}
