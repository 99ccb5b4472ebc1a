package scripts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/recording"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// world is the engine of a script: supervisor, store and tagger as a program has them, and
// reporters that say what the script wants. Everything but newWorld happens in its bubble.
type world struct {
	t          *testing.T
	rng        *rand.Rand // nil: everything in the order in which it is written
	shuffled   bool       // the order could be another one
	names      []string   // of the reporters
	reporters  map[string]*collectortest.Fake
	collectors []workloadmeta.Collector
	options    extract.Options

	// From start on:
	store      *store.Store
	supervisor *collection.Supervisor
	tagger     *local.Tagger
	cancel     context.CancelFunc // of what follows
	following  sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	events  []string   // that a subscriber of the store was told
	changes []string   // that a subscriber of the tagger was told
}

func newWorld(rng *rand.Rand) *world {
	return &world{rng: rng, reporters: map[string]*collectortest.Fake{},
		options: local.DefaultOptions().Extract}
}

// known are the reporters that need no description.
var known = map[string]workloadmeta.Description{
	"docker":     {Source: workloadmeta.SourceRuntime, Rank: 50},
	"podman":     {Source: workloadmeta.SourceRuntime, Rank: 40},
	"containerd": {Source: workloadmeta.SourceRuntime, Rank: 30},
	"cri":        {Source: workloadmeta.SourceRuntime, Rank: 20},
	"process": {Source: workloadmeta.SourceProcess, Rank: 10,
		Kinds:      []workloadmeta.Kind{workloadmeta.KindProcess},
		ByProducts: []workloadmeta.Kind{workloadmeta.KindContainer}},
	"kubelet": {Source: workloadmeta.SourceNodeOrchestrator,
		Kinds:      []workloadmeta.Kind{workloadmeta.KindKubernetesPod},
		ByProducts: []workloadmeta.Kind{workloadmeta.KindContainer}},
	"ecs": {Source: workloadmeta.SourceNodeOrchestrator,
		Kinds:      []workloadmeta.Kind{workloadmeta.KindECSTask},
		ByProducts: []workloadmeta.Kind{workloadmeta.KindContainer}},
	"apiserver": {Source: workloadmeta.SourceClusterOrchestrator,
		Kinds: []workloadmeta.Kind{workloadmeta.KindKubernetesDeployment,
			workloadmeta.KindKubernetesMetadata, workloadmeta.KindKubernetesService}},
}

// addReporter adds a reporter before the start.
func (w *world) addReporter(name string, options []string) error {
	if w.store != nil {
		return fmt.Errorf("reporter %s: the engine has started", name)
	}
	desc := known[name]
	desc.ID = name
	if desc.Source == "" {
		desc.Source = workloadmeta.SourceRuntime
	}
	if desc.Kinds == nil {
		desc.Kinds = []workloadmeta.Kind{workloadmeta.KindContainer}
	}
	f := collectortest.NewFake(desc)
	polled := false
	for _, option := range options {
		switch option {
		case "polled":
			polled = true
		case "absent":
			f.Hide(workloadmeta.Problem{Reason: "no " + name + " here"})
		case "silent":
			f.Silence()
		case "failing":
			f.Lose(nil)
		default:
			return fmt.Errorf("reporter %s: unknown %q (want polled, absent, silent or failing)",
				name, option)
		}
	}
	w.names = append(w.names, name)
	w.reporters[name] = f
	if polled {
		w.collectors = append(w.collectors, f.Puller())
	} else {
		w.collectors = append(w.collectors, f)
	}
	return nil
}

// start starts the engine, unless it runs.
func (w *world) start(t *testing.T) (err error) {
	if w.store != nil {
		return nil
	}
	w.t = t
	w.store = store.New(store.Options{
		OnMutation: func(id workloadmeta.EntityID, source workloadmeta.Source) {
			t.Errorf("%s of %s was written to after it was handed over", id, source)
		}})
	if w.supervisor, err = collection.New(collection.Options{Store: w.store,
		Collectors: w.collectors}); err != nil {
		return err
	}
	if w.tagger, err = local.New(w.store, local.Options{Extract: w.options,
		OnMiss: w.supervisor, Missing: w.supervisor.Missing, SelfContainerID: "none",
		Log: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	if err := errors.Join(w.tagger.Start(t.Context()),
		w.supervisor.Start(t.Context())); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.following.Go(func() { w.followStore(ctx) })
	w.following.Go(func() { w.followTags(ctx) })
	synctest.Wait() // until everybody who answers at once has answered
	return nil
}

// stop ends what start has begun.
func (w *world) stop() error {
	if w.store == nil {
		return nil
	}
	ctx := context.Background()
	err := w.supervisor.Stop(ctx)
	if w.cancel != nil {
		w.cancel()
		w.following.Wait()
	}
	err = errors.Join(err, w.tagger.Stop(ctx))
	w.store.Close()
	return err
}

func (w *world) followStore(ctx context.Context) {
	sub := w.store.Subscribe("script", nil)
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		w.mu.Lock()
		for _, ev := range bundle.Events {
			w.events = append(w.events, fmt.Sprintf("%s %v", ev.Type, ev.Entity))
		}
		w.mu.Unlock()
	}
}

func (w *world) followTags(ctx context.Context) {
	sub := w.tagger.Subscribe("script", &tagger.Filter{Cardinality: tagger.HighCardinality})
	defer sub.Close()
	for bundle := range sub.Bundles(ctx) {
		w.mu.Lock()
		for _, ev := range bundle.Events {
			w.changes = append(w.changes, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", ev.Type,
				ev.ID, ev.Completeness, strings.Join(ev.Tags.Slice(), " "))))
		}
		w.mu.Unlock()
	}
}

// settle waits until everything that needs no time has happened.
func (w *world) settle() error {
	synctest.Wait()
	return w.tagger.CatchUp(context.Background())
}

func (w *world) reporter(name string) (*collectortest.Fake, error) {
	if f, ok := w.reporters[name]; ok {
		return f, nil
	}
	return nil, fmt.Errorf("no reporter %q (there are %s)", name, strings.Join(w.names, ", "))
}

// feed lets reporters say something.
func (w *world) feed(changes []change) error {
	for _, c := range changes {
		f, err := w.whoSays(c)
		if err != nil {
			return err
		}
		f.Apply(c.event)
		if w.rng == nil || w.rng.IntN(2) == 0 {
			if err := w.settle(); err != nil {
				return err
			}
		}
	}
	return w.settle()
}

// whoSays returns the reporter of a change: the one that it names, or else the first of its source.
func (w *world) whoSays(c change) (*collectortest.Fake, error) {
	if c.reporter != "" {
		return w.reporter(c.reporter)
	}
	for _, name := range w.names {
		if f := w.reporters[name]; f.Describe().Source == c.event.Source {
			return f, nil
		}
	}
	return nil, fmt.Errorf("no reporter of source %s", c.event.Source)
}

// shuffle returns the changes in another order: what one reporter says of one entity stays in
// its own.
func (w *world) shuffle(changes []change) []change {
	w.shuffled = true
	if w.rng == nil {
		return changes
	}
	type line struct {
		reporter string
		source   workloadmeta.Source
		id       workloadmeta.EntityID
	}
	var order []line
	lines := map[line][]change{}
	for _, c := range changes {
		l := line{c.reporter, c.event.Source, c.event.Entity.GetID()}
		order = append(order, l)
		lines[l] = append(lines[l], c)
	}
	w.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var out []change
	for _, l := range order {
		out = append(out, lines[l][0])
		lines[l] = lines[l][1:]
	}
	return out
}

// advance lets time pass.
func (w *world) advance(d time.Duration) error {
	time.Sleep(d)
	return w.settle()
}

// restore lets a reporter answer again, and lets time pass until it has listed everything.
func (w *world) restore(name string) error {
	f, err := w.reporter(name)
	if err != nil {
		return err
	}
	before := f.Lists()
	f.Restore()
	const limit = time.Minute // the longest pause between two attempts, and then some
	for waited := time.Duration(0); f.Lists() == before; waited += 100 * time.Millisecond {
		if waited > limit {
			return fmt.Errorf("%s has not been asked for a list within %s", name, limit)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return w.settle()
}

// record writes a recording of what there is.
func (w *world) record(out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	r := recording.NewRecorder(w.store, nil, recording.NewWriter(out))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	synctest.Wait()
	cancel()
	return <-done
}

// all returns the tags of everything, and what subscribers see of it, for comparison.
func (w *world) all() string {
	var out strings.Builder
	for _, e := range w.tagger.List() {
		tags := slices.Concat(e.LowCardTags, e.OrchestratorCardTags, e.HighCardTags)
		fmt.Fprintf(&out, "%s %s %s | %s | %s\n", e.ID, e.Completeness, strings.Join(tags, " "),
			strings.Join(e.StandardTags, " "), w.tagger.GetEntityHash(e.ID, tagger.HighCardinality))
	}
	for _, d := range w.store.Dump() {
		fmt.Fprintf(&out, "%v complete=%t\n", d.Entity, d.Complete)
	}
	return out.String()
}
