package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// noDocker keeps tests away from a daemon of this machine.
var noDocker = []string{"ROLLCALL_COLLECTORS_DOCKER=off"}

func TestLiveProcesses(t *testing.T) {
	r := rollcallEnv(t, noDocker, "ls", "process", "-o", "json")
	var got struct{ Entities []struct{ Kind, ID string } }
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != 0 || r.err != "" {
		t.Fatalf("ls: %v, %+v", err, r)
	}
	pid := strconv.Itoa(os.Getpid())
	found := false
	for _, e := range got.Entities {
		found = found || e.Kind == "process" && e.ID == pid
	}
	if !found {
		t.Errorf("ls does not list this process, %s", pid)
	}
	if r := rollcallEnv(t, noDocker, "get", "process", pid, "-o", "json"); r.code != 0 || !strings.Contains(r.out, `"pid": `+pid) {
		t.Errorf("get process %s: %+v", pid, r)
	}
	if r := rollcallEnv(t, noDocker, "status"); r.code != 0 || !strings.Contains(r.out, "process    live") || !strings.Contains(r.out, "docker     disabled") {
		t.Errorf("status: %+v", r)
	}
}

// Ctrl-C and SIGTERM end what goes on for ever, with exit code 0, after whole lines.
func TestSignalsEndWatchAndRecord(t *testing.T) {
	for _, tc := range []struct {
		args []string
		sig  os.Signal
	}{
		{[]string{"watch", "process", "-o", "json"}, os.Interrupt},
		{[]string{"watch"}, syscall.SIGTERM},
		{[]string{"record"}, os.Interrupt},
		{[]string{"record", "-"}, syscall.SIGTERM},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			t.Parallel()
			cmd := command(t, noDocker, tc.args...)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var errs bytes.Buffer
			cmd.Stderr = &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(out)
			first, err := lines.ReadString('\n') // arrives although nothing else may ever happen
			if err != nil {
				t.Fatalf("no line: %v; %s", err, errs.String())
			}
			if err := cmd.Process.Signal(tc.sig); err != nil {
				t.Fatal(err)
			}
			var rest bytes.Buffer
			if _, err := rest.ReadFrom(lines); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil || errs.Len() > 0 {
				t.Errorf("after %s: %v, stderr %q; want exit code 0 and nothing", tc.sig, err, errs.String())
			}
			all := first + rest.String()
			if !strings.HasSuffix(all, "\n") {
				t.Errorf("the last line is cut off: %q", all)
			}
			if tc.args[0] == "record" || len(tc.args) > 2 {
				for line := range strings.SplitSeq(strings.TrimSpace(all), "\n") {
					if !json.Valid([]byte(line)) {
						t.Errorf("no JSON: %q", line)
					}
				}
			}
		})
	}
}

func TestRecordForAWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "live.jsonl")
	began := time.Now()
	r := rollcallEnv(t, noDocker, "record", path, "--duration", "300ms")
	if r.code != 0 || !strings.HasPrefix(r.err, "rollcall: "+path+": ") || time.Since(began) > 20*time.Second {
		t.Fatalf("record: %+v after %s", r, time.Since(began))
	}
	if r := rollcall(t, "ls", "process", "--from", path); r.code != 0 || !strings.Contains(r.out, strconv.Itoa(os.Getpid())) {
		t.Errorf("ls from the recording: %+v", r)
	}
}

// A Docker daemon that accepts and never answers is waited for no longer than --timeout.
func TestTimeout(t *testing.T) {
	began := time.Now()
	dir, err := os.MkdirTemp("", "rollcall") // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := silentDaemon(t, filepath.Join(dir, "d.sock"))
	r := rollcallEnv(t, []string{"DOCKER_HOST=unix://" + l}, "ls", "process", "--timeout", "1s")
	if r.code != 0 || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "docker") || r.out == "" || time.Since(began) > 15*time.Second {
		t.Errorf("ls with a daemon that hangs: code %d after %s, stderr %q, stdout of %d bytes", r.code, time.Since(began), r.err, len(r.out))
	}
	r = rollcall(t, "ls", "process", "--timeout", "1s", "--docker-host", "unix://"+l)
	if r.code != 1 || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "docker.host is set by --docker-host") || r.out != "" {
		t.Errorf("ls with a daemon that hangs and was asked for: code %d, stderr %q", r.code, r.err)
	}
}
