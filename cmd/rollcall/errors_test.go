package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Everything that is wrong is one line that names it, and nothing on the standard output.
func TestErrorsAreOneLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	badKey := write("key.yaml", "container_lables_as_tags: {}\n")
	badType := write("type.yaml", "tags: 3\n")
	badGlob := write("glob.yaml", "container_labels_as_tags:\n  'a*[': b\n")
	badRule := write("rule.yaml", "rules:\n- drop: a\n- drop: b\n  wen: {}\n")
	badRegex := write("regex.yaml", "- exclude: containers\n  when: {image: /(/}\n")
	badFilter := write("filter.yaml", "container_exclude:\n- name:a\n- image:(\n")
	badLine := write("bad.jsonl",
		`{"type":"set","source":"runtime","entity":{"kind":"container","id":"a"}}`+"\n"+
			`{"type":"set","source":"runtime","entity":{"kind":"pot","id":"a"}}`+"\n")
	twins := write("twins.jsonl",
		`{"type":"set","source":"runtime","entity":{"kind":"container","id":"abcd1111","name":"web"}}`+"\n"+`{"type":"set","source":"runtime","entity":{"kind":"container","id":"abcd2222","name":"web"}}`+"\n")
	for _, tc := range []struct {
		line string
		code int
		want string
	}{
		{"--bad", 2, `unknown flag: --bad; "rollcall --help" lists the flags`},
		{"ls --cardinalty low", 2, `unknown flag: --cardinalty; did you mean --cardinality?`},
		{"ls --form x", 2, `unknown flag: --form; did you mean --from?`},
		{"ls --json", 2, `unknown flag: --json; did you mean -o json?`},
		{"ls --format json", 2, `unknown flag: --format; did you mean -o, --output?`},
		{"ls -o tabel", 2, `unknown output format "tabel"; did you mean table?`},
		{"help frob", 2, `unknown command "frob"; "rollcall --help" lists the commands`},
		{"help rules frob", 2, `unknown command "rules frob"`},
		{"ls --from=", 2, `--from is empty (answer from a recording, and touch nothing of this machine)`},
		{"ls --config=", 2, `--config is empty`},
		{"ls --docker-host=", 2, `--docker-host is empty`},
		{"ls --cardinality=", 2, `--cardinality is empty`},
		{"rules test --rules=", 2, `--rules is empty`},
		{"ls --bad", 2, `unknown flag: --bad; "rollcall ls --help" lists the flags`},
		{"statsu", 2, `unknown command "statsu"; did you mean status?`},
		{"frobnicate", 2, `unknown command "frobnicate"; "rollcall --help" lists the commands`},
		{"ls pots", 2, `; a name comes after its kind, as in "container pots"`},
		{"ls gizmos", 2, `unknown kind "gizmos" (want container, pod, `},
		{"ls container --filter x", 2, `--filter "x": want field=value, such as labels.team=shop`},
		{"watch contaner", 2, `unknown kind "contaner"; did you mean container?`},
		{"get pot x", 2, `unknown kind "pot"; did you mean pod?`},
		{"get container", 2, `want an ID or a name after the kind container`},
		{"get", 2, `get: want a kind, if you like, and an ID or a name, have 0 arguments; "rollcall get --help" says more`},
		{"ls -o xml", 2, `unknown output format "xml" (want table, wide, json, yaml)`},
		{"ls --cardinality middling", 2, `unknown cardinality "middling" (want low, orchestrator or high)`},
		{"ls --timeout soon", 2, `invalid argument "soon" for "--timeout" flag`},
		{"ls --timeout 0", 2, `--timeout is 0s; want more than 0`},
		{"ls --color sometimes", 2, `unknown value "sometimes" of --color (want auto, always or never)`},
		{"tags foo://x --from " + shop, 2, `entity ID "foo://x": unknown prefix "foo" (known prefixes: container_id, `},
		{"tags container_id:// --from " + shop, 2, `entity ID "container_id://": nothing after "://"`},
		{"explain foo://x --from " + shop, 2, `unknown prefix "foo"`},
		{"completion tcsh", 2, `unknown shell "tcsh" (want bash, zsh, fish or powershell)`},
		{"explain web x --tag service --from " + shop, 2, `unknown kind "web"`},
		{"explain web service x --tag service --from " + shop, 2, `beside --tag`},
		{"explain web env service --from " + shop, 2, `explain: want a kind, if you like, an ID or a name, and a tag, if you like; of three words the first is the kind: unknown kind "web"`},
		{`explain web "" --from ` + shop, 2, `the tag is empty; want a tag or its name, or nothing`},
		{`explain container web "" --from ` + shop, 2, `the tag is empty; want a tag or its name, or nothing`},
		{"explain web --tag= --from " + shop, 2, `--tag is empty`},
		{"explain", 2, `explain: want a kind, if you like, an ID or a name, and a tag, if you like, have 0 arguments`},
		{"replay", 2, `replay: want one recording, have 0 arguments`},
		{"replay x --speed -1", 2, `--speed is -1; want 0 or more`},
		{"replay " + shop + " --from " + shop, 2, `give the recording as the argument, not with --from`},
		{"rules frobnicate", 2, `rules: unknown command "frobnicate" (want list or test)`},
		{"rules test x", 2, `test: want no arguments, have 1 arguments; "rollcall rules test --help" says more`},
		{"ls --set docker.host", 2, `--set "docker.host": want name=value`},

		{"ls --from nope.jsonl", 1, `read the recording nope.jsonl: no such file or directory`},
		{"ls --from testdata", 1, `read the recording testdata: it is a folder; want a file made by "rollcall record"`},
		{"tags --from " + badLine, 1, badLine + `:2: field "entity": entity: field "kind": unknown kind "pot"`},
		{"ls --config nope.yaml", 1, `read the configuration nope.yaml: no such file or directory`},
		{"ls --config " + badKey, 1, badKey + `:1: unknown option container_lables_as_tags; did you mean container_labels_as_tags?`},
		{"tags --config " + badType, 1, badType + `:1: option tags: want a list of texts, have the number 3`},
		{"tags --config " + badGlob + " --from " + shop, 1, badGlob + `:2: option container_labels_as_tags: key "a*[": `},
		{"ls --config " + badRule, 1, badRule + `:4: option rules: rules[2]: unknown key "wen" (want exclude, include, `},
		{"rules test --rules " + badRegex + " --from " + shop, 1, badRegex + `:1: rules[1]: when: image: pattern "/(/": error parsing regexp: missing closing )`},
		{"rules list --rules nope.yaml", 1, `read the rules nope.yaml: no such file or directory`},
		{"ls --config " + badFilter, 1, badFilter + `:3: option container_exclude: item "image:(": error parsing regexp: missing closing )`},
		{"ls --set rules=[{\"drop\":null}] --from " + shop, 1, `--set: option rules: --set:1: rules[1]: drop: want text, have nothing`},
		{"ls --set dokker.host=x", 1, `--set: unknown option dokker.host; did you mean docker.host?`},
		{"ls --docker-host nonsense", 1, `option docker.host, set by --docker-host: docker host "nonsense": want unix:///path, tcp://host:port`},
		{"ls --set docker.hosts=unix:///a.sock,ssh://h", 1, `option docker.hosts, set by --set: item 2: docker host "ssh://h": scheme ssh is not supported`},
		{"ls --set docker.hosts=unix:///a.sock,ssh://h", 1, `option docker.hosts, set by --set: item 2: docker host "ssh://h": scheme ssh is not supported (unix, tcp and npipe are)`},
		{"record /nonexistent/x.jsonl --from " + shop, 1, `record to /nonexistent/x.jsonl: no such file or directory`},
		{"get container web --from " + twins, 1, `"web" is ambiguous: there are 2 of kind container: abcd1111, abcd2222`},
		{"tags abcd --from " + twins, 1, `"abcd" is ambiguous: there are 2 of kind container: abcd1111 (web), abcd2222 (web)`},

		{"get container nope --from " + shop, 3, `no container has the ID or name "nope"; it was not there when the recording testdata/shop.jsonl ended`},
		{"tags nope --from " + shop, 3, `nothing has the ID or name "nope"; it was not there when the recording testdata/shop.jsonl ended`},
		{"get wbe --from " + shop, 3, `nothing has the ID or name "wbe"; did you mean web?; it was not there`},
		{"tags container_id://nope --from " + shop, 3, `container_id://nope: no collector has reported it`},
		{"get process 99999 --from " + shop, 3, `no process 99999; it was not there when the recording`},
		{"ls image --set container_image.enabled=false", 3, `nothing found; images are not collected; set container_image.enabled to true`},
		{"ls po -n nowhere --from " + shop, 3, `nothing found in the namespace "nowhere"; `},
		{"ls po web-* api-* -l app=x -n y --from " + shop, 3, `nothing found called "web-*" or "api-*" in the namespace "y" with the labels "app=x"`},
		{"ls --image a --filter name=b --from " + shop, 3, `nothing found whose image is "a" and name is "b"; `},
		{"get container x --set collectors.process=off --set collectors.docker=off", 3, `no container has the ID or name "x"; collectors that are disabled: docker; collectors that are waiting: `},
	} {
		t.Run(tc.line, func(t *testing.T) {
			t.Parallel()
			given := strings.Fields(tc.line)
			for i := range given {
				given[i] = strings.ReplaceAll(given[i], `""`, "")
			}
			r := rollcall(t, given...)
			if r.code != tc.code || !strings.HasPrefix(r.err, "rollcall: ") ||
				!strings.Contains(r.err, tc.want) || strings.Count(r.err, "\n") != 1 ||
				r.out != "" {
				t.Errorf(
					"rollcall %s\n exit code %d, want %d\n stderr %q\n want   %q in one line\n stdout %q, want none", tc.line, r.code, tc.code, r.err, tc.want, r.out)
			}
		})
	}
}

// What was asked for by name and does not answer fails the command, which answers all the same from
// what the others know.
func TestWhatWasAskedForAndIsNotThere(t *testing.T) {
	for _, tc := range []struct {
		line    string
		lines   int
		want    string
		answers bool
	}{
		{"ls --docker-host unix:///nonexistent/d.sock", 1, `docker: no socket at /nonexistent/d.sock; set docker.host or DOCKER_HOST (docker.host is set by --docker-host)`, true},
		{"ls --set docker.hosts=unix:///nonexistent/a.sock,unix:///nonexistent/b.sock", 2, `docker@/nonexistent/b.sock: no socket at /nonexistent/b.sock; set docker.hosts to where it is (docker.hosts is set by --set)`, true},
		{"ls --set collectors.host=on", 1, `host: host tags are not asked for; set expected_tags_duration (collectors.host is set to on by --set)`, true},
		{
			"ls --set containerd.address=/nonexistent/c.sock --set podman.sockets=/nonexistent/p.sock --set collectors.containerd=auto --set collectors.podman=auto", 2,
			`podman: `, true},
		{"tags web --docker-host tcp://127.0.0.1:1", 2, `docker: cannot reach tcp://127.0.0.1:1: `, false},
	} {
		t.Run(tc.line, func(t *testing.T) {
			t.Parallel()
			r := rollcallEnv(t, noRuntimes[1:],
				append(strings.Fields(tc.line), patiently)...)
			if r.code != 1 || !strings.Contains(r.err, tc.want) ||
				strings.Count(r.err, "\n") != tc.lines || (r.out != "") != tc.answers {
				t.Errorf(
					"exit code %d, want 1\n stderr %q\n want   %q in %d lines\n stdout of %d bytes",
					r.code, r.err, tc.want, tc.lines, len(r.out))
			}
		})
	}
}

func TestBadLinesAreCountedOnRequest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	good := `{"op":"set","source":"runtime","entity":{"kind":"container","id":"a","name":"web","colour":"blue"}}` + "\n"
	if err := os.WriteFile(path, []byte("nonsense\n"+good+"{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rollcall(t, "tags", "web", "--from", path, "--skip-bad-lines")
	if r.code != 0 || !strings.Contains(r.out, "container_name:web") ||
		!strings.Contains(r.err, path+": passed over 2 lines that cannot be read; the first: "+path+
			":1: ") ||
		!strings.Contains(r.err,
			path+": left out fields that this version does not know: entity.colour\n") {
		t.Errorf("tags: %+v", r)
	}
}

// DOCKER_HOST may be set for other programs: a daemon that is not there is told of, and the rest is
// shown all the same.
func TestUnreachableDockerHostIsToldOf(t *testing.T) {
	env := []string{"DOCKER_HOST=unix:///nonexistent/d.sock"}
	r := rollcallEnv(t, env, "ls", "process")
	if want := "rollcall: docker: no socket at /nonexistent/d.sock; set docker.host or DOCKER_HOST\n"; r.code != 0 || r.err != want || r.out == "" {
		t.Errorf("exit code %d, stderr %q, want %q; stdout %d bytes", r.code, r.err, want,
			len(r.out))
	}
	if r := rollcallEnv(t, env, "ls", "process", "--set", "collectors.docker=off"); r.code != 0 ||
		r.err != "" {
		t.Errorf("with collectors.docker=off: %d, %q", r.code, r.err)
	}
	if r := rollcallEnv(t, env, "ls", "--set", "collectors.docker=on"); r.code != 1 ||
		r.out == "" ||
		!strings.Contains(r.err, "(collectors.docker is set to on by --set)") {
		t.Errorf("with collectors.docker=on: %+v", r)
	}
}

// What changes is what a line of watch shows.
func TestWatchShowsHealth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	var lines string
	for _, health := range []string{"unknown", "healthy", "unhealthy"} {
		lines += `{"type":"set","source":"runtime","entity":{"kind":"container","id":"a","name":"web","state":{"running":true,"status":"running","health":"` + health + `"}}}` + "\n"
	}
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rollcall(t, "watch", "--from", path)
	if r.code != 0 || !strings.Contains(r.out, "running (healthy)\n") ||
		!strings.Contains(r.out, "running (unhealthy)\n") {
		t.Errorf("watch: %+v", r)
	}
}
