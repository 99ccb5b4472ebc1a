package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"

	"github.com/rollcall-dev/rollcall/pkg/similar"
)

// aliases are the names of kinds that people type, beside the full ones and their plurals.
func aliases() map[string]workloadmeta.Kind {
	return map[string]workloadmeta.Kind{
		"containers": workloadmeta.KindContainer, "c": workloadmeta.KindContainer,
		"pod": workloadmeta.KindKubernetesPod, "pods": workloadmeta.KindKubernetesPod,
		"po":      workloadmeta.KindKubernetesPod,
		"process": workloadmeta.KindProcess, "processes": workloadmeta.KindProcess,
		"ps":    workloadmeta.KindProcess,
		"image": workloadmeta.KindContainerImage, "images": workloadmeta.KindContainerImage,
		"task": workloadmeta.KindECSTask, "tasks": workloadmeta.KindECSTask,
		"deployment":  workloadmeta.KindKubernetesDeployment,
		"deployments": workloadmeta.KindKubernetesDeployment,
		"deploy":      workloadmeta.KindKubernetesDeployment,
		"service":     workloadmeta.KindKubernetesService,
		"services":    workloadmeta.KindKubernetesService,
		"svc":         workloadmeta.KindKubernetesService,
		"metadata":    workloadmeta.KindKubernetesMetadata, "gpus": workloadmeta.KindGPU,
		"hosts": workloadmeta.KindHost,
		"crds":  workloadmeta.KindCRD,
	}
}

// Class is what people list and ask for: a kind, or the objects of one resource among those of
// Kubernetes that are known by their metadata.
type Class struct {
	Kind workloadmeta.Kind
	// Resource is "namespaces", "nodes" or empty.
	Resource string
}

// String is what people call one of them.
func (c Class) String() string {
	if c.Resource != "" {
		return strings.TrimSuffix(c.Resource, "s")
	}
	return ShortKind(c.Kind)
}

// Has reports whether an entity is one of them.
func (c Class) Has(entity workloadmeta.Entity) bool {
	id := entity.GetID()
	return id.Kind == c.Kind && strings.HasPrefix(id.ID, c.prefix())
}

// prefix begins the IDs of the objects of a resource, which is one of the whole cluster.
func (c Class) prefix() string {
	if c.Resource == "" {
		return ""
	}
	return "/" + c.Resource + "//"
}

// ParseClass reads what people write: "po", "pods", "ns".
func ParseClass(text string) (Class, error) {
	switch strings.ToLower(text) {
	case "ns", "namespace", "namespaces":
		return Class{workloadmeta.KindKubernetesMetadata, "namespaces"}, nil
	case "no", "node", "nodes":
		return Class{workloadmeta.KindKubernetesMetadata, "nodes"}, nil
	}
	kind, err := ParseKind(text)
	return Class{Kind: kind}, err
}

// Running are the kinds of what runs, as opposed to what describes it.
func Running() []workloadmeta.Kind {
	return []workloadmeta.Kind{workloadmeta.KindContainer, workloadmeta.KindKubernetesPod,
		workloadmeta.KindECSTask, workloadmeta.KindProcess}
}

// ParseKind reads a kind as people write it: "pod", "pods", "kubernetes_pod".
func ParseKind(text string) (workloadmeta.Kind, error) {
	lower, short := strings.ToLower(text), aliases()
	if kind, ok := short[lower]; ok {
		return kind, nil
	}
	for _, name := range []string{lower, strings.TrimSuffix(lower, "s")} {
		if kind, err := workloadmeta.ParseKind(name); err == nil {
			return kind, nil
		}
	}
	all := KindNames()
	if near := nearest(lower, all, 1); len(near) > 0 {
		return 0, invalidf("unknown kind %q; did you mean %s?", text, near[0])
	}
	return 0, invalidf("unknown kind %q (want %s)", text, strings.Join(all, ", "))
}

// KindNames are the names of all kinds, the short one where there is one, and of what else can be
// asked for as if it were one.
func KindNames() []string {
	names := []string{"container", "pod", "task", "process", "image", "deployment", "service",
		"namespace", "node", "metadata"}
	short := aliases()
	for _, kind := range workloadmeta.Kinds() {
		if !slices.ContainsFunc(names, func(n string) bool {
			k, ok := short[n]
			return n == kind.String() || ok && k == kind
		}) {
			names = append(names, kind.String())
		}
	}
	return names
}

// ShortKind is what people call a kind.
func ShortKind(kind workloadmeta.Kind) string {
	switch kind {
	case workloadmeta.KindKubernetesPod:
		return "pod"
	case workloadmeta.KindContainerImage:
		return "image"
	case workloadmeta.KindECSTask:
		return "task"
	case workloadmeta.KindKubernetesDeployment:
		return "deployment"
	case workloadmeta.KindKubernetesService:
		return "service"
	}
	return kind.String()
}

// NameOf is what people call an entity, with its namespace; empty if it has no name.
func NameOf(entity workloadmeta.Entity) string {
	switch e := entity.(type) {
	case *workloadmeta.Process:
		return firstText(e.Name, e.Comm)
	case *workloadmeta.ContainerImageMetadata:
		return firstText(strings.Join(e.RepoTags, ","), e.Name)
	case *workloadmeta.ECSTask:
		if e.Family != "" {
			return strings.Trim(e.Family+":"+e.Version, ":")
		}
		return firstText(e.Name, e.ID[strings.LastIndex(e.ID, "/")+1:])
	case interface {
		Meta() *workloadmeta.EntityMeta
	}:
		return qualified(e.Meta().Namespace, e.Meta().Name)
	}
	return ""
}

// namesOf returns all that an entity is called beside its ID.
func namesOf(entity workloadmeta.Entity) []string {
	var names []string
	switch e := entity.(type) {
	case *workloadmeta.Process:
		names = []string{e.Name, e.Comm}
	case *workloadmeta.ContainerImageMetadata:
		names = slices.Concat(e.RepoTags, e.RepoDigests, []string{e.Name})
	case *workloadmeta.ECSTask:
		names = []string{e.Name, e.ID[strings.LastIndex(e.ID, "/")+1:], e.Family,
			e.Family + ":" + e.Version}
	case *workloadmeta.KubernetesPod:
		names = []string{e.Name, qualified(e.Namespace, e.Name), e.APIUID}
	case interface {
		Meta() *workloadmeta.EntityMeta
	}:
		m := e.Meta()
		names = []string{m.Name, qualified(m.Namespace, m.Name)}
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == "" })
}

// ShortID is what people use of a container's or an image's ID.
func ShortID(id string) string {
	id = strings.TrimPrefix(id, digestPrefix)
	if len(id) == 64 {
		return id[:12]
	}
	return id
}

const digestPrefix = "sha256:"

func qualified(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// nearest returns at most so many of the names that are like text, the nearest first: those that
// begin with it, that it begins with, and those that few changed characters make of it.
func nearest(text string, names []string, most int) []string {
	type candidate struct {
		name string
		far  int
	}
	var found []candidate
	lower, limit := strings.ToLower(text), max(1, min(3, len(text)/4))
	for _, name := range names {
		other := strings.ToLower(name)
		far := similar.Distance(lower, other)
		switch {
		case far <= limit:
		case len(lower) >= 2 && strings.HasPrefix(other, lower):
			far = limit + 1
		case len(lower) >= 4 && strings.Contains(other, lower),
			len(other) >= 3 && strings.HasPrefix(lower, other):
			far = limit + 2
		default:
			continue
		}
		found = append(found, candidate{name, far})
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		if a.far != b.far {
			return a.far - b.far
		}
		return strings.Compare(a.name, b.name)
	})
	var list []string
	for _, c := range found {
		if !slices.Contains(list, c.name) && len(list) < most {
			list = append(list, c.name)
		}
	}
	return list
}

// Nearest returns the name that is most like text, "" if none is.
func Nearest(text string, names []string) string {
	if near := nearest(text, names, 1); len(near) > 0 {
		return near[0]
	}
	return ""
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// plural says how many of something there are.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
