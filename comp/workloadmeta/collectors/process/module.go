package process

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Module adds the process collector to the group "collectors". Supply [Options] to
// tune it. If the application has a store (workloadmeta.Component) and the options say
// nothing about Known and Covered, the store is asked. It logs to the application's
// *slog.Logger if there is one.
var Module = fx.Module("workloadmeta/collectors/process",
	fx.Provide(fx.Annotate(provide, fx.As(new(workloadmeta.Collector)),
		fx.ResultTags(`group:"collectors"`))),
)

type params struct {
	fx.In

	Options Options                `optional:"true"`
	Store   workloadmeta.Component `optional:"true"`
	Log     *slog.Logger           `optional:"true"`
}

func provide(p params) *Collector {
	opts := p.Options
	if opts.Log == nil {
		opts.Log = p.Log
	}
	if p.Store != nil {
		if opts.Known == nil {
			opts.Known = KnownTo(p.Store)
		}
		if opts.Covered == nil {
			opts.Covered = CoveredBy(p.Store)
		}
	}
	return New(opts)
}
