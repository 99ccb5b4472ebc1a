package podman

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"

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
