package apiserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
)

// firstList is how long the slowest resource may keep the others from counting as all there is.
const firstList = time.Minute

// Collector reports what an API server knows. Create one with [New].
type Collector struct {
	opts    Options
	targets []target
	// connect is kubeapi.New; tests have a server without a network.
	connect func(kubeapi.Options) (*kubeapi.Client, error)
	// self is kubeapi.Options.Self; tests have several pods in one process.
	self func() (namespace, name string, err error)
	// instance tells this process from others in the same pod.
	instance string

	crowded atomic.Int64 // memberships in services that do not count

	mu    sync.Mutex
	parts []collection.Part // one per resource; guarded by mu
	late  []collection.Part // of nodes whose pods are not synced; guarded by mu
}

// New returns a collector. It does not connect.
func New(o Options) (*Collector, error) {
	o, targets, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Collector{opts: o, targets: targets, connect: kubeapi.New, self: o.server().Self,
		instance: strings.ToLower(rand.Text()[:8])}, nil
}

// Describe implements [workloadmeta.Collector].
func (c *Collector) Describe() workloadmeta.Description {
	d := description
	d.Kinds = nil
	for _, t := range c.targets {
		if kind := t.kind(); kind != 0 && !slices.Contains(d.Kinds, kind) {
			d.Kinds = append(d.Kinds, kind)
		}
	}
	return d
}

// Detect implements [workloadmeta.Collector].
func (c *Collector) Detect(context.Context) workloadmeta.Detection {
	if len(c.targets) == 0 {
		return workloadmeta.Detection{State: workloadmeta.Disabled, Cause: workloadmeta.CauseOff,
			Reason: "on a node nothing is asked of the API server",
			Hint:   "set apiserver.resources to what is wanted; tags of namespaces ask by themselves"}
	}
	where, err := c.opts.server().Where()
	if err != nil {
		p := workloadmeta.ProblemOf(err)
		return workloadmeta.Detection{State: workloadmeta.Absent, Cause: p.Cause, Reason: p.Reason,
			Hint: p.Hint}
	}
	return workloadmeta.Detection{State: workloadmeta.Detected, Reason: "an API server at " + where}
}

// Parts implements [collection.PartReporter]: how each resource is doing.
func (c *Collector) Parts() []collection.Part {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Concat(c.parts, c.late)
	for i := range out {
		if n := c.crowded.Load(); n > 0 && out[i].Name == kubeapi.Name(sliceResource) &&
			out[i].State == collection.StateLive {
			out[i].Reason = fmt.Sprintf("of pods with more than %d services %d memberships are "+
				"left out", maxServices, n)
		}
	}
	return out
}

// Stream implements [workloadmeta.Streamer]. It returns before everything has been told if nothing
// could be, and afterwards only with ctx: a resource that fails is tried again by itself.
func (c *Collector) Stream(ctx context.Context, sink workloadmeta.Sink) error {
	client, err := c.connect(c.opts.server())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	core := newCore(&c.opts, sink, &c.crowded)
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	follows := c.follows(core)
	for _, f := range follows {
		following.Go(func() { f(ctx, client) })
	}
	return c.collect(ctx, core, sink)
}

// collect takes what is found, until ctx ends or nothing can be found.
func (c *Collector) collect(ctx context.Context, core *core, sink workloadmeta.Sink) error {
	late := time.NewTimer(firstList)
	defer late.Stop()
	synced := false
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case do := <-core.updates:
			do()
		case <-core.timer.C:
			core.members.expire(time.Now())
		case <-late.C:
			core.late = true
		}
		core.settle()
		if synced {
			continue
		}
		switch listed, err := core.first(); {
		case err != nil:
			return err
		case listed:
			synced = true
			sink.Synced()
		}
	}
}

// part notes how a resource is doing.
func (c *Collector) part(i int, state collection.State, problem workloadmeta.Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts[i].State, c.parts[i].Problem = state, problem
}

// shareParts notes how the sharing of pods is doing, and nodes that are not synced.
func (c *Collector) shareParts(i int, part collection.Part, late []collection.Part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts[i], c.late = part, late
}

// errNothing reports that nothing has been listed in the time there is for it.
var errNothing error = &workloadmeta.Error{Cause: workloadmeta.CauseTimeout,
	Err: fmt.Errorf("API server: no resource was listed within %s", firstList)}

// first reports whether everything there is has been told for the first time: every resource is
// listed, or cannot be. The error says why none can be.
func (c *core) first() (bool, error) {
	var errs []error
	var forbidden []string
	listed := 0
	for _, s := range c.sources {
		switch {
		case s.listed:
			listed++
		case s.err != nil:
			if workloadmeta.CauseOf(s.err) != workloadmeta.CauseForbidden {
				errs = append(errs, s.err)
				continue
			}
			forbidden = append(forbidden, s.name)
			errs = slices.Insert(errs, 0, s.err) // first, as the hint is about that
		case !c.late:
			return false, nil
		}
	}
	switch {
	case listed > 0:
		return true, nil
	case len(errs) == 0:
		return false, errNothing
	}
	// One for all: they differ in the resource, if at all.
	err := errs[0]
	if len(errs) > 1 {
		err = fmt.Errorf("%w (and %d other resources)", err, len(errs)-1)
	}
	if len(forbidden) > 1 {
		err = &workloadmeta.Error{Cause: workloadmeta.CauseForbidden, Err: err,
			Hint: "grant the account the role that rollcall rbac prints: it may not read " +
				strings.Join(forbidden, ", ")}
	}
	return false, err
}
