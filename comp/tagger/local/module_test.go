package local_test

import (
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/tagger/local"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestModule(t *testing.T) {
	custom := local.Options{
		Extract: extract.Options{KubernetesPodLabelsAsTags: map[string]string{"team": "team"}}}
	for name, c := range map[string]struct {
		options fx.Option
		want    string
	}{
		"alone":      {fx.Options(), "persistentvolumeclaim:data"},
		"zero":       {fx.Supply(local.Options{}), "persistentvolumeclaim:data"},
		"configured": {fx.Supply(custom), "team:cart"},
	} {
		t.Run(name, func(t *testing.T) {
			var entities *store.Store
			var tags *local.Tagger
			app := fxtest.New(t, store.Module, local.Module, c.options,
				fx.Populate(&entities, &tags))
			app.RequireStart()
			defer app.RequireStop()
			w := world{t, entities, tags}
			p := pod("p1")
			p.Labels = map[string]string{"team": "cart"}
			p.Owners = []wm.KubernetesPodOwner{{Kind: "StatefulSet", Name: "db"}}
			p.PersistentVolumeClaimNames = []string{"data"}
			w.notify(sets(kubelet, p))
			w.has(name, p1, tagger.Complete, c.want)
		})
	}
}
