package extract

import (
	"cmp"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/gpu"
)

// Kueue admits jobs through queues. A job is a workload: it waits in a local queue of
// its namespace, which feeds a cluster queue; when admitted, each of its pod sets is
// assigned resource flavors, that is, sorts of nodes.

// Labels and annotations Kueue puts on pods.
const (
	kueueGroup              = "kueue.x-k8s.io"
	kueueWorkloadAnnotation = kueueGroup + "/workload"
	// for plain pods that form one workload
	kueuePodGroupLabel     = kueueGroup + "/pod-group-name"
	kueuePodSetLabel       = kueueGroup + "/podset"
	kueueLocalQueueLabel   = "local-queue-name"
	kueueOldQueueLabel     = "queue-name"
	kueueClusterQueueLabel = kueueGroup + "/cluster-queue-name"
)

// allPodSets asks for the flavors of all pod sets of a workload.
const allPodSets = ""

// Node labels of NVIDIA's feature discovery.
const (
	nvidiaPrefix  = "nvidia.com/"
	nvidiaProduct = "gpu.product"
	nvidiaFamily  = "gpu.family"
	nvidiaDriver  = "cuda.driver-version.full"
)

// podKueue adds the tags of the workload a pod belongs to; if that is not known, those
// of the queues its labels name.
func (x *Extractor) podKueue(b *builder, p *workloadmeta.KubernetesPod, lookup Lookup) {
	if name := cmp.Or(p.Annotations[kueueWorkloadAnnotation],
		p.Labels[kueuePodGroupLabel]); name != "" {
		if w, ok := find[*workloadmeta.KueueWorkload](lookup, workloadmeta.KindKueueWorkload,
			p.Namespace+"/"+name); ok {
			b.read(w)
			x.kueueWorkload(b, w, lookup, p.Labels[kueuePodSetLabel])
			b.read(p)
			return
		}
	}
	label := kueueLocalQueueLabel
	local := p.Labels[kueueGroup+"/"+kueueLocalQueueLabel]
	if local == "" {
		label = kueueOldQueueLabel
		local = p.Labels[kueueGroup+"/"+kueueOldQueueLabel]
	}
	cluster := p.Labels[kueueClusterQueueLabel]
	b.addKeyed(ruleQueueLabel, label, local)
	b.add(ruleClusterQueueLabel, cluster)
	if q, ok := findQueue(lookup, localQueue+p.Namespace, local); ok {
		x.kueueQueueOf(b, q)
		cluster = cmp.Or(cluster, q.ClusterQueueName)
	}
	if q, ok := findQueue(lookup, clusterQueue, cluster); ok {
		x.kueueQueueOf(b, q)
	}
}

// kueueWorkload adds the tags of a workload, of its queues, and of the flavors of one
// of its pod sets or of all. Of what lookup does not know it adds the name.
func (x *Extractor) kueueWorkload(b *builder, w *workloadmeta.KueueWorkload, lookup Lookup,
	podSet string) {
	b.add(ruleWorkload, w.Name)
	b.add(ruleWorkloadUID, w.UID)
	x.objectTags(b, &w.EntityMeta)

	cluster := w.ClusterQueueName
	if q, ok := findQueue(lookup, localQueue+w.Namespace, w.QueueName); ok {
		x.kueueQueueOf(b, q)
		cluster = cmp.Or(cluster, q.ClusterQueueName)
	} else {
		b.add(ruleWorkloadLocalQueue, w.QueueName)
	}
	if q, ok := findQueue(lookup, clusterQueue, cluster); ok {
		x.kueueQueueOf(b, q)
	} else {
		b.add(ruleWorkloadClusterQueue, cluster)
	}
	for i := range w.PodSetAssignments {
		if podSet != allPodSets && w.PodSetAssignments[i].Name != podSet {
			continue
		}
		for _, name := range w.PodSetAssignments[i].Flavors {
			if f, ok := find[*workloadmeta.KueueResourceFlavor](lookup,
				workloadmeta.KindKueueResourceFlavor, name); ok {
				b.read(f)
				x.kueueFlavor(b, f)
				b.read(w)
			} else {
				b.add(ruleWorkloadFlavor, name)
			}
		}
	}
}

// kueueQueueOf adds the tags of a queue to those of something that is in it.
func (x *Extractor) kueueQueueOf(b *builder, q *workloadmeta.KueueQueue) {
	reading := b.entity
	b.read(q)
	x.kueueQueue(b, q)
	b.read(reading)
}

func (x *Extractor) kueueQueue(b *builder, q *workloadmeta.KueueQueue) {
	if q.QueueType == "clusterqueue" {
		b.add(ruleClusterQueue, cmp.Or(q.Name, q.ClusterQueueName))
		x.objectTags(b, &q.EntityMeta)
		return
	}
	b.add(ruleLocalQueue, q.Name)
	b.add(ruleClusterQueue, q.ClusterQueueName)
	b.add(ruleNamespace, q.Namespace)
	x.objectTags(b, &q.EntityMeta)
}

// kueueFlavor adds the tags of a resource flavor: its name, and what the node labels it
// asks for say about GPUs.
func (x *Extractor) kueueFlavor(b *builder, f *workloadmeta.KueueResourceFlavor) {
	b.add(ruleFlavor, f.Name)
	nvidia := false
	for key, value := range f.NodeAffinityLabels {
		label, ok := strings.CutPrefix(key, nvidiaPrefix)
		if !ok {
			continue
		}
		nvidia = true
		switch label {
		case nvidiaProduct:
			b.add(ruleFlavorDevice, value)
			b.add(ruleFlavorType, cmp.Or(gpu.TypeFromDeviceName(value), value))
		case nvidiaFamily:
			b.add(ruleFlavorArchitecture, strings.ToLower(value))
		case nvidiaDriver:
			b.add(ruleFlavorDriver, value)
		default:
			b.addNamed(ruleFlavorLabel, label, strings.ReplaceAll(label, ".", "_"), value,
				tagger.LowCardinality)
		}
	}
	if nvidia {
		b.add(ruleFlavorVendor, gpu.VendorNVIDIA)
	}
	x.objectTags(b, &f.EntityMeta)
}

// What stands before the name in the ID of a queue; that of a local queue has its namespace, too.
const (
	localQueue   = "localqueue/"
	clusterQueue = "clusterqueue/"
)

// findQueue returns the queue of a name; none has no name.
func findQueue(lookup Lookup, kind, name string) (*workloadmeta.KueueQueue, bool) {
	if name == "" {
		return nil, false
	}
	return find[*workloadmeta.KueueQueue](lookup, workloadmeta.KindKueueQueue, kind+"/"+name)
}
