package process_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
	"github.com/rollcall-dev/rollcall/test/unprivileged"
)

var update = flag.Bool("update", false, "write the golden files")

// one returns what is reported of a single process.
func one(t *testing.T, opts process.Options, p proc) *workloadmeta.Process {
	t.Helper()
	tr := newTree(t)
	p.pid = 10
	tr.put(p)
	got := pull(t, process.NewWith(opts, tr.machine())).processes[10]
	if got == nil {
		t.Fatal("not reported")
	}
	return got
}

func TestGolden(t *testing.T) {
	tr := newTree(t)
	pod := "/kubepods.slice/kubepods-pod" + strings.ReplaceAll(podUID, "-", "_") + ".slice"
	tr.put(proc{pid: 2, comm: "kthreadd", flags: 0x00200000})
	tr.put(proc{pid: 300, ppid: 1, comm: "dockerd", start: 1200,
		args: []string{"/usr/bin/dockerd", "-H", "fd://"},
		exe:  "/usr/bin/dockerd", cwd: "/", cgroup: "0::/system.slice/docker.service\n"})
	tr.put(proc{pid: 400, ppid: 1, comm: "java", start: 218455, uid: 1000, gid: 1001,
		nspid: "400\t1",
		args:  []string{"java", "-Ddb.password=hunter2", "-jar", "/app/shop.jar"},
		exe:   "/opt/jdk/bin/java", cwd: "/app",
		cgroup: "0::/system.slice/docker-" + idA + ".scope\n"})
	tr.put(proc{pid: 401, ppid: 400, comm: "sh", start: 218500, uid: 1000, gid: 1001,
		nspid: "401\t23",
		args:  []string{"sh", "-c", "sleep 100"}, exe: "/bin/dash", cwd: "/app",
		cgroup: "0::/system.slice/docker-" + idA + ".scope\n"})
	tr.put(proc{pid: 500, ppid: 1, comm: "gunicorn", start: 3000, uid: 4294967295, gid: 33,
		nspid: "500\t1",
		args: []string{"/usr/bin/python3.11", "/usr/bin/gunicorn",
			"app:app"}, exe: "/usr/bin/python3.11 (deleted)", cwd: "/srv",
		cgroup: "0::" + pod + "/cri-containerd-" + idB + ".scope\n"})
	tr.put(proc{pid: 501, ppid: 1, comm: "pause", start: 2990, uid: 65535, gid: 65535,
		nspid: "501\t1", args: []string{"/pause"},
		exe: "/pause", cwd: "/", cgroup: "0::" + pod + "/cri-containerd-" +
			strings.Repeat("c3", 32) + ".scope\n"})

	got, err := json.MarshalIndent(pull(t, process.NewWith(process.Options{}, tr.machine())).all,
		"", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", "golden.json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("differs from %s (-want +got); write it with -update:\n%s", file, d)
	}
}

func TestNoSecrets(t *testing.T) {
	const secret = "hunter2-planted"
	lines := [][]string{
		{"app", "--password", secret},
		{"app", "--api-key=" + secret},
		{"app", "DB_PASSWORD=" + secret},
		{"app", "postgres://user:" + secret + "@db/shop"},
		{"app --password " + secret + " --verbose"},
		append(slices.Repeat([]string{"x"}, 300), "--password", secret),
		{"app", strings.Repeat("x", process.MaxCmdline-70), "--password=" + secret},
	}
	for i, args := range lines {
		for _, strip := range []bool{false, true} {
			var log bytes.Buffer
			tr := newTree(t)
			tr.put(proc{pid: 10, comm: "app", args: args})
			m := tr.machine()
			c := process.NewWith(process.Options{StripArgs: strip,
				Log: slog.New(slog.NewTextHandler(&log, nil))}, m)
			out, err := json.Marshal(pull(t, c).all)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(out, []byte(secret)) || strings.Contains(log.String(), secret) {
				t.Errorf("line %d, strip %v: the secret is in %.300s", i, strip, out)
			}
		}
	}
}

func TestStripArgs(t *testing.T) {
	tests := []struct {
		name string
		p    proc
		want string
	}{
		{"arguments", proc{args: []string{"/bin/app", "-x", "y"}, exe: "/bin/app"}, "/bin/app"},
		{"a title", proc{args: []string{"postgres: shop admin SELECT"}, exe: "/usr/bin/postgres"}, "postgres:"},
		{"a path with spaces", proc{args: []string{"/opt/My App/run", "x"}, exe: "/opt/My App/run"}, "/opt/My App/run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.p.comm = "app"
			if got := one(t, process.Options{StripArgs: true}, tt.p).Cmdline; len(got) != 1 ||
				got[0] != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
	java := one(t, process.Options{StripArgs: true},
		proc{comm: "java", args: []string{"java", "org.jruby.Main"}})
	if java.Language == nil || java.Language.Name != "ruby" {
		t.Errorf("the language was told by what is left: %+v", java.Language)
	}
}

func TestLongCommandLine(t *testing.T) {
	tests := map[string][]string{
		"64 kB in one":       {"app", strings.Repeat("x", 64<<10), "end"},
		"64 kB in many":      slices.Repeat([]string{"argument"}, 64<<10/9),
		"empty ones":         append(slices.Repeat([]string{""}, 64<<10), "x"),
		"cut within a rune":  {"app", strings.Repeat("ö", 32<<10)},
		"a megabyte and odd": {strings.Repeat("\xff", 1<<20)},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			p := one(t, process.Options{}, proc{comm: "app", args: args})
			size := 0
			for _, arg := range p.Cmdline {
				size += len(arg)
				if !utf8.ValidString(arg) {
					t.Error("not text")
				}
			}
			last := p.Cmdline[len(p.Cmdline)-1]
			if size > 3*process.MaxCmdline || cap(p.Cmdline) > process.MaxCmdline ||
				!strings.HasSuffix(last, "…") {
				t.Errorf("%d arguments of %d bytes that end in %.20q", len(p.Cmdline), size, last)
			}
		})
	}
	short := one(t, process.Options{},
		proc{comm: "app", args: []string{"app", strings.Repeat("x", process.MaxCmdline-64), "end"}})
	if len(short.Cmdline) != 3 || short.Cmdline[2] != "end" {
		t.Error("one that fits was cut")
	}
}

func TestNames(t *testing.T) {
	long := "a-rather-long-program-name"
	tests := []struct {
		name string
		p    proc
		want string
	}{
		{"short", proc{comm: "web", args: []string{"/bin/website"}}, "web"},
		{"whole in the command line", proc{comm: long[:15], args: []string{"/bin/" + long, "x"}}, long},
		{"whole in a title", proc{comm: long[:15], args: []string{long + " /etc/conf"}}, long},
		{"whole in the link", proc{comm: long[:15], args: []string{"renamed"}, exe: "/bin/" + long + " (deleted)"}, long},
		{"nowhere", proc{comm: long[:15], args: []string{"renamed"}, exe: "/bin/other"}, long[:15]},
		{"not text", proc{comm: "a\xffb"}, "a�b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := one(t, process.Options{}, tt.p).Name; got != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestGoProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := proc{comm: "some-test", args: []string{"some-test"}, exe: self}
	got := one(t, process.Options{}, p).Language
	if got == nil || got.Name != "go" || !strings.HasPrefix("go"+got.Version, runtime.Version()) {
		t.Errorf("language %+v", got)
	}
	if got := one(t, process.Options{NoExecutables: true}, p).Language; got != nil {
		t.Errorf("language %+v of an executable that must not be opened", got)
	}
}

func TestExecutablesHaveABudget(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tr := newTree(t)
	tr.remove(1)
	n := process.GoLooks + 10
	for i := range n {
		tr.put(proc{pid: 100 + i, comm: "some-test", args: []string{"some-test"}, exe: self})
	}
	m := tr.machine()
	c := process.NewWith(process.Options{}, m)
	for i, want := range []int{process.GoLooks, n, n} {
		m.details = 0
		told := 0
		for _, p := range pull(t, c).processes {
			if p.Language != nil {
				told++
			}
		}
		if told != want {
			t.Errorf("pull %d: %d languages, want %d", i, told, want)
		}
	}
	if m.details != 0 {
		t.Errorf("%d full reads when all was told", m.details)
	}
}

func TestForbiddenExecutablesAreLoggedOnce(t *testing.T) {
	unprivileged.Run(t, testForbiddenExecutablesAreLoggedOnce)
}

func testForbiddenExecutablesAreLoggedOnce(t *testing.T) {
	dir := t.TempDir()
	exe := filepath.Join(dir, "exe")
	if err := os.WriteFile(exe, nil, 0); err != nil {
		t.Fatal(err)
	}
	tr := newTree(t)
	for pid := 10; pid < 13; pid++ {
		tr.put(proc{pid: pid, comm: "x", args: []string{"x"}, exe: exe})
	}
	var log bytes.Buffer
	c := process.NewWith(process.Options{Log: slog.New(slog.NewTextHandler(&log, nil))},
		tr.machine())
	pull(t, c)
	if got := log.String(); strings.Count(got, "level=WARN") != 1 {
		t.Errorf("log:\n%s", got)
	}
}
