package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	folder string // from the module's, in which the process is
	dir    string // for temporary files
	rapid  bool   // the tests draw random cases, and know rapid's flags
	limit  time.Duration
}

// NewTrial runs the tests of a package as they are, which have to pass, and allows for each mutant
// ten times as long and ten seconds more. The directory is for temporary files. A mutant that
// survives where tests draw random cases with rapid is tried once more, with ten times as many.
func NewTrial(folder, dir string, rapid bool) (*Trial, error) {
	t := &Trial{folder: folder, dir: dir, rapid: rapid, limit: 10 * time.Minute}
	binary := filepath.Join(dir, "unchanged")
	if out, err := t.build(binary); err != nil {
		return nil, fmt.Errorf("build the tests of %s: %w\n%s", folder, err, out)
	}
	begin := time.Now()
	if out, err := t.test(binary, 1); err != nil {
		return nil, fmt.Errorf("tests of %s fail without a mutant: %w\n%s", folder, err, out)
	}
	t.limit = 10*time.Since(begin) + 10*time.Second
	return t, nil
}

func (t *Trial) build(binary string, flags ...string) (string, error) {
	args := append([]string{"test", "-c", "-o", binary}, flags...)
	out, err := exec.Command("go", append(args, "./"+t.folder)...).CombinedOutput()
	return string(out), err
}

// test runs the tests, with so many times their number of random cases.
func (t *Trial) test(binary string, times int) (string, error) {
	args := []string{"-test.failfast"}
	if t.rapid {
		// It would look for the smallest example of each fault for half a minute.
		args = append(args, "-rapid.shrinktime=0s", "-rapid.nofailfile",
			fmt.Sprint("-rapid.checks=", 100*times))
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), t.limit*time.Duration(times),
		errTooLong)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.WaitDelay = t.folder, time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return string(out), err
}

var errTooLong = errors.New("the tests did not end in time")

// Try runs the tests on one mutant.
func (t *Trial) Try(m Mutant) (Fate, error) {
	dir, err := os.MkdirTemp(t.dir, "mutant")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	name, err := filepath.Abs(filepath.FromSlash(m.File))
	if err != nil {
		return 0, err
	}
	source, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	changed, err := m.apply(string(source))
	if err != nil {
		return 0, err
	}
	file, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {name: file}})
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		return 0, err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return 0, err
	}
	binary := filepath.Join(dir, "test")
	if _, err := t.build(binary, "-overlay="+overlay); err != nil {
		return Invalid, nil
	}
	_, err = t.test(binary, 1)
	if err == nil && t.rapid {
		_, err = t.test(binary, 10)
	}
	switch {
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
