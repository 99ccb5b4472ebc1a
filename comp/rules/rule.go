package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
)

// Rule is one rule as it is written. Which fields count depends on the action.
type Rule struct {
	// Name is what the rule is called, such as "rules[2]" or `container_exclude "name:web"`.
	Name string
	// Where it is written, such as "rollcall.yaml:12" or "ROLLCALL_RULES:1"; "" = not known.
	Where  string
	Origin Origin

	Action Action
	// Purpose is what [Exclude] and [Include] are about.
	Purpose Purpose
	// Names are the tags that [Tag] makes, with "+" for high cardinality and %%label%%,
	// %%annotation%% or %%env%% for the key; and the names or globs of [Drop] and [Keep].
	Names []string
	// From is what [Tag] makes tags of.
	From From
	// Level is the cardinality of [Tag]; nil = low, or high with "+".
	Level *tagger.TagCardinality
	// Renames are the names of [Rename].
	Renames []Renaming
	// Levels are the names or globs of [Cardinality].
	Levels []Leveling
	// When says what the rule is for: all conditions must hold. None: for everything.
	When []Condition
}

// From is a key of the metadata, or a glob of keys. Case does not matter.
type From struct {
	Field Field // [Label], [Annotation] or [Env]
	Key   string
}

// Renaming gives the tags of one name another.
type Renaming struct{ Name, To string }

// Leveling gives the tags of a name, or a glob of names, a cardinality.
type Leveling struct {
	Name string
	To   tagger.TagCardinality
}

// Condition holds if one of the patterns matches the field: the whole value if it is a
// glob, any part of it if it is a regular expression, "/…/".
type Condition struct {
	Field    Field
	Key      string // of Label, Annotation and Env; %%name%% is the entity's name
	Patterns []string
}

// Origin says who wrote a rule.
type Origin uint8

// Origins.
const (
	Configured Origin = iota // the list of rules
	Option                   // an older option, translated
	Builtin                  // nobody: rollcall has it by itself
)

// String returns "rules", "option" or "built in".
func (o Origin) String() string { return [...]string{"rules", "option", "built in"}[o] }

// Action is what a rule does.
type Action uint8

// Actions. The zero Action is invalid.
const (
	Exclude     Action = iota + 1 // leaves containers out
	Include                       // undoes an earlier Exclude
	Tag                           // makes a tag of a label, an annotation or a variable
	Rename                        // gives tags another name
	Drop                          // does not make tags
	Keep                          // undoes an earlier Drop
	Cardinality                   // puts tags on another level
)

var actionNames = [...]string{"", "exclude", "include", "tag", "rename", "drop", "keep",
	"cardinality"}

// String returns the action as it is written.
func (a Action) String() string { return nameIn(actionNames[:], int(a), "action") }

// ParseAction is the inverse of [Action.String].
func ParseAction(s string) (Action, bool) {
	i, ok := indexIn(actionNames[:], s)
	return Action(i), ok
}

// Purpose is what containers are left out of.
type Purpose uint8

// Purposes. A rule for one of the last two counts only when that is asked for.
const (
	Everything Purpose = iota
	Metrics
	Logs
)

var purposeNames = [...]string{"containers", "metrics", "logs"}

// String returns the purpose as it is written behind "exclude:".
func (p Purpose) String() string { return nameIn(purposeNames[:], int(p), "purpose") }

// ParsePurpose is the inverse of [Purpose.String].
func ParsePurpose(s string) (Purpose, bool) {
	i, ok := indexIn(purposeNames[:], s)
	return Purpose(i), ok
}

// Field is what a condition or a tag rule looks at.
type Field uint8

// Fields. The zero Field is invalid.
const (
	Kind       Field = iota + 1 // kind of the entity: container, kubernetes_pod (or pod), …
	Runtime                     // of a container
	Image                       // of a container or an image: with and without tag
	Name                        // of the entity
	Namespace                   // of the entity; of a container that of its pod
	Resource                    // of a Kubernetes object: pods, nodes, deployments.apps, …
	Label                       // one label
	Annotation                  // one annotation
	Env                         // one environment variable of a container
)

var fieldNames = [...]string{"", "kind", "runtime", "image", "name", "namespace", "resource",
	"label", "annotation", "env"}

// String returns the field as it is written.
func (f Field) String() string { return nameIn(fieldNames[:], int(f), "field") }

// Keyed reports whether the field has a key.
func (f Field) Keyed() bool { return f == Label || f == Annotation || f == Env }

// ParseField reads a field as it is written in "when": "image", "label.team".
func ParseField(s string) (f Field, key string, ok bool) {
	name, key, dotted := strings.Cut(s, ".")
	i, ok := indexIn(fieldNames[:], name)
	f = Field(i)
	return f, key, ok && f.Keyed() == dotted && (!dotted || key != "")
}

// FieldNames lists the fields as they are written in "when".
func FieldNames() string {
	var names []string
	for f := Kind; f <= Env; f++ {
		name := f.String()
		if f.Keyed() {
			name += ".<key>"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func nameIn(names []string, i int, what string) string {
	if i >= len(names) || names[i] == "" {
		return fmt.Sprintf("%s(%d)", what, i)
	}
	return names[i]
}

func indexIn(names []string, s string) (int, bool) {
	for i, name := range names {
		if name == s && s != "" {
			return i, true
		}
	}
	return 0, false
}

// Label says for people which rule it is and where it is written.
func (r *Rule) Label() string {
	if r == nil {
		return ""
	}
	if r.Where == "" {
		return r.Name
	}
	return r.Name + " (" + r.Where + ")"
}

// MarshalJSON writes the rule as JSON, which is also how it may stand in a YAML list.
// Name, Where and Origin are not in it.
func (r Rule) MarshalJSON() ([]byte, error) {
	out := object{{name: r.Action.String()}}
	switch what := &out[0].value; r.Action {
	case Exclude, Include:
		*what = r.Purpose.String()
	case Tag:
		*what = oneOrList(r.Names)
		out = append(out, pair{"from", object{{r.From.Field.String(), r.From.Key}}})
		if r.Level != nil {
			out = append(out, pair{"cardinality", r.Level.String()})
		}
	case Drop, Keep:
		*what = oneOrList(r.Names)
	case Rename:
		*what = objectOf(r.Renames, func(n Renaming) pair { return pair{n.Name, n.To} })
	case Cardinality:
		*what = objectOf(r.Levels, func(l Leveling) pair { return pair{l.Name, l.To.String()} })
	}
	if len(r.When) > 0 {
		out = append(out, pair{"when", objectOf(r.When, func(c Condition) pair {
			return pair{fieldName(&c), oneOrList(c.Patterns)}
		})})
	}
	return out.MarshalJSON()
}

// object is a JSON object whose names keep their order, and may come twice.
type object []pair

type pair struct {
	name  string
	value any
}

func objectOf[T any](list []T, pairOf func(T) pair) object {
	out := make(object, len(list))
	for i := range list {
		out[i] = pairOf(list[i])
	}
	return out
}

// oneOrList returns the one item as it is, and several as a list.
func oneOrList(items []string) any {
	if len(items) == 1 {
		return items[0]
	}
	return append([]string{}, items...) // none is [], not null
}

// MarshalJSON implements [json.Marshaler].
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // people read this
	b.WriteByte('{')
	for i, p := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(p.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(p.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return bytes.ReplaceAll(b.Bytes(), []byte("\n"), nil), nil // Encode ends its lines
}
