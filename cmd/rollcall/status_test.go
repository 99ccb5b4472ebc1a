package main

import (
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

func TestTroubles(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	got := troubles([]collection.Status{
		{ID: "docker", State: collection.StateLive, Problem: workloadmeta.Problem{Reason: "docker answers"}},
		{ID: "containerd", State: collection.StateWaiting, NextRetry: now.Add(15 * time.Second),
			Problem: workloadmeta.Problem{Cause: workloadmeta.CauseDenied,
				Reason: "permission denied on /c.sock", Hint: "run as root"},
			More: []workloadmeta.Problem{{Reason: "no socket at /d.sock"}}},
		{ID: "podman", State: collection.StateLive, Parts: []collection.Part{
			{Name: "/run/podman/podman.sock", State: collection.StateLive},
			{Name: "/run/user/1000/podman/podman.sock", State: collection.StateWaiting,
				Problem: workloadmeta.Problem{Reason: "connection refused", Hint: "start it"}},
		}},
		{ID: "cri", State: collection.StateDegraded, NextRetry: now.Add(time.Millisecond),
			Problem: workloadmeta.Problem{Reason: "pull: list: connection refused\nand so on"}},
		{ID: "docker", State: collection.StateFailed, Problem: workloadmeta.Problem{Reason: "\x1b[31mfailed"}},
	}, now)
	want := `containerd is waiting, looked at again in 15s:
  permission denied on /c.sock
  run as root
  no socket at /d.sock
podman is live, but /run/user/1000/podman/podman.sock is waiting:
  connection refused
  start it
cri is degraded, looked at again in 1s:
  pull: list: connection refused
  and so on
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
