package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	runtime = wm.SourceRuntime
	kubelet = wm.SourceNodeOrchestrator
	cluster = wm.SourceClusterOrchestrator
)

func id(kind wm.Kind, id string) wm.EntityID { return wm.EntityID{Kind: kind, ID: id} }

// container returns a container, changed by each edit.
func container(cid string, edits ...func(*wm.Container)) *wm.Container {
	c := &wm.Container{EntityID: id(wm.KindContainer, cid)}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

func pod(uid string, edits ...func(*wm.KubernetesPod)) *wm.KubernetesPod {
	p := &wm.KubernetesPod{EntityID: id(wm.KindKubernetesPod, uid)}
	for _, edit := range edits {
		edit(p)
	}
	return p
}

func process(pid int32, ticks uint64, containerID string) *wm.Process {
	return &wm.Process{EntityID: id(wm.KindProcess, fmt.Sprint(pid)), PID: pid, StartTicks: ticks,
		ContainerID: containerID}
}

func named(name string) func(*wm.Container) { return func(c *wm.Container) { c.Name = name } }
func withPID(pid int) func(*wm.Container)   { return func(c *wm.Container) { c.PID = pid } }
func withInode(inode uint64) func(*wm.Container) {
	return func(c *wm.Container) { c.CgroupInode = inode }
}
func host(name string) func(*wm.Container) { return func(c *wm.Container) { c.Hostname = name } }

func sets(source wm.Source, e wm.Entity) wm.CollectorEvent {
	return wm.CollectorEvent{Type: wm.EventTypeSet, Source: source, Entity: e}
}

func unsets(source wm.Source, e wm.Entity) wm.CollectorEvent {
	return wm.CollectorEvent{Type: wm.EventTypeUnset, Source: source, Entity: e}
}

func notify(t testing.TB, s *store.Store, events ...wm.CollectorEvent) {
	t.Helper()
	if err := s.Notify(events); err != nil {
		t.Fatalf("Notify: %v", err)
	}
}

// recorder keeps what a subscriber is told. It is for use inside a synctest bubble.
type recorder struct {
	mu      sync.Mutex // guards bundles
	bundles []wm.Bundle
}

func record(t *testing.T, s *store.Store, filter *wm.Filter,
	options ...wm.SubscribeOption) *recorder {
	r := &recorder{}
	sub := s.Subscribe(t.Name(), filter, options...)
	t.Cleanup(sub.Close)
	go func() {
		for b := range sub.Bundles(t.Context()) {
			b.Events = slices.Clone(b.Events)
			r.mu.Lock()
			r.bundles = append(r.bundles, b)
			r.mu.Unlock()
		}
	}()
	return r
}

// take returns the bundles since the last call, once nothing moves any more.
func (r *recorder) take() []wm.Bundle {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	bundles := r.bundles
	r.bundles = nil
	return bundles
}

// want compares the bundles since the last call, each as the text of its events.
func (r *recorder) want(t *testing.T, step string, want ...string) {
	t.Helper()
	var got []string
	for _, b := range r.take() {
		var events []string
		for _, ev := range b.Events {
			events = append(events, describe(ev))
		}
		got = append(got, strings.Join(events, " "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: delivered %q, want %q", step, got, want)
	}
}

// describe shows a container as its name and host name, which are of different sources
// in these tests.
func describe(ev wm.Event) string {
	switch e := ev.Entity.(type) {
	case *wm.Container:
		return fmt.Sprintf("%s(%s:%s/%s)", ev.Type, e.ID, e.Name, e.Hostname)
	case *wm.Process:
		return fmt.Sprintf("%s(%s@%d)", ev.Type, e.ID, e.StartTicks)
	}
	return fmt.Sprintf("%s(%s)", ev.Type, ev.Entity.GetID())
}
