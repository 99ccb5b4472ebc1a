package podman_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/realnode"
)

// TestRecord makes the recordings that the mapping tests read. Record with the version of Podman in
// the folder's name.
func TestRecord(t *testing.T) {
	collectortest.OnlyToRecord(t)
	realnode.Require(t)
	p := realnode.StartPodman(t)
	r := collectortest.NewRecorder(t, "testdata/podman-4.3", p.Root, "/srv",
		`"`+collectortest.Hostname(t)+`"`, `"phost"`)
	get := func(path string) []byte {
		t.Helper()
		return collectortest.Ask(t, p.Socket, path)
	}

	begin := time.Now()
	const libpod = "/v4.0.0/libpod"

	p.ImportImage("reg.example.test:5000/shop/web:1", "LABEL team=blue", "EXPOSE 80/tcp",
		"EXPOSE 53/udp",
		"ENV DD_VERSION=1.2", "ENV IMAGE_SECRET=hunter1")
	p.Podman("tag", "reg.example.test:5000/shop/web:1", "localhost/bb:1")
	p.ImportImage("localhost/lost:1", "LABEL lost=yes")
	p.Podman("network", "create", "--subnet", "10.97.251.0/24", "--subnet", "fd00:97:251::/64",
		"--ipv6", "front")
	p.Podman("network", "create", "--subnet", "10.97.252.0/24", "back")
	var names []string
	run := func(name string, args ...string) {
		t.Helper()
		p.Podman(append([]string{"run", "-d", "--stop-timeout", "1", "--name", name}, args...)...)
		names = append(names, name)
	}
	run("web", "--network", "front", "--network", "back", "-p", "18081:80", "-p",
		"127.0.0.1:18061-18063:9000-9002/udp",
		"--label", "com.docker.compose.service=web", "-e", "DD_SERVICE=web", "-e", "SECRET=hunter2",
		"-e", "API_TOKEN=hunter3",
		"--annotation", "kubectl.kubernetes.io/last-applied-configuration=hunter4",
		"--health-cmd", "true", "--health-interval", "disable", "reg.example.test:5000/shop/web:1",
		"sleep", "1000")
	p.Podman("healthcheck", "run", "web")
	run("limited", "--network", "none", "--hostname", "small", "--cpus", "0.5", "--memory", "64m",
		"--memory-reservation", "32m",
		"--cpu-shares", "512", "--cpuset-cpus", "0", "--cap-add", "NET_ADMIN", "--cap-drop",
		"CHOWN", "--cap-drop", "kill",
		"--security-opt", "seccomp=unconfined", "localhost/bb:1", "sleep", "1000")
	run("paused", "--network", "none", "--health-cmd", "false", "--health-interval", "disable",
		"--health-retries", "1", "localhost/bb:1", "sleep", "1000")
	if _, _, err := p.TryPodman("healthcheck", "run", "paused"); err == nil {
		t.Error("a health check that fails has succeeded")
	}
	run("privileged", "--network", "none", "--privileged", "localhost/bb:1", "sleep",
		"--help=hunter5", "1000")
	run("stopped", "--network", "none", "localhost/bb:1", "sh", "-c", "exit 3")
	run("failed", "--network", "none", "--restart", "on-failure:2", "localhost/bb:1", "sh", "-c",
		"exit 4")
	run("hostnet", "--network", "host", "localhost/bb:1", "sleep", "1000")
	run("quota", "--network", "none", "--cpu-period", "50000", "--cpu-quota", "75000", "--restart",
		"always", "localhost/bb:1", "sleep", "1000")
	run("nameless", "--network", "none", "localhost/lost:1", "sleep", "1000")
	p.Podman("untag", "localhost/lost:1")
	run("by-id", "--network", "none",
		p.Podman("image", "inspect", "-f", "{{.Id}}", "localhost/bb:1")[:12], "sleep", "1000")
	p.Podman("pod", "create", "--name", "shop", "--network", "front", "-p", "18082:8080",
		"--infra-image", "localhost/bb:1", "--infra-command", "sleep 1000")
	run("in-pod", "--pod", "shop", "localhost/bb:1", "sleep", "1000")
	names = append(names, p.Podman("pod", "inspect", "-f", "{{.InfraContainerID}}", "shop"))
	p.Podman("create", "--network", "none", "--name", "created", "localhost/bb:1", "sleep", "1000")
	names = append(names, "created")
	time.Sleep(2 * time.Second) // restarts of a real Podman take their time
	p.Podman("pause", "paused")

	for _, name := range names {
		body := get(libpod + "/containers/" + name + "/json")
		if len(name) == 64 {
			name = "infra"
		}
		r.Save("inspect/"+name+".json", body)
	}
	r.Save("containers.json", get(libpod+"/containers/json?all=true"))
	// A built image has a history with entries that have no layer.
	p.Podman("commit", "--change", "LABEL built=yes", "-m", "a note", "-a", "somebody", "--format",
		"docker", "quota", "localhost/built:2")
	r.Save("images.json", get(libpod+"/images/json"))
	r.Save("image-inspect/web.json", get(libpod+"/images/localhost%2Fbb:1/json"))
	r.Save("image-inspect/built.json", get(libpod+"/images/localhost%2Fbuilt:2/json"))
	r.Save("pod.json", get(libpod+"/pods/shop/json"))

	p.Podman("rename", "web", "web2")
	p.Podman("unpause", "paused")
	p.Podman("exec", "paused", "true")
	if _, _, err := p.TryPodman("run", "--rm", "--network", "none", "--name", "short",
		"localhost/bb:1", "sh", "-c", "exit 7"); err == nil {
		t.Error("a command that fails has succeeded")
	}
	p.Podman("network", "disconnect", "back", "web2")
	p.Podman("network", "connect", "back", "web2")
	p.Podman("kill", "web2")
	p.Podman("rm", "web2")
	p.Podman("restart", "--time", "0", "limited")
	p.Podman("tag", "localhost/bb:1", "localhost/bb:2")
	p.Podman("untag", "localhost/bb:1", "localhost/bb:2")
	p.Podman("tag", "localhost/bb:1", "localhost/bb:3")
	p.Podman("rmi", "localhost/bb:3") // one of several names
	archive := filepath.Join(p.Root, "work", "image.tar")
	p.Podman("save", "--quiet", "--output", archive, "localhost/built:2")
	p.Podman("rmi", "localhost/built:2")
	p.Podman("load", "--quiet", "--input", archive)
	query := fmt.Sprintf("/events?stream=false&since=%d", begin.Unix()-1)
	r.Save("events.jsonl", get(libpod+query))
	r.Save("events-compat.jsonl", get("/v1.40"+query))
}
