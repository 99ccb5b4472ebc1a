// Package steps runs tasks of the project's build tool one after the other, each in a process of
// its own.
package steps

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/test/tasks/results"
)

// Step is a task with its arguments that check has run.
type Step struct {
	Name string
	Took time.Duration
	Err  error
}

// Run runs tasks one after the other, each in a process of its own, but for those in except.
// In the background their output is shown when they have ended, so that it does not mix with that
// of others.
func Run(except []string, background bool, names ...string) (done []Step) {
	self, err := os.Executable()
	if err != nil {
		return []Step{{Name: "find this program", Err: err}}
	}
	for _, name := range names {
		if slices.Contains(except, name) {
			continue
		}
		started := time.Now()
		var out []byte
		cmd := exec.Command(self, strings.Fields(name)...)
		if background {
			if nice, err := exec.LookPath("nice"); err == nil {
				cmd = exec.Command(nice, append([]string{"-n", "15", self}, cmd.Args[1:]...)...)
			}
			out, err = cmd.CombinedOutput()
			fmt.Printf("\n== %s\n%s", name, out)
		} else {
			fmt.Printf("\n== %s\n", name)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			err = cmd.Run()
		}
		if err != nil {
			fmt.Printf("%s: %v\n", name, err)
			err = errors.Join(err, recordStep(name, err, string(out)))
		}
		done = append(done, Step{name, time.Since(started), err})
	}
	return done
}

// recordStep notes that a step has failed which runs no tests, and so has no results of its own.
func recordStep(name string, err error, output string) error {
	task, _, _ := strings.Cut(name, " ")
	if slices.Contains([]string{"test", "e2e", "race", "fuzz"}, task) {
		return nil
	}
	r := results.New()
	r.Record("the step itself", err, output)
	return r.Append(os.Getenv(results.Env), name)
}
