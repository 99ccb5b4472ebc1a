package inspect

import (
	"maps"
	"slices"
	"strings"

	"github.com/gobwas/glob"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/selector"
)

// selection is what names and conditions ask for.
type selection struct {
	names []func(string) bool
	where []fieldCondition

	classes   []Class // none = all
	namespace string
	labels    selector.Selector
}

type fieldCondition struct {
	field string
	match func(string) bool
}

func newSelection(names []string, where []Condition, n Narrowing) (s selection, err error) {
	s.namespace = n.Namespace
	if s.labels, err = selector.Parse(n.Selector); err != nil {
		return s, &InvalidError{err}
	}
	for _, resource := range n.Resources {
		s.classes = append(s.classes, Class{workloadmeta.KindKubernetesMetadata, resource})
	}
	for _, text := range names {
		match, err := pattern(text)
		if err != nil {
			return s, err
		}
		s.names = append(s.names, func(value string) bool {
			return match(value) || len(text) >= workloadmeta.MinIDPrefix &&
				(isID(value) && strings.HasPrefix(strings.TrimPrefix(value, digestPrefix), text))
		})
	}
	for _, c := range where {
		match, err := pattern(c.Pattern)
		if err != nil {
			return s, err
		}
		if c.Field == "" {
			return s, invalidf("condition %q: no field before the =", "="+c.Pattern)
		}
		s.where = append(s.where, fieldCondition{c.Field, match})
	}
	return s, nil
}

// isID reports whether a text is an ID that people cut short.
func isID(text string) bool {
	text = strings.TrimPrefix(text, digestPrefix)
	return len(text) >= 32 && strings.Trim(text, "0123456789abcdef-") == ""
}

// pattern compiles a text in which * stands for any text, nothing, too.
func pattern(text string) (func(string) bool, error) {
	if !strings.Contains(text, "*") {
		return func(value string) bool { return value == text }, nil
	}
	parts := strings.Split(text, "*")
	for i := range parts {
		parts[i] = glob.QuoteMeta(parts[i])
	}
	g, err := glob.Compile(strings.Join(parts, "*"))
	if err != nil {
		return nil, invalidf("pattern %q: %w", text, err)
	}
	return g.Match, nil
}

// has reports whether an entity is asked for.
func (s selection) has(l *Local, e Entity) (bool, error) {
	if !s.hasPlace(l, e.Workload) {
		return false, nil
	}
	if len(s.names) > 0 {
		called := append(namesOf(e.Workload), e.Workload.GetID().ID)
		if !slices.ContainsFunc(s.names, func(match func(string) bool) bool {
			return slices.ContainsFunc(called, match)
		}) {
			return false, nil
		}
	}
	if len(s.where) == 0 {
		return true, nil
	}
	met := make([]bool, len(s.where))
	err := eachField(e, func(name string, values []string) {
		for i, c := range s.where {
			met[i] = met[i] || c.field == name && slices.ContainsFunc(values, c.match)
		}
	})
	if err != nil {
		return false, err
	}
	for i, c := range s.where {
		met[i] = met[i] || c.field == "image" &&
			slices.ContainsFunc(imageNames(e.Workload), c.match)
	}
	return !slices.Contains(met, false), nil
}

// hasPlace reports whether an entity is where something is asked for, and has the labels.
func (s selection) hasPlace(l *Local, entity workloadmeta.Entity) bool {
	if entity.GetID().Kind == workloadmeta.KindKubernetesMetadata && len(s.classes) > 0 &&
		!slices.ContainsFunc(s.classes, func(c Class) bool { return c.Has(entity) }) {
		return false
	}
	if s.namespace == "" && s.labels.Empty() {
		return true
	}
	namespace, anywhere, labels := l.placeOf(entity)
	return (s.namespace == "" || anywhere || namespace == s.namespace) && s.labels.Matches(labels)
}

// podNamespaceLabel is what every runtime that Kubernetes uses puts on a pod's containers.
const podNamespaceLabel = "io.kubernetes.pod.namespace"

// placeOf returns the namespace of Kubernetes that an entity is in, whether it is in none by its
// nature, and its labels: a container has those of its pod, too, and a process those of its
// container.
func (l *Local) placeOf(entity workloadmeta.Entity) (namespace string, anywhere bool,
	labels map[string]string) {
	switch e := entity.(type) {
	case *workloadmeta.Process:
		if c, err := l.opts.Store.GetContainer(e.ContainerID); err == nil {
			return l.placeOf(c)
		}
	case *workloadmeta.Container:
		pod, err := l.opts.Store.GetKubernetesPodForContainer(e.ID)
		if err != nil {
			return e.Labels[podNamespaceLabel], false, e.Labels
		}
		labels = maps.Clone(pod.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, e.Labels)
		return pod.Namespace, false, labels
	case interface {
		Meta() *workloadmeta.EntityMeta
	}:
		m := e.Meta()
		switch entity.GetID().Kind {
		case workloadmeta.KindKubernetesMetadata, workloadmeta.KindCRD,
			workloadmeta.KindKueueQueue, workloadmeta.KindKueueResourceFlavor:
			anywhere = m.Namespace == ""
		}
		return m.Namespace, anywhere, m.Labels
	}
	return "", false, nil
}

// imageNames returns all that the image of a container, or an image, is called.
func imageNames(entity workloadmeta.Entity) []string {
	switch e := entity.(type) {
	case *workloadmeta.Container:
		i := e.Image
		return []string{i.Name, i.RawName, i.Name + ":" + i.Tag, i.ShortName, i.ID, i.RepoDigest}
	case *workloadmeta.ContainerImageMetadata:
		return append(namesOf(e), e.ID)
	}
	return nil
}
