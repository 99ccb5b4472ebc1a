package kubelet

import (
	"context"
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
		Handler: &apiPods{ctx: ctx, tell: tell, loop: l}}
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
	all     []podmap.Mapped // since Listing
	kept    []string        // UIDs of those that cannot be decoded, since Listing
}

func (a *apiPods) do(f func()) {
	select {
	case a.tell <- f:
	case <-a.ctx.Done():
	}
}

// Listing implements [kubeapi.Handler].
func (a *apiPods) Listing() { a.listing, a.all, a.kept = true, nil, nil }

// Object implements [kubeapi.Handler].
func (a *apiPods) Object(pod *object.Pod) error {
	mapped, err := a.loop.running.mapper.Map(pod)
	switch {
	case err != nil:
		return err
	case a.listing:
		a.all = append(a.all, mapped)
	default:
		a.do(func() { a.loop.changed(a.loop.running.event(time.Now(), mapped)) })
	}
	return nil
}

// Deleted implements [kubeapi.Handler].
func (a *apiPods) Deleted(pod *object.Pod) {
	id := pod.UID
	if mirrored := pod.Annotations[podmap.AnnotationMirror]; mirrored != "" {
		id = mirrored
	}
	if a.listing { // it is not among all that there is
		a.all = slices.DeleteFunc(a.all, func(m podmap.Mapped) bool { return m.Pod.ID == id })
		return
	}
	a.do(func() { a.loop.changed(a.loop.running.gone(time.Now(), id)) })
}

// Listed implements [kubeapi.Handler].
func (a *apiPods) Listed() {
	all, kept := a.all, a.kept
	a.listing, a.all, a.kept = false, nil, nil
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
