package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// lists asks a runtime for its containers and sandboxes in a way in which the answers fit, and
// remembers which way that is.
//
// An answer in one message is refused when it is larger than the runtime's limit: 16 MiB for
// containerd, which are some 11,000 containers. Streaming lists have no such limit, and few
// runtimes have them yet. Elsewhere a list that is refused is asked for in parts. All of them are
// answered, or the list has failed: a part that is missing would look like the end of what is in
// it.
//
// The zero value has to find out. One goroutine uses it.
type lists struct {
	unary                 bool // there are no streaming lists
	containers, sandboxes parts
	next                  time.Time // not asked for before; by the collector's clock
}

// parts is how finely a list is divided.
type parts struct {
	by part
	// size is how long the list was when larger parts were refused; 0 = not known yet.
	size int
}

// part is what one question asks for.
type part uint8

const (
	everything part = iota
	oneState
	oneSandbox
)

// restFactor keeps lists by sandbox to a tenth of the time: there are as many questions as there
// are sandboxes, for each of which containerd looks at all containers.
const restFactor = 9

// took notes how long the list was. When it has become half as long, larger parts are tried again,
// by each question the next larger ones.
func (p *parts) took(size int) {
	switch {
	case p.by == everything:
	case p.size == 0:
		p.size = size
	case size < p.size/2:
		p.by--
	}
}

// refused reports whether an error says that a part does not fit, and notes that smaller ones are
// needed.
func (p *parts) refused(err error, smallest part) bool {
	if e, ok := errors.AsType[*callError](err); !ok || e.code != codes.ResourceExhausted ||
		p.by == smallest {
		return false
	}
	*p = parts{by: p.by + 1}
	return true
}

// ask returns all containers and sandboxes. Containers come first, so that the sandbox of each was
// there when sandboxes are listed. A container may be there twice, its newer state behind.
func (l *lists) ask(ctx context.Context, r *client, workers int, now time.Time) (
	containers []*runtimeapi.Container, sandboxes []*runtimeapi.PodSandbox, err error) {
	if !l.unary {
		if containers, err = r.streamContainers(ctx); err == nil {
			sandboxes, err = r.streamSandboxes(ctx)
		}
		if !errors.Is(err, errNoCRI) {
			return containers, sandboxes, err
		}
		l.unary = true
	}
	if l.containers.by != oneSandbox {
		containers, err = listParts(&l.containers, oneSandbox, byContainerState(),
			func(f *runtimeapi.ContainerFilter) ([]*runtimeapi.Container, error) {
				return r.listContainers(ctx, f)
			})
		if err != nil {
			return nil, nil, err
		}
	}
	sandboxes, err = listParts(&l.sandboxes, oneState, bySandboxState(),
		func(f *runtimeapi.PodSandboxFilter) ([]*runtimeapi.PodSandbox, error) {
			return r.listSandboxes(ctx, f)
		})
	if err != nil {
		return nil, nil, err
	}
	if l.containers.by == oneSandbox {
		began := time.Now()
		if containers, err = r.listEach(ctx, sandboxes, workers); err != nil {
			return nil, nil, err
		}
		l.next = now.Add((1 + restFactor) * time.Since(began))
	}
	l.containers.took(len(containers))
	l.sandboxes.took(len(sandboxes))
	return containers, sandboxes, nil
}

// listParts asks for a list, at once or by states. When one sandbox has to be asked for at a time
// it returns nothing.
func listParts[F, T any](p *parts, smallest part, states []*F, ask func(*F) ([]T, error)) ([]T,
	error) {
	for p.by != oneSandbox {
		filters := []*F{nil}
		if p.by == oneState {
			filters = states
		}
		var all []T
		var err error
		for _, filter := range filters {
			var some []T
			if some, err = ask(filter); err != nil {
				break
			}
			all = append(all, some...)
		}
		if err == nil || !p.refused(err, smallest) {
			return all, err
		}
	}
	return nil, nil
}

// byContainerState returns the states in the order of a container's life: one that goes on to its
// next state between two questions is in both answers rather than in none.
func byContainerState() (filters []*runtimeapi.ContainerFilter) {
	for _, state := range []runtimeapi.ContainerState{
		runtimeapi.ContainerState_CONTAINER_UNKNOWN, runtimeapi.ContainerState_CONTAINER_CREATED,
		runtimeapi.ContainerState_CONTAINER_RUNNING, runtimeapi.ContainerState_CONTAINER_EXITED,
	} {
		filters = append(filters, &runtimeapi.ContainerFilter{
			State: &runtimeapi.ContainerStateValue{State: state}})
	}
	return filters
}

// bySandboxState does the same with sandboxes.
func bySandboxState() (filters []*runtimeapi.PodSandboxFilter) {
	for _, state := range []runtimeapi.PodSandboxState{
		runtimeapi.PodSandboxState_SANDBOX_READY, runtimeapi.PodSandboxState_SANDBOX_NOTREADY,
	} {
		filters = append(filters, &runtimeapi.PodSandboxFilter{
			State: &runtimeapi.PodSandboxStateValue{State: state}})
	}
	return filters
}

func (r *client) listContainers(ctx context.Context,
	filter *runtimeapi.ContainerFilter) ([]*runtimeapi.Container, error) {
	answer, err := call(ctx, r, "ListContainers", r.timeout, r.runtime.ListContainers,
		&runtimeapi.ListContainersRequest{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("list the containers of the runtime at %s: %w", r.path, err)
	}
	return answer.GetContainers(), nil
}

func (r *client) listSandboxes(ctx context.Context,
	filter *runtimeapi.PodSandboxFilter) ([]*runtimeapi.PodSandbox, error) {
	answer, err := call(ctx, r, "ListPodSandbox", r.timeout, r.runtime.ListPodSandbox,
		&runtimeapi.ListPodSandboxRequest{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("list the pod sandboxes of the runtime at %s: %w", r.path, err)
	}
	return answer.GetItems(), nil
}

// listEach lists the containers of each sandbox, several at a time.
func (r *client) listEach(ctx context.Context, sandboxes []*runtimeapi.PodSandbox,
	workers int) ([]*runtimeapi.Container, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	found := make([][]*runtimeapi.Container, len(sandboxes))
	var next atomic.Int64
	var asking sync.WaitGroup
	for range workers {
		asking.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(sandboxes) {
					return
				}
				some, err := r.listContainers(ctx, &runtimeapi.ContainerFilter{
					PodSandboxId: sandboxes[i].GetId()})
				if err != nil {
					cancel(err) // the first one counts
					return
				}
				found[i] = some
			}
		})
	}
	asking.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return slices.Concat(found...), nil
}

func (r *client) streamContainers(ctx context.Context) (all []*runtimeapi.Container, err error) {
	err = stream(ctx, r, "StreamContainers", r.runtime.StreamContainers,
		&runtimeapi.StreamContainersRequest{}, func(a *runtimeapi.StreamContainersResponse) {
			all = append(all, a.GetContainers()...)
		})
	if err != nil {
		return nil, fmt.Errorf("list the containers of the runtime at %s: %w", r.path, err)
	}
	return all, nil
}

func (r *client) streamSandboxes(ctx context.Context) (all []*runtimeapi.PodSandbox, err error) {
	err = stream(ctx, r, "StreamPodSandboxes", r.runtime.StreamPodSandboxes,
		&runtimeapi.StreamPodSandboxesRequest{}, func(a *runtimeapi.StreamPodSandboxesResponse) {
			all = append(all, a.GetPodSandboxes()...)
		})
	if err != nil {
		return nil, fmt.Errorf("list the pod sandboxes of the runtime at %s: %w", r.path, err)
	}
	return all, nil
}

// stream takes the messages of an answer to their end. Each may take as long as an answer of one
// message.
func stream[Q, A any](ctx context.Context, r *client, method string,
	do func(context.Context, Q, ...grpc.CallOption) (grpc.ServerStreamingClient[A], error),
	question Q, take func(*A)) error {
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(r.timeout, cancel)
	defer silence.Stop()
	answers, err := do(limited, question)
	for err == nil {
		var answer *A
		if answer, err = answers.Recv(); err == nil {
			silence.Reset(r.timeout)
			take(answer)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	} else {
		err = r.explain(ctx, limited, r.timeout, err)
	}
	r.counters.called(method, err)
	return err
}
