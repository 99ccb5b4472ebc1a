package workloadmeta

import (
	"reflect"
	"strings"
)

// Entities print, as %v and %+v, as their ID and the fields that are set, by their JSON
// names, on one line:
//
//	container/b1 {"name":"web","runtime":"docker"}
//
// Each kind has a method of its own, because otherwise that of the embedded EntityID would
// print the ID alone.

// String returns the ID and the fields that are set, for logs and tests.
func (c *Container) String() string { return text(c) }

// String returns the ID and the fields that are set, for logs and tests.
func (p *KubernetesPod) String() string { return text(p) }

// String returns the ID and the fields that are set, for logs and tests.
func (m *KubernetesMetadata) String() string { return text(m) }

// String returns the ID and the fields that are set, for logs and tests.
func (d *KubernetesDeployment) String() string { return text(d) }

// String returns the ID and the fields that are set, for logs and tests.
func (s *KubernetesService) String() string { return text(s) }

// String returns the ID and the fields that are set, for logs and tests.
func (t *ECSTask) String() string { return text(t) }

// String returns the ID and the fields that are set, for logs and tests.
func (i *ContainerImageMetadata) String() string { return text(i) }

// String returns the ID and the fields that are set, for logs and tests.
func (p *Process) String() string { return text(p) }

// String returns the ID and the fields that are set, for logs and tests.
func (h *Host) String() string { return text(h) }

// String returns the ID and the fields that are set, for logs and tests.
func (g *GPU) String() string { return text(g) }

// String returns the ID and the fields that are set, for logs and tests.
func (k *Kubelet) String() string { return text(k) }

// String returns the ID and the fields that are set, for logs and tests.
func (k *KubeletMetrics) String() string { return text(k) }

// String returns the ID and the fields that are set, for logs and tests.
func (k *KubeCapabilities) String() string { return text(k) }

// String returns the ID and the fields that are set, for logs and tests.
func (c *CRD) String() string { return text(c) }

// String returns the ID and the fields that are set, for logs and tests.
func (q *KueueQueue) String() string { return text(q) }

// String returns the ID and the fields that are set, for logs and tests.
func (f *KueueResourceFlavor) String() string { return text(f) }

// String returns the ID and the fields that are set, for logs and tests.
func (w *KueueWorkload) String() string { return text(w) }

// text returns the entity on one line.
func text(e Entity) string {
	id := e.GetID()
	head := appendValue(nil, reflect.ValueOf(id)) // the fields of the ID are the entity's first
	fields := string(AppendEntity(nil, e)[len(head)-1:])
	if fields == "}" {
		return id.String()
	}
	return id.String() + " {" + strings.TrimPrefix(fields, ",")
}
