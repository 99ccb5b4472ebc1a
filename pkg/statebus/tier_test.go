package statebus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// consumer runs a loop that stays in each body until it is told to go on.
type consumer struct {
	s    *sub
	got  chan string // what is in the body
	goOn chan struct{}
	done chan struct{}
}

func consume(s *sub) *consumer {
	c := &consumer{s, make(chan string, 100), make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(c.done)
		for b := range s.Bundles(context.Background()) {
			c.got <- text(b)
			<-c.goOn
		}
	}()
	return c
}

// now is the bundle that came last, or "".
func (c *consumer) now() string {
	synctest.Wait()
	last := ""
	for {
		select {
		case last = <-c.got:
		default:
			return last
		}
	}
}

func (c *consumer) finish() { c.goOn <- struct{}{}; synctest.Wait() }

func (c *consumer) stop() { c.s.Close(); close(c.goOn); <-c.done }

// bubble runs f in a synctest bubble with a table whose tier deadline is 1 s.
func bubble(t *testing.T, f func(t *testing.T, tb *table)) {
	synctest.Test(t, func(t *testing.T) { f(t, newTable(statebus.Options{})) })
}

func tierStats(tb *table, name string) statebus.SubscriptionStats {
	for _, s := range tb.Stats().Subscriptions {
		if s.Name == name {
			return s
		}
	}
	return statebus.SubscriptionStats{}
}

func TestSecondTierIsToldWhenTheFirstIsDone(t *testing.T) {
	bubble(t, func(t *testing.T, tb *table) {
		second := consume(tb.Subscribe(subOpt{Tier: statebus.Second}))
		defer second.stop()
		expect(t, second.now(), "snapshot 0:")
		second.finish()
		first := consume(tb.Subscribe(subOpt{}))
		defer first.stop()
		first.now()
		first.finish()

		set(tb, "a", 1)
		expect(t, first.now(), "1: +a=1@1")
		expect(t, second.now(), "")
		set(tb, "b", 2)
		expect(t, second.now(), "")
		first.finish()
		expect(t, first.now(), "2: +b=2@2")
		expect(t, second.now(), "1: +a=1@1")
		second.finish()
		expect(t, second.now(), "")
		first.finish()
		expect(t, second.now(), "2: +b=2@2")
		second.finish()
	})
}

func TestSecondTierGoesOnAfterTheDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, tb *table) {
		first := consume(tb.Subscribe(subOpt{Name: "first"}))
		defer first.stop()
		second := consume(tb.Subscribe(subOpt{Name: "second", Tier: statebus.Second}))
		defer second.stop()
		first.now()
		first.finish()
		second.now()
		second.finish()

		set(tb, "a", 1)
		expect(t, first.now(), "1: +a=1@1")
		time.Sleep(time.Second - 1)
		expect(t, second.now(), "")
		time.Sleep(time.Nanosecond)
		expect(t, second.now(), "1: +a=1@1")
		if s := tierStats(tb, "second"); s.DeadlineMisses != 1 {
			t.Errorf("second tier counts %d", s.DeadlineMisses)
		}
		if s := tierStats(tb, "first"); s.DeadlineMisses != 1 || !s.Late {
			t.Errorf("first tier counts %d, late: %t", s.DeadlineMisses, s.Late)
		}
		if n := tb.Stats().Totals.DeadlineMisses; n != 1 {
			t.Errorf("table counts %d", n)
		}
		second.finish()

		// Late, it delays nobody.
		start := time.Now()
		for range 10 {
			set(tb, "a", 2)
			if second.now() == "" {
				t.Fatal("held up by a late subscriber")
			}
			second.finish()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}

		// It catches up with a bundle it finishes in time, and is waited for again.
		first.finish()
		first.now()
		if !tierStats(tb, "first").Late {
			t.Error("caught up before it has finished what it missed")
		}
		first.finish()
		if tierStats(tb, "first").Late {
			t.Error("still late")
		}
		set(tb, "b", 3)
		expect(t, second.now(), "")
		first.finish()
		expect(t, second.now(), "12: +b=3@12")
	})
}

func TestFirstTierThatIsAlwaysSlowCostsOneDeadlineAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, tb *table) {
		dead := tb.Subscribe(subOpt{}) // never consumes
		defer dead.Close()
		second := consume(tb.Subscribe(subOpt{Tier: statebus.Second}))
		defer second.stop()
		start := time.Now()
		time.Sleep(time.Second)
		expect(t, second.now(), "snapshot 0:")
		second.finish()
		for range 100 {
			set(tb, "a", 1)
			if second.now() == "" {
				t.Fatal("held up again")
			}
			second.finish()
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestFirstTierDoesNotDelayWhatItDoesNotTake(t *testing.T) {
	bubble(t, func(t *testing.T, tb *table) {
		first := consume(
			tb.Subscribe(subOpt{Match: func(k string, _ int) bool { return k == "mine" }}))
		defer first.stop()
		first.now()
		first.finish()
		second := consume(tb.Subscribe(subOpt{Tier: statebus.Second}))
		defer second.stop()
		second.now()
		second.finish()
		set(tb, "other", 1)
		expect(t, second.now(), "1: +other=1@1")
	})
}

func TestLaterFirstTierDoesNotDelayEarlierCommits(t *testing.T) {
	bubble(t, func(t *testing.T, tb *table) {
		second := tb.Subscribe(subOpt{Tier: statebus.Second})
		defer second.Close()
		expect(t, poll(second), "snapshot 0:")
		set(tb, "a", 1)
		first := consume(tb.Subscribe(subOpt{}))
		defer first.stop()
		expect(t, first.now(), "snapshot 1: +a=1@1")
		expect(t, poll(second), "1: +a=1@1")
		set(tb, "a", 2)
		expect(t, poll(second), "")
		first.finish() // the snapshot
		expect(t, poll(second), "")
		first.finish()
		expect(t, poll(second), "2: +a=2@2")
	})
}

func TestSecondTierSnapshotWaitsForTheFirst(t *testing.T) {
	bubble(t, func(t *testing.T, tb *table) {
		set(tb, "a", 1)
		first := consume(tb.Subscribe(subOpt{}))
		defer first.stop()
		expect(t, first.now(), "snapshot 1: +a=1@1")
		set(tb, "b", 2)
		second := consume(tb.Subscribe(subOpt{Tier: statebus.Second}))
		defer second.stop()
		later := consume(tb.Subscribe(subOpt{}))
		defer later.stop()
		expect(t, second.now(), "")
		first.finish()
		expect(t, first.now(), "2: +b=2@2")
		expect(t, second.now(), "")
		set(tb, "c", 3)
		first.finish()
		expect(t, second.now(), "snapshot 2: +a=1@1 +b=2@2")
	})
}

func TestClosedFirstTierDelaysNobody(t *testing.T) {
	bubble(t, func(t *testing.T, tb *table) {
		first := tb.Subscribe(subOpt{})
		second := consume(tb.Subscribe(subOpt{Tier: statebus.Second}))
		defer second.stop()
		expect(t, second.now(), "")
		first.Close()
		expect(t, second.now(), "snapshot 0:")
		second.finish()

		other := consume(tb.Subscribe(subOpt{}))
		other.now()
		other.finish()
		set(tb, "a", 1)
		expect(t, second.now(), "")
		other.s.Close() // while in its body
		expect(t, second.now(), "1: +a=1@1")
		close(other.goOn)
	})
}

func TestPanickingBodyAcknowledges(t *testing.T) {
	bubble(t, func(t *testing.T, tb *table) {
		first := tb.Subscribe(subOpt{})
		defer first.Close()
		poll(first)
		second := tb.Subscribe(subOpt{Tier: statebus.Second})
		defer second.Close()
		poll(second)
		set(tb, "a", 1)
		expect(t, poll(second), "")
		func() {
			defer func() { recover() }()
			for range first.Bundles(context.Background()) {
				panic("body")
			}
		}()
		expect(t, poll(second), "1: +a=1@1")
	})
}

// The second tier lags behind the first, which takes its time as well: what it is
// handed is never ahead, though events are merged while they wait.
func TestMergedEventsWaitForTheFirstTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := newTable(statebus.Options{CoalesceAt: 2})
		first := consume(tb.Subscribe(subOpt{}))
		defer first.stop()
		first.now()
		first.finish()
		second := tb.Subscribe(subOpt{Tier: statebus.Second})
		defer second.Close()
		poll(second)
		set(tb, "a", 1)
		expect(t, first.now(), "1: +a=1@1")
		for v := 2; v < 10; v++ {
			set(tb, "a", v)
		}
		expect(t, poll(second), "")
		first.finish()
		first.now() // has up to 9
		set(tb, "b", 10)
		set(tb, "b", 11)
		set(tb, "b", 12)
		expect(t, poll(second), "") // revision 1 is merged into 9
		first.finish()
		expect(t, poll(second), "9: +a=9@9")
		first.finish()
		expect(t, poll(second), "12: +b=11@11 +b=12@12") // the last is not merged yet
	})
}

// Who was late and has finished a bundle in time is waited for again, though more has come
// meanwhile; who has taken too long for it is not. The table counts the first tier's misses only.
func TestLateUntilABundleIsFinishedInTime(t *testing.T) {
	bubble(t, func(t *testing.T, tb *table) {
		first := consume(tb.Subscribe(subOpt{Name: "first"}))
		defer first.stop()
		stuck := consume(tb.Subscribe(subOpt{}))
		defer stuck.stop()
		var others []*consumer
		for range 2 {
			c := consume(tb.Subscribe(subOpt{Tier: statebus.Second}))
			defer c.stop()
			others = append(others, c)
		}
		first.now()
		first.finish()
		stuck.now()
		stuck.finish() // and takes the next, for ever
		for _, c := range others {
			c.now()
			c.finish()
		}
		set(tb, "a", 1)
		time.Sleep(time.Second)
		for _, c := range others {
			expect(t, c.now(), "1: +a=1@1")
		}
		if n := tb.Stats().Totals.DeadlineMisses; n != 2 {
			t.Errorf("table counts %d misses of the first tier, want one of each", n)
		}
		for i, late := range []time.Duration{time.Second, time.Second - 1} {
			set(tb, "a", 2+i)
			first.finish() // and takes the next
			first.now()
			set(tb, "b", i) // which is there when that is finished
			time.Sleep(late)
			first.finish()
			if want := late == time.Second; tierStats(tb, "first").Late != want {
				t.Errorf("finished after %v: late is not %t", late, want)
			}
			first.now()
		}
		for _, c := range others {
			c.finish()
		}
	})
}
