package inspect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Explanation says where the tags of an entity come from, or why there are none, and who said what
// of it.
type Explanation struct {
	tagger.Explanation
	// Known says that the entity has tags or is in the store.
	Known bool `json:"known"`
	// Tag answers about the one tag that was asked about.
	Tag *tagger.TagReason `json:"tag,omitempty"`
	// Notes are what else a reader of the tags should know, a line each.
	Notes []string `json:"notes,omitempty"`
	// Silent are collectors that might know of it and could not be asked.
	Silent []SilentCollector `json:"silent,omitempty"`
	// Reports are who says what of it, the strongest first.
	Reports []workloadmeta.Report `json:"reports,omitempty"`
	// Forgotten says why it was withdrawn, if nobody could confirm it any more.
	Forgotten *collection.Forgotten `json:"forgotten,omitempty"`
	// Agreed are the fields of which all reporters say the same, Said the others. Of one
	// reporter there is nothing to compare.
	Agreed []string `json:"agreed,omitempty"`
	Said   []Said   `json:"said,omitempty"`
	// Container explains the tags that a process has from its container.
	Container *Explanation `json:"container,omitempty"`
}

// SilentCollector is a collector that could not be asked about an entity.
type SilentCollector struct {
	Collector string `json:"collector"`
	workloadmeta.Problem
}

// Explain implements [Inspector].
func (l *Local) Explain(ctx context.Context, r ExplainRequest) (Explanation, error) {
	if err := l.ready(ctx); err != nil {
		return Explanation{}, err
	}
	t, err := l.resolve(r.Name)
	if err != nil {
		return Explanation{}, err
	}
	x, err := l.explain(t)
	if err == nil && r.Tag != "" {
		id := t.id
		if container := containerOf(t.entity); container != "" && len(x.Tags) == 0 {
			id = container // whose tags the process has
		}
		reason := l.opts.Tagger.ExplainTag(id, r.Tag)
		x.Tag = &reason
	}
	return x, err
}

func (l *Local) explain(t target) (Explanation, error) {
	x := Explanation{Explanation: l.opts.Tagger.Explain(t.id)}
	if x.Tags == nil {
		x.Tags = []tagger.TagExplanation{}
	}
	x.Known = len(x.Tags) > 0 || t.entity != nil
	if t.workload.Kind == 0 {
		return x, nil
	}
	x.Reports, _ = l.opts.Store.Reports(t.workload) // none if it is not there
	if len(x.Reports) > 1 && t.entity != nil {
		var err error
		if x.Agreed, x.Said, err = whoSaidWhat(t.entity, x.Reports); err != nil {
			return x, fmt.Errorf("who says what of %s: %w", t.workload, err)
		}
	}
	if l.opts.Collectors != nil && t.entity == nil {
		if f, ok := l.opts.Collectors.Forgotten(t.workload); ok {
			x.Forgotten = &f
		}
	}
	for _, gap := range l.gaps(t.workload.Kind) {
		if gap.Silent {
			x.Silent = append(x.Silent, SilentCollector{gap.Collector, gap.Problem})
		}
	}
	x.Reason = reasonBeside(len(x.Silent) > 0, x.Explanation)
	switch e := t.entity.(type) {
	case *workloadmeta.Process:
		if e.ContainerID == "" {
			break
		}
		id := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: e.ContainerID}
		container := target{id: tagger.Container(e.ContainerID), workload: id}
		container.entity, _ = l.opts.Store.Get(id)
		of, err := l.explain(container)
		if err != nil {
			return x, err
		}
		x.Container = &of
		if len(x.Tags) == 0 && len(of.Tags) > 0 {
			x.Completeness = of.Completeness
			x.Reason = "it has no tags of its own, and those of its container"
		}
	case *workloadmeta.KubernetesPod:
		x.Notes = copies(x.Reports)
	case *workloadmeta.Container:
		unasked := l.unaskedRuntimes([]Entity{{Workload: e}})
		x.Reason = reasonBeside(len(unasked) > 0, x.Explanation)
		x.Notes = append(l.movedTag(e), unasked...)
		l.markImageLabels(e, x.Tags)
	}
	return x, nil
}

// reasonBeside returns why an entity is as complete as it is where somebody could not be asked:
// the tagger does not know of collectors that may not ask, or have nothing to ask.
func reasonBeside(unasked bool, x tagger.Explanation) string {
	if unasked && x.Completeness == tagger.Complete.String() {
		return "every source that could be asked has reported it"
	}
	return x.Reason
}

// markImageLabels says of the tags that are made of a label which the image has, too, that nobody
// has given it to the container itself.
func (l *Local) markImageLabels(c *workloadmeta.Container, tags []tagger.TagExplanation) {
	image, err := l.opts.Store.GetContainerImage(c.Image.ID)
	if err != nil {
		return
	}
	for label, value := range image.Labels {
		if c.Labels[label] != value {
			continue
		}
		for i := range tags {
			if tags[i].Field == fmt.Sprintf("labels[%q]", label) {
				tags[i].Field += " of the image"
			}
		}
	}
}

// unaskedRuntimes says of containers that are known by their processes alone that the collector of
// their runtime does not work, and why: nothing else is missing in what is known of them.
func (l *Local) unaskedRuntimes(containers []Entity) (notes []string) {
	if l.opts.Collectors == nil {
		return nil
	}
	alone := map[string]int{} // by runtime
	for _, e := range containers {
		c, ok := e.Workload.(*workloadmeta.Container)
		if !ok {
			continue
		}
		reports, _ := l.opts.Store.Reports(c.EntityID)
		if c.Runtime != "" && !slices.ContainsFunc(reports, func(r workloadmeta.Report) bool {
			return r.Source != workloadmeta.SourceProcess
		}) {
			alone[string(c.Runtime)]++
		}
	}
	for _, s := range l.opts.Collectors.Status() {
		runtime, _, _ := strings.Cut(s.ID, "@")
		if runtime == "cri" {
			runtime = string(workloadmeta.RuntimeCRIO)
		}
		if n := alone[runtime]; n > 0 && s.State != collection.StateLive &&
			s.Cause != workloadmeta.CauseOff {
			notes = append(notes, fmt.Sprintf("%s of %s known by processes alone; %s",
				plural(n, "container", "containers"), runtime, Gap{Collector: s.ID,
					State: string(s.State), Problem: s.Problem}))
		}
	}
	return notes
}

// movedTag says that the name by which a container's image was asked for means another one by now.
func (l *Local) movedTag(c *workloadmeta.Container) (notes []string) {
	reference := c.Image.RawName
	if reference == "" || c.Image.ID == "" {
		return nil
	}
	for entity := range l.opts.Store.List(workloadmeta.KindContainerImage) {
		image := entity.(*workloadmeta.ContainerImageMetadata)
		if image.ID != c.Image.ID && (slices.Contains(image.RepoTags, reference) ||
			c.Image.Tag != "" && slices.Contains(image.RepoTags, c.Image.Name+":"+c.Image.Tag)) {
			notes = append(notes, fmt.Sprintf("%s names another image by now, %s; the container "+
				"was started from %s", reference, ShortID(image.ID), ShortID(c.Image.ID)))
		}
	}
	slices.Sort(notes)
	return notes
}

// Said is a field of an entity with who said what of it.
type Said struct {
	Field  string   `json:"field"`
	Value  string   `json:"value"`
	By     []string `json:"by,omitempty"`     // empty: made of what several say
	Others []string `json:"others,omitempty"` // "<reporter>: <value>"
}

// whoSaidWhat compares an entity with the reports that it is made of, field by field. agreed are
// the fields of which all say the same.
func whoSaidWhat(entity workloadmeta.Entity, reports []workloadmeta.Report) (agreed []string,
	fields []Said, err error) {
	merged, err := ownFields(entity)
	if err != nil {
		return nil, nil, err
	}
	said := make([]map[string]string, len(reports))
	for i, r := range reports {
		of, err := ownFields(r.Entity)
		if err != nil {
			return nil, nil, err
		}
		said[i] = map[string]string{}
		for _, f := range of {
			said[i][f.Name] = f.Value
		}
	}
	for _, f := range merged {
		s := Said{Field: f.Name, Value: f.Value}
		for i, r := range reports {
			switch value, ok := said[i][f.Name]; {
			case !ok:
			case value == f.Value:
				s.By = append(s.By, r.Name)
			default:
				s.Others = append(s.Others, r.Name+": "+value)
			}
		}
		if len(s.By) == len(reports) {
			agreed = append(agreed, f.Name)
		} else {
			fields = append(fields, s)
		}
	}
	return agreed, fields, nil
}

func ownFields(entity workloadmeta.Entity) ([]FieldValue, error) {
	fields, err := Fields(entity)
	return slices.DeleteFunc(fields,
		func(f FieldValue) bool { return f.Name == "kind" || f.Name == "id" }), err
}
