package statebus_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

type (
	table  = statebus.Table[string, int]
	sub    = statebus.Subscription[string, int]
	subOpt = statebus.SubOptions[string, int]
	tx     = statebus.Tx[string, int]
	change = statebus.Change[string, int]
)

func newTable(opts statebus.Options) *table { return statebus.New[string, int](opts) }

func set(t *table, k string, v int) uint64 { return t.Commit(change{Key: k, Value: v}) }

func unset(t *table, k string, final int) uint64 {
	return t.Commit(change{Key: k, Value: final, Delete: true})
}

// text renders a bundle as "rev: +key=value@rev -key=value@rev"; that of a
// snapshot is sorted and begins with "snapshot".
func text(b statebus.Bundle[string, int]) string {
	var out []string
	for _, ev := range b.Events {
		sign := "+"
		if ev.Type != statebus.Set {
			sign = "-"
		}
		if ev.Type != statebus.Set && ev.Type != statebus.Unset {
			sign = ev.Type.String()
		}
		out = append(out, fmt.Sprintf("%s%s=%d@%d", sign, ev.Key, ev.Value, ev.Revision))
	}
	prefix := ""
	if b.Snapshot {
		slices.Sort(out)
		prefix = "snapshot "
	}
	return strings.TrimSpace(fmt.Sprintf("%s%d: %s", prefix, b.Revision, strings.Join(out, " ")))
}

// next returns the next bundle as text, or "" if the loop ended.
func next(s *sub) string {
	for b := range s.Bundles(context.Background()) {
		return text(b)
	}
	return ""
}

// poll is next for a subscription that may have nothing: it waits one nanosecond
// of a synctest bubble's time.
func poll(s *sub) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	for b := range s.Bundles(ctx) {
		return text(b)
	}
	return ""
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Promise 1: snapshot, then changes.

func TestFirstBundleIsTheStateAtSubscribe(t *testing.T) {
	tb := newTable(statebus.Options{})
	set(tb, "a", 1)
	set(tb, "b", 2)
	set(tb, "c", 3)
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	set(tb, "a", 10)
	set(tb, "a", 11)
	unset(tb, "b", 2)
	set(tb, "b", 20)
	set(tb, "d", 40)
	expect(t, next(s), "snapshot 3: +a=1@1 +b=2@2 +c=3@3")
	expect(t, next(s), "8: +a=10@4 +a=11@5 -b=2@6 +b=20@7 +d=40@8")
}

func TestFirstBundleIsSentEvenIfEmpty(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	expect(t, next(s), "snapshot 0:")
}

func TestKeyThatLivedBeforeTheFirstLoopIsDelivered(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	set(tb, "a", 1)
	unset(tb, "a", 2)
	expect(t, next(s), "snapshot 0:")
	expect(t, next(s), "2: +a=1@1 -a=2@2")
}

// Each commit gives all keys the same value, so a snapshot with two values mixes
// two revisions. Meanwhile the map grows, shrinks and loses keys.
func TestSnapshotIsOfOneRevision(t *testing.T) {
	tb := newTable(statebus.Options{})
	const keys = 500
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for v := 1; ; v++ {
			select {
			case <-done:
				return
			default:
			}
			tb.Update(func(tx *tx) {
				for i := range keys {
					tx.Set(fmt.Sprint("k", i), v)
				}
				for i := range 4000 {
					if k := fmt.Sprint("extra", i); v%3 == 0 {
						tx.Set(k, v)
					} else {
						tx.Delete(k, v)
					}
				}
			})
		}
	})
	for range 60 {
		s := tb.Subscribe(subOpt{})
		for b := range s.Bundles(t.Context()) {
			seen := map[string]bool{}
			for _, ev := range b.Events {
				if ev.Value != int(b.Revision) {
					t.Fatalf("revision %d shows %s=%d", b.Revision, ev.Key, ev.Value)
				}
				if seen[ev.Key] {
					t.Fatalf("revision %d shows %s twice", b.Revision, ev.Key)
				}
				seen[ev.Key] = true
			}
			want := keys
			if b.Revision == 0 {
				want = 0
			} else if b.Revision%3 == 0 {
				want += 4000
			}
			if len(seen) != want {
				t.Fatalf("revision %d shows %d keys, want %d", b.Revision, len(seen), want)
			}
			break
		}
		s.Close()
	}
	close(done)
	wg.Wait()
}

func TestCommitIsOneBundle(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	next(s)
	rev := tb.Commit(change{Key: "a", Value: 1}, change{Key: "b", Value: 2},
		change{Key: "a", Delete: true, Value: 3},
		change{Key: "absent", Delete: true})
	if rev != 1 || tb.Revision() != 1 {
		t.Errorf("revision %d, table says %d", rev, tb.Revision())
	}
	expect(t, next(s), "1: +a=1@1 +b=2@1 -a=3@1")
}

// Promise 2: the committer never waits.

func TestStalledSubscriberStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := newTable(statebus.Options{})
		stalled, idle, good := tb.Subscribe(subOpt{}), tb.Subscribe(subOpt{}),
			tb.Subscribe(subOpt{})
		defer idle.Close()
		defer good.Close()
		release, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			defer stalled.Close()
			for range stalled.Bundles(context.Background()) {
				<-release
				return
			}
		}()
		synctest.Wait()
		next(good)
		start := time.Now()
		for i := range 10_000 {
			rev := set(tb, "a", i)
			expect(t, next(good), fmt.Sprintf("%d: +a=%d@%d", rev, i, rev))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		close(release)
		<-done
	})
}

// Promise 3: nothing final is lost.

func TestKeepsUpSeesEveryChangeOfACommitOfAnySize(t *testing.T) {
	tb := newTable(statebus.Options{CoalesceAt: 1})
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	next(s)
	for range 3 {
		tb.Update(func(tx *tx) {
			for i := range 5000 {
				tx.Set("a", i)
			}
		})
		for b := range s.Bundles(t.Context()) {
			if len(b.Events) != 5000 {
				t.Errorf("%d events", len(b.Events))
			}
			break
		}
	}
}

func TestLaggingSubscriberSeesTheLatestOfEachKey(t *testing.T) {
	for _, test := range []struct{ name, before, changes, want string }{
		{"set set", "", "+1 +2", "+k=2"},
		{"set set of a known key", "+1", "+2 +3", "+k=3"},
		{"set unset", "+1", "+2 -3", "-k=3"},
		{"set unset of a key never seen", "", "+1 -2", "-k=2"},
		{"unset", "+1", "-2", "-k=2"},
		{"unset set", "+1", "-2 +3", "-k=2 +k=3"},
		{"unset set set", "+1", "-2 +3 +4", "-k=2 +k=4"},
		{"unset set unset", "+1", "-2 +3 -4", "-k=4"},
		{"set unset set unset set", "", "+1 -2 +3 -4 +5", "-k=4 +k=5"},
		{"unset set unset set", "+1", "-2 +3 -4 +5", "-k=4 +k=5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tb := newTable(statebus.Options{CoalesceAt: 1})
			apply := func(script string) {
				for _, step := range strings.Fields(script) {
					v := int(step[1] - '0')
					if step[0] == '+' {
						set(tb, "k", v)
					} else {
						unset(tb, "k", v)
					}
				}
			}
			apply(test.before)
			s := tb.Subscribe(subOpt{})
			defer s.Close()
			next(s)
			apply(test.changes)
			for i := range 3 { // what comes later makes it merge
				set(tb, "filler", i)
			}
			got := ""
			for b := range s.Bundles(t.Context()) {
				for _, ev := range b.Events {
					if ev.Key == "k" {
						got += fmt.Sprintf(" %c%s=%d", "?+-"[ev.Type], ev.Key, ev.Value)
					}
				}
				break
			}
			expect(t, strings.TrimSpace(got), test.want)
		})
	}
}

// lag makes n changes and checks that the mailbox stays below limit.
func lag(t *testing.T, tb *table, s *sub, n, limit int, f func(i int)) statebus.SubscriptionStats {
	t.Helper()
	for i := range n {
		f(i)
	}
	st := tb.Stats().Subscriptions[0]
	if st.Pending > limit {
		t.Errorf("%d events pending, want at most %d", st.Pending, limit)
	}
	return st
}

func TestMailboxIsBoundedByLiveKeys(t *testing.T) {
	tb := newTable(statebus.Options{CoalesceAt: 10})
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	next(s)
	// At most two events for each of 100 keys, and as many again before the next
	// compaction.
	st := lag(t, tb, s, 100_000, 400, func(i int) {
		k := fmt.Sprint("k", i*7919%100)
		if i%3 == 0 {
			unset(tb, k, i)
		} else {
			set(tb, k, i)
		}
	})
	if st.Coalesced == 0 {
		t.Error("nothing counted")
	}
	if st.TombstonesDropped != 0 {
		t.Error("tombstones dropped:", st.TombstonesDropped)
	}
}

func TestTombstonesOfUnseenKeysAreBoundedAndTheOldestGo(t *testing.T) {
	for _, types := range []statebus.Types{0, statebus.Unsets, statebus.Sets} {
		t.Run(fmt.Sprint("types=", types), func(t *testing.T) {
			tb := newTable(statebus.Options{CoalesceAt: 10, MaxTombstones: 20})
			s := tb.Subscribe(subOpt{Types: types})
			defer s.Close()
			next(s)
			const n = 10_000
			st := lag(t, tb, s, n, 60, func(i int) {
				set(tb, fmt.Sprint("k", i), i)
				unset(tb, fmt.Sprint("k", i), i)
			})
			for b := range s.Bundles(t.Context()) {
				last := -1
				keys := map[int]bool{}
				for _, ev := range b.Events {
					if ev.Value < last {
						t.Errorf("%d after %d", ev.Value, last)
					}
					last = ev.Value
					keys[ev.Value] = true
				}
				if len(keys) < 20 {
					t.Errorf("only %d keys left", len(keys))
				}
				for i := n - len(keys); i < n; i++ {
					if !keys[i] {
						t.Errorf("k%d was dropped before older ones", i)
					}
				}
				if int(st.TombstonesDropped) != n-len(keys) {
					t.Errorf("counted %d dropped, %d are missing", st.TombstonesDropped,
						n-len(keys))
				}
				break
			}
		})
	}
}

func TestUnsetsOfSeenKeysAreNeverDropped(t *testing.T) {
	tb := newTable(statebus.Options{CoalesceAt: 10, MaxTombstones: 1})
	for i := range 1000 {
		set(tb, fmt.Sprint("seen", i), i)
	}
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	next(s)
	for i := range 1000 {
		unset(tb, fmt.Sprint("seen", i), i)
		set(tb, fmt.Sprint("seen", i), i)
		unset(tb, fmt.Sprint("seen", i), i)
		set(tb, fmt.Sprint("unseen", i), i)
		unset(tb, fmt.Sprint("unseen", i), i)
	}
	for b := range s.Bundles(t.Context()) {
		seen := map[string]int{}
		for _, ev := range b.Events {
			if strings.HasPrefix(ev.Key, "seen") && ev.Type == statebus.Unset {
				seen[ev.Key]++
			}
		}
		if len(seen) != 1000 {
			t.Errorf("%d of 1000 unsets", len(seen))
		}
		break
	}
	if tb.Stats().Subscriptions[0].TombstonesDropped == 0 {
		t.Error("no unseen tombstone was dropped: the test shows nothing")
	}
}

// Promise 5: filters.

func TestFilters(t *testing.T) {
	even := func(_ string, v int) bool { return v%2 == 0 }
	decade := func(a, b int) bool { return a/10 == b/10 }
	for _, test := range []struct {
		name string
		opts subOpt
		want string
	}{
		{"match", subOpt{Match: even}, "snapshot 1: +a=2@1|6: +a=4@2 -a=4@3 +a=12@5 -a=14@6"},
		{"same", subOpt{Same: decade}, "snapshot 1: +a=2@1|6: +a=12@5 -a=14@6"},
		{"match and same", subOpt{Match: even, Same: decade}, "snapshot 1: +a=2@1|6: -a=4@3 +a=12@5 -a=14@6"},
		{"sets", subOpt{Types: statebus.Sets}, "snapshot 1: +a=2@1|5: +a=4@2 +a=5@3 +a=7@4 +a=12@5"},
		{"unsets", subOpt{Types: statebus.Unsets}, "snapshot 1:|6: -a=14@6"},
		{"match and unsets", subOpt{Match: even, Types: statebus.Unsets}, "snapshot 1:|6: -a=4@3 -a=14@6"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tb := newTable(statebus.Options{})
			set(tb, "a", 2)
			s := tb.Subscribe(test.opts)
			defer s.Close()
			for _, v := range []int{4, 5, 7, 12} {
				set(tb, "a", v)
			}
			unset(tb, "a", 14)
			expect(t, next(s)+"|"+next(s), test.want)
		})
	}
}

func TestUnsetCarriesTheFinalValueEvenIfItDoesNotMatch(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{Match: func(_ string, v int) bool { return v%2 == 0 }})
	defer s.Close()
	next(s)
	set(tb, "a", 2)
	unset(tb, "a", 3)
	set(tb, "b", 3)
	unset(tb, "b", 2)
	expect(t, next(s), "2: +a=2@1 -a=3@2")
}

func TestPanickingFilterEndsOnlyItsSubscription(t *testing.T) {
	tb := newTable(statebus.Options{})
	bad := tb.Subscribe(subOpt{Name: "bad", Match: func(_ string, v int) bool { return 10/v > 0 }})
	good := tb.Subscribe(subOpt{Tier: statebus.Second})
	defer good.Close()
	next(bad)
	next(good)
	expect(t, fmt.Sprint(tb.Commit(change{Key: "a", Value: 0}, change{Key: "b", Value: 1})), "1")
	expect(t, next(good), "1: +a=0@1 +b=1@1")
	set(tb, "c", 2)
	expect(t, next(good), "2: +c=2@2")
	func() {
		defer func() {
			if msg := fmt.Sprint(recover()); !strings.Contains(msg, `"bad"`) ||
				!strings.Contains(msg, "divide by zero") {
				t.Errorf("panic %q", msg)
			}
		}()
		next(bad)
	}()
	if st := tb.Stats().Subscriptions[0]; !strings.Contains(st.Failure, "divide by zero") {
		t.Errorf("failure %q", st.Failure)
	}
	bad.Close()
	expect(t, next(bad), "")
}

// A snapshot takes one buffer where its size is known, and where a filter chooses, one more, as
// large as what the walk has met so far lets expect.
func TestSnapshotTakesNoMoreRoomThanItNeeds(t *testing.T) {
	const n = 10_000
	tb := newTable(statebus.Options{})
	tb.Update(func(tx *tx) {
		for i := range n {
			tx.Set(fmt.Sprint(i), i)
		}
	})
	room := func(opts subOpt) int {
		s := tb.Subscribe(opts)
		defer s.Close()
		for b := range s.Bundles(t.Context()) {
			return cap(b.Events)
		}
		return 0
	}
	if got := room(subOpt{}); got != n {
		t.Errorf("of %d values: room for %d", n, got)
	}
	got := room(subOpt{
		Match: func(_ string, v int) bool { return v%2 == 0 },
		Range: func(f func(k string, v int, revision uint64) bool) {
			for i := range n {
				f(fmt.Sprint(i), i, 1)
			}
		},
	})
	// 16 of the first 32 have matched, so that half of the rest is expected to.
	if want := 16 + (n-32)/2 + 16/8 + 16; got != want {
		t.Errorf("of %d values that match: room for %d, want %d", n/2, got, want)
	}
}

// Buffers are used again, unless they have been very large.
func TestBuffersAreUsedAgain(t *testing.T) {
	tb := newTable(statebus.Options{})
	s := tb.Subscribe(subOpt{})
	defer s.Close()
	next(s)
	seen := map[*statebus.Event[string, int]]int{}
	for i := range 10 {
		set(tb, "a", i)
		for b := range s.Bundles(t.Context()) {
			seen[&b.Events[0]]++
			break
		}
	}
	if len(seen) > 3 {
		t.Errorf("10 bundles in %d buffers", len(seen))
	}
}

// Of the keys that a subscriber has not seen, exactly as many are remembered as it is promised.
func TestTombstonesAreDroppedOneByOne(t *testing.T) {
	for _, n := range []int{40, 41, 42} {
		tb := newTable(statebus.Options{CoalesceAt: 10, MaxTombstones: 40})
		s := tb.Subscribe(subOpt{})
		next(s)
		for i := range n {
			set(tb, fmt.Sprint("k", i), i)
			unset(tb, fmt.Sprint("k", i), i)
		}
		// Enough of one key that everything is merged once more, and nothing else comes.
		for i := range 1000 {
			set(tb, "z", i)
		}
		if got, want := tb.Stats().Subscriptions[0].TombstonesDropped, uint64(n-40); got != want {
			t.Errorf("of %d tombstones %d were dropped, want %d", n, got, want)
		}
		s.Close()
	}
}
