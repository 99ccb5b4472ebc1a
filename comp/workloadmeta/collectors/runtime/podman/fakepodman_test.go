package podman

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// fakePodman answers like a Podman service of which the test decides what happens and what goes
// wrong. It is there for faults, and for what Podman 5 does differently; everything else is tested
// on a real one.
type fakePodman struct {
	collectortest.Daemon
	pipe *collectortest.Pipe

	// Guarded by the daemon's lock.
	version    string // "" = a Docker daemon
	down       error  // of every connection attempt
	containers map[string]*fakeContainer
	images     map[string]*fakeImage
	lateHead   bool   // nothing of the answer comes before the first event, as with Podman 5
	noEvents   string // the event stream is this error, with status 200
}

type fakeContainer struct {
	ID, Name, Image, ImageID, Pod, PodName string
	Labels                                 map[string]string
	Env                                    []string
	Status                                 string
	Policy                                 string
	MaxRetries                             int
	ExitCode, RestartCount                 int
	PID                                    int
	Health                                 string
	Infra                                  bool
	Started, Finished                      time.Time
}

type fakeImage struct {
	ID   string
	Tags []string
}

// newFake starts a fake on connections in memory, which work inside a synctest bubble.
func newFake(t testing.TB) *fakePodman {
	t.Helper()
	f := &fakePodman{
		pipe: collectortest.NewPipe(), version: "4.3.1", containers: map[string]*fakeContainer{},
		images: map[string]*fakeImage{},
	}
	collectortest.Serve(t, f.pipe, f)
	return f
}

// dialer connects to the fakes by their addresses; at any other there is no socket.
func dialer(fakes map[string]*fakePodman) func(ctx context.Context, network,
	address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		f := fakes[address]
		if f == nil {
			return nil, &net.OpError{Op: "dial", Net: "unix", Err: errors.New("connection refused")}
		}
		f.Tally("dial")
		f.Lock()
		down := f.down
		f.Unlock()
		if down != nil {
			return nil, &net.OpError{Op: "dial", Net: "unix", Err: down}
		}
		return f.pipe.Dial(ctx)
	}
}

// with changes the service's world.
func (f *fakePodman) with(change func(f *fakePodman)) {
	f.Lock()
	defer f.Unlock()
	change(f)
}

// stop ends the service: connections end and nobody answers.
func (f *fakePodman) stop(err error) {
	f.with(func(f *fakePodman) { f.down = err })
	f.KillStreams()
}

func (f *fakePodman) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.Lock()
	version := f.version
	f.Unlock()
	if version != "" {
		w.Header().Set("Libpod-Api-Version", version)
	}
	if f.Faulty(w, r) {
		return
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/v4.0.0")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i := range parts {
		parts[i], _ = url.PathUnescape(parts[i])
	}
	switch {
	case version == "":
		fail(w, http.StatusNotFound, "page not found")
	case path == "/libpod/_ping":
		f.Tally("ping")
		fmt.Fprint(w, "OK") // the client may be gone
	case path == "/libpod/events":
		f.Tally("events")
		f.serveEvents(w, r)
	case path == "/libpod/containers/json":
		f.Tally("list")
		collectortest.Reply(w, f.listContainers(r.URL.Query().Get("all") == "true"))
	case path == "/libpod/images/json":
		f.Tally("list images")
		collectortest.Reply(w, f.listImages())
	case len(parts) == 4 && parts[1] == "containers" && parts[3] == "json":
		f.Tally("inspect")
		f.Tally("inspect " + parts[2])
		f.inspectContainer(w, parts[2])
	case len(parts) == 4 && parts[1] == "images" && parts[3] == "json":
		f.Tally("inspect image")
		f.inspectImage(w, parts[2])
	case len(parts) == 4 && parts[1] == "pods" && parts[3] == "json":
		f.Tally("inspect pod")
		f.inspectPod(w, parts[2])
	default:
		fail(w, http.StatusNotFound, "page not found")
	}
}

func fail(w http.ResponseWriter, status int, text string) {
	collectortest.ReplyStatus(w, status,
		map[string]any{"cause": text, "message": text, "response": status})
}

func (f *fakePodman) listContainers(all bool) []map[string]any {
	f.Lock()
	defer f.Unlock()
	out := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(f.containers)) {
		c := f.containers[id]
		if !all && c.Status != "running" {
			continue
		}
		out = append(out, map[string]any{
			"Id": c.ID, "Names": []string{c.Name}, "Image": c.Image,
			"ImageID": strings.TrimPrefix(c.ImageID, "sha256:"), "Labels": c.Labels,
			"State": c.Status, "Pid": c.PID, "Pod": c.Pod, "PodName": c.PodName, "IsInfra": c.Infra,
			"Created":   "2026-11-22T01:11:52Z",
			"StartedAt": c.Started.Unix(), "Command": []string{"hunter2"},
		})
	}
	return out
}

func (f *fakePodman) inspectContainer(w http.ResponseWriter, id string) {
	f.Lock()
	c := f.containers[id]
	var answer map[string]any
	if c != nil {
		answer = map[string]any{
			"Id": c.ID, "Name": c.Name, "Image": strings.TrimPrefix(c.ImageID,
				"sha256:"), "ImageName": c.Image, "RestartCount": c.RestartCount,
			"Pod": c.Pod, "IsInfra": c.Infra, "Created": "2026-11-22T01:11:52Z", "Path": "hunter2",
			"Args": []string{"hunter2"},
			"State": map[string]any{
				"Status": c.Status, "Pid": c.PID, "ExitCode": c.ExitCode,
				"CgroupPath": "/machine.slice/" + c.ID,
				"Health":     map[string]any{"Status": c.Health},
				"StartedAt":  c.Started.Format(time.RFC3339Nano),
				"FinishedAt": c.Finished.Format(time.RFC3339Nano),
			},
			"Config": map[string]any{"Labels": c.Labels, "Env": c.Env, "Hostname": "h-" + c.ID,
				"CreateCommand": []string{"hunter2"}},
			"HostConfig": map[string]any{
				"RestartPolicy": map[string]any{"Name": c.Policy,
					"MaximumRetryCount": c.MaxRetries}},
		}
	}
	f.Unlock()
	if answer == nil {
		fail(w, http.StatusNotFound,
			"no container with name or ID \""+id+"\" found: no such container")
		return
	}
	collectortest.Reply(w, answer)
}

func (f *fakePodman) inspectPod(w http.ResponseWriter, id string) {
	f.Lock()
	name := ""
	for _, c := range f.containers {
		if c.Pod == id {
			name = c.PodName
		}
	}
	f.Unlock()
	if name == "" {
		fail(w, http.StatusNotFound, "no such pod")
		return
	}
	collectortest.Reply(w, map[string]any{"Name": name})
}

func (f *fakePodman) listImages() []map[string]any {
	f.Lock()
	defer f.Unlock()
	out := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(f.images)) {
		i := f.images[id]
		out = append(out,
			map[string]any{"Id": strings.TrimPrefix(i.ID, "sha256:"), "RepoTags": i.Tags,
				"Size": 7})
	}
	return out
}

func (f *fakePodman) inspectImage(w http.ResponseWriter, ref string) {
	f.Lock()
	i := f.images[ref]
	for _, other := range f.images {
		if slices.Contains(other.Tags, ref) {
			i = other
		}
	}
	var answer map[string]any
	if i != nil {
		answer = map[string]any{
			"Id": strings.TrimPrefix(i.ID, "sha256:"), "RepoTags": i.Tags, "Os": "linux",
			"Architecture": "amd64", "Size": 7,
			"RootFS": map[string]any{"Type": "layers", "Layers": []string{"sha256:layer"}},
			"Config": map[string]any{"Env": []string{"A=hunter2"},
				"ExposedPorts": map[string]any{"8080/tcp": map[string]any{}}},
		}
	}
	f.Unlock()
	if answer == nil {
		fail(w, http.StatusNotFound, "failed to find image "+ref+": image not known")
		return
	}
	collectortest.Reply(w, answer)
}

func (f *fakePodman) serveEvents(w http.ResponseWriter, r *http.Request) {
	f.Lock()
	late, none := f.lateHead, f.noEvents
	f.Unlock()
	if none != "" {
		collectortest.Reply(w, map[string]any{"cause": none, "message": none, "response": 500})
		return
	}
	since, _ := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
	f.Stream(w, r, func(log []collectortest.Event) []collectortest.Event {
		return collectortest.Since(log, time.Unix(since, 0))
	}, late)
}

// event sends an event; the caller has locked f.
func (f *fakePodman) event(kind, action, id string, attributes map[string]string) {
	f.eventAt(time.Now(), kind, action, id, attributes)
}

func (f *fakePodman) eventAt(at time.Time, kind, action, id string, attributes map[string]string) {
	all := map[string]string{"containerExitCode": "0", "image": "", "podId": ""}
	maps.Copy(all, attributes)
	line, err := json.Marshal(map[string]any{
		"Type": kind, "Action": action, "Actor": map[string]any{"ID": id, "Attributes": all},
		"time": at.Unix(), "timeNano": at.UnixNano(),
	})
	if err != nil {
		panic(err)
	}
	f.Send(at, append(line, '\n'))
}

func (f *fakePodman) attributes(c *fakeContainer, more ...string) map[string]string {
	out := map[string]string{"name": c.Name, "image": c.Image, "podId": c.Pod}
	maps.Copy(out, c.Labels)
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// run adds a container and starts it.
func (f *fakePodman) run(c *fakeContainer) *fakeContainer {
	f.Lock()
	defer f.Unlock()
	if c.Name == "" {
		c.Name = "name-" + c.ID
	}
	if c.Image == "" {
		c.Image = "localhost/app:1"
	}
	f.containers[c.ID] = c
	f.event("image", "pull", "", map[string]string{"name": c.Image})
	f.start(c)
	return c
}

func (f *fakePodman) start(c *fakeContainer) {
	c.Status, c.Started = "running", time.Now()
	if c.PID == 0 {
		c.PID = 1000 + c.RestartCount
	}
	f.event("container", "init", c.ID, f.attributes(c))
	f.event("container", "start", c.ID, f.attributes(c))
}

// die ends a container's process.
func (f *fakePodman) die(c *fakeContainer, code int) {
	f.Lock()
	defer f.Unlock()
	c.Status, c.ExitCode, c.PID, c.Finished = "exited", code, 0, time.Now()
	f.event("container", "died", c.ID, f.attributes(c, "containerExitCode", strconv.Itoa(code)))
	f.event("container", "cleanup", c.ID, f.attributes(c))
}

func (f *fakePodman) remove(c *fakeContainer) {
	f.Lock()
	defer f.Unlock()
	delete(f.containers, c.ID)
	f.event("container", "remove", c.ID, f.attributes(c))
}

// image adds an image or changes its names.
func (f *fakePodman) image(action, id string, tags ...string) {
	f.Lock()
	defer f.Unlock()
	f.images[id] = &fakeImage{ID: id, Tags: tags}
	f.event("image", action, strings.TrimPrefix(id, "sha256:"), map[string]string{"name": id})
}
