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
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
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
	// Missing, if set, says in one line why nothing is known about entities of a kind:
	// which collectors are off or failing. It is used by Explain.
	Missing func(kind workloadmeta.Kind) string
	// Log takes warnings. Default: [slog.Default].
	Log *slog.Logger
}

// DefaultOptions returns the documented defaults.
func DefaultOptions() Options { return Options{Extract: extract.DefaultOptions()} }

// Store is what the tagger needs of the workloadmeta store.
type Store interface {
	Get(id workloadmeta.EntityID) (workloadmeta.Entity, error)
	Views(id workloadmeta.EntityID) ([]workloadmeta.View, error)
	Subscribe(name string, filter *workloadmeta.Filter,
		options ...workloadmeta.SubscribeOption) workloadmeta.Subscription
	Revision() uint64
	List(kind workloadmeta.Kind) iter.Seq[workloadmeta.Entity]
	GetKubernetesPod(uid string) (*workloadmeta.KubernetesPod, error)
	GetKubernetesPodForContainer(containerID string) (*workloadmeta.KubernetesPod, error)
	ContainerForPID(pid int) (*workloadmeta.Container, error)
}

// Tagger implements [tagger.Component]. Create one with [New], then call Start.
type Tagger struct {
	opts  Options
	store Store
	x     *extract.Extractor
	tags  *tagstore.Store
	self  string // ID of the container this process runs in, or ""

	follower follower // owned by the goroutine that follows the store

	handled  atomic.Uint64 // revision of the store up to which everything is handled
	mu       sync.Mutex    // guards advanced
	advanced chan struct{} // closed and replaced whenever handled grows
	waiting  atomic.Int32  // how many wait for that

	unresolved atomic.Uint64 // origins of which nothing had tags

	lifecycle sync.Mutex // guards cancel and stopped
	cancel    context.CancelFunc
	stopped   chan struct{}
}

var _ tagger.Component = (*Tagger)(nil)

// New returns a tagger that follows store. Options that make no sense are an error
// that names them.
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
		opts: opts, store: store, x: x, tags: tagstore.New(opts.TagStore),
		self: opts.SelfContainerID, advanced: make(chan struct{}),
	}
	switch t.self {
	case "none":
		t.self = ""
	case "":
		t.self = selfContainerID()
	}
	t.follower = newFollower(t)
	if static, ok := x.StaticInfo(); ok {
		if err := t.tags.Process([]tagger.TagInfo{static}); err != nil {
			return nil, fmt.Errorf("tagger: static tags: %w", err)
		}
	}
	return t, nil
}

// Start begins to follow the store. It does not wait. Starting twice is an error.
func (t *Tagger) Start(context.Context) error {
	t.lifecycle.Lock()
	defer t.lifecycle.Unlock()
	if t.cancel != nil {
		return errors.New("tagger: started already")
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	t.stopped = make(chan struct{})
	sub := t.store.Subscribe("tagger", nil, workloadmeta.FirstTier)
	go func() {
		defer close(t.stopped)
		defer sub.Close()
		var work sync.WaitGroup
		work.Go(func() { t.prune(ctx) })
		t.follow(ctx, sub)
		work.Wait()
	}()
	return nil
}

// Stop ends what Start began and waits for it, or for the end of ctx. Queries go on to
// be answered from what is known.
func (t *Tagger) Stop(ctx context.Context) error {
	t.lifecycle.Lock()
	defer t.lifecycle.Unlock()
	if t.cancel == nil {
		return nil
	}
	t.cancel()
	select {
	case <-t.stopped:
	case <-ctx.Done():
		return fmt.Errorf("stop the tagger: %w", ctx.Err())
	}
	t.tags.Close()
	return nil
}

func (t *Tagger) follow(ctx context.Context, sub workloadmeta.Subscription) {
	for bundle := range sub.Bundles(ctx) {
		if infos := t.follower.infos(bundle.Events); len(infos) > 0 {
			if err := t.tags.Process(infos); err != nil {
				t.opts.Log.Error("tagger: some tags are lost", "error", err)
			}
		}
		t.handled.Store(bundle.Revision)
		if t.waiting.Load() > 0 {
			t.mu.Lock()
			advanced := t.advanced
			t.advanced = make(chan struct{})
			t.mu.Unlock()
			close(advanced)
		}
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
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	for {
		t.mu.Lock()
		advanced := t.advanced
		t.mu.Unlock()
		if t.handled.Load() >= goal {
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return fmt.Errorf("wait for the tagger: %w", ctx.Err())
		}
	}
}

// Rules returns the rules in effect: those about tags, and those that leave containers out,
// which consumers ask by [rules.Set.Why] or [rules.Set.Predicate].
func (t *Tagger) Rules() *rules.Set { return t.x.Rules() }

// Stats returns figures for status and metrics.
func (t *Tagger) Stats() tagstore.Stats { return t.tags.Stats() }

// UnresolvedOrigins counts the calls of EnrichTags that said something about the sender
// and found no tags for it.
func (t *Tagger) UnresolvedOrigins() uint64 { return t.unresolved.Load() }

// Tag implements [tagger.Component].
func (t *Tagger) Tag(id tagger.EntityID, c tagger.TagCardinality) ([]string, error) {
	tags, err := t.tags.Tags(id, c)
	return tags.Slice(), err
}

// Tags implements [tagger.Component].
func (t *Tagger) Tags(id tagger.EntityID, c tagger.TagCardinality) (tagset.Tags, error) {
	return t.tags.Tags(id, c)
}

// TagWithCompleteness implements [tagger.Component].
func (t *Tagger) TagWithCompleteness(id tagger.EntityID, c tagger.TagCardinality) ([]string,
	tagger.Completeness, error) {
	tags, known, err := t.tags.Lookup(id, c)
	if errors.Is(err, tagger.ErrUnknown) || errors.Is(err, tagger.ErrExpired) {
		err = nil
	}
	return tags.Slice(), known, err
}

// TagWait implements [tagger.Component].
func (t *Tagger) TagWait(ctx context.Context, id tagger.EntityID, c tagger.TagCardinality,
	want tagger.Completeness) (tagset.Tags, tagger.Completeness, error) {
	want = max(want, tagger.Partial)
	for {
		tags, known, err := t.tags.Lookup(id, c)
		if known >= want || errors.Is(err, tagger.ErrEmptyEntityID) ||
			errors.Is(err, tagger.ErrCardinality) {
			return tags, known, err
		}
		waited := t.await(ctx, id, want)
		if waited == nil {
			continue // it was known well enough a moment ago, and nearly always still is
		}
		tags, known, _ = t.tags.Lookup(id, c)
		if known >= tagger.Partial {
			waited = nil
		}
		return tags, known, waited
	}
}

// await asks those who can look the entity up and waits for what comes of it, or from
// anywhere else.
func (t *Tagger) await(ctx context.Context, id tagger.EntityID, want tagger.Completeness) error {
	wanted, ok := workloadID(id)
	if t.opts.OnMiss == nil || !ok {
		return t.tags.Wait(ctx, id, want)
	}
	fetching, cancel := context.WithCancel(ctx)
	var fetch sync.WaitGroup
	defer fetch.Wait()
	defer cancel()
	var failed error
	fetch.Go(func() { failed = t.opts.OnMiss.Fetch(fetching, wanted) })
	err := t.tags.Wait(ctx, id, want)
	cancel()
	fetch.Wait()
	if err != nil && failed != nil && !errors.Is(failed, context.Canceled) &&
		!errors.Is(failed, context.DeadlineExceeded) {
		return fmt.Errorf("%w (%w)", err, failed)
	}
	return err
}

// Handle implements [tagger.Component].
func (t *Tagger) Handle(id tagger.EntityID) tagger.Handle { return t.tags.Handle(id) }

// Standard implements [tagger.Component].
func (t *Tagger) Standard(id tagger.EntityID) ([]string, error) {
	standard, err := t.tags.Standard(id)
	return append([]string(nil), standard...), err
}

// GetEntity implements [tagger.Component].
func (t *Tagger) GetEntity(id tagger.EntityID) (tagger.Entity, error) {
	return t.tags.GetEntity(id)
}

// GetEntityHash implements [tagger.Component].
func (t *Tagger) GetEntityHash(id tagger.EntityID, c tagger.TagCardinality) string {
	tags, _ := t.tags.Find(id, c)
	return tags.Hash()
}

// List implements [tagger.Component].
func (t *Tagger) List() []tagger.Entity { return t.tags.List() }

// Subscribe implements [tagger.Component].
func (t *Tagger) Subscribe(name string, filter *tagger.Filter) tagger.Subscription {
	return t.tags.Subscribe(name, filter)
}

// GlobalTags implements [tagger.Component].
func (t *Tagger) GlobalTags(c tagger.TagCardinality) ([]string, error) {
	return t.orNone(tagger.GlobalEntityID, c)
}

// AgentTags implements [tagger.Component].
func (t *Tagger) AgentTags(c tagger.TagCardinality) ([]string, error) {
	if t.self == "" {
		return nil, nil
	}
	return t.orNone(tagger.Container(t.self), c)
}

// orNone returns no tags instead of an error for an entity that is not known.
func (t *Tagger) orNone(id tagger.EntityID, c tagger.TagCardinality) ([]string, error) {
	if c > tagger.NoneCardinality {
		return nil, fmt.Errorf("cardinality %d: %w", uint8(c), tagger.ErrCardinality)
	}
	tags, _ := t.tags.Find(id, c)
	return tags.Slice(), nil
}
