package statebus_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

// The model is the log of all changes, written under the commit lock. What each
// subscriber received is checked against what the log says it should have.

// modelValue is never equal to another one: id numbers all values ever made.
type modelValue struct {
	id    int
	class int // filters look at it
	end   bool
}

type (
	modelTable = statebus.Table[int, modelValue]
	modelTx    = statebus.Tx[int, modelValue]
	modelSub   = statebus.Subscription[int, modelValue]
	modelEvent = statebus.Event[int, modelValue]
	modelOpts  = statebus.SubOptions[int, modelValue]
)

const endKey = -1 // set and unset last; every filter takes it

// logged is one effective change; old is valid if had.
type logged struct {
	rev      uint64
	key      int
	del, had bool
	old, new modelValue
}

// filter describes one of the filters the test draws.
type filter struct {
	classes int // matches class < classes
	same    bool
	types   statebus.Types
}

func (f filter) match(_ int, v modelValue) bool { return v.end || v.class < f.classes }

// options leaves out what selects everything, so that the path without a filter
// is tested as well.
func (f filter) options() modelOpts {
	o := modelOpts{Types: f.types}
	if f.classes < allClasses {
		o.Match = f.match
	}
	if f.same {
		o.Same = sameClass
	}
	return o
}

const allClasses = 4

func sameClass(a, b modelValue) bool { return a.class == b.class && a.end == b.end }

// event is what a change is for a subscriber with this filter, the zero Event for
// nothing.
func (f filter) event(c logged) modelEvent {
	before, after := c.had && f.match(c.key, c.old), !c.del && f.match(c.key, c.new)
	var ev modelEvent
	switch {
	case after && !(before && f.same && sameClass(c.old, c.new)):
		ev = modelEvent{Type: statebus.Set, Key: c.key, Value: c.new, Revision: c.rev}
	case before && c.del:
		ev = modelEvent{Type: statebus.Unset, Key: c.key, Value: c.new, Revision: c.rev}
	case before && !after:
		ev = modelEvent{Type: statebus.Unset, Key: c.key, Value: c.old, Revision: c.rev}
	}
	if f.types != 0 && (ev.Type == statebus.Set && f.types&statebus.Sets == 0 ||
		ev.Type == statebus.Unset && f.types&statebus.Unsets == 0) {
		return modelEvent{}
	}
	return ev
}

// behaviour is how a consumer of the test consumes.
type behaviour int

const (
	eager     behaviour = iota
	slow                // yields the processor in the body
	restarter           // leaves the loop after each bundle and begins again
	sleeper             // begins when all is committed
	closer              // closes after some bundles
	resumer             // closes after some bundles, and resumes where it was
	dead                // never consumes
)

// consumerPlan is one drawn subscriber.
type consumerPlan struct {
	filter
	tier  statebus.Tier
	how   behaviour
	after int // commits before it subscribes, roughly
	seed  uint64
}

// received is one bundle, with what the first tier had finished when it came.
type received struct {
	statebus.Bundle[int, modelValue]
	finished []uint64
}

// run is one subscriber at work.
type run struct {
	plan     consumerPlan
	sub      *modelSub
	bundles  []received
	ended    bool // has seen the end
	drops    bool // tombstones may be too many
	finished atomic.Uint64
	since    atomic.Uint64 // revision at Subscribe, plus one
	until    uint64        // all revisions after it were committed after Subscribe
}

const gone = math.MaxUint64

type plan struct {
	opts      statebus.Options
	producers int
	commits   int // per producer
	keys      int
	churn     bool // keys are used once
	deletes   int  // in 10
	seed      uint64
	consumers []consumerPlan
	patient   bool // the deadline is never reached
}

func drawPlan(t *rapid.T) plan {
	p := plan{
		opts: statebus.Options{
			CoalesceAt:    rapid.SampledFrom([]int{1, 2, 8, 64, 0}).Draw(t, "coalesceAt"),
			MaxTombstones: rapid.SampledFrom([]int{1, 5, 0}).Draw(t, "maxTombstones"),
			LogChanges:    rapid.SampledFrom([]int{0, 10, 1000}).Draw(t, "logChanges"),
		},
		producers: rapid.IntRange(1, 3).Draw(t, "producers"),
		commits:   rapid.IntRange(1, 600).Draw(t, "commits"),
		keys:      rapid.SampledFrom([]int{1, 3, 20, 300}).Draw(t, "keys"),
		churn:     rapid.Bool().Draw(t, "churn"),
		deletes:   rapid.IntRange(0, 8).Draw(t, "deletes"),
		seed:      rapid.Uint64().Draw(t, "seed"),
		patient:   rapid.Bool().Draw(t, "patient"),
	}
	p.opts.TierDeadline = time.Hour
	if !p.patient {
		p.opts.TierDeadline = time.Duration(rapid.SampledFrom([]int{1, 1000, 100_000}).Draw(t,
			"deadline"))
	}
	for range rapid.IntRange(1, 6).Draw(t, "consumers") {
		c := consumerPlan{
			filter: filter{
				classes: rapid.IntRange(1, allClasses).Draw(t, "classes"),
				same:    rapid.Bool().Draw(t, "same"),
				types: rapid.SampledFrom([]statebus.Types{0, 0, 0, statebus.Sets,
					statebus.Unsets}).Draw(t, "types"),
			},
			tier: rapid.SampledFrom([]statebus.Tier{statebus.First, statebus.Second}).Draw(t,
				"tier"),
			how:   behaviour(rapid.IntRange(int(eager), int(dead)).Draw(t, "how")),
			after: rapid.SampledFrom([]int{0, 0, 1, 50, 300}).Draw(t, "after"),
			seed:  rapid.Uint64().Draw(t, "consumerSeed"),
		}
		if c.tier == statebus.First && c.how == dead && p.patient {
			c.how = sleeper // it would hold up the second tier for the whole hour
		}
		p.consumers = append(p.consumers, c)
	}
	return p
}

// TestModel draws tables with racing producers and consumers. Use -rapid.checks to
// run it for longer; an operation is one change.
func TestModel(t *testing.T) {
	var operations, checks, resumed atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		operations.Add(int64(drawPlan(t).execute(t, &resumed)))
		checks.Add(1)
	})
	t.Logf("%d operations in %d checks, resumed %d times", operations.Load(), checks.Load(),
		resumed.Load())
}

func (p plan) execute(t *rapid.T, resumed *atomic.Int64) int {
	tb := statebus.New[int, modelValue](p.opts)
	var log []logged // under the commit lock
	var values, operations atomic.Int64
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	runs := make([]*run, len(p.consumers))
	for i, c := range p.consumers {
		runs[i] = &run{plan: c, drops: p.opts.MaxTombstones != 0}
	}
	var endRevision atomic.Uint64    // of the last commit
	committed := make(chan struct{}) // closed when all is committed
	var producers, consumers sync.WaitGroup
	for i := range p.producers {
		producers.Go(func() {
			rng := rand.New(rand.NewPCG(p.seed, uint64(i)))
			for range p.commits {
				tb.Update(func(tx *modelTx) {
					n := 1
					if rng.IntN(8) == 0 {
						n = rng.IntN(20)
					}
					for range n {
						operations.Add(1)
						p.step(tx, rng, &log, int(values.Add(1)))
					}
				})
				if rng.IntN(50) == 0 {
					time.Sleep(time.Microsecond)
				}
			}
		})
	}
	for _, r := range runs {
		consumers.Go(func() { r.consume(ctx, tb, runs, committed, resumed, &endRevision) })
	}
	producers.Wait()
	for _, r := range runs { // the end comes when all have subscribed
		for r.since.Load() == 0 {
			time.Sleep(time.Microsecond)
		}
	}
	end := modelValue{id: int(values.Add(1)), end: true}
	tb.Update(func(tx *modelTx) {
		endRevision.Store(tx.Revision())
		tx.Set(endKey, end)
		tx.Delete(endKey, end)
		log = append(log, logged{rev: tx.Revision(), key: endKey, new: end},
			logged{rev: tx.Revision(), key: endKey, del: true, had: true, old: end, new: end})
	})
	close(committed)
	consumers.Wait()
	if ctx.Err() != nil {
		t.Fatalf("a consumer did not come to its end: %+v", tb.Stats())
	}

	last := uint64(0)
	for _, c := range log {
		if c.rev != last && c.rev != last+1 {
			t.Fatalf("revision %d after %d", c.rev, last)
		}
		last = c.rev
	}
	stats := make(map[string]statebus.SubscriptionStats)
	for _, s := range tb.Stats().Subscriptions {
		stats[s.Name] = s
	}
	for i, r := range runs {
		r.check(t, i, log, stats[fmt.Sprint(i)])
	}
	if p.patient {
		checkTiers(t, runs, log)
	}
	tb.Close()
	return int(operations.Load())
}

// step makes one change and logs it.
func (p plan) step(tx *modelTx, rng *rand.Rand, log *[]logged, id int) {
	k := rng.IntN(p.keys)
	if p.churn {
		k += id / 8 * p.keys // keys wander, and few come back
		if rng.IntN(2) == 0 {
			k = max(0, k-8*p.keys)
		}
	}
	v := modelValue{id: id, class: rng.IntN(allClasses)}
	old, had := tx.Get(k)
	del := rng.IntN(10) < p.deletes
	if del {
		if tx.Delete(k, v) != had {
			panic("Delete and Get disagree")
		}
		if !had {
			return
		}
	} else {
		tx.Set(k, v)
		if got, ok := tx.Get(k); !ok || got != v {
			panic("Get does not see Set")
		}
	}
	*log = append(*log, logged{tx.Revision(), k, del, had, old, v})
}

func (r *run) consume(ctx context.Context, tb *modelTable, runs []*run,
	committed <-chan struct{}, resumed *atomic.Int64, end *atomic.Uint64) {
	rng := rand.New(rand.NewPCG(r.plan.seed, 1))
	for tb.Revision() < uint64(r.plan.after) {
		select {
		case <-committed:
		case <-time.After(time.Microsecond):
			if tb.Revision() < uint64(r.plan.after) && rng.IntN(20) > 0 {
				continue
			}
		}
		break
	}
	o := r.plan.options()
	o.Tier = r.plan.tier
	o.Name = fmt.Sprint(slices.Index(runs, r))
	subscribe := func() {
		r.sub = tb.Subscribe(o)
		if !r.sub.Resumed() {
			r.bundles = nil
			r.until = tb.Revision()
			r.since.Store(r.until + 1)
		}
	}
	subscribe()

	switch r.plan.how {
	case resumer:
		r.finished.Store(gone)
	case dead:
		return
	case sleeper:
		<-committed
	}
	leaveAfter := math.MaxInt
	if r.plan.how == closer {
		leaveAfter = rng.IntN(20)
	}
	for !r.ended {
		for b := range r.sub.Bundles(ctx) {
			got := received{Bundle: b}
			got.Events = slices.Clone(b.Events)
			for _, other := range runs {
				got.finished = append(got.finished, other.finished.Load())
			}
			r.bundles = append(r.bundles, got)
			if r.plan.how == slow && rng.IntN(4) == 0 {
				time.Sleep(time.Duration(rng.IntN(50)) * time.Microsecond)
			}
			for _, ev := range b.Events {
				r.ended = r.ended || ev.Key == endKey
			}
			if last := end.Load(); b.Snapshot && last != 0 && b.Revision >= last {
				r.ended = true // it came back too late to be told of the end
			}
			if len(r.bundles) > leaveAfter {
				r.finished.Store(gone)
				r.sub.Close()
				r.ended = true
			} else if r.plan.how != resumer { // which comes and goes
				r.finished.Store(b.Revision)
			}
			if r.ended || r.plan.how == restarter || r.plan.how == resumer && rng.IntN(3) == 0 {
				break
			}
		}
		if r.plan.how == resumer && !r.ended && ctx.Err() == nil {
			r.sub.Close()
			o.Since = &statebus.Since{Epoch: tb.Epoch(),
				Revision: r.bundles[len(r.bundles)-1].Revision}
			if subscribe(); r.sub.Resumed() {
				resumed.Add(1)
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// check holds what r received against the log.
func (r *run) check(t *rapid.T, i int, log []logged, stats statebus.SubscriptionStats) {
	if len(r.bundles) == 0 {
		return
	}
	fail := func(format string, args ...any) {
		t.Fatalf("consumer %d %+v: %s", i, r.plan, fmt.Sprintf(format, args...))
	}
	// Whether an event is new depends on what the subscriber was told, not on the log.
	told := make(map[int]bool)
	for _, b := range r.bundles {
		for i := range b.Events {
			ev := &b.Events[i]
			// Who takes no unsets is not told when a key leaves the view.
			if want := ev.Type == statebus.Set && !told[ev.Key]; ev.New != want &&
				r.plan.types != statebus.Sets &&
				!(r.plan.how == resumer && r.plan.tier == statebus.Second) {
				fail("%+v after it was told of the key: %t", *ev, told[ev.Key])
			}
			told[ev.Key] = ev.Type == statebus.Set
			ev.New = false
		}
	}
	first := r.bundles[0]
	if !first.Snapshot || first.Revision > r.until {
		fail("first bundle: snapshot %t of revision %d, subscribed by %d", first.Snapshot,
			first.Revision, r.until)
	}

	// The snapshot is the filtered state at its revision.
	view := make(map[int]modelEvent)
	due := make(map[int][]modelEvent) // per key, all that came after
	for _, c := range log {
		if c.rev > first.Revision {
			if ev := r.plan.event(c); ev.Type != 0 {
				due[c.key] = append(due[c.key], ev)
			}
			continue
		}
		delete(view, c.key)
		if !c.del && r.plan.match(c.key, c.new) && r.plan.types != statebus.Unsets {
			view[c.key] = modelEvent{Type: statebus.Set, Key: c.key, Value: c.new, Revision: c.rev}
		}
	}
	if len(first.Events) != len(view) {
		fail("snapshot of %d has %d events, want %d", first.Revision, len(first.Events), len(view))
	}
	for _, ev := range first.Events {
		if view[ev.Key] != ev {
			fail("snapshot of %d has %+v, want %+v", first.Revision, ev, view[ev.Key])
		}
	}

	// Each later bundle takes the keys further along what is due, in order.
	known := make(map[int]bool) // the keys in the subscriber's view
	for k := range view {
		known[k] = true
	}
	skipped, dropped := 0, 0
	prev := first.Revision
	for _, b := range r.bundles[1:] {
		if b.Snapshot || b.Revision <= prev || len(b.Events) == 0 {
			fail("bundle: snapshot %t, revision %d after %d, %d events", b.Snapshot, b.Revision,
				prev, len(b.Events))
		}
		at := prev + 1
		for _, ev := range b.Events {
			if ev.Revision < at || ev.Revision > b.Revision {
				fail("revision %d in a bundle from %d to %d", ev.Revision, at, b.Revision)
			}
			at = ev.Revision
			n := slices.Index(due[ev.Key], ev)
			if n < 0 {
				fail("%+v is not due, or came before; due: %+v", ev, due[ev.Key])
			}
			lost := false
			for j, miss := range due[ev.Key][:n] {
				// A set gives way to whatever comes later in the same bundle, an
				// unset only to an unset. For the second tier, it may have been
				// merged into what was held back then.
				covered := miss.Type == statebus.Set ||
					slices.ContainsFunc(due[ev.Key][j+1:n+1], func(e modelEvent) bool {
						return e.Type == statebus.Unset && slices.Contains(b.Events, e)
					})
				if miss.Revision <= prev && r.plan.tier == statebus.First {
					covered = false
				}
				if r.plan.how == resumer && r.plan.tier == statebus.Second {
					// It was merged into a later unset, which was held back when the subscriber
					// left: see Since.
					covered = covered || slices.ContainsFunc(due[ev.Key][n+1:],
						func(e modelEvent) bool { return e.Type == statebus.Unset })
				}
				if !covered {
					lost = true
					if !r.droppable(log, miss, ev.Revision, known) {
						fail("%+v was lost to %+v, after bundle %d", miss, ev, prev)
					}
				}
			}
			skipped += n
			if lost {
				dropped++ // at least
			}
			due[ev.Key] = due[ev.Key][n+1:]
			if ev.Type == statebus.Set {
				known[ev.Key] = true
			} else {
				delete(known, ev.Key)
			}
		}
		prev = b.Revision
	}

	if r.plan.how == closer {
		return
	}
	// Nothing final is missing, except for tombstones that were counted.
	for _, rest := range due {
		skipped += len(rest)
		if len(rest) == 0 {
			continue
		}
		if final := rest[len(rest)-1]; !r.droppable(log, final, math.MaxUint64, known) {
			fail("the final %+v is missing", final)
		}
		dropped++
	}
	if r.plan.how == resumer {
		// What was merged and dropped in the mailboxes that it closed came again.
		if dropped > 0 && !r.drops {
			fail("%d events are missing", dropped)
		}
		return
	}
	if uint64(dropped) > stats.TombstonesDropped {
		fail("%d events are missing, only %d counted as dropped", dropped, stats.TombstonesDropped)
	}
	if uint64(skipped) != stats.Coalesced+stats.TombstonesDropped {
		fail("%d events were skipped, %d+%d counted", skipped, stats.Coalesced,
			stats.TombstonesDropped)
	}
	// Replaying ends in the model's state.
	if r.plan.types == 0 {
		for k := range known {
			if v, live := finalState(log, k); !live || !r.plan.match(k, v) {
				fail("%d is in the view but not in the table", k)
			}
		}
	}
}

// droppable reports whether ev, followed by nothing before revision until, may be
// dropped if there are too many such: it is of a dead key that the subscriber did
// not know.
func (r *run) droppable(log []logged, ev modelEvent, until uint64, known map[int]bool) bool {
	if r.plan.types == statebus.Sets {
		return slices.ContainsFunc(log, func(c logged) bool {
			return c.key == ev.Key && c.del && c.rev >= ev.Revision && c.rev <= until
		})
	}
	return !known[ev.Key] && (ev.Type == statebus.Unset || until != math.MaxUint64)
}

// finalState is the value of k after all of log.
func finalState(log []logged, k int) (modelValue, bool) {
	for i := len(log) - 1; i >= 0; i-- {
		if log[i].key == k {
			return log[i].new, !log[i].del
		}
	}
	return modelValue{}, false
}

// checkTiers makes sure that whatever a second-tier consumer was handed had been
// finished by the first-tier ones that take it and were there before it.
func checkTiers(t *rapid.T, runs []*run, log []logged) {
	for fi, f := range runs {
		if f.plan.tier != statebus.First {
			continue
		}
		var takes []uint64 // revisions f is given
		for _, c := range log {
			if c.rev > f.until && f.plan.event(c).Type != 0 &&
				(len(takes) == 0 || takes[len(takes)-1] != c.rev) {
				takes = append(takes, c.rev)
			}
		}
		for si, s := range runs {
			if s.plan.tier != statebus.Second {
				continue
			}
			for _, b := range s.bundles {
				n, found := slices.BinarySearch(takes, b.Revision)
				if found {
					n++
				}
				if n > 0 && b.finished[fi] < takes[n-1] {
					t.Fatalf(
						"second-tier consumer %d was handed revision %d when the first-tier %d had finished %d and takes %d",
						si, b.Revision, fi, b.finished[fi], takes[n-1])
				}
			}
		}
	}
}
