package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/api/types/task"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// epoch is when everything begins in the fake.
var epoch = time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)

// digestOf returns a digest for a fake blob.
func digestOf(name string) string { return fmt.Sprintf("sha256:%064x", []byte(name)) }

// image puts an image under a name, and returns its ID.
func (f *fakeContainerd) image(ns, name, build string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	config, target := digestOf("c"+build), digestOf("m"+build)
	f.blobs[config] = []byte(`{"os":"linux","architecture":"amd64","config":{"Labels":{"build":"` +
		build + `"},"Env":["DB_PASSWORD=hunter2"]}}`)
	f.blobs[target] = []byte(
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":"` + config +
			`","size":10},"layers":[{"digest":"` + digestOf("l"+build) + `","size":100}]}`)
	f.namespace(ns).images[name] = &imagesapi.Image{Name: name,
		Target: &types.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json",
			Digest: target, Size: int64(len(f.blobs[target]))}}
	return config
}

// container puts a running container there.
func (f *fakeContainerd) container(ns, id, image string,
	change func(*containersapi.Container, *task.Process)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &containersapi.Container{
		ID: id, Image: image, Labels: map[string]string{"app": id},
		Runtime:     &containersapi.Container_Runtime{Name: "io.containerd.runc.v2"},
		Snapshotter: "overlayfs", CreatedAt: timestamppb.New(epoch),
		UpdatedAt: timestamppb.New(epoch),
		Spec: &anypb.Any{
			Value: []byte(
				`{"process":{"env":["DD_ENV=prod","DB_PASSWORD=hunter2"]},"linux":{"cgroupsPath":"/` + ns + "/" + id + `"}}`)},
	}
	p := &task.Process{ID: id, Pid: uint32(len(f.namespace(ns).containers) + 1000),
		Status: task.Status_RUNNING}
	if change != nil {
		change(c, p)
	}
	f.namespace(ns).containers[id] = c
	if p.ID != "" {
		f.namespace(ns).tasks[id] = p
	}
}

// event makes an envelope as containerd sends it.
func event(ns, topic string, at time.Time, m proto.Message) *types.Envelope {
	value, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return &types.Envelope{
		Timestamp: timestamppb.New(at), Namespace: ns, Topic: topic,
		Event: &anypb.Any{TypeUrl: string(m.ProtoReflect().Descriptor().FullName()), Value: value},
	}
}

func exit(ns, id, process string, pid, code uint32, at time.Time) *types.Envelope {
	return event(ns, "/tasks/exit", at,
		&eventtypes.TaskExit{ContainerID: id, ID: process, Pid: pid, ExitStatus: code,
			ExitedAt: timestamppb.New(at)})
}

// idle waits until nothing is being asked.
func idle(t *testing.T, c *Collector, events int) {
	t.Helper()
	eventually(t, func() string {
		s := c.Stats()
		n := 0
		for _, count := range s.Events {
			n += count
		}
		if n < events || s.QueueDepth > 0 {
			return fmt.Sprintf("%d events of %d, %d wait", n, events, s.QueueDepth)
		}
		return ""
	})
	time.Sleep(30 * time.Millisecond) // for what is being answered
}

func TestAThousandContainersCostAFewRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		for i := range 5 {
			for _, ns := range []string{"default", "other"} {
				f.image(ns, fmt.Sprint("reg.test/app:", i), fmt.Sprint("b", i))
			}
		}
		for i := range 1000 {
			f.container([]string{"default", "other"}[i%2], fmt.Sprint("c", i),
				fmt.Sprint("reg.test/app:", i%5), nil)
		}
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		if got := w.Count(workloadmeta.KindContainer); got != 1000 {
			t.Errorf("%d containers", got)
		}
		if got := w.Count(workloadmeta.KindContainerImage); got != 5 {
			t.Errorf("%d images: those of two namespaces are the same", got)
		}
		want := map[string]int{
			"Version": 1, "Namespaces/List": 1, "Containers/ListStream": 2, "Tasks/List": 2,
			"Images/List": 2, "Content/Read": 10, "Events/Subscribe": 1,
		}
		if got := f.asked(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("asked %v, want %v", got, want)
		}

		// One that starts costs two requests, one that is probed none, and one that ends with
		// nothing to wait for none either.
		f.container("default", "new", "reg.test/app:1",
			func(_ *containersapi.Container, p *task.Process) { p.Pid = 77 })
		f.send(
			event("default", "/containers/create", epoch,
				&eventtypes.ContainerCreate{ID: "new", Image: "reg.test/app:1"}),
			event("default", "/tasks/start", epoch,
				&eventtypes.TaskStart{ContainerID: "new", Pid: 77}),
		)
		await(t, w, "new", "start",
			func(c *workloadmeta.Container) bool {
				return c.Image.Tag == "1" &&
					c.EnvVars["DD_ENV"] == "prod"
			})
		if got := f.asked(); fmt.Sprint(got) != "map[Containers/Get:1 Tasks/Get:1]" {
			t.Errorf("a start cost %v", got)
		}
		for i := range 100 {
			f.send(exit("default", "new", fmt.Sprint("probe", i), 78, 1, epoch.Add(time.Minute)))
		}
		f.send(exit("default", "new", "new", 77, 0, epoch.Add(time.Hour)))
		awaitEnd(t, w, "new", 0)
		idle(t, c, 103)
		if got := f.asked(); len(got) != 0 {
			t.Errorf("probes and an end cost %v", got)
		}
	})
}

// Known bug #1: an error of the event stream ended the collection for ever.
func TestBug1ABrokenStreamIsBegunAgainAndRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		image := f.image("default", "app:1", "a")
		for _, id := range []string{"stays", "ends", "goes"} {
			f.container("default", id, "app:1", nil)
		}
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		r := start(t, c, w)
		told := w.History("stays")
		f.with(func() {
			f.fault = func(context.Context, string, string,
				string) error {
				return status.Error(codes.Unavailable, "gone")
			}
			for s := range f.subscribers {
				close(s) // which breaks the stream
			}
			clear(f.subscribers)
		})
		if <-r.Done; r.Err == nil ||
			!strings.Contains(r.Err.Error(), "containerd at /fake/containerd.sock") {
			t.Errorf("the run ended with %v", r.Err)
		}
		if got := w.Count(workloadmeta.KindContainer); got != 3 {
			t.Errorf("a lost connection has left %d containers", got)
		}
		if err := c.Stream(t.Context(), w.Sink()); err == nil ||
			w.Count(workloadmeta.KindContainer) != 3 {
			t.Errorf("a connection that cannot be made: %v", err)
		}
		f.with(func() {
			f.fault = nil
			delete(f.namespace("default").containers, "goes")
			delete(f.namespace("default").tasks, "goes")
			f.namespace("default").tasks["ends"] = &task.Process{ID: "ends",
				Status: task.Status_STOPPED, ExitStatus: 9, ExitedAt: timestamppb.New(epoch)}
		})
		f.container("default", "comes", "app:1", nil)
		start(t, c, w)
		if w.Container("comes") == nil || w.Container("goes") != nil || w.Image(image) == nil {
			t.Errorf("after the gap: comes %v, goes %v", w.Container("comes"), w.Container("goes"))
		}
		awaitEnd(t, w, "ends", 9)
		if got := w.History("stays"); got != told+" set" { // each run says once what is there
			t.Errorf("what has not changed was told: %s", got)
		}
	})
}

// Known bug #8: an exec's exit was the container's, and had the container looked at.
func TestBug8AnExecsExitIsNotTheContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.image("default", "app:1", "a")
		f.container("default", "web", "app:1", nil)
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		told := w.History("web")
		f.asked()
		f.send(
			exit("default", "web", "probe", 7, 3, epoch.Add(time.Second)),
			event("default", "/tasks/delete", epoch.Add(time.Second),
				&eventtypes.TaskDelete{ContainerID: "web", ID: "probe", Pid: 7, ExitStatus: 3}),
		)
		idle(t, c, 2)
		if got := f.asked(); len(got) != 0 || w.History("web") != told ||
			w.Container("web").State.ExitCode != nil {
			t.Errorf("asked %v, told %s, state %#v", got, w.History("web"),
				w.Container("web").State)
		}
		f.send(exit("default", "web", "web", 1000, 0, epoch.Add(time.Minute)))
		awaitEnd(t, w, "web", 0) // which is not on the wire
	})
}

// Known bug #10: the same containers came from Docker and from containerd.
func TestBug10DockersContainersAreLeftToDocker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.container("moby", "docker", "", nil)
		f.container("default", "web", "", nil)
		w := collectortest.NewWorld()
		c := newCollector(t, f, nil)
		start(t, c, w)
		if w.Container("docker") != nil || w.Container("web") == nil {
			t.Errorf("docker %v, web %v", w.Container("docker"), w.Container("web"))
		}
		for _, filter := range f.filters {
			if !strings.Contains(filter, `namespace!="moby"`) {
				t.Errorf("filter %s lets events of Docker's containers pass", filter)
			}
		}

		// An instance collects them where Docker's collector does not.
		instances := c.Instances(t.Context())
		if len(instances) != 1 {
			t.Fatalf("instances %v", instances)
		}
		if d := instances[0].Describe(); d.ID != "containerd@moby" || d.StandsInFor != "docker" {
			t.Errorf("the instance is %+v", d)
		}
		if again := c.Instances(t.Context()); again[0] != instances[0] {
			t.Error("it is made anew")
		}
		w = collectortest.NewWorld()
		start(t, instances[0].(*Collector), w)
		if w.Container("docker") == nil || w.Container("web") != nil {
			t.Errorf("of the instance: docker %v, web %v", w.Container("docker"),
				w.Container("web"))
		}
		if d := instances[0].Detect(t.Context()); d.State != workloadmeta.Detected {
			t.Errorf("with Docker: %v", d)
		}
		f = newFake(t)
		f.container("default", "web", "", nil)
		c = newCollector(t, f, nil)
		if d := c.Instances(t.Context())[0].Detect(t.Context()); d.State != workloadmeta.Absent {
			t.Errorf("without Docker: %v", d)
		}
		for _, change := range []func(*Options){
			func(o *Options) { o.Namespaces = []string{"default"} },
			func(o *Options) { o.ExcludeNamespaces = []string{"moby"} },
		} {
			if more := newCollector(t, f, change).Instances(t.Context()); len(more) != 0 {
				t.Errorf("instances %v", more)
			}
		}
	})
}

// Known bug #15: the end of a container that was killed for want of memory told nothing of the
// container.
func TestBug15TheEndTellsAllThatWasKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.image("default", "app:1", "a")
		f.container("default", "web", "app:1", nil)
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		f.with(func() {
			delete(f.namespace("default").tasks, "web")
			delete(f.namespace("default").containers, "web")
		})
		at := epoch.Add(time.Hour)
		f.send(
			event("default", "/tasks/oom", at, &eventtypes.TaskOOM{ContainerID: "web"}),
			exit("default", "web", "web", 1000, 137, at),
			event("default", "/containers/delete", at, &eventtypes.ContainerDelete{ID: "web"}),
		)
		awaitEnd(t, w, "web", 137)
		got := w.Ended("web")
		if !got.State.OOMKilled || got.Labels["app"] != "web" || got.EnvVars["DD_ENV"] != "prod" ||
			got.Image.Tag != "1" || !got.State.FinishedAt.Equal(at) {
			t.Errorf("last view = %#v", got)
		}
	})
}

// Known bug #17: three references of one image were three images, or one after the other. Known bug
// #18: digests of the manifest, of the configuration and the kubelet's ID were mixed up.
func TestBug17And18ThreeNamesAreOneImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		id := f.image("k8s.io", "reg.test/app:1", "a")
		f.image("k8s.io", "reg.test/app:2", "a")
		f.image("k8s.io", "reg.test/app@"+digestOf("ma"), "a")
		f.image("k8s.io", id, "a")
		f.image("k8s.io", "import-2026-11-22@"+digestOf("ma"), "a")
		f.send(event("k8s.io", "/images/create", epoch,
			&eventtypes.ImageCreate{Name: "reg.test/app:1"}))
		eventually(t, func() string {
			if w.Image(id) == nil {
				return "no image"
			}
			return ""
		})
		f.send(
			event("k8s.io", "/images/create", epoch,
				&eventtypes.ImageCreate{Name: "reg.test/app@" + digestOf("ma")}),
			event("k8s.io", "/images/create", epoch,
				&eventtypes.ImageCreate{Name: "reg.test/app:2"}),
			event("k8s.io", "/images/create", epoch, &eventtypes.ImageCreate{Name: id}),
			event("k8s.io", "/images/create", epoch,
				&eventtypes.ImageCreate{Name: "import-2026-11-22@" + digestOf("ma")}),
		)
		idle(t, c, 5)
		i := w.Image(id)
		if id != digestOf("ca") || fmt.Sprint(i.RepoTags) != "[reg.test/app:1 reg.test/app:2]" ||
			fmt.Sprint(i.RepoDigests) != "[reg.test/app@"+digestOf("ma")+"]" ||
			i.Name != "reg.test/app:1" || i.SizeBytes != 110 || i.Labels["build"] != "a" {
			t.Errorf("image = %#v", i)
		}
		if got := w.HistoryOf(i.EntityID); got != "set" ||
			w.Count(workloadmeta.KindContainerImage) != 1 {
			t.Errorf("it was told: %s, as one of %d", got, w.Count(workloadmeta.KindContainerImage))
		}

		// Names go one by one; the last takes the image with it.
		for n, name := range []string{"reg.test/app:1", "reg.test/app:2", id,
			"reg.test/app@" + digestOf("ma")} {
			f.with(func() { delete(f.namespace("k8s.io").images, name) })
			f.send(event("k8s.io", "/images/delete", epoch, &eventtypes.ImageDelete{Name: name}))
			idle(t, c, 6+n)
			eventually(t, func() string {
				if (w.Image(id) == nil) != (n == 3) {
					return fmt.Sprintf("%d names are gone, image %v", n+1, w.Image(id))
				}
				return ""
			})
			if n == 1 {
				eventually(t, func() string {
					if i := w.Image(id); len(i.RepoTags) != 0 || i.Name != "reg.test/app" {
						return fmt.Sprintf("without its tag: %#v", i)
					}
					return ""
				})
			}
		}
	})
}

// Known bug #20: one bad image or container kept the collector from starting.
func TestBug20WhatIsBadIsLeftOutAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		id := f.image("default", "good:1", "a")
		bad := f.image("default", "bad:1", "b")
		f.with(func() { f.blobs[digestOf("mb")] = []byte(`{"manifests": "no"`) })
		f.image("default", "slow:1", "c")
		f.container("default", "good", "good:1", nil)
		f.container("default", "badimage", "bad:1", nil)
		for i := range 20 {
			f.container("default", fmt.Sprint("slow", i), "slow:1", nil)
		}
		f.container("default", "badspec", "good:1",
			func(c *containersapi.Container, _ *task.Process) {
				c.Spec.Value = []byte(`{"process":`)
			})
		f.container("default", "oddspec", "good:1",
			func(c *containersapi.Container, _ *task.Process) {
				c.Spec.Value = []byte(
					`{"process":{"env":"no","capabilities":7},"linux":{"cgroupsPath":"/odd"}}`)
			})
		f.container("default", "huge", "good:1", func(c *containersapi.Container, _ *task.Process) {
			c.Spec.Value = []byte(`{"annotations":{"a":"` + strings.Repeat("x", maxSpec) +
				`"},"linux":{"cgroupsPath":"/huge"}}`)
		})
		f.container("default", "badcri", "good:1",
			func(c *containersapi.Container, _ *task.Process) {
				c.Labels = map[string]string{labelCRIKind: "container",
					"io.kubernetes.pod.uid":        "u1",
					"io.kubernetes.container.name": "main"}
				c.Extensions = map[string]*anypb.Any{
					extensionContainer: {Value: []byte(`{"Metadata":[`)}}
			})
		f.with(func() {
			f.fault = func(_ context.Context, method, _, id string) error {
				if method == "Content/Read" && id == digestOf("mc") {
					return status.Error(codes.Internal, "a disk error")
				}
				return nil
			}
		})
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		for _, id := range []string{"good", "badimage", "badspec", "oddspec", "huge"} {
			if c := w.Container(id); c == nil || c.PID == 0 || c.Labels["app"] != id {
				t.Errorf("%s = %#v", id, c)
			}
		}
		if c := w.Container("badcri"); c == nil || c.Name != "main" || c.Owner == nil {
			t.Errorf("badcri = %#v", c)
		}
		if c := w.Container("oddspec"); c.CgroupPath != "/odd" {
			t.Errorf("what can be read of a specification was lost: %#v", c)
		}
		if c := w.Container("huge"); c.CgroupPath != "" {
			t.Errorf("a specification of more than 2 MiB was read: %#v", c)
		}
		for i := range 20 {
			if c := w.Container(fmt.Sprint("slow", i)); c == nil || c.Image.ID != "" ||
				c.Image.Name != "slow" {
				t.Errorf("a container of an image that cannot be read = %#v", c)
			}
		}
		if got := f.asked()["Content/Read"]; got > 10 {
			t.Errorf("bad images were read %d times", got)
		}
		if w.Image(id) == nil || w.Image(bad) != nil || w.Image(digestOf("mb")) == nil {
			t.Error("images: good, and bad by what is known of it")
		}
		if i := w.Image(digestOf("mc")); i == nil || i.RepoTags[0] != "slow:1" {
			t.Errorf("an image that cannot be read for the moment = %#v", i)
		}
		// When it can be read, it is the image that it is.
		f.with(func() { f.fault = nil })
		f.send(event("default", "/images/update", epoch, &eventtypes.ImageUpdate{Name: "slow:1"}))
		eventually(t, func() string {
			if w.Image(digestOf("cc")) == nil || w.Image(digestOf("mc")) != nil {
				return fmt.Sprintf("%v %v", w.Image(digestOf("cc")), w.Image(digestOf("mc")))
			}
			return ""
		})
		f.send(event("default", "/containers/update", epoch,
			&eventtypes.ContainerUpdate{ID: "slow7"}))
		await(t, w, "slow7", "its image",
			func(c *workloadmeta.Container) bool { return c.Image.ID == digestOf("cc") })
	})
}

// Known bug #24: containerd tells of ends again after a restart, and of some not at all.
func TestBug24EndsAreToldTwiceOrNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.image("default", "app:1", "a")
		for _, id := range []string{"twice", "silent"} {
			f.container("default", id, "app:1", nil)
		}
		pod := func(c *containersapi.Container, _ *task.Process) {
			c.Labels = map[string]string{labelCRIKind: "container",
				"io.kubernetes.container.name": "main"}
		}
		f.container("k8s.io", "pod", "", pod)
		f.container("k8s.io", "again", "", pod)
		c := newCollector(t, f, func(o *Options) {
			o.ResyncEvery, o.SettleResync = 300*time.Millisecond, 300*time.Millisecond
		})
		w := collectortest.NewWorld()
		start(t, c, w)

		pid := uint32(w.Container("pod").PID)
		at := epoch.Add(time.Minute)
		ends := func(ns, id string, pid, code uint32) {
			f.with(func() { delete(f.namespace(ns).tasks, id) })
			f.send(
				exit(ns, id, id, pid, code, at),
				event(ns, "/tasks/delete", at,
					&eventtypes.TaskDelete{ContainerID: id, Pid: pid, ExitStatus: code,
						ExitedAt: timestamppb.New(at)}),
				exit(ns, id, id, pid, code, at),
			)
		}
		ends("default", "twice", uint32(w.Container("twice").PID), 5)
		awaitEnd(t, w, "twice", 5)
		ends("k8s.io", "pod", pid, 4)
		await(t, w, "pod", "it is kept", func(c *workloadmeta.Container) bool {
			return c.State.Status == workloadmeta.StatusStopped && !c.State.Running &&
				c.State.ExitCode != nil && *c.State.ExitCode == 4 && c.PID == 0
		})

		// It has begun another life when the end of the one before is told again.
		f.send(event("k8s.io", "/tasks/start", at.Add(time.Second),
			&eventtypes.TaskStart{ContainerID: "again", Pid: 555}))
		f.with(func() { f.namespace("k8s.io").tasks["again"].Pid = 555 })
		await(t, w, "again", "second life", func(c *workloadmeta.Container) bool {
			return c.PID == 555 && c.State.StartedAt.Equal(at.Add(time.Second))
		})
		told := w.History("again")
		f.send(exit("k8s.io", "again", "again", 444, 1, at))

		// Of this one's end no event comes.
		f.with(func() {
			f.namespace("default").tasks["silent"] = &task.Process{ID: "silent", Pid: 1001,
				Status: task.Status_STOPPED, ExitStatus: 7, ExitedAt: timestamppb.New(at)}
		})
		awaitEnd(t, w, "silent", 7)
		lists := c.Stats().Lists
		eventually(t, func() string {
			if c.Stats().Lists < lists+2 {
				return "no lists"
			}
			return ""
		})
		if got := w.History("again"); got != told || !w.Container("again").State.Running {
			t.Errorf("the end of an earlier life was told: %s", got)
		}
		if got := w.History("twice"); strings.Count(got, "unset") != 1 {
			t.Errorf("twice was told: %s", got)
		}
		if c := w.Container("pod"); c.State.Status != workloadmeta.StatusStopped ||
			*c.State.ExitCode != 4 || !c.State.FinishedAt.Equal(at) {
			t.Errorf("the lists have changed what is known of a pod's container: %#v", c.State)
		}
		f.with(func() { delete(f.namespace("k8s.io").containers, "pod") })
		f.send(event("k8s.io", "/containers/delete", at, &eventtypes.ContainerDelete{ID: "pod"}))
		awaitEnd(t, w, "pod", 4)
	})
}

// Known bug #38: a container's image changed when its tag moved. The CRI plugin notes the image;
// others are remembered.
func TestBug38AContainersImageIsPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		old := f.image("default", "app:1", "old")
		f.container("default", "web", "app:1", nil)
		f.container("k8s.io", "pod", "app:1", func(c *containersapi.Container, _ *task.Process) {
			c.Labels = map[string]string{labelCRIKind: "container",
				"io.kubernetes.container.name": "main"}
			c.Extensions = map[string]*anypb.Any{
				extensionContainer: {Value: []byte(`{"Metadata":{"ImageRef":"` + old + `"}}`)}}
		})
		f.image("k8s.io", "app:1", "new") // it has moved before anybody looked
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		r := start(t, c, w)
		moved := f.image("default", "app:1", "new")
		f.send(event("default", "/images/update", epoch, &eventtypes.ImageUpdate{Name: "app:1"}))
		f.container("default", "young", "app:1", func(_ *containersapi.Container, p *task.Process) {
			p.Pid = 88
		})
		f.send(event("default", "/tasks/start", epoch,
			&eventtypes.TaskStart{ContainerID: "young", Pid: 88}),
			event("default", "/containers/update", epoch, &eventtypes.ContainerUpdate{ID: "web"}))
		await(t, w, "young", "its image",
			func(c *workloadmeta.Container) bool { return c.Image.ID == moved })
		idle(t, c, 3)
		check := func() {
			t.Helper()
			for _, id := range []string{"web", "pod"} {
				if c := w.Container(id); c.Image.ID != old || c.Image.Name != "app" ||
					c.Image.Tag != "1" {
					t.Errorf("%s = %#v", id, c.Image)
				}
			}
		}
		check()
		r.Stop()
		start(t, c, w)
		check()
	})
}

// Another container under the same ID, made while nobody watched, has nothing of the one before.
func TestAnotherContainerUnderTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.image("default", "app:1", "a")
		for _, id := range []string{"renewed", "updated"} {
			f.container("default", id, "app:1", nil)
		}
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		r := start(t, c, w)
		r.Stop()
		again := func(id, image string) {
			f.container("default", id, image, func(c *containersapi.Container, p *task.Process) {
				c.CreatedAt = timestamppb.New(epoch.Add(time.Hour))
				p.Pid = uint32(w.Container(id).PID) // by chance
			})
		}
		images := map[string]string{"renewed": f.image("default", "app:2", "b"),
			"updated": f.image("default", "app:1", "c")}
		again("renewed", "app:2")
		again("updated", "app:1") // which stands for another image now
		start(t, c, w)
		for id, image := range images {
			if got := w.Container(id); got.Image.ID != image ||
				!got.State.StartedAt.Equal(epoch.Add(time.Hour)) {
				t.Errorf("%s = %#v, %#v", id, got.Image, got.State)
			}
		}
	})
}

// Known bug #41: what was remembered grew without bounds.
func TestBug41MemoryIsBounded(t *testing.T) {
	c := newCollector(t, nil, nil)
	b := &backend{shared: c.shared, opts: &c.opts}
	for i := range maxFacts + 5000 {
		id := fmt.Sprint(i)
		for _, e := range []*types.Envelope{
			event("default", "/containers/create", epoch,
				&eventtypes.ContainerCreate{ID: id, Image: "app:1"}),
			event("default", "/tasks/start", epoch, &eventtypes.TaskStart{ContainerID: id, Pid: 1}),
			exit("default", id, id, 1, 0, epoch),
			event("default", "/images/create", epoch, &eventtypes.ImageCreate{Name: "app:" + id}),
		} {
			if _, err := b.event(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := b.memory.facts.Len(); got > maxFacts {
		t.Errorf("%d containers are remembered", got)
	}
	if got := b.index.lastEvents.Len(); got > maxLastEvents {
		t.Errorf("%d names are remembered", got)
	}
	if _, err := b.event(event("default", "/containers/delete", epoch,
		&eventtypes.ContainerDelete{ID: fmt.Sprint(maxFacts + 4999)})); err != nil {
		t.Fatal(err)
	}
	if got := b.memory.facts.Len(); got != maxFacts-1 {
		t.Errorf("a container that is gone is remembered: %d", got)
	}
}

// A container that is gone before it can be looked at is made of what its events tell.
func TestContainerThatIsGoneAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		id := f.image("default", "reg.test/app:1", "a")
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		at := epoch.Add(time.Second)
		f.send(
			event("default", "/containers/create", epoch,
				&eventtypes.ContainerCreate{ID: "job", Image: "reg.test/app:1",
					Runtime: &eventtypes.ContainerCreate_Runtime{Name: "io.containerd.runsc.v1"}}),
			event("default", "/tasks/start", at,
				&eventtypes.TaskStart{ContainerID: "job", Pid: 99}),
			// a start is told a moment after it has happened
			exit("default", "job", "job", 99, 3, at.Add(-time.Millisecond)),
			event("default", "/tasks/delete", at,
				&eventtypes.TaskDelete{ContainerID: "job", Pid: 99, ExitStatus: 3}),
			event("default", "/containers/delete", at, &eventtypes.ContainerDelete{ID: "job"}),
		)
		awaitEnd(t, w, "job", 3)
		got := w.Ended("job")
		if w.History("job") != "set unset" || got.Name != "job" || got.Namespace != "default" ||
			got.Image.ID != id || got.Image.Tag != "1" ||
			got.RuntimeFlavor != workloadmeta.FlavorGVisor || !got.State.StartedAt.Equal(at) ||
			!got.State.CreatedAt.Equal(epoch) || got.State.FinishedAt.Before(at) {
			t.Errorf("told %s: %#v", w.History("job"), got)
		}
	})
}

// Of a task whose shim hangs containerd tells nothing but that it is there, and takes its time.
func TestAHungShimCostsNobodyAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.container("default", "well", "", nil)
		f.container("default", "hung", "", func(_ *containersapi.Container, p *task.Process) {
			p.Pid, p.Status = 0, task.Status_UNKNOWN
		})
		f.container("default", "worse", "", func(_ *containersapi.Container, p *task.Process) {
			p.ID = ""
		})
		f.with(func() {
			f.fault = func(ctx context.Context, method, _, id string) error {
				if method == "Tasks/Get" && id == "worse" {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
		})
		c := newCollector(t, f, func(o *Options) {
			o.CallTimeout, o.ResyncEvery, o.SettleResync = 100*time.Millisecond,
				200*time.Millisecond,
				200*time.Millisecond
		})
		w := collectortest.NewWorld()
		began := time.Now()
		start(t, c, w)
		if took := time.Since(began); took > 3*time.Second || w.Container("well") == nil {
			t.Errorf("synced after %v with %v", took, w.Container("well"))
		}
		await(t, w, "hung", "it is there", func(c *workloadmeta.Container) bool {
			return c.State.Running && c.PID == 0 && c.Labels["app"] == "hung"
		})
		lists := c.Stats().Lists
		eventually(t, func() string {
			if c.Stats().Lists < lists+2 {
				return "no lists"
			}
			return ""
		})
		for _, id := range []string{"hung", "worse"} {
			if w.Container(id) == nil || strings.Contains(w.History(id), "unset") {
				t.Errorf("%s was told %s", id, w.History(id))
			}
		}
		// All tasks of a namespace cannot be listed: they are asked for one by one.
		f.with(func() {
			f.namespace("default").tasks["hung"] = &task.Process{ID: "hung", Pid: 12,
				Status: task.Status_RUNNING}
			f.fault = func(_ context.Context, method, _, _ string) error {
				if method == "Tasks/List" {
					return status.Error(codes.Internal, "no list today")
				}
				return nil
			}
		})
		await(t, w, "hung", "its task", func(c *workloadmeta.Container) bool { return c.PID == 12 })
		if w.Container("well") == nil || strings.Contains(w.History("well"), "unset") {
			t.Errorf("well was told %s", w.History("well"))
		}
	})
}

// The answer to a request may overtake the event that tells how a container has ended.
func TestAnEndsEventMayComeAfterTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.container("default", "web", "", nil)
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		f.with(func() { delete(f.namespace("default").tasks, "web") })
		f.asked()
		f.send(event("default", "/containers/update", epoch,
			&eventtypes.ContainerUpdate{ID: "web"}))
		eventually(t, func() string {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.calls["Tasks/Get"] == 0 {
				return "not asked"
			}
			return ""
		})
		f.send(exit("default", "web", "web", 1000, 6, epoch.Add(time.Minute)))
		awaitEnd(t, w, "web", 6)
	})
}

// Many containers may have ended while nobody watched. Waiting for word of them takes no longer
// than for one.
func TestManyEndsThatNobodyTellsOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		for i := range 100 {
			f.container("default", fmt.Sprint("c", i), "", nil)
		}
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		r := start(t, c, w)
		r.Stop()
		f.with(func() { clear(f.namespace("default").tasks) })
		began := time.Now()
		start(t, c, w)
		if took := time.Since(began); took > 2*time.Second ||
			w.Count(workloadmeta.KindContainer) != 0 {
			t.Errorf("after %v %d containers are there", took, w.Count(workloadmeta.KindContainer))
		}
		awaitEnd(t, w, "c7", -1)
		if got := w.Ended("c7").State; got.Status != workloadmeta.StatusStopped || got.Running {
			t.Errorf("state %#v", got)
		}
		f.asked()
		b := newBackend(t, c)
		if _, err := b.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.asked(); got["Tasks/Get"] != 0 {
			t.Errorf("what has ended is asked for again: %v", got)
		}
	})
}

// A container that the restart monitor starts again is not gone between two lives.
func TestRestartMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.container("default", "web", "", func(c *containersapi.Container, _ *task.Process) {
			c.Labels[labelRestartStatus], c.Labels[labelRestartPolicy],
				c.Labels[labelRestartCount] = "running", "on-failure:3", "2"
			c.CreatedAt = timestamppb.Now()
		})
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		ends := func(pid, code uint32) {
			now := time.Now()
			f.with(func() {
				f.namespace("default").tasks["web"] = &task.Process{ID: "web", Pid: pid,
					Status: task.Status_STOPPED, ExitStatus: code, ExitedAt: timestamppb.New(now)}
			})
			f.send(exit("default", "web", "web", pid, code, now))
		}
		ends(1000, 1)
		await(t, w, "web", "restarting", func(c *workloadmeta.Container) bool {
			return c.State.Status == workloadmeta.StatusRestarting && c.RestartCount == 2 &&
				*c.State.ExitCode == 1
		})
		f.with(func() {
			f.namespace("default").tasks["web"] = &task.Process{ID: "web", Pid: 1001,
				Status: task.Status_RUNNING}
			c := proto.CloneOf(f.namespace("default").containers["web"])
			c.Labels[labelRestartCount] = "3"
			f.namespace("default").containers["web"] = c
		})
		f.send(event("default", "/tasks/start", time.Now(),
			&eventtypes.TaskStart{ContainerID: "web", Pid: 1001}),
			event("default", "/containers/update", time.Now(),
				&eventtypes.ContainerUpdate{ID: "web"}))
		await(t, w, "web", "started again", func(c *workloadmeta.Container) bool {
			return c.PID == 1001 && c.RestartCount == 3 && c.State.ExitCode == nil
		})
		ends(1001, 2) // as often as it was to be tried
		awaitEnd(t, w, "web", 2)
		if got := w.History("web"); strings.Count(got, "unset") != 1 {
			t.Errorf("told %s", got)
		}
	})
}

// A pod's sandbox gets its address after it was made.
func TestPodsAddressComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sandbox := func(ip string) {
			f.container("k8s.io", "s1", "reg.test/pause:3",
				func(c *containersapi.Container, _ *task.Process) {
					c.Labels = map[string]string{labelCRIKind: "sandbox",
						"io.kubernetes.pod.uid": "u1"}
					c.Extensions = map[string]*anypb.Any{
						extensionSandbox: {
							Value: []byte(
								`{"Metadata":{"Config":{"hostname":"cart-0","annotations":{"a":"hunter2"}},"IP":"` + ip + `"}}`)}}
				})
		}
		sandbox("")
		f.container("k8s.io", "c1", "", func(c *containersapi.Container, _ *task.Process) {
			c.Labels = map[string]string{labelCRIKind: "container",
				"io.kubernetes.container.name": "main", "io.kubernetes.pod.uid": "u1"}
			c.Extensions = map[string]*anypb.Any{
				extensionContainer: {Value: []byte(`{"Metadata":{"SandboxID":"s1"}}`)}}
		})
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		if got := w.Container("c1"); got == nil || got.Hostname != "cart-0" ||
			got.NetworkIPs != nil ||
			w.Container("s1") != nil {
			t.Fatalf("c1 = %#v, s1 = %v", got, w.Container("s1"))
		}
		sandbox("10.1.2.3")
		f.send(event("k8s.io", "/containers/update", epoch, &eventtypes.ContainerUpdate{ID: "s1"}),
			event("k8s.io", "/containers/update", epoch, &eventtypes.ContainerUpdate{ID: "c1"}))
		await(t, w, "c1", "address",
			func(c *workloadmeta.Container) bool { return c.NetworkIPs["pod"] == "10.1.2.3" })
		if c.Stats().Lists != 1 {
			t.Error("it took a list to find out")
		}
	})
}

// Kata's processes are in a virtual machine.
func TestKata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.container("default", "vm", "", func(c *containersapi.Container, _ *task.Process) {
			c.Runtime.Name = "io.containerd.kata.v2"
		})
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		if got := w.Container("vm"); got == nil || got.RuntimeFlavor != workloadmeta.FlavorKata ||
			got.PID != 0 || !got.State.Running {
			t.Errorf("vm = %#v", got)
		}
	})
}

// Secrets that are planted wherever containerd keeps environments are in nothing that is reported.
func TestSecretsStayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.image("k8s.io", "app:1", "a")
		f.container("k8s.io", "c1", "app:1", func(c *containersapi.Container, _ *task.Process) {
			c.Labels = map[string]string{labelCRIKind: "container",
				"io.kubernetes.container.name":                                "main",
				"annotation.kubectl.kubernetes.io/last-applied-configuration": "hunter2"}
			c.Spec.Value = []byte(
				`{"process":{"env":["DB=hunter2","DD_ENV=prod","hunter2","=hunter2"]},"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2","kept":"yes"}}`)
			c.Extensions = map[string]*anypb.Any{extensionContainer: {Value: []byte(
				`{"Metadata":{"Config":{"metadata":{"name":"main"},"envs":[{"key":"DB","value":"hunter2"}],"command":["hunter2"],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2","noted":"yes"}}}}`)}}
		})
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		f.send(event("k8s.io", "/containers/update", epoch, &eventtypes.ContainerUpdate{ID: "c1"}))
		idle(t, c, 1)
		got := w.Container("c1")
		if got.EnvVars["DD_ENV"] != "prod" || got.Annotations["kept"] != "yes" ||
			got.Annotations["noted"] != "yes" {
			t.Errorf("c1 = %#v", got)
		}
		for id, e := range w.Live() {
			if text, err := json.Marshal(e); err != nil ||
				strings.Contains(string(text), "hunter2") {
				t.Errorf("%v: %s, %v", id, text, err)
			}
		}
	})
}

// The devices of a pod's container are in the CRI plugin's record and in annotations, those of
// others in their variables.
func TestDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.container("k8s.io", "c1", "", func(c *containersapi.Container, _ *task.Process) {
			c.Labels = map[string]string{labelCRIKind: "container"}
			c.Spec.Value = []byte(`{"annotations":{"cdi.k8s.io/nic":"example.org/nic=a"},
				"process":{"env":["NVIDIA_VISIBLE_DEVICES=void"]}}`)
			c.Extensions = map[string]*anypb.Any{extensionContainer: {Value: []byte(
				`{"Metadata":{"Config":{"CDI_devices":[{"name":"nvidia.com/gpu=GPU-0a1b"}]}}}`)}}
		})
		f.container("default", "c2", "", func(c *containersapi.Container, _ *task.Process) {
			c.Spec.Value = []byte(`{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0,MIG-2c3d"]}}`)
		})
		f.container("default", "c3", "", func(c *containersapi.Container, _ *task.Process) {
			c.Spec.Value = []byte(`{"process":{"env":["NVIDIA_VISIBLE_DEVICES=all"]}}`)
			nvidia := &options.Options{BinaryName: "/usr/bin/nvidia-container-runtime"}
			value, err := proto.Marshal(nvidia)
			if err != nil {
				t.Fatal(err)
			}
			c.Runtime.Options = &anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: value}
		})
		f.container("default", "c4", "", func(c *containersapi.Container, _ *task.Process) {
			c.Spec.Value = []byte(`{"process":{"env":["NVIDIA_VISIBLE_DEVICES=all"]}}`)
		})
		c, w := newCollector(t, f, nil), collectortest.NewWorld()
		start(t, c, w)
		if got := w.Container("c3"); fmt.Sprint(got.GPUDeviceIDs) != "[all]" {
			t.Errorf("c3, of NVIDIA's runtime, = %#v", got)
		}
		if got := w.Container("c4"); got.GPUDeviceIDs != nil {
			t.Errorf("c4, of an image of CUDA, = %#v", got)
		}
		if got := w.Container("c1"); fmt.Sprint(got.GPUDeviceIDs) != "[GPU-0a1b]" ||
			len(got.AllocatedResources) != 2 ||
			fmt.Sprint(got.Resources.GPUVendorList) != "[nvidia]" {
			t.Errorf("c1 = %#v", got)
		}
		if got := w.Container("c2"); fmt.Sprint(got.GPUDeviceIDs) != "[0 MIG-2c3d]" {
			t.Errorf("c2 = %#v", got)
		}
	})
}
