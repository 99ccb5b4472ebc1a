package workloadmeta

import (
	"maps"
	"slices"
)

// KueueQueue is a Kueue queue. Its ID is "localqueue/<namespace>/<name>" or
// "clusterqueue//<name>".
type KueueQueue struct {
	EntityID
	EntityMeta
	QueueType        string `json:"queue_type,omitempty"`         // localqueue, clusterqueue
	ClusterQueueName string `json:"cluster_queue_name,omitempty"` // of a cluster queue its own name
}

// Equal implements [Entity].
func (q *KueueQueue) Equal(other Entity) bool {
	o, ok := other.(*KueueQueue)
	return ok && (q == o || q.EntityID == o.EntityID && q.EntityMeta.equal(&o.EntityMeta) &&
		q.QueueType == o.QueueType && q.ClusterQueueName == o.ClusterQueueName)
}

func (q *KueueQueue) merged(views *views) Entity {
	out := &KueueQueue{EntityID: q.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KueueQueue)
		out.EntityMeta.fill(&v.EntityMeta)
		fill(&out.QueueType, v.QueueType)
		fill(&out.ClusterQueueName, v.ClusterQueueName)
	}
	return out
}

// KueueResourceFlavor is a Kueue resource flavor. Its ID is the flavor's name.
type KueueResourceFlavor struct {
	EntityID
	EntityMeta
	NodeAffinityLabels map[string]string `json:"node_affinity_labels,omitempty"`
}

// Equal implements [Entity].
func (f *KueueResourceFlavor) Equal(other Entity) bool {
	o, ok := other.(*KueueResourceFlavor)
	return ok && (f == o || f.EntityID == o.EntityID && f.EntityMeta.equal(&o.EntityMeta) &&
		equalMaps(f.NodeAffinityLabels, o.NodeAffinityLabels))
}

func (f *KueueResourceFlavor) merged(views *views) Entity {
	out := &KueueResourceFlavor{EntityID: f.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KueueResourceFlavor)
		out.EntityMeta.fill(&v.EntityMeta)
		fillMap(&out.NodeAffinityLabels, v.NodeAffinityLabels)
	}
	return out
}

// KueueWorkload is a Kueue workload. Its ID is "<namespace>/<name>".
type KueueWorkload struct {
	EntityID
	EntityMeta
	QueueName         string             `json:"queue_name,omitempty"`
	ClusterQueueName  string             `json:"cluster_queue_name,omitempty"`
	PodSetAssignments []PodSetAssignment `json:"pod_set_assignments,omitempty"`
}

// PodSetAssignment says which flavors a set of pods got.
type PodSetAssignment struct {
	Name    string            `json:"name,omitempty"`
	Flavors map[string]string `json:"flavors,omitempty"` // resource → flavor
}

func (a PodSetAssignment) equal(b PodSetAssignment) bool {
	return a.Name == b.Name && maps.Equal(a.Flavors, b.Flavors)
}

// Equal implements [Entity].
func (w *KueueWorkload) Equal(other Entity) bool {
	o, ok := other.(*KueueWorkload)
	return ok && (w == o || w.EntityID == o.EntityID && w.EntityMeta.equal(&o.EntityMeta) &&
		w.QueueName == o.QueueName && w.ClusterQueueName == o.ClusterQueueName &&
		slices.EqualFunc(w.PodSetAssignments, o.PodSetAssignments, PodSetAssignment.equal))
}

func (w *KueueWorkload) merged(views *views) Entity {
	out := &KueueWorkload{EntityID: w.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*KueueWorkload)
		out.EntityMeta.fill(&v.EntityMeta)
		fill(&out.QueueName, v.QueueName)
		fill(&out.ClusterQueueName, v.ClusterQueueName)
		fillListFunc(&out.PodSetAssignments, v.PodSetAssignments,
			func(a, b PodSetAssignment) bool { return a.Name == b.Name })
	}
	return out
}
