package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeapi"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/podmap"
)

// bundleSize is how many entities are reported at once at most.
const bundleSize = 500

// core knows what was reported, and what follows from what. It belongs to the goroutine that runs
// its updates.
type core struct {
	opts    *Options
	sink    workloadmeta.Sink
	updates chan func()
	timer   *time.Timer // for the end of memberships
	late    bool        // who has not listed yet is not waited for
	sources []*source
	out     []workloadmeta.CollectorEvent
	crowded *atomic.Int64 // memberships that do not count: see maxServices

	pods        *table[*workloadmeta.KubernetesPod]
	mirrors     podmap.Mirrors // of pods
	deployments *table[*workloadmeta.KubernetesDeployment]
	scalers     scalers
	members     members
	nodes       *table[*workloadmeta.KubernetesMetadata] // nil: they are not followed
	share       *share                                   // nil: all pods are followed
}

// source is how far one resource is.
type source struct {
	name   string // of the resource that may not be granted
	listed bool
	err    error // of the first attempt, if that failed
}

func newCore(o *Options, sink workloadmeta.Sink, crowded *atomic.Int64) *core {
	c := &core{opts: o, sink: sink, updates: make(chan func()), timer: time.NewTimer(0),
		crowded: crowded, mirrors: podmap.Mirrors{}}
	crowded.Store(0)
	c.timer.Stop()
	c.pods = newTable(samePod, c.podChanged)
	c.deployments = newTable(sameEntity, c.deploymentChanged)
	c.scalers.init()
	c.members.init(c)
	return c
}

func (c *core) set(e workloadmeta.Entity) { c.report(workloadmeta.Set(e)) }

func (c *core) unset(id workloadmeta.EntityID) {
	last, err := workloadmeta.NewEntity(id)
	if err == nil { // it is one of our kinds
		c.report(workloadmeta.Unset(last))
	}
}

func (c *core) report(e workloadmeta.CollectorEvent) {
	if c.out = append(c.out, e); len(c.out) >= bundleSize {
		c.flush()
	}
}

// run has something done between updates, and waits for it, unless ctx ends before.
func (c *core) run(ctx context.Context, do func()) {
	done := make(chan struct{})
	select {
	case c.updates <- func() { do(); close(done) }:
		<-done
	case <-ctx.Done():
	}
}

// settle reports what follows from what has changed, and all of it.
func (c *core) settle() {
	c.rescale()
	c.members.report()
	c.flush()
}

func (c *core) flush() {
	if len(c.out) > 0 {
		c.sink.Apply(c.out)
		c.out = c.out[:0]
	}
}

// sameEntity compares entities.
func sameEntity[E workloadmeta.Entity](a, b E) bool { return a.Equal(b) }

// table is what is known of one resource, by a key: of each object what is wanted of it. A change
// that changes nothing of that is none.
type table[V any] struct {
	known map[string]V
	same  func(a, b V) bool
	// changed is told of what was, unless it is new, and what is, unless it is gone.
	changed func(key string, was, is *V)

	told    map[string]bool // since a list began; nil = there is none under way
	listed  bool            // once at least
	waiting map[string]V    // what a list brings, until it is known what is gone
}

func newTable[V any](same func(a, b V) bool, changed func(string, *V, *V)) *table[V] {
	return &table[V]{known: map[string]V{}, same: same, changed: changed}
}

// begin begins a list.
func (t *table[V]) begin() { t.told, t.waiting = map[string]bool{}, map[string]V{} }

// put takes an object. Those of the first list are reported as they come, those of later ones after
// what is gone.
func (t *table[V]) put(key string, v V) {
	if t.told != nil {
		t.told[key] = true
	}
	if t.told != nil && t.listed {
		delete(t.waiting, key)
		if was, ok := t.known[key]; !ok || !t.same(was, v) {
			t.waiting[key] = v
		}
		return
	}
	t.apply(key, v)
}

// keep takes of an object only that it is there: what is known of it stays.
func (t *table[V]) keep(key string) {
	if t.told != nil {
		t.told[key] = true
	}
}

func (t *table[V]) apply(key string, v V) {
	was, ok := t.known[key]
	switch {
	case !ok:
		t.known[key] = v
		t.changed(key, nil, &v)
	case !t.same(was, v):
		t.known[key] = v
		t.changed(key, &was, &v)
	}
}

// drop takes the end of an object.
func (t *table[V]) drop(key string) {
	delete(t.told, key)
	delete(t.waiting, key)
	if was, ok := t.known[key]; ok {
		delete(t.known, key)
		t.changed(key, &was, nil)
	}
}

// end ends a list: first goes what is not in it, then comes what is new.
func (t *table[V]) end() {
	var stale []string
	for key := range t.known {
		if !t.told[key] {
			stale = append(stale, key)
		}
	}
	slices.Sort(stale)
	for _, key := range stale {
		t.drop(key)
	}
	for key, v := range t.waiting {
		t.apply(key, v)
	}
	t.told, t.waiting, t.listed = nil, nil, true
}

// mapping says what is known of the objects of a resource, and under which key.
type mapping[T, V any] struct {
	key func(*object.Meta) string
	of  func(*T) (V, error)
}

// byName is a mapping with the key of [namespaced].
func byName[T, V any](of func(*T) (V, error)) mapping[T, V] { return mapping[T, V]{namespaced, of} }

// feed is the [kubeapi.Handler] of one resource: it maps objects where they are decoded, and hands
// them to the core in bundles.
type feed[T, V any] struct {
	ctx    context.Context //nolint:containedctx // of the watch whose handler it is
	c      *Collector
	core   *core
	source *source
	table  *table[V]
	mapped mapping[T, V]
	note   func(collection.State, workloadmeta.Problem) // how the resource is doing
	first  func()                                       // the first list is complete; may be nil

	listing bool
	pending []func()
	problem string               // that was told last
	failing workloadmeta.Problem // why the last attempt has failed; zero: it has not
	left    int                  // objects that are left out
}

// do hands something to the core, with what is pending before it.
func (f *feed[T, V]) do(last func()) {
	pending := append(f.pending, last)
	f.pending = nil
	select {
	case f.core.updates <- func() {
		for _, do := range pending {
			do()
		}
	}:
	case <-f.ctx.Done():
	}
}

// Listing implements [kubeapi.Handler].
func (f *feed[T, V]) Listing() {
	f.listing, f.pending = true, nil
	f.do(f.table.begin)
}

// Object implements [kubeapi.Handler].
func (f *feed[T, V]) Object(o *T) error {
	v, err := f.mapped.of(o)
	if err != nil {
		return err
	}
	key := f.mapped.key(metaOf(o))
	f.tell(func() { f.table.put(key, v) })
	return nil
}

// tell hands something to the core, that of a list with other things.
func (f *feed[T, V]) tell(do func()) {
	if f.listing && len(f.pending) < bundleSize-1 {
		f.pending = append(f.pending, do)
		return
	}
	f.do(do)
}

// Deleted implements [kubeapi.Handler].
func (f *feed[T, V]) Deleted(o *T) {
	key := f.mapped.key(metaOf(o))
	f.do(func() { f.table.drop(key) })
}

// metaOf returns what every object of package object has.
func metaOf(o any) *object.Meta { return o.(interface{ Metadata() *object.Meta }).Metadata() }

// Listed implements [kubeapi.Handler].
func (f *feed[T, V]) Listed() {
	f.listing = false
	f.do(func() {
		f.table.end()
		if !f.source.listed && f.first != nil {
			f.first()
		}
		f.source.listed = true
	})
}

// Status implements [kubeapi.Handler].
func (f *feed[T, V]) Status(err error) {
	problem := workloadmeta.ProblemOf(err)
	f.failing = problem
	f.noteState()
	if text := problem.String(); text != f.problem {
		f.problem = text
		if err != nil {
			f.core.opts.Log.Warn("a resource of the API server cannot be followed",
				"error", err, "hint", problem.Hint)
		} else {
			f.core.opts.Log.Info("a resource of the API server is followed again")
		}
	}
	if err != nil {
		f.do(func() { f.source.err = err })
	}
}

// noteState notes how the resource is doing.
func (f *feed[T, V]) noteState() {
	switch {
	case f.failing.Cause == workloadmeta.CauseAbsent:
		f.note(collection.StateWaiting, f.failing)
	case f.failing != (workloadmeta.Problem{}):
		f.note(collection.StateDegraded, f.failing)
	case f.left > 0:
		f.note(collection.StateDegraded, workloadmeta.Problem{Reason: leftOut(f.left)})
	default:
		f.note(collection.StateLive, workloadmeta.Problem{})
	}
}

// leftOut says how many objects are left out.
func leftOut(n int) string {
	if n == 1 {
		return "1 object is left out: it cannot be decoded"
	}
	return fmt.Sprintf("%d objects are left out: they cannot be decoded", n)
}

// Unreadable implements [kubeapi.Handler].
func (f *feed[T, V]) Unreadable(m *object.Meta, err error) {
	f.core.opts.Log.Warn("an object of the API server is left out", "namespace", m.Namespace,
		"name", m.Name, "error", err)
	key := f.mapped.key(m)
	f.tell(func() { f.table.keep(key) })
}

// LeftOut implements [kubeapi.Handler].
func (f *feed[T, V]) LeftOut(n int) {
	f.left = n
	f.noteState()
}

// follow is the watch of one resource, which ends with ctx.
type follow func(ctx context.Context, client *kubeapi.Client)

// newFollow adds a resource to those of the collector. r is what is asked for, shape what is kept
// of it.
func newFollow[T, V any](c *Collector, core *core, r kubeapi.Resource, shape object.Shape,
	table *table[V], mapped mapping[T, V]) follow {
	s := &source{name: kubeapi.Name(r.GroupVersionResource)}
	core.sources = append(core.sources, s)
	i := len(c.parts)
	c.parts = append(c.parts, collection.Part{Name: kubeapi.Name(r.GroupVersionResource),
		State: collection.StateConnecting})
	return func(ctx context.Context, client *kubeapi.Client) {
		w := &kubeapi.Watch[T]{Client: client, Resource: r, Decoder: object.NewDecoder[T](shape),
			Handler: &feed[T, V]{ctx: ctx, c: c, core: core, source: s, table: table,
				mapped: mapped, note: func(state collection.State, p workloadmeta.Problem) {
					c.part(i, state, p)
				}}}
		w.Run(ctx) //nolint:errcheck // it ends with ctx only
	}
}

// follows returns the watches of everything that is asked for.
func (c *Collector) follows(core *core) []follow {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts, c.late = nil, nil
	var out []follow
	for _, t := range c.targets {
		from := len(c.parts)
		switch t.name {
		case pods:
			if c.opts.Share && !c.opts.node() {
				core.share = newShare(c, core)
				out = append(out, core.share.run)
			} else {
				out = append(out, c.followPods(core))
			}
		case deployments:
			out = append(out, c.followDeployments(core))
		case services:
			out = append(out, c.followServices(core), c.followSlices(core))
		case autoscalers:
			out = append(out, c.followHorizontal(core), c.followVertical(core))
		case resourceSlices:
			out = append(out, c.followDevices(core))
		default:
			out = append(out, c.followMetadata(core, t))
		}
		for i := range c.parts[from:] {
			c.parts[from+i].Kind = t.kind()
		}
	}
	return out
}

// namespaced returns the name of an object with that of its namespace.
func namespaced(m *object.Meta) string { return strings.Join([]string{m.Namespace, m.Name}, "/") }
