package podresources

import (
	"maps"
	"slices"
	"strings"

	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// tracker joins pods, as the store has them, with the devices of their containers.
type tracker struct {
	pods map[string]*pod // by UID
	// unseen are names under which a list has devices, and no pod is known.
	unseen map[podName]bool
	asked  int // lists
}

type podName struct{ namespace, name string }

type pod struct {
	podName
	since      int // the last list that was asked for before it was seen
	ended      bool
	containers map[string]string   // ID → name, those of earlier instances included
	current    map[string]bool     // IDs that it lists now
	wants      map[string]wants    // by the container's name
	devices    map[string]*devices // by the container's name
	doubts     map[string]*devices // which the last list had instead, by the container's name
}

// wants is what a container asks for.
type wants struct{ plugin, dynamic bool }

func newTracker() *tracker { return &tracker{pods: map[string]*pod{}} }

// missing reports whether a container is there whose devices are not known.
func (t *tracker) missing() bool {
	for _, p := range t.pods {
		for id := range p.current {
			if p.lacks(id) {
				return true
			}
		}
	}
	return false
}

// lacks reports whether a container has asked for devices that are not known.
func (p *pod) lacks(id string) bool {
	name := p.containers[id]
	w, d := p.wants[name], p.devices[name]
	return !p.ended && (w.plugin && (d == nil || !d.plugin) ||
		w.dynamic && (d == nil || !d.dynamic))
}

// keep forgets the pods that are not among these events, a snapshot, and returns what is to be
// unset.
func (t *tracker) keep(snapshot []workloadmeta.Event) (gone []workloadmeta.Entity) {
	there := map[string]bool{}
	for _, ev := range snapshot {
		there[ev.Entity.GetID().ID] = true
	}
	for uid := range t.pods {
		if !there[uid] {
			gone = append(gone, t.forget(uid)...)
		}
	}
	return gone
}

func (t *tracker) forget(uid string) (gone []workloadmeta.Entity) {
	if p := t.pods[uid]; p != nil {
		for _, id := range slices.Sorted(maps.Keys(p.containers)) {
			if p.devices[p.containers[id]] != nil {
				gone = append(gone, &workloadmeta.Container{EntityID: idOf(id)})
			}
		}
		delete(t.pods, uid)
	}
	return gone
}

// set takes a pod, and returns what is known of its containers, and whether there is one that is
// new and asks for devices that are not known.
func (t *tracker) set(e *workloadmeta.KubernetesPod) (known []workloadmeta.Entity, due bool) {
	p := t.pods[e.ID]
	if p == nil {
		p = &pod{since: t.asked, containers: map[string]string{}, devices: map[string]*devices{}}
		t.pods[e.ID] = p
	}
	p.podName, p.ended = podName{e.Namespace, e.Name}, workloadmeta.HasEnded(e)
	before := p.current
	p.current, p.wants = map[string]bool{}, map[string]wants{}
	for c := range e.AllContainers() {
		if c.ID != "" {
			p.containers[c.ID], p.current[c.ID] = c.Name, true
		}
		w := wants{dynamic: len(c.ResourceClaims) > 0}
		if c.RawResources != nil {
			for name := range c.RawResources.Requests {
				w.plugin = w.plugin || isDevice(name)
			}
		}
		p.wants[c.Name] = w
	}
	for id := range p.current {
		due = due || !before[id] && p.lacks(id)
	}
	// Where it has shared its name, the other one may be told now.
	due = due || p.ended && len(before) > 0 && t.missing()
	delete(t.unseen, p.podName)
	return p.report(), due
}

// isDevice reports whether a resource is one of a device plugin. Kubernetes' own have no domain.
func isDevice(resource string) bool {
	domain, _, ok := strings.Cut(resource, "/")
	return ok && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

func (p *pod) report() (list []workloadmeta.Entity) {
	for _, id := range slices.Sorted(maps.Keys(p.containers)) {
		if d := p.devices[p.containers[id]]; d != nil {
			list = append(list, d.container(id))
		}
	}
	return list
}

// ask returns the number of a list that is about to be asked for.
func (t *tracker) ask() int {
	t.asked++
	return t.asked
}

// list takes the answer to a list. For pods that were first seen since it was asked for it says
// nothing: it may be about others of their names.
func (t *tracker) list(number int, answer []*podresourcesv1.PodResources) {
	// nil: there are several of this name, and nobody knows which is which
	listed := map[podName]*podresourcesv1.PodResources{}
	t.unseen = map[podName]bool{}
	for _, r := range answer {
		name := podName{r.GetNamespace(), r.GetName()}
		if _, twice := listed[name]; twice {
			r = nil
		}
		listed[name] = r
		for _, c := range r.GetContainers() {
			if devicesOf(c) != nil {
				t.unseen[name] = true
			}
		}
	}
	alive := map[podName]int{}
	for _, p := range t.pods {
		delete(t.unseen, p.podName)
		if !p.ended {
			alive[p.podName]++
		}
	}
	for _, p := range t.pods {
		if p.ended || alive[p.podName] > 1 || number <= p.since {
			continue
		}
		before := p.doubts
		p.doubts = map[string]*devices{}
		for _, c := range listed[p.podName].GetContainers() {
			name, d := c.GetName(), devicesOf(c)
			if d == nil {
				continue
			}
			known, doubt := p.devices[name], before[name]
			switch {
			case known == nil || d.has(known) || doubt != nil && d.has(doubt):
				p.devices[name] = d
			case d.replaces(known):
				p.doubts[name] = d
			}
		}
	}
}

// everything returns all that is known.
func (t *tracker) everything() (list []workloadmeta.Entity) {
	for _, uid := range slices.Sorted(maps.Keys(t.pods)) {
		list = append(list, t.pods[uid].report()...)
	}
	return list
}

// prune forgets earlier instances of containers that nobody else knows any more, and returns them.
func (t *tracker) prune(known func(workloadmeta.EntityID) bool) (gone []workloadmeta.Entity) {
	for _, p := range t.pods {
		for id := range p.containers {
			if !p.current[id] && !known(idOf(id)) {
				gone = append(gone, &workloadmeta.Container{EntityID: idOf(id)})
				delete(p.containers, id)
			}
		}
	}
	return gone
}
