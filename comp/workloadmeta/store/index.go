package store

import (
	"slices"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// indexes find entities by something other than their ID. They are written under the
// commit lock and read without any.
type indexes struct {
	containerByName    index[string]
	containerByPID     index[int]
	containerByIP      index[string]
	podByName          index[string] // namespace/name
	podByIP            index[string]
	podByContainer     index[string]
	podByOtherUID      index[string] // of static pods
	processByContainer index[string]
}

func newIndexes() indexes {
	return indexes{
		containerByName: newIndex[string](), containerByPID: newIndex[int](),
		containerByIP: newIndex[string](),
		podByName:     newIndex[string](), podByIP: newIndex[string](),
		podByContainer: newIndex[string](),
		podByOtherUID:  newIndex[string](), processByContainer: newIndex[string](),
	}
}

func podName(namespace, name string) string { return namespace + "/" + name }

// index maps a key to the IDs of the entities that claim it.
type index[K comparable] struct{ m *xsync.Map[K, owners] }

func newIndex[K comparable]() index[K] { return index[K]{xsync.NewMap[K, owners]()} }

// owners are the IDs behind one key. Nearly always there is one.
type owners struct {
	first string
	more  []string // immutable
}

func (o owners) len() int {
	if o.first == "" {
		return 0
	}
	return 1 + len(o.more)
}

func (o owners) all() []string {
	if o.first == "" {
		return nil
	}
	return append([]string{o.first}, o.more...)
}

func (x index[K]) get(k K) owners {
	o, _ := x.m.Load(k)
	return o
}

func (x index[K]) add(k K, id string) {
	o, _ := x.m.Load(k)
	switch {
	case o.first == "":
		o.first = id
	case o.first == id || slices.Contains(o.more, id):
		return
	default:
		o.more = append(slices.Clip(o.more), id)
	}
	x.m.Store(k, o)
}

func (x index[K]) drop(k K, id string) {
	o, _ := x.m.Load(k)
	switch {
	case o.first == id && len(o.more) == 0:
		x.m.Delete(k)
		return
	case o.first == id:
		o.first, o.more = o.more[0], o.more[1:]
	default:
		i := slices.Index(o.more, id)
		if i < 0 {
			return
		}
		o.more = slices.Delete(slices.Clone(o.more), i, i+1)
	}
	x.m.Store(k, o)
}

// add enters what after claims and before did not; before may be nil.
func (x *indexes) add(before, after workloadmeta.Entity) { x.difference(after, before, true) }

// drop removes what before claimed and after does not; either may be nil.
func (x *indexes) drop(before, after workloadmeta.Entity) {
	if before != nil {
		x.difference(before, after, false)
	}
}

// difference adds or drops what e claims and other does not. Both are of one kind;
// other may be nil.
func (x *indexes) difference(e, other workloadmeta.Entity, add bool) {
	switch e := e.(type) {
	case *workloadmeta.Container:
		o, _ := other.(*workloadmeta.Container)
		if o == nil {
			o = &workloadmeta.Container{}
		}
		if e.Name != o.Name {
			change(x.containerByName, e.Name, e.ID, add)
		}
		if pid, had := livePID(e), livePID(o); pid != had {
			change(x.containerByPID, pid, e.ID, add)
		}
		if stopped(e) {
			return
		}
		for _, ips := range [...]map[string]string{e.NetworkIPs, e.NetworkIPv6s} {
			for _, ip := range ips {
				if !hasIP(o, ip) {
					change(x.containerByIP, ip, e.ID, add)
				}
			}
		}
	case *workloadmeta.KubernetesPod:
		o, _ := other.(*workloadmeta.KubernetesPod)
		if o == nil {
			o = &workloadmeta.KubernetesPod{}
		}
		if e.Name != "" && (e.Name != o.Name || e.Namespace != o.Namespace) {
			change(x.podByName, podName(e.Namespace, e.Name), e.ID, add)
		}
		if ip, had := podIP(e), podIP(o); ip != had {
			change(x.podByIP, ip, e.ID, add)
		}
		if uid, had := otherUID(e), otherUID(o); uid != had {
			change(x.podByOtherUID, uid, e.ID, add)
		}
		for c := range e.AllContainers() {
			if !podHas(o, c.ID) {
				change(x.podByContainer, c.ID, e.ID, add)
			}
		}
	case *workloadmeta.Process:
		o, _ := other.(*workloadmeta.Process)
		if o == nil || e.ContainerID != o.ContainerID {
			change(x.processByContainer, e.ContainerID, e.ID, add)
		}
	}
}

func change[K comparable](x index[K], k K, id string, add bool) {
	var none K
	if k == none {
		return
	}
	if add {
		x.add(k, id)
	} else {
		x.drop(k, id)
	}
}

// livePID is the PID that is really the container's: a stopped container's may be
// somebody else's by now.
func livePID(c *workloadmeta.Container) int {
	if stopped(c) {
		return 0
	}
	return c.PID
}

func stopped(c *workloadmeta.Container) bool { return c.State.Status == workloadmeta.StatusStopped }

// hasIP reports whether the address is the container's; like its PID, that of a stopped
// one may be somebody else's by now.
func hasIP(c *workloadmeta.Container, ip string) bool {
	return !stopped(c) && (hasValue(c.NetworkIPs, ip) || hasValue(c.NetworkIPv6s, ip))
}

// podIP is the address that is the pod's alone. A pod that has ended still shows the
// address it had, which may have been given to another.
func podIP(p *workloadmeta.KubernetesPod) string {
	if onHostNetwork(p) || p.Phase == "Succeeded" || p.Phase == "Failed" {
		return ""
	}
	return p.IP
}

func onHostNetwork(p *workloadmeta.KubernetesPod) bool {
	return p.HostNetwork || p.IP != "" && p.IP == p.HostIP
}

// otherUID is the second UID of a static pod. The kubelet reports the hash of the
// pod's file as UID; the mirror object in the API server has one of its own and names
// that hash in an annotation.
func otherUID(p *workloadmeta.KubernetesPod) string {
	for _, key := range []string{"kubernetes.io/config.mirror", "kubernetes.io/config.hash"} {
		if uid := p.Annotations[key]; uid != "" && uid != p.ID {
			return uid
		}
	}
	if p.UID != p.ID {
		return p.UID
	}
	return ""
}

func podHas(p *workloadmeta.KubernetesPod, containerID string) bool {
	for c := range p.AllContainers() {
		if c.ID == containerID {
			return true
		}
	}
	return false
}

func hasValue(m map[string]string, value string) bool {
	for _, v := range m {
		if v == value {
			return true
		}
	}
	return false
}
