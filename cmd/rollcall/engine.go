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
		collectors, err := e.collectors()
		if err != nil {
			return nil, err
		}
		e.supervisor, err = collection.New(collection.Options{
			Store: e.store, Collectors: collectors, Enabled: enabled(conf,
				collectors), Log: a.log(),
			Periods: periods(conf, collectors),
		})
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

// enabled returns the switches of the collectors that are linked here.
func enabled(conf *config.Loaded,
	collectors []workloadmeta.Collector) map[string]collection.Switch {
	switches := map[string]collection.Switch{}
	for id, s := range conf.Switches() {
		if slices.ContainsFunc(collectors,
			func(c workloadmeta.Collector) bool { return c.Describe().ID == id }) {
			switches[id] = s
		}
	}
	return switches
}

func periods(conf *config.Loaded, collectors []workloadmeta.Collector) map[string]time.Duration {
	for _, c := range collectors {
		if c.Describe().ID == "process" && conf.Process.Period > 0 {
			return map[string]time.Duration{"process": conf.Process.Period}
		}
	}
	return nil
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
	answered := slices.ContainsFunc(e.outcomes, func(o collection.Outcome) bool {
		return o.Result == collection.Listed && slices.Contains(runtimes[:], o.ID)
	})
	for _, o := range e.outcomes {
		reason := o.Problem.String()
		option, where := e.asked(o.ID)
		if strict && o.Result != collection.Listed && option != "" {
			if o.Result == collection.Pending {
				reason = fmt.Sprintf("no answer within %s (--timeout)", e.app.timeout)
			}
			e.app.say("%s: %s (%s is set %s)", o.ID, oneLine(reason), option, where)
			e.app.incomplete = true
			continue
		}
		meant := o.ID == "docker" && e.app.getenv("DOCKER_HOST") != "" &&
			e.conf.Collectors.Docker != collection.Off
		// Where one runtime answers, another that does not let us in is likely the one below it.
		denied := !answered && o.Cause == workloadmeta.CauseDenied
		if o.Result == collection.Failed || o.Result == collection.NotDetected &&
			(denied || meant) {
			e.app.say("%s: %s", o.ID, oneLine(reason))
		}
	}
	if late != nil && slices.ContainsFunc(e.outcomes, func(o collection.Outcome) bool {
		option, _ := e.asked(o.ID)
		return o.Result == collection.Pending && (!strict || option == "")
	}) {
		e.app.say("%s; the answer is without it", oneLine(late.Error()))
	}
}

// asked returns the option by which somebody has asked for this collector by name, and where it is
// set, so that its absence is an error.
func (e *engine) asked(id string) (option, where string) {
	if e.conf.Switches()[id] == collection.Off {
		return "", ""
	}
	for _, name := range addressOptions[id] {
		if from, ok := e.conf.From[name]; ok &&
			(name != "cri_socket_path" || e.criAddress(id) != "") {
			return name, "by " + from
		}
	}
	if name := "collectors." + id; e.conf.Switches()[id] == collection.On {
		return name, "to on by " + e.conf.From[name]
	}
	return "", ""
}

// addressOptions are the options that say where a collector's source is.
var addressOptions = map[string][]string{
	"docker": {"docker.host"}, "containerd": {"containerd.address", "cri_socket_path"},
	"podman": {"podman.sockets"}, "cri": {"cri_socket_path"},
}

// criAddress returns the address that cri_socket_path gives to a collector: containerd has one of
// its own.
func (e *engine) criAddress(id string) string {
	path := e.conf.CRISocketPath
	if path == "" && id == "cri" && e.conf.Collectors.CRI == collection.On {
		return e.conf.Containerd.Address // who asks for both means the same daemon
	}
	native := strings.Contains(path, "containerd") && e.conf.Collectors.CRI != collection.On
	if native == (id == "containerd") {
		return path
	}
	return ""
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
var runtimes = [...]string{"docker", "containerd", "containerd-k8s", "podman", "cri"}

// missing says why nothing may be known about a kind: the collectors for it that do not work.
func (e *engine) missing(kind workloadmeta.Kind) string {
	if e.supervisor == nil {
		return "it was not there when the recording " + e.app.from + " ended"
	}
	return e.supervisor.Missing(kind)
}
