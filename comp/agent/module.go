package agent

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// Module provides a whole agent, which starts and stops with the application, and its parts: the
// store, also as [workloadmeta.Component] and [workloadmeta.Writer], the supervisor, the tagger,
// also as [tagger.Component], and the [inspect.Inspector]. Supply [Options]; the application's
// logger and the collectors in its group are taken. Beside telemetry.Module, everything has its
// metrics.
var Module = fx.Module("agent",
	fx.Provide(provide),
	fx.Invoke(func(*Agent) {}), // it must run even if nobody asks for it
)

type params struct {
	fx.In

	Lifecycle  fx.Lifecycle
	Options    Options                  `optional:"true"`
	Log        *slog.Logger             `optional:"true"`
	Collectors []workloadmeta.Collector `group:"collectors"`
}

type result struct {
	fx.Out

	Agent      *Agent
	Store      *store.Store
	Component  workloadmeta.Component
	Writer     workloadmeta.Writer
	Supervisor *collection.Supervisor
	Local      *local.Tagger
	Tagger     tagger.Component
	Inspector  inspect.Inspector
}

func provide(p params) (result, error) {
	opts := p.Options
	opts.Collectors = append(opts.Collectors[:len(opts.Collectors):len(opts.Collectors)],
		p.Collectors...)
	if opts.Log == nil {
		opts.Log = p.Log
	}
	a, err := New(opts)
	if err != nil {
		return result{}, err
	}
	p.Lifecycle.Append(fx.Hook{OnStart: a.Start, OnStop: a.Stop})
	return result{Agent: a, Store: a.store, Component: a.store, Writer: a.store,
		Supervisor: a.collectors, Local: a.tagger, Tagger: a.tagger, Inspector: a.inspect}, nil
}
