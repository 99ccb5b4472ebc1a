package workloadmeta

import (
	"context"
	"errors"
	"iter"
)

// Errors of look-ups.
var (
	// ErrNotFound: nothing with this ID, name, PID, inode or address is known.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous: several entities answer to this name, PID, inode or address, so that
	// choosing one would be a guess.
	ErrAmbiguous = errors.New("ambiguous")
)

// Component is the read side of the store. Every method may be called from any
// goroutine at any time and none waits for a writer.
//
// Look-ups return [ErrNotFound] or [ErrAmbiguous], wrapped with what was asked for.
// Entities are shared and must not be written to.
type Component interface {
	// Get returns the merged entity.
	Get(id EntityID) (Entity, error)
	// Reports returns what each reporter says of the entity, the strongest first. The
	// slice is shared.
	Reports(id EntityID) ([]Report, error)
	// List yields the merged entities of a kind in no particular order. Changes made
	// meanwhile may or may not be seen.
	List(kind Kind) iter.Seq[Entity]

	GetContainer(id string) (*Container, error)
	GetKubernetesPod(uid string) (*KubernetesPod, error)
	GetECSTask(arn string) (*ECSTask, error)
	GetContainerImage(id string) (*ContainerImageMetadata, error)
	GetProcess(pid int32) (*Process, error)
	Containers() iter.Seq[*Container]
	KubernetesPods() iter.Seq[*KubernetesPod]
	Processes() iter.Seq[*Process]
	// GetContainerByName looks a container up by its merged name.
	GetContainerByName(name string) (*Container, error)
	// GetContainerByPrefix looks a container up by the first characters of its ID (at
	// least [MinIDPrefix]), as people type them. It looks at every container's ID: it
	// is for people, not for hot paths.
	GetContainerByPrefix(prefix string) (*Container, error)
	// GetKubernetesPodByName looks a pod up by namespace and name.
	GetKubernetesPodByName(namespace, name string) (*KubernetesPod, error)
	// GetKubernetesPodForContainer returns the pod that owns the container, by the
	// container's owner or by the pod's list of containers.
	GetKubernetesPodForContainer(containerID string) (*KubernetesPod, error)
	// ContainerForPID returns the container whose process this is: its first process,
	// or any process the store knows with its container.
	ContainerForPID(pid int) (*Container, error)
	// ContainerForInode returns the container that runs in the cgroup whose directory has
	// this inode: what a process tells of itself that does not see its own cgroup's path.
	ContainerForInode(inode uint64) (*Container, error)
	// EntityForIP returns the pod or container with this address. Addresses of the
	// host's network are nobody's.
	EntityForIP(ip string) (Entity, error)
	// ProcessesOf yields the processes of a container.
	ProcessesOf(containerID string) iter.Seq[*Process]

	// Subscribe starts a subscription; name shows up in status and metrics. See
	// [Subscription]. A nil filter matches everything.
	Subscribe(name string, filter *Filter, options ...SubscribeOption) Subscription

	// Dump returns every entity with what each reporter says, sorted by kind, then ID.
	Dump() []DumpedEntity
	// Revision counts the changes so far.
	Revision() uint64
	// Synced reports whether everything that can be known at the start is known:
	// every detected collector has listed once or is known to be failing.
	Synced() bool
	// WaitSynced waits for [Component.Synced] or for the end of ctx, whose error it
	// then returns.
	WaitSynced(ctx context.Context) error
}

// MinIDPrefix is the shortest prefix [Component.GetContainerByPrefix] accepts.
const MinIDPrefix = 4

// DumpedEntity is one entity with all that is known about it.
type DumpedEntity struct {
	Entity   Entity
	Reports  []Report
	Complete bool
}

// Writer is the write side of the store.
type Writer interface {
	// Notify applies events in order, as one change. When it returns, readers see it. It
	// never waits for a subscriber. Events that are not valid are left out and named in
	// the error; the others are applied.
	Notify(events []CollectorEvent) error
	// Push is Notify for code that is no collector. If any event is invalid, or from
	// another source, nothing is applied.
	Push(source Source, events ...CollectorEvent) error
	// Away says that the reporter has lost what it reported these entities from. What it said
	// of them stays until somebody who is not away contradicts.
	Away(reporter *Reporter, ids []EntityID)
	// Reset makes what code that is no collector says under the source exactly these
	// entities, as one change.
	Reset(source Source, entities []Entity) error
}

// Subscription delivers a snapshot and then every later change. Use it as a loop;
// finishing the loop body acknowledges the bundle:
//
//	sub := store.Subscribe("log-tailer", workloadmeta.NewFilter().Kind(workloadmeta.KindContainer))
//	defer sub.Close()
//	for bundle := range sub.Bundles(ctx) {
//		for _, ev := range bundle.Events { … }
//	}
//
// A subscriber that keeps up sees every change. One that lags sees, per entity and in
// order, the latest state; what lived and died meanwhile still arrives as an unset
// with its last state. Nobody is thrown out.
type Subscription interface {
	// Bundles returns the loop. It ends when ctx ends or the subscription is closed.
	Bundles(ctx context.Context) iter.Seq[Bundle]
	// Close ends the subscription. It may be called more than once.
	Close()
}

// SubscribeOption changes how a subscription is served.
type SubscribeOption func(*SubscribeOptions)

// SubscribeOptions are what the options set.
type SubscribeOptions struct {
	FirstTier bool
	Since     *Position
}

// Position is a place in the changes of one store: the [Bundle.Revision] of the last bundle that
// a subscriber finished. The epoch tells stores apart: it is another one after a restart.
type Position struct{ Epoch, Revision uint64 }

// Since asks for the changes after a position, with the filter that the subscriber had there. If
// the store keeps no log of changes, or none that goes back so far, or the position is another
// store's, the first bundle is a snapshot as ever, and says so. Otherwise there is none.
func Since(p Position) SubscribeOption { return func(o *SubscribeOptions) { o.Since = &p } }

// FirstTier puts the subscriber into the first tier: all others are handed a change
// only after the first tier has handled it, or after a second. The tagger is in the
// first tier, so that whoever hears of a container can ask for its tags.
func FirstTier(o *SubscribeOptions) { o.FirstTier = true }
