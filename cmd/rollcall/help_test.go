package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// Help fits a terminal of 80 columns, and a command's own flags are not drowned by those that every
// command has.
func TestHelpFits(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"help"}, {"ls", "--help"}, {"help", "get"},
		{"rules", "test", "--help"}, {"completion", "bash", "--help"}, {"watch", "-h"}} {
		r := rollcall(t, args...)
		if r.code != 0 || r.err != "" {
			t.Errorf("%q: %+v", args, r)
		}
		lines := strings.Split(r.out, "\n")
		for _, line := range lines {
			if utf8.RuneCountInString(line) > helpWidth {
				t.Errorf("%q: wider than %d: %s", args, helpWidth, line)
			}
		}
		if len(lines) > 50 {
			t.Errorf("%q: %d lines", args, len(lines))
		}
	}
}

// Who cannot read the help is told.
func TestHelpThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"--help"}, {"ls", "--help"}, {"help", "ls"},
		{"explain", "web", "--from", shop}} {
		cmd := command(t, nil, args...)
		var errs strings.Builder
		cmd.Stdout, cmd.Stderr = full, &errs
		_ = cmd.Run()
		if cmd.ProcessState.ExitCode() != 1 || strings.Count(errs.String(), "no space left") != 1 {
			t.Errorf("%q: %d, %q", args, cmd.ProcessState.ExitCode(), errs.String())
		}
	}
}

// The script for bash completes also where the bash-completion package is not installed.
func TestCompletionInPlainBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(exe, dir+"/rollcall"); err != nil {
		t.Fatal(err)
	}
	script := rollcall(t, "completion", "bash")
	if script.code != 0 {
		t.Fatalf("%+v", script)
	}
	file := writeFile(t, "completion.sh", script.out)
	for line, want := range map[string]string{
		"rollcall wat": "watch",
		"rollcall get container --from " + shop + " we": "web",
		"rollcall ls --set docker.ho":                   "docker.host=\ndocker.hosts=",
	} {
		words := strings.Fields(line)
		cmd := exec.CommandContext(t.Context(), bash, "--norc", "--noprofile", "-c", `
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMP_LINE="${COMP_WORDS[*]}"
COMP_POINT=${#COMP_LINE}
compopt() { :; }
__start_rollcall
printf '%s\n' "${COMPREPLY[@]}"`, "bash", file)
		cmd.Args = append(cmd.Args, words...)
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), asMain + "=1",
			"HOME=" + dir, "GOCOVERDIR=" + dir}
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %v, completes %q, want %q", line, err, out, want)
		}
	}
}
