package containerd

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// The numbers are those of docs/known-bugs.md, which also names the tests that have other names.

// Known bug #11: where Docker runs, its containerd was found as well, and collected, or complained
// about.
func TestBug11ContainerdBesideDockerAddsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.image("moby", "app:1", "a") // Docker 29 has its images here, too
		for _, id := range []string{"web", "db"} {
			f.container("moby", id, "app:1", nil)
		}
		log := &collectortest.LogCount{From: slog.LevelWarn}
		c, w := newCollector(t, f, func(o *Options) {
			o.Log = slog.New(log)
		}), collectortest.NewWorld()
		if found := c.Detect(t.Context()); found.State != workloadmeta.Detected {
			t.Fatalf("detection = %v", found)
		}
		start(t, c, w) // which waits until it is synced: it holds nobody up
		f.container("moby", "late", "app:1", nil)
		f.send(
			event("moby", "/containers/create", epoch,
				&eventtypes.ContainerCreate{ID: "late", Image: "app:1"}),
			event("moby", "/tasks/start", epoch,
				&eventtypes.TaskStart{ContainerID: "late", Pid: 9}),
			event("moby", "/images/create", epoch, &eventtypes.ImageCreate{Name: "app:1"}),
			exit("moby", "late", "late", 9, 1, epoch.Add(time.Second)),
		)
		// the last event, and a container that is containerd's own
		f.container("default", "own", "", nil)
		f.send(event("default", "/tasks/start", epoch,
			&eventtypes.TaskStart{ContainerID: "own", Pid: 10}))
		await(t, w, "own", "containerd's own container",
			func(*workloadmeta.Container) bool { return true })
		if n, images := w.Count(workloadmeta.KindContainer),
			w.Count(workloadmeta.KindContainerImage); n != 1 || images != 0 {
			t.Errorf("%d containers and %d images, want containerd's own container alone", n,
				images)
		}
		if n := log.N(); n != 0 {
			t.Errorf("%d warnings in the log", n)
		}
	})
}
