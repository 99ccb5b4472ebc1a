package kubelet

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
)

// apiPatience is for how long the API server may fail: its watch goes on where it was.
const apiPatience = time.Minute

// streamAPIServer follows the node's pods at the API server until it fails, or the kubelet answers
// where it is to be asked first.
func (c *Collector) streamAPIServer(ctx context.Context, sink workloadmeta.Sink) error {
	node := c.opts.nodeName()
	if node == "" {
		return errNoNode
	}
	client, err := c.connect(c.opts.apiServer())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	tell := make(chan func())
	l := &loop{Collector: c, sink: sink, way: viaAPIServer, tell: tell,
		reason: "told of changes by the API server at " + client.Address()}
	watch := &kubeapi.Watch[object.Pod]{Client: client,
		Decoder: object.NewDecoder[object.Pod](object.Shape{}),
		Resource: kubeapi.Resource{Fields: "spec.nodeName=" + node,
			GroupVersionResource: workloadmeta.GroupVersionResource{Version: "v1",
				Resource: "pods"}},
		Handler: &apiPods{ctx: ctx, tell: tell, loop: l, known: map[string]podmap.Mapped{},
			mirrors: podmap.Mirrors{}}}
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() { watch.Run(ctx) }) //nolint:errcheck // it ends with ctx only
	var better <-chan time.Time
	if c.opts.PodSource == fromAny {
		look := time.NewTicker(betterSoon)
		defer look.Stop()
		better = look.C
	}
	return l.run(ctx, nil, nil, better, sometimes(c.kubeletAnswers))
}

// kubeletAnswers reports whether the kubelet has something to say, in one way or the other.
func (c *Collector) kubeletAnswers(ctx context.Context) bool {
	if c.podsAPIAnswers(ctx) {
		return true
	}
	e, _, err := c.opts.reach(ctx, c.seed)
	if err == nil {
		e.close()
	}
	return err == nil
}

// apiPods is the [kubeapi.Handler] that hands what it is told to the loop.
type apiPods struct {
	ctx  context.Context //nolint:containedctx // of the watch whose handler it is
	tell chan<- func()
	loop *loop

	listing bool
	known   map[string]podmap.Mapped // by the API server's UID
	mirrors podmap.Mirrors           // of those
	before  map[string]podmap.Mapped // what was known when the list began; nil: there is none
	kept    []string                 // UIDs of those that cannot be decoded, since Listing
}

func (a *apiPods) do(f func()) {
	select {
	case a.tell <- f:
	case <-a.ctx.Done():
	}
}

// Listing implements [kubeapi.Handler].
func (a *apiPods) Listing() {
	if !a.listing { // else it is another attempt
		a.before = a.known
	}
	a.listing, a.known, a.mirrors, a.kept = true, map[string]podmap.Mapped{}, podmap.Mirrors{}, nil
}

// Object implements [kubeapi.Handler].
func (a *apiPods) Object(pod *object.Pod) error {
	uid := pod.UID
	mapped, err := a.loop.running.mapper.Map(pod)
	if err != nil {
		return err
	}
	was, ok := a.known[uid]
	if ok {
		a.mirrors.Drop(was.Pod)
	}
	a.known[uid] = mapped
	a.mirrors.Put(mapped)
	a.report(mapped.Pod.ID)
	if ok && was.Pod.ID != mapped.Pod.ID {
		a.report(was.Pod.ID)
	}
	return nil
}

// Deleted implements [kubeapi.Handler].
func (a *apiPods) Deleted(pod *object.Pod) {
	id := podmap.ID(pod)
	if was, ok := a.known[pod.UID]; ok {
		id = was.Pod.ID
		delete(a.known, pod.UID)
		a.mirrors.Drop(was.Pod)
	}
	a.report(id)
}

// called returns the pod with an ID. It is that of the UID before any that says to be its mirror.
func (a *apiPods) called(id string) (podmap.Mapped, bool) {
	if pod, ok := a.known[id]; ok && pod.Pod.ID == id {
		return pod, true
	}
	return a.mirrors.Of(id)
}

// report hands the loop what has become of a pod, unless all of them are to follow.
func (a *apiPods) report(id string) {
	if a.listing {
		return
	}
	pod, ok := a.called(id)
	a.do(func() {
		if now := time.Now(); ok {
			a.loop.changed(a.loop.running.event(now, pod))
		} else {
			a.loop.changed(a.loop.running.gone(now, id))
		}
	})
}

// Listed implements [kubeapi.Handler].
func (a *apiPods) Listed() {
	kept := a.kept
	a.listing, a.before, a.kept = false, nil, nil
	var all []podmap.Mapped
	for _, uid := range slices.Sorted(maps.Keys(a.known)) {
		id := a.known[uid].Pod.ID
		if pod, ok := a.called(id); ok && pod.Pod == a.known[uid].Pod {
			all = append(all, pod)
		}
	}
	a.do(func() { a.loop.sync(a.loop.running.all(time.Now(), all, kept)) })
}

// Status implements [kubeapi.Handler].
func (a *apiPods) Status(err error) {
	a.do(func() {
		l := a.loop
		switch {
		case err == nil && l.synced:
			l.follows()
		case err != nil && l.why == nil:
			l.since = time.Now()
		}
		if l.why = err; err != nil {
			l.Collector.failed(l.way, err)
		}
	})
}

// Unreadable implements [kubeapi.Handler].
func (a *apiPods) Unreadable(m *object.Meta, err error) {
	a.loop.opts.Log.Warn("a pod of the API server is left out", "namespace", m.Namespace,
		"pod", m.Name, "error", err)
	if a.listing {
		a.kept = append(a.kept, m.UID)
		if was, ok := a.before[m.UID]; ok {
			a.known[m.UID] = was
			a.mirrors.Put(was)
		}
	}
}

// LeftOut implements [kubeapi.Handler].
func (a *apiPods) LeftOut(n int) {
	a.do(func() {
		l := a.loop
		l.left = n
		if l.synced && l.why == nil {
			l.follows()
		}
	})
}
