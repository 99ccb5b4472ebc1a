package main

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/test/realnode"
)

// silentDaemon listens, accepts and never says anything. It returns the socket's path.
func silentDaemon(t *testing.T, path string) string {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				for _, c := range conns {
					c.Close()
				}
				return
			}
			conns = append(conns, conn)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

// From a real daemon to the tags on the screen, and the same again from a recording.
func TestRealDocker(t *testing.T) {
	realnode.Require(t)
	d := realnode.StartDockerd(t)
	d.ImportImage("shop/web:1.2")
	id := strings.TrimSpace(d.Run("--name", "web", "-e", "DD_ENV=prod", "-e",
		"SECRET_TOKEN=hunter2",
		"--label", "com.datadoghq.tags.service=shop", "shop/web:1.2", "sleep", "600"))
	host := "--docker-host=unix://" + d.Socket

	r := rollcall(t, "ls", "containers", "-o", "json", host)
	var got struct {
		Entities []struct {
			ID, Name string
			Sources  []string
			Tags     []string
		}
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != 0 {
		t.Fatalf("ls: %v, %+v", err, r)
	}
	found := false
	for _, e := range got.Entities {
		if e.ID == id {
			found = e.Name == "web" && strings.Contains(strings.Join(e.Tags, " "), "env:prod") &&
				strings.Contains(strings.Join(e.Tags, " "), "service:shop")
			if len(e.Sources) == 0 || e.Sources[0] != "runtime" {
				t.Errorf("web is reported by %q, want the runtime first", e.Sources)
			}
		}
	}
	if !found {
		t.Errorf("ls does not show web with its tags: %s", r.out)
	}
	if r := rollcall(t, "ls", "process", "-o", "json", host); !strings.Contains(r.out,
		`"service:shop"`) {
		t.Errorf("no process carries the tags of web: %s", r.out)
	}
	for _, arg := range []string{"web", id[:12], "docker://" + id, "container_id://" + id} {
		if r := rollcall(t, "explain", arg, host); r.code != 0 ||
			!strings.Contains(r.out, "com.datadoghq.tags.service") {
			t.Errorf("explain %s: %+v", arg, r)
		}
	}

	file := filepath.Join(t.TempDir(), "r.jsonl")
	if r := rollcall(t, "record", file, "--once", host); r.code != 0 {
		t.Fatalf("record: %+v", r)
	}
	live, replayed := rollcall(t, "tags", "web", "-o", "json", host), rollcall(t, "tags", "web",
		"-o", "json", "--from", file)
	if live.out != replayed.out || live.code != 0 || replayed.code != 0 {
		t.Errorf("tags from the recording differ:\n%+v\n%+v", live, replayed)
	}
	for _, args := range [][]string{{"ls", "-a", "-o", "json", host}, {"record", "--once", host},
		{"watch", "--from", file, "-o", "json"}, {"explain", "web", host}} {
		if r := rollcall(t, args...); strings.Contains(r.out+r.err, "hunter2") {
			t.Errorf("%q shows a secret", args)
		}
	}
}
