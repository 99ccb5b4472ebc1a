package realnode

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// Env is the environment variable that turns tests with real daemons on: set it to 1.
const Env = "ROLLCALL_REALNODE"

// ProgramsEnv is the environment variable that names a folder whose programs are taken before the
// installed ones, such as the one that `go run tasks.go daemons` fills.
const ProgramsEnv = "ROLLCALL_REALNODE_PROGRAMS"

// programs lists what an instance executes, itself or through a daemon.
var programs = []string{
	"containerd", "containerd-shim-runc-v2", "ctr", "runc", "dockerd", "docker", "busybox",
	"podman", "conmon",
}

// Require lets the test go on only where real daemons are wanted and can run. Without
// ROLLCALL_REALNODE=1 it skips the test and says how to run it. With it, a machine that cannot run
// daemons is a failure, so that a run that was asked for real daemons never passes without them.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv(Env) != "1" {
		t.Skip("needs real daemons: run `go run tasks.go e2e` as root on Linux")
	}
	if err := Missing(); err != nil {
		t.Fatalf("%s=1, but %v; `go run tasks.go setup` installs the programs on Debian", Env, err)
	}
}

// Missing says what this machine lacks to run the daemons, or returns nil.
func Missing() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("real daemons run on linux, not on %s", runtime.GOOS)
	}
	var lacks []string
	if os.Geteuid() != 0 {
		lacks = append(lacks, "root")
	}
	for _, name := range programs {
		if _, err := program(name); err != nil {
			lacks = append(lacks, name)
		}
	}
	if lacks != nil {
		return errors.New("this machine lacks " + strings.Join(lacks, ", "))
	}
	return nil
}

// version returns the version that a daemon's program says it has, such as "1.6.20".
func version(name string) (string, error) {
	path, err := program(name)
	if err != nil {
		return "", err
	}
	return versionOf(path)
}

func versionOf(path string) (string, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	number := regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(string(out))
	if number == "" {
		return "", fmt.Errorf("%s --version: no version in %q", path, out)
	}
	return number, nil
}

// program finds an executable. Root's daemons live in the sbin folders, which are not in everyone's
// PATH.
func program(name string) (string, error) {
	if dir := os.Getenv(ProgramsEnv); dir != "" {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err != nil {
			path, err = exec.LookPath(dir + "/" + name)
		}
	}
	if err != nil {
		return "", fmt.Errorf("find program %s: %w", name, err)
	}
	return path, nil
}
