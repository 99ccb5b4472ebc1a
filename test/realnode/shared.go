package realnode

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared is one dockerd (and containerd) for all tests of a package, started when the first test asks for
// it. The zero value is ready to use.
type Shared struct {
	// Options apply to the start.
	Options []Option

	mu     sync.Mutex // guards the fields below and is held during the start
	docker *Dockerd
	err    error
}

// Dockerd returns the shared daemon, bound to t. It calls [Require]. Containers of earlier tests may still be
// there: see [Dockerd.RemoveContainers].
func (s *Shared) Dockerd(t testing.TB) *Dockerd {
	t.Helper()
	Require(t)
	s.mu.Lock()
	if s.docker == nil && s.err == nil {
		s.docker, s.err = StartDockerdDir("", s.Options...)
	}
	docker, err := s.docker, s.err
	s.mu.Unlock()
	if err != nil {
		t.Fatalf("realnode: %v", err)
	}
	return docker.For(t)
}

// Close ends the daemon, if it was started.
func (s *Shared) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.docker == nil {
		return nil
	}
	err := s.docker.Close()
	s.docker = nil
	return err
}

// Around wraps m for TestMain: its Run runs the tests and then closes the daemon. It fits where a *testing.M
// does: os.Exit(node.Around(m).Run()), or goleak.VerifyTestMain(node.Around(m)).
func (s *Shared) Around(m Runner) Runner { return around{s, m} }

// Runner runs a package's tests and returns the exit code, as *testing.M does.
type Runner interface{ Run() int }

type around struct {
	shared *Shared
	tests  Runner
}

func (a around) Run() int {
	code := a.tests.Run()
	if err := a.shared.Close(); err != nil {
		fmt.Fprintf(os.Stderr, "realnode: %v\n", err)
		code = max(code, 1)
	}
	return code
}
