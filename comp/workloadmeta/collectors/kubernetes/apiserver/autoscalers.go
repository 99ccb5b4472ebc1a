package apiserver

import (
	"maps"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// The kinds of autoscalers, as entities have them.
const (
	horizontal = "hpa"
	vertical   = "vpa"
	keda       = "keda"
)

// workload names what an autoscaler scales. The group of its API is left out: old autoscalers have
// groups that are no more. The zero value is nothing: the target of an autoscaler that has none,
// and what owns a pod that is on its own.
type workload struct{ namespace, kind, name string }

// scaling is what one autoscaler does.
type scaling struct {
	kind   string
	target workload
}

// scalers knows which autoscalers target what.
type scalers struct {
	byTarget map[workload]map[string]string // the kinds, by autoscaler
	dirty    map[workload]bool              // those with others than were reported
}

func (s *scalers) init() {
	s.byTarget, s.dirty = map[workload]map[string]string{}, map[workload]bool{}
}

// kinds returns those of the autoscalers of a workload, sorted; nil = it has none.
func (s *scalers) kinds(w workload) []string {
	by := s.byTarget[w]
	if len(by) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(maps.Values(by)))
}

// followHorizontal follows the autoscalers that change how many pods there are. KEDA makes some for
// its own: they are KEDA's.
func (c *Collector) followHorizontal(core *core) follow {
	r := kubeapi.Resource{GroupVersionResource: horizontalResource}
	return newFollow(c, core, r, thin(), core.scalings("horizontal"),
		byName(func(o *object.HorizontalPodAutoscaler) (scaling, error) {
			kind := horizontal
			for i := range o.OwnerReferences {
				if owner := &o.OwnerReferences[i]; owner.Kind == "ScaledObject" &&
					owner.Controller != nil && *owner.Controller {
					kind = keda
				}
			}
			t := o.Spec.Target
			return scaling{kind, workload{o.Namespace, t.Kind, t.Name}}, nil
		}))
}

// followVertical follows the autoscalers that change what pods may use, which not every cluster
// has.
func (c *Collector) followVertical(core *core) follow {
	r := kubeapi.Resource{GroupVersionResource: verticalResource}
	return newFollow(c, core, r, thin(), core.scalings("vertical"),
		byName(func(o *object.VerticalPodAutoscaler) (scaling, error) {
			s := scaling{kind: vertical}
			if t := o.Spec.Target; t != nil {
				s.target = workload{o.Namespace, t.Kind, t.Name}
			}
			return s, nil
		}))
}

// scalings returns a table of autoscalers.
func (c *core) scalings(prefix string) *table[scaling] {
	return newTable(func(a, b scaling) bool { return a == b },
		func(key string, was, is *scaling) {
			key = prefix + " " + key
			if was != nil && was.target != (workload{}) &&
				(is == nil || is.target != was.target) {
				delete(c.scalers.byTarget[was.target], key)
				if len(c.scalers.byTarget[was.target]) == 0 {
					delete(c.scalers.byTarget, was.target)
				}
				c.scalers.dirty[was.target] = true
			}
			if is != nil && is.target != (workload{}) {
				if c.scalers.byTarget[is.target] == nil {
					c.scalers.byTarget[is.target] = map[string]string{}
				}
				c.scalers.byTarget[is.target][key] = is.kind
				c.scalers.dirty[is.target] = true
			}
		})
}

// rescale reports again workloads, and their pods, whose autoscalers are others now. That happens
// so rarely that looking through all pods costs less than an index of them.
func (c *core) rescale() {
	dirty := c.scalers.dirty
	if len(dirty) == 0 {
		return
	}
	for w := range dirty {
		id := w.namespace + "/" + w.name
		if d, ok := c.deployments.known[id]; ok && w.kind == "Deployment" {
			c.deploymentChanged(id, &d, &d)
		}
	}
	for uid, pod := range c.pods.known {
		if dirty[ownerOf(pod)] {
			c.podChanged(uid, &pod, &pod)
		}
	}
	clear(dirty)
}
