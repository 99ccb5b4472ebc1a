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

// Ways are how an entity could have a tag of a name, and what there is instead.
type Ways struct {
	// List are the built-in definitions and the rules that could have made it, with what each has
	// found.
	List []tagger.TagWay
	// Near are the labels, annotations and variables whose names are nearly those that are looked
	// for, the nearest first.
	Near []tagger.NearMiss
	// Whose says of what it is a tag, such as "a pod", if that is not known, and Unknown what was
	// looked for.
	Whose, Unknown string
}

// Ways returns how an entity could have a tag of this name. It looks at every entity that the
// extraction has read: a container's pod, a process's GPUs.
func (x *Extractor) Ways(name string, e workloadmeta.Entity, lookup Lookup) Ways {
	if lookup == nil {
		lookup = emptyLookup{}
	}
	w := ways{name: name, of: e.GetID().Kind}
	t, asked := trace{}, missing{Lookup: lookup}
	x.run(e, &asked, &t, nil)
	for _, read := range t.read {
		if !slices.ContainsFunc(w.parts, func(p part) bool { return p.is(read.GetID()) }) {
			w.parts = append(w.parts, part{read.GetID(), read})
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
				// It may still come.
				asked.ids = append(asked.ids, workloadmeta.EntityID{Kind: kind})
			}
		}
	}
	for _, id := range asked.ids {
		w.addUnknown(id)
	}
	slices.SortStableFunc(w.parts, func(a, b part) int { return cmp.Compare(a.id.Kind, b.id.Kind) })

	for i := range t.done {
		if tr := &t.done[i]; tagset.Name(cmp.Or(tr.Before, tr.Tag)) == name {
			w.made = append(w.made, tr)
		}
	}
	w.all(x)
	if !w.exact {
		w.elsewhere(x)
	}
	w.Near = w.near()
	if w.known {
		w.Whose, w.Unknown = "", ""
	}
	return w.Ways
}

// all adds the ways of all definitions and rules.
func (w *ways) all(x *Extractor) {
	for i := range definitions {
		if slices.Contains(definitions[i].Kinds, w.of) {
			w.definition(rule(i))
		}
	}
	list := x.rules.Rules()
	for i := range list {
		if list[i].Action == rules.Tag {
			w.rule(&list[i])
		}
	}
}

// elsewhere adds the ways of what the entity could have tags from and has not: a container's pod,
// or what only its pod leads to.
func (w *ways) elsewhere(x *Extractor) {
	near, far := []workloadmeta.Kind{}, []workloadmeta.Kind{}
	for i := range definitions {
		if !slices.Contains(definitions[i].Kinds, w.of) {
			continue
		}
		for _, kind := range definitions[i].readFrom() {
			switch {
			case slices.ContainsFunc(w.parts, func(p part) bool { return p.id.Kind == kind }):
			case kind == workloadmeta.KindKubernetesPod || kind == workloadmeta.KindECSTask:
				near = append(near, kind)
			default:
				far = append(far, kind)
			}
		}
	}
	parts := w.parts
	w.exactOnly = true
	for _, kinds := range [][]workloadmeta.Kind{near, far} {
		w.parts = nil
		for _, kind := range kinds {
			w.addUnknown(workloadmeta.EntityID{Kind: kind})
		}
		if w.all(x); w.exact {
			break
		}
	}
	w.parts = parts
}

// addUnknown adds a part that is not known, unless there is one of its kind.
func (w *ways) addUnknown(id workloadmeta.EntityID) {
	if !slices.ContainsFunc(w.parts, func(p part) bool { return p.id.Kind == id.Kind }) {
		w.parts = append(w.parts, part{id, nil})
	}
}

// missing is a lookup that notes what was asked for and is not known.
type missing struct {
	Lookup
	ids []workloadmeta.EntityID
}

func (m *missing) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	e, err := m.Lookup.Get(id)
	if err != nil {
		m.ids = append(m.ids, id)
	}
	return e, err
}

// part is an entity that speaks of the one in question.
type part struct {
	id     workloadmeta.EntityID // without ID: nobody has said which one it is
	entity workloadmeta.Entity   // nil: not known
}

func (p part) is(id workloadmeta.EntityID) bool {
	return p.entity != nil && p.id == id
}

// lacking says that the part is not known, and which one was looked for.
func (p part) lacking(of workloadmeta.Kind) string {
	switch {
	case p.id.ID != "":
		return noun(p.id.Kind) + " " + p.id.ID + " is not known"
	case of == workloadmeta.KindContainer:
		return "no " + noun(p.id.Kind) + " that is known has this container"
	}
	return "no " + noun(p.id.Kind) + " of it is known"
}

// ways gathers the ways to a tag.
type ways struct {
	Ways
	name  string
	of    workloadmeta.Kind // the entity's
	parts []part            // by kind
	made  []*Traced         // the tags of the name
	keys  []wantedKey

	exact     bool // there is a way that is for this name alone
	known     bool // one of them is of an entity that is known
	exactOnly bool // only such ways are added

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
	variable := ""
	if strings.Contains(d.Field, "<container>") {
		variable = w.container
	}
	for _, p := range w.parts {
		if !slices.Contains(d.readFrom(), p.id.Kind) {
			continue
		}
		full := d.fieldOf(p.id.Kind, variable)
		field, key := splitField(full)
		made := false
		for _, tr := range w.made {
			if tr.rule == r && tr.made == nil && p.is(tr.From) {
				w.tell(tr, d.Condition, d.Name == w.name)
				made = true
			}
		}
		if d.provisional {
			continue // it is no use to look for it there
		}
		// One whose names come from the data may have any, if it looks at one key.
		if !made && (d.Name == w.name || d.Name == "<name>" && key != "") {
			w.add(tagger.TagWay{Rule: describe(p.id.Kind, full), Field: full,
				Condition: d.Condition},
				p,
				field, key, d.Name == w.name)
		}
	}
}

// rule adds the ways of a rule that makes tags of metadata.
func (w *ways) rule(r *rules.Rule) {
	may, exact := names(r, w.name)
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
			if m.from != r.From.Field || set.Table(m.from, p.id.Kind, m.resource) == nil {
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

// names reports whether a rule may make tags of a name, and whether it names it.
func names(r *rules.Rule, name string) (may, exact bool) {
	for _, text := range r.Names {
		made, _ := rules.SplitLevel(text)
		exact = exact || made == name
		may = may || exact || template.Has(text) && r.From.Key != ""
	}
	return may, exact
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
	w.exact, w.known = true, true
	if field, key := splitField(tr.Field); wanted && key != "" {
		w.keys = append(w.keys, wantedKey{tr.From.Kind, field, key})
	}
	if !slices.Contains(w.List, way) {
		w.List = append(w.List, way)
	}
}

// add adds a way that has not made the tag, with what it has found.
func (w *ways) add(way tagger.TagWay, p part, field, key string, wanted bool) {
	if w.exactOnly && !wanted {
		return
	}
	if p.entity != nil {
		way.Entity = p.entity.GetID().String()
	}
	if wanted {
		w.exact = true
		if w.known = w.known || p.entity != nil; p.entity == nil && w.Whose == "" {
			w.Whose, w.Unknown = article(noun(p.id.Kind)), p.lacking(w.of)
		}
	}
	if wanted && key != "" {
		w.keys = append(w.keys, wantedKey{p.id.Kind, field, key})
	}
	value, set := "", false
	for _, m := range metadataOf(p) {
		if m.field == field {
			value, set = m.values[key]
		}
	}
	switch {
	case p.entity == nil:
		way.Found = p.lacking(w.of)
	case set && value == "":
		way.Found = "empty"
	case set && wanted && w.of != p.id.Kind && len(w.made) > 0 &&
		p.id.Kind == workloadmeta.KindKubernetesMetadata:
		way.Found = "it is " + strconv.Quote(value) + ", and something nearer gives this name"
	case set && wanted:
		way.Found = "it is " + strconv.Quote(value) + ", and makes no such tag"
	case set:
		way.Found = "there is no such tag in it"
	case key != "" || way.Condition == "":
		way.Found = "not set"
	default:
		way.Found = "not set, or not so: " + way.Condition
	}
	w.List = append(w.List, way)
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
	case p.id.Kind == workloadmeta.KindContainer:
		env := metadata{field: "env", from: rules.Env}
		if c, ok := p.entity.(*workloadmeta.Container); ok {
			env.values = c.EnvVars
		}
		labels.from = rules.Label
		return []metadata{annotations, env, labels}
	case p.id.Kind == workloadmeta.KindContainerImage:
		labels.from = rules.Label
	case p.id.Kind == workloadmeta.KindKubernetesPod:
		labels.from, annotations.from = rules.Label, rules.Annotation
		labels.resource, annotations.resource = "pods", "pods"
		of := metadata{"namespace_labels", rules.Label, "namespaces", nil}
		with := metadata{"namespace_annotations", rules.Annotation, "namespaces", nil}
		if pod, ok := p.entity.(*workloadmeta.KubernetesPod); ok {
			of.values, with.values = pod.NamespaceLabels, pod.NamespaceAnnotations
		}
		return []metadata{annotations, labels, with, of}
	case p.entity != nil && slices.Contains(objectKinds[:], p.id.Kind):
		if resource, err := resourceOf(p.entity); err == nil {
			labels.from, annotations.from = rules.Label, rules.Annotation
			labels.resource, annotations.resource = resource, resource
		}
	}
	return []metadata{annotations, labels}
}

// maxNear bounds the near misses that are told.
const maxNear = 10

// near returns the keys that are nearly looked for, and those that have the name of the tag, the
// nearest first.
func (w *ways) near() []tagger.NearMiss {
	type miss struct {
		tagger.NearMiss
		distance int
	}
	var list []miss
	for _, p := range w.parts {
		for _, m := range metadataOf(p) {
			for _, key := range slices.Sorted(maps.Keys(m.values)) {
				if slices.Contains(w.keys, wantedKey{p.id.Kind, m.field, key}) {
					continue
				}
				meant, distance := "", apart(w.name, key)
				if distance < farApart {
					meant = "a rule that makes a tag of it"
				}
				nearest := farApart
				for _, want := range w.keys {
					d := farApart
					if want.kind == p.id.Kind && want.field == m.field {
						d = apart(key, want.key)
					} else if want.key == key {
						d = 0
					}
					if d < nearest {
						meant = fmt.Sprintf("%s %s[%q]", noun(want.kind), want.field, want.key)
						nearest = d
					}
				}
				if meant != "" {
					list = append(list, miss{tagger.NearMiss{Entity: p.id.String(),
						Field: m.field + "[" + strconv.Quote(key) + "]", Want: meant},
						min(distance, nearest)})
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b miss) int { return cmp.Compare(a.distance, b.distance) })
	var out []tagger.NearMiss
	for _, m := range list[:min(len(list), maxNear)] {
		out = append(out, m.NearMiss)
	}
	return out
}

// farApart is how far two keys are apart of which none can be meant by the other.
const farApart = 5

// apart says how far from b somebody has been who wrote a and may have meant b: not at all; in
// case and signs; in one letter, or b has something in front; in two letters.
func apart(a, b string) int {
	x, y := letters(a), letters(b)
	if x == "" || len(x) > 128 || len(y) > 128 {
		return farApart
	}
	lower, long := strings.ToLower(a), strings.ToLower(b)
	switch cut, ok := strings.CutSuffix(long, lower); {
	case a == b:
		return 0
	case x == y:
		return 1
	case ok && letters(cut[len(cut)-1:]) == "":
		return 2
	}
	if d := similar.Distance(x, y); len(x) > 4 && d <= 2 {
		return d + 1
	}
	return farApart
}

// article puts one before a noun.
func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiouE") {
		return "an " + noun
	}
	return "a " + noun
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
