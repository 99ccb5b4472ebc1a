package cri

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// containerdLimit is containerd's default limit of a message.
const containerdLimit = 16 << 20

// crowd returns a fake with n containers, in sandboxes of ten, each with as much to say of itself
// as a container of a real pod.
func crowd(n int, state func(i int) runtimeapi.ContainerState) *fakeCRI {
	f := newFake()
	f.limit = containerdLimit
	note := strings.Repeat("x", 1000)
	for i := range n {
		sandbox := fmt.Sprintf("%064x", 1<<32+i/10)
		f.containers = append(f.containers, &runtimeapi.Container{
			Id: fmt.Sprintf("%064x", i+1), PodSandboxId: sandbox, State: state(i),
			Metadata: &runtimeapi.ContainerMetadata{Name: fmt.Sprint("c", i)},
			Image:    &runtimeapi.ImageSpec{Image: sharedImage}, ImageRef: sharedImage,
			CreatedAt:   int64(1795309695562220057 + i),
			Labels:      map[string]string{"io.kubernetes.pod.namespace": "default"},
			Annotations: map[string]string{"example.test/note": note},
		})
		if i%10 == 0 {
			f.sandboxes = append(f.sandboxes, &runtimeapi.PodSandbox{Id: sandbox,
				Metadata: &runtimeapi.PodSandboxMetadata{Name: fmt.Sprint("p", i),
					Namespace: "default"}})
		}
	}
	return f
}

func allRunning(int) runtimeapi.ContainerState { return running }

// listsOnly keeps a pull from asking for the statuses of thousands of containers.
func listsOnly(o *Options) { o.StatusWait, o.NoImages = time.Nanosecond, true }

// A list of 20,000 containers has 24 MiB, which containerd does not send in one message.
func TestListsThatDoNotFit(t *testing.T) {
	const n = 20_000
	half := func(i int) runtimeapi.ContainerState {
		if i%2 == 0 {
			return exited
		}
		return running
	}
	for _, tc := range []struct {
		name  string
		state func(int) runtimeapi.ContainerState
		// streams says that the runtime has streaming lists.
		streams bool
		calls   map[string]int // of a pull, once it is known what fits
		// part fails in the course of the test.
		method, part string
	}{
		{"streamed", allRunning, true,
			map[string]int{"StreamContainers": 1, "StreamPodSandboxes": 1}, "StreamPodSandboxes", ""},
		{"by state", half, false,
			map[string]int{"ListContainers": 4, "ListPodSandbox": 1}, "ListContainers",
			"CONTAINER_EXITED"},
		{"by sandbox", allRunning, false,
			map[string]int{"ListContainers": n / 10, "ListPodSandbox": 1}, "ListContainers",
			fmt.Sprintf("%064x", 1<<32+n/20)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := crowd(n, tc.state)
			f.streams = tc.streams
			c := newCollector(t, f.socket(t), listsOnly)
			pull := func() (*answer, error) {
				c.clock = c.clock.Add(time.Hour) // long enough to list by sandbox again
				return c.tryPull()
			}
			if a, err := pull(); err != nil || len(a.containers) != n {
				t.Fatalf("%d containers, %v", len(a.containers), err)
			}
			f.count("ContainerStatus")
			f.count("")
			if a, err := pull(); err != nil || len(a.containers) != n {
				t.Fatalf("the second pull: %d containers, %v", len(a.containers), err)
			}
			for method, want := range tc.calls {
				if got := f.count(method); got != want {
					t.Errorf("%s was called %d times, want %d", method, got, want)
				}
			}
			f.with(func() {
				f.before = func(_ context.Context, method, about string) error {
					if method == tc.method && about == tc.part {
						return status.Error(codes.Unavailable, "not now")
					}
					return nil
				}
			})
			gone := f.containers[n-1].Id
			f.remove(gone)
			if a, err := pull(); err == nil || len(a.containers)+len(a.gone) != 0 {
				t.Errorf("with a part that fails: %v, %d containers, %d ends", err,
					len(a.containers), len(a.gone))
			}
			f.with(func() { f.before = nil })
			a, err := pull()
			if err != nil || len(a.containers) != n-1 || len(a.gone) != 1 || a.gone[gone] == nil {
				t.Errorf("afterwards: %v, %d containers, %d ends", err, len(a.containers),
					len(a.gone))
			}
		})
	}
}

// Once there are few containers, one question for all of them does.
func TestListsAreWholeAgainWhenTheyFit(t *testing.T) {
	f := crowd(60, allRunning)
	f.limit = 20_000 // some 17 containers
	c := newCollector(t, f.socket(t), listsOnly)
	pull := func() int {
		c.clock = c.clock.Add(time.Hour)
		f.count("")
		c.pull()
		return f.count("ListContainers")
	}
	pull()
	if n := pull(); n != 6 { // sandboxes
		t.Fatalf("60 containers: %d lists", n)
	}
	f.with(func() { f.containers = f.containers[:10] })
	pull()
	pull()
	if n := pull(); n != 1 {
		t.Errorf("10 containers: %d lists", n)
	}
}

// Whoever goes on to the next state between two questions is in the later answer.
func TestStateThatChangesBetweenTwoLists(t *testing.T) {
	f := crowd(40, func(i int) runtimeapi.ContainerState {
		return []runtimeapi.ContainerState{created, running, exited, unknown}[i%4]
	})
	f.limit = 20_000
	c := newCollector(t, f.socket(t), listsOnly)
	c.pull()
	before := map[string]string{ // ID → which question it is ahead of
		f.containers[0].Id: created.String(), f.containers[1].Id: running.String(),
		f.containers[3].Id: unknown.String(),
	}
	f.with(func() {
		f.before = func(_ context.Context, method, about string) error {
			for id, state := range before {
				if method == "ListContainers" && about == state {
					f.change(id, func(k *runtimeapi.Container) {
						k.State = map[runtimeapi.ContainerState]runtimeapi.ContainerState{
							created: running, running: exited, unknown: exited}[k.State]
					}, nil)
				}
			}
			return nil
		}
	})
	a := c.pull()
	if len(a.containers) != 40 || len(a.gone) != 0 {
		t.Errorf("%d containers, %d ends", len(a.containers), len(a.gone))
	}
	for id, state := range before {
		want := workloadmeta.StatusStopped
		if state == created.String() {
			want = workloadmeta.StatusRunning
		}
		if k := a.containers[id]; k == nil || k.State.Status != want {
			t.Errorf("%s before: %+v", state, k)
		}
	}
}

// Lists by sandbox are many, and each costs the runtime a look at all containers: between two of
// them it is left alone for nine times as long as they took, and asked only whether it is there.
func TestListsBySandboxAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := crowd(40, allRunning)
		f.limit = 20_000
		f.before = func(_ context.Context, method, about string) error {
			if method == "ListContainers" && strings.HasPrefix(about, "0000") {
				time.Sleep(2 * time.Second)
			}
			return nil
		}
		c := newInMemory(t, f, listsOnly)
		c.pull()
		f.count("")
		var lists []int
		for range 8 { // every 5 s
			if a := c.pull(); len(a.containers) != 40 {
				t.Fatalf("%d containers", len(a.containers))
			}
			lists = append(lists, f.count("ListContainers"))
		}
		// Four workers list four sandboxes in two seconds: the next time is after 20 s.
		if got, want := fmt.Sprint(lists), "[0 0 0 4 0 0 0 4]"; got != want {
			t.Errorf("lists: %s, want %s", got, want)
		}
		f.with(func() {
			f.before = func(context.Context, string, string) error {
				return status.Error(codes.Unavailable, "stopped")
			}
		})
		if _, err := c.tryPull(); err == nil {
			t.Error("a runtime that has stopped was not noticed in between")
		}
	})
}

// A stream that fails on its way, or falls silent, has told nothing.
func TestStreamThatBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := crowd(2500, allRunning)
		f.streams = true
		c := newInMemory(t, f, func(o *Options) { listsOnly(o); o.CallTimeout = 5 * time.Second })
		c.pull()
		for _, tc := range []struct {
			name    string
			between func(string) error
			want    string
			after   time.Duration
		}{
			{"fails", func(string) error { return status.Error(codes.Internal, "disk full") },
				"disk full", 0},
			{"falls silent", func(string) error { time.Sleep(6 * time.Second); return nil },
				"no answer within 5s", 5 * time.Second},
		} {
			f.with(func() { f.betweenMessages = tc.between })
			began := time.Now()
			a, err := c.tryPull()
			if err == nil || !strings.Contains(err.Error(), tc.want) ||
				time.Since(began) != tc.after || len(a.containers)+len(a.gone) != 0 {
				t.Errorf("%s: %v after %v, %d containers, %d ends", tc.name, err,
					time.Since(began), len(a.containers), len(a.gone))
			}
		}
		// One that goes on is in nobody's way, however long it is.
		f.with(func() {
			f.betweenMessages = func(string) error { time.Sleep(4 * time.Second); return nil }
		})
		if a := c.pull(); len(a.containers) != 2500 || len(a.gone) != 0 {
			t.Errorf("slow: %d containers, %d ends", len(a.containers), len(a.gone))
		}
	})
}

// That there are no streaming lists is found out once for each start of the runtime.
func TestStreamsAreTriedOnceForEachStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cri.sock")
	f := crowd(10, allRunning)
	stop := f.serve(t, path)
	c := newCollector(t, path, listsOnly)
	for range 3 {
		c.pull()
	}
	if n := f.count("StreamContainers"); n != 1 {
		t.Errorf("asked for streams %d times", n)
	}
	stop()
	f.with(func() { f.streams = true }) // it is upgraded
	f.serve(t, path)
	later := time.Now().Add(time.Second) // the clock of files may be slow
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	c.pull()
	f.count("")
	c.pull()
	if streams, lists := f.count("StreamContainers"), f.count("ListContainers"); streams != 1 ||
		lists != 0 {
		t.Errorf("after the upgrade: %d streams, %d lists", streams, lists)
	}
}
