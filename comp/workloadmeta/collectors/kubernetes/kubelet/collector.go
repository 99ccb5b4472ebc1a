package kubelet

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeletsocket"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
)

// Times of the loop.
const (
	quickPeriod  = time.Second      // from list to list while pods start or end
	quickFor     = 30 * time.Second // and for how long at most
	tickPeriod   = time.Second
	syncSilence  = 2 * time.Second // of a watch, after which it has told everything
	unreadyRetry = 500 * time.Millisecond
	// awaitPeriod is from list to list while a container runs that no list has yet, and awaitFor
	// for how long it is waited for: it may be that of another kubelet. awaitAgain is after what
	// time it is waited for once more.
	awaitPeriod = 500 * time.Millisecond
	awaitFor    = 10 * time.Second
	awaitAgain  = 10 * time.Minute
	// fetchWait is how long somebody who misses a pod waits for the next list.
	fetchWait = 2 * time.Second
)

// When a better way is tried again while a worse one is used: soon after a start, when the better
// one may only be late, and rarely later.
const (
	betterSoon   = 2 * time.Second
	betterSettle = 30 * time.Second
	betterRarely = 5 * time.Minute
)

// Collector reports pods and their containers. Create one with [New].
type Collector struct {
	opts Options
	seed maphash.Seed

	kick  chan struct{} // asks for a list now
	limit *rate.Limiter // of kicks

	noticed chan struct{} // says that there is something new in awaited

	running *tracker // of the stream; used by it alone
	// connect is kubeapi.New; tests have an API server without a network.
	connect func(kubeapi.Options) (*kubeapi.Client, error)

	mu     sync.Mutex
	ways   [3]collection.Part // how each way to ask goes
	listed chan struct{}      // closed at the next list
	// awaited are containers that others have seen run or stopped, by ID; nil while the kubelet
	// tells of changes by itself.
	awaited map[string]awaited
}

// awaited is what others have seen of a container.
type awaited struct {
	running bool
	since   time.Time
}

// The ways to ask, best first.
const (
	viaPodsAPI = iota
	viaEndpoint
	viaAPIServer
)

// New returns a collector.
func New(o Options) (*Collector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Collector{opts: o, seed: maphash.MakeSeed(), kick: make(chan struct{}, 1),
		noticed: make(chan struct{}, 1), limit: rate.NewLimiter(1, 3), listed: make(chan struct{}),
		running: newTracker(podmap.New(o.Env)), connect: kubeapi.New,
		ways: [3]collection.Part{{Name: "Pods API"}, {Name: "/pods"}, {Name: "API server"}}}, nil
}

var description = workloadmeta.Description{
	ID: "kubelet", Source: workloadmeta.SourceNodeOrchestrator,
	Kinds: []workloadmeta.Kind{workloadmeta.KindKubernetesPod, workloadmeta.KindContainer},
}

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description { return description }

// Parts implements [collection.PartReporter]: which way to ask is used, and why not the better one.
func (c *Collector) Parts() []collection.Part {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []collection.Part
	for _, way := range c.ways {
		if way.State != "" {
			out = append(out, way)
		}
	}
	return out
}

// Detect implements [workloadmeta.Collector].
func (c *Collector) Detect(context.Context) workloadmeta.Detection {
	if c.opts.PodSource != fromKubelet {
		where, err := c.opts.apiServer().Where()
		if err == nil && c.opts.nodeName() == "" {
			err = errNoNode
		}
		if err == nil {
			return workloadmeta.Detection{State: workloadmeta.Detected,
				Reason: "an API server at " + where}
		}
		if p := workloadmeta.ProblemOf(err); c.opts.PodSource == fromAPIServer {
			return workloadmeta.Detection{State: workloadmeta.Absent, Cause: p.Cause,
				Reason: p.Reason, Hint: p.Hint}
		}
	}
	if _, err := os.Stat(c.opts.Socket); err == nil {
		return workloadmeta.Detection{State: workloadmeta.Detected,
			Reason: "the kubelet's Pods API at " + c.opts.Socket}
	}
	if os.Getenv("KUBERNETES_SERVICE_PORT") != "" || c.opts.tokenPath() != "" ||
		c.opts.URL != "" || c.opts.Host != "" {
		if places := c.opts.places(); len(places) > 0 {
			return workloadmeta.Detection{State: workloadmeta.Detected,
				Reason: "a kubelet at " + places[0].address}
		}
		d := workloadmeta.ProblemOf(errNowhere)
		return workloadmeta.Detection{State: workloadmeta.Absent, Cause: d.Cause, Reason: d.Reason,
			Hint: d.Hint}
	}
	return workloadmeta.Detection{State: workloadmeta.Absent, Cause: workloadmeta.CauseAbsent,
		Reason: "no kubelet: no socket at " + c.opts.Socket + ", and not in a pod",
		Hint:   "on a node set kubelet.url, or run as root where the kubelet has the Pods API"}
}

// Fetch implements [workloadmeta.Fetcher]: it asks the kubelet now instead of at the next list, and
// waits for its answer. It reports nothing itself.
func (c *Collector) Fetch(ctx context.Context, _ workloadmeta.EntityID, _ workloadmeta.Sink) error {
	c.mu.Lock()
	listed := c.listed
	connected := c.ways[viaPodsAPI].State == collection.StateLive ||
		c.ways[viaEndpoint].State == collection.StateLive
	c.mu.Unlock()
	if !connected {
		return errors.New("the kubelet is not connected")
	}
	if c.limit.Allow() {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
	ctx, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	select {
	case <-listed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the kubelet's list of pods: %w", ctx.Err())
	}
}

// Notice implements [workloadmeta.Noticer]: that a container of a pod has started or stopped is in
// the kubelet's next list, or in one soon after. Its pod may be gone a moment later, and what it
// was deleted for with it.
func (c *Collector) Notice(e workloadmeta.Entity) {
	k, ok := e.(*workloadmeta.Container)
	if !ok || k.Owner == nil || k.Owner.Kind != workloadmeta.KindKubernetesPod ||
		!k.State.Running && k.State.Status != workloadmeta.StatusStopped {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, ok := c.awaited[k.ID]; c.awaited == nil ||
		ok && before.running == k.State.Running {
		return
	}
	c.awaited[k.ID] = awaited{k.State.Running, time.Now()}
	select {
	case c.noticed <- struct{}{}:
	default:
	}
}

// notices switches on and off that what others report of containers is waited for.
func (c *Collector) notices(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaited = nil
	if on {
		c.awaited = map[string]awaited{}
	}
}

// awaits reports whether others have seen a container start or stop, and no list has that yet.
func (l *loop) awaits(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.awaited) == 0 {
		return false
	}
	listed, awaits := l.running.containers(), false
	for id, a := range l.awaited {
		running, ok := listed[id]
		switch age := now.Sub(a.since); {
		case ok && (a.running || !running), age > awaitAgain:
			delete(l.awaited, id)
		case !ok && !a.running && l.asked.After(a.since):
			// Its pod has gone, or is in the list without it.
		case age < awaitFor:
			awaits = true
		}
	}
	return awaits
}

// Stream implements [workloadmeta.Streamer].
func (c *Collector) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	defer c.running.outage()
	var failed error // of those ways that there are
	for way, stream := range [...]func(context.Context, workloadmeta.Sink) error{
		viaPodsAPI: c.streamPodsAPI, viaEndpoint: c.streamEndpoint,
		viaAPIServer: c.streamAPIServer} {
		if !c.opts.asks(way) {
			continue
		}
		err := stream(ctx, sink)
		c.failed(way, err)
		r := (*lostError)(nil)
		switch absent := workloadmeta.CauseOf(err) == workloadmeta.CauseAbsent; {
		case errors.As(err, &r), ctx.Err() != nil:
			return err
		case failed == nil || !absent && workloadmeta.CauseOf(failed) == workloadmeta.CauseAbsent:
			failed = err // one that is not there, as in most clusters, explains nothing
		case !absent:
			p := workloadmeta.ProblemOf(err)
			failed = &workloadmeta.Error{Cause: p.Cause, Hint: p.Hint,
				Err: fmt.Errorf("%w; %w", err, failed)}
		}
	}
	return failed
}

// uses notes that a way is used, or that it is there and waits.
func (c *Collector) uses(way int, state collection.State, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ways[way].State = state
	c.ways[way].Problem = workloadmeta.Problem{Reason: reason}
}

// failed notes why a way is not used.
func (c *Collector) failed(way int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ways[way].State, c.ways[way].Problem = collection.StateDegraded, workloadmeta.ProblemOf(err)
	if c.ways[way].Cause == workloadmeta.CauseAbsent {
		c.ways[way].State = collection.StateWaiting
	}
}

// lostError is the end of a connection that had told everything: the next run begins at the best
// way again.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// told tells those who wait that there has been a list.
func (c *Collector) told() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.listed)
	c.listed = make(chan struct{})
}

// loop is one connection. Everything that changes the tracker happens in it.
type loop struct {
	*Collector
	sink   workloadmeta.Sink
	way    int
	reason string // for people, that the way is used
	list   func(context.Context, map[uint64]bool) (listing, error)
	queue  *queue // nil without a watch of the kubelet's
	synced bool
	failed int       // lists in a row
	asked  time.Time // when it was asked for the last list that was answered
	// Of the API server, which is not listed from here:
	tell  <-chan func() // runs what its watch finds
	since time.Time     // when it began to fail; zero: it does not
	why   error
	left  int // pods that cannot be decoded
}

// answer is that of a list.
type answer struct {
	listing listing
	err     error
}

// run lists and takes what the watch tells, until ctx or watchEnd says that it is over, two lists
// have failed in a row, or better finds that there is something better.
func (l *loop) run(ctx context.Context, first *listing, watchEnd <-chan error,
	better <-chan time.Time, isBetter func(context.Context) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, 1)
	asking := false
	ask := func() {
		if asking || l.list == nil {
			return
		}
		asking = true
		known := l.running.hashes()
		go func() {
			listing, err := l.list(ctx, known)
			answers <- answer{listing, err}
		}()
	}
	defer func() { // nobody asks when this returns
		cancel()
		if asking {
			<-answers
		}
	}()
	if first != nil {
		l.take(*first)
	}
	next := time.NewTimer(0)
	defer next.Stop()
	tick := time.NewTicker(tickPeriod)
	defer tick.Stop()
	var told <-chan struct{}
	if l.queue != nil {
		told = l.queue.ready
		next.Reset(syncSilence) // the first list is asked for when the watch has told everything
	}
	quickSince := time.Now()
	var due time.Time // of the next list, if it is not under way
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-watchEnd:
			return l.lost(err)
		case <-told:
			if l.events() {
				ask()
			}
		case <-l.kick:
			if l.synced { // or the first list is due anyhow
				ask()
			}
		case <-l.noticed:
			if now := time.Now(); l.awaits(now) && due.Sub(now) > awaitPeriod {
				if l.limit.Allow() {
					ask()
				} else {
					due = now.Add(awaitPeriod)
					next.Reset(awaitPeriod)
				}
			}
		case <-next.C:
			if l.queue != nil {
				l.queue.sync() // a watch that has been silent for so long has told everything
			}
			ask()
		case do := <-l.tell:
			do()
		case <-tick.C:
			l.apply(l.running.tick(time.Now()))
			if l.why != nil && (!l.synced || time.Since(l.since) > apiPatience) {
				return l.lost(l.why)
			}
		case a := <-answers:
			asking = false
			if err := l.answered(a); err != nil {
				return err
			}
			period := l.opts.Period
			if l.running.restless(l.queue != nil) {
				if time.Since(quickSince) < quickFor {
					period = quickPeriod
				}
			} else {
				quickSince = time.Now()
			}
			if l.awaits(time.Now()) {
				period = awaitPeriod
			}
			period += time.Duration((rand.Float64() - 0.5) * 0.2 * float64(period))
			due = time.Now().Add(period)
			next.Reset(period)
		case <-better:
			if isBetter(ctx) {
				return l.lost(collection.Closed(errors.New("there is a better way to ask")))
			}
		}
	}
}

// answered takes the answer to a list; an error ends the loop.
func (l *loop) answered(a answer) error {
	if a.err != nil && kubeletsocket.Rejected(a.err) && l.synced {
		return nil // other clients share the limit of calls
	}
	if a.err != nil {
		if l.failed++; l.failed > 1 || !l.synced {
			return l.lost(a.err)
		}
		l.opts.Log.Debug("a list of pods failed; it is asked for again", "error", a.err)
		return nil
	}
	l.failed = 0
	l.take(a.listing)
	return nil
}

// take takes a list. The first one says that everything is told.
func (l *loop) take(list listing) {
	l.asked = list.began
	list.watched = l.queue != nil
	l.sync(l.running.list(time.Now(), list))
	if err := l.running.problem; err != nil {
		l.opts.Log.Warn("pods of the kubelet's list are left out", "pods", l.running.undecodable,
			"error", err)
	}
	l.told()
}

// sync reports the changes that everything there is brings; the first time it says that it is all.
func (l *loop) sync(changes []workloadmeta.CollectorEvent) {
	if l.synced {
		l.apply(changes)
		return
	}
	l.synced = true
	l.running.settle(changes)
	l.follows()
	l.sink.Apply(l.running.everything())
	l.sink.Synced()
}

// follows notes that the way in use is, and how many pods are left out of it.
func (l *loop) follows() {
	switch {
	case l.left == 1:
		l.uses(l.way, collection.StateDegraded, "1 pod is left out: it cannot be decoded")
	case l.left > 1:
		l.uses(l.way, collection.StateDegraded,
			fmt.Sprintf("%d pods are left out: they cannot be decoded", l.left))
	default:
		l.uses(l.way, collection.StateLive, l.reason)
	}
}

// events takes what the watch has told, and reports whether a list is due: after everything has
// been told for the first time, and after the end of a pod.
func (l *loop) events() (list bool) {
	entries, synced := l.queue.take()
	if !synced {
		return false
	}
	list = !l.synced
	now := time.Now()
	for _, e := range entries {
		if e.pod != nil {
			mapped, err := l.running.mapper.Map(e.pod)
			if err != nil {
				l.opts.Log.Warn("a pod of the kubelet's watch is left out", "error", err)
				continue
			}
			l.changed(l.running.event(now, mapped))
		}
		if e.done {
			l.changed(l.running.done(now, e.uid))
			list = true
		}
	}
	return list
}

// changed reports changes of a watch. Before the first list they wait: that reports everything.
func (l *loop) changed(events []workloadmeta.CollectorEvent) {
	if l.synced {
		l.apply(events)
	}
}

func (l *loop) apply(events []workloadmeta.CollectorEvent) {
	if len(events) > 0 {
		l.sink.Apply(events)
	}
}

func (l *loop) lost(err error) error {
	if l.synced {
		return &lostError{err}
	}
	return err
}

// streamPodsAPI asks the Pods API until its connection ends.
func (c *Collector) streamPodsAPI(ctx context.Context, sink workloadmeta.Sink) error {
	if _, err := os.Stat(c.opts.Socket); err != nil {
		return &workloadmeta.Error{Cause: workloadmeta.CauseOf(err),
			Hint: "the kubelet has the Pods API since Kubernetes 1.37; in a container mount its folder",
			Err:  fmt.Errorf("the kubelet's Pods API: no socket at %s", c.opts.Socket)}
	}
	api, err := newPodsAPI(&c.opts, c.seed)
	if err != nil {
		return err
	}
	defer api.Close()
	for first := true; ; first = false {
		err := c.watchPodsAPI(ctx, sink, api)
		if !unready(err) || ctx.Err() != nil {
			return err
		}
		// It is there, and knows no pods yet: what is known stays, and nobody is away.
		c.uses(viaPodsAPI, collection.StateSyncing, "the kubelet's Pods API at "+c.opts.Socket+
			" waits for the API server")
		if held := c.running.everything(); first && len(held) > 0 {
			sink.Apply(held)
			sink.Synced()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(unreadyRetry):
		}
	}
}

func (c *Collector) watchPodsAPI(ctx context.Context, sink workloadmeta.Sink, api *podsAPI) error {
	ctx, cancel := context.WithCancel(ctx)
	q := newQueue()
	ended := make(chan error, 1)
	var watching sync.WaitGroup
	watching.Go(func() { ended <- api.watch(ctx, q) })
	defer watching.Wait()
	defer cancel()
	l := &loop{Collector: c, sink: sink, way: viaPodsAPI, reason: "told of changes at " + api.path,
		list: api.list, queue: q}
	return l.run(ctx, nil, ended, nil, nil)
}

// streamEndpoint asks /pods until it fails, or the Pods API answers.
func (c *Collector) streamEndpoint(ctx context.Context, sink workloadmeta.Sink) error {
	e, first, err := c.opts.reach(ctx, c.seed)
	if err != nil {
		return err
	}
	defer e.close()
	c.running.restored(time.Now())
	c.notices(true)
	defer c.notices(false)
	l := &loop{Collector: c, sink: sink, way: viaEndpoint,
		reason: fmt.Sprintf("asked every %s at %s", c.opts.Period, e.url), list: e.list}
	look := time.NewTicker(betterSoon)
	defer look.Stop()
	return l.run(ctx, &first, nil, look.C, sometimes(c.podsAPIAnswers))
}

// sometimes returns a look for something better, as often as it is worth it.
func sometimes(answers func(context.Context) bool) func(context.Context) bool {
	began, tried := time.Now(), time.Now()
	return func(ctx context.Context) bool {
		if time.Since(began) > betterSettle && time.Since(tried) < betterRarely {
			return false
		}
		tried = time.Now()
		return answers(ctx)
	}
}

// podsAPIAnswers reports whether the Pods API has something to say.
func (c *Collector) podsAPIAnswers(ctx context.Context) bool {
	if _, err := os.Stat(c.opts.Socket); err != nil {
		return false
	}
	api, err := newPodsAPI(&c.opts, c.seed)
	if err != nil {
		return false
	}
	defer api.Close()
	_, err = api.list(ctx, c.running.hashes())
	return err == nil
}
