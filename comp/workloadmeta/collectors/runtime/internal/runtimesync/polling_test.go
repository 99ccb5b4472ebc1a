package runtimesync

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

func TestWithoutEventsTheListsAreComparedUntilThereAreSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.refuses = NoEvents(errors.New("forbidden"))
		b.run("a", "a", image1, nil)
		f := newSyncer(t, nil)
		r := follow(t, f, b, w)
		time.Sleep(time.Second)
		if w.Container("a") == nil || f.NoEvents() == nil {
			t.Fatalf("a = %v, no events: %v", w.Container("a"), f.NoEvents())
		}
		b.run("b", "b", image1, nil)
		time.Sleep(11 * time.Second)
		if w.Container("b") == nil {
			t.Error("what has started is not found by comparing lists")
		}
		lists := b.called("list")
		time.Sleep(time.Minute)
		if n := b.called("list") - lists; n < 5 || n > 7 {
			t.Errorf("%d lists in a minute", n)
		}
		time.Sleep(10 * time.Minute) // it asks for events twice, in vain
		if r.Over() || f.NoEvents() == nil {
			t.Fatalf("over: %v; no events: %v", r.Over(), f.NoEvents())
		}
		b.with(func() { b.refuses = nil })
		time.Sleep(6 * time.Minute)
		if f.NoEvents() != nil {
			t.Fatalf("events are not asked for again: %v", f.NoEvents())
		}
		lists = b.called("list")
		b.run("c", "c", image1, nil)
		b.send(Event{Action: ActionStarted, Key: "c"})
		time.Sleep(time.Minute)
		if w.Container("c") == nil || b.called("list")-lists > 1 {
			t.Errorf("c = %v; %d lists in a minute with events", w.Container("c"),
				b.called("list")-lists)
		}
		close(b.ended)
		if <-r.Done; r.Err == nil {
			t.Error("the stream's end says nothing")
		}
	})
}

func TestWhenEventsFailForAnotherReasonTheConnectionIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newFakeClient(), collectortest.NewWorld()
		b.refuses = NoEvents(errors.New("forbidden"))
		r := follow(t, newSyncer(t, nil), b, w)
		time.Sleep(time.Minute)
		broken := errors.New("broken")
		b.with(func() { b.refuses = broken })
		time.Sleep(5 * time.Minute)
		if !r.Over() || !errors.Is(r.Err, broken) {
			t.Errorf("over: %v, %v", r.Over(), r.Err)
		}
		r.Stop()
	})
}
