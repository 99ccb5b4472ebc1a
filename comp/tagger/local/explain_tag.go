package local

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/similar"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

// ExplainTag implements [tagger.Component].
func (t *Tagger) ExplainTag(id tagger.EntityID, tag string) tagger.TagReason {
	x := t.Explain(id)
	out := tagger.TagReason{ID: id, Tag: tagset.Name(tag), Waiting: x.Waiting}
	for _, line := range x.Tags {
		if tagset.Name(line.Tag) == out.Tag ||
			line.Before != "" && tagset.Name(line.Before) == out.Tag {
			out.Has = append(out.Has, line)
		}
	}
	for _, line := range x.Dropped {
		if tagset.Name(line.Tag) == out.Tag {
			out.Dropped = append(out.Dropped, line)
		}
	}
	var entity workloadmeta.Entity
	if workload, ok := extract.WorkloadID(id); ok {
		entity = t.entity(workload)
	}
	var ways extract.Ways
	if entity != nil {
		t.graphMu.Lock()
		ways = t.graph.x.Ways(out.Tag, entity, t.graph)
		t.graphMu.Unlock()
		out.Ways, out.Near = ways.List, ways.Near
	}
	x.Lacks = t.lacks(entity, out.Tag)
	out.Reason = whyTag(&out, x, entity, ways)
	if len(x.Lacks) == 0 && entity != nil && len(out.Has)+len(out.Dropped) == 0 {
		near := similar.Nearest(out.Tag, tagNames(x, entity), len(out.Tag)/3)
		if near != "" && near != out.Tag {
			out.Reason += "; did you mean " + near + "?"
		}
	}
	return out
}

// tagNames returns the names of the tags that an entity has, or that entities of its kind may have.
func tagNames(x tagger.Explanation, entity workloadmeta.Entity) (names []string) {
	for _, line := range slices.Concat(x.Tags, x.Dropped) {
		names = append(names, tagset.Name(line.Tag))
	}
	for _, d := range extract.Definitions() {
		if slices.Contains(d.Kinds, entity.GetID().Kind) && !strings.HasPrefix(d.Name, "<") {
			names = append(names, d.Name)
		}
	}
	return names
}

// whyTag sums up in one line what has been found.
func whyTag(r *tagger.TagReason, x tagger.Explanation, entity workloadmeta.Entity,
	ways extract.Ways) string {
	shown := slices.IndexFunc(r.Has, func(line tagger.TagExplanation) bool {
		return tagset.Name(line.Tag) == r.Tag && line.HiddenBy == ""
	})
	near := ""
	if len(r.Near) > 0 {
		kind, _, _ := strings.Cut(r.Near[0].Entity, "/")
		near = fmt.Sprintf("there is %s %s, want %s", kind, r.Near[0].Field, r.Near[0].Want)
	}
	broken := slices.IndexFunc(x.Problems, func(p tagger.Problem) bool {
		return slices.ContainsFunc(r.Ways, func(w tagger.TagWay) bool {
			return w.Entity == p.Entity && strings.HasPrefix(w.Field, p.Field)
		})
	})
	switch {
	case shown >= 0 && r.Has[shown].Rule == "":
		return "it has " + r.Has[shown].Tag + ", from " + r.Has[shown].Source
	case shown >= 0:
		return "it has " + r.Has[shown].Tag + ", made by " + r.Has[shown].Rule
	case len(r.Dropped) > 0:
		return fmt.Sprintf("%s is dropped by %s", r.Dropped[0].Tag, r.Dropped[0].DroppedBy)
	case len(r.Has) > 0 && r.Has[0].RenamedBy != "":
		return fmt.Sprintf("%s is renamed to %s by %s", r.Has[0].Before, r.Has[0].Tag,
			r.Has[0].RenamedBy)
	case len(r.Has) > 0:
		return fmt.Sprintf("%s is hidden by those of %s", r.Has[0].Tag, r.Has[0].HiddenBy)
	case entity == nil:
		return x.Completeness + ": " + x.Reason
	case broken >= 0:
		p := x.Problems[broken]
		return fmt.Sprintf("%s of %s cannot be understood: %s", p.Field, p.Entity, p.Problem)
	case len(x.Lacks) > 0:
		return "nothing that makes it is known; " + strings.Join(x.Lacks, "; ")
	case len(r.Ways) == 0:
		reason := fmt.Sprintf("nothing makes a tag %s of a %s", r.Tag, entity.GetID().Kind)
		if p, ok := entity.(*workloadmeta.Process); ok && p.ContainerID == "" {
			reason += ", and it is in no container, whose tags it would have"
		}
		return reason
	case ways.Whose != "":
		reason := "it is the tag of " + ways.Whose + ", and "
		if x.Completeness == tagger.Partial.String() {
			reason += x.Reason
		} else {
			reason += ways.Unknown
		}
		if near != "" {
			reason += "; " + near
		}
		return reason
	case near != "":
		return "nothing that makes it is set; " + near
	case len(r.Waiting) > 0:
		return "nothing that makes it is set, and " + strings.Join(r.Waiting, ", ") +
			" has not reported yet"
	}
	return "nothing that makes it is set"
}
