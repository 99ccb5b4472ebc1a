package collection

import (
	"fmt"
	"log/slog"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// group is the fx group that collectors are put into.
const group = `group:"collectors"`

// Module provides the supervisor of all collectors in the application, also as
// [workloadmeta.OnMiss], and starts and stops it with the application.
//
// It needs a [workloadmeta.Writer] that is a [Store], and takes a *slog.Logger and
// [Options] if there are any; of the latter it fills in Store, Collectors and, if it is
// missing, Log.
var Module = fx.Module("workloadmeta/collection",
	fx.Provide(fx.Annotate(provide, fx.As(fx.Self()), fx.As(new(workloadmeta.OnMiss)))),
	fx.Invoke(func(*Supervisor) {}), // it must run even if nobody asks for it
)

// AsCollector annotates the constructor of a collector so that [Module] finds what it
// returns:
//
//	var Module = fx.Module("docker", fx.Provide(collection.AsCollector(New)))
func AsCollector(constructor any) any {
	return fx.Annotate(constructor, fx.As(new(workloadmeta.Collector)), fx.ResultTags(group))
}

type params struct {
	fx.In

	Lifecycle  fx.Lifecycle
	Store      workloadmeta.Writer
	Collectors []workloadmeta.Collector `group:"collectors"`
	Options    Options                  `optional:"true"`
	Log        *slog.Logger             `optional:"true"`
}

func provide(p params) (*Supervisor, error) {
	store, ok := p.Store.(Store)
	if !ok {
		return nil, fmt.Errorf(
			"collection: the application's workloadmeta.Writer (%T) is no collection.Store",
			p.Store)
	}
	opts := p.Options
	opts.Store = store
	opts.Collectors = append(opts.Collectors[:len(opts.Collectors):len(opts.Collectors)],
		p.Collectors...)
	if opts.Log == nil {
		opts.Log = p.Log
	}
	s, err := New(opts)
	if err != nil {
		return nil, err
	}
	p.Lifecycle.Append(fx.StartStopHook(s.Start, s.Stop))
	return s, nil
}
