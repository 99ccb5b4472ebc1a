package apiserver

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

const (
	// holdDown is how long a pod stays a member of a service that lists it no more: the slices of a
	// service are not all written at once.
	holdDown = 30 * time.Second
	// maxServices bounds the services of one pod. Those with the lesser names count.
	maxServices = 50
)

// slice is what is read of an EndpointSlice.
type slice struct {
	service   string // its ID
	endpoints []endpoint
}

// endpoint is a pod in a slice. One pod may be in several, and several times in one.
type endpoint struct {
	pod   string // its UID
	ready bool
	// serving is true of one that is ready, and of one that still serves while it terminates.
	serving bool
}

// members knows the pods behind services.
//
// A pod is a member from when it was ready, or serving, for the first time that is known of, and
// for as long as any slice lists it, ready or not; and then for the time of the hold-down.
type members struct {
	core     *core
	services *table[*workloadmeta.KubernetesService] // without pods
	slices   *table[*slice]
	of       map[string]map[string]*member // by the service's ID, then the pod's UID
	by       map[string]map[string]bool    // IDs of services by the pod's UID
	reported map[string]*workloadmeta.KubernetesService
	held     []held          // those that are listed no more, the oldest first
	dirty    map[string]bool // IDs of services to report again
}

// member is one pod behind one service.
type member struct {
	listed int  // how often slices list it
	ready  int  // how often they say that it is ready
	was    bool // ready or serving, at any time
	gone   time.Time
}

type held struct {
	service, pod string
	since        time.Time
}

func (m *members) init(c *core) {
	m.core = c
	m.of, m.by = map[string]map[string]*member{}, map[string]map[string]bool{}
	m.reported, m.dirty = map[string]*workloadmeta.KubernetesService{}, map[string]bool{}
	m.services = newTable(sameEntity[*workloadmeta.KubernetesService],
		func(id string, _, _ **workloadmeta.KubernetesService) { m.dirty[id] = true })
	m.slices = newTable(func(a, b *slice) bool {
		return a.service == b.service && slices.Equal(a.endpoints, b.endpoints)
	}, m.sliceChanged)
}

// followServices follows services.
func (c *Collector) followServices(core *core) follow {
	r := kubeapi.Resource{GroupVersionResource: serviceResource}
	return newFollow(c, core, r, thin(), core.members.services,
		byName(func(o *object.Service) (*workloadmeta.KubernetesService, error) {
			if o.Name == "" {
				return nil, errNoName
			}
			s := serviceOf(namespaced(&o.Meta))
			s.Labels, s.Annotations = o.Labels, o.Annotations
			s.Type, s.Selector, s.ClusterIPs = o.Spec.Type, o.Spec.Selector, o.Spec.ClusterIPs
			return s, nil
		}))
}

// serviceOf returns a service of which only the ID is known.
func serviceOf(id string) *workloadmeta.KubernetesService {
	namespace, name, _ := strings.Cut(id, "/")
	return &workloadmeta.KubernetesService{
		EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesService, ID: id},
		EntityMeta: workloadmeta.EntityMeta{Name: name, Namespace: namespace}}
}

// followSlices follows the slices of services. Of those of a node's services only the node's pods
// are kept.
func (c *Collector) followSlices(core *core) follow {
	r := kubeapi.Resource{GroupVersionResource: sliceResource}
	node := ""
	if c.opts.node() {
		node = c.opts.NodeName
	}
	return newFollow(c, core, r, thin(), core.members.slices,
		byName(func(o *object.EndpointSlice) (*slice, error) {
			s := &slice{}
			if name := o.Labels[object.LabelServiceName]; name != "" {
				s.service = o.Namespace + "/" + name
				s.endpoints = endpointsOf(o.Endpoints, node)
			}
			return s, nil
		}))
}

// endpointsOf returns the pods among endpoints: those of a node, unless it is "". An endpoint that
// is none has no reference to one.
func endpointsOf(list []object.Endpoint, node string) []endpoint {
	var out []endpoint
	for i := range list {
		e := &list[i]
		if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || e.TargetRef.UID == "" ||
			node != "" && e.NodeName != node {
			continue
		}
		ready := e.Conditions.Ready == nil || *e.Conditions.Ready
		serving := ready
		if e.Conditions.Serving != nil {
			serving = ready || *e.Conditions.Serving
		}
		out = append(out, endpoint{e.TargetRef.UID, ready, serving})
	}
	return out
}

// sliceChanged counts for each pod of a slice where it is listed.
func (m *members) sliceChanged(_ string, was, is **slice) {
	touched := map[held]bool{}
	count := func(s *slice, by int) {
		for _, e := range s.endpoints {
			of := m.of[s.service]
			if of == nil {
				of = map[string]*member{}
				m.of[s.service] = of
			}
			p := of[e.pod]
			if p == nil {
				p = &member{}
				of[e.pod] = p
			}
			p.listed += by
			if e.ready {
				p.ready += by
			}
			p.was = p.was || e.serving
			touched[held{service: s.service, pod: e.pod}] = true
		}
	}
	if is != nil {
		count(*is, 1)
	}
	if was != nil {
		count(*was, -1)
	}
	for t := range touched {
		m.settle(t.service, t.pod)
	}
}

// settle decides what a pod is to a service.
func (m *members) settle(service, pod string) {
	p := m.of[service][pod]
	member := p.was
	if m.core.opts.ServiceWhen == whenReady {
		member = p.ready > 0
	}
	switch {
	case p.listed > 0:
		p.gone = time.Time{}
	case !member:
		m.forget(service, pod)
		return
	case p.gone.IsZero():
		p.gone = time.Now()
		if len(m.held) == 0 {
			m.core.timer.Reset(holdDown)
		}
		m.held = append(m.held, held{service, pod, p.gone})
	}
	if member != m.by[pod][service] {
		m.count(service, pod, member)
	}
}

// forget drops a pod that is nothing to a service any more.
func (m *members) forget(service, pod string) {
	if delete(m.of[service], pod); len(m.of[service]) == 0 {
		delete(m.of, service)
	}
	if m.by[pod][service] {
		m.count(service, pod, false)
	}
}

// count notes whether a pod is a member of a service.
func (m *members) count(service, pod string, member bool) {
	by := m.by[pod]
	if by == nil {
		by = map[string]bool{}
		m.by[pod] = by
	}
	before := max(0, len(by)-maxServices)
	if member {
		by[service] = true
	} else if delete(by, service); len(by) == 0 {
		delete(m.by, pod)
	}
	m.core.crowded.Add(int64(max(0, len(by)-maxServices) - before))
	m.dirty[service] = true
	if len(by) >= maxServices { // it may make place for another one, or take its place
		for other := range by {
			m.dirty[other] = true
		}
	}
}

// expire drops those that have been listed by nobody for the time of the hold-down.
func (m *members) expire(now time.Time) {
	for len(m.held) > 0 {
		h := m.held[0]
		if left := holdDown - now.Sub(h.since); left > 0 {
			m.core.timer.Reset(left)
			return
		}
		m.held = m.held[1:]
		if p := m.of[h.service][h.pod]; p != nil && p.listed == 0 && p.gone.Equal(h.since) {
			m.forget(h.service, h.pod)
		}
	}
	m.held = nil
}

// report reports the services that have changed.
func (m *members) report() {
	for id := range m.dirty {
		base, known := m.services.known[id]
		var pods []string
		for pod := range m.of[id] {
			if m.by[pod][id] && !m.excess(id, pod) {
				pods = append(pods, pod)
			}
		}
		was := m.reported[id]
		if len(pods) == 0 && (!known || m.core.opts.node()) {
			if was != nil {
				delete(m.reported, id)
				m.core.unset(was.EntityID)
			}
			continue
		}
		is := serviceOf(id)
		if known {
			*is = *base
		}
		slices.Sort(pods)
		if is.Pods = pods; was == nil || !was.Equal(is) {
			m.reported[id] = is
			m.core.set(is)
		}
	}
	clear(m.dirty)
}

// excess reports whether a pod has so many services with lesser names that this one does not count.
func (m *members) excess(service, pod string) bool {
	by := m.by[pod]
	if len(by) <= maxServices {
		return false
	}
	i, _ := slices.BinarySearch(slices.Sorted(maps.Keys(by)), service)
	return i >= maxServices
}
