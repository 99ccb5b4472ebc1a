package replay

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Module adds the collector to the application. Supply [Options] with a path; without,
// it is off.
var Module = fx.Module("workloadmeta/collectors/replay",
	fx.Provide(collection.AsCollector(provide)))

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
