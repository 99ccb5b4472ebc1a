package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
	"github.com/rollcall-dev/rollcall/test/examples/lxc"
)

// others switches off every collector but the one that a test adds.
const others = "collectors: {docker: off, containerd: off, podman: off, cri: off, process: off, host: off}\n"

// withLXC runs the program with one more line in the catalog.
func withLXC(t *testing.T, env []string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{out: &out, err: &errs, environ: env,
		collectors: append(catalog.Collectors(), lxc.Spec)}
	code := a.run(t.Context(), args)
	return result{out.String(), errs.String(), code}
}

// A collector is a folder (test/examples/lxc) and a line in the catalog. Everything else is made of
// its Spec.
func TestACollectorIsOneFolderAndOneLine(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "web"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(others+"lxc:\n  dir: "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	contains := func(what, text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q:\n%s", what, part, text)
			}
		}
	}

	// Documentation.
	schema := config.NewSchema(append(catalog.Collectors(), lxc.Spec))
	contains("the reference of all options", schema.Markdown(),
		"| `lxc.dir` | text | `\"/var/lib/lxc\"` | Folder of LXC's containers. |",
		"| `collectors.lxc` | auto, on or off | `auto` | Whether LXC's containers are collected. |")
	contains("the example", withLXC(t, nil, "config", "--example").out,
		"#lxc:", `#  dir: "/var/lib/lxc"`, "#  lxc: auto")

	// Configuration, from everywhere.
	contains("the file's value", withLXC(t, nil, "config", "--config", file).out,
		`dir: "`+dir+`" # `+file+":3")
	contains("the variable's value", withLXC(t, []string{"ROLLCALL_LXC_DIR=/env"}, "config",
		"--config", file).out, `dir: "/env" # ROLLCALL_LXC_DIR`)
	contains("the flag's value", withLXC(t, []string{"ROLLCALL_LXC_DIR=/env"}, "config",
		"--lxc-dir", "/flag").out, `dir: "/flag" # --lxc-dir`)
	contains("the help", withLXC(t, nil, "--help").out,
		"--lxc-dir string", "folder of LXC's containers (option lxc.dir)")
	contains("the error of a slip", withLXC(t, nil, "config", "--set", "lxc.dri=x").err,
		"unknown option lxc.dri; did you mean lxc.dir?")

	// It collects, and status knows it.
	r := withLXC(t, nil, "ls", "container", "--config", file, "-o", "json")
	contains("ls", r.out, `"web"`, `"lxc"`)
	for _, tc := range []struct {
		set   string
		state collection.State
		cause workloadmeta.Cause
	}{
		{"lxc.dir=" + dir, collection.StateLive, ""},
		{"lxc.dir=/nonexistent", collection.StateWaiting, workloadmeta.CauseAbsent},
		{"collectors.lxc=off", collection.StateDisabled, workloadmeta.CauseOff},
	} {
		r := withLXC(t, nil, "status", "--config", file, "--set", tc.set, "-o", "json")
		var report struct{ Collectors []collection.Status }
		if err := json.Unmarshal([]byte(r.out), &report); err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		found := false
		for _, s := range report.Collectors {
			if s.ID == "lxc" {
				found = true
				if s.State != tc.state || s.Cause != tc.cause {
					t.Errorf("with %s its status is %+v, want %s, %q", tc.set, s, tc.state,
						tc.cause)
				}
			}
		}
		if !found {
			t.Errorf("with %s status does not know it: %s", tc.set, r.out)
		}
	}
	// Who names its folder, or switches it on, asks for it.
	contains("the error about what was asked for",
		withLXC(t, nil, "ls", "--config", file, "--lxc-dir", "/nonexistent").err,
		"lxc: no containers at /nonexistent; install LXC, or set lxc.dir (lxc.dir is set by --lxc-dir)")

	// fx.
	var entities workloadmeta.Component
	app := fx.New(fx.NopLogger, store.Module, collection.Module, lxc.Module,
		fx.Supply(lxc.Options{Dir: dir}), fx.Populate(&entities))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Stop(t.Context()) }()
	if err := entities.WaitSynced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := entities.GetContainerByName("web"); err != nil {
		t.Error(err)
	}
}

// A variable that serves another program ends no command, and a collector that is off is not even
// made, so that nothing that is wrong with its options matters.
func TestWhatIsOffOrOthersDoesNotEndACommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(others), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		env  string
		args string
		says string // on standard error
	}{
		{"DOCKER_HOST=ssh://root@127.0.0.1", "--set collectors.docker=auto",
			"docker: DOCKER_HOST: docker host \"ssh://root@127.0.0.1\": scheme ssh is not supported"},
		{"CONTAINERD_ADDRESS=tcp://x", "--set collectors.containerd=auto",
			"containerd: CONTAINERD_ADDRESS: containerd address \"tcp://x\": want a path"},
		{"CONTAINER_HOST=ssh://core@127.0.0.1:22/run/podman/podman.sock",
			"--set collectors.podman=auto --set podman.sockets=[]",
			"podman: podman address \"ssh://core@127.0.0.1:22/run/podman/podman.sock\": scheme ssh"},
		{"DOCKER_HOST=ssh://x", "", ""},
		{"CONTAINERD_ADDRESS=tcp://x", "", ""},
		{"ROLLCALL_DOCKER_HOST=nonsense", "", ""},
		{"ROLLCALL_PODMAN_SOCKETS=nonsense", "", ""},
		{"ROLLCALL_CRI_SOCKET_PATH=nonsense", "", ""},
	} {
		cmd := strings.Fields("ls process --set collectors.process=auto --config " + file + " " +
			tc.args)
		r := rollcallEnv(t, []string{tc.env}, cmd...)
		if r.code != 0 || !strings.Contains(r.err, tc.says) || tc.says == "" && r.err != "" {
			t.Errorf("%s rollcall %s: exit %d, %q; want exit 0, %q", tc.env, tc.args, r.code, r.err,
				tc.says)
		}
	}
	// Our own variable is a mistake, and names what is wrong.
	for env, want := range map[string]string{
		"ROLLCALL_DOCKER_HOST=nonsense": "option docker.host, set by ROLLCALL_DOCKER_HOST: docker " +
			"host \"nonsense\": want ",
		"ROLLCALL_CONTAINERD_ADDRESS=x": "option containerd.address, set by " +
			"ROLLCALL_CONTAINERD_ADDRESS: containerd address \"x\": want ",
		"DD_CRI_SOCKET_PATH=containerd.sock": "option cri_socket_path, set by DD_CRI_SOCKET_PATH: ",
		"DD_CRI_SOCKET_PATH=crio.sock":       "option cri_socket_path, set by DD_CRI_SOCKET_PATH: ",
		"ROLLCALL_PODMAN_SOCKETS=ssh://a":    "option podman.sockets, set by ROLLCALL_PODMAN_SOCKETS: ",
	} {
		r := rollcallEnv(t, []string{env}, "ls", "container")
		if r.code != 1 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit %d, %q; want %q", env, r.code, r.err, want)
		}
	}
}

// Another type of agent runs other collectors. A file and variables that are a node agent's as
// well are no mistake.
func TestAnotherTypeOfAgent(t *testing.T) {
	r := rollcallEnv(t, []string{"DOCKER_HOST=ssh://x", "ROLLCALL_PODMAN_SOCKETS=nonsense"},
		"status", "--agent-type", "cluster", "--set", "collectors.kubelet=on", "-o", "json")
	var report struct{ Collectors []collection.Status }
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != 0 || r.err != "" {
		t.Fatalf("%v: %+v", err, r)
	}
	for _, s := range report.Collectors {
		if s.ID == "kubelet" || s.ID == "docker" {
			if s.State != collection.StateDisabled || s.Cause != workloadmeta.CauseOff ||
				s.Reason != "does not belong to an agent of type cluster" {
				t.Errorf("%+v", s)
			}
		}
	}
	if len(report.Collectors) < 7 {
		t.Errorf("status has %+v", report.Collectors)
	}
	r = rollcallEnv(t, nil, "ls", "--agent-type", "clutser")
	if r.code != 1 || !strings.Contains(r.err, "--agent-type: option agent_type: want node") {
		t.Errorf("exit %d, %q", r.code, r.err)
	}
}
