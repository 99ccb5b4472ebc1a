package process_test

import (
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestModule(t *testing.T) {
	for name, more := range map[string]fx.Option{
		"alone":      fx.Options(),
		"with store": store.Module,
		"configured": fx.Supply(process.Options{StripArgs: true}),
	} {
		t.Run(name, func(t *testing.T) {
			var got []workloadmeta.Collector
			app := fxtest.New(t, process.Module, more, fx.Invoke(fx.Annotate(
				func(c []workloadmeta.Collector) { got = c }, fx.ParamTags(`group:"collectors"`))))
			app.RequireStart()
			defer app.RequireStop()
			if len(got) != 1 || got[0].Describe().ID != process.ID {
				t.Fatalf("collectors %v", got)
			}
			if _, ok := got[0].(workloadmeta.Puller); !ok {
				t.Error("it cannot be pulled")
			}
		})
	}
}
