package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/test/realnode"
)

var record = flag.Bool("record", false, "record testdata/docker-20.10 from a real daemon (needs ROLLCALL_REALNODE=1)")

// TestRecord makes the recordings that the mapping tests read. Record with the version of Docker in the folder's name.
func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("only with -record")
	}
	realnode.Require(t)
	d := realnode.StartDockerd(t)
	httpClient := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.Socket)
		},
	}}
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) []byte {
		t.Helper()
		resp, err := httpClient.Get("http://docker/v1.41" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() // only read from
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %s %v: %s", path, resp.Status, err, body)
		}
		return bytes.ReplaceAll(bytes.ReplaceAll(body, []byte(d.Root), []byte("/var/lib/docker")), []byte(`"`+machine+`"`), []byte(`"dhost"`))
	}
	save := func(name string, body []byte) {
		t.Helper()
		path := filepath.Join("testdata/docker-20.10", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".json") {
			var out bytes.Buffer
			if err := json.Indent(&out, bytes.TrimSpace(body), "", " "); err != nil {
				t.Fatal(err)
			}
			body = append(out.Bytes(), '\n')
		}
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	d.ImportImage("reg.example.test:5000/shop/web:1", "LABEL team=blue", "EXPOSE 80/tcp 53/udp 9000/tcp 7000-7002/tcp", `ENV DD_VERSION=1.2`)
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
		"--label", "com.docker.compose.service=web", "-e", "DD_SERVICE=web", "-e", "SECRET=hunter2", "-e", "API_TOKEN=hunter3",
		"--health-cmd", "true", "--health-interval", "1s", "reg.example.test:5000/shop/web:1", "sleep", "1000")
	run("limited", "--network", "none", "--hostname", "small", "--cpus", "0.5", "--memory", "64m", "--memory-reservation", "32m",
		"--cpu-shares", "512", "--cpuset-cpus", "0", "--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN", "--cap-drop", "kill",
		"--security-opt", "seccomp=unconfined", "bb:1", "sleep", "1000")
	run("paused", "--network", "none", "--health-cmd", "false", "--health-interval", "1s", "--health-retries", "1", "bb:1", "sleep", "1000")
	run("crashing", "--network", "none", "--restart", "always", "bb:1", "sh", "-c", "exit 4")
	run("stopped", "--network", "none", "bb:1", "sh", "-c", "exit 3")
	run("hostnet", "--network", "host", "bb:1", "sleep", "1000")
	run("quota", "--network", "none", "--cpu-period", "50000", "--cpu-quota", "75000", "--restart", "on-failure:5", "bb:1", "sleep", "1000")
	run("nameless", "--network", "none", "lost:1", "sleep", "1000")
	d.Docker("rmi", "-f", "lost:1")
	run("by-id", "--network", "none", strings.TrimPrefix(d.Docker("inspect", "-f", "{{.Id}}", "bb:1"), "sha256:")[:12], "sleep", "1000")
	run("pod", "--network", "none",
		"--label", "io.kubernetes.pod.name=web-0", "--label", "io.kubernetes.pod.namespace=shop",
		"--label", "io.kubernetes.pod.uid=3f9c0a52-7d1e-4b0a-9f43-0d4b7a0c1e11", "--label", "io.kubernetes.container.name=web",
		"--label", "io.kubernetes.docker.type=container", "bb:1", "sleep", "1000")
	d.Docker("create", "--name", "created", "bb:1", "sleep", "1000")
	names = append(names, "created")
	time.Sleep(3 * time.Second) // a real daemon's health checks and restarts take their time
	d.Docker("pause", "paused")

	for _, name := range names {
		var body []byte
		for range 100 {
			if body = get("/containers/" + name + "/json"); name != "crashing" || bytes.Contains(body, []byte(`"Status":"restarting"`)) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		save("inspect/"+name+".json", body)
	}
	save("containers.json", get("/containers/json?all=1"))
	save("images.json", get("/images/json"))
	var images []struct {
		ID string `json:"Id"`
	}
	if err := json.Unmarshal(get("/images/json"), &images); err != nil {
		t.Fatal(err)
	}
	// A built image has a history with entries that have no layer.
	id := d.Docker("create", "bb:1", "true")
	d.Docker("commit", "--change", "LABEL built=yes", "-m", "a note", "-a", "somebody", id, "built:2")
	save("image-inspect/web.json", get("/images/bb:1/json"))
	save("image-history/web.json", get("/images/bb:1/history"))
	save("image-inspect/built.json", get("/images/built:2/json"))
	save("image-history/built.json", get("/images/built:2/history"))

	d.Docker("rename", "web", "web2")
	d.Docker("unpause", "paused")
	d.Docker("run", "--rm", "--network", "none", "--name", "short", "bb:1", "true")
	d.Docker("update", "--memory", "48m", "--memory-swap", "96m", "limited")
	d.Docker("kill", "web2")
	d.Docker("rm", "web2")
	d.Docker("tag", "bb:1", "bb:2")
	d.Docker("rmi", "bb:2")
	query := url.Values{"since": {"0"}, "until": {strconv.FormatInt(time.Now().Unix()+1, 10)}}
	save("events.jsonl", get("/events?"+query.Encode()))
}
