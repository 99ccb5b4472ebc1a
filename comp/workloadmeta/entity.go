package workloadmeta

import "fmt"

// EntityID identifies an entity. What ID holds depends on the kind: see the
// documentation of each kind's type.
type EntityID struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

// GetID returns the ID itself, so that every type that embeds an EntityID has it.
func (id EntityID) GetID() EntityID { return id }

// String returns "<kind>/<id>", for people.
func (id EntityID) String() string { return id.Kind.String() + "/" + id.ID }

// Entity is one thing that runs, or that describes what runs. The types in this
// package are its only implementations.
//
// An Entity is immutable once it has been handed over.
type Entity interface {
	// GetID returns the entity's identity.
	GetID() EntityID
	// Equal reports whether other is of the same type and says the same in every
	// field. Empty and nil maps and lists are the same.
	Equal(other Entity) bool

	// merged returns one entity made of what several reporters say of it. Nothing of the
	// views is written to, but the result may share their maps and lists. Which reporter
	// counts for which field: precedence.go.
	merged(views *views) Entity
}

// EntityMeta is what most kinds have in common.
type EntityMeta struct {
	Name        string            `json:"name,omitempty"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	UID         string            `json:"uid,omitempty"`
}

// Meta returns the metadata itself; kinds without metadata do not have it.
func (m *EntityMeta) Meta() *EntityMeta { return m }

func (m *EntityMeta) equal(o *EntityMeta) bool {
	return m.Name == o.Name && m.Namespace == o.Namespace && m.UID == o.UID &&
		equalMaps(m.Labels, o.Labels) && equalMaps(m.Annotations, o.Annotations)
}

func (m *EntityMeta) fill(o *EntityMeta) {
	fill(&m.Name, o.Name)
	fill(&m.Namespace, o.Namespace)
	fill(&m.UID, o.UID)
	fillMap(&m.Labels, o.Labels)
	fillMap(&m.Annotations, o.Annotations)
}

// NewEntity returns an empty entity of the given kind and ID. An invalid kind is
// an error that names it.
func NewEntity(id EntityID) (Entity, error) {
	switch id.Kind {
	case KindContainer:
		return &Container{EntityID: id}, nil
	case KindKubernetesPod:
		return &KubernetesPod{EntityID: id}, nil
	case KindKubernetesMetadata:
		return &KubernetesMetadata{EntityID: id}, nil
	case KindKubernetesDeployment:
		return &KubernetesDeployment{EntityID: id}, nil
	case KindKubernetesService:
		return &KubernetesService{EntityID: id}, nil
	case KindECSTask:
		return &ECSTask{EntityID: id}, nil
	case KindContainerImage:
		return &ContainerImageMetadata{EntityID: id}, nil
	case KindProcess:
		return &Process{EntityID: id}, nil
	case KindHost:
		return &Host{EntityID: id}, nil
	case KindGPU:
		return &GPU{EntityID: id}, nil
	case KindKubelet:
		return &Kubelet{EntityID: id}, nil
	case KindKubeletMetrics:
		return &KubeletMetrics{EntityID: id}, nil
	case KindKubeCapabilities:
		return &KubeCapabilities{EntityID: id}, nil
	case KindCRD:
		return &CRD{EntityID: id}, nil
	case KindKueueQueue:
		return &KueueQueue{EntityID: id}, nil
	case KindKueueResourceFlavor:
		return &KueueResourceFlavor{EntityID: id}, nil
	case KindKueueWorkload:
		return &KueueWorkload{EntityID: id}, nil
	}
	return nil, fmt.Errorf("new entity: invalid %s", id.Kind)
}
