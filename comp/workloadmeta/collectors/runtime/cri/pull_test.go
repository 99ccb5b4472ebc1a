package cri

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	created = runtimeapi.ContainerState_CONTAINER_CREATED
	running = runtimeapi.ContainerState_CONTAINER_RUNNING
	exited  = runtimeapi.ContainerState_CONTAINER_EXITED
	unknown = runtimeapi.ContainerState_CONTAINER_UNKNOWN
)

// Issue 25 of the specification: CRI-O logs every call, and calls for each container have filled
// disks.
func TestBug25SteadyStateCostsTwoCalls(t *testing.T) {
	f := newFake()
	for i := range 100 {
		f.add(i, running)
	}
	c := newCollector(t, f.socket(t), nil)
	if a := c.pull(); len(a.containers) != 100 || len(a.images) != 1 {
		t.Fatalf("%d containers, %d images", len(a.containers), len(a.images))
	}
	// Streaming lists, which it has not; Version, two lists, the images' list, one image, and for
	// each container its status and that of its sandbox.
	if n := f.count(""); n != 6+200 {
		t.Errorf("the first pull made %d calls", n)
	}
	lists := 0
	for tick := range 60 {
		a := c.pull()
		images := f.count("ListImages")
		lists += images
		if n := f.count("ListContainers") + f.count("ListPodSandbox"); n != 2 {
			t.Fatalf("pull %d listed %d times", tick, n)
		}
		if n := f.count(""); n != 0 {
			t.Fatalf("pull %d made %d calls beside its lists", tick, n)
		}
		if len(a.containers) != 100 || len(a.images) != 1 {
			t.Fatalf("pull %d: %d containers, %d images", tick, len(a.containers), len(a.images))
		}
	}
	if lists != 5 { // 60 pulls take five minutes
		t.Errorf("images were listed %d times in five minutes", lists)
	}
	for id, asked := range f.statuses {
		if asked != "v" {
			t.Errorf("%s was asked for %q, want one verbose status", id, asked)
		}
	}
}

// Issue 34: a second subscriber takes events away from the kubelet.
func TestBug34EventsAreLeftToTheKubelet(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	c := newCollector(t, f.socket(t), nil)
	c.pull()
	f.remove(id)
	c.pull()
	if n := f.count("GetContainerEvents"); n != 0 {
		t.Errorf("subscribed to events %d times", n)
	}
}

func TestLifeOfAContainer(t *testing.T) {
	f := newFake()
	id := f.add(0, created)
	c := newCollector(t, f.socket(t), nil)
	state := func(s runtimeapi.ContainerState) func(*runtimeapi.Container) {
		return func(k *runtimeapi.Container) { k.State = s }
	}
	f.change(id, state(created), func(s *runtimeapi.ContainerStatus) { s.StartedAt = 0 })
	k := c.pull().containers[id]
	if k == nil || k.State.Status != workloadmeta.StatusCreated || k.State.Running || k.PID != 0 ||
		k.State.ExitCode != nil || !k.State.StartedAt.IsZero() {
		t.Errorf("created: %+v", k)
	}
	f.change(id, state(running), func(s *runtimeapi.ContainerStatus) {
		s.State, s.StartedAt = running, 1795309695562220058
	})
	k = c.pull().containers[id]
	if k.State.Status != workloadmeta.StatusRunning || !k.State.Running || k.PID != 1000 ||
		k.State.ExitCode != nil || k.CgroupPath != "/kubepods/"+id ||
		k.EnvVars["DD_ENV"] != "prod" || len(k.EnvVars) != 1 || k.NetworkIPs["pod"] != "10.0.0.1" ||
		k.Hostname != "pod-c0" || k.Namespace != "default" ||
		k.State.StartedAt.IsZero() || !k.State.FinishedAt.IsZero() {
		t.Errorf("running: %+v", k)
	}
	c.pull()
	f.change(id, state(exited), func(s *runtimeapi.ContainerStatus) {
		s.State, s.FinishedAt, s.ExitCode, s.Reason = exited, 1795309699000000000, 137, "OOMKilled"
	})
	k = c.pull().containers[id]
	if k.State.Status != workloadmeta.StatusStopped || k.State.Running || k.PID != 0 ||
		k.State.ExitCode == nil || *k.State.ExitCode != 137 ||
		!k.State.OOMKilled || k.State.FinishedAt.IsZero() || k.EnvVars["DD_ENV"] != "prod" ||
		len(k.NetworkIPs) != 0 {
		t.Errorf("exited: %+v", k)
	}
	for range 3 {
		if c.pull().containers[id] != k {
			t.Error("an exited container is not kept as it was")
		}
	}
	if got := f.asked(id); got != "svs" {
		t.Errorf("statuses asked for: %q, want a short one, a verbose one and a short one", got)
	}
	f.remove(id)
	if a := c.pull(); len(a.containers) != 0 || len(c.containers) != 0 || a.gone[id] != k {
		t.Errorf("a container that is not listed any more: %v, %+v", a.containers, a.gone[id])
	}
	if a := c.pull(); len(a.gone) != 0 {
		t.Errorf("its end was told twice: %v", a.gone)
	}
}

// A container that ends and is removed between two pulls does not run in its last view, and has no
// made-up exit code.
func TestEndThatNobodySaw(t *testing.T) {
	f := newFake()
	id, pause := f.add(0, running), f.add(1, running)
	f.change(pause, func(*runtimeapi.Container) {}, func(s *runtimeapi.ContainerStatus) {
		s.Image.Image = "registry.k8s.io/pause:3.9"
	})
	c := newCollector(t, f.socket(t), nil)
	before := c.pull().containers[id]
	f.remove(id)
	f.remove(pause)
	f.with(func() {
		f.before = func(_ context.Context, m, _ string) error {
			if m == "ListPodSandbox" {
				return status.Error(codes.Internal, "no")
			}
			return nil
		}
	})
	if _, err := c.tryPull(); err == nil {
		t.Error("no error")
	}
	f.with(func() { f.before = nil })
	a := c.pull()
	k := a.gone[id]
	if k == nil || len(a.gone) != 1 || k.State.Running ||
		k.State.Status != workloadmeta.StatusStopped || k.PID != 0 || k.State.ExitCode != nil ||
		k.Name != "c0" || k.EnvVars["DD_ENV"] != "prod" {
		t.Errorf("%+v", a.gone)
	}
	if !before.State.Running || before.PID == 0 {
		t.Error("an entity that was handed over was written to")
	}
}

// A new value of each part of the signature costs one status, anything else none.
func TestOnlyChangesCostAStatus(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	c := newCollector(t, f.socket(t), nil)
	c.pull()
	f.count("")
	for _, tc := range []struct {
		name   string
		change func(*runtimeapi.Container)
		want   int
	}{
		{"restart count", func(k *runtimeapi.Container) {
			k.Annotations = map[string]string{"io.kubernetes.container.restartCount": "1"}
		}, 1},
		{"image reference", func(k *runtimeapi.Container) { k.ImageRef = "example.test/app@" + sharedImage }, 1},
		{"time of creation", func(k *runtimeapi.Container) { k.CreatedAt++ }, 1},
		{"another annotation", func(k *runtimeapi.Container) { k.Annotations["x"] = "y" }, 0},
		{"nothing", func(*runtimeapi.Container) {}, 0},
	} {
		f.change(id, tc.change, nil)
		c.pull()
		if n := f.count("ContainerStatus"); n != tc.want {
			t.Errorf("%s: %d statuses, want %d", tc.name, n, tc.want)
		}
		f.count("")
	}
}

// The status is newer than the list: a container that has ended in between needs no second one.
func TestStatusIsNewerThanTheList(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	f.change(id, func(*runtimeapi.Container) {}, func(s *runtimeapi.ContainerStatus) {
		s.State, s.ExitCode = exited, 3
	})
	c := newCollector(t, f.socket(t), nil)
	k := c.pull().containers[id]
	if k.State.Running || k.State.ExitCode == nil || *k.State.ExitCode != 3 ||
		k.EnvVars["DD_ENV"] != "prod" {
		t.Errorf("%+v", k)
	}
	f.change(id, func(k *runtimeapi.Container) { k.State = exited }, nil)
	if c.pull().containers[id] != k || f.asked(id) != "v" {
		t.Errorf("statuses asked for: %q", f.asked(id))
	}
}

func TestFailedListsChangeNothing(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	c := newCollector(t, f.socket(t), nil)
	before := c.pull().containers[id]
	for _, method := range []string{"ListContainers", "ListPodSandbox"} {
		f.with(func() {
			f.before = func(_ context.Context, m, _ string) error {
				if m == method {
					return status.Error(codes.Unavailable, "server is not initialized yet")
				}
				return nil
			}
		})
		a, err := c.tryPull()
		if err == nil || !strings.Contains(err.Error(), "server is not initialized yet") ||
			!strings.HasPrefix(err.Error(), "list the ") ||
			strings.Contains(err.Error(), "rpc error") {
			t.Errorf("%s fails: %v", method, err)
		}
		if len(a.containers) != 0 {
			t.Errorf("%s fails, and a part was reported", method)
		}
	}
	f.with(func() { f.before = nil })
	f.count("")
	if c.pull().containers[id] != before {
		t.Error("after the failures it is another entity")
	}
	if n := f.count("Version"); n != 1 {
		t.Errorf("the runtime was asked %d times who it is after a failure", n)
	}
	if n := f.count("ContainerStatus") + f.count("PodSandboxStatus"); n != 0 {
		t.Errorf("%d statuses were asked for again", n)
	}
}

func TestStatusThatFails(t *testing.T) {
	f := newFake()
	bad, good := f.add(0, running), f.add(1, running)
	badSandbox := f.containers[0].PodSandboxId
	failing := true
	f.before = func(_ context.Context, _, id string) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if failing && (id == bad || id == badSandbox || id == sharedImage) {
			return status.Error(codes.Unknown, "no such thing: hunter")
		}
		return nil
	}
	var log bytes.Buffer
	c := newCollector(t, f.socket(t), func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	a := c.pull()
	if k := a.containers[bad]; k == nil || k.Name != "c0" || !k.State.Running || k.Owner == nil ||
		k.Image.ID != sharedImage || k.Namespace != "default" || k.State.CreatedAt.IsZero() {
		t.Errorf("what only the list tells: %+v", k)
	}
	if k := a.containers[good]; k == nil || k.PID == 0 || k.NetworkIPs["pod"] == "" {
		t.Errorf("the other: %+v", k)
	}
	if i := a.images[sharedImage]; i == nil || len(i.RepoTags) != 1 || i.OS != "" {
		t.Errorf("image that only the list tells of: %+v", i)
	}
	// containers and sandboxes, then images
	if n := strings.Count(log.String(), "level=WARN"); n != 1+1 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	if s := c.Stats(); s.Unanswered != 2 { // the container and the image
		t.Errorf("unanswered = %d", s.Unanswered)
	}
	// Asked again at the next pull, then ever more rarely, up to once in five minutes.
	asked := func(pulls int) int {
		f.with(func() { f.statuses[bad] = "" })
		for range pulls {
			c.pull()
		}
		return len(f.asked(bad))
	}
	if n := asked(1); n != 1 {
		t.Errorf("asked %d times by the second pull", n)
	}
	if n := asked(120); n < 4 || n > 8 { // ten minutes
		t.Errorf("asked %d times in ten minutes", n)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings for failures that go on", n)
	}
	f.with(func() { failing = false })
	if n := asked(61); n != 1 {
		t.Errorf("asked %d times after it was repaired", n)
	}
	a = c.pull()
	if k := a.containers[bad]; k.PID != 1000 || k.NetworkIPs["pod"] == "" ||
		a.images[sharedImage].OS != "linux" {
		t.Errorf("after it was repaired: %+v", k)
	}
}

// Issue 14: a container that is removed between the list and its status is normal, and nothing to
// write about.
func TestBug14RemovedSinceItWasListed(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	f.with(func() { delete(f.status, id) })
	var log bytes.Buffer
	c := newCollector(t, f.socket(t), func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	if k := c.pull().containers[id]; k == nil || k.Name != "c0" || k.PID != 0 {
		t.Errorf("%+v", k)
	}
	f.remove(id)
	if a := c.pull(); a.gone[id] == nil || log.Len() != 0 {
		t.Errorf("%v; logged: %s", a.gone, log.String())
	}
}

// The end of a container whose last status fails is told all the same, without an exit code rather
// than with a wrong one.
func TestEndWithoutAStatus(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	c := newCollector(t, f.socket(t), nil)
	c.pull()
	f.change(id, func(k *runtimeapi.Container) { k.State = exited }, nil)
	f.with(func() {
		f.before = func(_ context.Context, m, _ string) error {
			if m == "ContainerStatus" {
				return status.Error(codes.Internal, "no")
			}
			return nil
		}
	})
	k := c.pull().containers[id]
	if k.State.Running || k.State.Status != workloadmeta.StatusStopped || k.PID != 0 ||
		k.State.ExitCode != nil || k.EnvVars["DD_ENV"] != "prod" || k.State.StartedAt.IsZero() {
		t.Errorf("%+v", k)
	}
}

// Issues 5 and 42: one container that hangs delays and loses nothing else.
func TestStatusThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for i := range 50 {
			f.add(i, running)
		}
		hung := f.containers[7].Id
		f.before = func(ctx context.Context, _, id string) error {
			if id == hung {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		const wait = time.Second
		c := newInMemory(t, f, func(o *Options) { o.StatusWait, o.CallTimeout = wait, wait })
		begin := time.Now()
		a := c.pull()
		if took := time.Since(begin); took != wait {
			t.Errorf("the pull took %v", took)
		}
		for id, k := range a.containers {
			if id == hung && (k.PID != 0 || !k.State.Running || k.Name != "c7") || id != hung &&
				k.PID == 0 {
				t.Errorf("%s: %+v", id, k)
			}
		}
		if len(a.containers) != 50 {
			t.Errorf("%d containers", len(a.containers))
		}
		c.pull() // it is asked for once more
		f.count("")
		begin = time.Now()
		c.pull() // and not now
		if took, n := time.Since(begin), f.count("ContainerStatus"); took != 0 || n != 0 {
			t.Errorf("the third pull took %v and asked %d times", took, n)
		}
		if f.crowd() > 4 {
			t.Errorf("%d statuses at the same time", f.crowd())
		}
	})
}

// A runtime that is slow with everything is reported from its lists and asked for a bit more by
// each pull.
func TestSlowStatusesComeBitByBit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for i := range 20 {
			f.add(i, running)
		}
		f.before = func(_ context.Context, _, id string) error {
			if id != "" {
				time.Sleep(20 * time.Millisecond)
			}
			return nil
		}
		c := newInMemory(t, f, func(o *Options) {
			o.StatusWait, o.Workers = 100*time.Millisecond, 2
		})
		full := func(a *answer) (n int) {
			for _, k := range a.containers {
				if k.PID != 0 && len(k.NetworkIPs) > 0 {
					n++
				}
			}
			return n
		}
		a := c.pull()
		if len(a.containers) != 20 || full(a) == 20 {
			t.Fatalf("first pull: %d containers, %d of them full", len(a.containers), full(a))
		}
		for range 20 {
			a = c.pull()
		}
		if full(a) != 20 {
			t.Errorf("after many pulls only %d are full", full(a))
		}
	})
}

func TestUnimplemented(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	f.before = func(context.Context, string, string) error {
		return status.Error(codes.Unimplemented, "unknown service runtime.v1.RuntimeService")
	}
	c := newCollector(t, f.socket(t), nil)
	_, err := c.tryPull()
	if !errors.Is(err, errNoCRI) ||
		workloadmeta.CauseOf(err) != workloadmeta.CauseUnsupported ||
		!strings.Contains(workloadmeta.ProblemOf(err).Hint,
			"containerd needs to be 1.6 or later") ||
		!strings.Contains(workloadmeta.ProblemOf(err).Hint, "CRI-O 1.23") ||
		!strings.Contains(err.Error(), "unknown service runtime.v1.RuntimeService") {
		t.Errorf("error = %v", err)
	}
	f.with(func() { f.before = nil }) // somebody has configured it
	if k := c.pull().containers[id]; k == nil || k.Runtime != workloadmeta.RuntimeCRIO {
		t.Errorf("%+v", k)
	}
}

func TestSocketReplaced(t *testing.T) {
	old := newFake()
	kept := old.add(0, running)
	old.add(1, running)
	path := filepath.Join(t.TempDir(), "cri.sock")
	stop := old.serve(t, path)
	c := newCollector(t, path, nil)
	before := c.pull().containers[kept]
	stop()
	_, err := c.tryPull()
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("nobody answers: %v", err)
	}
	if strings.Contains(err.Error(), "rpc error") || strings.Contains(err.Error(), "transport") {
		t.Errorf("the error is the library's: %v", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	renewed := newFake()
	renewed.add(0, running)
	third := renewed.add(2, running)
	stop = renewed.serve(t, path)
	a := c.pull()
	if a.containers[kept] != before || len(a.containers) != 2 || a.containers[third] == nil {
		t.Errorf("after a restart: %v", a.containers)
	}
	if renewed.asked(kept) != "" {
		t.Errorf("a container that is known was asked for %q", renewed.asked(kept))
	}

	// Replaced between two pulls, without a failure in between, by another runtime.
	other := newFake()
	other.version.RuntimeName = "Docker"
	id := other.add(3, running)
	moved := filepath.Join(filepath.Dir(path), "new.sock")
	other.serve(t, moved)
	if err := os.Rename(moved, path); err != nil {
		t.Fatal(err)
	}
	if k := c.pull().containers[id]; k == nil || k.Runtime != workloadmeta.RuntimeDocker {
		t.Errorf("the runtime at the new socket: %+v", k)
	}
	stop()
}

// Acceptance 20: an unresponsive runtime does not hold up the end.
func TestPullEndsWithItsContext(t *testing.T) {
	for _, method := range []string{"Version", "ListContainers", "ListPodSandbox",
		"ContainerStatus", "PodSandboxStatus", "ListImages", "ImageStatus"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.add(0, running)
				reached := make(chan struct{}, 10)
				f.before = func(ctx context.Context, m, _ string) error {
					if m == method {
						reached <- struct{}{}
						<-ctx.Done()
					}
					return nil
				}
				c := newInMemory(t, f, func(o *Options) {
					o.CallTimeout, o.StatusWait = time.Hour, time.Hour
				})
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				done := make(chan error, 1)
				a := &answer{}
				go func() { done <- c.Pull(ctx, a) }()
				<-reached
				why := errors.New("enough")
				cancel(why)
				select {
				case err := <-done:
					if !errors.Is(err, why) {
						t.Errorf("error = %v", err)
					}
				case <-time.After(time.Second):
					t.Fatal("Pull goes on")
				}
			})
		})
	}
}

func TestCallsTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.before = func(ctx context.Context, _, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}
		c := newInMemory(t, f, func(o *Options) { o.CallTimeout = 50 * time.Millisecond })
		_, err := c.tryPull()
		if !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "no answer within 50ms") {
			t.Errorf("error = %v", err)
		}
		f.with(func() { f.before = nil })
		c.opts.CallTimeout = 5 * time.Second
		c.pull()
	})
}

// A runtime, or somebody in its place, may leave out whatever it likes.
func TestHalfLists(t *testing.T) {
	f := newFake()
	whole := f.add(0, running)
	f.containers = append(f.containers, &runtimeapi.Container{}, &runtimeapi.Container{Id: "bare"},
		f.containers[0],
		&runtimeapi.Container{Id: "odd", State: 99, CreatedAt: -1, ImageRef: "@",
			PodSandboxId: "nowhere",
			Annotations: map[string]string{mapping.AnnotationRestarts: "-5",
				mapping.AnnotationPorts: "{"}})
	f.sandboxes = append(f.sandboxes, &runtimeapi.PodSandbox{}, &runtimeapi.PodSandbox{Id: "empty"})
	f.images = append(f.images, &runtimeapi.Image{}, &runtimeapi.Image{Id: "x"})
	f.status["bare"] = &runtimeapi.ContainerStatusResponse{} // no status in it
	f.status["odd"] = &runtimeapi.ContainerStatusResponse{
		Status: &runtimeapi.ContainerStatus{State: 99, StartedAt: -6795364578871345152}}
	c := newCollector(t, f.socket(t), nil)
	a := c.pull()
	if len(a.containers) != 3 || a.containers[whole].PID == 0 {
		t.Errorf("%v", a.containers)
	}
	if k := a.containers["bare"]; k == nil || k.State.Status != workloadmeta.StatusCreated {
		t.Errorf("bare: %+v", k)
	}
	if k := a.containers["odd"]; k == nil || k.State.Status != workloadmeta.StatusUnknown ||
		!k.State.CreatedAt.IsZero() || !k.State.StartedAt.IsZero() || k.RestartCount != 0 ||
		k.Ports != nil {
		t.Errorf("odd: %+v", k)
	}
	if s := c.Stats(); s.DecodeErrors != 3 {
		t.Errorf("what could not be read was counted %d times", s.DecodeErrors)
	}
}

func TestSandboxesAreNotReported(t *testing.T) {
	f := newFake()
	pause, odd := f.add(0, running), f.add(1, running)
	f.change(pause, func(k *runtimeapi.Container) {}, func(s *runtimeapi.ContainerStatus) {
		s.Image.Image = "registry.k8s.io/pause:3.9"
	})
	f.change(odd, func(k *runtimeapi.Container) {
		k.Labels = map[string]string{"io.kubernetes.docker.type": "podsandbox"}
	}, nil)
	socket := f.socket(t)
	if a := newCollector(t, socket, nil).pull(); len(a.containers) != 0 {
		t.Errorf("%v", a.containers)
	}
	if f.asked(odd) != "" {
		t.Error("a sandbox was asked for")
	}
	a := newCollector(t, socket, func(o *Options) { o.KeepPause = true }).pull()
	if len(a.containers) != 1 || a.containers[pause] == nil {
		t.Errorf("KeepPause: %v", a.containers)
	}
}

// Acceptance 19: a panic in a decoder is counted and logged once, and costs its own object its
// details.
func TestPanicInADecoder(t *testing.T) {
	f := newFake()
	bad, good := f.add(0, running), f.add(1, running)
	var log bytes.Buffer
	c := newCollector(t, f.socket(t), func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	c.decodeContainer = func(info map[string]string, o *Options) (detail, error) {
		if strings.Contains(info["info"], bad) {
			panic("unheard of")
		}
		return decodeContainer(info, o)
	}
	c.decodeImage = func(map[string]string, *Options) (imageDetail, error) { panic("unheard of") }
	for range 10 {
		a := c.pull()
		if len(a.containers) != 2 || a.containers[good].PID == 0 || a.containers[bad].PID != 0 ||
			!a.containers[bad].State.Running || len(a.images) != 1 {
			t.Fatalf("%v", a.containers)
		}
	}
	if s := c.Stats(); s.DecodePanics < 2 {
		t.Errorf("%d panics", s.DecodePanics)
	}
	if n := strings.Count(log.String(), "unheard of"); n != 2 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}

// Acceptance 14: only listed variables are kept.
func TestSecretsStayOut(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	f.change(id, func(k *runtimeapi.Container) {
		k.Annotations = map[string]string{
			"kubectl.kubernetes.io/last-applied-configuration": "hunter2", "a": "b"}
		k.Labels["annotation.kubectl.kubernetes.io/last-applied-configuration"] = "hunter2"
	}, nil)
	text := `{"pid":7,"config":{"envs":[{"key":"TOKEN","value":"hunter2"},{"key":"DD_SERVICE","value":"web"}],"command":["hunter2"],
		"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2"}},
		"runtimeSpec":{"process":{"env":["DB=hunter2","=hunter2","hunter2","DD_ENV=prod","DD_SERVICE=web"],"args":["--p=hunter2"]}}}`
	f.status[id].Info = map[string]string{"info": text, "other": "hunter2"}
	f.imageStatuses[sharedImage].Info = map[string]string{"info": `{"imageSpec":{"config":{"Env":["A=hunter2"],"Cmd":["hunter2"]},"rootfs":{"diff_ids":["sha256:a"]},
		"history":[{"created_by":"RUN |1 TOKEN=hunter2 /bin/sh -c make"}]}}`}
	var log bytes.Buffer
	c := newCollector(t, f.socket(t), func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	a := c.pull()
	// What cannot be read is not quoted either.
	f.add(1, running)
	f.status[f.containers[1].Id].Info["info"] = `{"pid":1,"env":"hunter2"`
	b := c.pull()
	whole, err := json.Marshal(map[string]any{"a": a.containers, "b": b.containers, "i": a.images,
		"s": c.Stats()})
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"entities": string(whole), "log": log.String()} {
		if len(text) == 0 || strings.Contains(text, "hunter") {
			t.Errorf("%s: %s", what, text)
		}
	}
	if k := a.containers[id]; k.EnvVars["DD_ENV"] != "prod" || k.EnvVars["DD_SERVICE"] != "web" ||
		k.Annotations["a"] != "b" {
		t.Errorf("%+v", k)
	}
	if s := c.Stats(); s.DecodeErrors != 1 || b.containers[f.containers[1].Id].PID != 0 {
		t.Errorf("%d decode errors", s.DecodeErrors)
	}
}

func TestOnePullAtATime(t *testing.T) {
	f := newFake()
	reached, release := make(chan struct{}), make(chan struct{})
	f.before = func(_ context.Context, m, _ string) error {
		if m == "Version" {
			close(reached)
			<-release
		}
		return nil
	}
	c := newCollector(t, f.socket(t), nil)
	done := make(chan error, 1)
	go func() { done <- c.Pull(t.Context(), &answer{}) }()
	<-reached
	if err := c.Pull(t.Context(), &answer{}); err == nil ||
		!strings.Contains(err.Error(), "running already") {
		t.Errorf("second pull: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Only sandboxes that have a container and addresses are asked for.
func TestSandboxesThatAreNotAskedFor(t *testing.T) {
	f := newFake()
	ended := f.add(0, exited)
	f.sandboxes[0] = &runtimeapi.PodSandbox{Id: f.sandboxes[0].Id,
		State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY}
	f.sandboxes = append(f.sandboxes, &runtimeapi.PodSandbox{Id: "still-empty"})
	c := newCollector(t, f.socket(t), nil)
	if a := c.pull(); a.containers[ended] == nil {
		t.Errorf("%v", a.containers)
	}
	if n := f.count("PodSandboxStatus"); n != 0 {
		t.Errorf("%d sandboxes were asked for", n)
	}
}

// What has failed before is asked for after everything else, or it would take the others' time
// again.
func TestWhatFailedComesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		hung := f.add(0, running)
		f.before = func(ctx context.Context, _, id string) error {
			if id == hung {
				<-ctx.Done()
			}
			return nil
		}
		c := newInMemory(t, f, func(o *Options) {
			o.Workers, o.StatusWait, o.CallTimeout = 1, 500*time.Millisecond, 500*time.Millisecond
		})
		c.pull()
		for i := 1; i < 6; i++ {
			f.add(i, running)
		}
		for id, k := range c.pull().containers {
			if id != hung && k.PID == 0 {
				t.Errorf("%s waits for one that hangs", id)
			}
		}
	})
}

// A new socket may get the old one's inode.
func TestSocketWithTheSameInode(t *testing.T) {
	f := newFake()
	path := f.socket(t)
	c := newCollector(t, path, nil)
	c.pull()
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	f.count("")
	c.pull()
	if n := f.count("Version"); n != 1 {
		t.Errorf("the runtime was asked %d times who it is", n)
	}
}
