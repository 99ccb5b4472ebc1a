package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/docker"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/podman"
)

// The fakes of runtimes with a REST interface.

// payloads are what one container of a REST interface is made of, again and again.
type payloads struct {
	list    []byte // of all containers
	inspect []byte // of one
	id      string // of that one
	name    string
	pid     int
	numbers map[string]int // ID → which container it is
	images  []byte
	image   []byte
	history []byte
}

// restPayloads reads a collector's recordings: the running container "web", n times, and its image.
func restPayloads(collector, version string, n int) payloads {
	in := func(path ...string) []byte {
		return recorded(append([]string{collector, "testdata", version}, path...)...)
	}
	p := payloads{inspect: in("inspect", "web.json"), images: in("images.json"),
		image: in("image-inspect", "web.json")}
	var who struct {
		ID, Name string
		State    struct{ Pid int }
	}
	must(json.Unmarshal(p.inspect, &who))
	p.id, p.name, p.pid, p.numbers = who.ID, who.Name, who.State.Pid, map[string]int{}
	var list []map[string]any
	must(json.Unmarshal(in("containers.json"), &list))
	for _, e := range list {
		if e["Id"] != p.id {
			continue
		}
		all := make([]map[string]any, n)
		for i := range all {
			all[i] = maps.Clone(e)
			p.numbers[runtimeID(i)] = i
			all[i]["Id"] = runtimeID(i)
			all[i]["Names"] = []string{fmt.Sprintf("%s-%d", p.name, i)}
		}
		var err error
		p.list, err = json.Marshal(all)
		must(err)
	}
	if p.list == nil {
		must(fmt.Errorf("%s: the list has no container %s", collector, p.id))
	}
	return p
}

// of returns what an inspection of the container tells. Its process is none that there is.
func (p *payloads) of(id string) []byte {
	i := p.numbers[id]
	return []byte(strings.NewReplacer(p.id, id,
		fmt.Sprintf(`"Name": "%s"`, p.name), fmt.Sprintf(`"Name": "%s-%d"`, p.name, i),
		fmt.Sprintf(`"Pid": %d`, p.pid), fmt.Sprintf(`"Pid": %d`, 1<<22+1+i),
	).Replace(string(p.inspect)))
}

func dockerStart() []row {
	return runtimeStart("docker", dockerDaemon(runtimeContainers),
		func(address string) (workloadmeta.Collector, error) {
			return docker.New(docker.Options{Host: "unix://" + address, ProcRoot: "/nowhere",
				Log: slog.New(slog.DiscardHandler)})
		})
}

// dockerDaemon returns what serves a Docker daemon with n containers.
func dockerDaemon(n int) func(*fakeRuntime) {
	p := restPayloads("docker", "docker-20.10", n)
	p.history = recorded("docker", "testdata", "docker-20.10", "image-history", "web.json")
	return func(f *fakeRuntime) {
		f.serveHTTP(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", "1.41")
			w.Header().Set("Content-Type", "application/json")
			path := strings.TrimPrefix(r.URL.Path, "/v1.41")
			if path != "/_ping" {
				f.calls.Add(1)
			}
			switch {
			case path == "/_ping":
			case path == "/events":
				stay(w, r)
			case path == "/containers/json":
				write(w, p.list)
			case path == "/images/json":
				write(w, p.images)
			case strings.HasPrefix(path, "/containers/"):
				write(w, p.of(strings.TrimSuffix(strings.TrimPrefix(path, "/containers/"),
					"/json")))
			case strings.HasSuffix(path, "/history"):
				write(w, p.history)
			default:
				write(w, p.image)
			}
		})
	}
}

func podmanStart() []row {
	p := restPayloads("podman", "podman-4.3", runtimeContainers)
	return runtimeStart("podman", func(f *fakeRuntime) {
		f.serveHTTP(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Libpod-Api-Version", "4.3.1")
			w.Header().Set("Server", "Libpod/4.3.1 (linux)")
			w.Header().Set("Content-Type", "application/json")
			_, path, _ := strings.Cut(r.URL.Path, "/libpod/")
			if path != "_ping" {
				f.calls.Add(1)
			}
			switch {
			case path == "_ping":
				write(w, []byte("OK"))
			case path == "events":
				stay(w, r)
			case path == "info":
				write(w, []byte(`{"host":{"eventLogger":"file"}}`))
			case path == "containers/json":
				write(w, p.list)
			case path == "images/json":
				write(w, p.images)
			case strings.HasPrefix(path, "containers/"):
				write(w, p.of(strings.TrimSuffix(strings.TrimPrefix(path, "containers/"), "/json")))
			default:
				write(w, p.image)
			}
		})
	}, func(address string) (workloadmeta.Collector, error) {
		return podman.New(podman.Options{Sockets: []string{address}, ProcRoot: "/nowhere",
			Log: slog.New(slog.DiscardHandler)})
	})
}
