package podman

import (
	"log/slog"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"go.uber.org/fx"
)

// Module adds the Podman collector to the group "collectors". Supply [Options] to
// tune it. It logs to the application's *slog.Logger if there is one.
var Module = fx.Module("workloadmeta/collectors/runtime/podman", fx.Provide(
	fx.Annotate(provide, fx.As(new(workloadmeta.Collector)), fx.ResultTags(`group:"collectors"`)),
))

type params struct {
	fx.In

	Options Options      `optional:"true"`
	Log     *slog.Logger `optional:"true"`
}

func provide(p params) (*Collector, error) {
	if p.Options.Log == nil {
		p.Options.Log = p.Log
	}
	return New(p.Options)
}
