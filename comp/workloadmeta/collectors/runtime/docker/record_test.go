package docker_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/realnode"
)

// TestRecord makes the recordings that the mapping tests read, with the installed Docker and, where
// ROLLCALL_REALNODE_PROGRAMS names their folder, with the programs of `go run tasks.go daemons`.
func TestRecord(t *testing.T) {
	collectortest.OnlyToRecord(t)
	realnode.Require(t)
	d := realnode.StartDockerd(t)
	folder, api := "testdata/docker-20.10", "/v1.41"
	if d.ImagesInContainerd() {
		folder, api = "testdata/moby-2.0", "/v1.51" // the newest that the client library speaks
	}
	r := collectortest.NewRecorder(t, folder, d.Root, "/var/lib/docker",
		`"`+collectortest.Hostname(t)+`"`, `"dhost"`)
	get := func(path string) []byte {
		t.Helper()
		return collectortest.Ask(t, d.Socket, api+path)
	}

	d.ImportImage("reg.example.test:5000/shop/web:1", "LABEL team=blue",
		"EXPOSE 80/tcp 53/udp 9000/tcp 7000-7002/tcp", `ENV DD_VERSION=1.2`)
	d.Docker("tag", "reg.example.test:5000/shop/web:1", "bb:1")
	d.ImportImage("lost:1", "LABEL lost=yes")
	d.Docker("network", "create", "--subnet", "172.31.251.0/24", "front")
	names := []string{}
	run := func(name string, args ...string) {
		t.Helper()
		d.Docker(append([]string{"run", "-d", "--name", name}, args...)...)
		names = append(names, name)
	}
	run("web", "--network", "front", "-p", "18081:80", "-p", "127.0.0.1:18061:53/udp",
		"--label", "com.docker.compose.service=web", "-e", "DD_SERVICE=web", "-e", "SECRET=hunter2",
		"-e", "API_TOKEN=hunter3",
		"--health-cmd", "true", "--health-interval", "1s", "reg.example.test:5000/shop/web:1",
		"sleep", "1000")
	run("limited", "--network", "none", "--hostname", "small", "--cpus", "0.5", "--memory", "64m",
		"--memory-reservation", "32m",
		"--cpu-shares", "512", "--cpuset-cpus", "0", "--cap-add", "NET_ADMIN", "--cap-drop",
		"CHOWN", "--cap-drop", "kill",
		"--security-opt", "seccomp=unconfined", "bb:1", "sleep", "1000")
	run("paused", "--network", "none", "--health-cmd", "false", "--health-interval", "1s",
		"--health-retries", "1", "bb:1", "sleep", "1000")
	run("crashing", "--network", "none", "--restart", "always", "bb:1", "sh", "-c", "exit 4")
	run("stopped", "--network", "none", "bb:1", "sh", "-c", "exit 3")
	run("hostnet", "--network", "host", "bb:1", "sleep", "1000")
	run("quota", "--network", "none", "--cpu-period", "50000", "--cpu-quota", "75000", "--restart",
		"on-failure:5", "bb:1", "sleep", "1000")
	run("nameless", "--network", "none", "lost:1", "sleep", "1000")
	d.Docker("rmi", "-f", "lost:1")
	run("by-id", "--network", "none",
		strings.TrimPrefix(d.Docker("inspect", "-f", "{{.Id}}", "bb:1"), "sha256:")[:12], "sleep",
		"1000")
	run("pod", "--network", "none",
		"--label", "io.kubernetes.pod.name=web-0", "--label", "io.kubernetes.pod.namespace=shop",
		"--label", "io.kubernetes.pod.uid=3f9c0a52-7d1e-4b0a-9f43-0d4b7a0c1e11", "--label",
		"io.kubernetes.container.name=web",
		"--label", "io.kubernetes.docker.type=container", "bb:1", "sleep", "1000")
	d.Docker("create", "--name", "created", "bb:1", "sleep", "1000")
	names = append(names, "created")
	time.Sleep(3 * time.Second) // a real daemon's health checks and restarts take their time
	d.Docker("pause", "paused")

	for _, name := range names {
		var body []byte
		for range 100 {
			if body = get("/containers/" + name + "/json"); name != "crashing" ||
				bytes.Contains(body, []byte(`"Status":"restarting"`)) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		r.Save("inspect/"+name+".json", body)
	}
	r.Save("containers.json", get("/containers/json?all=1"))
	r.Save("images.json", get("/images/json"))
	var images []struct {
		ID string `json:"Id"`
	}
	if err := json.Unmarshal(get("/images/json"), &images); err != nil {
		t.Fatal(err)
	}
	// A built image has a history with entries that have no layer.
	id := d.Docker("create", "bb:1", "true")
	d.Docker("commit", "--change", "LABEL built=yes", "-m", "a note", "-a", "somebody", id,
		"built:2")
	r.Save("image-inspect/web.json", get("/images/bb:1/json"))
	r.Save("image-history/web.json", get("/images/bb:1/history"))
	r.Save("image-inspect/built.json", get("/images/built:2/json"))
	r.Save("image-history/built.json", get("/images/built:2/history"))

	d.Docker("rename", "web", "web2")
	d.Docker("unpause", "paused")
	d.Docker("run", "--rm", "--network", "none", "--name", "short", "bb:1", "true")
	d.Docker("update", "--memory", "48m", "--memory-swap", "96m", "limited")
	d.Docker("kill", "web2")
	d.Docker("rm", "web2")
	d.Docker("tag", "bb:1", "bb:2")
	d.Docker("rmi", "bb:2")
	query := url.Values{"since": {"0"}, "until": {strconv.FormatInt(time.Now().Unix()+1, 10)}}
	r.Save("events.jsonl", get("/events?"+query.Encode()))
}
