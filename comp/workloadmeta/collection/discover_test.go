package collection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// sockets is a collector of several sockets, each of which has one container of its name.
type sockets struct {
	fake
	mu    sync.Mutex
	there []string
	begun []string
}

func (s *sockets) set(there ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there = there
}

func (s *sockets) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.there, name)
}

func (s *sockets) Detect(context.Context) workloadmeta.Detection {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.there) == 0 {
		return workloadmeta.Detection{Reason: "no socket"}
	}
	return workloadmeta.Detection{State: workloadmeta.Detected}
}

func (s *sockets) Instances(context.Context) []workloadmeta.Collector {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []workloadmeta.Collector
	for _, name := range s.there {
		out = append(out,
			&fakeStreamer{fake{id: s.id + "@" + name, detect: func() workloadmeta.Detection {
				if s.has(name) {
					return workloadmeta.Detection{State: workloadmeta.Detected}
				}
				return workloadmeta.Detection{Reason: "gone"}
			}}, func(ctx context.Context, sink workloadmeta.Sink) error {
				s.mu.Lock()
				s.begun = append(s.begun, name)
				s.mu.Unlock()
				sink.Set(container(name), container("shared"))
				sink.Synced()
				for s.has(name) {
					select {
					case <-ctx.Done():
						return nil
					case <-time.After(second):
					}
				}
				return errors.New("connection lost")
			}})
	}
	return out
}

func (r *rig) states() string {
	var list []string
	for _, st := range r.Status() {
		list = append(list, fmt.Sprint(st.ID, " ", st.State))
	}
	return strings.Join(list, ", ")
}

func TestInstancesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &sockets{fake: fake{id: "podman", period: 10 * second}, there: []string{"root", "u1"}}
		r := start(t, collection.Options{}, c, &fakeStreamer{fake{id: "docker"}, listing("d")})
		outcomes, err := r.WaitFirstPass(t.Context())
		if err != nil || len(outcomes) != 4 || outcomes[2].ID != "podman@root" ||
			outcomes[2].Result != collection.Listed {
			t.Errorf("first pass: %+v, %v", outcomes, err)
		}
		want := func(states, has string) {
			t.Helper()
			synctest.Wait()
			if got := r.states(); got != states {
				t.Errorf("status %q, want %q", got, states)
			}
			r.wantHas(runtime, has)
		}
		want("docker degraded, podman@root live, podman@u1 live", "d root shared u1")
		c.set("root", "u1", "u2")
		time.Sleep(11 * second)
		want("docker degraded, podman@root live, podman@u1 live, podman@u2 live",
			"d root shared u1 u2")
		// A socket that is gone keeps what it has reported, until nobody can confirm it.
		c.set("root", "u2")
		time.Sleep(time.Minute)
		want("docker degraded, podman@root live, podman@u1 waiting, podman@u2 live",
			"d root shared u1 u2")
		time.Sleep(10 * time.Minute)
		want("docker degraded, podman@root live, podman@u2 live", "d root shared u2")
		// One that is back is another instance.
		c.set("root", "u1", "u2")
		time.Sleep(11 * second)
		synctest.Wait()
		if n := len(c.begun); n != 4 || c.begun[3] != "u1" {
			t.Errorf("begun: %s", c.begun)
		}
		c.set()
		time.Sleep(time.Hour)
		if got := r.states(); !strings.HasSuffix(got, ", podman waiting") {
			t.Errorf("without any: %s", got)
		}
	})
}

func TestSwitchedOffHasNoInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &sockets{fake: fake{id: "podman"}, there: []string{"root"}}
		r := start(t, collection.Options{Enabled: map[string]collection.Switch{
			"podman": collection.Off}}, c)
		if _, err := r.WaitFirstPass(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if got := r.states(); got != "podman disabled" {
			t.Errorf("status %q", got)
		}
	})
}

// Instances are looked for as often as collectors are, unless their discoverer says how often.
func TestHowOftenInstancesAreLookedFor(t *testing.T) {
	for period, want := range map[time.Duration]int{0: 4, 2 * second: 31} {
		synctest.Test(t, func(t *testing.T) {
			looks := 0
			c := &sockets{fake: fake{id: "podman", period: period, detect: nil}}
			start(t, collection.Options{RedetectEvery: 20 * second}, &counted{c, &looks})
			time.Sleep(time.Minute + second/2)
			synctest.Wait()
			if looks != want {
				t.Errorf("with a period of %s: %d looks in a minute, want %d", period, looks, want)
			}
		})
	}
}

// counted counts how often instances are looked for.
type counted struct {
	*sockets
	looks *int
}

func (c *counted) Instances(ctx context.Context) []workloadmeta.Collector {
	*c.looks++
	return c.sockets.Instances(ctx)
}

// The end of an instance is its own: what others have reported is still theirs to withdraw.
func TestTheEndOfAnInstanceLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &sockets{fake: fake{id: "podman"}, there: []string{"root", "u1"}}
		r := start(t, collection.Options{}, c, lostRuntime(nil))
		time.Sleep(time.Minute)
		r.wantHas(runtime, "a root shared u1")
		c.set("root")
		time.Sleep(20 * time.Minute)
		r.wantHas(runtime, "a root shared")
		time.Sleep(time.Hour)
		r.wantHas(runtime, "root shared")
	})
}
