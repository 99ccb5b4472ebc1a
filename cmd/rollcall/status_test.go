package main

import (
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

func TestTroubles(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	got := troubles([]collection.Status{
		{ID: "docker", State: collection.StateLive, Reason: "docker answers"},
		{ID: "containerd", State: collection.StateWaiting, Reason: "permission denied on /c.sock; run as root", NextRetry: now.Add(15 * time.Second)},
		{ID: "podman", State: collection.StateLive, Parts: []collection.Part{
			{Name: "/run/podman/podman.sock", State: collection.StateLive},
			{Name: "/run/user/1000/podman/podman.sock", State: collection.StateWaiting, Reason: "connection refused; start it"},
		}},
		{ID: "cri", State: collection.StateDegraded, Reason: "pull: list: connection refused", NextRetry: now.Add(time.Millisecond)},
		{ID: "docker", State: collection.StateFailed, Reason: "\x1b[31mfailed"},
	}, now)
	want := `containerd is waiting, looked at again in 15s:
  permission denied on /c.sock
  run as root
podman is live, but /run/user/1000/podman/podman.sock is waiting:
  connection refused
  start it
cri is degraded, looked at again in 1s:
  pull: list: connection refused
  nobody listens there: start the daemon
  in a container, mount the socket's folder, because a mounted socket is the old one after a restart
docker is failed:
  \u001b[31mfailed

`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := troubles([]collection.Status{{ID: "docker", State: collection.StateLive}},
		now); got != "" {
		t.Errorf("nothing is wrong, and it says %q", got)
	}
}
