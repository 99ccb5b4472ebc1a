package podman

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// tags returns the tags of an image, "gone" if it is not there.
func tags(w *collectortest.World, id string) string {
	i := w.Image(id)
	if i == nil {
		return "gone"
	}
	return fmt.Sprint(i.RepoTags)
}

// newTestCollector returns a collector for fakes by their addresses. Addresses without a fake are
// sockets at which nobody answers.
func newTestCollector(t testing.TB, fakes map[string]*fakePodman,
	change func(*Options)) *Collector {
	t.Helper()
	o := Options{Dial: dialer(fakes), Log: slog.New(slog.DiscardHandler)}
	for address := range fakes {
		o.Sockets = append(o.Sockets, address)
	}
	slices.Sort(o.Sockets)
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stream runs the only instance as the supervisor does: again and again, until ctx ends or an
// attempt fails before it was synced.
func (c *Collector) stream(ctx context.Context, sink workloadmeta.Sink) error {
	instances := c.Instances(ctx)
	if len(instances) != 1 {
		return c.Detect(ctx).Err()
	}
	for run := sink.(*collectortest.Sink); ; run = run.Next() {
		noted := &notingSink{Sink: run}
		err := instances[0].(*socket).Stream(ctx, noted)
		if ctx.Err() != nil || !noted.synced {
			return err
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// notingSink knows whether it was synced.
type notingSink struct {
	*collectortest.Sink
	synced bool
}

func (s *notingSink) Synced() { s.synced = true; s.Sink.Synced() }
