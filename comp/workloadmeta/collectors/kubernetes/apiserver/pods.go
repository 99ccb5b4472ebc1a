package apiserver

import (
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
	"github.com/rollcall-dev/rollcall/pkg/kubenames"
)

// followPods follows the pods of the cluster, or those of the node.
func (c *Collector) followPods(core *core) follow {
	r := kubeapi.Resource{GroupVersionResource: podResource}
	if c.opts.node() {
		r.Fields = "spec.nodeName=" + c.opts.NodeName
	}
	return newFollow(c, core, r, podmap.ThinShape(), core.pods, thinPods())
}

// thinPods returns the mapping of pods.
func thinPods() mapping[object.Pod, *workloadmeta.KubernetesPod] {
	mapper := podmap.New(nil) // of no container, and so without variables
	return mapping[object.Pod, *workloadmeta.KubernetesPod]{of: mapper.Thin,
		key: func(m *object.Meta) string { return m.UID }} // a static pod's entity has another ID
}

// samePod compares what is known of a pod, but for its version: that moves with every word of its
// kubelet.
func samePod(a, b *workloadmeta.KubernetesPod) bool {
	if a.ResourceVersion == b.ResourceVersion {
		return a.Equal(b)
	}
	as := *b
	as.ResourceVersion = a.ResourceVersion
	return a.Equal(&as)
}

// podChanged reports a pod, with the kinds of the autoscalers of what owns it.
func (c *core) podChanged(_ string, was, is **workloadmeta.KubernetesPod) {
	if was != nil {
		c.mirrors.Drop(*was)
	}
	if is != nil {
		c.mirrors.Put(podmap.Mapped{Pod: *is})
		c.reportPod((*is).EntityID)
	}
	if was != nil && (is == nil || (*was).EntityID != (*is).EntityID) {
		c.reportPod((*was).EntityID)
	}
}

// reportPod reports the pod with an ID as it is now. The mirror of a static pod is made anew when
// its file changes, and when somebody deletes it; a pod that pretends to be one is there beside it,
// or beside the very pod whose UID that is.
func (c *core) reportPod(id workloadmeta.EntityID) {
	pod, ok := c.pods.known[id.ID] // by the API server's UID
	if !ok || pod.EntityID != id {
		mirror, ok := c.mirrors.Of(id.ID)
		if !ok {
			c.unset(id)
			return
		}
		pod = mirror.Pod
	}
	if kinds := c.scalers.kinds(ownerOf(pod)); kinds != nil {
		scaled := *pod
		scaled.AutoscalerKinds = kinds
		pod = &scaled
	}
	c.set(pod)
}

// ownerOf returns what controls a pod, and scales it if anything does: the Deployment or the Argo
// rollout of its ReplicaSet, else its controller.
func ownerOf(p *workloadmeta.KubernetesPod) workload {
	for i := range p.Owners {
		o := &p.Owners[i]
		if o.Controller == nil || !*o.Controller {
			continue
		}
		if o.Kind == "ReplicaSet" {
			for _, by := range [...]struct{ kind, label string }{
				{"Deployment", "pod-template-hash"}, {"Rollout", "rollouts-pod-template-hash"}} {
				if name := kubenames.DeploymentByHash(o.Name, p.Labels[by.label]); name != "" {
					return workload{p.Namespace, by.kind, name}
				}
			}
		}
		return workload{p.Namespace, o.Kind, o.Name}
	}
	return workload{}
}
