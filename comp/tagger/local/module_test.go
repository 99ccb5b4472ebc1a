package local_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
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

// supervisor is what the collectors' supervisor is for the tagger.
type supervisor struct {
	wm.OnMiss
	why string
}

func (s supervisor) Missing(wm.Kind, string) string { return s.why }

// What the application provides counts where the options say nothing.
func TestModuleTakesWhatThereIs(t *testing.T) {
	var cancel context.CancelFunc // of who waits
	fails := func(with error) onMiss {
		calls := 0
		return func(context.Context, wm.EntityID) error {
			if calls++; calls == 2 { // the first answer has been noted
				cancel()
			}
			return with
		}
	}
	asked, own := errors.New("asked the application's"), errors.New("asked that of the options")
	provided := supervisor{nil, "the application knows why"}
	for name, c := range map[string]struct {
		opts        local.Options
		err         error
		why         string
		appLog, log int // problems that each log is told
	}{
		"nothing": {local.Options{SelfContainerID: "none"}, asked, provided.why, 1, 0},
		"all": {local.Options{
			OnMiss:  fails(own),
			Missing: func(wm.Kind, string) string { return "the options know why" },
		}, own, "the options know why", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			cancel = stop
			provided.OnMiss = fails(asked)
			var appLog, log bytes.Buffer
			if c.log > 0 {
				c.opts.Log = slog.New(slog.NewTextHandler(&log, nil))
			}
			var entities *store.Store
			var tags *local.Tagger
			app := fxtest.New(t, store.Module, local.Module,
				fx.Supply(c.opts, slog.New(slog.NewTextHandler(&appLog, nil))),
				fx.Supply(fx.Annotate(provided, fx.As(new(wm.OnMiss)))),
				fx.Populate(&entities, &tags))
			app.RequireStart()
			w := world{t, entities, tags}
			if x := tags.Explain(c1); !strings.Contains(x.Reason, c.why) {
				t.Errorf("reason %q, want %q in it", x.Reason, c.why)
			}
			if _, _, err := tags.TagWait(ctx, c1, tagger.LowCardinality,
				tagger.Complete); !errors.Is(err, c.err) {
				t.Errorf("TagWait: %v, want %v", err, c.err)
			}
			broken := container("c2", noOne)
			broken.Labels = map[string]string{"com.datadoghq.ad.tags": "no JSON"}
			w.notify(sets(runtime, broken))
			app.RequireStop()
			if a, l := strings.Count(appLog.String(), "no tags"), strings.Count(log.String(),
				"no tags"); a != c.appLog || l != c.log {
				t.Errorf("told to the application's log: %d, to its own: %d", a, l)
			}
		})
	}
}
