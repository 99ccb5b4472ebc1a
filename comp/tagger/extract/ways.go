package extract

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/similar"
	"github.com/rollcall-dev/rollcall/pkg/template"
)

// Ways returns how an entity could have a tag of this name, and what there is instead: the
// built-in definitions and the rules that could have made it, with what each has found, and
// the labels, annotations and variables whose names are nearly those that are looked for.
func (x *Extractor) Ways(name string, e workloadmeta.Entity, lookup Lookup) ([]tagger.TagWay,
	[]tagger.NearMiss) {
	if lookup == nil {
		lookup = emptyLookup{}
	}
	traced, _ := x.Explain(e, lookup)
	w := ways{name: name, made: map[string]bool{}}
	for _, tr := range traced {
		made := tagger.TagExplanation{Tag: tr.Tag}
		if before := tr.Before; before != "" {
			made.Tag = before
		}
		if got, _, _ := strings.Cut(made.Tag, ":"); got == name {
			w.made[tr.From.String()+" "+tr.Field] = true
		}
	}
	w.parts = map[workloadmeta.Kind]workloadmeta.Entity{e.GetID().Kind: e}
	if c, ok := e.(*workloadmeta.Container); ok {
		p := parentsOf(c, lookup)
		if p.pod != nil {
			w.parts[workloadmeta.KindKubernetesPod] = p.pod
			if listed := containerOf(p.pod, c.ID); listed != nil {
				w.container = listed.Name
			}
		}
		if p.task != nil {
			w.parts[workloadmeta.KindECSTask] = p.task
		}
		for _, kind := range [...]workloadmeta.Kind{workloadmeta.KindKubernetesPod,
			workloadmeta.KindECSTask} {
			if w.parts[kind] == nil &&
				(c.Owner != nil && c.Owner.Kind == kind || lookup.Expected(kind)) {
				w.parts[kind] = nil // it may still come
			}
		}
	}
	for i := range definitions {
		d := &definitions[i]
		if slices.Contains(d.Kinds, e.GetID().Kind) {
			w.definition(d)
		}
	}
	list := x.rules.Rules()
	for i := range list {
		if list[i].Action == rules.Tag {
			w.rule(&list[i])
		}
	}
	return w.list, w.near()
}

// ways gathers the ways to a tag.
type ways struct {
	name  string
	parts map[workloadmeta.Kind]workloadmeta.Entity // that speak of it; nil: not known yet
	made  map[string]bool                           // entities and fields that have made it
	list  []tagger.TagWay
	keys  []wantedKey

	container string // its name in its pod
}

// wantedKey is a key of some metadata that is looked for.
type wantedKey struct {
	kind       workloadmeta.Kind
	field, key string // such as "labels", "team"
}

// keyedField is a field that is one key of some metadata.
var keyedField = regexp.MustCompile(
	`^(labels|annotations|env|namespace_labels|namespace_annotations)\["([^"<>]+)"\]`)

// definition adds the way of a built-in definition.
func (w *ways) definition(d *Definition) {
	owner, full := d.Kinds[0], d.Field
	switch {
	case d.Field == "namespace":
		owner = workloadmeta.KindKubernetesPod // queues do not pass theirs on
	case strings.Contains(d.Field, "<container>"):
		owner, full = workloadmeta.KindKubernetesPod, d.field(w.container)
	}
	field, key := "", ""
	if m := keyedField.FindStringSubmatch(full); m != nil {
		field, key = m[1], m[2]
	}
	// One whose names come from the data may have any, if it looks at one key.
	if d.Name != w.name && (d.Name != "<name>" || key == "") {
		return
	}
	way := tagger.TagWay{Rule: describe(owner, full), Field: full, Condition: d.Condition}
	w.add(way, owner, field, key, d.Name == w.name)
}

// rule adds the ways of a rule that makes tags of metadata.
func (w *ways) rule(r *rules.Rule) {
	may := slices.ContainsFunc(r.Names, func(text string) bool {
		name, _ := rules.SplitLevel(text)
		return name == w.name || template.Has(text) && r.From.Key != ""
	})
	exact := slices.ContainsFunc(r.Names, func(text string) bool {
		name, _ := rules.SplitLevel(text)
		return name == w.name
	})
	set, err := rules.Compile([]rules.Rule{*r})
	if !may || err != nil {
		return
	}
	for _, at := range [...]struct {
		kind     workloadmeta.Kind
		resource string
		fields   map[rules.Field]string
	}{
		{workloadmeta.KindContainer, "", map[rules.Field]string{rules.Label: "labels",
			rules.Env: "env"}},
		{workloadmeta.KindKubernetesPod, "pods", map[rules.Field]string{rules.Label: "labels",
			rules.Annotation: "annotations"}},
		{workloadmeta.KindKubernetesPod, "namespaces", map[rules.Field]string{
			rules.Label: "namespace_labels", rules.Annotation: "namespace_annotations"}},
	} {
		field := at.fields[r.From.Field]
		if field == "" || set.Table(r.From.Field, at.kind, at.resource) == nil {
			continue
		}
		key := r.From.Key
		if !exact && !strings.EqualFold(expand(r.Names, key), w.name) {
			continue // a glob, or another key's name
		}
		way := tagger.TagWay{Rule: r.Label(), Field: field + "[" + strconv.Quote(key) + "]"}
		if len(r.When) > 0 {
			way.Condition = "the conditions of the rule"
		}
		w.add(way, at.kind, field, key, true)
	}
}

// expand returns the first name that a key makes.
func expand(names []string, key string) string {
	for _, text := range names {
		if name, ok := template.Expand(text,
			func(_, _ string) (string, bool) { return key, true }); ok {
			name, _ = rules.SplitLevel(name)
			return name
		}
	}
	return ""
}

// add adds a way with what it has found. wanted says that its key is for this name alone.
func (w *ways) add(way tagger.TagWay, owner workloadmeta.Kind, field, key string, wanted bool) {
	part, concerned := w.parts[owner]
	if !concerned {
		return
	}
	if part != nil {
		way.Entity = part.GetID().String()
	}
	if wanted && key != "" {
		w.keys = append(w.keys, wantedKey{owner, field, key})
	}
	value, set := "", false
	if part != nil && key != "" {
		value, set = metadata(part)[field][key]
	}
	switch {
	case part == nil:
		way.Found = noun(owner) + " not known"
	case w.made[way.Entity+" "+way.Field]:
		way.Found = "it has made the tag"
	case set && value == "":
		way.Found = "empty"
	case set && wanted:
		way.Found = "it is " + strconv.Quote(value) + ", and makes no such tag"
	case set:
		way.Found = "there is no such tag in it"
	case key != "" || way.Condition == "":
		way.Found = "not set"
	default:
		way.Found = "not set, or not so: " + way.Condition
	}
	w.list = append(w.list, way)
}

// metadata returns the maps of an entity that tags are made of, by field.
func metadata(e workloadmeta.Entity) map[string]map[string]string {
	m := map[string]map[string]string{}
	if meta, ok := e.(interface {
		Meta() *workloadmeta.EntityMeta
	}); ok {
		m["labels"], m["annotations"] = meta.Meta().Labels, meta.Meta().Annotations
	}
	switch e := e.(type) {
	case *workloadmeta.Container:
		m["env"] = e.EnvVars
	case *workloadmeta.KubernetesPod:
		m["namespace_labels"], m["namespace_annotations"] = e.NamespaceLabels,
			e.NamespaceAnnotations
	}
	return m
}

// maxNear bounds the near misses that are told.
const maxNear = 10

// near returns the keys that are nearly looked for, and those that have the name of the tag.
func (w *ways) near() (list []tagger.NearMiss) {
	for _, kind := range slices.Sorted(maps.Keys(w.parts)) {
		part := w.parts[kind]
		if part == nil {
			continue
		}
		fields := metadata(part)
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			for _, key := range slices.Sorted(maps.Keys(fields[field])) {
				if slices.Contains(w.keys, wantedKey{kind, field, key}) {
					continue
				}
				meant := ""
				if alike(w.name, key) {
					meant = "a rule that makes a tag of it"
				}
				for _, want := range w.keys {
					same := want.kind == kind && want.field == field
					if want.key == key && !same || same && alike(key, want.key) {
						meant = fmt.Sprintf("%s %s[%q]", noun(want.kind), want.field, want.key)
						break
					}
				}
				if meant != "" {
					list = append(list, tagger.NearMiss{Entity: part.GetID().String(),
						Field: field + "[" + strconv.Quote(key) + "]", Want: meant})
				}
				if len(list) == maxNear {
					return list
				}
			}
		}
	}
	return list
}

// alike reports whether somebody who wrote a may have meant b: but for case and signs they
// are the same, or differ in two letters, or b is a with something in front.
func alike(a, b string) bool {
	x, y := letters(a), letters(b)
	if x == "" || len(x) > 128 || len(y) > 128 {
		return false
	}
	lower, long := strings.ToLower(a), strings.ToLower(b)
	if cut, ok := strings.CutSuffix(long, lower); ok && cut != "" &&
		letters(cut[len(cut)-1:]) == "" {
		return true
	}
	return x == y || len(x) > 4 && similar.Distance(x, y) <= 2
}

// letters returns the letters and digits of a key, in lower case.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}
