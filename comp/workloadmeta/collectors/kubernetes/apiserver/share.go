package apiserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/shard"
)

// Times of sharing. By leaseTime a replica that has died is noticed; handOver bounds the wait for a
// new owner that does not sync; forgotten is when a lease that nobody renews is deleted.
const (
	leaseTime  = 30 * time.Second
	leaseRenew = 10 * time.Second
	turnPause  = time.Second // between two turns at least
	handOver   = 2 * time.Minute
	forgotten  = 10 * time.Minute
)

// By what replicas know each other's leases, and what they announce there.
const (
	leaseLabel    = "rollcall.dev/shares"
	announcedNote = "rollcall.dev/synced"
)

// mostLate is how many nodes have a part in status while they are not synced.
const mostLate = 10

// share has the pods of those nodes followed that this replica of the agent has to, of all that
// there are. One of the nodes is "", that of pods which have none yet.
type share struct {
	c    *Collector
	core *core
	part int
	kick chan struct{} // asks for a turn now
	on   sync.WaitGroup

	// Of all nodes. Siblings on other nodes share memory; a pool of strings for each node would
	// cost more than it saves.
	shape  object.Shape
	mapped mapping[object.Pod, *workloadmeta.KubernetesPod]

	// What follows belongs to the goroutine of the core.
	source     *source
	assignment shard.Assignment
	nodes      map[string]bool
	scopes     map[string]*scope
	owner      map[string]*scope // of a pod: one that gets its node is in two for a moment
	late       int               // scopes that are not listed

	// What follows belongs to the goroutine that takes turns.
	seen    map[string]sighting
	problem string // that was logged last
}

// scope is one node whose pods are followed.
type scope struct {
	cancel  context.CancelFunc
	source  source
	pods    *table[*workloadmeta.KubernetesPod]
	left    bool
	problem workloadmeta.Problem
}

// sighting is when a lease was seen to be renewed. Clocks of others do not count.
type sighting struct {
	renewed string
	at      time.Time
}

func newShare(c *Collector, core *core) *share {
	s := &share{c: c, core: core, part: len(c.parts), kick: make(chan struct{}, 1),
		source: &source{name: "leases.coordination.k8s.io"}, nodes: map[string]bool{"": true},
		scopes: map[string]*scope{}, owner: map[string]*scope{}, seen: map[string]sighting{},
		shape: podmap.ThinShape(), mapped: thinPods()}
	s.shape.Pool = nil
	core.sources = append(core.sources, s.source)
	c.parts = append(c.parts, collection.Part{Name: pods, State: collection.StateConnecting})
	return s
}

// soon asks for a turn.
func (s *share) soon() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// node is told of nodes that come and go.
func (s *share) node(name string, there bool) {
	if s.nodes[name] != there {
		if there {
			s.nodes[name] = true
		} else {
			delete(s.nodes, name)
		}
		s.soon()
	}
}

// run takes turns until ctx ends. Then the lease goes, so that the others need not wait for its
// end.
func (s *share) run(ctx context.Context, client *kubeapi.Client) {
	defer s.on.Wait()
	namespace, name, err := s.c.self()
	if err != nil {
		s.failed(ctx, err)
		return
	}
	name += "-" + s.c.instance
	s.assignment.Self, s.assignment.Limit = name, handOver
	renew := time.NewTimer(0)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnPause)
			defer cancel()
			// If that fails, it ends by itself.
			_ = client.DeleteLease(ending, namespace, leaseName(name))
			return
		case <-renew.C:
		case <-s.kick:
		}
		switch err := s.turn(ctx, client, namespace, name); {
		case err == nil:
			s.problem = ""
		case ctx.Err() == nil:
			s.failed(ctx, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(turnPause):
		}
		renew.Reset(leaseRenew - turnPause)
	}
}

// leaseName returns the name of a replica's lease: no other process has it, not even one in the
// same pod.
func leaseName(replica string) string { return "rollcall-" + replica }

// failed notes why there was no turn. What is followed stays.
func (s *share) failed(ctx context.Context, err error) {
	if text := err.Error(); text != s.problem {
		s.problem = text
		s.c.opts.Log.Warn("the pods of the cluster cannot be shared between replicas", "error", err)
	}
	s.core.run(ctx, func() {
		s.source.err = err
		s.c.part(s.part, collection.StateDegraded, workloadmeta.ProblemOf(err))
	})
}

// turn looks who else is there, follows what is to be followed, says so, and leaves what others
// have.
func (s *share) turn(ctx context.Context, client *kubeapi.Client, namespace, name string) error {
	leases, err := client.Leases(ctx, namespace, leaseLabel+"="+s.c.opts.ShareGroup)
	if err != nil {
		return err
	}
	members, version, dead := s.members(leases, leaseName(name), time.Now())
	members[name] = ""
	var t shard.Turn
	known := false
	s.core.run(ctx, func() {
		if known = s.core.nodes != nil && s.core.nodes.listed; !known {
			s.report(0)
			return
		}
		t = s.assignment.Next(time.Now(), s.nodes, members, s.synced)
		for _, node := range t.Follow {
			s.follow(ctx, client, node)
		}
	})
	if !known && version == "" {
		return nil // who does not know the nodes is not there for the others
	}
	err = client.PutLease(ctx, kubeapi.Lease{
		Metadata: kubeapi.LeaseMeta{Name: leaseName(name), Namespace: namespace,
			ResourceVersion: version, Labels: map[string]string{leaseLabel: s.c.opts.ShareGroup},
			Annotations: map[string]string{announcedNote: t.Announce}},
		Spec: kubeapi.LeaseSpec{HolderIdentity: name,
			LeaseDurationSeconds: int(leaseTime / time.Second),
			RenewTime:            kubeapi.MicroTime(time.Now())}})
	if kubeapi.Conflict(err) { // somebody has deleted or made it; the next turn sees which
		s.soon()
		return nil
	}
	if err != nil {
		return err
	}
	s.core.run(ctx, func() {
		for _, node := range t.Leave {
			s.leave(node)
		}
		s.assignment.Left(t.Leave)
		s.source.listed = s.source.listed || t.Announce != ""
		if known {
			s.report(len(members))
		}
	})
	for _, lease := range dead {
		if err := client.DeleteLease(ctx, namespace, lease); err != nil {
			return err
		}
	}
	return nil
}

// members returns the replicas that are alive, with what they have announced, the version of this
// one's lease, and the leases that nobody has renewed for long.
func (s *share) members(leases []kubeapi.Lease, own string,
	now time.Time) (live map[string]string, version string, dead []string) {
	live = map[string]string{}
	there := map[string]bool{}
	for _, l := range leases {
		name := l.Metadata.Name
		there[name] = true
		if name == own {
			version = l.Metadata.ResourceVersion
			continue
		}
		last, ok := s.seen[name]
		if !ok || last.renewed != l.Spec.RenewTime {
			last = sighting{l.Spec.RenewTime, now}
			s.seen[name] = last
		}
		switch silent := now.Sub(last.at); {
		case silent < time.Duration(l.Spec.LeaseDurationSeconds)*time.Second:
			live[l.Spec.HolderIdentity] = l.Metadata.Annotations[announcedNote]
		case silent > forgotten:
			dead = append(dead, name)
		}
	}
	maps.DeleteFunc(s.seen, func(name string, _ sighting) bool { return !there[name] })
	return live, version, dead
}

func (s *share) synced(node string) bool { return s.scopes[node].source.listed }

// follow begins to follow the pods of a node.
func (s *share) follow(ctx context.Context, client *kubeapi.Client, node string) {
	sc := &scope{}
	ctx, sc.cancel = context.WithCancel(ctx)
	sc.pods = newTable(samePod, func(uid string, _, is **workloadmeta.KubernetesPod) {
		switch {
		case sc.left: // what was on its way
		case is != nil:
			s.owner[uid] = sc
			s.core.pods.put(uid, *is)
		case s.owner[uid] == sc:
			delete(s.owner, uid)
			s.core.pods.drop(uid)
		}
	})
	s.scopes[node] = sc
	s.late++
	w := &kubeapi.Watch[object.Pod]{Client: client,
		Resource: kubeapi.Resource{GroupVersionResource: podResource,
			Fields: "spec.nodeName=" + node},
		Decoder: object.NewDecoder[object.Pod](s.shape)}
	w.Handler = &feed[object.Pod, *workloadmeta.KubernetesPod]{ctx: ctx, c: s.c, core: s.core,
		source: &sc.source, table: sc.pods, mapped: s.mapped,
		note: func(_ collection.State, p workloadmeta.Problem) {
			s.core.run(ctx, func() { sc.problem = p })
		},
		first: func() {
			if s.late--; s.late == 0 {
				s.soon()
			}
		}}
	s.on.Go(func() { w.Run(ctx) }) //nolint:errcheck // it ends with ctx only
}

// leave ends that, and what was reported of them.
func (s *share) leave(node string) {
	sc := s.scopes[node]
	delete(s.scopes, node)
	if !sc.source.listed {
		s.late--
	}
	sc.cancel()
	for _, uid := range slices.Sorted(maps.Keys(sc.pods.known)) {
		if s.owner[uid] == sc {
			delete(s.owner, uid)
			s.core.pods.drop(uid)
		}
	}
	sc.left = true
}

// report notes how sharing is doing, with 0 replicas that it cannot begin, and of each node that is
// not synced how that is doing.
func (s *share) report(replicas int) {
	all, others := s.assignment.Following()
	state, reason := collection.StateLive, fmt.Sprintf(
		"%d of %d nodes, shared by %d replicas", all, len(s.nodes), replicas)
	if others > 0 {
		reason += fmt.Sprintf("; %d until their new owners have synced", others)
	}
	if replicas == 0 {
		state, reason = collection.StateWaiting, "which nodes there are is not known yet"
	}
	var late []collection.Part
	for _, node := range slices.Sorted(maps.Keys(s.scopes)) {
		sc := s.scopes[node]
		if sc.source.listed && sc.problem.Reason == "" {
			continue
		}
		part := collection.Part{Name: pods + " of " + node, State: collection.StateSyncing,
			Kind: workloadmeta.KindKubernetesPod, Problem: sc.problem}
		if node == "" {
			part.Name = pods + " of no node"
		}
		if sc.problem.Reason != "" {
			part.State = collection.StateDegraded
		}
		if late = append(late, part); len(late) == mostLate {
			break
		}
	}
	s.c.shareParts(s.part, collection.Part{Name: pods, State: state,
		Kind: workloadmeta.KindKubernetesPod, Problem: workloadmeta.Problem{Reason: reason}}, late)
}
