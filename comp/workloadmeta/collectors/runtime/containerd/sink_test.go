package containerd

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// start runs the collector until the test ends, and waits until it is synced.
func start(t testing.TB, c *Collector, w *collectortest.World) *collectortest.Run {
	t.Helper()
	before := w.Synced()
	r := collectortest.Start(t, c.Stream, w.Sink())
	t.Cleanup(r.Stop)
	eventually(t, func() string {
		if w.Synced() == before {
			return "not synced"
		}
		return ""
	})
	return r
}

// eventually waits until check returns "".
func eventually(t testing.TB, check func() string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		problem := check()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", problem)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// await waits until a container is there and check is content with it.
func await(t testing.TB, w *collectortest.World, id, what string,
	check func(c *workloadmeta.Container) bool) {
	t.Helper()
	eventually(t, func() string {
		if c := w.Container(id); c == nil || !check(c) {
			return fmt.Sprintf("%s: %#v", what, c)
		}
		return ""
	})
}

// awaitEnd waits for a container's end with an exit code; -1 means it is not known.
func awaitEnd(t testing.TB, w *collectortest.World, id string, code int64) {
	t.Helper()
	eventually(t, func() string {
		c := w.Ended(id)
		if c == nil || w.Container(id) != nil {
			return id + " was told: " + w.History(id)
		}
		if got := c.State.ExitCode; code < 0 && got != nil || code >= 0 &&
			(got == nil || *got != code) {
			return fmt.Sprintf("%s: %#v, want exit code %d", id, c.State, code)
		}
		return ""
	})
}

// newCollector returns a collector for a fake containerd, which is nil if it will not be asked.
func newCollector(t testing.TB, f *fakeContainerd, change func(*Options)) *Collector {
	t.Helper()
	o := Options{Address: "/fake/containerd.sock", Log: slog.New(slog.DiscardHandler),
		ProcRoot: t.TempDir()}
	if f != nil {
		o.Dial = f.dial
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newBackend returns a connection of the collector to its fake.
func newBackend(t testing.TB, c *Collector) *backend {
	t.Helper()
	d, err := newDaemon(c.socket, &c.opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return &backend{daemon: d, shared: c.shared, opts: &c.opts}
}
