package realnode

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared is one dockerd (and containerd), one Podman service and one node of Kubernetes for all
// tests of a package, started when the first test asks for them. The zero value is ready to use.
type Shared struct {
	// Options apply to the start.
	Options []Option

	mu        sync.Mutex // guards the fields below and is held during the start
	docker    *Dockerd
	err       error
	podman    *Podman
	podmanErr error
	kube      *Kube
	kubeErr   error
}

// Dockerd returns the shared daemon, bound to t. It calls [Require]. Containers of earlier tests
// may still be there: see [Dockerd.RemoveContainers].
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

// Podman returns the shared service, bound to t. It calls [Require]. Containers of earlier tests
// may still be there: see [Podman.RemoveContainers].
func (s *Shared) Podman(t testing.TB) *Podman {
	t.Helper()
	Require(t)
	s.mu.Lock()
	if s.podman == nil && s.podmanErr == nil {
		s.podman, s.podmanErr = StartPodmanDir("", s.Options...)
	}
	podman, err := s.podman, s.podmanErr
	s.mu.Unlock()
	if err != nil {
		t.Fatalf("realnode: %v", err)
	}
	return podman.For(t)
}

// Kube returns the shared node, bound to t, with all its daemons running. It calls [RequireKube].
// Pods of earlier tests may still be there.
func (s *Shared) Kube(t testing.TB) *Kube {
	t.Helper()
	RequireKube(t)
	s.mu.Lock()
	if s.kube == nil && s.kubeErr == nil {
		s.kube, s.kubeErr = StartKubeDir("")
	}
	kube, err := s.kube, s.kubeErr
	s.mu.Unlock()
	if err != nil {
		t.Fatalf("realnode: %v", err)
	}
	kube = kube.For(t)
	kube.Heal()
	return kube
}

// Close ends the daemons that were started.
func (s *Shared) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.docker != nil {
		errs = append(errs, s.docker.Close())
	}
	if s.podman != nil {
		errs = append(errs, s.podman.Close())
	}
	if s.kube != nil {
		errs = append(errs, s.kube.Close())
	}
	s.docker, s.podman, s.kube = nil, nil, nil
	return errors.Join(errs...)
}

// Around wraps m for TestMain: its Run runs the tests and then closes the daemons. It fits where a
// *testing.M does: os.Exit(node.Around(m).Run()), or goleak.VerifyTestMain(node.Around(m)).
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
