package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLiveProcesses(t *testing.T) {
	r := rollcallEnv(t, noRuntimes, "ls", "process", "-o", "json", patiently)
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
	if r := rollcallEnv(t, noRuntimes, "get", "process", pid, "-o", "json",
		patiently); r.code != 0 ||
		!strings.Contains(r.out, `"pid": `+pid) {
		t.Errorf("get process %s: %+v", pid, r)
	}
	if r := rollcallEnv(t, noRuntimes, "status", patiently); r.code != 0 ||
		!regexp.MustCompile(`(?m)^process +live`).MatchString(r.out) ||
		!regexp.MustCompile(`(?m)^containerd +disabled`).MatchString(r.out) {
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
			cmd := command(t, noRuntimes, append(tc.args, patiently)...)
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
				t.Errorf("after %s: %v, stderr %q; want exit code 0 and nothing", tc.sig, err,
					errs.String())
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

// The first signal ends the reading of a recording that does not end.
func TestSignalEndsReadingARecording(t *testing.T) {
	line := containerLine("aaaa1111", "web", "")
	for _, tc := range []struct{ args, content string }{
		{"ls --from -", line}, {"watch --from -", line}, {"replay -", line},
		{"replay endless", strings.Repeat("\x00", 1024)}, // a line that does not end
	} {
		t.Run(tc.args, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, nil, strings.Fields(tc.args)...)
			cmd.Dir = t.TempDir()
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			if !strings.HasSuffix(tc.args, "-") {
				path := filepath.Join(cmd.Dir, "endless")
				if err := syscall.Mkfifo(path, 0o600); err != nil {
					t.Fatal(err)
				}
				// Opened for both, it need not wait for whoever reads.
				if in, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
					t.Fatal(err)
				}
				defer in.Close()
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// When more is written than a pipe holds, it has begun to read.
			for n := 0; n < 1<<18; n += len(tc.content) {
				if _, err := io.WriteString(in, tc.content); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if cmd.ProcessState.ExitCode() < 0 { // also when it goes on and is killed
				t.Errorf("the signal has not ended it but killed it: %v", cmd.ProcessState)
			}
		})
	}
}

// However short --duration is, and however slow the first answers are, what was there is recorded.
func TestRecordForAWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "live.jsonl")
	r := rollcallEnv(t, noRuntimes, "record", path, "--duration", "1ms", patiently)
	if r.code != 0 || !strings.HasPrefix(r.err, "rollcall: "+path+": ") {
		t.Fatalf("record: %+v", r)
	}
	if r := rollcall(t, "ls", "process", "--from", path); r.code != 0 ||
		!strings.Contains(r.out, strconv.Itoa(os.Getpid())) {
		t.Errorf("ls from the recording: %+v", r)
	}
}

// A Docker daemon that accepts and never answers is waited for no longer than --timeout, and the
// answer is what the others know by then.
func TestTimeout(t *testing.T) {
	dir, err := os.MkdirTemp("", "rollcall") // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := silentDaemon(t, filepath.Join(dir, "d.sock"))
	// ls lists the processes with a limit that is long enough for them.
	ls := func(env []string, flags ...string) result {
		t.Helper()
		for limit := time.Second; ; limit *= 2 {
			r := rollcallEnv(t, env, append([]string{"ls", "process", "-o", "json", "--timeout",
				limit.String()}, flags...)...)
			if strings.Contains(r.out, `"pid": `+strconv.Itoa(os.Getpid())) {
				return r
			}
			if limit > 30*time.Second {
				t.Fatalf("ls within %s: %+v", limit, r)
			}
		}
	}
	if r := ls([]string{"DOCKER_HOST=unix://" + l}); r.code != 0 ||
		strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "docker") {
		t.Errorf("ls with a daemon that hangs: code %d, stderr %q", r.code, r.err)
	}
	if r := ls(nil, "--docker-host", "unix://"+l); r.code != 1 ||
		strings.Count(r.err, "\n") != 1 ||
		!strings.Contains(r.err, "docker.host is set by --docker-host") {
		t.Errorf("ls with a daemon that hangs and was asked for: code %d, stderr %q", r.code, r.err)
	}
}

// A socket that may not be opened is named, with what to do about it.
func TestSocketWithoutPermission(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to run rollcall as somebody else")
	}
	dir, err := os.MkdirTemp("", "rollcall")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	exe, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "rollcall"), exe, 0o755)
	}
	for _, change := range []struct {
		path string
		mode os.FileMode
	}{{dir, 0o755}, {socket, 0o600}} {
		if err == nil {
			err = os.Chmod(change.path, change.mode)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, nil, "ls", "containers", "--docker-host", "unix://"+socket, patiently)
	cmd.Path, cmd.Dir = filepath.Join(dir, "rollcall"), dir
	cmd.Env = append([]string{asMain + "=1"}, noRuntimes[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var errs strings.Builder
	cmd.Stderr = &errs
	_ = cmd.Run()
	want := "rollcall: docker: permission denied on " + socket +
		"; add the user to group docker or run as root (docker.host is set by --docker-host)\n"
	if errs.String() != want || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit code %d, stderr %q; want 1, %q", cmd.ProcessState.ExitCode(), errs.String(),
			want)
	}
}

// Who watches learns that the daemon has died, and that it is back, and the cause.
func TestWatchTellsOfOutages(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "d.sock")
	// daemon is a Docker that runs one container.
	daemon := func() (stop func()) {
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Api-Version", "1.47")
				switch path.Base(r.URL.Path) {
				case "events":
					w.WriteHeader(http.StatusOK)
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				case "json":
					answer := "[]"
					switch r.URL.Path[strings.Index(r.URL.Path[1:], "/")+1:] {
					case "/containers/json":
						answer = `[{"Id": "c1", "Names": ["/web"], "State": "running"}]`
					case "/containers/c1/json":
						answer = `{"Id": "c1", "Name": "/web", "Config": {},
							"State": {"Running": true, "Status": "running"}}`
					}
					io.WriteString(w, answer) //nolint:errcheck // who asks may have gone
				}
			})}
		go server.Serve(l) //nolint:errcheck // closed below
		return func() { server.Close() }
	}
	stop := daemon()
	cmd := command(t, append([]string{"DOCKER_HOST="}, noRuntimes[1:]...), "watch", "container",
		"--docker-host=unix://"+socket, patiently)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(errs)
	next := func(want string) {
		t.Helper()
		line, err := lines.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("line %q, %v; want %s…", line, err, want)
		}
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("no line: %q, %v", line, err)
	}
	stop()
	next("rollcall: docker is away: stream: docker at unix://" + socket)
	stop = daemon()
	defer stop()
	next("rollcall: docker is back; it was away: stream: docker at unix://" + socket)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(lines)
	if err := cmd.Wait(); err != nil || len(rest) > 0 {
		t.Errorf("at its end: %v, %s", err, rest)
	}
}
