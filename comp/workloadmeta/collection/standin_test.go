package collection_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// standsIn is a collector that stands in for another.
type standsIn struct {
	*fakeStreamer
	other string
}

func (s standsIn) Describe() workloadmeta.Description {
	d := s.fakeStreamer.Describe()
	d.StandsInFor = s.other
	return d
}

func TestWhoStandsInHandsOverWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var there atomic.Bool
		list := make(chan struct{})
		docker := &fakeStreamer{fake{id: "docker", detect: func() workloadmeta.Detection {
			if there.Load() {
				return workloadmeta.Detection{State: workloadmeta.Detected}
			}
			return workloadmeta.Detection{Reason: "no socket"}
		}}, func(ctx context.Context, sink workloadmeta.Sink) error {
			select {
			case <-list:
			case <-ctx.Done():
				return nil
			}
			sink.Set(container("a"))
			sink.Synced()
			for there.Load() {
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(second):
				}
			}
			return errors.New("connection lost")
		}}
		other := standsIn{&fakeStreamer{fake{id: "containerd@moby"},
			func(ctx context.Context, sink workloadmeta.Sink) error {
				sink.Set(container("a"), container("b"))
				sink.Synced()
				<-ctx.Done()
				return nil
			}}, "docker"}
		r := start(t, collection.Options{}, docker, other)
		heard := changes(t, r.store.Store)
		if _, err := r.WaitFirstPass(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		r.wantHas(runtime, "a b")
		heard()
		there.Store(true)
		time.Sleep(time.Minute)
		r.wantHas(runtime, "a b") // docker is there, and has not listed yet
		close(list)
		synctest.Wait()
		r.wantHas(runtime, "a")
		if got := r.states(); got != "docker live" {
			t.Errorf("status %q", got)
		}
		if reports, _ := r.store.Reports(containerID("a")); len(reports) != 1 ||
			reports[0].Name != "docker" {
			t.Errorf("reports %v", reports)
		}
		ends := 0
		for _, h := range heard() {
			if strings.HasPrefix(h, "unset") {
				ends++
			}
		}
		if ends != 1 {
			t.Errorf("%d ends were told, want that of b", ends)
		}
		there.Store(false)
		time.Sleep(time.Minute)
		r.wantHas(runtime, "a b")
		if got := r.states(); got != "containerd@moby live, docker waiting" {
			t.Errorf("status %q", got)
		}
	})
}

// In a program without the other collector, what that would report is nobody's business.
func TestWithoutTheOtherNobodyStandsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{}, standsIn{&fakeStreamer{fake{id: "containerd@moby"},
			listing("a")}, "docker"})
		if _, err := r.WaitFirstPass(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		r.wantHas(runtime, "")
		if got := r.states(); got != "" {
			t.Errorf("status %q", got)
		}
	})
}

// Nobody stands in for a collector whose first attempt is under way.
func TestWhoMayBeAboutToListIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, collection.Options{},
			&fakeStreamer{fake{id: "docker"},
				func(ctx context.Context, _ workloadmeta.Sink) error {
					select {
					case <-time.After(time.Minute):
					case <-ctx.Done():
					}
					return errDown
				}},
			standsIn{&fakeStreamer{fake{id: "containerd@moby"}, staying("a")}, "docker"})
		time.Sleep(time.Minute - second)
		r.wantHas(runtime, "")
		time.Sleep(2 * second)
		r.wantHas(runtime, "a")
	})
}
