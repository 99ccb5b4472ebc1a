package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What was recorded before a machine went down, or the disk was full, answers; a note says that the
// last line is not whole.
func TestRecordingThatIsCutOff(t *testing.T) {
	path := writeFile(t, "cut.jsonl", containerLine("aaaa1111", "web", "")+
		`{"type":"set","source":"runtime","entity":{"kind":"contai`)
	r := rollcall(t, "ls", "--from", path)
	if r.code != 0 || !strings.Contains(r.out, "aaaa1111") ||
		r.err != "rollcall: "+path+":2: cut off: unexpected EOF: the last line is left out\n" {
		t.Errorf("%+v", r)
	}
	// In the middle it is an error, as any bad line is.
	path = writeFile(t, "bad.jsonl", `{"type":"set","source`+"\n"+
		containerLine("aaaa1111", "web", ""))
	if r := rollcall(t, "ls", "--from", path); r.code != 1 || !strings.Contains(r.err, ":1: ") {
		t.Errorf("%+v", r)
	}
}

// A recording is written down whole, or up to the last whole line.
func TestRecordOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	r := rollcall(t, "record", "/dev/full", "--force", "--from", shop)
	if r.code != 1 || !strings.Contains(r.err, "no space left on device") {
		t.Errorf("%+v", r)
	}
}

// Lines of -o json are whole, also those that many bundles make.
func TestWatchJSONOfARecording(t *testing.T) {
	r := rollcall(t, "watch", "-o", "json", "--from", shop)
	lines := bufio.NewScanner(strings.NewReader(r.out))
	for n := 1; lines.Scan(); n++ {
		if !json.Valid(lines.Bytes()) {
			t.Errorf("line %d: %s", n, lines.Text())
		}
	}
}

// A recording carries what its tags depend on: it gives the same tags anywhere, whatever is
// configured there, unless somebody gives another configuration on purpose.
func TestAConfigurationTravels(t *testing.T) {
	conf := writeFile(t, "c.yaml", "container_labels_as_tags: {com.example.team: team}\n"+
		"rules:\n- drop: short_image\n- rename: {env: stage}\nretention: {grace: 10m}\n"+
		"tags: [\"dc:1\"]\n")
	fargate := []string{"AWS_EXECUTION_ENV=AWS_ECS_FARGATE", "SECRET=hunter2"}
	tags := func(env []string, args ...string) string {
		t.Helper()
		r := rollcallEnv(t, env, append([]string{"tags", "-o", "json"}, args...)...)
		if r.code != 0 || r.err != "" {
			t.Fatalf("%q: %+v", args, r)
		}
		return r.out
	}
	file := t.TempDir() + "/r.jsonl"
	if r := rollcallEnv(t, fargate, "record", file, "--from", shop, "--config", conf); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("%v: the recording holds a secret", err)
	}
	want := tags(fargate, "--from", file, "--config", conf)
	for _, part := range []string{`"team:front<end>"`, `"stage:prod"`, `"dc:1"`} {
		if !strings.Contains(want, part) {
			t.Fatalf("the tags lack %s: %s", part, want)
		}
	}
	there := []string{"ROLLCALL_CONTAINER_LABELS_AS_TAGS={}", "DD_TAGS=dc:2"}
	if got := tags(there, "--from", file); got != want {
		t.Errorf("elsewhere the tags are\n%s\nwant\n%s", got, want)
	}
	// Of one's own accord: a file replaces it, a flag changes it.
	other := writeFile(t, "o.yaml", "{}\n")
	if got := tags(nil, "--from", file, "--config", other); strings.Contains(got, "team:") {
		t.Errorf("with --config: %s", got)
	}
	if got := tags(nil, "--from", file, "--set", "rules=[]"); !strings.Contains(got, "team:") ||
		!strings.Contains(got, "env:prod") {
		t.Errorf("with --set: %s", got)
	}
	// What explains a tag names where it comes from.
	if r := rollcall(t, "explain", "web", "--from", file); !strings.Contains(r.out,
		"rules[2] ("+file+":1)") {
		t.Errorf("explain: %+v", r)
	}
	// One of a newer version, with options that this one does not know, is told of and played.
	newer := writeFile(t, "n.jsonl",
		`{"recording":{"version":1,"config":{"environment":[],"colour":"x"}}}`+
			"\n"+containerLine("aaaa1111", "web", ""))
	if r := rollcall(t, "tags", "web", "--from", newer); r.code != 0 ||
		!strings.Contains(r.err, "does not know: colour") {
		t.Errorf("%+v", r)
	}
}

// An empty recording and a machine with nothing on it give the same exit codes.
func TestNothingHere(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.jsonl")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]int{
		"ls": 0, "ls -o json": 0, "tags": 0, "watch --duration 1ms": 0, "record --once": 0,
		"status": 0, "rules list": 0, "rules test": 0, "ls container": 3, "ls container web": 3,
		"ls container -o json": 3, "get web": 3, "get container web": 3, "tags web": 3,
		"explain web": 3, "explain container_id://c1": 3, "watch container --duration 1ms": 0,
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			here := rollcallEnv(t, append([]string{"ROLLCALL_COLLECTORS_PROCESS=off",
				"ROLLCALL_COLLECTORS_KUBELET=off"}, noRuntimes...),
				append(strings.Fields(line), patiently)...)
			there := rollcall(t, append(strings.Fields(line), "--from", empty)...)
			if here.code != want || there.code != want {
				t.Errorf("exit code %d here and %d from a recording, want %d: %s%s", here.code,
					there.code, want, here.err, there.err)
			}
		})
	}
}
