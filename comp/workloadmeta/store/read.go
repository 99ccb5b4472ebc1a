package store

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Get implements [workloadmeta.Component].
func (s *Store) Get(id workloadmeta.EntityID) (workloadmeta.Entity, error) {
	if r, ok := s.kinds.Get(id); ok {
		return r.entity(), nil
	}
	return nil, fmt.Errorf("%s: %w", id, workloadmeta.ErrNotFound)
}

// Reports implements [workloadmeta.Component].
func (s *Store) Reports(id workloadmeta.EntityID) ([]workloadmeta.Report, error) {
	if r, ok := s.kinds.Get(id); ok {
		return r.reports(), nil
	}
	return nil, fmt.Errorf("%s: %w", id, workloadmeta.ErrNotFound)
}

// IsComplete reports whether every source that is expected to know the entity has
// reported it. An unknown entity is not complete.
func (s *Store) IsComplete(id workloadmeta.EntityID) bool {
	r, ok := s.kinds.Get(id)
	return ok && r.complete
}

// List implements [workloadmeta.Component].
func (s *Store) List(kind workloadmeta.Kind) iter.Seq[workloadmeta.Entity] {
	return func(yield func(workloadmeta.Entity) bool) {
		if !kind.Valid() {
			return
		}
		for _, r := range s.kinds[kind].All() {
			if !yield(r.entity()) {
				return
			}
		}
	}
}

func get[T workloadmeta.Entity](s *Store, kind workloadmeta.Kind, id string) (T, error) {
	if r, ok := s.kinds[kind].Get(id); ok {
		return r.entity().(T), nil
	}
	var none T
	return none, notFound(kind, id)
}

func notFound(kind workloadmeta.Kind, id string) error {
	return fmt.Errorf("%s: %w", workloadmeta.EntityID{Kind: kind, ID: id},
		workloadmeta.ErrNotFound)
}

func list[T workloadmeta.Entity](s *Store, kind workloadmeta.Kind) iter.Seq[T] {
	return func(yield func(T) bool) {
		for e := range s.List(kind) {
			if !yield(e.(T)) {
				return
			}
		}
	}
}

// GetContainer implements [workloadmeta.Component].
func (s *Store) GetContainer(id string) (*workloadmeta.Container, error) {
	return get[*workloadmeta.Container](s, workloadmeta.KindContainer, id)
}

// GetKubernetesPod implements [workloadmeta.Component]. A static pod answers to both of
// its UIDs: the kubelet's and the one of its mirror in the API server.
func (s *Store) GetKubernetesPod(uid string) (*workloadmeta.KubernetesPod, error) {
	pod, err := get[*workloadmeta.KubernetesPod](s, workloadmeta.KindKubernetesPod, uid)
	if err == nil {
		return pod, nil
	}
	return one[*workloadmeta.KubernetesPod](s, workloadmeta.KindKubernetesPod,
		s.index.podByOtherUID.get(uid), "kubernetes_pod "+uid)
}

// GetECSTask implements [workloadmeta.Component].
func (s *Store) GetECSTask(arn string) (*workloadmeta.ECSTask, error) {
	return get[*workloadmeta.ECSTask](s, workloadmeta.KindECSTask, arn)
}

// GetContainerImage implements [workloadmeta.Component].
func (s *Store) GetContainerImage(id string) (*workloadmeta.ContainerImageMetadata, error) {
	return get[*workloadmeta.ContainerImageMetadata](s, workloadmeta.KindContainerImage, id)
}

// GetProcess implements [workloadmeta.Component].
func (s *Store) GetProcess(pid int32) (*workloadmeta.Process, error) {
	return get[*workloadmeta.Process](s, workloadmeta.KindProcess, strconv.Itoa(int(pid)))
}

// Containers implements [workloadmeta.Component].
func (s *Store) Containers() iter.Seq[*workloadmeta.Container] {
	return list[*workloadmeta.Container](s, workloadmeta.KindContainer)
}

// KubernetesPods implements [workloadmeta.Component].
func (s *Store) KubernetesPods() iter.Seq[*workloadmeta.KubernetesPod] {
	return list[*workloadmeta.KubernetesPod](s, workloadmeta.KindKubernetesPod)
}

// Processes implements [workloadmeta.Component].
func (s *Store) Processes() iter.Seq[*workloadmeta.Process] {
	return list[*workloadmeta.Process](s, workloadmeta.KindProcess)
}

// one returns the only entity of the kind among the owners of an index entry.
func one[T workloadmeta.Entity](s *Store, kind workloadmeta.Kind, found *owners, what string) (T,
	error) {
	var none T
	names, more := make([]string, 0, 4), 0
	for id := range found.all() {
		if len(names) == cap(names) {
			more = found.len() - len(names)
			break
		}
		names = append(names, id)
	}
	switch len(names) {
	case 0:
		return none, fmt.Errorf("%s: %w", what, workloadmeta.ErrNotFound)
	case 1:
		return get[T](s, kind, names[0])
	}
	claims := strings.Join(names, ", ")
	if more > 0 {
		claims += fmt.Sprintf(" and %d more", more)
	}
	return none, fmt.Errorf("%s: %w: %s", what, workloadmeta.ErrAmbiguous, claims)
}

// GetContainerByName implements [workloadmeta.Component].
func (s *Store) GetContainerByName(name string) (*workloadmeta.Container, error) {
	return one[*workloadmeta.Container](s, workloadmeta.KindContainer,
		s.index.containerByName.get(name), "container named "+name)
}

// GetContainerByPrefix implements [workloadmeta.Component].
func (s *Store) GetContainerByPrefix(prefix string) (*workloadmeta.Container, error) {
	if len(prefix) < workloadmeta.MinIDPrefix {
		return nil, fmt.Errorf("container %s…: %w: at least %d characters of the ID are needed",
			prefix, workloadmeta.ErrNotFound, workloadmeta.MinIDPrefix)
	}
	if c, err := s.GetContainer(prefix); err == nil {
		return c, nil // whole, even if others begin so: on Fargate "<task>-1" and "<task>-10"
	}
	var found []*workloadmeta.Container
	for c := range s.Containers() {
		if strings.HasPrefix(c.ID, prefix) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("container %s…: %w", prefix, workloadmeta.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("container %s…: %w: %d containers begin so", prefix,
		workloadmeta.ErrAmbiguous, len(found))
}

// GetKubernetesPodByName implements [workloadmeta.Component].
func (s *Store) GetKubernetesPodByName(namespace, name string) (*workloadmeta.KubernetesPod,
	error) {
	key := podName(namespace, name)
	return one[*workloadmeta.KubernetesPod](s, workloadmeta.KindKubernetesPod,
		s.index.podByName.get(key), "pod "+key)
}

// GetKubernetesPodForContainer implements [workloadmeta.Component].
func (s *Store) GetKubernetesPodForContainer(containerID string) (*workloadmeta.KubernetesPod,
	error) {
	if c, err := s.GetContainer(containerID); err == nil && c.Owner != nil {
		if c.Owner.Kind != workloadmeta.KindKubernetesPod {
			return nil, fmt.Errorf("pod of container %s: %w: its owner is %s", containerID,
				workloadmeta.ErrNotFound, c.Owner)
		}
		if pod, err := s.GetKubernetesPod(c.Owner.ID); err == nil {
			return pod, nil
		}
	}
	return one[*workloadmeta.KubernetesPod](s, workloadmeta.KindKubernetesPod,
		s.index.podByContainer.get(containerID), "pod of container "+containerID)
}

// ContainerForPID implements [workloadmeta.Component]. What the process table knows of the PID
// goes before what a runtime said once: a process that began long after the container did is
// not the container's first, so the PID was reused. If that cannot be told and the two
// disagree, nobody knows which of them is late: that is ambiguous.
func (s *Store) ContainerForPID(pid int) (*workloadmeta.Container, error) {
	what := "container of PID " + strconv.Itoa(pid)
	found := s.index.containerByPID.get(pid)
	p, err := get[*workloadmeta.Process](s, workloadmeta.KindProcess, strconv.Itoa(pid))
	if err != nil || found.len() == 0 {
		if err == nil && p.ContainerID != "" {
			return s.GetContainer(p.ContainerID)
		}
		return one[*workloadmeta.Container](s, workloadmeta.KindContainer, found, what)
	}
	var first []string // the containers whose first process this may be
	for id := range found.all() {
		if c, err := s.GetContainer(id); err == nil && mayBeFirst(c, p) {
			first = append(first, id)
		}
	}
	switch {
	case p.ContainerID == "" || len(first) == 1 && first[0] == p.ContainerID:
		return one[*workloadmeta.Container](s, workloadmeta.KindContainer, ownedBy(first), what)
	case len(first) == 0:
		return s.GetContainer(p.ContainerID)
	}
	return nil, fmt.Errorf("%s: %w: first process of %s, but seen in %s", what,
		workloadmeta.ErrAmbiguous, first[0], p.ContainerID)
}

// ContainerForInode implements [workloadmeta.Component]. A container whose PID has gone to a
// process that began later has ended, though nobody has said so, and its inode is to be had again.
func (s *Store) ContainerForInode(inode uint64) (*workloadmeta.Container, error) {
	found := s.index.containerByInode.get(inode)
	var live []string
	for id := range found.all() {
		c, err := s.GetContainer(id)
		if err != nil {
			continue
		}
		p, err := get[*workloadmeta.Process](s, workloadmeta.KindProcess, strconv.Itoa(c.PID))
		if err != nil || mayBeFirst(c, p) {
			live = append(live, id)
		}
	}
	return one[*workloadmeta.Container](s, workloadmeta.KindContainer, ownedBy(live),
		"container of inode "+strconv.FormatUint(inode, 10))
}

// startSlack is how much later than its container a first process may seem to begin: one time
// is counted in ticks since boot, the other is the runtime's.
const startSlack = 5 * time.Second

// mayBeFirst reports whether a process that has the PID of a container's first one may be it, as
// far as their times tell. A process that is in no container and shows no time is not.
func mayBeFirst(c *workloadmeta.Container, p *workloadmeta.Process) bool {
	if p.ContainerID == c.ID {
		return true
	}
	if p.CreationTime.IsZero() || c.State.StartedAt.IsZero() {
		return p.ContainerID != ""
	}
	return !p.CreationTime.After(c.State.StartedAt.Add(startSlack))
}

// EntityForIP implements [workloadmeta.Component]. A pod goes before its containers,
// which share its address. A runtime that looks into the network namespace of a
// container on the host's network sees the host's address; such claims do not count.
func (s *Store) EntityForIP(ip string) (workloadmeta.Entity, error) {
	if found := s.index.podByIP.get(ip); found.len() > 0 {
		return one[workloadmeta.Entity](s, workloadmeta.KindKubernetesPod, found, "pod at "+ip)
	}
	var claims []string
	for id := range s.index.containerByIP.get(ip).all() {
		if pod, err := s.GetKubernetesPodForContainer(id); err != nil || !onHostNetwork(pod) {
			claims = append(claims, id)
		}
	}
	return one[workloadmeta.Entity](s, workloadmeta.KindContainer, ownedBy(claims),
		"container at "+ip)
}

// ProcessesOf implements [workloadmeta.Component].
func (s *Store) ProcessesOf(containerID string) iter.Seq[*workloadmeta.Process] {
	return func(yield func(*workloadmeta.Process) bool) {
		for pid := range s.index.processByContainer.get(containerID).all() {
			p, err := get[*workloadmeta.Process](s, workloadmeta.KindProcess, pid)
			if err == nil && p.ContainerID == containerID && !yield(p) {
				return
			}
		}
	}
}

// Dump implements [workloadmeta.Component].
func (s *Store) Dump() []workloadmeta.DumpedEntity {
	dump := make([]workloadmeta.DumpedEntity, 0, s.table.Len())
	for _, r := range s.table.All() {
		dump = append(dump,
			workloadmeta.DumpedEntity{Entity: r.entity(), Reports: r.reports(),
				Complete: r.complete})
	}
	slices.SortFunc(dump, func(a, b workloadmeta.DumpedEntity) int {
		x, y := a.Entity.GetID(), b.Entity.GetID()
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.ID, y.ID))
	})
	return dump
}

// Len returns the number of entities.
func (s *Store) Len() int { return s.table.Len() }

// Count returns how many entities of each kind each source reports. It looks at all of
// them: it is for metrics and status.
func (s *Store) Count() map[workloadmeta.Kind]map[workloadmeta.Source]int {
	counts := map[workloadmeta.Kind]map[workloadmeta.Source]int{}
	for id, r := range s.table.All() {
		bySource := counts[id.Kind]
		if bySource == nil {
			bySource = map[workloadmeta.Source]int{}
			counts[id.Kind] = bySource
		}
		last := workloadmeta.SourceAll
		for _, report := range r.reports() { // those of one source stand together
			if report.Source != last {
				last = report.Source
				bySource[last]++
			}
		}
	}
	return counts
}

// Revision implements [workloadmeta.Component].
func (s *Store) Revision() uint64 { return s.table.Revision() }

// Epoch tells this store's revisions from those of any other: see [workloadmeta.Since].
func (s *Store) Epoch() uint64 { return s.table.Epoch() }

// MarkSynced says that the first lists of all collectors are in. Without a supervisor
// of collectors, whoever fills the store calls it.
func (s *Store) MarkSynced() { s.syncOnce.Do(func() { close(s.synced) }) }

// Synced implements [workloadmeta.Component].
func (s *Store) Synced() bool {
	select {
	case <-s.synced:
		return true
	default:
		return false
	}
}

// WaitSynced implements [workloadmeta.Component].
func (s *Store) WaitSynced(ctx context.Context) error {
	select {
	case <-s.synced:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the first lists of all collectors: %w", ctx.Err())
	}
}
