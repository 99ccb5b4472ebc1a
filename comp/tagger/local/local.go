// Package local is the tagger of this process: it follows the workloadmeta store,
// turns each change into tag infos, and answers from its tag store.
//
// # Promises
//
//   - It is a first-tier subscriber: whoever else hears of an entity can ask for its tags.
//   - An entity that came and went before the tagger looked still has its tags, for the
//     grace time.
//   - Starting never waits for anything.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/origin"
	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Options tune a tagger. The zero value works; start from [DefaultOptions] for the
// documented defaults of the tag options.
type Options struct {
	Extract  extract.Options
	TagStore tagstore.Options
	// PruneEvery is how often expired tags are taken out. Default 1 min.
	PruneEvery time.Duration
	// Cardinality is used where a sender of telemetry does not ask for one. Default low.
	Cardinality tagger.TagCardinality
	// OnMiss, if set, is asked for entities that TagWait misses.
	OnMiss workloadmeta.OnMiss
	// SelfContainerID is the container this process runs in. Default: found out from
	// /proc; "none" switches that off.
	SelfContainerID string
	// Missing, if set, says in one line why nothing may be known about entities of a kind, and of
	// a resource of Kubernetes, if that is not empty: which collectors, or parts of them, are off
	// or failing. It is used by Explain.
	Missing func(kind workloadmeta.Kind, resource string) string
	// Log takes warnings. Default: [slog.Default].
	Log *slog.Logger
}

// DefaultOptions returns the documented defaults.
func DefaultOptions() Options { return Options{Extract: extract.DefaultOptions()} }

// Store is what the tagger needs of the workloadmeta store.
type Store interface {
	Get(id workloadmeta.EntityID) (workloadmeta.Entity, error)
	Reports(id workloadmeta.EntityID) ([]workloadmeta.Report, error)
	Subscribe(name string, filter *workloadmeta.Filter,
		options ...workloadmeta.SubscribeOption) workloadmeta.Subscription
	Revision() uint64
	Synced() bool
	WaitSynced(ctx context.Context) error
	List(kind workloadmeta.Kind) iter.Seq[workloadmeta.Entity]
	GetKubernetesPod(uid string) (*workloadmeta.KubernetesPod, error)
	GetKubernetesPodForContainer(containerID string) (*workloadmeta.KubernetesPod, error)
	ContainerForPID(pid int) (*workloadmeta.Container, error)
	ContainerForInode(inode uint64) (*workloadmeta.Container, error)
}

// Tagger implements [tagger.Component]. Create one with [New], then call Start, and Stop in
// any case.
type Tagger struct {
	tagstore.Queries

	opts  Options
	store Store
	sub   workloadmeta.Subscription
	tags  *tagstore.Store
	self  tagger.OriginInfo // this process, as the sender of its own telemetry

	graphMu sync.Mutex // guards the fields below
	graph   *graph
	logged  map[string]struct{} // problems that the log has
	lost    error               // of the tag store; not in the log yet

	mu       sync.Mutex    // guards the fields below
	handled  uint64        // revision of the store up to which everything is handled
	advanced chan struct{} // closed when handled grows; nil if nobody waits for that

	unresolved atomic.Uint64 // origins of which nothing had tags

	lifecycle sync.Mutex // guards cancel and stopped; stopped is closed if nothing runs
	cancel    context.CancelFunc
	stopped   chan struct{}
}

var _ tagger.Component = (*Tagger)(nil)

// New returns a tagger of what store knows. It is in the store's first tier from here on:
// whoever subscribes later hears of nothing that has no tags yet. Options that make no sense
// are an error that names them.
func New(store Store, opts Options) (*Tagger, error) {
	if opts.PruneEvery == 0 {
		opts.PruneEvery = time.Minute
	}
	if opts.PruneEvery < 0 {
		return nil, fmt.Errorf("tagger: PruneEvery is %s, want more than 0", opts.PruneEvery)
	}
	if opts.Cardinality > tagger.NoneCardinality {
		return nil, fmt.Errorf("tagger: Cardinality: %w", tagger.ErrCardinality)
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	x, err := extract.New(opts.Extract)
	if err != nil {
		return nil, fmt.Errorf("tagger: %w", err)
	}
	t := &Tagger{
		opts: opts, store: store, tags: tagstore.New(opts.TagStore), logged: map[string]struct{}{},
	}
	var miss func(context.Context, tagger.EntityID) error
	if opts.OnMiss != nil {
		miss = t.ask
	}
	t.Queries = tagstore.NewQueries(t.tags, miss)
	switch opts.SelfContainerID {
	case "none":
	case "":
		t.self = origin.Self(func(name string) (io.ReadCloser, error) { return os.Open(name) })
	default:
		t.self.LocalData.ContainerID = opts.SelfContainerID
	}
	t.graph = newGraph(x, store, t.process)
	if static, ok := x.StaticInfo(); ok {
		if err := t.tags.Process([]tagger.TagInfo{static}); err != nil {
			return nil, fmt.Errorf("tagger: static tags: %w", err)
		}
	}
	t.sub = store.Subscribe("tagger", nil, workloadmeta.FirstTier)
	return t, nil
}

// Start begins to follow the store. It does not wait. Starting twice, or what has been
// stopped, is an error.
func (t *Tagger) Start(context.Context) error {
	t.lifecycle.Lock()
	defer t.lifecycle.Unlock()
	if t.stopped != nil {
		return errors.New("tagger: started or stopped already")
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	t.stopped = make(chan struct{})
	go func() {
		defer close(t.stopped)
		var work sync.WaitGroup
		work.Go(func() { t.prune(ctx) })
		work.Go(func() { t.watchSources(ctx) })
		t.follow(ctx)
		work.Wait()
	}()
	return nil
}

// Stop ends what Start began, waits for it or for the end of ctx, and leaves the store's
// first tier. Queries go on to be answered from what is known.
func (t *Tagger) Stop(ctx context.Context) error {
	t.lifecycle.Lock()
	defer t.lifecycle.Unlock()
	t.sub.Close()
	if t.stopped == nil {
		t.stopped = make(chan struct{})
		close(t.stopped)
	}
	if t.cancel != nil {
		t.cancel()
	}
	select {
	case <-t.stopped:
	case <-ctx.Done():
		return fmt.Errorf("stop the tagger: %w", ctx.Err())
	}
	t.tags.Close()
	return nil
}

// update changes what the graph knows, and says in the log, once, what could not be
// understood.
func (t *Tagger) update(change func(*graph)) {
	t.graphMu.Lock()
	change(t.graph)
	var news []extract.Problem
	for _, p := range t.graph.problems {
		key := p.Entity.String() + " " + p.Field + " " + p.Err.Error()
		if _, logged := t.logged[key]; !logged && len(t.logged) < maxLogged {
			t.logged[key] = struct{}{}
			news = append(news, p)
		}
	}
	lost := t.lost
	t.graph.problems, t.lost = nil, nil
	t.graphMu.Unlock()
	if lost != nil {
		t.opts.Log.Error("tagger: some tags are lost", "error", lost)
	}
	for _, p := range news {
		t.opts.Log.Warn("tagger: this makes no tags, or not all that it could",
			"entity", p.Entity.String(), "field", p.Field, "error", p.Err)
	}
}

// maxLogged bounds how many problems the log is told. After it, explain tells of them.
const maxLogged = 1000

// process gives infos to the tag store. It is called under graphMu.
func (t *Tagger) process(infos []tagger.TagInfo) {
	t.lost = errors.Join(t.lost, t.tags.Process(infos))
}

// watchSources has completeness worked out anew when all sources have listed, and when others
// are expected.
func (t *Tagger) watchSources(ctx context.Context) {
	listed := make(chan struct{})
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() {
		if t.store.WaitSynced(ctx) == nil {
			close(listed)
		}
	})
	synced := (<-chan struct{})(listed)
	expecting, _ := t.store.(interface{ ExpectationsChanged() <-chan struct{} })
	for {
		var changed <-chan struct{}
		if expecting != nil {
			changed = expecting.ExpectationsChanged()
		}
		t.update((*graph).extractPending)
		select {
		case <-changed:
		case <-synced:
			synced = nil
		case <-ctx.Done():
			return
		}
	}
}

func (t *Tagger) follow(ctx context.Context) {
	for bundle := range t.sub.Bundles(ctx) {
		t.update(func(f *graph) { f.apply(bundle.Events) })
		t.mu.Lock()
		t.handled = bundle.Revision
		if t.advanced != nil {
			close(t.advanced)
			t.advanced = nil
		}
		t.mu.Unlock()
	}
}

func (t *Tagger) prune(ctx context.Context) {
	ticker := time.NewTicker(t.opts.PruneEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.tags.Prune()
		case <-ctx.Done():
			return
		}
	}
}

// Prune takes out tags that have expired; Start does so from time to time. It returns
// how many entities were forgotten.
func (t *Tagger) Prune() int { return t.tags.Prune() }

// Process gives tag infos of other sources to the tagger. See [tagstore.Store.Process].
func (t *Tagger) Process(infos []tagger.TagInfo) error { return t.tags.Process(infos) }

// CatchUp waits until everything the store knew when CatchUp was called has its tags,
// or until ctx ends.
func (t *Tagger) CatchUp(ctx context.Context) error {
	goal := t.store.Revision()
	for {
		advanced := t.behind(goal)
		if advanced == nil {
			t.update((*graph).extractPending) // who is expected may have changed without any event
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return fmt.Errorf("wait for the tagger: %w", ctx.Err())
		}
	}
}

// behind returns nil if everything up to this revision is handled, else what is closed as soon
// as more is.
func (t *Tagger) behind(revision uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handled >= revision {
		return nil
	}
	if t.advanced == nil {
		t.advanced = make(chan struct{})
	}
	return t.advanced
}

// Rules returns the rules in effect: those about tags, and those that leave containers out,
// which consumers ask by [rules.Set.Why] or [rules.Set.Predicate].
func (t *Tagger) Rules() *rules.Set { return t.extractor().Rules() }

func (t *Tagger) extractor() *extract.Extractor {
	t.graphMu.Lock()
	defer t.graphMu.Unlock()
	return t.graph.x
}

// Reload goes on with other options, as if they had been there from the beginning: all tags
// are made anew, and subscribers hear of those that become others. With options that make
// no sense nothing changes.
func (t *Tagger) Reload(opts extract.Options) error {
	x, err := extract.New(opts)
	if err != nil {
		return fmt.Errorf("tagger: %w", err)
	}
	t.update(func(f *graph) {
		static, ok := x.StaticInfo()
		infos := []tagger.TagInfo{static}
		if !ok { // at once, not after the grace time
			infos = append(infos, tagger.TagInfo{Source: static.Source, Entity: static.Entity,
				DeleteEntity: true})
		}
		if _, had := f.x.StaticInfo(); had || ok {
			t.process(infos)
		}
		f.reload(x)
	})
	return nil
}

// Stats returns figures for status and metrics.
func (t *Tagger) Stats() tagstore.Stats { return t.tags.Stats() }

// UnresolvedOrigins counts the calls of EnrichTags that said something about the sender
// and found no tags for it.
func (t *Tagger) UnresolvedOrigins() uint64 { return t.unresolved.Load() }

// ask has an entity looked up by the collectors that can.
func (t *Tagger) ask(ctx context.Context, id tagger.EntityID) error {
	wanted, ok := extract.WorkloadID(id)
	if !ok {
		<-ctx.Done() // there is nobody to ask
		return nil
	}
	return t.opts.OnMiss.Fetch(ctx, wanted)
}
