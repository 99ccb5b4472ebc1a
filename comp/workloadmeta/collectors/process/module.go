package process

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Module adds the process collector to the group "collectors". Supply [Options] to
// tune it. It logs to the application's *slog.Logger if there is one.
var Module = fx.Module("workloadmeta/collectors/process",
	fx.Provide(fx.Annotate(provide, fx.As(new(workloadmeta.Collector)),
		fx.ResultTags(`group:"collectors"`))),
)

type params struct {
	fx.In

	Options Options      `optional:"true"`
	Log     *slog.Logger `optional:"true"`
}

func provide(p params) *Collector {
	opts := p.Options
	if opts.Log == nil {
		opts.Log = p.Log
	}
	return New(opts)
}
