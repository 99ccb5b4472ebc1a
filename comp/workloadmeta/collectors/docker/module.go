package docker

import (
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"go.uber.org/fx"
)

// Module adds the Docker collector to the group "collectors". It takes [Options] from the application if there are any.
var Module = fx.Module("collectors/docker", fx.Provide(
	fx.Annotate(provide, fx.As(new(workloadmeta.Collector)), fx.ResultTags(`group:"collectors"`)),
))

type params struct {
	fx.In

	Options Options `optional:"true"`
}

func provide(p params) (*Collector, error) { return New(p.Options) }
