package store

import (
	"iter"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/singlewriter"
)

// indexes find entities by something other than their ID. They are written under the
// commit lock and read without any. To add one, add a field, and a line to newIndexes.
type indexes struct {
	containerByName    *index[string, *workloadmeta.Container]
	containerByPID     *index[int, *workloadmeta.Container]
	containerByInode   *index[uint64, *workloadmeta.Container]
	containerByIP      *index[string, *workloadmeta.Container]
	podByName          *index[string, *workloadmeta.KubernetesPod] // namespace/name
	podByIP            *index[string, *workloadmeta.KubernetesPod]
	podByContainer     *index[string, *workloadmeta.KubernetesPod]
	podByOtherUID      *index[string, *workloadmeta.KubernetesPod] // of static pods
	processByContainer *index[string, *workloadmeta.Process]

	byKind [workloadmeta.NumKinds][]indexOf
}

func newIndexes() *indexes {
	x := &indexes{}
	x.containerByName = by(x, workloadmeta.KindContainer,
		func(keys []string, c *workloadmeta.Container) []string { return append(keys, c.Name) })
	x.containerByPID = by(x, workloadmeta.KindContainer, livePIDs)
	x.containerByInode = by(x, workloadmeta.KindContainer, liveInodes)
	x.containerByIP = by(x, workloadmeta.KindContainer, liveIPs)
	x.podByName = by(x, workloadmeta.KindKubernetesPod, podNames)
	x.podByIP = by(x, workloadmeta.KindKubernetesPod,
		func(keys []string, p *workloadmeta.KubernetesPod) []string {
			return append(keys, podIP(p))
		})
	x.podByContainer = by(x, workloadmeta.KindKubernetesPod, podContainers)
	x.podByOtherUID = by(x, workloadmeta.KindKubernetesPod, otherUIDs)
	x.processByContainer = by(x, workloadmeta.KindProcess,
		func(keys []string,
			p *workloadmeta.Process) []string {
			return append(keys, p.ContainerID)
		})
	return x
}

// index maps keys to the entities of one kind that claim them.
type index[K comparable, E workloadmeta.Entity] struct {
	// claims appends the keys that an entity is to be found by; the zero K is none.
	claims func(keys []K, e E) []K
	m      *singlewriter.Map[K, *owners]

	these, others []K // buffers of difference
}

// indexOf is an index whatever its types.
type indexOf interface {
	// difference adds or drops what e claims and other does not, which may be nil.
	// It reports whether there are any.
	difference(e, other workloadmeta.Entity, add bool, id *lone) bool
}

// by adds an index to x.
func by[K comparable, E workloadmeta.Entity](x *indexes, kind workloadmeta.Kind,
	claims func([]K, E) []K) *index[K, E] {
	i := &index[K, E]{claims: claims, m: singlewriter.New[K, *owners]()}
	x.byKind[kind] = append(x.byKind[kind], i)
	return i
}

// add enters what after claims and before did not; before may be nil. It reports whether they
// claim the same, so that there is nothing to drop either.
func (x *indexes) add(before, after workloadmeta.Entity) (same bool) {
	return x.difference(after, before, true)
}

// drop removes what before claimed and after does not, which may be nil.
func (x *indexes) drop(before, after workloadmeta.Entity) { x.difference(before, after, false) }

func (x *indexes) difference(e, other workloadmeta.Entity, add bool) (same bool) {
	id := e.GetID()
	owner := lone{id: id.ID}
	same = true
	for _, i := range x.byKind[id.Kind] {
		if i.difference(e, other, add, &owner) {
			same = false
		}
	}
	return same
}

func (x *index[K, E]) difference(e, other workloadmeta.Entity, add bool, owner *lone) bool {
	x.these, x.others = x.claims(x.these[:0], e.(E)), x.others[:0]
	if other != nil {
		x.others = x.claims(x.others, other.(E))
	}
	if slices.Equal(x.these, x.others) {
		return false
	}
	claimed := func(k K) bool { return slices.Contains(x.others, k) }
	if len(x.others) > 16 {
		set := make(map[K]struct{}, len(x.others))
		for _, k := range x.others {
			set[k] = struct{}{}
		}
		claimed = func(k K) bool { _, ok := set[k]; return ok }
	}
	var none K
	for _, k := range x.these {
		switch {
		case k == none || claimed(k):
		case add:
			x.add(k, owner)
		default:
			x.drop(k, owner.id)
		}
	}
	return true
}

// get returns who claims k, nil if nobody does.
func (x *index[K, E]) get(k K) *owners {
	o, _ := x.m.Get(k)
	return o
}

func (x *index[K, E]) add(k K, owner *lone) {
	o, ok := x.m.Get(k)
	switch {
	case !ok:
		x.m.Set(k, owner.owners(), 0)
	case o.has(owner.id):
	case o.isSet():
		o.many.Set(owner.id, struct{}{}, 0)
	default:
		x.set(k, append(o.list(), owner.id))
	}
}

func (x *index[K, E]) drop(k K, id string) {
	o, ok := x.m.Get(k)
	switch {
	case !ok || !o.has(id):
	case o.isSet() && o.many.Len() > maxFew/2:
		o.many.Delete(id)
	case o.len() == 1:
		x.m.Delete(k)
	default:
		x.set(k, slices.DeleteFunc(o.list(), func(have string) bool { return have == id }))
	}
}

// set makes these IDs, at least one, the owners of k.
func (x *index[K, E]) set(k K, ids []string) {
	o := &owners{}
	switch {
	case len(ids) == 1:
		o.one = ids[0]
	case len(ids) <= maxFew:
		o.shared = &shared{few: ids}
	default:
		o.shared = &shared{many: singlewriter.New[string, struct{}]()}
		for _, id := range ids {
			o.many.Set(id, struct{}{}, 0)
		}
	}
	x.m.Set(k, o, 0)
}

// owners are the IDs behind one key. Nearly always there is one. It is immutable, but for many.
// A nil owners is none.
type owners struct {
	one string
	*shared
}

// shared is a key that several claim. A few are a list, which is copied when it changes; many
// are a set, so that the cost of one more does not grow with their number.
type shared struct {
	few  []string
	many *singlewriter.Map[string, struct{}]
}

const maxFew = 16

// lone is an owner that is alone, made once for all keys of an entity.
type lone struct {
	id   string
	made *owners
}

func (l *lone) owners() *owners {
	if l.made == nil {
		l.made = &owners{one: l.id}
	}
	return l.made
}

func (o *owners) isSet() bool { return o.shared != nil && o.many != nil }

func (o *owners) len() int {
	switch {
	case o == nil:
		return 0
	case o.shared == nil:
		return 1
	case o.isSet():
		return o.many.Len()
	}
	return len(o.few)
}

func (o *owners) has(id string) bool {
	switch {
	case o.shared == nil:
		return o.one == id
	case o.isSet():
		_, ok := o.many.Get(id)
		return ok
	}
	return slices.Contains(o.few, id)
}

// ownedBy returns these owners.
func ownedBy(ids []string) *owners { return &owners{shared: &shared{few: ids}} }

// all yields the IDs.
func (o *owners) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		switch {
		case o == nil:
		case o.shared == nil:
			yield(o.one)
		case o.isSet():
			o.many.Range(func(id string, _ struct{}, _ uint64) bool { return yield(id) })
		default:
			slices.Values(o.few)(yield)
		}
	}
}

// list returns the IDs in a slice that is the caller's.
func (o *owners) list() []string { return slices.Collect(o.all()) }

// livePIDs is the PID that is really the container's: a stopped container's may be
// somebody else's by now.
func livePIDs(keys []int, c *workloadmeta.Container) []int {
	if stopped(c) {
		return keys
	}
	return append(keys, c.PID)
}

// liveInodes is the inode of the cgroup that the container runs in. The kernel gives that of a
// container that has ended to another.
func liveInodes(keys []uint64, c *workloadmeta.Container) []uint64 {
	if stopped(c) {
		return keys
	}
	return append(keys, c.CgroupInode)
}

// liveIPs are the addresses of a container; like its PID, those of a stopped one may be somebody
// else's by now.
func liveIPs(keys []string, c *workloadmeta.Container) []string {
	if stopped(c) {
		return keys
	}
	for _, ips := range [...]map[string]string{c.NetworkIPs, c.NetworkIPv6s} {
		if len(ips) == 0 {
			continue // ranging over nothing costs more than this
		}
		for _, ip := range ips {
			keys = append(keys, ip)
		}
	}
	return keys
}

func podNames(keys []string, p *workloadmeta.KubernetesPod) []string {
	if p.Name == "" {
		return keys
	}
	return append(keys, podName(p.Namespace, p.Name))
}

func podName(namespace, name string) string { return namespace + "/" + name }

func podContainers(keys []string, p *workloadmeta.KubernetesPod) []string {
	for c := range p.AllContainers() {
		keys = append(keys, c.ID)
	}
	return keys
}

func stopped(c *workloadmeta.Container) bool { return c.State.Status == workloadmeta.StatusStopped }

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

// otherUIDs are the second UIDs of a static pod. The kubelet reports the hash of the pod's file as
// UID; the mirror object in the API server has one of its own. Annotations that tell of the other
// count for nothing here: whoever makes a pod may write them, and would answer for another.
func otherUIDs(keys []string, p *workloadmeta.KubernetesPod) []string {
	for _, uid := range [...]string{p.APIUID, p.UID} {
		if uid != p.ID && !slices.Contains(keys, uid) {
			keys = append(keys, uid)
		}
	}
	return keys
}
