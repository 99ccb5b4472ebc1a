// Package shell runs commands for the project's build tool, and prints each.
package shell

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Command prepares a command and prints it. Entries of env are added to the environment.
func Command(env []string, name string, args ...string) *exec.Cmd {
	fmt.Println("$", strings.Join(append(append(slices.Clone(env), name), args...), " "))
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// Run runs a command whose output is shown.
func Run(name string, args ...string) error { return RunEnv(nil, name, args...) }

// RunEnv is Run with entries added to the environment.
func RunEnv(env []string, name string, args ...string) error {
	if err := Command(env, name, args...).Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append([]string{name}, args...), " "), err)
	}
	return nil
}

// Capture runs a command and returns what it printed to stdout.
func Capture(env []string, name string, args ...string) (string, error) {
	cmd := Command(env, name, args...)
	cmd.Stdout = nil
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}
