// Package agent puts rollcall together: the store, the collectors of a catalog and their
// supervisor, the rules, the tagger and the answers about all of it, made by one configuration.
// What the command line does, a program that embeds rollcall has by the same few lines:
//
//	a, err := agent.New(agent.Options{Catalog: catalog.Collectors()})
//	…
//	err = a.Start(ctx)
//	defer a.Stop(ctx)
//	_, err = a.WaitFirst(ctx)
//	tags, err := a.Tagger().Tag(tagger.Container(id), tagger.LowCardinality)
//
// [Module] is the same for programs that are wired with fx. Only the collectors of the catalog
// that is given are linked. A program that wants something else than a whole agent puts the parts
// together itself: each has a constructor and a module.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	"github.com/rollcall-dev/rollcall/comp/telemetry"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// Options say what to put together.
type Options struct {
	// Catalog lists the collectors that may run, such as catalog.Collectors(). It counts where no
	// Config is given, which knows its own.
	Catalog []collection.AnySpec
	// Config is the configuration. nil: the defaults, the built-in rules among them.
	Config *config.Loaded
	// Collectors run beside those of the catalog.
	Collectors []workloadmeta.Collector
	// Type of the agent, which decides which collectors of the catalog belong to it. Default: that
	// of the configuration, whose default is [collection.Node].
	Type collection.Agent
	// Environ is the environment of the process, "NAME=value" each. Default: [os.Environ].
	Environ []string
	// Once says that this agent answers and ends: it takes over nothing from one that stays.
	Once bool
	// Lenient says that a collector whose options make no sense is one that says so in its status,
	// and no error of [New].
	Lenient bool
	// KeepEnv names variables of containers that are kept beside those that the configuration's
	// rules need.
	KeepEnv []string
	// Recording, if set, fills the store instead of collectors.
	Recording *inspect.Recording
	// Version of the program, for [inspect.Status].
	Version string
	// Log receives warnings. Default: [slog.Default].
	Log *slog.Logger
}

// Agent is everything that answers what is here and what tags it has. Create one with [New].
type Agent struct {
	opts       Options
	store      *store.Store
	collectors *collection.Supervisor // nil with a recording
	tagger     *local.Tagger
	inspect    *inspect.Local
}

// New puts an agent together. Nothing runs before Start. An error names the option that makes no
// sense, and where it is set.
func New(o Options) (*Agent, error) {
	if o.Config == nil {
		loaded, err := config.NewSchema(o.Catalog).Load(config.Source{})
		if err != nil {
			return nil, fmt.Errorf("agent: %w", err)
		}
		o.Config = loaded
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	a := &Agent{opts: o, store: store.New(store.Options{})}
	tags := local.Options{
		Extract: o.Config.TagOptions(o.Environ),
		TagStore: tagstore.Options{Grace: orNever(o.Config.Retention.Grace),
			MaxTombstones: orNever(o.Config.Retention.MaxTombstones)},
		Cardinality: o.Config.DogstatsdTagCardinality,
		Log:         o.Log,
	}
	answers := inspect.Options{Store: a.store, Recording: o.Recording, Version: o.Version,
		Config: o.Config.Recorded(o.Environ)}
	if o.Recording != nil {
		tags.SelfContainerID = "none"
		tags.TagStore.Now, tags.TagStore.Elapsed = o.Recording.Now, o.Recording.Elapsed
		tags.Missing = o.Recording.Missing
	} else {
		made, err := a.collect()
		if err != nil {
			return nil, err
		}
		answers.Collectors, answers.Asked = a.collectors, made.Asked
		answers.Enabled = made.Enabled
		answers.Named = o.Config.Named(o.Environ)
		tags.OnMiss, tags.Missing = a.collectors, a.collectors.Missing
	}
	var err error
	if a.tagger, err = local.New(a.store, tags); err != nil {
		return nil, err
	}
	answers.Tagger = a.tagger
	a.inspect = inspect.New(answers)
	return a, nil
}

// collect makes the collectors and their supervisor. They keep the environment variables that the
// tagger makes tags of.
func (a *Agent) collect() (config.Collectors, error) {
	filter, err := a.opts.Config.EnvFilter(a.opts.KeepEnv...)
	if err != nil {
		return config.Collectors{}, err
	}
	made, err := a.opts.Config.NewCollectors(collection.Deps{
		Log: a.opts.Log, Env: filter, Agent: a.opts.Type,
		Once: a.opts.Once, Store: a.store,
	})
	if err != nil && !a.opts.Lenient {
		return made, err
	}
	a.collectors, err = collection.New(collection.Options{Store: a.store,
		Collectors: append(made.List, a.opts.Collectors...), Enabled: made.Enabled,
		Log: a.opts.Log})
	return made, err
}

// orNever turns the configuration's 0, which means "not at all", into the components' -1.
func orNever[T int | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// Start starts the tagger, then the collectors. It does not wait for them. ctx bounds the start
// alone. An agent that could not be started must be stopped as well.
func (a *Agent) Start(ctx context.Context) error {
	a.inspect.Start()
	if err := a.tagger.Start(ctx); err != nil {
		return err
	}
	if a.collectors == nil {
		return nil
	}
	return a.collectors.Start(ctx)
}

// Stop stops everything, in the order in which nobody misses anybody, and waits for it or for the
// end of ctx. Its error joins those of all parts.
func (a *Agent) Stop(ctx context.Context) error {
	var failed error
	if a.collectors != nil {
		failed = a.collectors.Stop(ctx)
	}
	a.inspect.Stop()
	failed = errors.Join(failed, a.tagger.Stop(ctx))
	a.store.Close()
	return failed
}

// Store returns what is here.
func (a *Agent) Store() *store.Store { return a.store }

// Tagger returns what has which tags.
func (a *Agent) Tagger() *local.Tagger { return a.tagger }

// Collectors returns the supervisor of the collectors; nil with a recording.
func (a *Agent) Collectors() *collection.Supervisor { return a.collectors }

// Inspect returns the answers about all of it.
func (a *Agent) Inspect() inspect.Inspector { return a.inspect }

// Metrics returns the metrics of all parts. They are not registered anywhere.
func (a *Agent) Metrics() []prometheus.Collector {
	list := []prometheus.Collector{telemetry.Store(a.store), telemetry.Tagger(a.tagger)}
	if a.collectors != nil {
		list = append(list, a.collectors.Metrics())
	}
	return list
}

// Reload goes on with the rules and mappings of another configuration: all tags are made anew, and
// subscribers hear of those that become others. What collectors do, and which variables of
// containers they keep, stays as it is. With a configuration that makes no sense nothing changes.
func (a *Agent) Reload(conf *config.Loaded) error {
	return a.tagger.Reload(conf.TagOptions(a.opts.Environ))
}

// WaitFirst waits until each collector has answered for the first time, or has nothing to collect
// here, and until everything that they have reported has its tags; or until ctx ends, which is an
// error that names those that have not answered. With a recording, it plays it.
func (a *Agent) WaitFirst(ctx context.Context) ([]inspect.FirstAnswer, error) {
	var late error
	if a.collectors != nil {
		_, late = a.collectors.WaitFirstPass(ctx)
	}
	answers, err := a.inspect.FirstAnswers(ctx, inspect.FirstAnswersRequest{})
	return answers, cmp.Or(late, err)
}
