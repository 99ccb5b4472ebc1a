package rules

import (
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/image"
	"github.com/rollcall-dev/rollcall/pkg/template"
)

// Lookup finds other entities: the pod of a container. A nil Lookup knows nothing.
type Lookup interface {
	Get(id workloadmeta.EntityID) (workloadmeta.Entity, error)
}

// Subject is an entity that the rules are asked about. It remembers which rules apply, so
// that asking for many tags of one entity costs little. It is used with one [Set] and by
// one goroutine at a time; the zero Subject is nobody, to whom only rules without
// conditions apply.
type Subject struct {
	entity   workloadmeta.Entity
	resource string
	lookup   Lookup

	pod   *workloadmeta.KubernetesPod // of a container
	asked bool                        // whether the pod has been looked for
	memo  []answer                    // by rule
}

type answer uint8

const (
	unknown answer = iota
	yes
	no
)

// Reset makes the subject another entity. resource is what Kubernetes calls its kind,
// "pods" or "deployments.apps"; "" = nothing.
func (s *Subject) Reset(e workloadmeta.Entity, resource string, lookup Lookup) {
	s.entity, s.resource, s.lookup = e, resource, lookup
	s.pod, s.asked = nil, false
	clear(s.memo)
}

// Of makes the subject the same entity by what is known of another resource: the labels of
// a pod's namespace belong to "namespaces".
func (s *Subject) Of(resource string) {
	if s.resource != resource {
		s.resource = resource
		clear(s.memo)
	}
}

// compiled is a rule in the form in which it is asked.
type compiled struct {
	*Rule
	index      int // in the list
	conditions []condition
}

type condition struct {
	field    Field
	key      string
	template bool // whether the key has variables
	patterns []pattern
}

// applies reports whether all conditions of the rule hold.
func (s *Subject) applies(c *compiled) bool {
	if len(c.conditions) == 0 {
		return true
	}
	if s.entity == nil {
		return false
	}
	for c.index >= len(s.memo) {
		s.memo = append(s.memo, unknown)
	}
	if s.memo[c.index] == unknown {
		s.memo[c.index] = yes
		for i := range c.conditions {
			if !s.holds(&c.conditions[i]) {
				s.memo[c.index] = no
				break
			}
		}
	}
	return s.memo[c.index] == yes
}

func (s *Subject) holds(c *condition) bool {
	switch c.field {
	case Kind:
		return matchAny(c.patterns, s.entity.GetID().Kind.String())
	case Resource:
		return matchText(c.patterns, s.resource)
	case Image:
		return s.image(c.patterns)
	case Runtime:
		if container, ok := s.entity.(*workloadmeta.Container); ok {
			return matchText(c.patterns, string(container.Runtime))
		}
		return matchMissing(c.patterns)
	case Name:
		name, own := s.names()
		return matchText(c.patterns, name) || own != "" && matchAny(c.patterns, own)
	case Namespace:
		return matchText(c.patterns, s.namespace())
	}
	value, ok := "", false
	if !c.template {
		value, ok = s.value(c.field, c.key)
	} else {
		name, own := s.names()
		for _, n := range [...]string{name, own} {
			if n != "" && !ok {
				key, _ := template.Expand(c.key,
					func(_, _ string) (string, bool) { return n, true })
				value, ok = s.value(c.field, key)
			}
		}
	}
	if !ok {
		return matchMissing(c.patterns)
	}
	return matchAny(c.patterns, value)
}

// matchText matches a value that is not there if it is empty.
func matchText(patterns []pattern, value string) bool {
	if value == "" {
		return matchMissing(patterns)
	}
	return matchAny(patterns, value)
}

// image matches an image by its name without and with tag, and as the user wrote it, each in
// its short and in its full spelling: which of them a runtime uses is its own affair.
func (s *Subject) image(patterns []pattern) bool {
	found := false
	try := func(name string) bool {
		if name == "" {
			return false
		}
		found = true
		if matchAny(patterns, name) {
			return true
		}
		short, full := image.Spellings(name)
		return short != name && matchAny(patterns, short) ||
			full != name && matchBeyond(patterns, full, len(full)-len(short))
	}
	tryReference := func(reference string) bool {
		ref, err := image.Split(reference)
		return try(reference) || err == nil &&
			(try(ref.Name) || ref.Tag != "" && try(ref.Name+":"+ref.Tag))
	}
	switch e := s.entity.(type) {
	case *workloadmeta.Container:
		if try(e.Image.Name) || try(e.Image.RawName) || e.Image.Tag != "" &&
			try(e.Image.Name+":"+e.Image.Tag) {
			return true
		}
	case *workloadmeta.ContainerImageMetadata:
		if try(e.Name) || slices.ContainsFunc(e.RepoTags, tryReference) ||
			slices.ContainsFunc(e.RepoDigests, tryReference) {
			return true
		}
	}
	return !found && matchMissing(patterns)
}

func (s *Subject) meta() *workloadmeta.EntityMeta {
	if m, ok := s.entity.(interface {
		Meta() *workloadmeta.EntityMeta
	}); ok {
		return m.Meta()
	}
	return nil
}

// nameLabel is what every runtime that Kubernetes uses puts on a pod's containers: the name in
// the pod's manifest.
const nameLabel = "io.kubernetes.container.name"

// names returns the entity's name. A container of a pod is called what the pod's manifest calls
// it; own is what the runtime calls it if that is something else, such as Docker's
// "k8s_web_web-0_shop_…".
func (s *Subject) names() (name, own string) {
	if p, ok := s.entity.(*workloadmeta.Process); ok {
		return p.Name, ""
	}
	m := s.meta()
	if m == nil {
		return "", ""
	}
	if name = s.nameInPod(m); name == "" || name == m.Name {
		return m.Name, ""
	}
	return name, m.Name
}

// nameInPod returns the name that the manifest of its pod gives a container.
func (s *Subject) nameInPod(m *workloadmeta.EntityMeta) string {
	c, ok := s.entity.(*workloadmeta.Container)
	if !ok {
		return ""
	}
	if name := m.Labels[nameLabel]; name != "" {
		return name
	}
	pod := s.podOf()
	if pod == nil {
		return ""
	}
	for _, list := range [...][]workloadmeta.OrchestratorContainer{pod.Containers,
		pod.InitContainers, pod.EphemeralContainers} {
		for i := range list {
			if list[i].ID == c.ID {
				return list[i].Name
			}
		}
	}
	return ""
}

// namespaceLabel is what every runtime that Kubernetes uses puts on a pod's containers.
const namespaceLabel = "io.kubernetes.pod.namespace"

// namespace returns the entity's namespace, of a container that of its pod. What a container itself
// calls so may be one of containerd's, such as "default" or "k8s.io", which have nothing to do with
// it.
func (s *Subject) namespace() string {
	m := s.meta()
	if m == nil {
		return ""
	}
	c, ok := s.entity.(*workloadmeta.Container)
	if !ok {
		return m.Namespace
	}
	if namespace := m.Labels[namespaceLabel]; namespace != "" {
		return namespace
	}
	if pod := s.podOf(); pod != nil {
		return pod.Namespace
	}
	if c.Runtime != workloadmeta.RuntimeContainerd && c.Owner != nil {
		return m.Namespace
	}
	return ""
}

// podOf returns the pod of a container, nil if there is none or it is not known.
func (s *Subject) podOf() *workloadmeta.KubernetesPod {
	if s.asked {
		return s.pod
	}
	s.asked = true
	c, ok := s.entity.(*workloadmeta.Container)
	if !ok || s.lookup == nil || c.Owner == nil || c.Owner.Kind != workloadmeta.KindKubernetesPod {
		return nil
	}
	if e, err := s.lookup.Get(*c.Owner); err == nil {
		s.pod, _ = e.(*workloadmeta.KubernetesPod)
	}
	return s.pod
}

// value returns a label, an annotation or a variable.
func (s *Subject) value(field Field, key string) (string, bool) {
	if field == Env {
		if c, ok := s.entity.(*workloadmeta.Container); ok {
			return find(c.EnvVars, key)
		}
		return "", false
	}
	of := func(m *workloadmeta.EntityMeta) map[string]string {
		if field == Label {
			return m.Labels
		}
		return m.Annotations
	}
	if m := s.meta(); m != nil {
		if value, ok := find(of(m), key); ok {
			return value, true
		}
	}
	if pod := s.podOf(); pod != nil {
		return find(of(&pod.EntityMeta), key)
	}
	return "", false
}

// find looks a key up without regard to case. The spelling that is asked for comes first,
// then the first in byte order.
func find(m map[string]string, key string) (string, bool) {
	if value, ok := m[key]; ok {
		return value, true
	}
	best := ""
	for k := range m {
		if strings.EqualFold(k, key) && (best == "" || k < best) {
			best = k
		}
	}
	return m[best], best != ""
}
