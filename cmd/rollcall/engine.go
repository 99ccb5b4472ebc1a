package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/tagger/tagstore"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// engine is the store, the collectors and the tagger in this process. Close it.
type engine struct {
	app        *app
	conf       *config.Loaded
	store      *store.Store
	tagger     *local.Tagger
	supervisor *collection.Supervisor // nil with --from
	asked      map[string]string      // how somebody has asked for a collector by name, by ID
	outcomes   []collection.Outcome
	ask        inspect.Inspector
	local      *inspect.Local // what ask is in this process
}

// errInterrupted reports that the user has had enough before there was an answer.
var errInterrupted = errors.New("interrupted")

// stopTimeout bounds how long the end of a command waits for collectors that do not return.
const stopTimeout = 5 * time.Second

// open starts everything and waits for the first answer of each collector, or reads the recording.
// strict makes the absence of a daemon that was asked for by name an error: see complaints.
func (a *app) open(ctx context.Context, strict bool) (*engine, error) {
	e, err := a.openUnplayed(ctx, strict)
	if err == nil && a.from != "" {
		if err = e.notes(ctx); err != nil {
			e.close()
			return nil, err
		}
	}
	return e, err
}

// openUnplayed is open without playing a recording.
func (a *app) openUnplayed(ctx context.Context, strict bool) (*engine, error) {
	e, err := a.build()
	if err != nil {
		return nil, err
	}
	if err = e.start(ctx); err == nil {
		err = e.firstAnswers(ctx, strict)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// build makes an engine that is not started.
func (a *app) build() (*engine, error) {
	conf, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	e := &engine{app: a, conf: conf, store: store.New(store.Options{})}
	asked := inspect.Options{Store: e.store, Version: version}
	opts := local.Options{
		Extract: conf.TagOptions(a.environ),
		TagStore: tagstore.Options{Grace: orNever(conf.Retention.Grace),
			MaxTombstones: orNever(conf.Retention.MaxTombstones)},
		Cardinality: conf.DogstatsdTagCardinality,
		Missing:     e.missing,
		Log:         a.log(),
	}
	if a.from != "" {
		asked.Recording = &inspect.Recording{Path: a.from, SkipBad: a.skipBad}
		opts.SelfContainerID = "none"
		opts.TagStore.Now = asked.Recording.Now
	} else {
		filter, err := conf.EnvFilter(a.alsoEnv...)
		if err != nil {
			return nil, err
		}
		collectors, err := conf.NewCollectors(collection.Node, collection.Deps{
			Log: a.log(), Env: filter,
			Collecting: func(id string) bool { return e.supervisor.Collecting(id) },
		})
		if err != nil {
			return nil, err
		}
		e.asked = collectors.Asked
		e.supervisor, err = collection.New(collection.Options{Store: e.store,
			Collectors: collectors.List, Enabled: collectors.Enabled, Log: a.log()})
		if err != nil {
			return nil, err
		}
		opts.OnMiss = e.supervisor
	}
	if e.tagger, err = local.New(e.store, opts); err != nil {
		return nil, err
	}
	asked.Tagger, asked.Collectors = e.tagger, e.supervisor
	e.local = inspect.New(asked)
	e.ask = e.local
	return e, nil
}

// orNever turns the configuration's 0, which means "not at all", into the components' -1.
func orNever[T int | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// start starts what build has made.
func (e *engine) start(ctx context.Context) error {
	if err := e.tagger.Start(ctx); err != nil {
		return err
	}
	if e.supervisor == nil {
		return nil
	}
	return e.supervisor.Start(ctx)
}

// firstAnswers waits until there is something to answer from.
func (e *engine) firstAnswers(ctx context.Context, strict bool) error {
	if e.supervisor == nil {
		return nil
	}
	waiting, cancel := context.WithTimeoutCause(ctx, e.app.timeout,
		fmt.Errorf("none within %s (--timeout)", e.app.timeout))
	defer cancel()
	stop := e.progress()
	outcomes, err := e.supervisor.WaitFirstPass(waiting)
	stop()
	e.outcomes = outcomes
	if ctx.Err() != nil {
		return errInterrupted
	}
	e.complaints(err, strict)
	return e.tagger.CatchUp(ctx)
}

// notes says what was not understood of the recording.
func (e *engine) notes(ctx context.Context) error {
	s, err := e.ask.Status(ctx)
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	for _, note := range s.Recording.Notes {
		e.app.say("%s", note)
	}
	return nil
}

// complaints says what went wrong with collectors, one line each. It is quiet about those that have
// nothing to collect here, unless somebody has asked for them: with strict that fails the command,
// which answers all the same from what the others know.
func (e *engine) complaints(late error, strict bool) {
	runtimes := e.runtimes()
	answered := slices.ContainsFunc(e.outcomes, func(o collection.Outcome) bool {
		return o.Result == collection.Listed && runtimes[o.ID]
	})
	for _, o := range e.outcomes {
		reason := o.Problem.String()
		asked := e.asked[o.ID]
		if strict && o.Result != collection.Listed && asked != "" {
			if o.Result == collection.Pending {
				reason = fmt.Sprintf("no answer within %s (--timeout)", e.app.timeout)
			}
			e.app.say("%s: %s (%s)", o.ID, oneLine(reason), asked)
			e.app.incomplete = true
			continue
		}
		meant := o.ID == "docker" && e.app.getenv("DOCKER_HOST") != "" &&
			e.conf.Collectors["docker"] != collection.Off
		// Where one runtime answers, another that does not let us in is likely the one below it.
		denied := !answered && o.Cause == workloadmeta.CauseDenied
		if o.Result == collection.Failed || o.Result == collection.NotDetected &&
			(denied || meant || o.Cause == workloadmeta.CauseInvalid) {
			e.app.say("%s: %s", o.ID, oneLine(reason))
		}
	}
	if late != nil && slices.ContainsFunc(e.outcomes, func(o collection.Outcome) bool {
		return o.Result == collection.Pending && (!strict || e.asked[o.ID] == "")
	}) {
		e.app.say("%s; the answer is without it", oneLine(late.Error()))
	}
}

// progress says on a terminal what is being waited for, if it takes longer than a second. The
// returned function takes the line away.
func (e *engine) progress() (stop func()) {
	a := e.app
	if a.completing || !isTerminal(a.err) {
		return func() {}
	}
	ended, quit := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for shown := false; ; shown = true {
			select {
			case <-quit:
				if shown {
					fmt.Fprint(a.err, "\r\x1b[K")
				}
				return
			case <-tick.C:
			}
			var pending []string
			for _, s := range e.supervisor.Status() {
				if s.State == collection.StateConnecting || s.State == collection.StateSyncing {
					pending = append(pending, s.ID)
				}
			}
			fmt.Fprintf(a.err, "\r\x1b[Kwaiting for %s …", strings.Join(pending, ", "))
		}
	}()
	return func() { close(quit); <-ended }
}

// close stops everything and waits for it.
func (e *engine) close() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if e.supervisor != nil {
		if err := e.supervisor.Stop(ctx); err != nil {
			e.app.say("%s", oneLine(err.Error()))
		}
	}
	e.local.Close()
	if err := e.tagger.Stop(ctx); err != nil {
		e.app.say("%s", oneLine(err.Error()))
	}
	e.store.Close()
}

// runtimes are the collectors that know containers better than /proc does.
func (e *engine) runtimes() map[string]bool {
	out := map[string]bool{}
	for _, s := range e.supervisor.Status() {
		if s.Source == workloadmeta.SourceRuntime {
			out[s.ID] = true
		}
	}
	return out
}

// missing says why nothing may be known about a kind: the collectors for it that do not work.
func (e *engine) missing(kind workloadmeta.Kind) string {
	if e.supervisor == nil {
		return "it was not there when the recording " + e.app.from + " ended"
	}
	return e.supervisor.Missing(kind)
}
