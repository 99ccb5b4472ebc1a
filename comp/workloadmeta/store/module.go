package store

import (
	"context"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Module provides a [*Store], also as [workloadmeta.Component] and [workloadmeta.Writer].
// Supply [Options] to tune it. Its subscriptions end when the application stops.
var Module = fx.Module("workloadmeta/store",
	fx.Provide(fx.Annotate(provide, fx.As(fx.Self()), fx.As(new(workloadmeta.Component)),
		fx.As(new(workloadmeta.Writer)))),
)

type params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Options   Options `optional:"true"`
}

func provide(p params) *Store {
	s := New(p.Options)
	p.Lifecycle.Append(fx.Hook{OnStop: func(context.Context) error {
		s.Close()
		return nil
	}})
	return s
}
