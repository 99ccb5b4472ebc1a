package statebus_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// Promise 7: resume.

func since(tb *table, revision uint64) *statebus.Since {
	return &statebus.Since{Epoch: tb.Epoch(), Revision: revision}
}

func TestResumeGivesWhatCameAfter(t *testing.T) {
	tb := newTable(statebus.Options{LogChanges: 10})
	s := tb.Subscribe(subOpt{})
	set(tb, "a", 1)
	next(s) // the snapshot, of revision 0
	expect(t, next(s), "1: +a=1@1")
	s.Close()
	set(tb, "a", 2)
	set(tb, "b", 1)
	unset(tb, "a", 3)

	s = tb.Subscribe(subOpt{Since: since(tb, 1)})
	if !s.Resumed() {
		t.Error("the log has it all, and the subscription does not resume")
	}
	expect(t, next(s), "4: +a=2@2 +b=1@3 -a=3@4")
	set(tb, "c", 1)
	expect(t, next(s), "5: +c=1@5")

	// As a filter would have seen it then.
	even := tb.Subscribe(subOpt{Since: since(tb, 1),
		Match: func(_ string, v int) bool { return v%2 == 0 }})
	expect(t, next(even), "4: +a=2@2 -a=3@4")
	second := tb.Subscribe(subOpt{Since: since(tb, 4), Tier: statebus.Second})
	s.Close()
	expect(t, next(second), "5: +c=1@5")
}

func TestResumeWithoutHistoryIsASnapshot(t *testing.T) {
	fill := func(opts statebus.Options) *table {
		tb := newTable(opts)
		for i := range 5 {
			set(tb, "a", i)
		}
		return tb
	}
	for _, c := range []struct {
		what    string
		opts    statebus.Options
		from    statebus.Since
		resumed bool
	}{
		{"no log", statebus.Options{}, statebus.Since{Revision: 4}, false},
		{"all of it", statebus.Options{LogChanges: 3}, statebus.Since{Revision: 5}, true},
		{"the oldest kept", statebus.Options{LogChanges: 3}, statebus.Since{Revision: 2}, true},
		{"one too old", statebus.Options{LogChanges: 3}, statebus.Since{Revision: 1}, false},
		{"the future", statebus.Options{LogChanges: 3}, statebus.Since{Revision: 6}, false},
		{"another table's", statebus.Options{LogChanges: 3},
			statebus.Since{Epoch: 1, Revision: 4}, false},
	} {
		tb := fill(c.opts)
		c.from.Epoch += tb.Epoch()
		s := tb.Subscribe(subOpt{Since: &c.from})
		if s.Resumed() != c.resumed {
			t.Errorf("%s: resumed is %t", c.what, s.Resumed())
		}
		if !c.resumed {
			expect(t, next(s), "snapshot 5: +a=4@5")
		}
	}
}

type sized struct{ bytes int }

func (s sized) Size() int { return s.bytes }

func TestLogIsBoundedByBytes(t *testing.T) {
	tb := statebus.New[string, sized](statebus.Options{LogChanges: 100, LogBytes: 1000})
	for range 10 {
		tb.Commit(statebus.Change[string, sized]{Key: "a", Value: sized{300}})
	}
	for revision, want := range map[uint64]bool{6: false, 7: true} {
		s := tb.Subscribe(statebus.SubOptions[string, sized]{
			Since: &statebus.Since{Epoch: tb.Epoch(), Revision: revision}})
		if s.Resumed() != want {
			t.Errorf("since %d: resumed is %t", revision, s.Resumed())
		}
	}
}

// A filter that fails is its subscriber's mistake alone.

func failure(tb *table, name string) statebus.SubscriptionStats {
	for _, s := range tb.Stats().Subscriptions {
		if s.Name == name {
			return s
		}
	}
	return statebus.SubscriptionStats{}
}

func TestFilterThatPanicsInTheSnapshotEndsItsSubscription(t *testing.T) {
	for _, tier := range []statebus.Tier{statebus.First, statebus.Second} {
		tb := newTable(statebus.Options{})
		set(tb, "a", 1)
		calls := 0
		s := tb.Subscribe(subOpt{Name: "bad", Tier: tier, Match: func(string, int) bool {
			calls++
			panic("boom")
		}})
		for range 2 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("Bundles did not panic")
					}
				}()
				next(s)
			}()
		}
		for i := range 100 {
			set(tb, "a", i)
		}
		if st := failure(tb, "bad"); st.Failure == "" || st.Pending > 0 || calls != 1 {
			t.Errorf("%d calls, pending %d, failure %q", calls, st.Pending, st.Failure)
		}
		second := tb.Subscribe(subOpt{Tier: statebus.Second})
		expect(t, next(second), "snapshot 101: +a=99@101")
	}
}

func TestFilterThatPanicsAtACommitIsAskedOnce(t *testing.T) {
	tb := newTable(statebus.Options{})
	calls := 0
	s := tb.Subscribe(subOpt{Name: "bad", Match: func(string, int) bool {
		calls++
		panic("boom")
	}})
	var consumer sync.WaitGroup
	consumer.Go(func() {
		defer func() { _ = recover() }()
		next(s)
		next(s)
	})
	for i := range 1000 {
		set(tb, "a", i)
	}
	consumer.Wait()
	if calls != 1 || failure(tb, "bad").Failure == "" {
		t.Errorf("%d calls, failure %q", calls, failure(tb, "bad").Failure)
	}
}

func TestFilterThatEndsTheGoroutineEndsItsSubscriptionAlone(t *testing.T) {
	tb := newTable(statebus.Options{})
	exits := func(string, int) bool { runtime.Goexit(); return true }
	before := tb.Subscribe(subOpt{})
	tb.Subscribe(subOpt{Name: "bad", Match: exits})
	tb.Subscribe(subOpt{Name: "bad too", Match: exits})
	after := tb.Subscribe(subOpt{Tier: statebus.Second,
		Match: func(string, int) bool { return true }})
	next(before)
	next(after)
	in := func(f func()) {
		done := make(chan struct{})
		go func() { defer close(done); f() }()
		<-done
	}
	in(func() { set(tb, "a", 1) })
	set(tb, "b", 2) // nobody is locked out
	expect(t, next(before), "2: +a=1@1 +b=2@2")
	expect(t, next(after), "2: +a=1@1 +b=2@2")
	for _, name := range []string{"bad", "bad too"} {
		if failure(tb, name).Failure == "" {
			t.Errorf("%q has not failed", name)
		}
	}
	// In the snapshot, in the consumer's own goroutine.
	s := tb.Subscribe(subOpt{Name: "snapshot", Match: exits})
	in(func() { next(s) })
	set(tb, "c", 3)
	if st := failure(tb, "snapshot"); st.Failure == "" || st.Pending > 0 {
		t.Errorf("after Goexit in the snapshot: %+v", st)
	}
}

// In the second tier, a key's unset may have been merged into a later one that the first tier held
// back when the subscriber left. It knows the key, whatever the log says of the moment it names.
func TestNoTombstoneOfWhatASecondTierSubscriberMissedIsDropped(t *testing.T) {
	tb := newTable(statebus.Options{LogChanges: 10, CoalesceAt: 1, MaxTombstones: 1})
	set(tb, "x", 1)
	set(tb, "a", 1)
	unset(tb, "a", 1)
	s := tb.Subscribe(subOpt{Since: since(tb, 1), Tier: statebus.Second})
	defer s.Close()
	for i := range 20 {
		set(tb, fmt.Sprint(i), 1)
		unset(tb, fmt.Sprint(i), 1)
	}
	dropped := tb.Stats().Subscriptions[0].TombstonesDropped
	if got := next(s); !strings.Contains(got, "-a=1@3") || dropped == 0 {
		t.Errorf("%s; %d tombstones were dropped", got, dropped)
	}
}

// What is exactly within the bounds stays, what has gone stays forgotten, and a change that is too
// large by itself is not kept at all.
func TestLogKeepsWhatIsWithinItsBounds(t *testing.T) {
	for _, c := range []struct {
		sizes     []int
		forgotten uint64 // the revision up to which nothing is known
	}{
		{[]int{250, 250, 250, 250}, 0},
		{[]int{250, 250, 250, 251}, 1},
		{[]int{1001}, 1},
		{[]int{1000}, 0},
		{[]int{1001, 1, 1, 1, 1}, 1},
		{[]int{1001, 1, 1, 1, 1, 1}, 2},
	} {
		tb := statebus.New[string, sized](statebus.Options{LogChanges: 4, LogBytes: 1000})
		for _, size := range c.sizes {
			tb.Commit(statebus.Change[string, sized]{Key: "a", Value: sized{size}})
		}
		for revision := range uint64(len(c.sizes)) + 1 {
			s := tb.Subscribe(statebus.SubOptions[string, sized]{
				Since: &statebus.Since{Epoch: tb.Epoch(), Revision: revision}})
			if want := revision >= c.forgotten; s.Resumed() != want {
				t.Errorf("%v: since %d resumed is %t", c.sizes, revision, s.Resumed())
			}
			s.Close()
		}
	}
}
