package statebus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// Promise 6: the loop.

func TestLoopGoesOnWhereItStopped(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	expect(t, next(s), "snapshot 0:")
	set(tb, "a", 1)
	expect(t, next(s), "1: +a=1@1")
	set(tb, "a", 2)
	expect(t, next(s), "2: +a=2@2")
}

func TestEventsAreTakenBackWhenTheBodyEnds(t *testing.T) {
	tb := newTable(statebus.Options{})
	set(tb, "a", 1)
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	for range 2 {
		var kept []statebus.Event[string, int]
		for b := range s.Bundles(t.Context()) {
			kept = b.Events
			break
		}
		if kept[0].Key != "" {
			t.Error("the event is still there")
		}
		set(tb, "a", 2)
	}
}

func TestLoopEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := newTable(statebus.Options{})
		s := tb.Subscribe(subOpt{})
		defer s.Close()
		ctx, cancel := context.WithCancel(context.Background())
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b := range s.Bundles(ctx) {
				got = append(got, text(b))
			}
		}()
		synctest.Wait()
		set(tb, "a", 1)
		synctest.Wait()
		cancel()
		<-done
		expect(t, strings.Join(got, "|"), "snapshot 0:|1: +a=1@1")
		set(tb, "a", 2)
		for range s.Bundles(ctx) {
			t.Error("a bundle after the end of the context")
		}
		expect(t, next(s), "2: +a=2@2")
	})
}

func TestCloseEndsABlockedLoop(t *testing.T) {
	for _, tier := range []statebus.Tier{statebus.First, statebus.Second} {
		for name, closer := range map[string]func(*table, *sub){
			"subscription": func(_ *table, s *sub) { s.Close(); s.Close() },
			"table":        func(tb *table, _ *sub) { tb.Close(); tb.Close() },
		} {
			t.Run(tier.String()+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tb := newTable(statebus.Options{})
					s := tb.Subscribe(subOpt{Tier: tier})
					done := make(chan struct{})
					go func() {
						defer close(done)
						for range s.Bundles(context.Background()) {
						}
					}()
					synctest.Wait()
					closer(tb, s)
					<-done
					set(tb, "a", 1)
					expect(t, next(s), "")
					if n := len(tb.Stats().Subscriptions); n != 0 {
						t.Errorf("%d subscriptions left", n)
					}
				})
			})
		}
	}
}

func TestCloseFromWithinTheBody(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{})
	set(tb, "a", 1)
	n := 0
	for range s.Bundles(t.Context()) {
		n++
		s.Close()
	}
	if n != 1 {
		t.Errorf("%d bundles", n)
	}
}

func TestSubscribeToAClosedTable(t *testing.T) {
	tb := newTable(statebus.Options{})
	tb.Close()
	s := tb.Subscribe(subOpt{})
	expect(t, next(s), "")
	s.Close()
	set(tb, "a", 1)
	if v, ok := tb.Get("a"); !ok || v != 1 {
		t.Error("a closed table does not take changes")
	}
}

func TestTwoLoopsPanic(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{Name: "twice"})
	defer s.Close()
	defer func() {
		if msg := fmt.Sprint(recover()); !strings.Contains(msg, "twice") {
			t.Errorf("panic %q", msg)
		}
	}()
	for range s.Bundles(t.Context()) {
		next(s)
	}
}
