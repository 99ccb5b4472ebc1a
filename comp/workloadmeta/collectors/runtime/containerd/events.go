package containerd

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/runtimesync"
	"github.com/rollcall-dev/rollcall/pkg/image"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Events implements [runtimesync.Client]. containerd keeps no events, so since makes no difference.
func (b *backend) Events(ctx context.Context, _ time.Time) (runtimesync.Events, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := b.subscribe(ctx, b.scope.filters())
	if err != nil {
		cancel()
		return nil, err
	}
	s := &subscription{b: b, ctx: ctx, cancel: cancel, received: make(chan received)}
	s.ended.Go(func() { s.receive(stream) })
	return s, nil
}

// subscription is containerd's event stream.
type subscription struct {
	b        *backend
	ctx      context.Context
	cancel   context.CancelFunc
	received chan received
	ended    sync.WaitGroup
}

type received struct {
	envelope *types.Envelope
	err      error
}

// receive takes events off the wire until the stream or ctx ends. Nothing here can panic over what
// is in them: that is read in Next.
func (s *subscription) receive(stream eventsapi.Events_SubscribeClient) {
	for {
		var r received
		r.envelope, r.err = stream.Recv()
		select {
		case s.received <- r:
		case <-s.ctx.Done():
			return
		}
		if r.err != nil {
			return
		}
	}
}

// Next implements [runtimesync.Events].
func (s *subscription) Next() ([]runtimesync.Event, error) {
	select {
	case r := <-s.received:
		if r.err != nil {
			return nil, errgrpc.ToNative(r.err)
		}
		ev, err := s.b.event(r.envelope)
		if err != nil {
			return nil, runtimesync.Lost(err)
		}
		return []runtimesync.Event{ev}, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// Close implements [runtimesync.Events]. It waits until nothing of the subscription is left.
func (s *subscription) Close() error {
	s.cancel()
	s.ended.Wait()
	return nil
}

// event says what an envelope means. What only it tells is remembered before anybody can act on it.
func (b *backend) event(e *types.Envelope) (runtimesync.Event, error) {
	at := timeOf(e.Timestamp)
	ev := runtimesync.Event{Name: e.Topic, At: at}
	if !b.scope.wants(e.Namespace) || e.Event == nil {
		return ev, nil
	}
	ev.Size = len(e.Event.Value)
	var err error
	switch strings.TrimPrefix(e.Topic, "/") {
	case "containers/create":
		var m eventtypes.ContainerCreate
		if err = unmarshal(e, &m); err != nil {
			break
		}
		ev.Key = keyOf(e.Namespace, m.ID)
		b.memory.created(ev.Key, m.Image, m.Runtime.GetName(), at)
		// Only pods' containers are kept while they do not run.
		if b.opts.KeepStopped || e.Namespace == criNamespace {
			ev.Action = runtimesync.ActionCreated
		}
	case "containers/update":
		var m eventtypes.ContainerUpdate
		err = unmarshal(e, &m)
		ev.Action, ev.Key = runtimesync.ActionChanged, keyOf(e.Namespace, m.ID)
	case "containers/delete":
		var m eventtypes.ContainerDelete
		if err = unmarshal(e, &m); err != nil {
			break
		}
		ev.Action, ev.Key = runtimesync.ActionRemoved, keyOf(e.Namespace, m.ID)
		b.memory.forget(ev.Key)
		b.sandboxes.forget(ev.Key)
	case "tasks/start":
		var m eventtypes.TaskStart
		if err = unmarshal(e, &m); err != nil {
			break
		}
		ev.Action, ev.Key = runtimesync.ActionStarted, keyOf(e.Namespace, m.ContainerID)
		f := b.memory.started(ev.Key, int(m.Pid), at)
		if f.imageID == "" && f.image != "" {
			f.imageID = b.index.id(keyOf(e.Namespace, f.image))
		}
		ev.Container = thin(e.Namespace, m.ContainerID, &f)
		ev.Sandbox = image.IsPause(f.image)
	case "tasks/exit":
		var m eventtypes.TaskExit
		if err = unmarshal(e, &m); err != nil {
			break
		}
		// What a probe or somebody else has run in the container ends with the container's ID and
		// another of its own.
		if m.ID == m.ContainerID {
			b.ended(&ev, e, m.ContainerID, m.Pid, m.ExitStatus, m.ExitedAt)
		}
	case "tasks/delete":
		var m eventtypes.TaskDelete
		if err = unmarshal(e, &m); err != nil {
			break
		}
		if m.ID == "" || m.ID == m.ContainerID {
			b.ended(&ev, e, m.ContainerID, m.Pid, m.ExitStatus, m.ExitedAt)
		}
	case "tasks/oom":
		var m eventtypes.TaskOOM
		if err = unmarshal(e, &m); err != nil {
			break
		}
		ev.Action, ev.Key = runtimesync.ActionOOM, keyOf(e.Namespace, m.ContainerID)
		b.memory.update(ev.Key, func(f *facts) { f.oom = true })
	case "tasks/paused":
		var m eventtypes.TaskPaused
		err = unmarshal(e, &m)
		ev.Action, ev.Key = runtimesync.ActionPaused, keyOf(e.Namespace, m.ContainerID)
	case "tasks/resumed":
		var m eventtypes.TaskResumed
		err = unmarshal(e, &m)
		ev.Action, ev.Key = runtimesync.ActionResumed, keyOf(e.Namespace, m.ContainerID)
	case "images/create":
		var m eventtypes.ImageCreate
		err = unmarshal(e, &m)
		b.imageEvent(&ev, e.Namespace, m.Name)
	case "images/update":
		var m eventtypes.ImageUpdate
		err = unmarshal(e, &m)
		b.imageEvent(&ev, e.Namespace, m.Name)
	case "images/delete":
		var m eventtypes.ImageDelete
		err = unmarshal(e, &m)
		b.imageEvent(&ev, e.Namespace, m.Name)
	case "namespaces/create", "namespaces/delete":
		ev.Action = runtimesync.ActionCompare
	}
	if err != nil {
		return runtimesync.Event{}, fmt.Errorf("decode event %s of namespace %s: %w", e.Topic,
			e.Namespace, err)
	}
	return ev, nil
}

// criNamespace is where the CRI plugin has its containers.
const criNamespace = "k8s.io"

// ended fills in the event of the end of a container's process.
func (b *backend) ended(ev *runtimesync.Event, e *types.Envelope, id string, pid, status uint32,
	exitedAt *timestamppb.Timestamp) {
	key := keyOf(e.Namespace, id)
	at := timeOf(exitedAt)
	if at.IsZero() {
		at = ev.At
	}
	code := int64(status) // 0 is left out on the wire
	at, news := b.memory.ended(key, int(pid), end{code: &code, at: at})
	if !news {
		return // counted, nothing else
	}
	ev.Action, ev.Key, ev.At, ev.ExitCode = runtimesync.ActionEnded, key, at, &code
}

// imageEvent: whatever has happened to a name, the index looks what it stands for now.
func (b *backend) imageEvent(ev *runtimesync.Event, namespace, name string) {
	if name == "" || isTransient(name) {
		return
	}
	ev.Action, ev.Key = runtimesync.ActionImageChanged, keyOf(namespace, name)
	b.index.event(ev.Key)
}

func unmarshal(e *types.Envelope, into proto.Message) error {
	if want := into.ProtoReflect().Descriptor().FullName(); e.Event.MessageName() != want {
		return fmt.Errorf("it holds a %s, not a %s", e.Event.TypeUrl, want)
	}
	return proto.Unmarshal(e.Event.Value, into)
}

// timeOf returns a time, zero if there is none: containerd sends the year 1 or 1970 for it.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if at := t.AsTime(); at.Year() > 1970 {
		return at
	}
	return time.Time{}
}
