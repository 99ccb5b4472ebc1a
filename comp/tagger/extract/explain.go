package extract

import (
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Traced is one tag with where it comes from.
type Traced struct {
	Entity      tagger.EntityID // what the tag is on
	Tag         string
	Cardinality tagger.TagCardinality
	Standard    bool
	Source      string
	// Rule says for people which rule made the tag, such as "container label
	// com.datadoghq.tags.env", `container_labels_as_tags["team"]` or
	// "rules[2] (rollcall.yaml:7)".
	Rule string
	// What rules have done to the tag, nil = nothing. A tag that is dropped is not made: it
	// is here so that its absence can be explained, under the name it would have been made.
	DroppedBy, RenamedBy, LeveledBy *rules.Rule
	// Before is the tag before it was renamed, empty if it was not.
	Before string
	// Field is what it was made from, by the field's JSON name: `labels["team"]`.
	Field string
	// From is the entity the field belongs to; for a tag that a container has from
	// its pod, the pod. Empty for static tags.
	From workloadmeta.EntityID

	rule rule        // the definition
	made *rules.Rule // the rule of the user's that made it; nil for built-in definitions
}

// Problem is a field of an entity that should make tags and cannot be understood,
// wholly or in part. Everything else of the entity counts nevertheless.
type Problem struct {
	Entity workloadmeta.EntityID
	Field  string // such as `annotations["ad.datadoghq.com/tags"]`
	Err    error
}

// Explain makes the tags that [Extractor.Extract], or for a nil entity [Extractor.Global],
// makes, each with its origin, and tells which fields could not be understood. A tag that
// several fields make is there once for each of them; tags that rules drop are there, too. The
// order is: by source as in Extract, then as made.
func (x *Extractor) Explain(e workloadmeta.Entity, lookup Lookup) ([]Traced, []Problem) {
	t := &trace{}
	var problems []Problem
	x.run(e, lookup, t, func(p Problem) { problems = append(problems, p) })
	return t.done, problems
}

// Check returns only the problems that [Extractor.Explain] finds.
func (x *Extractor) Check(e workloadmeta.Entity, lookup Lookup) []Problem {
	_, problems := x.Explain(e, lookup)
	return problems
}

// origin is where the tag that is being added comes from.
type origin struct {
	rule   rule
	made   *rules.Rule  // the rule that made the tag; nil for built-in definitions
	key    string       // variable part of the field
	effect rules.Effect // what rules say of it
	before string       // the tag before that
}

// trace keeps what the hot path throws away.
type trace struct {
	pending []Traced // parallel to what the builder holds
	done    []Traced
	read    []workloadmeta.Entity // those whose fields were read, in that order, with doubles
}

func (t *trace) record(b *builder, tag string, level tagger.TagCardinality, standard bool) {
	d := &definitions[b.origin.rule]
	traced := Traced{Tag: tag, Cardinality: level, Standard: standard, Source: b.source,
		rule: b.origin.rule, made: b.origin.made}
	effect := &b.origin.effect
	traced.DroppedBy, traced.RenamedBy, traced.LeveledBy = effect.DroppedBy, effect.RenamedBy,
		effect.LeveledBy
	if effect.RenamedBy != nil && !effect.Dropped {
		traced.Before = b.origin.before
	}
	if b.entity != nil && b.origin.rule != ruleStaticTag {
		traced.From = b.entity.GetID()
	}
	traced.Field = d.fieldOf(traced.From.Kind, b.origin.key)
	switch {
	case b.origin.made != nil:
		traced.Rule = b.origin.made.Label()
	case b.origin.rule == ruleStaticTag:
		traced.Rule = "static tag"
	default:
		traced.Rule = describe(traced.From.Kind, traced.Field)
	}
	t.pending = append(t.pending, traced)
}

// flush copies the tags in the builder as tags of this entity.
func (t *trace) flush(id tagger.EntityID) {
	for _, traced := range t.pending {
		traced.Entity = id
		t.done = append(t.done, traced)
	}
}

// field returns the definition's field with its variable part, "<…>", filled in.
func (d *Definition) field(key string) string {
	before, rest, ok := strings.Cut(d.Field, "<")
	if !ok || key == "" {
		return d.Field
	}
	_, after, _ := strings.Cut(rest, ">")
	return before + key + after
}

// fieldOf returns the field as entities of a kind have it: pods list their containers.
func (d *Definition) fieldOf(kind workloadmeta.Kind, key string) string {
	if kind == workloadmeta.KindKubernetesPod && slices.Contains(d.of, workloadmeta.KindContainer) {
		return "containers[]." + d.field(key)
	}
	return d.field(key)
}

// describe says in words what a field of a kind of entity is.
func describe(kind workloadmeta.Kind, field string) string {
	for _, m := range [...]struct{ prefix, word string }{
		{`labels["`, "label"}, {`annotations["`, "annotation"}, {`env["`, "variable"},
	} {
		if rest, ok := strings.CutPrefix(field, m.prefix); ok {
			key, attribute, _ := strings.Cut(rest, `"]`)
			return strings.TrimSpace(noun(kind) + " " + m.word + " " + key + " " +
				strings.TrimPrefix(attribute, "."))
		}
	}
	return noun(kind) + " " + field
}

func noun(kind workloadmeta.Kind) string {
	switch kind {
	case workloadmeta.KindKubernetesPod:
		return "pod"
	case workloadmeta.KindECSTask:
		return "ECS task"
	case workloadmeta.KindContainerImage:
		return "image"
	case workloadmeta.KindKubernetesMetadata:
		return "Kubernetes object"
	case workloadmeta.KindKubernetesDeployment:
		return "deployment"
	case workloadmeta.KindKubernetesService:
		return "service"
	case workloadmeta.KindGPU:
		return "GPU"
	case workloadmeta.KindCRD:
		return "CRD"
	case workloadmeta.KindKubeCapabilities:
		return "cluster"
	case workloadmeta.KindKueueQueue:
		return "Kueue queue"
	case workloadmeta.KindKueueResourceFlavor:
		return "Kueue resource flavor"
	case workloadmeta.KindKueueWorkload:
		return "Kueue workload"
	}
	return kind.String()
}
