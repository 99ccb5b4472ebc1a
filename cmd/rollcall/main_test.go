package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// asMain makes the test binary be rollcall itself, so that tests run what users run.
const asMain = "TEST_AS_ROLLCALL"

var update = flag.Bool("update", false, "write the golden files and the documentation anew")

func TestMain(m *testing.M) {
	if os.Getenv(asMain) == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// result is what a run of the program has left.
type result struct {
	out, err string
	code     int
}

// command is a run of rollcall in an environment that has nothing to do with this machine.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = append([]string{asMain + "=1", "GORACE=atexit_sleep_ms=0", "HOME=" + t.TempDir(),
		"GOCOVERDIR=" + t.TempDir()}, env...)
	return cmd
}

func rollcallEnv(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := command(t, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("rollcall %q: %v", args, err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func rollcall(t *testing.T, args ...string) result {
	t.Helper()
	return rollcallEnv(t, nil, args...)
}

// golden compares got with a file of testdata/golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -update makes it", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("differs from %s (-want +got):\n%s", path, diff)
	}
}

// noRuntimes keeps tests away from the daemons of this machine.
var noRuntimes = []string{
	"ROLLCALL_COLLECTORS_DOCKER=off", "ROLLCALL_COLLECTORS_CONTAINERD=off",
	"ROLLCALL_COLLECTORS_PODMAN=off", "ROLLCALL_COLLECTORS_CRI=off",
}

// patiently waits for first answers for as long as a machine may take that has much else to do.
const patiently = "--timeout=1m"
