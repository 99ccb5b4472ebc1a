package docker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// fakeDocker answers like a Docker daemon of which the test decides what happens and what goes
// wrong. It listens on a Unix socket, or in memory for tests with a clock of their own.
type fakeDocker struct {
	collectortest.Daemon
	pipe *collectortest.Pipe // in memory

	// Guarded by the daemon's lock.
	header     map[string]string
	apiVersion string
	containers map[string]*fakeContainer
	images     map[string]*fakeImage
	paths      []string
	active     int // inspections now
	maxActive  int
}

type fakeContainer struct {
	ID, Name, Image, ImageID string
	Labels                   map[string]string
	Env                      []string
	Status                   string // running, exited, …
	Policy                   string
	ExitCode, RestartCount   int
	PID                      int
	Health                   string
	IPs                      map[string]string
	Started, Finished        time.Time
}

type fakeImage struct {
	ID      string
	Tags    []string
	Digests []string
}

func newFake() *fakeDocker {
	return &fakeDocker{
		header: map[string]string{"Server": "Docker/fake"}, apiVersion: "1.41",
		containers: map[string]*fakeContainer{}, images: map[string]*fakeImage{},
	}
}

// inMemory starts the server on connections made by dial, which work inside a synctest bubble.
func inMemory(t testing.TB) *fakeDocker {
	t.Helper()
	f := newFake()
	f.pipe = collectortest.NewPipe()
	collectortest.Serve(t, f.pipe, f)
	return f
}

// onSocket starts the server on a Unix socket and returns its path.
func onSocket(t testing.TB) (*fakeDocker, string) {
	t.Helper()
	f := newFake()
	path := t.TempDir() + "/d.sock"
	collectortest.ServeSocket(t, path, f)
	return f, path
}

func (f *fakeDocker) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return f.pipe.Dial(ctx)
}

// with changes the daemon's world.
func (f *fakeDocker) with(change func(f *fakeDocker)) {
	f.Lock()
	defer f.Unlock()
	change(f)
}

func (f *fakeDocker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.Lock()
	f.paths = append(f.paths, r.URL.Path)
	for k, v := range f.header {
		w.Header().Set(k, v)
	}
	w.Header().Set("Api-Version", f.apiVersion)
	f.Unlock()

	path := r.URL.Path
	if strings.HasPrefix(path, "/v") {
		version, rest, _ := strings.Cut(path[2:], "/")
		path = "/" + rest
		if f.tooNew(version) {
			fail(w, http.StatusBadRequest,
				fmt.Sprintf("client version %s is too new. Maximum supported API version is %s",
					version, f.apiVersion))
			return
		}
	}
	inspects := strings.HasSuffix(path, "/json") && path != "/containers/json" &&
		path != "/images/json"
	if inspects {
		f.with(func(f *fakeDocker) { f.active++; f.maxActive = max(f.maxActive, f.active) })
		defer f.with(func(f *fakeDocker) { f.active-- })
	}
	if f.Faulty(w, r) {
		return
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case path == "/_ping":
		f.Tally("ping")
		fmt.Fprint(w, "OK") // the client may be gone
	case path == "/events":
		f.Tally("events")
		f.serveEvents(w, r)
	case path == "/containers/json":
		f.Tally("list")
		collectortest.Reply(w, f.listContainers(r.URL.Query().Get("all") == "1"))
	case path == "/images/json":
		f.Tally("list images")
		collectortest.Reply(w, f.listImages())
	case len(parts) == 3 && parts[0] == "containers" && parts[2] == "json":
		f.Tally("inspect")
		f.Tally("inspect " + parts[1])
		f.inspectContainer(w, parts[1])
	case parts[0] == "images" && parts[len(parts)-1] == "json":
		f.Tally("inspect image")
		f.inspectImage(w, strings.Join(parts[1:len(parts)-1], "/"))
	case parts[0] == "images" && parts[len(parts)-1] == "history":
		f.Tally("history")
		collectortest.Reply(w,
			[]map[string]any{{"Id": "<missing>", "Size": 5, "CreatedBy": "COPY"}})
	default:
		fail(w, http.StatusNotFound, "page not found")
	}
}

func (f *fakeDocker) tooNew(version string) bool {
	_, minor, _ := strings.Cut(version, ".")
	_, most, _ := strings.Cut(f.apiVersion, ".")
	a, _ := strconv.Atoi(minor)
	b, _ := strconv.Atoi(most)
	return a > b
}

func fail(w http.ResponseWriter, status int, text string) {
	collectortest.ReplyStatus(w, status, map[string]string{"message": text})
}

func isUp(status string) bool {
	return status == "running" || status == "paused" || status == "restarting"
}

func (f *fakeDocker) listContainers(all bool) []map[string]any {
	f.Lock()
	defer f.Unlock()
	out := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(f.containers)) {
		c := f.containers[id]
		if !all && !isUp(c.Status) {
			continue
		}
		text := "Up 5 minutes"
		if c.Health != "" && c.Status == "running" {
			text += " (" + c.Health + ")"
		}
		out = append(out, map[string]any{
			"Id": c.ID, "Names": []string{"/" + c.Name}, "Image": c.Image, "ImageID": c.ImageID,
			"Labels": c.Labels, "State": c.Status,
			"Status": text, "Created": 1795309912, "NetworkSettings": map[string]any{
				"Networks": networks(c)},
		})
	}
	return out
}

func networks(c *fakeContainer) map[string]any {
	out := map[string]any{}
	for name, ip := range c.IPs {
		out[name] = map[string]any{"IPAddress": ip}
	}
	return out
}

func (f *fakeDocker) inspectContainer(w http.ResponseWriter, id string) {
	f.Lock()
	c := f.containers[id]
	var answer map[string]any
	if c != nil {
		state := map[string]any{
			"Status": c.Status, "Running": isUp(c.Status), "Pid": c.PID, "ExitCode": c.ExitCode,
			"Restarting": c.Status == "restarting",
			"StartedAt":  c.Started.Format(time.RFC3339Nano),
			"FinishedAt": c.Finished.Format(time.RFC3339Nano),
		}
		if c.Health != "" {
			state["Health"] = map[string]any{"Status": c.Health}
		}
		answer = map[string]any{
			"Id": c.ID, "Name": "/" + c.Name, "Image": c.ImageID, "RestartCount": c.RestartCount,
			"State":   state,
			"Created": "2026-11-22T01:11:52Z",
			"Config": map[string]any{"Image": c.Image, "Labels": c.Labels, "Env": c.Env,
				"Hostname": "h-" + c.ID},
			"HostConfig":      map[string]any{"RestartPolicy": map[string]any{"Name": c.Policy}},
			"NetworkSettings": map[string]any{"Networks": networks(c)},
		}
	}
	f.Unlock()
	if answer == nil {
		fail(w, http.StatusNotFound, "No such container: "+id)
		return
	}
	collectortest.Reply(w, answer)
}

func (f *fakeDocker) listImages() []map[string]any {
	f.Lock()
	defer f.Unlock()
	out := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(f.images)) {
		i := f.images[id]
		out = append(out,
			map[string]any{"Id": i.ID, "RepoTags": i.Tags, "RepoDigests": i.Digests, "Size": 7})
	}
	return out
}

func (f *fakeDocker) inspectImage(w http.ResponseWriter, ref string) {
	f.Lock()
	i := f.images[ref]
	for _, other := range f.images {
		if slices.Contains(other.Tags, ref) || slices.Contains(other.Digests, ref) {
			i = other
		}
	}
	var answer map[string]any
	if i != nil {
		answer = map[string]any{
			"Id": i.ID, "RepoTags": i.Tags, "RepoDigests": i.Digests, "Os": "linux",
			"Architecture": "amd64", "Size": 7,
			"RootFS": map[string]any{"Type": "layers",
				"Layers": []string{"sha256:layer-of-" + i.ID}},
		}
	}
	f.Unlock()
	if answer == nil {
		fail(w, http.StatusNotFound, "No such image: "+ref)
		return
	}
	collectortest.Reply(w, answer)
}

func (f *fakeDocker) serveEvents(w http.ResponseWriter, r *http.Request) {
	since := r.URL.Query().Get("since")
	seconds, nanos, _ := strings.Cut(since, ".")
	sec, _ := strconv.ParseInt(seconds, 10, 64)
	nano, _ := strconv.ParseInt(nanos, 10, 64)
	f.Stream(w, r, func(log []collectortest.Event) []collectortest.Event {
		if since == "" {
			return nil
		}
		return collectortest.Since(log[max(0, len(log)-256):], time.Unix(sec, nano))
	}, false)
}

// event sends an event; the caller has locked f.
func (f *fakeDocker) event(kind, action, id string, attributes map[string]string) {
	now := time.Now()
	line, err := json.Marshal(map[string]any{
		"Type": kind, "Action": action, "Actor": map[string]any{"ID": id, "Attributes": attributes},
		"scope": "local",
		"time":  now.Unix(), "timeNano": now.UnixNano(),
	})
	if err != nil {
		panic(err)
	}
	f.Send(now, append(line, '\n'))
}

func (f *fakeDocker) attributes(c *fakeContainer, more ...string) map[string]string {
	out := map[string]string{"name": c.Name, "image": c.Image}
	maps.Copy(out, c.Labels)
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// run adds a container and starts it.
func (f *fakeDocker) run(c *fakeContainer) *fakeContainer {
	f.Lock()
	defer f.Unlock()
	if c.Name == "" {
		c.Name = "name-" + c.ID
	}
	if c.Image == "" {
		c.Image = "app:1"
	}
	if c.Policy == "" {
		c.Policy = "no"
	}
	f.containers[c.ID] = c
	f.start(c)
	return c
}

func (f *fakeDocker) start(c *fakeContainer) {
	c.Status, c.Started = "running", time.Now()
	c.PID = 1000 + c.RestartCount
	f.event("container", "start", c.ID, f.attributes(c))
}

// die ends a container's process. With a restart policy the container is restarting then.
func (f *fakeDocker) die(c *fakeContainer, code int) {
	f.Lock()
	defer f.Unlock()
	c.Status, c.ExitCode, c.PID, c.Finished = "exited", code, 0, time.Now()
	if c.Policy != "no" {
		c.Status = "restarting"
		c.RestartCount++
	}
	attributes := f.attributes(c, "exitCode", strconv.Itoa(code))
	maps.Copy(attributes, c.Labels) // as dockerd does
	attributes["name"], attributes["image"] = c.Name, c.Image
	f.event("container", "die", c.ID, attributes)
}

func (f *fakeDocker) destroy(c *fakeContainer) {
	f.Lock()
	defer f.Unlock()
	delete(f.containers, c.ID)
	f.event("container", "destroy", c.ID, f.attributes(c))
}

// image adds an image or changes its names.
func (f *fakeDocker) image(action, id string, tags, digests []string) {
	f.Lock()
	defer f.Unlock()
	f.images[id] = &fakeImage{ID: id, Tags: tags, Digests: digests}
	f.event("image", action, id, map[string]string{"name": id})
}
