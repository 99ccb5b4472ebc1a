package docker_test

import (
	"log/slog"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

func start(t testing.TB, c *docker.Collector, w *collectortest.World) *collectortest.Run {
	return collectortest.Start(t, c.Stream, w.Sink())
}

// newCollector returns a collector for a fake daemon in memory.
func newCollector(t testing.TB, f *fakeDocker, change func(*docker.Options)) *docker.Collector {
	t.Helper()
	o := docker.Options{Host: "unix:///fake.sock", Log: slog.New(slog.DiscardHandler)}
	if f != nil {
		o.Dial = f.dial
	}
	if change != nil {
		change(&o)
	}
	c, err := docker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
