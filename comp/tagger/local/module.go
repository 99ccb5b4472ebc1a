package local

import (
	"log/slog"
	"reflect"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Module provides a [*Tagger], also as [tagger.Component], that starts and stops with
// the application. It needs a [workloadmeta.Component]; supply [Options] to tune it,
// starting from [DefaultOptions]. Without, or with the zero Options, it has the defaults.
var Module = fx.Module("tagger/local",
	fx.Provide(fx.Annotate(provide, fx.As(fx.Self()), fx.As(new(tagger.Component)))),
	fx.Invoke(func(*Tagger) {}), // it has to follow the store whether or not somebody asks for it
)

type params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Store     workloadmeta.Component
	Options   Options             `optional:"true"`
	OnMiss    workloadmeta.OnMiss `optional:"true"`
	Log       *slog.Logger        `optional:"true"`
}

func provide(p params) (*Tagger, error) {
	opts := p.Options
	if reflect.ValueOf(opts).IsZero() {
		opts = DefaultOptions()
	}
	if opts.OnMiss == nil {
		opts.OnMiss = p.OnMiss
	}
	if explainer, ok := p.OnMiss.(interface {
		Missing(kind workloadmeta.Kind, resource string) string
	}); ok && opts.Missing == nil {
		opts.Missing = explainer.Missing // the supervisor of the collectors knows why
	}
	if opts.Log == nil {
		opts.Log = p.Log
	}
	t, err := New(p.Store, opts)
	if err != nil {
		return nil, err
	}
	p.Lifecycle.Append(fx.Hook{OnStart: t.Start, OnStop: t.Stop})
	return t, nil
}
