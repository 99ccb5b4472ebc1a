package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Fate is what the tests have made of a mutant.
type Fate uint8

// The fates of a mutant.
const (
	Caught   Fate = iota // a test failed
	TimedOut             // the tests did not end in time, which is taken for a failure
	Survived             // all tests passed
	Invalid              // it does not compile: not a fault
)

// Trial runs the tests of one package on one mutant after the other.
type Trial struct {
	folder  string // from the module's, in which the process is
	dir     string // for temporary files
	args    []string
	limit   time.Duration
	binary  string         // has the mutants that are numbered
	numbers map[Mutant]int // from 1
}

// NewTrial builds and runs the tests of a package as they are, which have to pass, and allows for
// each mutant ten times as long and ten seconds more. The directory is for temporary files. The
// tests are called with args.
func NewTrial(folder, dir string, all []Mutant, args ...string) (*Trial, error) {
	t := &Trial{folder: folder, dir: dir, args: args, limit: 10 * time.Minute,
		binary: filepath.Join(dir, "grafted"), numbers: map[Mutant]int{}}
	for i, m := range all {
		t.numbers[m] = i + 1
	}
	if err := t.buildGrafted(all); err != nil {
		return nil, err
	}
	begin := time.Now()
	if out, err := t.test(t.binary, 0); err != nil {
		return nil, fmt.Errorf("tests of %s fail without a mutant: %w\n%s", folder, err, out)
	}
	t.limit = 10*time.Since(begin) + 10*time.Second
	return t, nil
}

// buildGrafted builds the tests with all mutants in the source, but for those that cannot be there,
// as in a constant's value. These lose their number.
func (t *Trial) buildGrafted(all []Mutant) error {
	for {
		grafts, err := t.graftAll(all)
		if err != nil {
			return err
		}
		replace := map[string]string{}
		for file, g := range grafts {
			replace[file] = g.source
			replace[t.folder+"/mutants_of_a_trial.go"] = fmt.Sprintf(helpers, g.pkg)
		}
		out, err := t.build(t.binary, replace, "-gcflags=-e")
		if err == nil {
			return nil
		}
		before := len(t.numbers)
		for _, at := range position.FindAllStringSubmatch(out, -1) {
			line, _ := strconv.Atoi(at[2])
			maps.DeleteFunc(t.numbers, func(m Mutant, n int) bool {
				return path.Base(m.File) == at[1] && grafts[m.File].has(n, line)
			})
		}
		if len(t.numbers) == before {
			return fmt.Errorf("build the tests of %s: %w\n%s", t.folder, err, out)
		}
	}
}

// position finds where errors of the compiler are.
var position = regexp.MustCompile(`(?m)([^/\s]+\.go):(\d+):\d+: `)

// graftAll returns the files of the package with mutants in them.
func (t *Trial) graftAll(all []Mutant) (map[string]*grafted, error) {
	grafts := map[string]*grafted{}
	for _, m := range all {
		if grafts[m.File] != nil {
			continue
		}
		source, err := os.ReadFile(m.File)
		if err != nil {
			return nil, err
		}
		grafts[m.File], err = graft(string(source), m.File,
			func(m Mutant) int { return t.numbers[m] }, all)
		if err != nil {
			return nil, err
		}
	}
	return grafts, nil
}

// build builds the tests with other content in some files.
func (t *Trial) build(binary string, replace map[string]string, flags ...string) (string, error) {
	dir, err := os.MkdirTemp(t.dir, "overlay")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder of temporary files
	paths := map[string]string{}
	for name, content := range replace {
		name, err := filepath.Abs(filepath.FromSlash(name))
		if err != nil {
			return "", err
		}
		paths[name] = filepath.Join(dir, filepath.Base(name)) // errors of the compiler have it
		if err := os.WriteFile(paths[name], []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": paths})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	args := append([]string{"test", "-c", "-o", binary, "-overlay", list}, flags...)
	out, err := exec.Command("go", append(args, "./"+t.folder)...).CombinedOutput()
	return string(out), err
}

// test runs the tests with a mutant awake.
func (t *Trial) test(binary string, number int) (string, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), t.limit, errTooLong)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"-test.failfast",
		// An endless mutant ends also if this program was killed meanwhile.
		"-test.timeout=" + (t.limit + time.Minute).String()}, t.args...)...)
	cmd.Dir, cmd.WaitDelay = t.folder, time.Second
	cmd.Env = append(os.Environ(), fmt.Sprint(wakeUp, "=", number))
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return string(out), err
}

var errTooLong = errors.New("the tests did not end in time")

// Try runs the tests on one mutant.
func (t *Trial) Try(m Mutant) (Fate, error) {
	binary, number := t.binary, t.numbers[m]
	if number == 0 {
		source, err := os.ReadFile(m.File)
		if err != nil {
			return 0, err
		}
		changed, err := m.apply(string(source))
		if err != nil {
			return 0, err
		}
		file, err := os.CreateTemp(t.dir, "mutant")
		if err != nil {
			return 0, err
		}
		file.Close()
		binary = file.Name()
		defer os.Remove(binary) //nolint:errcheck // a temporary file
		if _, err := t.build(binary, map[string]string{m.File: changed}); err != nil {
			return Invalid, nil
		}
	}
	switch _, err := t.test(binary, number); {
	case err == nil:
		return Survived, nil
	case errors.Is(err, errTooLong):
		return TimedOut, nil
	}
	return Caught, nil
}

// TryAll tries mutants, a few at the same time, and tells of each when it has been tried.
func (t *Trial) TryAll(all []Mutant, workers int, tell func(Mutant, Fate)) error {
	next := make(chan Mutant)
	var failed error
	var mu sync.Mutex // guards failed, and tell against itself
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for m := range next {
				fate, err := t.Try(m)
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					tell(m, fate)
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range all {
		next <- m
	}
	close(next)
	wg.Wait()
	return failed
}
