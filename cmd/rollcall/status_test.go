package main

import (
	"fmt"
	"strings"
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

// What explain says of one entity and rules test of rules, status says of all that is here.
func TestStatusNamesWhatIsWrongWithTags(t *testing.T) {
	const notAList = `,"labels":{"com.datadoghq.ad.tags":"[1]"}`
	const inPod = `,"owner":{"kind":"kubernetes_pod","id":"p1"}`
	recording := writeFile(t, "r.jsonl",
		containerLine("aaaa1111", "web", `,"env":{"DD_ENV":"a",`+
			`"OTEL_RESOURCE_ATTRIBUTES":"deployment.environment=b"}`)+
			containerLine("bbbb2222", "db", notAList)+
			containerLine("cccc3333", "cart", inPod)+containerLine("dddd4444", "cart-2", inPod)+
			`{"type":"set","source":"node_orchestrator","entity":{"kind":"kubernetes_pod",`+
			`"id":"p1","name":"p","annotations":{"ad.datadoghq.com/tags":"[]"},`+
			`"containers":[{"id":"cccc3333","name":"cart"},{"id":"dddd4444","name":"cart-2"}]}}`)
	conf := writeFile(t, "c.yaml",
		"container_exclude: [\"name:nobody,name:db\"]\nrules: [{drop: srevice}]\n")
	r := rollcall(t, "status", "--from", recording, "--config", conf)
	for line, times := range map[string]int{
		"problem: web: env: 2 different values: a (container variable DD_ENV), b ": 1,
		`problem: db: labels["com.datadoghq.ad.tags"]: item 1 is not a string`:     1,
		`annotations["ad.datadoghq.com/tags"]: want a JSON object`:                 1,
		`container_exclude "name:nobody" (` + conf + `:1) has no effect: `:         1,
		`container_exclude "name:db"`:                                              0,
		"rules[1] (" + conf + ":2) has no effect: no tag here is called srevice\n": 1,
	} {
		if got := strings.Count(r.out, line); got != times {
			t.Errorf("%q is there %d times, want %d:\n%s%s", line, got, times, r.out, r.err)
		}
	}
	r = rollcall(t, "status", "--from", recording, "--config", conf, "-o", "json")
	if !strings.Contains(r.out, `"problems": [`) || !strings.Contains(r.out, `"idle_rules": [`) {
		t.Errorf("-o json does not have them:\n%s", r.out)
	}

	var many strings.Builder
	for i := range mostProblems + 2 {
		many.WriteString(containerLine(fmt.Sprintf("eeee%04d", i), "x", notAList))
	}
	r = rollcall(t, "status", "--from", writeFile(t, "many.jsonl", many.String()))
	if got := strings.Count(r.out, "problem: x"); got != mostProblems ||
		!strings.Contains(r.out, "and 2 more problems; -o json has them all\n") {
		t.Errorf("%d problems:\n%s", got, r.out)
	}
	r = rollcall(t, "status", "--from", writeFile(t, "none.jsonl", ""), "--config", conf)
	if strings.Contains(r.out, "no effect") {
		t.Errorf("where no container is, no filter can have an effect:\n%s", r.out)
	}
}
