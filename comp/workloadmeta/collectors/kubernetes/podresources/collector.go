package podresources

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeletsocket"
)

const (
	// from list to list while devices are missing: doubled each time
	quickPeriod = time.Second
	// settle is how long the first report waits for pods of which devices are known.
	settle = 2 * time.Second
)

// Collector reports devices of containers. Create one with [New]. It implements
// [workloadmeta.Streamer].
type Collector struct {
	opts    Options
	dial    kubeletsocket.Dialer
	tracker *tracker // of the stream; used by it alone
}

var _ workloadmeta.Streamer = (*Collector)(nil)

// New returns a collector. It does not connect.
func New(o Options) (*Collector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Collector{opts: o, dial: new(net.Dialer).DialContext, tracker: newTracker()}, nil
}

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description { return description }

// Detect implements [workloadmeta.Collector].
func (c *Collector) Detect(context.Context) workloadmeta.Detection {
	_, err := os.Stat(c.opts.Socket)
	switch {
	case err == nil:
		return workloadmeta.Detection{State: workloadmeta.Detected,
			Reason: "the kubelet's PodResources API at " + c.opts.Socket}
	case errors.Is(err, fs.ErrPermission):
		return workloadmeta.Detection{State: workloadmeta.Absent, Cause: workloadmeta.CauseDenied,
			Reason: "no access to " + c.opts.Socket, Hint: service().RootOnly()}
	}
	return workloadmeta.Detection{State: workloadmeta.Absent, Cause: workloadmeta.CauseAbsent,
		Reason: "no socket at " + c.opts.Socket,
		Hint:   "on a node of Kubernetes set podresources.socket; in a container mount its folder"}
}

// answer is that of a list.
type answer struct {
	number int // of the list
	list   []*podresourcesv1.PodResources
	err    error
}

// Stream implements [workloadmeta.Streamer].
func (c *Collector) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	api, err := c.connect()
	if err != nil {
		return err
	}
	defer api.Close()
	ctx, cancel := context.WithCancel(ctx)
	news := make(chan workloadmeta.Bundle)
	var following sync.WaitGroup
	following.Go(func() { c.follow(ctx, news) })
	defer following.Wait()
	defer cancel()
	l := &loop{Collector: c, sink: sink, api: api, limit: rate.NewLimiter(1, 3),
		answers: make(chan answer, 1)}
	select { // a list says nothing of pods that are seen after it
	case snapshot := <-news:
		l.take(snapshot)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	number := c.tracker.ask()
	list, err := api.list(ctx)
	if err != nil {
		return err
	}
	c.tracker.list(number, list)
	l.began, l.next = time.Now(), time.NewTimer(settle)
	defer l.next.Stop()
	return l.run(ctx, news)
}

// follow passes on what the store tells of pods.
func (c *Collector) follow(ctx context.Context, news chan<- workloadmeta.Bundle) {
	sub := c.opts.Store.Subscribe(ID, workloadmeta.NewFilter().Kind(workloadmeta.KindKubernetesPod))
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		bundle.Events = slices.Clone(bundle.Events) // which are ours only until the body ends
		select {
		case news <- bundle:
		case <-ctx.Done():
		}
	}
}

// loop is one connection. Everything that changes the tracker happens in it.
type loop struct {
	*Collector
	sink    workloadmeta.Sink
	api     *client
	limit   *rate.Limiter // of questions beside those of the period
	answers chan answer
	next    *time.Timer   // of the next question
	quick   time.Duration // to the next question while devices are missing
	asking  bool
	began   time.Time // when the first list was there
	synced  bool
	failed  int // lists in a row
}

// run joins pods and devices, the first of which the tracker has.
func (l *loop) run(ctx context.Context, news <-chan workloadmeta.Bundle) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() { // nobody asks when this returns
		cancel()
		if l.asking {
			<-l.answers
		}
	}()
	l.quick = quickPeriod
	for {
		if !l.synced && (len(l.tracker.unseen) == 0 || time.Since(l.began) >= settle) {
			l.synced = true
			l.sink.Set(l.tracker.everything()...)
			l.sink.Synced()
			l.wait()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case bundle := <-news:
			if l.take(bundle) || !l.synced {
				l.quick = quickPeriod
				l.soon(ctx)
			}
		case <-l.next.C:
			l.ask(ctx)
		case a := <-l.answers:
			l.asking = false
			if err := l.answered(a); err != nil {
				return err
			}
		}
	}
}

// take takes what the store tells of pods, and reports whether a list is due.
func (l *loop) take(bundle workloadmeta.Bundle) (due bool) {
	if bundle.Snapshot {
		l.unset(l.tracker.keep(bundle.Events))
	}
	for _, ev := range bundle.Events {
		if ev.Type == workloadmeta.EventTypeUnset {
			l.unset(l.tracker.forget(ev.Entity.GetID().ID))
			due = due || l.tracker.missing() // it may have shared its name
		} else if pod, ok := ev.Entity.(*workloadmeta.KubernetesPod); ok {
			known, missing := l.tracker.set(pod)
			if due = due || missing; l.synced && len(known) > 0 {
				l.sink.Set(known...)
			}
		}
	}
	return due
}

func (l *loop) unset(gone []workloadmeta.Entity) {
	if l.synced && len(gone) > 0 {
		l.sink.Unset(gone...)
	}
}

// ask asks for a list, unless somebody does.
func (l *loop) ask(ctx context.Context) {
	if l.asking {
		return
	}
	l.asking = true
	number := l.tracker.ask()
	go func() {
		list, err := l.api.list(ctx)
		l.answers <- answer{number, list, err}
	}()
}

// soon asks now, or in a second if that has been done too often.
func (l *loop) soon(ctx context.Context) {
	if l.limit.Allow() {
		l.ask(ctx)
	} else {
		l.next.Reset(quickPeriod)
	}
}

// answered takes the answer to a list; an error ends the loop.
func (l *loop) answered(a answer) error {
	switch {
	case a.err == nil:
		l.failed = 0
		l.tracker.list(a.number, a.list)
		if l.synced {
			l.sink.Set(l.tracker.everything()...)
			l.unset(l.tracker.prune(l.sink.Known))
		}
	case kubeletsocket.Rejected(a.err): // other clients share the limit of questions
		l.opts.Log.Debug("the kubelet has been asked too often", "error", a.err)
	default:
		if l.failed++; l.failed > 1 {
			return a.err
		}
		l.opts.Log.Debug("a list of devices failed; it is asked for again", "error", a.err)
	}
	l.wait()
	return nil
}

// wait sets the time of the next question.
func (l *loop) wait() {
	period := l.opts.Period
	if l.failed > 0 || l.tracker.missing() {
		period = min(period, l.quick)
		l.quick = min(2*l.quick, l.opts.Period)
	}
	l.next.Reset(period + time.Duration((rand.Float64()-0.5)*0.2*float64(period)))
}
