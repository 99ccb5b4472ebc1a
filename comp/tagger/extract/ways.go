package extract

import (
	"cmp"
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
	"github.com/rollcall-dev/rollcall/pkg/tagset"
	"github.com/rollcall-dev/rollcall/pkg/template"
)

// Ways returns how an entity could have a tag of this name, and what there is instead: the
// built-in definitions and the rules that could have made it, with what each has found, and
// the labels, annotations and variables whose names are nearly those that are looked for.
//
// It looks at every entity that the extraction has read: a container's pod, a process's GPUs.
func (x *Extractor) Ways(name string, e workloadmeta.Entity, lookup Lookup) ([]tagger.TagWay,
	[]tagger.NearMiss) {
	if lookup == nil {
		lookup = emptyLookup{}
	}
	w := ways{name: name}
	t, asked := trace{}, missing{Lookup: lookup}
	x.run(e, &asked, &t, nil)
	for _, read := range t.read {
		if !slices.ContainsFunc(w.parts, func(p part) bool { return p.is(read.GetID()) }) {
			w.parts = append(w.parts, part{read.GetID().Kind, read})
		}
	}
	c, ok := e.(*workloadmeta.Container)
	if ok {
		if pod := parentsOf(c, lookup).pod; pod != nil {
			if listed := containerOf(pod, c.ID); listed != nil {
				w.container = listed.Name
			}
		}
		for _, kind := range [...]workloadmeta.Kind{workloadmeta.KindKubernetesPod,
			workloadmeta.KindECSTask} {
			if lookup.Expected(kind) {
				asked.kinds = append(asked.kinds, kind) // it may still come
			}
		}
	}
	for _, kind := range asked.kinds {
		if !slices.ContainsFunc(w.parts, func(p part) bool { return p.kind == kind }) {
			w.parts = append(w.parts, part{kind, nil})
		}
	}
	slices.SortStableFunc(w.parts, func(a, b part) int { return cmp.Compare(a.kind, b.kind) })

	for i := range t.done {
		if tr := &t.done[i]; tagset.Name(cmp.Or(tr.Before, tr.Tag)) == name {
			w.made = append(w.made, tr)
		}
	}
	for i := range definitions {
		if slices.Contains(definitions[i].Kinds, e.GetID().Kind) {
			w.definition(rule(i))
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

// missing is a lookup that notes of which kinds something was asked for that is not known.
type missing struct {
	Lookup
	kinds []workloadmeta.Kind
}

func (m *missing) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	e, err := m.Lookup.Get(id)
	if err != nil {
		m.kinds = append(m.kinds, id.Kind)
	}
	return e, err
}

// part is an entity that speaks of the one in question.
type part struct {
	kind   workloadmeta.Kind
	entity workloadmeta.Entity // nil: not known
}

func (p part) is(id workloadmeta.EntityID) bool {
	return p.entity != nil && p.entity.GetID() == id
}

// ways gathers the ways to a tag.
type ways struct {
	name  string
	parts []part    // by kind
	made  []*Traced // the tags of the name
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

// splitField returns the metadata and the key that a field is; empty if it is none.
func splitField(full string) (field, key string) {
	if m := keyedField.FindStringSubmatch(full); m != nil {
		return m[1], m[2]
	}
	return "", ""
}

// definition adds the ways of a built-in definition: one for each part that it could be made of.
func (w *ways) definition(r rule) {
	d := &definitions[r]
	if r == ruleStaticTag { // made of no entity
		for _, tr := range w.made {
			if tr.rule == r {
				w.tell(tr, d.Condition, false)
			}
		}
		return
	}
	full := d.Field
	if strings.Contains(full, "<container>") {
		full = d.field(w.container)
	}
	field, key := splitField(full)
	for _, p := range w.parts {
		if !slices.Contains(d.readFrom(), p.kind) {
			continue
		}
		made := false
		for _, tr := range w.made {
			if tr.rule == r && tr.made == nil && p.is(tr.From) {
				w.tell(tr, d.Condition, d.Name == w.name)
				made = true
			}
		}
		// One whose names come from the data may have any, if it looks at one key.
		if !made && (d.Name == w.name || d.Name == "<name>" && key != "") {
			w.add(tagger.TagWay{Rule: describe(p.kind, full), Field: full, Condition: d.Condition},
				p,
				field, key, d.Name == w.name)
		}
	}
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
	condition := ""
	if len(r.When) > 0 {
		condition = "the conditions of the rule"
	}
	for _, p := range w.parts {
		for _, m := range metadataOf(p) {
			if m.from != r.From.Field || set.Table(m.from, p.kind, m.resource) == nil {
				continue
			}
			made := false
			for _, tr := range w.made {
				if tr.made != nil && tr.Rule == r.Label() && p.is(tr.From) &&
					strings.HasPrefix(tr.Field, m.field+"[") {
					w.tell(tr, condition, true)
					made = true
				}
			}
			key := m.spelled(r.From.Key)
			// Not a glob, nor another key's name.
			if !made && (exact || strings.EqualFold(expand(r.Names, key), w.name)) {
				w.add(tagger.TagWay{Rule: r.Label(),
					Field:     m.field + "[" + strconv.Quote(key) + "]",
					Condition: condition}, p, m.field, key, true)
			}
		}
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

// tell adds a way that has made the tag. wanted says that its key is for this name alone.
func (w *ways) tell(tr *Traced, condition string, wanted bool) {
	way := tagger.TagWay{Rule: tr.Rule, Field: tr.Field, Condition: condition,
		Found: "it has made the tag"}
	if tr.rule != ruleStaticTag {
		way.Entity = tr.From.String()
	}
	if field, key := splitField(tr.Field); wanted && key != "" {
		w.keys = append(w.keys, wantedKey{tr.From.Kind, field, key})
	}
	if !slices.Contains(w.list, way) {
		w.list = append(w.list, way)
	}
}

// add adds a way that has not made the tag, with what it has found.
func (w *ways) add(way tagger.TagWay, p part, field, key string, wanted bool) {
	if p.entity != nil {
		way.Entity = p.entity.GetID().String()
	}
	if wanted && key != "" {
		w.keys = append(w.keys, wantedKey{p.kind, field, key})
	}
	value, set := "", false
	for _, m := range metadataOf(p) {
		if m.field == field {
			value, set = m.values[key]
		}
	}
	switch {
	case p.entity == nil:
		way.Found = noun(p.kind) + " not known"
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

// metadata is a map of an entity that tags are made of.
type metadata struct {
	field    string
	from     rules.Field // what rules call it; 0 = rules make no tags of it
	resource string      // what it tells of
	values   map[string]string
}

// spelled returns a rule's key as it is spelled here.
func (m *metadata) spelled(key string) string {
	for _, k := range slices.Sorted(maps.Keys(m.values)) {
		if strings.EqualFold(k, key) {
			return k
		}
	}
	return key
}

// metadataOf returns the maps of an entity, or of one of its kind that is not known, by field.
func metadataOf(p part) []metadata {
	labels, annotations := metadata{field: "labels"}, metadata{field: "annotations"}
	if e, ok := p.entity.(interface {
		Meta() *workloadmeta.EntityMeta
	}); ok {
		labels.values, annotations.values = e.Meta().Labels, e.Meta().Annotations
	}
	switch {
	case p.kind == workloadmeta.KindContainer:
		env := metadata{field: "env", from: rules.Env}
		if c, ok := p.entity.(*workloadmeta.Container); ok {
			env.values = c.EnvVars
		}
		labels.from = rules.Label
		return []metadata{annotations, env, labels}
	case p.kind == workloadmeta.KindContainerImage:
		labels.from = rules.Label
	case p.kind == workloadmeta.KindKubernetesPod:
		labels.from, annotations.from = rules.Label, rules.Annotation
		labels.resource, annotations.resource = "pods", "pods"
		of := metadata{"namespace_labels", rules.Label, "namespaces", nil}
		with := metadata{"namespace_annotations", rules.Annotation, "namespaces", nil}
		if pod, ok := p.entity.(*workloadmeta.KubernetesPod); ok {
			of.values, with.values = pod.NamespaceLabels, pod.NamespaceAnnotations
		}
		return []metadata{annotations, labels, with, of}
	case p.entity != nil && slices.Contains(objectKinds[:], p.kind):
		if resource, err := resourceOf(p.entity); err == nil {
			labels.from, annotations.from = rules.Label, rules.Annotation
			labels.resource, annotations.resource = resource, resource
		}
	}
	return []metadata{annotations, labels}
}

// maxNear bounds the near misses that are told.
const maxNear = 10

// near returns the keys that are nearly looked for, and those that have the name of the tag.
func (w *ways) near() (list []tagger.NearMiss) {
	for _, p := range w.parts {
		for _, m := range metadataOf(p) {
			for _, key := range slices.Sorted(maps.Keys(m.values)) {
				if slices.Contains(w.keys, wantedKey{p.kind, m.field, key}) {
					continue
				}
				meant := ""
				if alike(w.name, key) {
					meant = "a rule that makes a tag of it"
				}
				for _, want := range w.keys {
					same := want.kind == p.kind && want.field == m.field
					if want.key == key && !same || same && alike(key, want.key) {
						meant = fmt.Sprintf("%s %s[%q]", noun(want.kind), want.field, want.key)
						break
					}
				}
				if meant != "" {
					list = append(list, tagger.NearMiss{Entity: p.entity.GetID().String(),
						Field: m.field + "[" + strconv.Quote(key) + "]", Want: meant})
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
