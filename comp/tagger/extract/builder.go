package extract

import (
	"iter"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// builder collects tags.
//
// One goroutine uses a builder at a time.
type builder struct {
	x      *Extractor
	source string
	levels levels

	entity workloadmeta.Entity // whose fields are being read
	// For rules only.
	subject rules.Subject // the same
	made    []rules.Made

	// While far is set, a tag is added only if nothing nearer to the entity has given one of its
	// name: the first of each level, so many as nearer says, and what a container says of itself.
	far    bool
	nearer [3]int
	own    *tagger.TagInfo

	lookup Lookup
	report func(Problem) // nil: nobody wants to know

	// For explanations only: nil and unused on the hot path.
	trace  *trace
	origin origin
}

// levels are the tags so far, doubles included. standard repeats tags of low.
type levels struct{ low, orchestrator, high, standard []string }

// read says that from here on the fields of this entity are read.
func (b *builder) read(e workloadmeta.Entity) {
	b.cite(e)
	if b.x.conditional {
		resource, _ := resourceOf(e) // of an object with a bad ID it is none
		b.subject.Reset(e, resource, b.lookup)
	}
}

// cite says that from here on the fields of another entity are read on behalf of the one that
// rules look at.
func (b *builder) cite(e workloadmeta.Entity) {
	b.entity = e
	if b.trace != nil {
		b.trace.read = append(b.trace.read, e)
	}
}

// of says that from here on the fields of the same entity are read that tell about another
// resource.
func (b *builder) of(resource string) {
	if b.x.conditional {
		b.subject.Of(resource)
	}
}

// kindResource returns what Kubernetes calls a kind of entity.
func kindResource(kind workloadmeta.Kind) string {
	switch kind {
	case workloadmeta.KindKubernetesPod:
		return "pods"
	case workloadmeta.KindKubernetesDeployment:
		return "deployments.apps"
	case workloadmeta.KindKubernetesService:
		return "services"
	case workloadmeta.KindKueueResourceFlavor:
		return "resourceflavors." + kueueGroup
	case workloadmeta.KindKueueWorkload:
		return "workloads." + kueueGroup
	}
	return ""
}

// add adds the tag of a rule.
func (b *builder) add(r rule, value string) {
	if value == "" {
		return
	}
	d := &definitions[r]
	if b.trace != nil {
		b.origin = origin{rule: r}
	}
	b.put(d.Name, value, d.Cardinality, d.Standard)
}

// addKeyed adds the tag of a rule whose field has a variable part, which is key.
func (b *builder) addKeyed(r rule, key, value string) {
	b.addNamed(r, key, definitions[r].Name, value, definitions[r].Cardinality)
}

// addNamed adds a tag whose name is not fixed by the rule.
func (b *builder) addNamed(r rule, key, name, value string, level tagger.TagCardinality) {
	if name == "" || value == "" {
		return
	}
	if b.trace != nil {
		b.origin = origin{rule: r, key: key}
	}
	b.put(name, value, level, definitions[r].Standard)
}

// addMapped adds the tags that rules make of metadata.
func (b *builder) addMapped(mapped *rules.Table, r rule, metadata map[string]string) {
	if mapped == nil {
		return
	}
	for key, value := range metadata {
		if value == "" {
			continue
		}
		b.made = mapped.Match(b.made[:0], key, &b.subject)
		for i := range b.made {
			if b.trace != nil {
				b.origin = origin{rule: r, made: b.made[i].Rule, key: key}
			}
			b.put(b.made[i].Name, b.made[i].Prefix+value, b.made[i].Level, false)
		}
	}
}

// addVerbatim adds a complete tag, which need not have a colon and is not split.
func (b *builder) addVerbatim(r rule, tag string) {
	if tag == "" {
		return
	}
	if b.trace != nil {
		b.origin = origin{rule: r}
	}
	b.verbatim(tag, definitions[r].Cardinality)
}

// verbatim adds a complete tag unless rules say otherwise.
func (b *builder) verbatim(tag string, level tagger.TagCardinality) {
	if !b.x.effects {
		b.append(tag, level, false)
		return
	}
	name := tagset.Name(tag)
	b.apply(b.x.rules.Effect(name, level, &b.subject), name, tag[len(name):], false)
}

// addAll adds the tag of a rule for each value.
func (b *builder) addAll(r rule, values []string) {
	for _, v := range values {
		b.add(r, v)
	}
}

// addKeys adds the tags that single keys of a map make.
func (b *builder) addKeys(rules []keyRule, m map[string]string) {
	if len(m) == 0 {
		return
	}
	for i := range rules {
		b.add(rules[i].rule, m[rules[i].key])
	}
}

// keyRule says which rule a key of a map belongs to.
type keyRule struct {
	key  string
	rule rule
}

func (b *builder) put(name, value string, level tagger.TagCardinality, standard bool) {
	if b.x.effects {
		b.putWithRules(name, value, level, standard)
		return
	}
	if separator, ok := b.x.separators[name]; ok {
		for piece := range pieces(value, separator) {
			b.append(name+":"+piece, level, standard)
		}
		return
	}
	b.append(name+":"+value, level, standard)
}

// putWithRules is put where rules are about tags. Separators belong to the name a tag is made
// under, as everything in a rule does.
func (b *builder) putWithRules(name, value string, level tagger.TagCardinality, standard bool) {
	effect := b.x.rules.Effect(name, level, &b.subject)
	separator, ok := b.x.separators[name]
	if !ok {
		b.apply(effect, name, ":"+value, standard)
		return
	}
	for piece := range pieces(value, separator) {
		b.apply(effect, name, ":"+piece, standard)
	}
}

// pieces yields the parts of a value, without the blanks around them and without empty ones:
// an empty value makes no tag anywhere.
func pieces(value, separator string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for piece := range strings.SplitSeq(value, separator) {
			if piece = strings.TrimSpace(piece); piece != "" && !yield(piece) {
				return
			}
		}
	}
}

// apply adds a tag, name and rest, as rules say. A tag stays a standard tag while it is low
// and has one of their names: consumers of the standard tags look for these names among
// the low ones.
func (b *builder) apply(effect rules.Effect, name, rest string, standard bool) {
	if b.trace != nil {
		b.origin.effect, b.origin.before = effect, name+rest
		defer func() { b.origin.effect, b.origin.before = rules.Effect{}, "" }()
	}
	if effect.Dropped {
		if b.trace != nil {
			b.trace.record(b, name+rest, effect.Level, standard)
		}
		return
	}
	b.append(effect.Name+rest, effect.Level, standard && effect.Level == tagger.LowCardinality &&
		IsStandard(effect.Name))
}

// IsStandard reports whether a name is that of a standard tag.
func IsStandard(name string) bool { return name == "env" || name == "service" || name == "version" }

// farther says that from here on a tag is added only if none before it has its name.
func (b *builder) farther() {
	l := &b.levels
	b.far, b.nearer = true, [...]int{len(l.low), len(l.orchestrator), len(l.high)}
}

// given reports whether something nearer has given a tag's name.
func (b *builder) given(tag string) bool {
	l, name := &b.levels, tagset.Name(tag)
	same := func(have string) bool { return tagset.Name(have) == name }
	return slices.ContainsFunc(l.low[:b.nearer[0]], same) ||
		slices.ContainsFunc(l.orchestrator[:b.nearer[1]], same) ||
		slices.ContainsFunc(l.high[:b.nearer[2]], same) ||
		b.own != nil && (slices.ContainsFunc(b.own.LowCardTags, same) ||
			slices.ContainsFunc(b.own.OrchestratorCardTags, same) ||
			slices.ContainsFunc(b.own.HighCardTags, same))
}

func (b *builder) append(tag string, level tagger.TagCardinality, standard bool) {
	if b.far && b.given(tag) {
		return
	}
	switch level {
	case tagger.LowCardinality:
		b.levels.low = append(b.levels.low, tag)
	case tagger.OrchestratorCardinality:
		b.levels.orchestrator = append(b.levels.orchestrator, tag)
	default:
		b.levels.high = append(b.levels.high, tag)
	}
	if standard {
		b.levels.standard = append(b.levels.standard, tag)
	}
	if b.trace != nil {
		b.trace.record(b, tag, level, standard)
	}
}

// begin starts the tags of another source: what this entity says.
func (b *builder) begin(e workloadmeta.Entity) {
	l := &b.levels
	l.low, l.orchestrator, l.high, l.standard = l.low[:0], l.orchestrator[:0], l.high[:0],
		l.standard[:0]
	if b.trace != nil {
		b.trace.pending = b.trace.pending[:0]
	}
	b.source = Source(e.GetID().Kind)
	b.read(e)
}

// info returns what the builder holds as a tag info: each list sorted, without
// doubles, nil if empty.
func (b *builder) info(id tagger.EntityID, complete bool) tagger.TagInfo {
	if b.trace != nil {
		b.trace.flush(id)
	}
	l := &b.levels
	// One allocation for all lists: they live and die together.
	all := make([]string, 0, len(l.low)+len(l.orchestrator)+len(l.high)+len(l.standard))
	take := func(tags []string) []string {
		if len(tags) == 0 {
			return nil
		}
		start := len(all)
		all = append(all, tags...)
		list := all[start:]
		slices.SortFunc(list, tagset.Compare)
		list = slices.Compact(list)
		all = all[:start+len(list)]
		return list[:len(list):len(list)]
	}
	return tagger.TagInfo{
		Source:               b.source,
		Entity:               id,
		LowCardTags:          take(l.low),
		OrchestratorCardTags: take(l.orchestrator),
		HighCardTags:         take(l.high),
		StandardTags:         take(l.standard),
		IsComplete:           complete,
	}
}

// keepCap is the number of tags up to which a list is used again. Longer ones go, so that
// one giant costs memory, and time to clear it, only once.
const keepCap = 128

// release forgets everything, so that a builder at rest keeps no entity alive.
func (b *builder) release() {
	l := &b.levels
	for _, tags := range [...]*[]string{&l.low, &l.orchestrator, &l.high, &l.standard} {
		if cap(*tags) > keepCap {
			*tags = nil
		}
		clear((*tags)[:cap(*tags)])
		*tags = (*tags)[:0]
	}
	b.far, b.own = false, nil
	b.trace, b.report, b.entity, b.lookup, b.origin = nil, nil, nil, nil, origin{}
	b.subject.Reset(nil, "", nil)
}

// problem reports a field of the entity being read that cannot be understood.
func (b *builder) problem(field string, err error) {
	if b.report != nil {
		b.report(Problem{Entity: b.entity.GetID(), Field: field, Err: err})
	}
}
